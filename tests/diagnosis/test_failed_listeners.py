"""A listener that Envoy could not create: whose fault it is needs proof beside the counters."""

from dataclasses import dataclass, replace

import pytest
from msgspec import structs

from exporter.model import (
    AdminFacts,
    BoundListener,
    Interception,
    ListeningSocket,
    Observation,
    Outcome,
    Settings,
)
from tests.diagnosis.matrix import (
    CONTROL,
    SIDECAR,
    STATS,
    cause_of,
    hello,
    inside,
    net,
    seen_by,
    sidecar,
    sockets,
    ups,
)

OK, RESET, REFUSED = Outcome.OK, Outcome.RESET, Outcome.REFUSED
FAILED = structs.replace(STATS, lds_success=0, lds_rejected=1, listener_create_failures=1)
OUTBOUND = BoundListener(name="virtualOutbound", address="0.0.0.0", port=15001)
INBOUND = BoundListener(name="virtualInbound", address="0.0.0.0", port=15006)
IN_USE = "cannot bind '0.0.0.0:{}': Address already in use"
DENIED = "cannot set socket option IP_TRANSPARENT on '0.0.0.0:15006': Operation not permitted"
VERDICTS = {True: "up", False: "down", None: "unjudged"}
UNREACHED = [net(CONTROL, REFUSED), net(15006, REFUSED)]


def admin(reasons: dict[str, str] | None, *listeners: BoundListener) -> Observation:
    return inside(15000, OK, AdminFacts(state="LIVE", listeners=listeners, rejected=reasons))


def owner(port: int, process: str) -> ListeningSocket:
    return ListeningSocket(port=port, address="0.0.0.0", process=process)


@dataclass(frozen=True)
class Row:
    """What was seen beside the counters; the cause, and the verdict on 15006."""

    seen: list[Observation]
    cause: str
    inbound: str
    interception: Interception = Interception.REDIRECT
    evidence: str = ""


ROWS = {
    "counters alone": Row([], "configuration_rejected", "up", evidence="15001 or 15006"),
    "counters, and a hello that is reset": Row(
        [hello(RESET)], "configuration_rejected", "unjudged", evidence="15001 or 15006"
    ),
    "15001 is in use": Row(
        [admin({"virtualOutbound": IN_USE.format(15001)}, INBOUND)],
        "port_taken",
        "up",
        evidence="Address already in use",
    ),
    "15006 is in use and resets the hello": Row(
        [hello(RESET), admin({"virtualInbound": IN_USE.format(15006)}, OUTBOUND)],
        "port_taken",
        "down",
        evidence="Address already in use",
    ),
    "15006 is in use by its number alone": Row(
        [hello(Outcome.CLOSED), admin({"other": "bind '[::]:15006': address in use"})],
        "port_taken",
        "down",
    ),
    "15006 is in use and no hello was sent": Row(
        [net(CONTROL, OK), admin({"virtualInbound": IN_USE.format(15006)}, OUTBOUND)],
        "port_taken",
        "up",
    ),
    "15006 accepts although Envoy lacks it": Row(
        [hello(RESET), admin({}, OUTBOUND)], "port_taken", "down", evidence="another process"
    ),
    "15006 is another's in the socket table": Row(
        [hello(RESET), sockets(owner(15006, "python"))], "port_taken", "down", evidence="python"
    ),
    "15001 is another's in the socket table": Row(
        [sockets(owner(15001, "python"), owner(15006, "envoy"))],
        "port_taken",
        "up",
        evidence="python",
    ),
    "15006 answers in another protocol": Row([hello(Outcome.WRONG_PROTOCOL)], "port_taken", "down"),
    "without NET_ADMIN": Row(
        [*UNREACHED, admin({"virtualInbound": DENIED}, OUTBOUND)],
        "configuration_rejected",
        "down",
        Interception.TPROXY,
        "Operation not permitted",
    ),
    "for an unknown reason": Row(
        [*UNREACHED, admin({"virtualInbound": "no such filter"}, OUTBOUND)],
        "configuration_rejected",
        "down",
        evidence="no such filter",
    ),
    "for a reason that admin does not have": Row(
        [*UNREACHED, admin({}, OUTBOUND)], "configuration_rejected", "down", evidence="15006"
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_failed_listener_is_a_taken_port_only_with_proof(row: Row) -> None:
    target = replace(SIDECAR, settings=Settings(interception=row.interception))
    seen = sidecar(net(15090, OK, facts=FAILED), *row.seen)
    record, memory = seen_by(seen, target=target)
    again, _ = seen_by(seen, target=target, memory=memory)
    for one in (record, again):
        assert one.diagnosis is not None
        assert one.diagnosis.cause == row.cause
        assert row.evidence in " / ".join(one.diagnosis.evidence)
        assert VERDICTS[ups(one)[15006]] == row.inbound


@pytest.mark.parametrize(
    "reason", [IN_USE.format(9080), IN_USE.format(15006), "Operation not permitted", "bad"]
)
def test_without_interception_a_failed_listener_is_a_rejected_update(reason: str) -> None:
    settings = Settings(interception=Interception.NONE)
    target = replace(SIDECAR, captured=False, settings=settings)
    seen = sidecar(
        net(15090, OK, facts=FAILED), admin({"0.0.0.0_9080": reason}), without=(CONTROL, 15006)
    )
    record, _ = seen_by(seen, target=target)
    assert cause_of(record) == "configuration_rejected"
    assert record.diagnosis is not None
    assert f"0.0.0.0_9080: {reason}" in record.diagnosis.evidence


def test_a_reset_hello_means_mtls_off_only_while_every_listener_was_created() -> None:
    details = []
    for stats in (STATS, FAILED):
        record, _ = seen_by(sidecar(hello(RESET), net(15090, OK, facts=stats)))
        details += [verdict.detail for verdict in record.verdicts if verdict.port == 15006]
    assert [detail.endswith("mTLS is off") for detail in details] == [True, False]


@pytest.mark.parametrize(
    ("reason", "word"), [(DENIED, "NET_ADMIN"), ("no such filter", "EnvoyFilter")]
)
def test_the_advice_names_the_capability_where_one_is_missing(reason: str, word: str) -> None:
    seen = sidecar(net(15090, OK, facts=FAILED), admin({"virtualInbound": reason}, OUTBOUND))
    record, _ = seen_by(seen)
    assert record.diagnosis is not None
    assert word in record.diagnosis.advice


def test_a_certificate_outweighs_an_old_reason() -> None:
    reasons = admin({"virtualInbound": IN_USE.format(15006)}, INBOUND)
    record, _ = seen_by(sidecar(net(15090, OK, facts=FAILED), reasons))
    assert ups(record)[15006] is True
