from dataclasses import replace

from exporter.config import Config
from exporter.diagnosis import wants_hello
from exporter.model import AgentMetrics, Memory, Observation, Outcome, TargetRecord
from tests.diagnosis.matrix import (
    CONTROL,
    NOW,
    SIDECAR,
    SPIFFE,
    STATS,
    cause_of,
    dropped,
    hello,
    net,
    page,
    seen_by,
    sidecar,
    ups,
)

OK, REFUSED, TIMEOUT = Outcome.OK, Outcome.REFUSED, Outcome.TIMEOUT


def polled(*looks: list[Observation], every: float = 120.0) -> tuple[TargetRecord, Memory]:
    memory = Memory()
    for index, look in enumerate(looks):
        record, memory = seen_by(look, memory=memory, now=NOW + index * every)
    return record, memory


def stats(**counters: object) -> list[Observation]:
    return sidecar(net(15090, OK, facts=replace(STATS, **counters)))


def fast(*changes: Observation) -> list[Observation]:
    """A healthy poll at the fast cadence: no pages, no hello, no exposure."""
    quick = replace(STATS, complete=False, listeners_active=None, xds_connections=None)
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
    assert "configuration_rejected" in record.unseen


def test_one_look_at_old_rejects_says_that_it_cannot_know() -> None:
    record, _ = polled(stats(lds_rejected=3, lds_success=5))
    assert record.diagnosis is None
    assert record.unseen == (
        "configuration_rejected",
        "xds_disconnected",
        "listener_warming",
        "dns_proxy_failing",
        "application_metrics_broken",
    )


def test_a_second_look_leaves_nothing_unseen() -> None:
    record, _ = polled(sidecar(), sidecar())
    assert record.unseen == ()


def test_a_restart_resets_counters() -> None:
    record, memory = polled(stats(lds_failure=9), stats(lds_failure=3))
    assert record.diagnosis is None
    assert (memory.growth["lds_failure"].step, memory.growth["lds_failure"].streak) == (0, 0)


def test_a_refused_15090_forgets_what_envoy_said() -> None:
    gone = sidecar(net(CONTROL, REFUSED), net(15006, REFUSED), net(15090, REFUSED))
    _, memory = polled(stats(), stats(lds_rejected=1), gone)
    assert (memory.stats, dict(memory.rejected)) == (None, {})
    assert "lds_rejected" not in memory.growth


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


def test_asks_for_a_hello_when_it_would_decide_something() -> None:
    _, memory = polled(sidecar())
    silent = fast(net(15021, TIMEOUT), net(15090, TIMEOUT))

    def asks(seen: list[Observation], memory: Memory, after: float, *, due: bool = False) -> bool:
        return wants_hello(SIDECAR, seen, memory, Config(), NOW + after, due)

    assert asks(fast(), Memory(), 0)
    assert asks(fast(), memory, 30, due=True)
    assert not asks(fast(), memory, 30)
    assert asks(silent, memory, 30)
    assert not asks(fast(net(CONTROL, REFUSED)), memory, 30, due=True)
    _, asked = seen_by([*silent, hello(TIMEOUT)], memory=memory, now=NOW + 30)
    assert not asks(silent, asked, 60)
    assert asks(silent, asked, 151)
    assert asks(fast(), asked, 60)


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
    assert (memory.polls, memory.last_ok[15020]) == (2, NOW + 30)


def test_facts_of_long_ago_are_not_shown() -> None:
    _, memory = polled(sidecar())
    record, _ = seen_by(fast(), memory=memory, now=NOW + 361)
    assert record.proxy.listeners == {}


def test_certificates_come_with_their_source() -> None:
    expiring = AgentMetrics(certificate_seconds={"default": 100.0, "ROOTCA": 500.0, "other": 1.0})
    record, _ = polled(sidecar(net(15020, OK, facts=page(metrics=expiring))))
    told = {(life.certificate, life.source): life.not_after for life in record.certificates}
    assert told == {
        ("workload", "wire"): NOW + 82_800,
        ("workload", "agent"): NOW + 100,
        ("root", "agent"): NOW + 500,
    }
