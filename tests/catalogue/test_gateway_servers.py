"""Which servers a gateway has, by its admin's facts."""

import pytest

from exporter.catalogue import ports_of
from exporter.catalogue.gateway_servers import configured_servers, newest_admin
from exporter.model import (
    AdminFacts,
    BoundListener,
    Expectation,
    Outcome,
    Role,
    Settings,
    Target,
)
from tests.diagnosis.matrix import GATEWAY, SIDECAR, inside, net, page, seen_by, target_of

OK, REFUSED = Outcome.OK, Outcome.REFUSED
STATIC = (("0.0.0.0_15021", 15021), ("0.0.0.0_15090", 15090))


def listening(*rows: tuple[str, int], address: str = "0.0.0.0", **more: object) -> AdminFacts:
    listeners = (BoundListener(name=name, address=address, port=port) for name, port in rows)
    return AdminFacts(state="LIVE", listeners=tuple(listeners), **more)


BARE = target_of(Role.GATEWAY)


@pytest.mark.parametrize(
    ("admin", "servers"),
    [
        pytest.param(None, {}, id="never requested"),
        pytest.param(AdminFacts(state="LIVE"), {}, id="no listeners"),
        pytest.param(listening(*STATIC), {}, id="no servers"),
        pytest.param(listening(*STATIC, ("0.0.0.0_80", 80)), {80: "0.0.0.0_80"}, id="one"),
        pytest.param(listening(("::_8443", 8443), address="::"), {8443: "::_8443"}, id="IPv6"),
        pytest.param(listening(("udp_0.0.0.0_8443", 8443)), {}, id="HTTP/3"),
        pytest.param(listening(("127.0.0.1_15004", 15004), address="127.0.0.1"), {}, id="loopback"),
        pytest.param(listening(("one", 8080)), {}, id="a name of somebody's own"),
        pytest.param(
            listening(warming=("0.0.0.0_8443",)), {8443: "0.0.0.0_8443"}, id="one that waits"
        ),
        pytest.param(
            listening(rejected={"0.0.0.0_80": "cannot bind", "": "x"}),
            {80: "0.0.0.0_80"},
            id="one that was refused",
        ),
    ],
)
def test_servers_are_what_envoy_was_told_of(
    admin: AdminFacts | None, servers: dict[int, str]
) -> None:
    found = configured_servers(BARE, ports_of(BARE), admin)
    assert {port.number: port.name for port in found} == servers
    assert all(port.expectation is Expectation.OPEN for port in found)


def test_only_gateways_have_servers_and_known_ones_are_not_learnt_again() -> None:
    admin = listening(("0.0.0.0_8443", 8443))
    assert configured_servers(SIDECAR, ports_of(SIDECAR), admin) == ()
    assert configured_servers(GATEWAY, ports_of(GATEWAY), admin) == ()
    ignoring = target_of(Role.GATEWAY, ignored_ports=(8443,))
    assert configured_servers(ignoring, ports_of(ignoring), admin) == ()


def declaring(*ports: int) -> Target:
    return target_of(Role.GATEWAY, settings=Settings(app_ports=ports))


@pytest.mark.parametrize(("outcome", "up"), [(OK, {8080: True}), (REFUSED, {})])
def test_a_declared_port_is_told_of_only_while_it_answers(
    outcome: Outcome, up: dict[int, bool]
) -> None:
    seen = [net(15020, OK, facts=page()), net(15021, OK), net(15090, OK), net(8080, outcome)]
    record, _ = seen_by(seen, target=declaring(8080))
    assert {v.port: v.up for v in record.verdicts if v.component == "gateway"} == up
    assert record.proxy.bound == {f"0.0.0.0_{port}": True for port in up}
    assert record.diagnosis is None


def test_a_declared_port_that_envoy_was_told_of_has_to_answer() -> None:
    target = declaring(8080)
    (port,) = configured_servers(target, ports_of(target), listening(("0.0.0.0_8080", 8080)))
    assert port.expectation is Expectation.OPEN


def test_the_newest_word_of_admin_is_that_of_its_listeners() -> None:
    facts = listening(("0.0.0.0_80", 80))
    assert newest_admin([net(15020, OK, facts=page()), inside(15000, OK, facts)]) is facts
    assert newest_admin([inside(15000, OK, AdminFacts(state="LIVE"))]) is None
    assert newest_admin([net(15000, OK, facts=facts)]) is None
