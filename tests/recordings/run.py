"""`make recordings RECORDINGS=DIR`: replay every state of a folder and judge it.

Each state stands behind real redirection and is polled by the look that `serve` uses: once with
the network view alone, once with the pod's view beside it. A table says what was expected and
what was seen, and what was recorded outranks the index; the exit status is 1 on a difference, 2
where nothing could be replayed.
"""

import asyncio
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
from expected import Expected, expected_of
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from exporter.config import Config
from exporter.demo import (
    DemoPod,
    Mesh,
    MeshError,
    RecordedState,
    can_build_networks,
    load_states,
    mesh,
)
from exporter.model import EVERY_CADENCE, Memory, Role, TargetRecord
from exporter.poll.poll_target import PollResult, poll_once

TCP_PORTS = (15000, 15001, 15006, 15020, 15021, 15090)
PAGES = ((15020, "/healthz/ready"), (15021, "/healthz/ready"), (15090, "/stats/prometheus"))
HTTP_PORT = 15021
SCRAPES = (15090, 15020)
ADMIN_PORT, STATS_PORT = 15000, 15090
METRICS = "/stats/prometheus"
OK = 200
TIMEOUT_SECONDS = 2.0
BETWEEN_LOOKS = 120.0
VIEWS = ("network", "pod")

console = Console(width=None if sys.stdout.isatty() else 160)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the exporter reported of one state in one view, beside what is true."""

    state: RecordedState
    view: str
    expected: Expected
    seen: Mapping[int, int | None]
    ready: Mapping[str, bool]
    cause: str
    captured: bool | None = None
    identity: str = ""

    @property
    def differences(self) -> tuple[str, ...]:
        """What is not as it should be; empty when all is right."""
        return tuple(_differences(self))


@dataclass(frozen=True, slots=True)
class Naive:
    """What simple probes noticed of one pod: each field is "something is wrong".

    `scraped`: a scrape of the proxy or of its agent failed, or the pod's readiness probe did.
    """

    tcp: bool
    http: bool
    everything: bool
    scraped: bool


def _differences(verdict: Verdict) -> Iterable[str]:
    expected = verdict.expected
    if verdict.cause not in expected.causes:
        yield f"cause {verdict.cause}"
    for port, up in expected.up.items():
        seen = verdict.seen.get(port, "no verdict")
        if seen != up and not _is_free(verdict, port, seen) and not _is_recorded(verdict, port):
            yield f"{port}: {_word(seen)}"
    if expected.captured is not None and verdict.captured is not bool(expected.captured):
        yield f"captured: {verdict.captured}"
    if expected.identity and verdict.identity != expected.identity:
        yield f"identity: {verdict.identity or 'none'}"
    envoy = "ztunnel" if verdict.state.role == Role.ZTUNNEL else "envoy"
    for endpoint, ready in ((envoy, expected.ready), ("agent", expected.agent_ready)):
        if ready is not None and verdict.ready.get(endpoint) is not bool(ready):
            yield f"{endpoint} ready: {verdict.ready.get(endpoint)}"


def _is_recorded(verdict: Verdict, port: int) -> bool:
    """Whether a port that the index leaves unjudged answered the network in the state's own bytes.

    They outrank the index. 15000 is proved by 15090, which is relayed to it.
    """
    if verdict.expected.up[port] is not None or verdict.seen.get(port) != 1:
        return False
    proving = STATS_PORT if port == ADMIN_PORT else port
    answered = (one for one in verdict.state.network.exchanges if one.port == proving)
    return any(one.answer.data.startswith(b"HTTP/1.1 200") for one in answered)


def _is_free(verdict: Verdict, port: int, seen: object) -> bool:
    """Whether the pod's view of a workload in ambient may show more than the network does.

    It may judge what the network cannot, and leave open what only the network keeps from us.
    """
    if verdict.view == "network" or verdict.state.role != Role.AMBIENT:
        return False
    is_kept = verdict.cause == "network_blocked" and seen is None
    return verdict.expected.up[port] is None or is_kept


def _word(up: object) -> str:
    return {1: "up", 0: "down", None: "unjudged"}.get(up, str(up))  # type: ignore[call-overload]


def _verdict(pod: DemoPod, view: str, record: TargetRecord) -> Verdict:
    return Verdict(
        state=pod.state,
        view=view,
        expected=expected_of(pod.state, view),
        seen={row.port: None if row.up is None else int(row.up) for row in record.verdicts},
        ready=record.ready,
        cause=record.diagnosis.cause if record.diagnosis else "none",
        captured=record.proxy.captured,
        identity=record.spiffe_id,
    )


async def judge(built: Mesh, view: str, progress: Progress) -> list[Verdict]:
    """Look at every pod twice: at its earlier pages first, where it has some."""
    now = time.time()
    memories = dict.fromkeys((pod.name for pod in built.pods), Memory())
    first = await look_at_all(built, view, memories, now, progress)
    await built.advance()
    memories = {name: seen.memory for name, seen in first.items()}
    second = await look_at_all(built, view, memories, now + BETWEEN_LOOKS, progress)
    return [_verdict(pod, view, second[pod.name].record) for pod in built.pods]


async def look_at_all(
    built: Mesh, view: str, memories: Mapping[str, Memory], now: float, progress: Progress
) -> dict[str, PollResult]:
    """One poll of every pod, all cadences; the progress line counts them."""
    task = progress.add_task(f"{view} view", total=len(built.pods))

    async def one(pod: DemoPod) -> tuple[str, PollResult]:
        target = pod.target if view == "pod" else replace(pod.target, netns="")
        seen = await poll_once(target, memories[pod.name], EVERY_CADENCE, Config(), now)
        progress.advance(task)
        return pod.name, seen

    looks = dict(await asyncio.gather(*(one(pod) for pod in built.pods)))
    progress.remove_task(task)
    return looks


async def probe_naively(pod: DemoPod) -> Naive:
    """What TCP probes of its ports, `http_2xx` on 15021, all of them, and scrapes notice."""
    address = pod.target.addresses[0]
    tcp = await asyncio.gather(*(_connects(address, port) for port in TCP_PORTS))
    http = await asyncio.gather(*(_is_2xx(address, port, path) for port, path in PAGES))
    scrapes = await asyncio.gather(*(_is_scraped(address, port) for port in SCRAPES))
    answers = dict(zip((port for port, _ in PAGES), http, strict=True))
    return Naive(
        tcp=not all(tcp),
        http=not answers[HTTP_PORT],
        everything=not (all(tcp) and all(http)),
        scraped=not (all(scrapes) and answers[HTTP_PORT]),
    )


async def _connects(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.transport.abort()
    return True


async def _is_2xx(address: str, port: int, path: str) -> bool:
    status, _ = await _get(address, port, path)
    return status == OK


async def _is_scraped(address: str, port: int) -> bool:
    """Whether Prometheus's `up` is 1: an answer of 200 that is metrics to its end."""
    status, body = await _get(address, port, METRICS)
    try:
        return status == OK and bool(list(text_string_to_metric_families(body)))
    except ValueError:
        return False


async def _get(address: str, port: int, path: str) -> tuple[int, str]:
    """The status and the body; 0 where not all of it came in time."""
    url = f"http://{f'[{address}]' if ':' in address else address}:{port}{path}"
    deadline = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=deadline) as session, session.get(url) as answer:
            return answer.status, await answer.text(errors="replace")
    except (aiohttp.ClientError, OSError):
        return 0, ""


async def replay(folder: Path) -> tuple[list[Verdict], dict[str, Naive]]:
    """Build a mesh for each view, judge them side by side, and run the naive probes on one."""
    states = load_states(folder)
    naive: dict[str, Naive] = {}
    with Progress(console=console, transient=True) as progress:

        async def judged(view: str) -> list[Verdict]:
            async with mesh(states, folder, growing=0) as built:
                verdicts = await judge(built, view, progress)
                if view == VIEWS[0]:
                    seen = await asyncio.gather(*(probe_naively(pod) for pod in built.pods))
                    names = (pod.state.name for pod in built.pods)
                    naive.update(zip(names, seen, strict=True))
            return verdicts

        of_views = await asyncio.gather(*(judged(view) for view in VIEWS))
    return [verdict for verdicts in of_views for verdict in verdicts], naive


def show(verdicts: list[Verdict]) -> None:
    """The table: one row a state and view; + is up, - down, ? unjudged."""
    table = Table("state", "view", "expected", "seen", "cause", "verdict")
    for row in sorted(verdicts, key=lambda row: row.state.name):
        wrong = row.differences
        expected = _ports(row.expected.up)
        seen = _ports({port: row.seen.get(port) for port in row.expected.up})
        table.add_row(
            row.state.name,
            row.view,
            f"{' or '.join(row.expected.causes)}\n{expected}",
            "the same" if seen == expected else seen,
            row.cause,
            f"[red]{'; '.join(wrong)}[/]" if wrong else "[green]right[/]",
        )
    console.print(table)
    console.print("Ports: + up, - down, ? unjudged.")


def _ports(up: Mapping[int, int | None]) -> str:
    """Ports by what they are: "+15020 -15021 ?15090"."""
    marks = {1: "+", 0: "-", None: "?"}
    return " ".join(f"{marks[value]}{port}" for port, value in up.items())


def count(verdicts: list[Verdict], naive: Mapping[str, Naive]) -> str:
    """One sentence over the broken sidecar states: who noticed how many."""
    broken = [
        row
        for row in verdicts
        if row.state.role == Role.SIDECAR and "none" not in row.expected.causes
    ]
    by_view = {view: [row for row in broken if row.view == view] for view in VIEWS}
    names = [row.state.name for row in by_view["network"]]
    named = {
        view: sum(row.cause in row.expected.causes for row in rows)
        for view, rows in by_view.items()
    }
    noticed = {view: sum(row.cause != "none" for row in rows) for view, rows in by_view.items()}
    return (
        f"Of {len(names)} broken sidecar states a TCP probe of its ports notices "
        f"{sum(naive[name].tcp for name in names)}, http_2xx on 15021 "
        f"{sum(naive[name].http for name in names)}, all probes of all ports together "
        f"{sum(naive[name].everything for name in names)}, Prometheus's up of 15090 and 15020 "
        f"with pod readiness {sum(naive[name].scraped for name in names)}; this exporter notices "
        f"{noticed['network']} and names {named['network']} (with the pod's view "
        f"{noticed['pod']} and {named['pod']})."
    )


def main() -> int:
    """Replay the folder named on the command line."""
    if not can_build_networks():
        console.print("Replaying needs network namespaces and iptables: run it as root on Linux.")
        return 2
    try:
        verdicts, naive = asyncio.run(replay(Path(sys.argv[1])))
    except (MeshError, OSError, ValueError) as error:
        console.print(f"cannot replay: {error}")
        return 2
    show(verdicts)
    wrong = sum(bool(row.differences) for row in verdicts)
    console.print(count(verdicts, naive), soft_wrap=True)
    console.print(f"{len(verdicts) - wrong} of {len(verdicts)} verdicts are right.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
