from dataclasses import replace

import pytest

from exporter.config import Config, PollConfig
from exporter.model import (
    AgentMetrics,
    Lifecycle,
    ListeningSocket,
    Memory,
    Observation,
    Outcome,
    ProbeKind,
    Role,
    Settings,
    TlsFacts,
    Verdict,
)
from tests.diagnosis.cases import DARK, GONE, unconfigured
from tests.diagnosis.matrix import (
    CERTIFICATE,
    CONTROL,
    NOW,
    SIDECAR,
    all_of,
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
RESET, CLOSED = Outcome.RESET, Outcome.CLOSED

INBOUND = [
    pytest.param([net(CONTROL, OK), hello(OK)], True, OK, id="certificate"),
    pytest.param([net(CONTROL, OK), hello(TIMEOUT)], False, TIMEOUT, id="silence"),
    pytest.param(
        [net(CONTROL, OK), hello(Outcome.WRONG_PROTOCOL)],
        False,
        Outcome.WRONG_IDENTITY,
        id="not-tls",
    ),
    pytest.param([net(CONTROL, OK), hello(RESET)], None, Outcome.CAPTURED, id="mtls-off-reset"),
    pytest.param([net(CONTROL, OK), hello(CLOSED)], None, Outcome.CAPTURED, id="mtls-off-closed"),
    pytest.param([net(CONTROL, OK)], None, Outcome.CAPTURED, id="no-hello-yet"),
    pytest.param([net(CONTROL, REFUSED), net(15006, REFUSED)], False, REFUSED, id="no-port"),
    pytest.param(
        [net(CONTROL, REFUSED), net(15006, OK)], None, Outcome.CAPTURED, id="no-redirection"
    ),
    pytest.param([dropped(CONTROL)], None, Outcome.BLOCKED, id="control-dropped"),
]


def verdict_of(observations: list[Observation], port: int, **more: object) -> Verdict:
    record, _ = seen_by(observations, **more)
    return next(verdict for verdict in record.verdicts if verdict.port == port)


@pytest.mark.parametrize(("seen", "up", "outcome"), INBOUND)
def test_judges_15006_by_control_port_and_hello(
    *, seen: list[Observation], up: bool | None, outcome: Outcome
) -> None:
    verdict = verdict_of([*sidecar(without=(15006, CONTROL)), *seen], 15006)
    assert (verdict.up, verdict.outcome) == (up, outcome)


def test_says_nothing_of_redirection_without_a_control_port() -> None:
    target = replace(SIDECAR, settings=Settings(included_inbound_ports=(8080,)))
    record, _ = seen_by(sidecar(without=(15006, CONTROL)), target=target)
    assert ups(record)[15006] is None
    assert record.proxy.captured is None


WHOLE = [
    pytest.param(
        sidecar(),
        {15000: True, 15001: None, 15006: True, 15020: True, 15021: True, 15090: True},
        id="healthy",
    ),
    pytest.param(GONE, dict.fromkeys((15000, 15006, 15020, 15021, 15090), False), id="gone"),
    pytest.param(DARK, dict.fromkeys((15000, 15006, 15020, 15021, 15090), False), id="dark"),
    pytest.param(
        sidecar(net(15021, TIMEOUT), net(15090, TIMEOUT), hello(TIMEOUT)),
        {15000: False, 15006: False, 15020: True, 15021: False, 15090: False},
        id="envoy-stopped",
    ),
    pytest.param(
        sidecar(net(15020, TIMEOUT), net(15021, TIMEOUT)),
        {15000: True, 15006: True, 15020: False, 15021: False, 15090: True},
        id="agent-stopped",
    ),
    pytest.param(
        unconfigured(AgentMetrics()),
        {15000: None, 15006: False, 15020: True, 15021: False, 15090: False},
        id="unconfigured",
    ),
    pytest.param(
        sidecar(dropped(15020), dropped(15021), dropped(15090)),
        {15000: None, 15006: True, 15020: None, 15021: None, 15090: None},
        id="genuine-ports-dropped",
    ),
    pytest.param(
        [*GONE[:3], net(15021, Outcome.WRONG_IDENTITY), net(15090, REFUSED)],
        dict.fromkeys((15000, 15006, 15020, 15021, 15090), False),
        id="application-on-15021",
    ),
    pytest.param(
        [*DARK, inside(15020, OK), inside(15021, OK), inside(15090, OK), inside(15000, OK)],
        dict.fromkeys((15000, 15020, 15021, 15090), True),
        id="dark-but-alive-inside",
    ),
]


@pytest.mark.parametrize(("seen", "expected"), WHOLE)
def test_judges_every_port_of_a_sidecar(
    seen: list[Observation], expected: dict[int, bool | None]
) -> None:
    record, _ = seen_by(seen)
    assert {port: up for port, up in ups(record).items() if port in expected} == expected


def test_everything_is_unjudged_in_the_mesh() -> None:
    record, memory = seen_by(sidecar(), in_mesh=True)
    assert set(ups(record).values()) == {None}
    assert record.ready == {}
    assert memory == Memory()


def test_silent_ports_are_blocked_once_kubernetes_reports_ready() -> None:
    ready = replace(SIDECAR, lifecycle=Lifecycle(container_ready=True, node_ready=True))
    record, _ = seen_by(DARK, target=ready)
    assert set(ups(record).values()) == {None}


@pytest.mark.parametrize("outcome", [Outcome.NOT_READY, Outcome.FORBIDDEN])
def test_any_answer_of_the_owner_is_up(outcome: Outcome) -> None:
    assert verdict_of(sidecar(net(15020, outcome)), 15020).up is True


def test_a_captured_port_has_the_naive_answer_of_the_control_port() -> None:
    record, _ = seen_by(sidecar())
    naive = {verdict.port: verdict.naive for verdict in record.verdicts}
    assert naive[15001] is True
    assert {v.port for v in record.verdicts if v.structural} == {15001}


def test_a_naive_connect_finds_a_stopped_envoy_up() -> None:
    seen = sidecar(net(15021, TIMEOUT), net(15090, TIMEOUT), hello(TIMEOUT))
    verdict = verdict_of(seen, 15090)
    assert (verdict.naive, verdict.up) == (True, False)


def test_a_loopback_port_without_the_pod_view_is_reported_once() -> None:
    target = replace(SIDECAR, settings=Settings(dns_capture=True))
    verdict = verdict_of(sidecar(), 15053, target=target)
    assert (verdict.up, verdict.outcome, verdict.structural) == (None, Outcome.NO_ACCESS, True)


def test_a_pod_view_that_fails_is_not_structural() -> None:
    target = replace(SIDECAR, settings=Settings(dns_capture=True))
    denied = inside(15053, Outcome.NO_ACCESS, connected=None, detail="no such namespace")
    verdict = verdict_of(sidecar(denied), 15053, target=target)
    assert (verdict.structural, verdict.detail) == (False, "no such namespace")


def test_15090_proves_15000() -> None:
    verdict = verdict_of(sidecar(), 15000)
    assert (verdict.up, verdict.exposed) == (True, False)


def test_an_exposed_admin_is_marked_on_its_port() -> None:
    verdict = verdict_of(sidecar(net(15000, OK)), 15000)
    assert (verdict.up, verdict.exposed) == (True, True)


OWNERS = [
    pytest.param("python", False, Outcome.WRONG_IDENTITY, id="another"),
    pytest.param("envoy", True, OK, id="its-owner"),
    pytest.param("", True, OK, id="unknown"),
]


@pytest.mark.parametrize(("process", "up", "outcome"), OWNERS)
def test_the_socket_table_shows_another_process(
    *, process: str, up: bool, outcome: Outcome
) -> None:
    row = ListeningSocket(port=15001, address="0.0.0.0", process=process)
    verdict = verdict_of(sidecar(sockets(row), inside(15001, OK)), 15001)
    assert (verdict.up, verdict.outcome) == (up, outcome)


def test_a_failing_address_is_named() -> None:
    dual = replace(SIDECAR, addresses=("10.0.0.7", "fd00::7"))
    seen = sidecar(net(CONTROL, OK, address="fd00::7"), net(15020, REFUSED, address="fd00::7"))
    verdict = verdict_of(seen, 15020, target=dual)
    assert verdict.up is False
    assert "fd00::7" in verdict.detail


DUAL = replace(SIDECAR, addresses=("10.0.0.7", "fd00::7"))


def over_ipv6(detail: str) -> list[Observation]:
    """A healthy sidecar over IPv4 whose IPv6 address fails like this."""
    unreachable = all_of(
        Outcome.UNREACHABLE, (CONTROL, 15020, 15021, 15090), address="fd00::7", detail=detail
    )
    return sidecar(*unreachable)


@pytest.mark.parametrize(
    "detail",
    [
        "network is unreachable",
        "cannot assign requested address",
        "address family not supported by protocol",
    ],
)
def test_a_family_that_the_exporter_lacks_is_left_out_and_undetected(detail: str) -> None:
    _, memory = seen_by(sidecar(), target=DUAL)
    record, _ = seen_by(over_ipv6(detail), target=DUAL, memory=memory)
    assert ups(record)[15020] is True
    assert record.diagnosis is None
    assert record.undetected == ("address_family_mismatch",)


def test_a_target_without_a_route_in_one_family_is_down() -> None:
    _, memory = seen_by(sidecar(), target=DUAL)
    record, _ = seen_by(over_ipv6("no route to host"), target=DUAL, memory=memory)
    assert [ups(record)[port] for port in (15006, 15020, 15021, 15090)] == [False] * 4
    details = {verdict.port: verdict.detail for verdict in record.verdicts}
    assert details[15020] == "fd00::7: no route to host"
    assert details[15006] == "fd00::7: the control port does not answer"
    assert (cause_of(record), record.undetected) == ("address_family_mismatch", ())


ENDINGS = [
    pytest.param(RESET, "mTLS is off", id="reset"),
    pytest.param(CLOSED, "closed upon a TLS hello", id="closed"),
    pytest.param(Outcome.TLS_ERROR, "TLS alert", id="alert"),
    pytest.param(Outcome.TOO_LARGE, "over the limit", id="too-large"),
]


@pytest.mark.parametrize(("outcome", "words"), ENDINGS)
def test_says_how_a_hello_ended_without_a_certificate(outcome: Outcome, words: str) -> None:
    verdict = verdict_of(sidecar(hello(outcome)), 15006)
    assert (verdict.up, verdict.outcome) == (None, Outcome.CAPTURED)
    assert words in verdict.detail
    assert ("mTLS is off" in verdict.detail) is (outcome is RESET)


def test_tls_behind_capture_may_be_the_redirections_own() -> None:
    target = replace(SIDECAR, istio_version="1.31.0", settings=Settings(secure_stats_port=15091))
    seen = net(15091, OK, facts=TlsFacts(certificate=CERTIFICATE), captured=True)
    verdict = verdict_of(sidecar(seen), 15091, target=target)
    assert (verdict.up, verdict.outcome) == (None, Outcome.CAPTURED)


def test_an_optional_port_is_reported_only_when_it_answers() -> None:
    ztunnel = target_of(Role.ZTUNNEL)
    base = [net(15020, OK), net(15021, OK)]
    accepts = [*base, net(15008, OK)]
    shown = net(15008, OK, facts=TlsFacts(certificate=CERTIFICATE), kind=ProbeKind.HBONE_HELLO)
    absent, _ = seen_by([*base, net(15008, REFUSED)], target=ztunnel)
    unasked, _ = seen_by(accepts, target=ztunnel)
    present, memory = seen_by([*accepts, shown], target=ztunnel)
    later, _ = seen_by(accepts, target=ztunnel, memory=memory, now=NOW + 30)
    assert 15008 not in ups(absent)
    assert ups(unasked)[15008] is None
    assert ups(present)[15008] is ups(later)[15008] is True


def test_moved_ports_are_judged_by_their_own_answer() -> None:
    moved = replace(SIDECAR, settings=Settings(stats_port=16090, health_port=16021))
    record, _ = seen_by(
        [net(CONTROL, OK), hello(OK), net(15020, OK, facts=page()), net(16021, OK), net(16090, OK)],
        target=moved,
    )
    assert {port: ups(record)[port] for port in (15000, 16021, 16090)} == dict.fromkeys(
        (15000, 16021, 16090), True
    )
    assert record.diagnosis is None


BEHIND = replace(SIDECAR, settings=Settings(status_port=15120, exempt_ports=(15021, 15090)))
"""A sidecar whose ProxyConfig moved the status port behind the redirection."""

DROPPED_BEHIND = dropped(15120, kind=ProbeKind.AGENT, captured=True)


def test_a_captured_port_that_the_network_drops_is_blocked_where_others_answer() -> None:
    record, _ = seen_by([*sidecar(without=(15020,)), DROPPED_BEHIND], target=BEHIND)
    assert ups(record)[15120] is None
    assert cause_of(record) == "network_blocked"
    assert record.diagnosis is not None
    assert "15120, 15021 and 15090" in record.diagnosis.advice


def test_a_captured_port_is_silent_where_envoy_hangs_whose_queue_it_is() -> None:
    hangs = [*all_of(TIMEOUT, (15021, 15090)), net(CONTROL, OK), hello(TIMEOUT)]
    record, _ = seen_by([*hangs, DROPPED_BEHIND], target=BEHIND)
    assert ups(record)[15120] is False
    assert cause_of(record) == "container_starved"


MOVED = {
    15020: (net(15120, RESET, kind=ProbeKind.AGENT, captured=True), Settings(status_port=15120)),
    15021: (
        net(16021, CLOSED, kind=ProbeKind.READINESS, captured=True),
        Settings(health_port=16021),
    ),
    15090: (net(16090, RESET, kind=ProbeKind.STATS, captured=True), Settings(stats_port=16090)),
}


@pytest.mark.parametrize("usual", MOVED)
def test_that_15006_ends_plaintext_says_nothing_of_a_captured_port(usual: int) -> None:
    ended, settings = MOVED[usual]
    seen = [*sidecar(without=(usual,)), ended]
    record, _ = seen_by(seen, target=replace(SIDECAR, settings=settings))
    assert ups(record)[ended.port] is None
    assert (cause_of(record), False in record.ready.values()) == ("none", False)


def test_an_agent_is_gone_where_envoy_answers_in_place_of_its_captured_port() -> None:
    unserved = net(15120, Outcome.CAPTURED, kind=ProbeKind.AGENT, captured=True)
    alone = [*sidecar(net(15021, Outcome.NOT_READY), without=(15020,)), unserved]
    record, _ = seen_by(alone, target=BEHIND)
    assert (ups(record)[15120], cause_of(record)) == (None, "agent_gone")


INSIDE = (15000, 15001, 15006, 15020, 15021, 15090)


def test_the_pod_view_alone_judges_every_port() -> None:
    record, _ = seen_by([inside(port, OK) for port in INSIDE])
    assert ups(record) == dict.fromkeys(INSIDE, True)
    assert (record.proxy.captured, record.diagnosis) == (None, None)


def test_the_pod_view_alone_shows_a_dead_proxy() -> None:
    record, _ = seen_by([inside(port, REFUSED) for port in INSIDE])
    assert set(ups(record).values()) == {False}
    assert cause_of(record) == "proxy_not_running"


def test_that_15006_closes_in_the_pod_view_does_not_prove_its_tls() -> None:
    verdict = verdict_of(sidecar(hello(RESET), inside(15006, OK)), 15006)
    assert (verdict.up, verdict.outcome) == (None, Outcome.CAPTURED)


def test_15006_that_hangs_in_the_pod_view_is_down_whatever_an_old_hello_showed() -> None:
    assert verdict_of(sidecar(inside(15006, TIMEOUT)), 15006).up is False


def test_statistics_on_loopback_are_unjudged_from_the_network() -> None:
    local = replace(SIDECAR, settings=Settings(metrics_localhost_only=True))
    record, _ = seen_by(sidecar(without=(15090,)), target=local)
    assert (ups(record)[15090], ups(record)[15000]) == (None, None)
    with_pod, _ = seen_by(
        sidecar(inside(15090, OK), inside(15000, OK), without=(15090,)), target=local
    )
    assert (ups(with_pod)[15090], ups(with_pod)[15000]) == (True, True)


def test_a_port_of_the_users_own_with_the_control_ports_number_is_not_the_control_port() -> None:
    own = net(CONTROL, Outcome.HTTP_ERROR, kind=ProbeKind.HTTP)
    record, _ = seen_by([*sidecar(), own])
    assert record.proxy.captured is True
    record, _ = seen_by([*sidecar(without=(CONTROL,)), own])
    assert record.proxy.captured is None


def test_a_socket_table_is_no_answer_of_a_port() -> None:
    record, _ = seen_by([*DARK, sockets()])
    assert cause_of(record) == cause_of(seen_by(DARK)[0]) == "unreachable"


@pytest.mark.parametrize("silence", [TIMEOUT, Outcome.REJECTED, Outcome.NO_ACCESS])
def test_silence_takes_nothing_back_that_was_exposed(silence: Outcome) -> None:
    _, memory = seen_by(sidecar(net(15000, OK)))
    _, kept = seen_by(sidecar(net(15000, silence)), memory=memory)
    assert kept.exposure == memory.exposure
    _, closed = seen_by(sidecar(net(15000, RESET)), memory=memory)
    assert closed.exposure != memory.exposure


def test_what_a_probe_found_ends_where_the_probe_is_switched_off() -> None:
    found, memory = seen_by(sidecar(net(15000, OK)))
    assert cause_of(found) == "admin_exposed"
    without = Config(poll=PollConfig(exposure=False))
    record, after = seen_by(sidecar(without=(15000,)), memory=memory, config=without)
    assert (cause_of(record), after.exposure) == ("none", None)


@pytest.mark.parametrize("status_port", [0, 15020])
def test_readiness_through_envoy_is_judged_where_the_agents_server_is_on(status_port: int) -> None:
    settings = Settings(status_port=status_port)
    observations = sidecar(net(15021, Outcome.NOT_READY))
    record, _ = seen_by(observations, target=target_of(settings=settings))
    assert record.ready.get("envoy") is (False if status_port else None)


@pytest.mark.parametrize(
    ("ambient", "outcome", "up"),
    [(False, OK, True), (True, OK, None), (True, REFUSED, False)],
)
def test_a_gateways_server_is_unjudged_by_a_connect_in_ambient(
    *, ambient: bool, outcome: Outcome, up: bool | None
) -> None:
    settings = Settings(ambient=ambient, server_ports=(80,))
    gateway = target_of(role=Role.GATEWAY, captured=False, settings=settings)
    assert verdict_of([net(15021, OK), net(80, outcome)], 80, target=gateway).up is up


@pytest.mark.parametrize("port", [15020, 15021])
def test_a_port_that_forbids_is_up_and_no_word_on_readiness(port: int) -> None:
    record, _ = seen_by(sidecar(net(port, Outcome.FORBIDDEN, detail="HTTP 403")))
    assert ups(record)[port] is True
    assert record.ready == {"envoy" if port == 15020 else "agent": True}


def test_what_a_policy_denies_on_the_way_to_the_agent_is_the_networks() -> None:
    detail = "answered with HTTP 403 by an Envoy on the way"
    record, _ = seen_by(sidecar(net(15020, Outcome.REJECTED, connected=True, detail=detail)))
    assert cause_of(record) == "network_blocked"
    assert ups(record)[15020] is None
    assert record.ready == {"envoy": True}
