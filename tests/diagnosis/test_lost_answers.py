"""One lost packet is no verdict; what stays silent, or falls silent all over, is one."""

from dataclasses import replace

import pytest

from exporter.exposition import FAMILIES, render
from exporter.model import Memory, Observation, Outcome, Target, TargetRecord
from tests.diagnosis.cases import ISTIOD, PROXYLESS, istiod
from tests.diagnosis.matrix import (
    CONTROL,
    NOW,
    SIDECAR,
    cause_of,
    dropped,
    inside,
    net,
    page,
    seen_by,
    sidecar,
    ups,
)

WORKS = {
    "sidecar": (SIDECAR, sidecar()),
    "istiod": (ISTIOD, istiod()),
    "proxyless": (PROXYLESS, [net(15020, Outcome.OK, facts=page())]),
}


def with_changes(seen: list[Observation], *changes: Observation) -> list[Observation]:
    return [next((new for new in changes if new.probe == one.probe), one) for one in seen]


def records(
    target: Target, *polls: list[Observation], is_followed: bool = False
) -> list[TargetRecord]:
    memory, found = Memory(is_followed=is_followed), []
    for number, seen in enumerate(polls):
        record, memory = seen_by(seen, target=target, memory=memory, now=NOW + 30 * number)
        found.append(record)
    return found


LOST = [
    pytest.param("istiod", (15017,), "webhook_unreachable", id="the webhook"),
    pytest.param("istiod", (15012,), "network_blocked", id="a port of istiod"),
    pytest.param("proxyless", (15020,), "unreachable", id="the only port"),
    pytest.param("sidecar", (15090,), "network_blocked", id="a port of a sidecar"),
    pytest.param("sidecar", (15020, 15090), "network_blocked", id="two ports"),
]


@pytest.mark.parametrize(("what", "ports", "cause"), LOST)
def test_silence_after_an_answer_counts_in_the_second_poll_in_a_row(
    what: str, ports: tuple[int, ...], cause: str
) -> None:
    target, works = WORKS[what]
    silent = with_changes(works, *map(dropped, ports))
    found = records(target, works, silent, silent, works, silent, works)
    assert [cause_of(one) for one in found] == ["none", "none", cause, "none", "none", "none"]
    for once in (found[1], found[4]):
        assert {ups(once)[port] for port in ports} == {None}
        exposed = b"".join(render(once, FAMILIES)).decode()
        assert exposed.count('reason="lost"') == len(ports)


@pytest.mark.parametrize("ports", [(15020,), (15021,), (15090,), (15020, 15090)])
def test_silence_counts_in_the_second_poll_though_the_pods_view_shows_that_the_port_is_up(
    ports: tuple[int, ...],
) -> None:
    pod = [inside(port, Outcome.OK) for port in (15000, 15001, 15006, 15020, 15021, 15090)]
    silent = [*with_changes(sidecar(), *map(dropped, ports)), *pod]
    works = [*sidecar(), *pod]
    there = replace(SIDECAR, netns="pod")
    found = records(there, works, *[silent] * 4, works, silent, silent)
    causes = [cause_of(one) for one in found]
    blocked = ["network_blocked"] * 3
    assert causes == ["none", "none", *blocked, "none", "none", "network_blocked"]


@pytest.mark.parametrize(("what", "ports", "cause"), LOST)
def test_silence_in_the_only_poll_counts(what: str, ports: tuple[int, ...], cause: str) -> None:
    target, works = WORKS[what]
    assert cause_of(records(target, with_changes(works, *map(dropped, ports)))[0]) == cause


@pytest.mark.parametrize(("what", "ports", "cause"), LOST)
def test_silence_in_a_first_poll_that_others_follow_counts_in_the_second(
    what: str, ports: tuple[int, ...], cause: str
) -> None:
    target, works = WORKS[what]
    silent = with_changes(works, *map(dropped, ports))
    first, second, third = records(target, silent, silent, silent, is_followed=True)
    assert [cause_of(one) for one in (first, second, third)] == ["none", cause, cause]
    assert {ups(first)[port] for port in ports} == {None}


def test_silence_of_everything_counts_at_once() -> None:
    silent = [dropped(port) for port in (CONTROL, 15020, 15021, 15090)]
    assert cause_of(records(SIDECAR, sidecar(), silent)[-1]) == "unreachable"
    assert cause_of(records(SIDECAR, silent, is_followed=True)[0]) == "unreachable"


def test_silence_of_a_port_that_failed_before_counts_at_once() -> None:
    refused = with_changes(istiod(), net(15014, Outcome.REFUSED))
    silent = with_changes(istiod(), dropped(15014))
    found = records(ISTIOD, istiod(), refused, silent)
    assert [cause_of(one) for one in found] == ["none", "istiod_port_down", "network_blocked"]


def test_an_answer_that_is_missed_once_names_no_stuck_process() -> None:
    """A request or its answer may get lost more often than is waited for."""
    for target, works, port, cause in (
        (ISTIOD, istiod(), 15010, "istiod_replica_stuck"),
        (SIDECAR, sidecar(), 15020, "agent_stuck"),
    ):
        missed = with_changes(works, net(port, Outcome.TIMEOUT))
        found = records(target, works, missed, missed, works)
        assert [cause_of(one) for one in found] == ["none", "none", cause, "none"]


def test_what_else_fails_keeps_its_cause_while_one_connect_gets_lost() -> None:
    gone = with_changes(sidecar(), *(net(port, Outcome.REFUSED) for port in (15021, 15090)))
    gone = [one for one in gone if one.port not in (CONTROL, 15006)]
    gone.append(net(CONTROL, Outcome.REFUSED))
    lost = with_changes(gone, dropped(15020))
    found = records(SIDECAR, gone, lost, gone)
    assert {cause_of(one) for one in found} == {"proxy_not_running"}
