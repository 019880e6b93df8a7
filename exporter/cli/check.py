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

import msgspec
import yaml
from rich.console import Console
from rich.live import Live
from rich.progress import Progress

from exporter.cli.exit_codes import ExitCode
from exporter.cli.flags import add_config_flags, base_of, config_of, start_logging
from exporter.cli.tables import Window, console, report
from exporter.cli.target_sources import (
    CheckSource,
    StaticSelection,
    add_cluster_flags,
    cluster,
    names_cluster,
    selects,
)
from exporter.config import Config
from exporter.discovery.static import load_static
from exporter.kube.api_errors import KubernetesError
from exporter.kube.credentials import find_credentials
from exporter.model import Cadence, Memory, Outcome, Target, TargetKey, TargetRecord
from exporter.report.target_documents import Health, TargetState, health_of, target_state

MANY = 200
"""More targets than this are looked at only with --all."""

AT_ONCE = 64
"""Targets under look at the same time: what a laptop's defaults for open files allow."""

_NO_TARGETS = (
    "There is nothing to look at: there is no kubeconfig. Name one with --kubeconfig (-n, -A and "
    "-l ask the cluster; targets of a file are chosen as NAMESPACE/POD, without a flag), or name "
    "targets under discovery.static in a configuration, and give it with --config.file: "
    "{namespace: default, pod: web, role: sidecar, address: 10.0.0.7}."
)


_ENDS = "Ctrl-C ends it; without --watch causes come with evidence and advice."


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `-o json` and `-o yaml` print."""

    targets: tuple[TargetState, ...]
    unseen: tuple[str, ...]


@dataclass(slots=True)
class _Pass:
    """What the looks found so far, and what they left for the next ones."""

    source: CheckSource
    targets: Sequence[Target]
    memories: dict[TargetKey, Memory]
    records: dict[TargetKey, TargetRecord]

    def report(self) -> Report:
        """The documents of everything that was looked at."""
        extra = self.source.config.ports
        return Report(
            targets=tuple(target_state(t, self.records.get(t.key), extra) for t in self.targets),
            unseen=(*self.source.unseen, *not_judged(self.records.values())),
        )


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("check", help="look once at everything and say what is wrong")
    parser.add_argument(
        "selector",
        metavar="SELECTOR",
        nargs="?",
        default="",
        help="a pod, namespace/pod or deployment/name, or a namespace of a file; * and ? are wild",
    )
    add_cluster_flags(parser)
    add_config_flags(parser)
    outputs = ("table", "wide", "json", "yaml")
    parser.add_argument("-o", dest="output", choices=outputs, default="table", help="format")
    parser.add_argument("--all", action="store_true", help=f"also more than {MANY} targets")
    parser.add_argument("--watch", action="store_true", help="look again every poll.interval")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> ExitCode:
    """Look, print, and end with 0 healthy, 1 unhealthy, 2 usage, 3 could not look."""
    config = config_of(chosen)
    start_logging(config.log)
    found = load_static(config.discovery.static, base_of(chosen))
    try:
        return asyncio.run(_check(chosen, config, found))
    except KubernetesError as error:
        text = str(error)
        print(f"{text[:1].upper()}{text[1:]}.", file=sys.stderr)
        return ExitCode.UNJUDGED


async def _check(chosen: argparse.Namespace, config: Config, found: Sequence[Target]) -> ExitCode:
    """Look at the targets written by hand, else at the cluster's. Raises KubernetesError.

    A flag that chooses of a cluster means the cluster, whatever is written by hand.
    """
    if found and not names_cluster(chosen):
        targets = [target for target in found if selects(chosen.selector, target.key)]
        return await _look(chosen, StaticSelection(config, targets, AT_ONCE))
    load = find_credentials(kubeconfig=chosen.kubeconfig, context=chosen.context)
    if load is None:
        print(_NO_TARGETS, file=sys.stderr)
        return ExitCode.UNJUDGED
    async with cluster(chosen, config, load, AT_ONCE) as source:
        return await _look(chosen, source)


async def _look(chosen: argparse.Namespace, source: CheckSource) -> ExitCode:
    targets = await source.targets()
    if not targets:
        print(_nothing(chosen, source), file=sys.stderr)
        return ExitCode.UNJUDGED
    if len(targets) > MANY and not chosen.all:
        sentence = f"{len(targets)} targets are more than {MANY}: narrow them, or say --all."
        print(sentence, file=sys.stderr)
        return ExitCode.USAGE
    passed = _Pass(source, targets, {}, {})
    try:
        await (_watch(passed, chosen) if chosen.watch else _once(passed, chosen))
    except asyncio.CancelledError:
        print("interrupted", file=sys.stderr)
    return exit_of(passed.records.values())


def _nothing(chosen: argparse.Namespace, source: CheckSource) -> str:
    if isinstance(source, StaticSelection):
        return f"No target matches {chosen.selector!r}."
    places = source.config.discovery.kubernetes.namespaces
    where = f"namespace {', '.join(places)}: -n names another, -A looks in all" if places else "any"
    what = f" that {chosen.selector!r} means" if chosen.selector else ""
    return f"There is no pod of Istio{what} in {where}."


_WHY_NOT = {
    Outcome.NO_ACCESS: "listens inside the pod only; give the target a netns to see it",
    Outcome.CAPTURED: "the pod's redirection answers for it; give the target a netns to see it",
}


def exit_of(records: Iterable[TargetRecord]) -> ExitCode:
    """The exit code that these records come to; nothing judged is nothing seen."""
    standings = {health_of(record) for record in records}
    if Health.UNHEALTHY in standings:
        return ExitCode.UNHEALTHY
    return ExitCode.HEALTHY if Health.HEALTHY in standings else ExitCode.UNJUDGED


def not_judged(records: Iterable[TargetRecord]) -> tuple[str, ...]:
    """What cannot be judged from here, each thing once and not per target."""
    said: dict[str, None] = {}
    refused: dict[str, dict[TargetKey, None]] = {}
    causes: dict[str, None] = {}
    for record in records:
        for verdict in record.verdicts:
            if verdict.structural:
                why = _WHY_NOT.get(verdict.outcome, str(verdict.outcome))
                said[f"port {verdict.port} ({record.target.role}): {why}"] = None
            elif verdict.outcome is Outcome.NO_ACCESS and verdict.detail:
                refused.setdefault(verdict.detail, {})[record.target.key] = None
        causes.update(dict.fromkeys(record.undetected))
    for detail, keys in refused.items():
        whom = f"{len(keys)} targets" if len(keys) > 1 else next(iter(keys))
        said[f"{whom}: {detail}"] = None
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
                whole = report(found.targets, found.unseen, wide=True)
                is_wide = chosen.output == "wide"
                live.update(whole if is_wide else Window(found.targets, _ENDS), refresh=True)
            else:
                _print(found, chosen.output)
            due = frozenset({Cadence.FAST, Cadence.DETAIL})
            await asyncio.sleep(passed.source.config.poll.interval)
            await _follow(passed)


async def _follow(passed: _Pass) -> None:
    """Take the targets as they are now; while nobody tells, the old ones stay."""
    with contextlib.suppress(KubernetesError):
        passed.targets = await passed.source.targets()
    kept = {target.key for target in passed.targets}
    for known in (passed.records, passed.memories):
        for key in [key for key in known if key not in kept]:
            del known[key]


async def _look_at_all(passed: _Pass, due: frozenset[Cadence], done: Callable[[], None]) -> None:
    from exporter.app.process import is_in_mesh, raise_file_limit
    from exporter.poll.poll_target import poll_target

    raise_file_limit()
    in_mesh = await is_in_mesh()
    source = passed.source
    slots = asyncio.Semaphore(source.at_once)

    async def look_at(target: Target) -> None:
        memory = passed.memories.get(target.key, Memory())
        async with slots:
            plan = source.plan(target)
            seen = await poll_target(plan, memory, due, source.config, time.time(), in_mesh=in_mesh)
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
