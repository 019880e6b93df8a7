"""The causes of a workload in ambient by connects and hello, row by row and for every combination.

The rows say once more, and independently, what the conditions are to mean; the first that holds on
some address is the cause.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import pytest
from msgspec import structs

from exporter.model import Memory, Observation, Outcome, Redirection, Target
from tests.diagnosis.ambient_states import (
    ALERT,
    DAY,
    DUAL,
    EARLY,
    HTTP,
    LATE,
    OK,
    READY,
    REFUSED,
    REJECTED,
    SILENT,
    TIMEOUT,
    V4,
    V6,
    WORKLOAD,
    certificate,
    connect,
    enrolled,
    hello,
)
from tests.diagnosis.matrix import CONTROL, NOW, cause_of, seen_by

SAID = {
    "served": hello(),
    "closed": EARLY,
    "closed late": LATE,
    "silent": SILENT,
    "alert": ALERT,
    "not TLS": HTTP,
    "nameless": certificate(uris=()),
    "another's": certificate(uris=("spiffe://cluster.local/ns/shop/sa/other",)),
    "old": certificate(not_before=NOW - 0.56 * DAY, not_after=NOW + 0.44 * DAY),
    "ended": certificate(not_before=NOW - DAY - 60, not_after=NOW - 60),
}
CONNECTS = (OK, REFUSED, REJECTED, TIMEOUT)


@dataclass(frozen=True)
class Address:
    """What one address showed: 15008, the control port, the application, the hello."""

    hbone: Outcome
    control: Outcome
    application: Outcome
    said: str = ""

    @property
    def connects(self) -> tuple[Outcome, ...]:
        return (self.hbone, self.control, self.application)

    def observations(self, address: str) -> list[Observation]:
        ports = zip((15008, CONTROL, 8080), self.connects, strict=True)
        seen = [connect(port, outcome, address) for port, outcome in ports]
        if self.said:
            said = SAID[self.said]
            probe = structs.replace(said.probe, address=address)
            seen.append(structs.replace(said, probe=probe))
        return seen


def says(*endings: str) -> Callable[[Address, Target], bool]:
    return lambda seen, _: seen.said in endings


def is_blocked(seen: Address, target: Target) -> bool:
    if seen.hbone is REJECTED or (seen.hbone is not OK and seen.control is OK):
        return True
    if seen.hbone is not TIMEOUT:
        return False
    if (seen.control, seen.application) == (REFUSED, OK):
        return False
    is_dark = set(seen.connects) == {TIMEOUT}
    return not is_dark or target.lifecycle.container_ready is True


def lacks_ztunnel(seen: Address) -> bool:
    """15008 refuses; or it is filtered, and a stranger is redirected to nobody."""
    return seen.hbone is REFUSED or seen.connects == (TIMEOUT, REFUSED, OK)


ROWS: dict[str, Callable[[Address, Target], bool]] = {
    "network_blocked": is_blocked,
    "unreachable": lambda seen, _: set(seen.connects) == {TIMEOUT},
    "port_taken": says("not TLS", "nameless"),
    "redirection_missing": lambda seen, _: (seen.hbone, seen.control) == (OK, REFUSED),
    "address_family_mismatch": lambda _seen, _target: False,
    "not_enrolled": lambda seen, target: (
        lacks_ztunnel(seen) and target.redirection is Redirection.MISSING
    ),
    "enrolment_pending": lambda seen, target: (
        seen.hbone is REFUSED and target.redirection is Redirection.PENDING
    ),
    "outside_mesh": lambda seen, _: lacks_ztunnel(seen) and seen.application is OK,
    "not_served": lambda seen, _: seen.hbone is REFUSED,
    "ztunnel_stuck": says("silent"),
    "workload_unknown": says("closed late"),
    "identity_not_issued": says("closed"),
    "identity_mismatch": says("another's"),
    "certificate_expired": says("ended"),
    "certificate_not_renewed": says("old"),
}


def expected(seen: Sequence[Address], target: Target) -> str:
    for cause, holds in ROWS.items():
        if any(holds(one, target) for one in seen):
            return cause
        if cause == "address_family_mismatch" and {OK, REFUSED} <= {one.hbone for one in seen}:
            return cause
    return "none"


def found(seen: Sequence[Address], target: Target) -> str:
    """The cause at the second poll that shows the same."""
    memory, poll = Memory(), []
    for one, address in zip(seen, (V4, V6), strict=False):
        poll += one.observations(address)
    for now in (NOW - 30, NOW):
        record, memory = seen_by(poll, target=target, memory=memory, now=now)
    return cause_of(record)


def addresses(
    hellos: Sequence[str], connects: Sequence[Outcome], applications: Sequence[Outcome]
) -> list[Address]:
    return [
        Address(hbone, control, application, said)
        for hbone, control, application in product(connects, connects, applications)
        for said in (hellos if hbone is OK else ("",))
    ]


@pytest.mark.parametrize("target", [WORKLOAD, READY], ids=["workload", "ready"])
@pytest.mark.parametrize("redirection", [None, *Redirection])
def test_the_first_row_that_holds_is_the_cause(
    redirection: Redirection | None, target: Target
) -> None:
    target = enrolled(redirection, target)
    for seen in addresses(tuple(SAID), CONNECTS, CONNECTS):
        assert found([seen], target) == expected([seen], target), seen


def test_rows_hold_for_each_address_of_a_pod() -> None:
    target = replace(DUAL, redirection=Redirection.ENABLED)
    each = addresses(("served", "closed", "silent", "another's"), CONNECTS, (OK, REFUSED))
    for pair in product(each, each[::3]):
        assert found(pair, target) == expected(pair, target), pair
