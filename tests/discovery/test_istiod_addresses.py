"""The addresses on which istiod was started to listen: empty is off, and a host may be loopback."""

import pytest

from exporter.catalogue import PORTS, Port, ports_of
from exporter.catalogue.movers import port_of_address
from exporter.model import Expectation, Role
from tests.discovery.pod_builders import Document, document, targets

MOVED = [
    (row, mover.names[0])
    for row in PORTS
    for mover in row.moved_by
    if row.role is Role.ISTIOD and mover.parse is port_of_address
]


def istiod(*args: str, env: dict[str, str] | None = None) -> Document:
    variables = [{"name": name, "value": value} for name, value in (env or {}).items()]
    container = {
        "name": "discovery",
        "image": "istio/pilot:1.28.1",
        "args": ["discovery", *args],
        "env": variables,
    }
    return document(container, labels={"app": "istiod"})


@pytest.mark.parametrize(("row", "flag"), MOVED, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize(
    ("address", "number", "expectation"),
    [
        ("", 0, None),
        ('""', 0, None),
        (":17001", 17001, Expectation.OPEN),
        ("0.0.0.0:17001", 17001, Expectation.OPEN),
        ("[::]:17001", 17001, Expectation.OPEN),
        ("10.0.0.7:17001", 17001, Expectation.OPEN),
        ("127.0.0.1:17001", 17001, Expectation.LOOPBACK),
        ("127.0.0.1:0", 0, None),
        ("localhost:17001", 17001, Expectation.LOOPBACK),
        ("[::1]:17001", 17001, Expectation.LOOPBACK),
    ],
)
@pytest.mark.parametrize("apart", [False, True], ids=["joined", "apart"])
def test_an_address_moves_a_port_keeps_it_inside_or_switches_it_off(
    row: Port, flag: str, address: str, number: int, expectation: Expectation | None, *, apart: bool
) -> None:
    (target,) = targets(istiod(*([flag, address] if apart else [f"{flag}={address}"])))
    found = {port.name: port for port in ports_of(target)}
    if expectation is None:
        assert row.name not in found
        return
    port = found[row.name]
    assert (port.number, port.expectation) == (number, expectation)
    assert (port.probe is None) is (expectation is Expectation.LOOPBACK)


@pytest.mark.parametrize(
    ("env", "number"), [({"MONITORING": ":17014"}, 17014), ({}, 15014), ({"MONITORING": ""}, None)]
)
def test_arguments_refer_to_variables(env: dict[str, str], number: int | None) -> None:
    (target,) = targets(istiod("--monitoringAddr=$(MONITORING)", env=env))
    found = {str(port.name): port.number for port in ports_of(target)}
    assert found.get("http-monitoring") == number


@pytest.mark.parametrize(("args", "is_plaintext"), [(("--grpcAddr=",), True), ((), False)])
def test_xds_in_plaintext_on_8080_is_shown_where_it_is(
    args: tuple[str, ...], *, is_plaintext: bool
) -> None:
    (target,) = targets(istiod(*args))
    (debug,) = (port for port in ports_of(target) if port.number == 8080)
    assert ("xDS in plaintext" in debug.by_hand) is is_plaintext
