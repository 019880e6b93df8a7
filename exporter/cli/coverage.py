"""What each mode judges, infers and leaves unjudged of every port, by role.

Made from the code: a healthy target of each role is planned for as in that mode, its probes are
answered as they should be, and the diagnosis shows what that proves. `check --coverage` prints it.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace as replace_struct

from exporter.catalogue import TargetPort
from exporter.cli.fitting_table import FittingTable
from exporter.config import Config
from exporter.diagnosis import diagnose
from exporter.model import (
    AdminFacts,
    AgentFacts,
    AgentMetrics,
    BoundListener,
    Cadence,
    Certificate,
    EnvoyStats,
    Expectation,
    Facts,
    IstiodFacts,
    Memory,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    ReadinessFacts,
    Role,
    Settings,
    Target,
    TargetKey,
    TlsFacts,
    Verdict,
    View,
)
from exporter.poll.plan import Plan, plan_of, pod_only, with_servers

MODES = ("default", "port-forward", "netns")
"""The network alone; `check` from a laptop; the network and the pod's namespace."""

_HEADINGS = ("Port", "Name", "Roles", *MODES)
_NOW = 1_800_000_000.0
_SERVER = 8080
_ADDRESS = "10.0.0.7"
_LISTENER = BoundListener(name=f"0.0.0.0_{_SERVER}", address="0.0.0.0", port=_SERVER)
_CERTIFICATE = Certificate(
    not_before=_NOW - 3600, not_after=_NOW + 86400, uris=("spiffe://cluster.local/ns/shop/sa/web",)
)
_STATS = EnvoyStats(complete=True, live=True, state=0, workers_started=True, xds_connections=1)
_FACTS: dict[ProbeKind, Facts] = {
    ProbeKind.ADMIN: AdminFacts(state="LIVE", listeners=(_LISTENER,)),
    ProbeKind.AGENT: AgentFacts(status=200, page=Outcome.OK, metrics=AgentMetrics()),
    ProbeKind.HBONE_HELLO: TlsFacts(certificate=_CERTIFICATE),
    ProbeKind.HELLO: TlsFacts(certificate=_CERTIFICATE),
    ProbeKind.ISTIOD: IstiodFacts(version="1.32.0", connected_proxies=1),
    ProbeKind.READINESS: ReadinessFacts(status=200),
    ProbeKind.STATS: _STATS,
}
_OUTCOMES = {ProbeKind.EXPOSURE: Outcome.RESET, ProbeKind.SOCKETS: Outcome.NO_ACCESS}
"""What a healthy target's probes end with, where it is not success."""

_UNJUDGED = {
    Outcome.CAPTURED: "unjudged: redirection accepts for it",
    Outcome.NO_ACCESS: "unjudged: inside the pod",
}


class CoverageRow(Struct, frozen=True):
    """One port of some roles: what each of `MODES` makes of it while all is well."""

    roles: tuple[Role, ...]
    port: int
    name: str
    cells: tuple[str, ...]


def coverage() -> tuple[CoverageRow, ...]:
    """Every port of every role, by role; roles that agree share a row."""
    found: dict[tuple[int, str, tuple[str, ...]], list[Role]] = {}
    for role in Role:
        modes = [dict(_cells(role, mode)) for mode in MODES]
        for key in dict.fromkeys(key for cells in modes for key in cells):
            cells = tuple(cells.get(key, "not probed") for cells in modes)
            found.setdefault((*key, cells), []).append(role)
    rows = (CoverageRow(tuple(roles), *key) for key, roles in found.items())
    return tuple(sorted(rows, key=lambda row: row.port))


def markdown(rows: Iterable[CoverageRow]) -> str:
    """The rows as a table in Markdown: that of the README."""
    heading, *lines = (f"| {' | '.join(line)} |\n" for line in (_HEADINGS, *map(_texts, rows)))
    return "".join((heading, f"|{'---|' * len(_HEADINGS)}\n", *lines))


def table(rows: Iterable[CoverageRow]) -> FittingTable:
    """The rows for a terminal."""
    return FittingTable(_HEADINGS, [[_texts(row) for row in rows]], title=("Port", "Name", "Roles"))


def _texts(row: CoverageRow) -> tuple[str, ...]:
    return (str(row.port), row.name, ", ".join(row.roles), *row.cells)


def _cells(role: Role, mode: str) -> Iterator[tuple[tuple[int, str], str]]:
    """What a mode shows of a role's ports, by number and name."""
    plan = _plan(role, mode)
    seen = [_through_port_forward(one) if mode == "port-forward" else one for one in _answers(plan)]
    polled = dict.fromkeys(Cadence, _NOW)
    record, _ = diagnose(plan.target, plan.ports, seen, Memory(polled=polled), Config(), _NOW)
    ports = {port.number: port for port in plan.ports}
    proved = {one.port for one in seen if one.outcome.proves}
    for verdict in record.verdicts:
        port = ports[verdict.port]
        name = str(port.name or port.component)
        yield (verdict.port, name), _cell(port, verdict, is_proved=verdict.port in proved)


def _cell(port: TargetPort, verdict: Verdict, *, is_proved: bool) -> str:
    if verdict.up is None:
        return _UNJUDGED.get(verdict.outcome, f"unjudged: {verdict.outcome}")
    if not is_proved:
        return f"inferred: {verdict.detail}"
    return "judged while it answers" if port.expectation is Expectation.OPTIONAL else "judged"


def _through_port_forward(seen: Observation) -> Observation:
    """It carries no socket table, and what accepts in silence does not show."""
    hidden = seen.probe.kind in (ProbeKind.SOCKETS, ProbeKind.TCP) and not seen.probe.is_listed
    return replace_struct(seen, outcome=Outcome.NO_ACCESS) if hidden else seen


def _plan(role: Role, mode: str) -> Plan:
    target = Target(
        key=TargetKey("shop", "web"),
        role=role,
        addresses=(_ADDRESS,),
        captured=role in (Role.SIDECAR, Role.AMBIENT),
        netns="" if mode == "default" else "web",
        settings=Settings(dns_capture=True, app_ports=(_SERVER,) if role is Role.GATEWAY else ()),
    )
    plan = plan_of(target, Config())
    if mode == "port-forward":
        plan = pod_only(plan)
    return plan if mode == "default" else with_servers(plan, AdminFacts(listeners=(_LISTENER,)))


def _answers(plan: Plan) -> Iterator[Observation]:
    """A good answer to everything that is sent in a poll with all cadences."""
    for part in plan.network:
        for probe in (*part.probes, *((part.hello,) if part.hello else ())):
            yield _answer(probe)
    for probe in plan.in_pod:
        yield _answer(replace_struct(probe, view=View.POD))


def _answer(probe: Probe) -> Observation:
    outcome = _OUTCOMES.get(probe.kind, Outcome.OK)
    facts = _FACTS.get(probe.kind)
    return Observation(probe, outcome, 0.01, "", facts, outcome is not Outcome.NO_ACCESS)
