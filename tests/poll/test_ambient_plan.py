"""What is sent to a workload in ambient: half-open connects, and a hello where it is due."""

from dataclasses import replace

from exporter.access.direct import is_own_address
from exporter.config import Config
from exporter.model import ProbeKind, Settings, View
from exporter.poll.plan import plan_of
from tests.diagnosis.ambient_states import BYPASSING, DUAL, V4, V6, WORKLOAD

CONFIG = Config()


def connects(target: object) -> list[tuple[int, ProbeKind]]:
    (part,) = plan_of(target, CONFIG).network
    return [(probe.port, probe.kind) for probe in part.probes]


def test_three_ports_are_connected_to_on_each_address() -> None:
    plan = plan_of(DUAL, CONFIG)
    assert [part.dialer.address for part in plan.network] == [V4, V6]
    for part in plan.network:
        assert [probe.port for probe in part.probes] == [15008, 8080, 15999]
        assert {probe.address for probe in part.probes} == {part.dialer.address}
        assert part.direct is None
        assert part.hello.kind is ProbeKind.HBONE_HELLO
        assert (part.hello.port, part.hello.via) == (15008, 0)


def test_of_many_declared_ports_four_are_connected_to() -> None:
    many = replace(WORKLOAD, settings=Settings(application_ports=tuple(range(8080, 8090))))
    assert [port for port, kind in connects(many) if kind is ProbeKind.TCP] == [
        *(15008, 8080, 8081, 8082, 8083)
    ]


def test_ports_of_ztunnel_that_an_application_declares_are_no_evidence() -> None:
    declared = Settings(application_ports=(15001, 15006, 15008, 15053, 15999))
    found = connects(replace(WORKLOAD, settings=declared))
    assert found == [(15008, ProbeKind.TCP), (15999, ProbeKind.TCP), (15998, ProbeKind.CONTROL)]


def test_the_control_port_is_not_asked_where_inbound_connections_bypass_ztunnel() -> None:
    assert ProbeKind.CONTROL not in dict(connects(BYPASSING)).values()


def test_from_a_pods_own_node_redirection_is_not_asked() -> None:
    near = replace(WORKLOAD, host_addresses=("203.0.113.7", "127.0.0.1"))
    far = replace(WORKLOAD, host_addresses=("203.0.113.7",))
    assert connects(near) == [(15008, ProbeKind.TCP)]
    assert connects(far) == connects(WORKLOAD)


def test_an_address_is_ones_own_only_if_a_packet_to_it_would_not_leave() -> None:
    assert is_own_address("127.0.0.1")
    assert not is_own_address("192.0.2.1")
    assert not is_own_address("2001:db8::1")


def test_the_pods_view_has_the_socket_table_and_dns_and_no_connection() -> None:
    plan = plan_of(replace(WORKLOAD, netns="4026531992"), CONFIG)
    assert [(probe.port, probe.kind) for probe in plan.in_pod] == [
        (15053, ProbeKind.DNS),
        (0, ProbeKind.SOCKETS),
    ]
    assert plan.on_doubt.kind is ProbeKind.SOCKETS


def test_a_port_forward_is_kept_for_a_doubt() -> None:
    plan = plan_of(WORKLOAD, CONFIG, lambda _target: object())
    assert plan.in_pod == ()
    assert (plan.on_doubt.port, plan.on_doubt.kind, plan.on_doubt.view) == (
        *(15008, ProbeKind.HBONE_HELLO),
        View.POD,
    )
