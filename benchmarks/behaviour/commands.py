"""What the commands print that look at nothing: help, the catalogue, what is wrong with a file."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.behaviour.exporter import ROOT, run

_COMMANDS = re.compile(r"^    (\w+) {2,}\S", re.MULTILINE)
_AT_ONCE = 3


def record(script: Path, folder: Path) -> None:
    """Write a file for each command into a new folder, named as the command's arguments."""
    folder.mkdir(parents=True)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        chosen = list(_commands(script))
        texts = pool.map(lambda row: run(script, *row), chosen)
        for arguments, text in zip(chosen, texts, strict=True):
            name = re.sub(r"[^\w.-]+", "_", "_".join(arguments)) or "nothing"
            (folder / f"{name}.txt").write_text(text)


def _commands(script: Path) -> Iterator[tuple[str, ...]]:
    yield from ((), ("--version",), ("--help",), ("nonsense",), ("serve", "--nonsense"))
    names = _COMMANDS.findall(run(script, "--help"))
    yield from ((name, "--help") for name in names)
    yield ("config", "check", "--help")
    yield from (("ports", "-o", output) for output in ("table", "json", "markdown"))
    yield from (("ports", "--role", role, "-o", "table") for role in _roles(script))
    for port in (*_ports(script), "virtualinbound", "nothing", "99999"):
        yield from (("explain", port, "-o", output) for output in ("text", "json"))
    yield ("config", "check")
    files = sorted((ROOT / "tests/data/config").glob("*.yaml")) + sorted(ROOT.glob("config/*.yml"))
    for file in (*files, *sorted(ROOT.glob("config/*.yaml")), ROOT / "nowhere.yaml"):
        yield ("config", "check", "--config.file", str(file.relative_to(ROOT)))


def _rows(script: Path) -> list[dict[str, object]]:
    text = run(script, "ports", "-o", "json")
    rows: list[dict[str, object]] = json.loads(text.partition("\n")[2])["ports"]
    return rows


def _roles(script: Path) -> list[str]:
    return sorted({str(row["role"]) for row in _rows(script)})


def _ports(script: Path) -> list[str]:
    return sorted({str(row["port"]) for row in _rows(script)})
