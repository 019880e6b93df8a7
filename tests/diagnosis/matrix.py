"""Port matrices for the tests of diagnosis: a healthy one, and what differs in each case."""

from collections.abc import Iterable
from dataclasses import replace

from exporter.catalogue import PORTS, ports_of
from exporter.config import Config
from exporter.diagnosis import diagnose
from exporter.model import (
    AgentFacts,
    AgentMetrics,
    Certificate,
    EnvoyStats,
    ListeningSocket,
    Memory,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    ReadinessFacts,
    Role,
    Settings,
    SocketTable,
    Target,
    TargetKey,
    TargetRecord,
    TlsFacts,
    View,
    WebhookPath,
)

NOW = 1_700_000_000.0
CONTROL = 15999
SPIFFE = "spiffe://cluster.local/ns/default/sa/app"
CERTIFICATE = Certificate(not_before=NOW - 3600, not_after=NOW + 82_800, uris=(SPIFFE,))
AGENT = AgentMetrics(xds_requests=8, xds_responses=4)
STATS = EnvoyStats(
    complete=True,
    live=True,
    state=0,
    workers_started=True,
    listeners_active=8,
    listeners_warming=0,
    cds_success=1,
    cds_rejected=0,
    cds_failure=0,
    lds_success=1,
    lds_rejected=0,
    lds_failure=0,
    xds_connections=1,
)

_UNCONNECTED = {Outcome.REFUSED, Outcome.REJECTED, Outcome.UNREACHABLE, Outcome.NO_ACCESS}

_OUTSIDE = {row.number: ProbeKind(row.probe) for row in reversed(PORTS) if row.probe}
_OUTSIDE |= {CONTROL: ProbeKind.CONTROL, 15006: ProbeKind.BLACKHOLE}
_INSIDE = {row.number: ProbeKind(row.pod_probe) for row in reversed(PORTS) if row.pod_probe}


def target_of(role: Role = Role.SIDECAR, **fields: object) -> Target:
    known = {
        "key": TargetKey("default", "app"),
        "role": role,
        "addresses": ("10.0.0.7",),
        "captured": role is Role.SIDECAR,
        "istio_version": "1.28.0",
        **fields,
    }
    return Target(**known)


SIDECAR = target_of()
GATEWAY = target_of(Role.GATEWAY, settings=Settings(server_ports=(8443,)))


def net(
    port: int,
    outcome: Outcome,
    *,
    facts: object = None,
    connected: bool | None = None,
    address: str = "10.0.0.7",
    kind: ProbeKind | None = None,
    captured: bool = False,
    detail: str = "",
) -> Observation:
    """What the network showed; a connection was made unless nothing at all came back."""
    if connected is None:
        connected = outcome not in _UNCONNECTED
    kind = kind or _OUTSIDE.get(port, ProbeKind.TCP)
    via = CONTROL if kind is ProbeKind.HELLO else 0
    probe = Probe(port, kind, View.NETWORK, address, captured=captured, via=via)
    return Observation(probe, outcome, 0.01, detail, facts, connected)


def dropped(port: int, **more: object) -> Observation:
    """A connect that nothing answered."""
    return net(port, Outcome.TIMEOUT, connected=False, **more)


def rejected(port: int, **more: object) -> Observation:
    """A connect that another host rejected."""
    detail = "rejected by 10.0.0.1: ICMP port unreachable"
    return net(port, Outcome.REJECTED, detail=detail, **more)


def hello(
    outcome: Outcome, certificate: Certificate | None = CERTIFICATE, **more: object
) -> Observation:
    certificate = certificate if outcome is Outcome.OK else None
    facts = TlsFacts(certificate=certificate)
    return net(15006, outcome, facts=facts, kind=ProbeKind.HELLO, **more)


def inside(
    port: int,
    outcome: Outcome,
    facts: object = None,
    *,
    connected: bool | None = True,
    detail: str = "",
) -> Observation:
    """What the pod's own view showed."""
    probe = Probe(port, _INSIDE.get(port, ProbeKind.TCP), View.POD)
    return Observation(probe, outcome, 0.01, detail, facts, connected)


def sockets(*rows: ListeningSocket, **parts: object) -> Observation:
    """The pod's socket table."""
    probe = Probe(0, ProbeKind.SOCKETS, View.POD)
    return Observation(probe, Outcome.OK, facts=SocketTable(listening=rows, **parts))


def page(status: int = 200, metrics: AgentMetrics | None = AGENT, **facts: object) -> AgentFacts:
    ended = Outcome.OK if metrics else None
    return AgentFacts(**{"status": status, "page": ended, "metrics": metrics, **facts})


def sidecar(*changes: Observation, without: Iterable[int] = ()) -> list[Observation]:
    """A healthy captured sidecar, all cadences due, with some observations replaced."""
    seen = {
        (View.NETWORK, CONTROL): net(CONTROL, Outcome.OK),
        (View.NETWORK, 15000): net(15000, Outcome.RESET),
        (View.NETWORK, 15006): hello(Outcome.OK),
        (View.NETWORK, 15020): net(15020, Outcome.OK, facts=page()),
        (View.NETWORK, 15021): net(15021, Outcome.OK, facts=ReadinessFacts(status=200)),
        (View.NETWORK, 15090): net(15090, Outcome.OK, facts=STATS),
    }
    extra = []
    for change in changes:
        key = (change.view, change.port)
        if key in seen and seen[key].address == change.address:
            seen[key] = change
        else:
            extra.append(change)
    return [one for (_, port), one in seen.items() if port not in without] + extra


def all_of(outcome: Outcome, ports: Iterable[int], **more: object) -> list[Observation]:
    return [net(port, outcome, **more) for port in ports]


def seen_by(
    observations: Iterable[Observation],
    *,
    target: Target = SIDECAR,
    memory: Memory | None = None,
    config: Config | None = None,
    now: float = NOW,
    in_mesh: bool = False,
    webhook: WebhookPath | None = None,
) -> tuple[TargetRecord, Memory]:
    config = config or Config()
    return diagnose(
        target,
        ports_of(target),
        list(observations),
        memory or Memory(),
        config,
        now,
        in_mesh=in_mesh,
        webhook=webhook,
    )


def cause_of(record: TargetRecord) -> str:
    return record.diagnosis.cause if record.diagnosis else "none"


def ups(record: TargetRecord) -> dict[int, bool | None]:
    return {verdict.port: verdict.up for verdict in record.verdicts}


def application_probes() -> Config:
    config = Config()
    return replace(config, poll=replace(config.poll, application_probes=True))
