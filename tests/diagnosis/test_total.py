"""Whatever is observed, diagnosis gives a record."""

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.catalogue import ports_of
from exporter.config import Config
from exporter.diagnosis import CAUSES, diagnose
from exporter.model import (
    FAST_ONLY,
    AdminFacts,
    AgentFacts,
    AgentMetrics,
    ContainerKind,
    ContainerState,
    EnvoyStats,
    IstiodFacts,
    Lifecycle,
    ListeningSocket,
    Memory,
    Observation,
    Outcome,
    PodContainer,
    Probe,
    ProbeKind,
    ReadinessFacts,
    Role,
    SocketTable,
    Target,
    Termination,
    TlsFacts,
    View,
)
from exporter.poll.hello_due import is_hello_due
from exporter.poll.plan import plan_of
from exporter.poll.poll_inputs import PollInputs
from tests.diagnosis.matrix import CERTIFICATE, CONTROL, NOW, target_of

COUNTS = st.none() | st.integers(0, 9).map(float)
PORTS = st.sampled_from(
    (0, 8000, 8080, 15000, 15001, 15006, 15008, 15012, 15014, 15017, 15020, 15021, 15090, CONTROL)
)
FACTS = st.one_of(
    st.none(),
    st.builds(ReadinessFacts, status=st.sampled_from((200, 500, 503))),
    st.builds(
        AgentFacts,
        status=st.sampled_from((200, 503)),
        page=st.none() | st.sampled_from(Outcome),
        metrics=st.none() | st.just(AgentMetrics(csr_failures=2, xds_responses=1)),
        app_health=st.just({"/app-health/app/readyz": 500}),
    ),
    st.builds(
        EnvoyStats,
        complete=st.booleans(),
        live=st.none() | st.booleans(),
        state=st.none() | st.integers(0, 4),
        lds_success=COUNTS,
        lds_rejected=COUNTS,
        lds_failure=COUNTS,
        xds_connections=COUNTS,
        listeners_warming=COUNTS,
    ),
    st.builds(
        AdminFacts,
        state=st.none() | st.sampled_from(("LIVE", "INITIALIZING")),
        rejected=st.none() | st.just({"virtualInbound": "bad"}),
        workload_certificate=st.none() | st.just(CERTIFICATE),
    ),
    st.builds(TlsFacts, certificate=st.none() | st.just(CERTIFICATE)),
    st.builds(IstiodFacts, connected_proxies=COUNTS, syncz_outcome=st.none()),
    st.just(
        SocketTable(listening=(ListeningSocket(port=15001, address="0.0.0.0", process="python"),))
    ),
)
OBSERVATIONS = st.lists(
    st.builds(
        Observation,
        probe=st.builds(
            Probe,
            port=PORTS,
            kind=st.sampled_from(ProbeKind),
            view=st.sampled_from(View),
            address=st.sampled_from(("10.0.0.7", "fd00::7")),
            captured=st.booleans(),
        ),
        outcome=st.sampled_from(Outcome),
        seconds=st.floats(0, 5),
        facts=FACTS,
        connected=st.none() | st.booleans(),
    ),
    max_size=12,
)
TIMES = st.none() | st.sampled_from((0.0, -1e12, NOW - 5, NOW - 900, NOW - 1e6, 1e12, 1e300))
ENDINGS = st.none() | st.builds(
    Termination,
    reason=st.sampled_from(("", "Error", "Unknown")),
    exit_code=st.sampled_from((0, 137)),
    signal=st.sampled_from((0, 9)),
    started=TIMES,
    finished=TIMES,
)
CONTAINERS = st.builds(
    PodContainer,
    name=st.sampled_from(("istio-proxy", "istio-init", "app")),
    kind=st.sampled_from(ContainerKind),
    state=st.sampled_from(ContainerState),
    reason=st.sampled_from(("", "PodInitializing", "CrashLoopBackOff", "ErrImagePull")),
    started=TIMES,
    ended=ENDINGS,
    last=ENDINGS,
    restarts=st.sampled_from((0, 1, 2)),
    is_done=st.booleans(),
    is_istios=st.booleans(),
    sets_redirection=st.booleans(),
    bypasses_redirection=st.booleans(),
)
TARGETS = st.builds(
    target_of,
    st.sampled_from(Role),
    addresses=st.sampled_from((("10.0.0.7",), ("10.0.0.7", "fd00::7"))),
    lifecycle=st.builds(
        Lifecycle,
        container_ready=st.none() | st.booleans(),
        node_ready=st.none() | st.booleans(),
        terminating=st.none() | st.booleans(),
        started=st.none() | st.just(NOW - 5),
        created=TIMES,
        delete_by=TIMES,
        restarts=st.none() | st.just(3),
        finalizers=st.sampled_from(((), ("a", "b"))),
        proxy=st.sampled_from(("", "istio-proxy")),
        containers=st.lists(CONTAINERS, max_size=4).map(tuple),
        missing_proxy=st.sampled_from(("", "gateway")),
    ),
)


@settings(max_examples=300, deadline=None)
@given(target=TARGETS, polls=st.lists(OBSERVATIONS, min_size=1, max_size=3), in_mesh=st.booleans())
def test_diagnose_is_total(
    *, target: Target, polls: list[list[Observation]], in_mesh: bool
) -> None:
    memory = Memory()
    ports, plan = ports_of(target), plan_of(target, Config())
    for index, seen in enumerate(polls):
        now = NOW + index * 120
        is_hello_due(PollInputs(plan, memory, FAST_ONLY, Config(), now), seen)
        record, memory = diagnose(target, ports, seen, memory, Config(), now, in_mesh=in_mesh)
        assert record.target is target
        assert record.diagnosis is None or record.diagnosis.cause in CAUSES
        for verdict in record.verdicts:
            # A TLS alert to a hello proves nothing of ztunnel: see the verdicts of a workload.
            is_alert = verdict.port == 15008 and verdict.outcome is Outcome.TLS_ERROR
            assert is_alert or (verdict.up is None) == verdict.outcome.is_unjudged
