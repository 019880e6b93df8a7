"""One example per cause, as data: what was seen, of whom, and the cause that it must give."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from msgspec import structs

from exporter.config import Config
from exporter.model import (
    AdminFacts,
    AgentMetrics,
    BoundListener,
    Certificate,
    CniFacts,
    IstiodFacts,
    Lifecycle,
    ListeningSocket,
    LocalPortUse,
    Observation,
    Outcome,
    OutgoingConnection,
    ProbeKind,
    ReadinessFacts,
    Redirection,
    Role,
    Settings,
    Target,
    TlsFacts,
    ZtunnelFacts,
)
from tests.diagnosis.ambient_states import STATES as AMBIENT
from tests.diagnosis.lifecycle_states import AUTO_GATEWAY, LONG_DONE
from tests.diagnosis.matrix import (
    AGENT,
    CONTROL,
    GATEWAY,
    NOW,
    SIDECAR,
    STATS,
    all_of,
    application_probes,
    dropped,
    hello,
    inside,
    net,
    page,
    rejected,
    sidecar,
    sockets,
    target_of,
)
from tests.diagnosis.pod_states import (
    HEALTHY,
    INIT,
    MIGRATE,
    OOM,
    classic,
    job,
    running,
    set_up,
    target_in,
    waiting,
)
from tests.diagnosis.pod_states import REFUSED as REFUSED_ALL
from tests.diagnosis.restart_states import again

REFUSED, TIMEOUT, OK = Outcome.REFUSED, Outcome.TIMEOUT, Outcome.OK
NOT_READY, WRONG, TLS = Outcome.NOT_READY, Outcome.WRONG_IDENTITY, Outcome.TLS_ERROR


DEFAULTS = Config()


@dataclass(frozen=True)
class Example:
    """`earlier` are the observations of the polls before, two minutes apart."""

    id: str
    cause: str
    seen: list[Observation]
    target: Target = SIDECAR
    earlier: list[list[Observation]] = field(default_factory=list)
    config: Config = DEFAULTS
    in_mesh: bool = False


def _alive(**fields: object) -> Target:
    return replace(SIDECAR, lifecycle=Lifecycle(**fields))


READY = {"container_ready": True, "node_ready": True}
NOT_YET = {"container_ready": False, "node_ready": True}
DOWN = {"container_ready": False, "started": None, "node_ready": True}
HELD = _alive(**NOT_YET, started=NOW - 900, probed_port=15021)
LOST = {"node_ready": False}
DARK = [dropped(port) for port in (CONTROL, 15020, 15021, 15090)]
REJECTED = [rejected(port) for port in (CONTROL, 15000, 15020, 15021, 15090)]
GONE = all_of(REFUSED, (CONTROL, 15006, 15020, 15021, 15090))
SLOW_STATS = sidecar(structs.replace(net(15090, OK, facts=STATS), seconds=1.4))
NO_STATS = sidecar(net(15090, TIMEOUT))
ISTIOD = target_of(Role.ISTIOD)
ISTIOD_PORTS = (8080, 15010, 15012, 15014, 15017)
ZTUNNEL = target_of(Role.ZTUNNEL)
CNI = target_of(Role.CNI)
PROXYLESS = target_of(Role.PROXYLESS)
BARE_GATEWAY = target_of(Role.GATEWAY)
SECURE_METRICS = Settings(secure_stats_port=15091, secure_merged_port=15092)
SECURE_GATEWAY = target_of(Role.GATEWAY, settings=SECURE_METRICS)
IN_AMBIENT = replace(GATEWAY, settings=replace(GATEWAY.settings, ambient=True))
CLOSED = all_of(Outcome.CLOSED, (15020, 15021, 15090))
DUAL = replace(SIDECAR, addresses=("10.0.0.7", "fd00::7"))


def _enrolled(lifecycle: Mapping[str, object], proxy: Target = GATEWAY) -> Target:
    """A gateway or waypoint that ztunnel serves."""
    return replace(
        proxy,
        settings=replace(proxy.settings, ambient=True),
        redirection=Redirection.ENABLED,
        lifecycle=Lifecycle(**lifecycle),
    )


def istiod(*changes: Observation) -> list[Observation]:
    seen = {port: net(port, OK) for port in ISTIOD_PORTS}
    return list({**seen, **{change.port: change for change in changes}}.values())


def ztunnel(pending: float = 0, ended: float = 0, reconnects: float = 0) -> list[Observation]:
    """A ztunnel that is ready, with what its page counts."""
    facts = ZtunnelFacts(
        page=OK,
        active=8,
        pending=pending,
        terminations={"ConnectionError": ended, "Reconnect": reconnects},
    )
    return [net(15020, OK, facts=facts), net(15021, OK)]


def cni(ztunnels: float | None) -> list[Observation]:
    """A CNI agent that is ready, with how many ztunnels its page counts; None for no such line."""
    facts = None if ztunnels is None else CniFacts(ztunnels=ztunnels)
    return [net(8000, OK), net(15014, OK, facts=facts)]


def debug(status: int | None, outcome: Outcome = Outcome.FORBIDDEN) -> Observation:
    """15014 answers, and its debug interface so."""
    facts = IstiodFacts(version="1.30.0", syncz_status=status, syncz_outcome=outcome)
    return net(15014, OK, facts=facts)


def unconfigured(metrics: AgentMetrics | None, *more: Observation) -> list[Observation]:
    return sidecar(
        net(CONTROL, REFUSED),
        net(15006, REFUSED),
        net(15020, NOT_READY, facts=page(503, metrics)),
        net(15021, REFUSED),
        net(15090, REFUSED),
        *more,
    )


def counted(**counters: object) -> list[Observation]:
    return sidecar(net(15090, OK, facts=structs.replace(STATS, **counters)))


def used(client: str, server: str, port: int = 8080, count: int = 28_000) -> Observation:
    """Local ports in use between two addresses, of the 28,232 that the kernel has as it comes."""
    use = LocalPortUse(client=client, server=server, port=port, used=count, size=28_232)
    return sockets(local_ports=(use,))


def gateway(port: int = 0, outcome: Outcome = Outcome.OK, **counters: object) -> list[Observation]:
    """A gateway that is ready, with the listeners of its bootstrap alone, and one server port."""
    stats = structs.replace(STATS, **{"listeners_active": 2, **counters})
    ready = [net(15020, OK, facts=page()), net(15021, OK), net(15090, OK, facts=stats)]
    return [*ready, net(port, outcome)] if port else ready


def agent_counted(**counters: object) -> list[Observation]:
    return sidecar(net(15020, OK, facts=page(metrics=structs.replace(AGENT, **counters))))


ENDED = Certificate(not_before=NOW - 90_000, not_after=NOW - 60)
NOT_READY_503 = (net(15020, NOT_READY, facts=page(503)), net(15021, NOT_READY))
CUT_OFF = sidecar(net(15021, NOT_READY, facts=ReadinessFacts(status=503)))
NO_AGENT = [one for one in CUT_OFF if one.port != 15020]
UNREADY = sidecar(*NOT_READY_503)
UNREADY_GATEWAY = [*NOT_READY_503, net(15090, OK, facts=STATS), net(8443, OK)]
UNREADY_WITHOUT_STATS = sidecar(*NOT_READY_503, without=(15090,))
UNREADY_DRAINING = sidecar(
    *NOT_READY_503, net(15090, OK, facts=structs.replace(STATS, state=1, live=False))
)
EARLY = Certificate(not_before=NOW + 3600, not_after=NOW + 90_000)
FRESH = Certificate(not_before=NOW + 1, not_after=NOW + 86_400)
TAKEN = structs.replace(STATS, lds_success=0, lds_rejected=1, listener_create_failures=1)
ADMIN = AdminFacts(
    state="LIVE", listeners=(BoundListener(name="virtualInbound", address="0.0.0.0", port=15006),)
)
PYTHON = ListeningSocket(port=15001, address="0.0.0.0", process="python")

EXAMPLES = (
    Example("healthy", "none", sidecar()),
    Example("in-mesh", "unknown", sidecar(), in_mesh=True),
    Example("no-sockets", "unknown", all_of(Outcome.NO_ACCESS, (15020, 15021, 15090))),
    Example("deleted", "draining", GONE, _alive(terminating=True)),
    Example(
        "deleted-long-ago", "deletion_stuck", GONE, _alive(terminating=True, delete_by=NOW - 61)
    ),
    *(
        Example(cause, cause, seen, target_in(document))
        for cause, seen, document in (
            ("job_held_by_sidecar", HEALTHY, job(LONG_DONE, running())),
            ("proxy_missing", REFUSED_ALL, AUTO_GATEWAY),
            ("redirection_setup_failing", REFUSED_ALL, classic(INIT, waiting("ErrImagePull"))),
            ("init_container_failing", REFUSED_ALL, set_up(MIGRATE, running(3700))),
            ("init_container_running", REFUSED_ALL, set_up(MIGRATE, running(90))),
            ("crash_looping", HEALTHY, again(OOM)),
        )
    ),
    Example("young", "starting", GONE, _alive(started=NOW - 10, container_ready=False)),
    Example("old", "proxy_not_running", GONE, _alive(started=NOW - 100, container_ready=False)),
    Example("ready-and-gone", "proxy_not_running", GONE, _alive(started=NOW - 10, **READY)),
    Example("others-are-prepared", "starting", GONE, _alive(created=NOW - 10, **DOWN)),
    Example("prepared-too-long", "proxy_not_running", GONE, _alive(created=NOW - 100, **DOWN)),
    Example(
        "crash-loop-of-a-young-pod",
        "proxy_not_running",
        GONE,
        _alive(created=NOW - 10, restarts=3, trouble="CrashLoopBackOff", **DOWN),
    ),
    Example("started-again", "starting", GONE, _alive(started=NOW - 5, restarts=1, **NOT_YET)),
    Example("dark-and-starting", "starting", DARK, _alive(started=NOW - 5, **NOT_YET)),
    Example("workers-not-started", "starting", counted(workers_started=False)),
    Example("node-not-ready", "node_unreachable", DARK, _alive(node_ready=False)),
    Example("node-gone-with-a-ready-pod", "node_unreachable", DARK, _alive(**{**READY, **LOST})),
    Example("node-gone-with-a-dead-pod", "node_unreachable", DARK, _alive(**{**DOWN, **LOST})),
    Example("node-not-ready-yet-it-answers", "none", sidecar(), _alive(**{**READY, **LOST})),
    Example("deleted-on-a-gone-node", "node_unreachable", DARK, _alive(terminating=True, **LOST)),
    Example(
        "genuine-ports-dropped",
        "network_blocked",
        sidecar(dropped(15020), dropped(15021), dropped(15090)),
    ),
    Example(
        "genuine-ports-refused",
        "network_blocked",
        sidecar(*all_of(REFUSED, (15020, 15021, 15090))),
    ),
    Example("genuine-ports-rejected", "network_blocked", sidecar(*REJECTED[2:])),
    Example("everything-rejected", "network_blocked", REJECTED),
    Example("one-rejection-received", "network_blocked", [*DARK[:3], rejected(15090)]),
    Example("control-port-rejected", "none", sidecar(rejected(CONTROL), without=(15006,))),
    Example("istiod-rejected", "network_blocked", [*map(rejected, ISTIOD_PORTS)], ISTIOD),
    Example("webhook-rejected", "network_blocked", istiod(rejected(15017)), ISTIOD),
    Example("ztunnel-rejected", "network_blocked", [rejected(15020), rejected(15021)], ZTUNNEL),
    Example("cni-rejected", "network_blocked", [rejected(8000), rejected(15014)], CNI),
    Example(
        "dark-but-ready",
        "network_blocked",
        DARK,
        _alive(container_ready=True, node_ready=True),
    ),
    Example(
        "pod-answers",
        "network_blocked",
        [*DARK, inside(15020, OK), inside(15021, OK), inside(15090, OK)],
    ),
    Example("stats-port-dropped", "network_blocked", sidecar(dropped(15090))),
    Example("dark", "unreachable", DARK),
    Example("dark-and-not-ready", "unreachable", DARK, _alive(started=NOW - 900, **NOT_YET)),
    Example("dark-and-down", "proxy_not_running", DARK, _alive(restarts=9, **DOWN)),
    Example(
        "dark-and-down-ztunnel",
        "proxy_not_running",
        [dropped(15020), dropped(15021)],
        replace(ZTUNNEL, lifecycle=Lifecycle(**DOWN)),
    ),
    Example(
        "dark-and-down-istiod",
        "istiod_not_ready",
        [dropped(port) for port in ISTIOD_PORTS],
        replace(ISTIOD, lifecycle=Lifecycle(**DOWN)),
    ),
    Example("impostor-15020", "port_taken", sidecar(net(15020, WRONG))),
    Example("impostor-15021", "port_taken", [*GONE[:3], net(15021, WRONG), net(15090, REFUSED)]),
    Example("impostor-15006", "port_taken", sidecar(hello(Outcome.WRONG_PROTOCOL))),
    Example("listener-not-created", "configuration_rejected", sidecar(net(15090, OK, facts=TAKEN))),
    Example(
        "listener-not-listed",
        "configuration_rejected",
        sidecar(net(15090, OK, facts=TAKEN), inside(15000, OK, ADMIN)),
    ),
    Example("socket-of-another", "port_taken", sidecar(sockets(PYTHON), inside(15001, OK))),
    Example(
        "local-port-of-another",
        "port_taken",
        [*GONE, sockets(outgoing=(OutgoingConnection(port=15020, process="java"),))],
    ),
    Example(
        "local-port-of-an-unknown-process",
        "port_taken",
        sidecar(
            net(15090, REFUSED), sockets(outgoing=(OutgoingConnection(port=15090, process=""),))
        ),
    ),
    Example(
        "connection-that-envoy-accepted-before",
        "proxy_not_running",
        [*GONE, sockets(outgoing=(OutgoingConnection(port=15090, process="envoy"),))],
    ),
    Example(
        "local-port-of-another-while-the-proxy-serves",
        "none",
        sidecar(sockets(outgoing=(OutgoingConnection(port=15020, process="java"),))),
    ),
    Example(
        "no-listeners-over-ipv6",
        "address_family_mismatch",
        sidecar(
            net(CONTROL, REFUSED, address="fd00::7"),
            net(15006, REFUSED, address="fd00::7"),
            *(net(port, OK, address="fd00::7") for port in (15020, 15021, 15090)),
        ),
        DUAL,
    ),
    Example(
        "status-not-over-ipv6",
        "address_family_mismatch",
        sidecar(net(CONTROL, OK, address="fd00::7"), net(15020, REFUSED, address="fd00::7")),
        DUAL,
    ),
    Example("all-refused", "proxy_not_running", GONE),
    Example(
        "envoy-gone-agent-returns-200",
        "proxy_not_running",
        [*GONE[:2], net(15020, OK), net(15021, REFUSED), net(15090, REFUSED)],
    ),
    Example("proxyless-gone", "proxy_not_running", [net(15020, REFUSED)], PROXYLESS),
    Example(
        "envoy-stopped",
        "envoy_stuck",
        sidecar(net(15021, TIMEOUT), net(15090, TIMEOUT), hello(TIMEOUT)),
    ),
    Example(
        "both-stopped",
        "container_starved",
        sidecar(*all_of(TIMEOUT, (15020, 15021, 15090)), hello(TIMEOUT)),
    ),
    Example(
        "every-connection-reset",
        "connections_ended",
        sidecar(*all_of(Outcome.RESET, (15020, 15021, 15090)), hello(Outcome.RESET)),
    ),
    *(
        Example(
            f"every-connection-of-envoy-{ending}",
            "connections_ended",
            sidecar(*all_of(ending, (15021, 15090)), hello(ending)),
        )
        for ending in (Outcome.RESET, Outcome.CLOSED)
    ),
    Example(
        "every-connection-of-a-gateway's-envoy",
        "connections_ended",
        [*all_of(Outcome.RESET, (15021, 15090)), net(15020, OK, facts=page())],
        GATEWAY,
    ),
    Example(
        "every-connection-of-envoy-but-the-hello",
        "none",
        sidecar(*all_of(Outcome.RESET, (15021, 15090))),
    ),
    Example(
        "every-connection-closed",
        "connections_ended",
        [net(15020, Outcome.CLOSED)],
        PROXYLESS,
    ),
    Example("agent-stopped", "agent_stuck", sidecar(net(15020, TIMEOUT), net(15021, TIMEOUT))),
    Example("agent-gone", "agent_gone", sidecar(net(15020, REFUSED), net(15021, NOT_READY))),
    Example("rejected-at-start", "configuration_rejected", counted(lds_success=0, lds_rejected=1)),
    Example(
        "rejected-while-running",
        "configuration_rejected",
        counted(lds_rejected=1),
        earlier=[sidecar()],
    ),
    Example(
        "rejected-by-admin",
        "configuration_rejected",
        sidecar(inside(15000, OK, AdminFacts(state="LIVE", rejected={"virtualInbound": "bad"}))),
    ),
    Example(
        "no-token",
        "identity_not_issued",
        unconfigured(AgentMetrics(csr_failures=3)),
    ),
    Example(
        "authority-does-not-answer",
        "identity_not_issued",
        unconfigured(AgentMetrics(csr_failures=31, csr_retries=155, xds_responses=6)),
    ),
    Example(
        "authority-not-answered-yet",
        "identity_not_issued",
        unconfigured(AgentMetrics(csr_retries=4, xds_responses=6)),
    ),
    Example(
        "secret-missing", "configuration_incomplete", unconfigured(AgentMetrics(xds_responses=4))
    ),
    Example(
        "secret-missing-after-a-late-certificate",
        "configuration_incomplete",
        unconfigured(
            AgentMetrics(
                csr_failures=2,
                csr_retries=9,
                xds_responses=6,
                certificate_seconds={"default": 80_000.0},
            )
        ),
    ),
    Example(
        "initialising-inside",
        "configuration_incomplete",
        unconfigured(AgentMetrics(), inside(15000, NOT_READY, AdminFacts(state="INITIALIZING"))),
    ),
    Example(
        "istiod-down",
        "istiod_unreachable",
        unconfigured(AgentMetrics(csr_failures=3, csr_retries=12)),
    ),
    Example("istiod-unresolvable", "istiod_unreachable", unconfigured(AgentMetrics())),
    Example("page-not-requested-yet", "none", unconfigured(None)),
    Example(
        "wire-ended",
        "certificate_expired",
        sidecar(hello(OK, certificate=ENDED)),
    ),
    Example(
        "agent-reports-ended",
        "certificate_expired",
        agent_counted(certificate_seconds={"default": -5.0}),
    ),
    Example(
        "wire-begins-later",
        "certificate_not_yet_valid",
        sidecar(hello(OK, certificate=EARLY)),
    ),
    Example(
        "admin-shows-it-begins-later",
        "certificate_not_yet_valid",
        sidecar(inside(15000, OK, AdminFacts(state="LIVE", workload_certificate=EARLY))),
    ),
    Example(
        "istiod-presents-one-that-begins-later",
        "certificate_not_yet_valid",
        istiod(net(15012, OK, facts=TlsFacts(certificate=EARLY))),
        ISTIOD,
    ),
    Example("clocks-a-second-apart", "none", sidecar(hello(OK, certificate=FRESH))),
    Example("not-captured", "redirection_missing", sidecar(net(CONTROL, REFUSED), net(15006, OK))),
    Example(
        "admin-answers",
        "admin_exposed",
        sidecar(net(15000, OK)),
    ),
    Example(
        "admin-on-wildcard",
        "admin_exposed",
        sidecar(sockets(ListeningSocket(port=15000, address="0.0.0.0", process="envoy"))),
    ),
    Example(
        "inbound-ports-used-up", "local_ports_exhausted", sidecar(used("127.0.0.6", "10.0.0.7"))
    ),
    Example(
        "inbound-ports-used-up-over-ipv6",
        "local_ports_exhausted",
        sidecar(used("::6", "fd00::7")),
    ),
    Example(
        "outbound-ports-used-up",
        "local_ports_exhausted",
        sidecar(used("10.0.0.7", "127.0.0.1", 15001)),
    ),
    Example(
        "outbound-ports-used-up-towards-a-moved-listener",
        "local_ports_exhausted",
        sidecar(used("10.0.0.7", "127.0.0.1", 16001)),
        replace(SIDECAR, settings=Settings(outbound_port=16001)),
    ),
    Example(
        "outbound-ports-half-used",
        "none",
        sidecar(used("10.0.0.7", "127.0.0.1", 15001, count=14_200)),
    ),
    Example("ports-used-up-towards-a-database", "none", sidecar(used("10.0.0.7", "10.0.0.8"))),
    Example("no-xds-connection", "xds_disconnected", counted(xds_connections=0)),
    Example("failures-jump", "xds_disconnected", counted(lds_failure=2), earlier=[sidecar()]),
    Example("one-reconnect", "none", counted(lds_failure=1, cds_failure=1), earlier=[sidecar()]),
    Example(
        "failures-twice",
        "xds_disconnected",
        counted(lds_failure=2),
        earlier=[sidecar(), counted(lds_failure=1)],
    ),
    Example(
        "failures-high-but-still",
        "none",
        counted(lds_failure=9),
        earlier=[counted(lds_failure=9)],
    ),
    Example(
        "warming-twice",
        "listener_warming",
        counted(listeners_warming=1),
        earlier=[counted(listeners_warming=1)],
    ),
    Example("warming-once", "none", counted(listeners_warming=1)),
    Example("gateway-of-nobody", "gateway_without_servers", gateway(8443, REFUSED), GATEWAY),
    Example("gateway-whose-port-is-not-known", "gateway_without_servers", gateway(), BARE_GATEWAY),
    Example(
        "gateway-with-secure-metrics-alone",
        "gateway_without_servers",
        gateway(listeners_active=4),
        SECURE_GATEWAY,
    ),
    Example(
        "gateway-with-secure-metrics-and-a-server",
        "none",
        gateway(listeners_active=5),
        SECURE_GATEWAY,
    ),
    Example(
        "gateway-whose-only-listener-warms",
        "listener_warming",
        gateway(8443, REFUSED, listeners_warming=1),
        GATEWAY,
    ),
    Example(
        "gateway-that-serves",
        "none",
        gateway(8443, OK, listeners_active=3),
        GATEWAY,
    ),
    Example(
        "gateway-of-which-istiod-has-sent-nothing",
        "none",
        gateway(lds_success=0),
        BARE_GATEWAY,
    ),
    Example("sidecar-with-few-listeners", "none", counted(listeners_active=2)),
    Example(
        "gateway-server-port",
        "listener_warming",
        [
            net(15020, OK, facts=page()),
            net(15021, OK),
            net(15090, OK, facts=STATS),
            net(8443, REFUSED),
        ],
        GATEWAY,
    ),
    Example(
        "gateway-server-port-of-another",
        "port_taken",
        [
            net(15020, OK, facts=page()),
            net(15021, OK),
            net(15090, OK, facts=STATS),
            net(8443, OK),
            sockets(ListeningSocket(port=8443, address="0.0.0.0", process="nginx")),
        ],
        GATEWAY,
    ),
    Example("stats-slow", "admin_slow", SLOW_STATS, earlier=[SLOW_STATS]),
    Example("stats-slow-once", "none", SLOW_STATS, earlier=[sidecar()]),
    Example("stats-slow-now-and-then", "none", SLOW_STATS, earlier=[SLOW_STATS, sidecar()]),
    Example("stats-slow-and-the-agent-hangs", "admin_slow", [*SLOW_STATS, net(15020, TIMEOUT)]),
    Example("stats-hang", "admin_slow", NO_STATS, earlier=[SLOW_STATS]),
    Example("stats-hang-once", "none", NO_STATS, earlier=[sidecar()]),
    Example("kubelet-cut-off", "kubelet_cut_off", sidecar(), HELD, earlier=[sidecar(), sidecar()]),
    Example("kubelet-late", "none", sidecar(), HELD, earlier=[sidecar()]),
    Example("unready-twice-while-envoy-serves", "agent_stats_slow", UNREADY, earlier=[UNREADY]),
    Example("unready-once", "none", UNREADY, earlier=[sidecar()]),
    Example("cut-off-twice", "agent_stats_slow", CUT_OFF, earlier=[CUT_OFF]),
    Example("cut-off-once", "none", CUT_OFF, earlier=[sidecar()]),
    Example("cut-off-from-an-agent-that-is-off", "none", NO_AGENT, earlier=[NO_AGENT, NO_AGENT]),
    Example("unready-before-envoy-served", "none", UNREADY, earlier=[unconfigured(AGENT)]),
    Example("unready-and-ready-again", "none", sidecar(), earlier=[UNREADY, UNREADY]),
    Example(
        "unready-gateway",
        "agent_stats_slow",
        UNREADY_GATEWAY,
        GATEWAY,
        earlier=[UNREADY_GATEWAY],
    ),
    Example(
        "unready-without-statistics",
        "agent_stats_slow",
        UNREADY_WITHOUT_STATS,
        earlier=[UNREADY_WITHOUT_STATS],
    ),
    Example("unready-and-draining", "none", UNREADY_DRAINING, earlier=[UNREADY_DRAINING]),
    Example(
        "unready-and-deleted",
        "draining",
        UNREADY,
        _alive(terminating=True),
        earlier=[UNREADY],
    ),
    Example("stats-large", "stats_too_large", sidecar(net(15090, Outcome.TOO_LARGE))),
    Example(
        "dns-failures-twice",
        "dns_proxy_failing",
        agent_counted(dns_upstream_failures=5),
        earlier=[sidecar(), agent_counted(dns_upstream_failures=2)],
    ),
    *(
        Example(
            f"dns-{failed}-of-a-hundred-fail",
            cause,
            agent_counted(dns_upstream_requests=300, dns_upstream_failures=2 * failed),
            earlier=[
                agent_counted(dns_upstream_requests=100),
                agent_counted(dns_upstream_requests=200, dns_upstream_failures=failed),
            ],
        )
        for failed, cause in {1: "none", 9: "none", 10: "dns_proxy_failing"}.items()
    ),
    Example(
        "dns-restarted",
        "none",
        agent_counted(dns_upstream_requests=9, dns_upstream_failures=9),
        earlier=[agent_counted(dns_upstream_requests=100, dns_upstream_failures=10)] * 2,
    ),
    Example(
        "dns-refused-inside",
        "dns_proxy_failing",
        sidecar(inside(15053, REFUSED)),
        replace(SIDECAR, settings=Settings(dns_capture=True)),
    ),
    Example(
        "application-scrapes-fail",
        "application_metrics_broken",
        agent_counted(scrape_failures={"application": 3.0}),
        earlier=[agent_counted(scrape_failures={"application": 1.0})],
    ),
    Example(
        "application-down",
        "application_unhealthy",
        sidecar(net(15020, OK, facts=page(app_health={"/app-health/app/readyz": 500}))),
        config=application_probes(),
    ),
    Example(
        "page-forbidden",
        "access_restricted",
        sidecar(net(15020, OK, facts=page(metrics=None, page=Outcome.FORBIDDEN))),
    ),
    Example(
        "page-forbidden-as-set",
        "none",
        sidecar(net(15020, OK, facts=page(metrics=None, page=Outcome.FORBIDDEN)), without=(15090,)),
        replace(SIDECAR, settings=Settings(metrics_localhost_only=True)),
    ),
    Example("istiod-healthy", "none", istiod(), ISTIOD),
    Example("istiod-stopped", "istiod_replica_stuck", all_of(TIMEOUT, ISTIOD_PORTS), ISTIOD),
    Example("istiod-dark", "unreachable", [dropped(port) for port in ISTIOD_PORTS], ISTIOD),
    *(
        Example(
            f"waypoint-15008-{outcome}",
            cause,
            [*sidecar(without=(CONTROL, 15000, 15006)), net(15008, outcome, kind=ProbeKind.TLS)],
            target_of(Role.WAYPOINT),
        )
        for outcome, cause in (
            (REFUSED, "listener_warming"),
            (Outcome.RESET, "listener_warming"),
            (Outcome.CLOSED, "listener_warming"),
            (Outcome.WRONG_PROTOCOL, "port_taken"),
            (OK, "none"),
        )
    ),
    Example("istiod-503", "istiod_not_ready", istiod(net(8080, NOT_READY)), ISTIOD),
    Example("istiod-refuses", "istiod_not_ready", all_of(REFUSED, ISTIOD_PORTS), ISTIOD),
    Example("istiod-of-another-mesh", "istiod_not_ready", istiod(net(15012, TLS)), ISTIOD),
    Example("istiod-xds-closed", "istiod_not_ready", istiod(net(15012, Outcome.CLOSED)), ISTIOD),
    Example("istiod-no-plaintext", "istiod_port_down", istiod(net(15010, REFUSED)), ISTIOD),
    Example("istiod-no-metrics", "istiod_port_down", istiod(net(15014, REFUSED)), ISTIOD),
    Example(
        "istiod-foreign-metrics",
        "istiod_port_down",
        istiod(net(15014, Outcome.WRONG_IDENTITY)),
        ISTIOD,
    ),
    Example("istiod-controlz", "istiod_port_down", [*istiod(), inside(9876, REFUSED)], ISTIOD),
    Example("webhook-of-another-mesh", "webhook_not_serving", istiod(net(15017, TLS)), ISTIOD),
    Example("debug-401", "access_restricted", istiod(debug(401)), ISTIOD),
    Example("debug-403", "access_restricted", istiod(debug(403)), ISTIOD),
    Example("debug-404", "access_restricted", istiod(debug(404, Outcome.HTTP_ERROR)), ISTIOD),
    Example("debug-500", "none", istiod(debug(500, Outcome.HTTP_ERROR)), ISTIOD),
    Example("debug-open", "none", istiod(debug(200, OK)), ISTIOD),
    Example("token-kept-back", "access_restricted", istiod(debug(None, TLS)), ISTIOD),
    Example("webhook-503", "webhook_not_serving", istiod(net(15017, NOT_READY)), ISTIOD),
    Example("webhook-dropped", "webhook_unreachable", istiod(dropped(15017)), ISTIOD),
    Example(
        "ztunnel-pending",
        "ztunnel_not_ready",
        [
            net(15020, OK),
            net(
                15021,
                NOT_READY,
                facts=ReadinessFacts(status=500, pending=("workload proxy manager",)),
            ),
        ],
        ZTUNNEL,
    ),
    Example("cni-without-ztunnel", "ztunnel_disconnected", cni(0), CNI, [cni(0)]),
    Example("cni-without-ztunnel-once", "none", cni(0), CNI, [cni(1)]),
    Example("cni-with-ztunnel-again", "none", cni(2), CNI, [cni(0), cni(0)]),
    Example("cni-of-sidecars", "none", cni(None), CNI, [cni(None)]),
    Example(
        "ztunnel-pending-workload",
        "ztunnel_workload_pending",
        ztunnel(pending=1),
        ZTUNNEL,
        earlier=[ztunnel(pending=1)],
    ),
    Example("ztunnel-starts-a-workload", "none", ztunnel(pending=1), ZTUNNEL, [ztunnel()]),
    Example("ztunnel-started-it", "none", ztunnel(), ZTUNNEL, [ztunnel(pending=1)] * 2),
    Example(
        "ztunnel-lost-istiod", "xds_disconnected", ztunnel(ended=5), ZTUNNEL, [ztunnel(ended=3)]
    ),
    Example(
        "ztunnel-loses-it-again-and-again",
        "xds_disconnected",
        ztunnel(ended=2),
        ZTUNNEL,
        [ztunnel(), ztunnel(ended=1)],
    ),
    Example("ztunnel-lost-it-once", "none", ztunnel(ended=1), ZTUNNEL, [ztunnel()]),
    Example("ztunnel-reconnects", "none", ztunnel(reconnects=9), ZTUNNEL, [ztunnel()]),
    Example("ztunnel-started-anew", "none", ztunnel(ended=2), ZTUNNEL, [ztunnel(ended=8)]),
    Example(
        "ztunnel-waits-for-istiod",
        "ztunnel_not_ready",
        [ztunnel(ended=9)[0], net(15021, NOT_READY)],
        ZTUNNEL,
        [ztunnel()],
    ),
    Example("ztunnel-stopped", "ztunnel_not_ready", all_of(TIMEOUT, (15020, 15021)), ZTUNNEL),
    Example(
        "agentgateway-503",
        "agentgateway_not_ready",
        [net(15020, OK), net(15021, NOT_READY)],
        target_of(Role.AGENTGATEWAY),
    ),
    Example(
        "agentgateway-waypoint-without-15008",
        "agentgateway_not_ready",
        [net(15020, OK), net(15021, OK), net(15008, REFUSED)],
        target_of(Role.AGENTGATEWAY, settings=Settings(hbone=True)),
    ),
    Example("cni-503", "cni_not_ready", [net(8000, NOT_READY), net(15014, OK)], CNI),
    Example(
        "gateway-pending-in-ambient",
        "enrolment_pending",
        all_of(REFUSED, (8443, 15020, 15021, 15090)),
        replace(GATEWAY, redirection=Redirection.PENDING),
    ),
    Example(
        "gateway-without-its-ztunnel",
        "not_served",
        all_of(REFUSED, (8443, 15020, 15021, 15090)),
        replace(IN_AMBIENT, redirection=Redirection.ENABLED),
    ),
    Example(
        "gateway-in-ambient-whose-container-is-gone",
        "proxy_not_running",
        all_of(REFUSED, (8443, 15020, 15021, 15090)),
        replace(
            IN_AMBIENT,
            redirection=Redirection.ENABLED,
            lifecycle=Lifecycle(container_ready=False, started=None, node_ready=True),
        ),
    ),
    Example("gateway-in-ambient-without-envoy", "proxy_not_running", CLOSED, _enrolled(NOT_YET)),
    Example(
        "gateway-in-ambient-whose-agent-is-left",
        "proxy_not_running",
        [net(15020, OK), *CLOSED[1:]],
        _enrolled({}),
    ),
    Example(
        "gateway-in-ambient-without-agent",
        "agent_gone",
        [net(15020, Outcome.RESET), net(15021, NOT_READY), net(15090, OK)],
        _enrolled({}),
    ),
    Example(
        "waypoint-in-ambient-that-a-policy-closes",
        "network_blocked",
        [net(15008, OK, kind=ProbeKind.TLS), *CLOSED],
        _enrolled({}, target_of(Role.WAYPOINT)),
    ),
    Example("gateway-in-ambient-of-which-nothing-is-known", "none", CLOSED, _enrolled({})),
    *(Example(state.id, state.cause, state.now, state.target, state.earlier) for state in AMBIENT),
)
