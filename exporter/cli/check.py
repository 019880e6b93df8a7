"""`check`: one look at every selected target, and a table with causes and advice.

It is the serving path run once: the same look, the same diagnosis, the same documents as the API.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import msgspec
import yaml
from rich.console import Console
from rich.live import Live
from rich.progress import Progress

from exporter.cli.exits import Exit
from exporter.cli.flags import add_config_flags, base_of, config_of, start_logging
from exporter.cli.tables import console, report
from exporter.config import Config
from exporter.discovery.static import load_static
from exporter.model import Cadence, Memory, Outcome, Target, TargetKey, TargetRecord
from exporter.web.documents import Standing, TargetState, standing_of, target_state

MANY = 200
"""More targets than this are looked at only with --all."""

AT_ONCE = 64
"""Targets under look at the same time: what a laptop's defaults for open files allow."""

_NO_TARGETS = (
    "There is nothing to look at. Name targets under discovery.static in a configuration, and "
    "give it with --config.file: {namespace: default, pod: web, role: sidecar, address: 10.0.0.7}."
)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `-o json` and `-o yaml` print."""

    targets: tuple[TargetState, ...]
    unseen: tuple[str, ...]


@dataclass(slots=True)
class _Pass:
    """What the looks found so far, and what they left for the next ones."""

    config: Config
    targets: Sequence[Target]
    memories: dict[TargetKey, Memory]
    records: dict[TargetKey, TargetRecord]

    def report(self) -> Report:
        """The documents of everything that was looked at."""
        extra = self.config.ports
        return Report(
            targets=tuple(target_state(t, self.records.get(t.key), extra) for t in self.targets),
            unseen=not_judged(self.records.values()),
        )


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("check", help="look once at everything and say what is wrong")
    parser.add_argument(
        "selector",
        metavar="SELECTOR",
        nargs="?",
        default="",
        help="a namespace, a pod, or namespace/pod; * and ? stand for anything",
    )
    add_config_flags(parser)
    outputs = ("table", "wide", "json", "yaml")
    parser.add_argument("-o", dest="output", choices=outputs, default="table", help="format")
    parser.add_argument("--all", action="store_true", help=f"also more than {MANY} targets")
    parser.add_argument("--watch", action="store_true", help="look again every poll.interval")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> Exit:
    """Look, print, and end with 0 healthy, 1 unhealthy, 2 usage, 3 could not look."""
    config = config_of(chosen)
    start_logging(config.log)
    found = load_static(config.discovery.static, base_of(chosen))
    targets = [target for target in found if selects(chosen.selector, target.key)]
    if not targets:
        print(f"No target matches {chosen.selector!r}." if found else _NO_TARGETS, file=sys.stderr)
        return Exit.COULD_NOT_LOOK
    if len(targets) > MANY and not chosen.all:
        sentence = f"{len(targets)} targets are more than {MANY}: narrow them, or say --all."
        print(sentence, file=sys.stderr)
        return Exit.USAGE
    passed = _Pass(config, targets, {}, {})
    try:
        asyncio.run(_watch(passed, chosen) if chosen.watch else _once(passed, chosen))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    return exit_of(passed.records.values())


_WHY_NOT = {
    Outcome.NO_ACCESS: "listens inside the pod only; give the target a netns to see it",
    Outcome.CAPTURED: "the pod's redirection answers for it; give the target a netns to see it",
}


def selects(selector: str, key: TargetKey) -> bool:
    """Whether the selector names this target: by namespace, by pod, or by both."""
    if "/" in selector:
        return fnmatchcase(str(key), selector)
    return not selector or fnmatchcase(key.namespace, selector) or fnmatchcase(key.pod, selector)


def exit_of(records: Iterable[TargetRecord]) -> Exit:
    """The exit code that these records come to; nothing judged is nothing seen."""
    standings = {standing_of(record) for record in records}
    if Standing.UNHEALTHY in standings:
        return Exit.UNHEALTHY
    return Exit.HEALTHY if Standing.HEALTHY in standings else Exit.COULD_NOT_LOOK


def not_judged(records: Iterable[TargetRecord]) -> tuple[str, ...]:
    """What cannot be judged from here, each thing once and not per target."""
    said: dict[str, None] = {}
    causes: dict[str, None] = {}
    for record in records:
        for verdict in record.verdicts:
            if verdict.structural:
                why = _WHY_NOT.get(verdict.outcome, str(verdict.outcome))
                said[f"port {verdict.port} ({record.target.role}): {why}"] = None
            elif verdict.outcome is Outcome.NO_ACCESS and verdict.detail:
                said[f"{record.target.key}: {verdict.detail}"] = None
        causes.update(dict.fromkeys(record.unseen))
    if causes:
        said[f"causes that one look cannot tell: {', '.join(causes)}"] = None
    return tuple(said)


async def _once(passed: _Pass, chosen: argparse.Namespace) -> None:
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        bar = progress.add_task("looking", total=len(passed.targets))
        await _look_at_all(passed, frozenset(Cadence), lambda: progress.advance(bar))
    _print(passed.report(), chosen.output)


async def _watch(passed: _Pass, chosen: argparse.Namespace) -> None:
    """Look again and again until interrupted; memory shows what one look cannot see."""
    screen = console()
    is_live = screen.is_terminal and chosen.output in ("table", "wide")
    due = frozenset(Cadence)
    live = Live(console=screen, auto_refresh=False, screen=True) if is_live else None
    with live or contextlib.nullcontext():
        while True:
            await _look_at_all(passed, due, lambda: None)
            found = passed.report()
            if live:
                wide = chosen.output == "wide"
                live.update(report(found.targets, found.unseen, wide=wide), refresh=True)
            else:
                _print(found, chosen.output)
            due = frozenset({Cadence.FAST, Cadence.DETAIL})
            await asyncio.sleep(passed.config.poll.interval)


async def _look_at_all(passed: _Pass, due: frozenset[Cadence], done: Callable[[], None]) -> None:
    from exporter.app import is_in_mesh, raise_file_limit
    from exporter.look import look

    raise_file_limit()
    in_mesh = await is_in_mesh()
    slots = asyncio.Semaphore(min(AT_ONCE, passed.config.poll.concurrency))

    async def look_at(target: Target) -> None:
        memory = passed.memories.get(target.key, Memory())
        async with slots:
            seen = await look(target, memory, due, passed.config, time.time(), in_mesh=in_mesh)
        passed.memories[target.key] = seen.memory
        passed.records[target.key] = seen.record
        done()

    async with asyncio.TaskGroup() as looks:
        for target in passed.targets:
            looks.create_task(look_at(target))


def _print(found: Report, output: str) -> None:
    match output:
        case "json":
            print(msgspec.json.format(msgspec.json.encode(found)).decode(), flush=True)
        case "yaml":
            print("---\n" + yaml.safe_dump(msgspec.to_builtins(found), sort_keys=False), end="")
        case _:
            wide = output == "wide"
            console().print(report(found.targets, found.unseen, wide=wide))
