from dataclasses import replace

import pytest
from msgspec import structs

from exporter.config import AccessConfig, Config
from exporter.model import (
    EVERY_CADENCE,
    FAST_ONLY,
    AdminFacts,
    AgentMetrics,
    BoundListener,
    Cadence,
    ListeningSocket,
    Memory,
    Observation,
    Outcome,
    ProbeKind,
    Role,
    Target,
    TargetRecord,
    Timestamped,
    TlsFacts,
    ZtunnelFacts,
)
from exporter.poll.hello_due import is_hello_due
from exporter.poll.plan import plan_of
from exporter.poll.poll_inputs import PollInputs
from tests.diagnosis.matrix import (
    AGENT,
    CERTIFICATE,
    CONTROL,
    NOW,
    SIDECAR,
    SPIFFE,
    STATS,
    application_probes,
    cause_of,
    dropped,
    hello,
    inside,
    net,
    page,
    seen_by,
    sidecar,
    sockets,
    target_of,
    ups,
)

OK, REFUSED, TIMEOUT = Outcome.OK, Outcome.REFUSED, Outcome.TIMEOUT


def polled(*polls: list[Observation], every: float = 120.0) -> tuple[TargetRecord, Memory]:
    memory = Memory()
    for index, look in enumerate(polls):
        record, memory = seen_by(look, memory=memory, now=NOW + index * every)
    return record, memory


def stats(**counters: object) -> list[Observation]:
    return sidecar(net(15090, OK, facts=structs.replace(STATS, **counters)))


def fast(*changes: Observation) -> list[Observation]:
    """A healthy poll at the fast cadence: no pages, no hello, no exposure."""
    quick = structs.replace(STATS, complete=False, listeners_active=None, xds_connections=None)
    return sidecar(
        net(15020, OK, facts=page(metrics=None)),
        net(15090, OK, facts=quick),
        *changes,
        without=(15006, 15000),
    )


def test_a_reject_stays_until_a_success_follows() -> None:
    rejected = stats(lds_rejected=1)
    record, _ = polled(stats(), rejected, rejected)
    assert (cause_of(record), record.proxy.rejected["lds"]) == ("configuration_rejected", True)
    mended, _ = polled(stats(), rejected, stats(lds_rejected=1, lds_success=2))
    assert (cause_of(mended), mended.proxy.rejected["lds"]) == ("none", False)


def test_rejects_and_successes_at_once_are_not_ordered() -> None:
    record, _ = polled(stats(), stats(lds_rejected=1, lds_success=2))
    assert "lds" not in record.proxy.rejected
    assert "configuration_rejected" in record.undetected


def test_one_poll_of_old_rejects_leaves_the_cause_undetected() -> None:
    record, _ = polled(stats(lds_rejected=3, lds_success=5))
    assert record.diagnosis is None
    assert record.undetected == (
        "configuration_rejected",
        "xds_disconnected",
        "listener_warming",
        "admin_slow",
        "agent_stats_slow",
        "dns_proxy_failing",
        "application_metrics_broken",
    )


def test_a_second_poll_leaves_nothing_undetected() -> None:
    record, _ = polled(sidecar(), sidecar())
    assert record.undetected == ()


def test_a_restart_resets_counters() -> None:
    record, memory = polled(stats(lds_failure=9), stats(lds_failure=3))
    assert record.diagnosis is None
    assert (memory.growth["lds_failure"].step, memory.growth["lds_failure"].streak) == (0, 0)


def test_a_refused_15090_forgets_what_envoy_reported() -> None:
    gone = sidecar(net(CONTROL, REFUSED), net(15006, REFUSED), net(15090, REFUSED))
    _, memory = polled(stats(), stats(lds_rejected=1), gone)
    assert (memory.stats, dict(memory.rejected)) == (None, {})
    assert "lds_rejected" not in memory.growth


UNREAD = [
    Outcome.CLOSED,
    Outcome.RESET,
    TIMEOUT,
    REFUSED,
    Outcome.HTTP_ERROR,
    Outcome.WRONG_PROTOCOL,
]


def unread(outcome: Outcome, ready: Outcome = OK) -> list[Observation]:
    status = 200 if ready is OK else 503
    return sidecar(net(15020, ready, facts=page(status, metrics=None, page=outcome)))


@pytest.mark.parametrize("outcome", UNREAD)
@pytest.mark.parametrize("ready", [OK, Outcome.NOT_READY])
def test_a_status_without_a_proof_of_the_agent_is_unjudged_and_says_so(
    outcome: Outcome, ready: Outcome
) -> None:
    record, _ = polled(unread(outcome, ready), unread(outcome, ready), fast())
    (verdict,) = (one for one in record.verdicts if one.port == 15020)
    assert verdict.up is None
    assert "could not be read" in verdict.detail
    assert "agent" not in record.ready


@pytest.mark.parametrize("outcome", [*UNREAD, Outcome.TOO_LARGE])
def test_what_once_proved_the_agent_stands_while_its_page_cannot_be_read(outcome: Outcome) -> None:
    table = ListeningSocket(port=15020, address="*", process="pilot-agent")
    for first in (sidecar(), [*unread(outcome), sockets(table)]):
        record, _ = polled(first, unread(outcome))
        assert ups(record)[15020] is True


def test_a_page_over_the_limit_leaves_the_status_as_it_is() -> None:
    assert ups(polled(unread(Outcome.TOO_LARGE))[0])[15020] is True


def test_a_refusal_ends_the_proof_of_the_agent() -> None:
    gone = sidecar(net(15020, REFUSED), net(15021, Outcome.NOT_READY))
    record, _ = polled(sidecar(), gone, unread(TIMEOUT))
    assert ups(record)[15020] is None


def test_a_refusal_on_the_way_to_an_agent_that_envoy_reaches_ends_no_proof() -> None:
    record, _ = polled(sidecar(), sidecar(net(15020, REFUSED)), unread(TIMEOUT))
    assert ups(record)[15020] is True


def without_stats_port(admin: AdminFacts, health: Outcome = OK) -> list[Observation]:
    """15090 refuses while admin answers in the pod view."""
    gone = [net(15090, REFUSED), inside(15090, REFUSED, connected=False), net(15021, health)]
    return sidecar(*gone, inside(15000, OK, admin))


@pytest.mark.parametrize("state", ["LIVE", "INITIALIZING"])
@pytest.mark.parametrize("rejected", [None, {}, {"virtualInbound": "bad"}])
@pytest.mark.parametrize(
    "counters", [{}, {"cds_rejected": 2, "cds_success": 0}, {"lds_failure": 7}]
)
@pytest.mark.parametrize("health", [OK, REFUSED])
def test_what_admin_reports_without_15090_stays_from_poll_to_poll(
    state: str, rejected: dict[str, str] | None, counters: dict[str, float], health: Outcome
) -> None:
    facts = AdminFacts(state=state, stats=structs.replace(STATS, **counters), rejected=rejected)
    detail = without_stats_port(facts, health)
    between = without_stats_port(AdminFacts(state=state), health)
    polls = [detail, detail, detail, between, between, detail]
    records = [polled(*polls[: count + 1], every=30)[0] for count in range(1, len(polls))]
    for record in records:
        assert record.proxy == records[0].proxy
        assert cause_of(record) == cause_of(records[0])
    assert records[0].proxy.listeners
    assert records[0].proxy.rejected.get("cds", False) == bool(counters.get("cds_rejected"))


def test_what_admin_reported_ends_with_admin() -> None:
    detail = without_stats_port(AdminFacts(state="LIVE", stats=STATS))
    gone = sidecar(net(15090, REFUSED), inside(15000, REFUSED, connected=False))
    record, memory = polled(detail, gone)
    assert (memory.stats, record.proxy.listeners) == (None, {})


def test_statistics_of_15090_end_with_it_although_a_new_admin_answers() -> None:
    record, memory = polled(stats(), without_stats_port(AdminFacts(state="INITIALIZING")))
    assert (memory.stats, record.proxy.listeners) == (None, {})


def test_one_step_is_a_reconnect_and_two_in_a_row_an_outage() -> None:
    once, _ = polled(stats(), stats(lds_failure=1), stats(lds_failure=1))
    twice, _ = polled(stats(), stats(lds_failure=1), stats(lds_failure=2))
    assert (once.proxy.xds_connected, twice.proxy.xds_connected) == (True, False)


def test_an_impostor_on_15020_stays_one_between_detail_polls() -> None:
    wrong = sidecar(net(15020, Outcome.WRONG_IDENTITY, facts=page(metrics=None), detail="app"))
    record, memory = polled(wrong, fast())
    assert (ups(record)[15020], cause_of(record)) == (False, "port_taken")
    mended, _ = seen_by(sidecar(), memory=memory, now=NOW + 240)
    assert ups(mended)[15020] is True


def test_a_hello_is_believed_for_two_identity_intervals() -> None:
    _, memory = polled(sidecar())
    held, _ = seen_by(fast(), memory=memory, now=NOW + 7199)
    aged, _ = seen_by(fast(), memory=memory, now=NOW + 7201)
    assert (ups(held)[15006], ups(aged)[15006]) == (True, None)


def test_a_hello_is_forgotten_when_the_control_port_refuses() -> None:
    _, memory = polled(sidecar(), fast(net(CONTROL, REFUSED), net(15006, REFUSED)))
    assert dict(memory.hello) == {}


def test_an_old_hello_does_not_excuse_ports_that_fell_silent_since() -> None:
    seen = fast(dropped(15020), dropped(15021), dropped(15090))
    refused = fast(net(15020, REFUSED), net(15021, REFUSED), net(15090, REFUSED))
    _, memory = polled(sidecar())
    old, _ = seen_by(refused, memory=memory, now=NOW + 30)
    new, _ = seen_by([*refused, hello(OK)], memory=memory, now=NOW + 30)
    assert (cause_of(old), cause_of(new)) == ("none", "network_blocked")
    assert cause_of(seen_by(seen, memory=memory, now=NOW + 30)[0]) == "network_blocked"


def inputs(
    memory: Memory,
    now: float,
    target: Target = SIDECAR,
    config: Config | None = None,
    *,
    due: bool = False,
) -> PollInputs:
    """What a poll goes by; `due`: the identity cadence is."""
    config = config or Config()
    cadences = EVERY_CADENCE if due else FAST_ONLY
    return PollInputs(plan_of(target, config), memory, cadences, config, now)


def test_asks_for_a_hello_when_it_would_decide_something() -> None:
    _, memory = polled(sidecar())
    silent = fast(net(15021, TIMEOUT), net(15090, TIMEOUT))

    def asks(seen: list[Observation], memory: Memory, after: float, *, due: bool = False) -> bool:
        return is_hello_due(inputs(memory, NOW + after, due=due), seen)

    assert asks(fast(), Memory(), 0)
    assert asks(fast(), memory, 30, due=True)
    assert not asks(fast(), memory, 30)
    assert asks(silent, memory, 30)
    assert not asks(fast(net(CONTROL, REFUSED)), memory, 30, due=True)
    _, asked = seen_by([*silent, hello(TIMEOUT)], memory=memory, now=NOW + 30)
    assert not asks(silent, asked, 60)
    assert asks(silent, asked, 151)
    assert asks(fast(), asked, 60)


def test_a_lost_packet_does_not_begin_the_start_grace_anew() -> None:
    begun = stats(state=2.0, live=False)
    lost = [*(one for one in begun if one.port != 15090), dropped(15090)]
    once, _ = polled(begun, begun, begun, every=30.0)
    late, _ = polled(begun, lost, begun, every=30.0)
    assert cause_of(once) == cause_of(late) != "starting"


@pytest.mark.parametrize("loopback", ["netns", "portforward"])
@pytest.mark.parametrize("outcome", [REFUSED, TIMEOUT, Outcome.REJECTED])
def test_a_hello_is_not_repeated_in_every_poll_that_sees_envoy_from_inside_alone(
    loopback: str, outcome: Outcome
) -> None:
    target = replace(SIDECAR, netns="pod" if loopback == "netns" else "")
    config = Config(access=AccessConfig(loopback=loopback))
    pod = [inside(port, OK) for port in (15000, 15001, 15006, 15020, 15021, 15090)]
    pod += [sockets()] if loopback == "netns" else []
    fails = fast(*(net(port, outcome, connected=False) for port in (15021, 15090)))
    _, memory = seen_by(sidecar() + pod, target=target, config=config)
    sent = []
    for now in (NOW + 30.0 * number for number in range(1, 13)):
        is_due = is_hello_due(inputs(memory, now, target, config), fails)
        sent += [now] * is_due
        seen = [*fails, *([hello(OK)] if is_due else []), *pod]
        _, memory = seen_by(seen, target=target, config=config, memory=memory, now=now)
    assert [at - NOW for at in sent] == [120.0, 240.0, 360.0]


def test_a_view_of_the_pod_that_counts_no_more_delays_no_hello() -> None:
    config = Config(access=AccessConfig(loopback="portforward"))
    pod = [inside(port, OK) for port in (15000, 15001, 15006, 15020, 15021, 15090)]
    _, memory = seen_by(sidecar() + pod, config=config)
    later = NOW + 3600.0
    _, memory = seen_by([*fast(), hello(OK)], config=config, memory=memory, now=later)
    silent = fast(net(15021, TIMEOUT), net(15090, TIMEOUT))
    assert is_hello_due(inputs(memory, later + 30.0, SIDECAR, config), silent)


def test_starting_ends_with_the_grace() -> None:
    young = stats(state=3)
    early, memory = polled(young)
    late, _ = seen_by(young, memory=memory, now=NOW + 61)
    assert (cause_of(early), cause_of(late)) == ("starting", "none")
    assert polled(young, stats())[1].initializing_since is None


def test_fast_polls_keep_what_detail_polls_learnt() -> None:
    record, memory = polled(sidecar(), fast(), every=30.0)
    assert record.proxy.listeners == {"active": 8, "warming": 0}
    assert record.proxy.xds_connected is True
    assert record.spiffe_id == SPIFFE
    assert (memory.polls, memory.last_ok.get(15020)) == (2, NOW + 30)


def test_facts_of_long_ago_are_not_shown() -> None:
    _, memory = polled(sidecar())
    record, _ = seen_by(fast(), memory=memory, now=NOW + 361)
    assert record.proxy.listeners == {}


@pytest.mark.parametrize("addresses", [("10.0.0.7", "fd00::7"), ("fd00::7", "10.0.0.7")])
def test_the_certificate_on_the_wire_is_the_one_that_a_hello_brought_last(
    addresses: tuple[str, str],
) -> None:
    target = target_of(addresses=addresses)
    renewed = structs.replace(CERTIFICATE, not_after=NOW + 90_000)
    for late in addresses:
        (early,) = {*addresses} - {late}
        shown = {early: (NOW, CERTIFICATE, "old"), late: (NOW + 9, renewed, "new")}
        memory = Memory(
            hello={
                address: Timestamped(
                    net(
                        15006,
                        OK,
                        address=address,
                        kind=ProbeKind.HELLO,
                        facts=TlsFacts(certificate=shown[address][1], root=shown[address][2]),
                    ),
                    shown[address][0],
                )
                for address in addresses
            }
        )
        seen = [net(port, OK, address=one) for one in addresses for port in (CONTROL, 15021)]
        record, _ = seen_by(seen, memory=memory, target=target, now=NOW + 30)
        wire = [one.not_after for one in record.certificates if one.source == "wire"]
        assert (wire, record.root) == ([NOW + 90_000], "new")


@pytest.mark.parametrize("exposed", ["10.0.0.7", "fd00::7"])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("closed", [Outcome.RESET, REFUSED, Outcome.WRONG_PROTOCOL, Outcome.CLOSED])
def test_admin_is_exposed_at_whatever_address_it_is_open(
    exposed: str, order: int, closed: Outcome
) -> None:
    addresses = ("10.0.0.7", "fd00::7")[::order]
    target = target_of(addresses=addresses)

    def poll(open_at: str, without: str = "") -> list[Observation]:
        return [
            *(
                net(port, OK, address=one)
                for one in addresses
                for port in (CONTROL, 15020, 15021, 15090)
            ),
            *(
                net(15000, OK if one == open_at else closed, address=one)
                for one in addresses
                if one != without
            ),
        ]

    record, memory = seen_by(poll(exposed), target=target)
    assert cause_of(record) == "admin_exposed"
    silent, memory = seen_by(poll("", without=exposed), target=target, memory=memory, now=NOW + 30)
    assert cause_of(silent) == "admin_exposed"
    shut, _ = seen_by(poll(""), target=target, memory=memory, now=NOW + 60)
    assert cause_of(shut) == "none"


def test_certificates_come_with_their_source() -> None:
    expiring = AgentMetrics(certificate_seconds={"default": 100.0, "ROOTCA": 500.0, "other": 1.0})
    record, _ = polled(sidecar(net(15020, OK, facts=page(metrics=expiring))))
    told = {(life.certificate, life.source): life.not_after for life in record.certificates}
    assert told == {
        ("workload", "wire"): NOW + 82_800,
        ("workload", "agent"): NOW + 500,
    }


@pytest.mark.parametrize("default", [None, -50_000.0, 80_000.0])
@pytest.mark.parametrize("other", [None, -50_000.0, 80_000.0])
def test_the_agents_newest_certificate_is_the_workloads_and_none_is_a_root(
    default: float | None, other: float | None
) -> None:
    gauges = {"default": default, "ROOTCA": other}
    seconds = {name: left for name, left in gauges.items() if left is not None}
    record, _ = polled(agent(certificate_seconds=seconds))
    shown = [one.not_after - NOW for one in record.certificates if one.source == "agent"]
    assert shown == ([max(seconds.values())] if seconds else [])
    assert "root" not in {one.certificate for one in record.certificates}
    has_ended = bool(shown) and shown[0] <= 0 and default is not None
    assert cause_of(record) == ("certificate_expired" if has_ended else "none")
    on_the_wire = (CONTROL, 15006)
    seen = agent(certificate_seconds=seconds)
    unseen, _ = polled([one for one in seen if one.port not in on_the_wire])
    assert (cause_of(unseen) == "certificate_expired") is (bool(shown) and shown[0] <= 0)


@pytest.mark.parametrize(
    ("role", "advice"), [(Role.ISTIOD, "Restart this istiod"), (Role.SIDECAR, "restart the pod")]
)
def test_the_advice_on_a_certificate_that_has_ended_is_about_whose_it_is(
    role: Role, advice: str
) -> None:
    shown = net(15012, OK, facts=TlsFacts(certificate=ENDED), kind=ProbeKind.GRPC_TLS)
    seen = [net(8080, OK), shown] if role is Role.ISTIOD else sidecar(hello(OK, certificate=ENDED))
    record, _ = seen_by(seen, target=target_of(role))
    assert record.diagnosis
    assert record.diagnosis.cause == "certificate_expired"
    assert advice in record.diagnosis.advice


def agent(**counters: object) -> list[Observation]:
    return sidecar(net(15020, OK, facts=page(metrics=structs.replace(AGENT, **counters))))


ENDED = structs.replace(CERTIFICATE, not_after=NOW - 1)
OPEN_ADMIN = ListeningSocket(port=15000, address="0.0.0.0", process="envoy")
OLD = [
    pytest.param(
        "xds_disconnected", [stats(), stats(lds_failure=2)], id="failures-of-the-statistics"
    ),
    pytest.param(
        "xds_disconnected",
        [agent(), agent(istiod_terminations_by_error=2)],
        id="terminations-of-the-agent",
    ),
    pytest.param(
        "dns_proxy_failing",
        [agent(dns_upstream_failures=count) for count in (0, 1, 2)],
        id="dns-failures",
    ),
    pytest.param(
        "application_metrics_broken",
        [agent(scrape_failures={"application": count}) for count in (1.0, 2.0)],
        id="application-scrapes",
    ),
    pytest.param(
        "certificate_expired",
        [sidecar(inside(15000, OK, AdminFacts(state="LIVE", workload_certificate=ENDED)))],
        id="certificate-by-admin",
    ),
    pytest.param(
        "admin_exposed",
        [sidecar(sockets(OPEN_ADMIN))],
        id="sockets",
    ),
    pytest.param(
        "application_unhealthy",
        [sidecar(net(15020, OK, facts=page(app_health={"/app-health/app/readyz": 500})))],
        id="application-health",
    ),
]


OF_THE_PAGE = [
    pytest.param(
        "certificate_expired",
        [agent(certificate_seconds={"default": -1.0})],
        id="certificate-by-the-agent",
    ),
    pytest.param(
        "access_restricted",
        [sidecar(net(15020, OK, facts=page(metrics=None, page=Outcome.FORBIDDEN)))],
        id="page",
    ),
]


@pytest.mark.parametrize(
    ("cause", "polls", "seconds"),
    [
        *[pytest.param(*one.values, 360, id=one.id) for one in OLD],
        *[pytest.param(*one.values, 1800, id=one.id) for one in OF_THE_PAGE],
    ],
)
def test_a_fault_does_not_outlive_its_evidence(
    cause: str, polls: list[list[Observation]], seconds: int
) -> None:
    config, memory, now = application_probes(), Memory(), NOW
    for seen in polls:
        record, memory = seen_by(seen, memory=memory, config=config, now=now)
        now += 120
    last = now - 120
    held, _ = seen_by(fast(), memory=memory, config=config, now=last + seconds)
    aged, after = seen_by(fast(), memory=memory, config=config, now=last + seconds + 1)
    assert [cause_of(one) for one in (record, held, aged)] == [cause, cause, "none"]
    assert (aged.listening, after.sockets) == ((), None)
    _, after = seen_by(fast(), memory=after, config=config, now=last + 1801)
    assert (after.agent, after.page) == (None, None)


def test_what_an_agent_counted_ends_with_the_agent() -> None:
    gone = fast(net(15020, REFUSED), net(15021, Outcome.NOT_READY))
    _, memory = polled(agent(), agent(istiod_terminations_by_error=2), gone)
    record, _ = seen_by(fast(), memory=memory, now=NOW + 270)
    assert cause_of(record) == "none"


def test_evidence_lasts_three_detail_intervals() -> None:
    config = Config()
    slow = replace(config, poll=replace(config.poll, interval=600.0, detail_interval=600.0))
    _, memory = seen_by(stats(xds_connections=0), config=slow)
    held, _ = seen_by(fast(), memory=memory, config=slow, now=NOW + 1800)
    aged, _ = seen_by(fast(), memory=memory, config=slow, now=NOW + 1801)
    assert (cause_of(held), cause_of(aged)) == ("xds_disconnected", "none")


def test_evidence_lasts_through_polls_that_take_longer_than_the_interval() -> None:
    config = Config()
    quick = replace(config, poll=replace(config.poll, interval=3.0, detail_interval=3.0))
    _, memory = seen_by(stats(xds_connections=0), config=quick)
    memory = structs.replace(memory, took={Cadence.FAST: 2.0, Cadence.DETAIL: 12.0})
    held, _ = seen_by(fast(), memory=memory, config=quick, now=NOW + 36)
    aged, _ = seen_by(fast(), memory=memory, config=quick, now=NOW + 37)
    assert (cause_of(held), cause_of(aged)) == ("xds_disconnected", "none")


def test_a_reject_outlives_the_statistics_that_showed_it() -> None:
    rejected = stats(lds_rejected=1)
    _, memory = polled(stats(), rejected)
    aged, memory = seen_by(fast(), memory=memory, now=NOW + 1000)
    again, memory = seen_by(rejected, memory=memory, now=NOW + 1030)
    mended, _ = seen_by(stats(lds_rejected=1, lds_success=2), memory=memory, now=NOW + 1150)
    assert (cause_of(aged), cause_of(again)) == ("configuration_rejected",) * 2
    assert cause_of(mended) == "none"


def test_one_lost_hello_does_not_outweigh_a_valid_certificate() -> None:
    _, memory = polled(sidecar())
    lost = [*fast(), hello(TIMEOUT)]
    once, missed = seen_by(lost, memory=memory, now=NOW + 30)
    twice, _ = seen_by(lost, memory=missed, now=NOW + 60)
    assert (ups(once)[15006], ups(twice)[15006]) == (True, False)
    assert is_hello_due(inputs(missed, NOW + 60), fast())
    _, mended = seen_by([*fast(), hello(OK)], memory=missed, now=NOW + 60)
    assert not is_hello_due(inputs(mended, NOW + 90), fast())
    assert ups(seen_by(lost, memory=mended, now=NOW + 90)[0])[15006] is True


def test_a_lost_hello_decides_at_once_when_envoy_is_silent() -> None:
    _, memory = polled(sidecar())
    silent = fast(net(15021, TIMEOUT), net(15090, TIMEOUT))
    record, _ = seen_by([*silent, hello(TIMEOUT)], memory=memory, now=NOW + 30)
    assert (ups(record)[15006], cause_of(record)) == (False, "envoy_stuck")


def test_a_lost_hello_decides_at_once_when_the_certificate_has_ended() -> None:
    _, memory = polled(sidecar())
    lost = [*fast(), hello(TIMEOUT)]
    late = replace(Config(), poll=replace(Config().poll, identity_interval=90_000.0))
    record, _ = seen_by(lost, memory=memory, config=late, now=NOW + 82_801)
    assert ups(record)[15006] is False


@pytest.mark.parametrize(("seconds", "cause"), [(0.99, "none"), (1.0, "admin_slow")])
def test_statistics_are_slow_from_a_second_on(seconds: float, cause: str) -> None:
    slow = structs.replace(net(15090, OK, facts=STATS), seconds=seconds)
    _, memory = seen_by(sidecar(slow))
    assert cause_of(seen_by(sidecar(slow), memory=memory, now=NOW + 30)[0]) == cause


def test_admins_list_from_before_the_configuration_says_nothing_of_a_proxy_that_serves() -> None:
    early = AdminFacts(
        state="INITIALIZING", listeners=(BoundListener(name="x", address="0.0.0.0", port=1),)
    )
    starting = sidecar(
        net(15021, Outcome.NOT_READY), inside(15000, Outcome.NOT_READY, early), without=(15006,)
    )
    began, memory = seen_by(starting)
    assert began.proxy.bound["virtualOutbound"] is False
    for seconds in (30, 60):
        serving, memory = seen_by(fast(), memory=memory, now=NOW + seconds)
        assert "virtualOutbound" not in serving.proxy.bound
    stuck, _ = seen_by(fast(net(15021, Outcome.NOT_READY)), memory=memory, now=NOW + 90)
    assert stuck.proxy.bound["virtualOutbound"] is False


def test_both_addresses_of_a_ztunnel_may_take_back_that_another_process_answers() -> None:
    other = net(15020, Outcome.WRONG_IDENTITY, facts=ZtunnelFacts(page=Outcome.WRONG_IDENTITY))
    own = ZtunnelFacts(page=OK, active=3.0)
    both = [net(15020, OK, facts=own, address=address) for address in ("10.0.0.7", "fd00::7")]
    memory = Memory()
    for seen in ([other], both):
        _, memory = seen_by(seen, memory=memory)
    assert memory.disproved == {}


def test_a_record_has_the_version_that_envoy_reports_and_the_bootstraps_before_it() -> None:
    record, memory = polled(stats(build="1.28.10"), fast())
    assert record.version == "1.28.10"
    bootstrap = AdminFacts(stats=STATS, istio_version="1.28.9")
    record, _ = seen_by(sidecar(inside(15000, OK, bootstrap)), memory=memory, now=NOW + 240)
    assert record.version == "1.28.9"
