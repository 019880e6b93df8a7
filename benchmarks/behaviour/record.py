"""`record`: replay folders of states, run an exporter on them and write down what it says."""

import asyncio
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import yaml

from benchmarks.behaviour import commands, exporter
from benchmarks.behaviour.exporter import Served
from benchmarks.behaviour.masks import (
    Parts,
    in_order,
    mask_json,
    mask_table,
    mask_text,
    split_exposition,
)
from benchmarks.behaviour.states import Replay, replay
from benchmarks.processes import Failed

PROFILES = ("full", "standard", "minimal")
TAKES = 6
"""What is not said twice in so many looks does not settle."""

_AT_ONCE = 2
_WATCHED = 3
"""Looks that counters need to have grown often enough for every cause."""

_POLL = {
    "interval": "8s",
    "detail_interval": "8s",
    "page_interval": "8s",
    "identity_interval": "8s",
    "application_probes": True,
    "application_ports": True,
}
_WHOLE = (
    "/api/v1/summary",
    "/api/v1/matrix?limit=500",
    "/api/v1/targets?role=gateway&limit=1",
    "/api/v1/targets?limit=no",
    "/api/v1/targets/nowhere/nobody",
    "/api/v1/nothing",
    "/-/healthy",
    "/-/ready",
    "/probe?target=nobody",
    "/",
    "/runbooks/",
    "/runbooks/diagnosis.md",
)
"""Beside what is asked of every target."""


def record(checkout: Path, folders: list[Path], out: Path) -> list[str]:
    """Write everything into a new folder; returns what did not settle. Raises Failed."""
    script = exporter.program(checkout)
    commands.record(script, out / "commands")
    return asyncio.run(_of_folders(script, folders, out))


async def _of_folders(script: Path, folders: list[Path], out: Path) -> list[str]:
    """Most of the time goes into waiting for what hangs, so two folders share it."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(folder: Path) -> list[str]:
        place = _place(folder)
        async with slots:
            begin = time.monotonic()
            parts, restless = await _of_folder(script, folder)
        _write(parts, out / place)
        print(f"{folder}: {len(parts)} parts, {time.monotonic() - begin:.0f} s", flush=True)
        return [f"{place} {target or 'whole'}: {section}" for target, section in restless]

    return [name for names in await asyncio.gather(*map(one, folders)) for name in names]


def _place(folder: Path) -> str:
    return "-".join(folder.resolve().parts[-2:])


async def _of_folder(script: Path, folder: Path) -> tuple[Parts, list[tuple[str, str]]]:
    with tempfile.TemporaryDirectory(prefix="behaviour-") as scratch:
        config = Path(scratch) / "config.yaml"
        async with replay(folder) as built:
            built.write_targets(Path(scratch))
            served, restless = await _served(script, config, built)
            checked, more = await _checked(script, config, built)
    return {**served, **checked}, restless + more


def _write(parts: Parts, folder: Path) -> None:
    """One file a state, with a section for each part; the states' views are in one file."""
    texts = defaultdict(list)
    for (target, section), text in sorted(parts.items()):
        state, _, view = target.rpartition(".")
        texts[state or "whole"].append(f"==== {view or 'all'}: {section}\n{text}")
    folder.mkdir(parents=True)
    for name, sections in texts.items():
        (folder / f"{name}.txt").write_text("\n".join(sections))


async def _settled(
    take: Callable[[], Awaitable[Parts]], section: str
) -> tuple[Parts, list[tuple[str, str]]]:
    """What was said twice of each part, and the parts of which nothing was."""
    seen: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for number in range(TAKES):
        for name, text in (await take()).items():
            seen[name][text] += 1
        restless = [name for name, texts in seen.items() if texts.most_common(1)[0][1] < 2]
        if number and not restless:
            break
        if number:
            print(f"  {section}: {len(restless)} parts unsettled: {restless[:5]}", flush=True)
    return {name: texts.most_common(1)[0][0] for name, texts in seen.items()}, restless


async def _served(script: Path, config: Path, built: Replay) -> tuple[Parts, list[tuple[str, str]]]:
    """What `serve` says once it has seen the earlier pages and then the present ones."""
    _configure(config, PROFILES[0], {"poll": _POLL})
    with exporter.serving(script, config) as served:
        await asyncio.to_thread(served.wait_for_polls)
        await built.advance()
        await asyncio.to_thread(served.wait_for_polls)
        return await _settled(lambda: asyncio.to_thread(_take, served, config), "serve")


def _configure(config: Path, profile: str, more: dict[str, object]) -> None:
    discovery = {"kubernetes": {"enabled": False}, "static": {"files": ["targets.yaml"]}}
    document = {"discovery": discovery, "metrics": {"profile": profile}, **more}
    config.write_text(yaml.safe_dump(document))


def _take(served: Served, config: Path) -> Parts:
    """One scrape in every profile and every document, after a round of polls."""
    served.wait_for_polls()
    parts: Parts = {}
    for profile in PROFILES:
        _configure(config, profile, {"poll": _POLL})
        served.ask("/-/reload", "POST")
        parts |= split_exposition(served.ask("/metrics")[2], f"metrics, {profile}")
    for row in served.targets():
        parts[str(row["pod"]), "/api/v1/targets"] = mask_json(row)
        path = f"/api/v1/targets/{row['namespace']}/{row['pod']}"
        parts[str(row["pod"]), "alone"] = mask_json(served.document(path))
    return parts | {("", path): _answer(served, path) for path in (*_WHOLE, "/api/v1/ports")}


def _answer(served: Served, path: str) -> str:
    status, kind, body = served.ask(path)
    with suppress(ValueError):
        body = mask_json(json.loads(body))
    return f"{status} {kind}\n{mask_text(body)}\n"


async def _checked(
    script: Path, config: Path, built: Replay
) -> tuple[Parts, list[tuple[str, str]]]:
    """What one look says, as a table and as JSON, and what `--watch` says while counters grow."""
    _configure(config, "standard", {})

    async def take() -> Parts:
        return await asyncio.to_thread(_looks, script, config)

    looked, restless = await _settled(take, "check")
    watched, more = await _watched(script, config, built)
    return {**looked, **watched}, restless + more


def _looks(script: Path, config: Path) -> Parts:
    check = ("check", "--all", "--config.file", config)
    text = exporter.run(script, *check, "-o", "json")
    code, _, body = text.partition("\n")
    parts = _of_report(body.partition("standard error:")[0], "check -o json")
    table = mask_table(exporter.run(script, *check))
    return {**parts, ("", "check -o json, exit code"): code, ("", "check"): table}


def _of_report(text: str, section: str) -> Parts:
    report = json.loads(text)
    report["unseen"] = in_order(report["unseen"])
    parts = {(str(row["pod"]), section): mask_json(row) for row in report.pop("targets")}
    return {**parts, ("", section): mask_json(report)}


async def _watched(
    script: Path, config: Path, built: Replay
) -> tuple[Parts, list[tuple[str, str]]]:
    """The reports of `check --watch` while what had grown goes on growing at every look."""
    command = ("check", "--all", "--watch", "-o", "json", "--config.file", str(config))
    _configure(config, "standard", {"poll": {"interval": "3s"}})
    process = await asyncio.create_subprocess_exec(
        str(script),
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=exporter.plain_environment(),
    )
    try:

        async def take() -> Parts:
            parts = _of_report(await _report(process), "check --watch, while counters grow")
            await built.advance()
            return parts

        for _ in range(_WATCHED):
            await take()
        return await _settled(take, "watch")
    finally:
        process.kill()
        await process.wait()


async def _report(process: asyncio.subprocess.Process) -> str:
    """The next document of a stream of indented ones: it ends at a brace that begins a line."""
    lines = []
    async with asyncio.timeout(exporter.PATIENCE_SECONDS):
        while line := await process.stdout.readline():  # type: ignore[union-attr]
            lines.append(line.decode())
            if line.rstrip() == b"}":
                return "".join(lines)
    raise Failed("check --watch ended")
