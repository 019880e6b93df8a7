"""What port-forwards, which are few, have shown of a pod holds between them."""

from dataclasses import replace

import pytest

from exporter.config import AccessConfig, Config
from exporter.model import AdminFacts, Memory, Observation, Outcome
from tests.diagnosis.matrix import (
    CONTROL,
    NOW,
    SIDECAR,
    all_of,
    cause_of,
    dropped,
    inside,
    net,
    rejected,
    seen_by,
    sidecar,
    ups,
)

CONFIG = Config(access=AccessConfig(loopback="portforward"))
POD = [
    inside(15000, Outcome.OK, AdminFacts(state="LIVE"), connected=None),
    *[inside(port, Outcome.OK, connected=None) for port in (15001, 15006, 15020, 15021, 15090)],
]
REJECTED = [rejected(port) for port in (CONTROL, 15020, 15021, 15090)]


def polls(
    *seen: list[Observation], every: float = 30.0, config: Config = CONFIG
) -> list[tuple[str, dict[int, bool | None]]]:
    found, memory = [], Memory()
    for number, one in enumerate(seen):
        record, memory = seen_by(one, memory=memory, now=NOW + every * number, config=config)
        found.append((cause_of(record), ups(record)))
    return found


def test_a_verdict_is_the_same_with_and_without_a_port_forward() -> None:
    found = polls(REJECTED + POD, REJECTED, REJECTED, REJECTED + POD, REJECTED, *[REJECTED] * 5)
    assert {cause for cause, _ in found} == {"network_blocked"}
    assert all(ups == found[0][1] for _, ups in found)


def test_a_pod_view_ends_after_two_of_its_own_intervals() -> None:
    with_it, *without = polls(REJECTED + POD, *[REJECTED] * 4)
    assert [ups == with_it[1] for _, ups in without] == [True, True, False, False]
    assert without[-1][1][15020] is None


def test_the_first_pod_view_holds_for_two_intervals_that_the_budget_allows() -> None:
    """The distance to the second is not known yet; how often the budget lets a pod in is."""
    memory, found = Memory(view_interval=60.0), []
    for number in range(9):
        seen = REJECTED + POD if number == 0 else REJECTED
        record, memory = seen_by(seen, memory=memory, now=NOW + 30.0 * number, config=CONFIG)
        found.append(ups(record)[15020])
    assert found == [True] * 7 + [None] * 2


def test_a_pod_view_that_ended_still_gives_the_next_its_interval() -> None:
    rare = [REJECTED + POD, *[REJECTED] * 4]
    found = polls(*rare * 3)
    assert [ups == found[0][1] for _, ups in found[5:]] == [True] * 10


def test_a_pod_view_ends_where_the_network_shows_something_else() -> None:
    gone = [*all_of(Outcome.REFUSED, (CONTROL, 15020, 15021, 15090)), net(15006, Outcome.REFUSED)]
    _, after = polls(sidecar() + POD, gone)
    assert after[0] == "proxy_not_running"
    assert after[1][15020] is False


def test_a_namespace_is_seen_in_every_poll_so_nothing_is_remembered() -> None:
    there = replace(SIDECAR, netns="pod")
    _, memory = seen_by(sidecar() + POD, target=there, config=CONFIG)
    assert memory.pod_view is None


@pytest.mark.parametrize("loopback", ["none", "netns"])
def test_without_port_forwards_what_they_showed_is_forgotten(loopback: str) -> None:
    _, memory = seen_by(REJECTED + POD, config=CONFIG)
    assert memory.pod_view
    config = Config(access=AccessConfig(loopback=loopback))
    _, after = seen_by(sidecar(), memory=memory, config=config)
    assert after.pod_view is None


@pytest.mark.parametrize("port", [15020, 15021])
def test_a_moment_without_readiness_in_the_pod_view_ends_with_the_next_poll(port: int) -> None:
    moment = inside(port, Outcome.NOT_READY, connected=None)
    with_it = [moment if one.port == port else one for one in POD]
    _, memory = seen_by(sidecar() + POD, config=CONFIG)
    states = []
    for number, seen in enumerate((with_it, [], []), start=1):
        now = NOW + 30.0 * number
        record, memory = seen_by(sidecar() + seen, memory=memory, now=now, config=CONFIG)
        states.append((all(record.ready.values()), ups(record)[15001], cause_of(record)))
    assert states[0][0] is False
    assert states[1:] == [(True, True, "none")] * 2


def test_a_port_that_is_not_ready_in_either_view_stays_so_between_port_forwards() -> None:
    moment = inside(15020, Outcome.NOT_READY, connected=None)
    over_network = sidecar(net(15020, Outcome.NOT_READY))
    _, memory = seen_by([*over_network, *POD[:3], moment], config=CONFIG)
    record, _ = seen_by(over_network, memory=memory, now=NOW + 30.0, config=CONFIG)
    assert record.ready["agent"] is False


@pytest.mark.parametrize("port", [CONTROL, 15020, 15021, 15090])
def test_a_lost_packet_takes_nothing_from_what_a_port_forward_showed(port: int) -> None:
    memory = Memory(is_followed=True)
    seen = [[*sidecar(), *POD], sidecar(dropped(port)), sidecar(dropped(port))]
    found = []
    for number, one in enumerate(seen):
        now = NOW + 30.0 * number
        record, memory = seen_by(one, memory=memory, now=now, config=CONFIG)
        found.append({number: up for number, up in ups(record).items() if number != port})
    with_it, lost, silent = found
    assert (with_it[15001], lost) == (True, with_it)
    assert silent != with_it
