"""`check`: polls every selected target once and prints a table with causes and advice.

It is the serving path run once: the same poll, the same diagnosis, the same documents as the API.
"""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Iterable, Sequence

import msgspec
import yaml
from rich.console import Console
from rich.live import Live
from rich.progress import Progress

from exporter.cli.check_polls import Polled, Report
from exporter.cli.exit_codes import ExitCode
from exporter.cli.flags import add_config_flags, base_of, config_of
from exporter.cli.log_formats import start_logging
from exporter.cli.ports import as_json
from exporter.cli.tables import Window, console, report_of
from exporter.cli.target_sources import (
    CheckSource,
    add_cluster_flags,
    cluster,
    matches,
    names_cluster,
    none_of,
    selector,
    static,
)
from exporter.config import Config
from exporter.discovery.static import load_static
from exporter.kube.api_errors import KubernetesError
from exporter.kube.credentials import find_credentials
from exporter.model import Target, TargetRecord
from exporter.report.health import Health, health_of

_MANY = 200
"""More targets than this are polled only with --all."""

_FAIL_ON = tuple(health for health in Health if health not in (Health.HEALTHY, Health.UNHEALTHY))
"""What `--fail-on` can choose: unhealthy targets are a failure anyway."""

_NO_TARGETS = """\
There are no targets: no kubeconfig was found. Name one with --kubeconfig or KUBECONFIG, or list
targets in a file and name that with --config.file:

  discovery:
    static:
      targets:
        - {namespace: default, pod: web, role: sidecar, address: 10.0.0.7}

Of such a file, NAMESPACE/POD selects targets; -n, -A and -l select pods of a cluster."""

_ENDS = "Press Ctrl-C to stop. Without --watch, check prints evidence and advice for each cause."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "selector",
        metavar="SELECTOR",
        nargs="?",
        type=selector,
        default="",
        help="a pod, namespace/pod or deployment/name, or the namespace of static targets; "
        "with * and ? as wildcards",
    )
    add_cluster_flags(parser)
    add_config_flags(parser)
    outputs = ("table", "wide", "json", "yaml")
    parser.add_argument(
        "-o", dest="output", choices=outputs, default="table", help="format of the output"
    )
    parser.add_argument(
        "--fail-on",
        type=_healths,
        default=(),
        metavar="LIST",
        help=f"end with 1 for these too: {', '.join(_FAIL_ON)}, separated by commas",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help=f"poll more than {_MANY} targets; without it so many end with 2",
    )
    parser.add_argument("--watch", action="store_true", help="poll again every poll.interval")
    parser.add_argument(
        "--coverage",
        action="store_true",
        help="print what each mode judges of every port, and poll nothing",
    )
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> ExitCode:
    """Poll, print, and end with 1 if a target is unhealthy, 3 if none could be judged, else 0."""
    if chosen.coverage:
        return _print_coverage(chosen.output)
    config = config_of(chosen)
    start_logging(config.log)
    found = load_static(config.discovery.static, base_of(chosen))
    try:
        return asyncio.run(_check(chosen, config, found))
    except KubernetesError as error:
        text = str(error)
        print(f"{text[:1].upper()}{text[1:]}.", file=sys.stderr)
        return ExitCode.UNJUDGED


def _print_coverage(output: str) -> ExitCode:
    """Print the table of what each mode judges, or its rows."""
    from exporter.cli.coverage import coverage, table

    rows = coverage()
    if output in ("json", "yaml"):
        encode = msgspec.json.encode if output == "json" else msgspec.yaml.encode
        print(encode(rows).decode().rstrip())
    else:
        console().print(table(rows))
    return ExitCode.HEALTHY


async def _check(chosen: argparse.Namespace, config: Config, found: Sequence[Target]) -> ExitCode:
    """Check the static targets, else those of the cluster. Raises KubernetesError.

    A flag that selects from a cluster means the cluster, static targets or not.
    """
    if found and not names_cluster(chosen):
        targets = [target for target in found if matches(chosen.selector, target)]
        if not targets:
            print(none_of(found, chosen.selector), file=sys.stderr)
            return ExitCode.UNJUDGED
        return await _check_source(chosen, static(config, targets))
    load = find_credentials(kubeconfig=chosen.kubeconfig, context=chosen.context)
    if load is None:
        print(_NO_TARGETS, file=sys.stderr)
        return ExitCode.UNJUDGED
    async with cluster(chosen, config, load) as source:
        return await _check_source(chosen, source)


async def _check_source(chosen: argparse.Namespace, source: CheckSource) -> ExitCode:
    targets = await source.targets()
    if not targets:
        print(_no_match(chosen, source), file=sys.stderr)
        return ExitCode.UNJUDGED
    if len(targets) > _MANY and not chosen.all:
        sentence = f"{len(targets)} targets are more than {_MANY}: select fewer, or add --all."
        print(sentence, file=sys.stderr)
        return ExitCode.USAGE
    checked = Polled(source, targets)
    try:
        await (_watch(checked, chosen) if chosen.watch else _once(checked, chosen))
    except asyncio.CancelledError:
        print("interrupted", file=sys.stderr)
    polled = (checked.records.get(target.key) for target in checked.targets)
    return exit_of(polled, chosen.fail_on)


def _healths(text: str) -> tuple[Health, ...]:
    """What --fail-on lists; raises ArgumentTypeError with a sentence."""
    words = text.split(",")
    unknown = [word for word in words if word not in _FAIL_ON]
    if unknown:
        sentence = f"{unknown[0]!r} is none of {', '.join(_FAIL_ON)}"
        raise argparse.ArgumentTypeError(sentence)
    return tuple(map(Health, words))


def _no_match(chosen: argparse.Namespace, source: CheckSource) -> str:
    names = source.config.discovery.kubernetes.namespaces
    where = f"namespace {', '.join(names)}: -n names another, -A all" if names else "any namespace"
    what = f" that matches {chosen.selector!r}" if chosen.selector else ""
    return f"There is no Istio pod{what} in {where}."


def exit_of(records: Iterable[TargetRecord | None], fail_on: Iterable[Health] = ()) -> ExitCode:
    """The exit code for these records, of which those of such a health are failures.

    None stands for a target that was not polled before the check was interrupted.
    """
    known = tuple(records)
    found = {health_of(record) for record in known}
    if found & {Health.UNHEALTHY, *fail_on}:
        return ExitCode.UNHEALTHY
    is_judged = None not in known and found - {Health.UNJUDGED}
    return ExitCode.HEALTHY if is_judged else ExitCode.UNJUDGED


async def _once(checked: Polled, chosen: argparse.Namespace) -> None:
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        bar = progress.add_task("polling", total=len(checked.targets))
        await checked.poll(lambda: progress.advance(bar))
    _print(checked.report(), chosen.output)


async def _watch(checked: Polled, chosen: argparse.Namespace) -> None:
    """Poll again and again until interrupted; memory shows what one poll cannot."""
    screen = console()
    is_live = screen.is_terminal and chosen.output in ("table", "wide")
    live = Live(console=screen, auto_refresh=False, screen=True) if is_live else None
    with live or contextlib.nullcontext():
        while True:
            await checked.poll()
            found = checked.report()
            if live:
                whole = report_of(found.targets, found.not_judged, wide=True)
                is_wide = chosen.output == "wide"
                live.update(whole if is_wide else Window(found.targets, _ENDS), refresh=True)
            else:
                _print(found, chosen.output)
            await asyncio.sleep(checked.source.config.poll.interval)
            await checked.update_targets()


def _print(found: Report, output: str) -> None:
    match output:
        case "json":
            print(as_json(found), flush=True)
        case "yaml":
            print("---\n" + yaml.safe_dump(msgspec.to_builtins(found), sort_keys=False), end="")
        case _:
            wide = output == "wide"
            console().print(report_of(found.targets, found.not_judged, wide=wide))
