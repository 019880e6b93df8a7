"""When a workload in ambient gets a TLS hello, and how many go out."""

from dataclasses import replace

import pytest
from msgspec import structs

from exporter.config import Config
from exporter.diagnosis.diagnose import diagnose
from exporter.model import (
    EVERY_CADENCE,
    FAST_ONLY,
    Cadence,
    Memory,
    Observation,
    Outcome,
    Target,
)
from exporter.poll.hbone_hellos import HelloRate, due_addresses, is_doubtful, next_due
from exporter.poll.plan import plan_of
from exporter.poll.poll_inputs import PollInputs
from tests.diagnosis.ambient_states import (
    CERTIFICATE,
    DUAL,
    EARLY,
    OK,
    REFUSED,
    SILENT,
    TIMEOUT,
    V4,
    V6,
    WORKLOAD,
    connect,
    hello,
    seen,
)
from tests.diagnosis.matrix import NOW

INTERVAL = 30.0
DAY = 86400.0
CONFIG = Config()


def inputs(
    memory: Memory,
    now: float,
    target: Target = WORKLOAD,
    due: frozenset[Cadence] = FAST_ONLY,
    config: Config = CONFIG,
) -> PollInputs:
    return PollInputs(plan_of(target, config), memory, due, config, now)


def times_of_hellos(said: Observation, seconds: float, begin: float = NOW) -> list[float]:
    """When hellos are sent that all end the same, polled every 30 s; seconds after the first."""
    memory, sent = Memory(), []
    ports = plan_of(WORKLOAD, CONFIG).ports
    for number in range(int(seconds / INTERVAL) + 1):
        now = begin + number * INTERVAL
        poll = seen()[:3]
        goes_by = inputs(memory, now)
        is_due = any(due_addresses(goes_by, poll))
        assert is_due == (now >= next_due(goes_by, [V4]))
        if is_due:
            sent.append(now - begin)
            poll.append(said)
        _, memory = diagnose(WORKLOAD, ports, poll, memory, CONFIG, now)
    return sent


def test_a_served_workload_gets_one_an_hour_and_one_when_it_should_have_been_renewed() -> None:
    sent = times_of_hellos(hello(), 5 * 3600)
    assert sent == [0, 3600, 7200, 10800, 14400, 18000]
    half = structs.replace(CERTIFICATE, not_before=NOW - 0.55 * DAY + 600, not_after=NOW + DAY)
    lifetime = half.not_after - half.not_before
    renewed_by = half.not_before + 0.55 * lifetime - NOW
    sent = times_of_hellos(hello(certificate=half), renewed_by + 60)
    assert any(renewed_by <= at < renewed_by + INTERVAL for at in sent)


def test_the_end_of_a_certificate_brings_one_ten_seconds_later() -> None:
    ending = structs.replace(CERTIFICATE, not_before=NOW - 600, not_after=NOW + 900)
    sent = times_of_hellos(hello(certificate=ending), 960)
    assert [at for at in sent if at > 900] == [930]


@pytest.mark.parametrize("said", [EARLY, SILENT], ids=["closed", "silent"])
def test_failures_are_repeated_at_the_next_poll_and_then_less_and_less(said: Observation) -> None:
    assert times_of_hellos(said, 600) == [0, 30, 90, 210, 330, 450, 570]


def due(
    poll: list[Observation],
    memory: Memory,
    target: Target = WORKLOAD,
    cadences: frozenset[Cadence] = FAST_ONLY,
) -> list[str]:
    return list(due_addresses(inputs(memory, NOW + 30, target, cadences), poll))


def after(*polls: list[Observation]) -> Memory:
    memory = Memory()
    for number, poll in enumerate(polls):
        at = NOW + 30 * (number - len(polls) + 1)
        _, memory = diagnose(WORKLOAD, plan_of(WORKLOAD, CONFIG).ports, poll, memory, CONFIG, at)
    return memory


def test_a_change_of_15008s_connect_brings_one() -> None:
    assert due(seen()[:3], after(seen())) == []
    for gone in (REFUSED, TIMEOUT, Outcome.REJECTED):
        assert due(seen()[:3], after(seen(), seen(gone))) == [V4]


def test_the_identity_cadence_brings_one() -> None:
    assert due(seen()[:3], after(seen()), cadences=EVERY_CADENCE) == [V4]


def test_only_addresses_whose_15008_accepts_get_one() -> None:
    poll = [connect(15008, OK), connect(15008, REFUSED, V6), connect(8080, OK, V6)]
    assert due(poll, Memory(), DUAL) == [V4]


def test_another_address_of_the_pod_gets_its_own() -> None:
    moved = replace(WORKLOAD, addresses=("10.0.0.9",))
    assert due([connect(15008, OK, "10.0.0.9")], after(seen()), moved) == ["10.0.0.9"]


def test_hellos_that_are_switched_off_are_never_due() -> None:
    quiet = replace(CONFIG, poll=replace(CONFIG.poll, hello=False))
    goes_by = inputs(Memory(), NOW, due=EVERY_CADENCE, config=quiet)
    found = due_addresses(goes_by, seen())
    assert list(found) == []


def test_fifty_hellos_a_second_are_sent_and_no_more() -> None:
    rate = HelloRate()
    sent = [at / 1000 for at in range(10_000) if rate.take(at / 1000)]
    assert 500 <= len(sent) <= 511
    assert sum(at < 1 for at in sent) <= 60
    assert sum(5 <= at < 6 for at in sent) in (49, 50, 51)


def test_a_rate_begins_anew_after_a_pause() -> None:
    rate = HelloRate(10)
    assert [rate.take(100.0) for _ in range(3)] == [True, True, False]
    assert [rate.take(900.0) for _ in range(3)] == [True, True, False]


def test_the_pods_view_is_asked_where_strangers_seem_to_get_in_and_once_a_detail_interval() -> None:
    strangers, fine = seen(REFUSED, REFUSED, OK), seen()
    assert is_doubtful(inputs(Memory(), NOW), strangers)
    assert not is_doubtful(inputs(Memory(), NOW), fine)
    known = after([*strangers, hello(REFUSED, address="")])
    assert not is_doubtful(inputs(known, NOW), strangers)
    assert is_doubtful(inputs(known, NOW, due=EVERY_CADENCE), strangers)
