"""The catalogue's rows, and what they become for a given target."""

import pytest

from exporter.catalogue import (
    PORTS,
    ExtraPort,
    control_port,
    is_captured,
    is_newer_than_known,
    line_of,
    ports_of,
)
from exporter.model import Expectation, Interception, Role, Settings, Target, TargetKey


def a_target(role: Role = Role.SIDECAR, version: str = "1.28.0", **settings: object) -> Target:
    return Target(
        key=TargetKey("shop", "cart"),
        role=role,
        addresses=("10.0.0.1",),
        captured=role is Role.SIDECAR,
        istio_version=version,
        settings=Settings(**settings),  # type: ignore[arg-type]
    )


def expectations(target: Target) -> dict[int, str]:
    return {port.number: str(port.expectation) for port in ports_of(target)}


PLAIN = {
    15000: "loopback",
    15001: "open",
    15006: "open",
    15020: "open",
    15021: "open",
    15090: "open",
}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(a_target(), PLAIN, id="a plain sidecar"),
        pytest.param(a_target(version="1.24.2"), PLAIN | {15004: "loopback"}, id="15004 in 1.24"),
        pytest.param(a_target(version="1.99.0"), PLAIN, id="newer than the catalogue"),
        pytest.param(a_target(version=""), PLAIN, id="no version"),
        pytest.param(
            a_target(admin_port=15100, status_port=15120),
            {15100: "loopback", 15120: "open"}
            | {p: e for p, e in PLAIN.items() if p not in (15000, 15020)},
            id="moved by annotation and ProxyConfig",
        ),
        pytest.param(
            a_target(stats_port=16090, health_port=16021),
            {16090: "open", 16021: "open"}
            | {p: e for p, e in PLAIN.items() if p not in (15090, 15021)},
            id="moved by env",
        ),
        pytest.param(
            a_target(metrics_localhost_only=True), PLAIN | {15090: "loopback"}, id="localhost only"
        ),
        pytest.param(a_target(dns_capture=True), PLAIN | {15053: "loopback"}, id="DNS capture"),
        pytest.param(a_target(hbone=True), PLAIN | {15008: "open"}, id="HBONE"),
        pytest.param(
            a_target(interception=Interception.NONE),
            {p: e for p, e in PLAIN.items() if p not in (15001, 15006)},
            id="interception NONE has no virtual listeners",
        ),
        pytest.param(
            a_target(status_port=0),
            {p: e for p, e in PLAIN.items() if p != 15020},
            id="status server off",
        ),
        pytest.param(
            a_target(version="1.31.0", secure_stats_port=15091, secure_merged_port=15092),
            PLAIN | {15091: "open", 15092: "open"},
            id="secure metrics",
        ),
        pytest.param(
            a_target(Role.GATEWAY, server_ports=(8080,)),
            {15000: "loopback", 15020: "open", 15021: "open", 15090: "open", 8080: "open"},
            id="a gateway has its servers and no virtual listeners",
        ),
        pytest.param(
            a_target(Role.WAYPOINT),
            {15000: "loopback", 15008: "open", 15020: "open", 15021: "open", 15090: "open"},
            id="a waypoint",
        ),
        pytest.param(a_target(Role.PROXYLESS), {15020: "open"}, id="an agent without Envoy"),
        pytest.param(
            a_target(Role.ISTIOD),
            {8080: "open", 15010: "open", 15012: "open", 15014: "open", 15017: "open"}
            | {9876: "loopback"},
            id="istiod",
        ),
        pytest.param(
            a_target(Role.CNI), {8000: "open", 15014: "open", 9876: "loopback"}, id="the CNI agent"
        ),
    ],
)
def test_a_target_has_the_ports_its_role_version_and_settings_say(
    target: Target, expected: dict[int, str]
) -> None:
    assert expectations(target) == expected


@pytest.mark.parametrize(
    ("settings", "captured"),
    [
        pytest.param({}, {15000, 15001, 15004, 9999}, id="all but the fixed exclusions"),
        pytest.param(
            {"excluded_inbound_ports": (9999, 15000)}, {15001, 15004}, id="excluded by annotation"
        ),
        pytest.param({"included_inbound_ports": (8080,)}, set(), id="an include list"),
        pytest.param(
            {"status_port": 15120}, {15000, 15001, 15004, 15020, 9999}, id="15020 once moved away"
        ),
        pytest.param({"interception": Interception.NONE}, set(), id="no interception"),
    ],
)
def test_capture_follows_istios_rules(settings: dict[str, object], captured: set[int]) -> None:
    target = a_target(**settings)
    asked = (9999, 15000, 15001, 15004, 15008, 15020, 15021, 15090)
    assert {port for port in asked if is_captured(port, target)} == captured


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        pytest.param({}, 15999, id="the preferred one"),
        pytest.param({"excluded_inbound_ports": (15999,)}, 15998, id="never an excluded one"),
        pytest.param({"app_ports": (15999, 15998)}, 15997, id="never the application's"),
        pytest.param({"included_inbound_ports": (8080,)}, None, id="none beside an include list"),
        pytest.param({"interception": Interception.NONE}, None, id="none without capture"),
    ],
)
def test_the_control_port_is_captured_and_unused(
    settings: dict[str, object], port: int | None
) -> None:
    assert control_port(a_target(**settings), 15999) == port


def test_a_users_row_overrides_and_adds() -> None:
    rows = (
        ExtraPort(port=15090, role=Role.SIDECAR, expect=Expectation.ABSENT),
        ExtraPort(port=9080, role=Role.SIDECAR, probe="http", path="/health", component="app"),
        ExtraPort(port=9081, role=Role.SIDECAR, probe="tcp", namespaces=("other",)),
    )
    ports = {port.number: port for port in ports_of(a_target(), rows)}
    assert 15090 not in ports
    assert 9081 not in ports
    assert (ports[9080].probe, ports[9080].path, ports[9080].component) == (
        "http",
        "/health",
        "app",
    )


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("1.28.3", (1, 28)),
        ("1.32-dev", (1, 32)),
        ("v1.30.0-distroless", (1, 30)),
        ("unknown", None),
        ("", None),
    ],
)
def test_a_version_names_its_line(version: str, line: tuple[int, int] | None) -> None:
    assert line_of(version) == line


def test_a_version_beyond_the_catalogue_is_known_as_such() -> None:
    assert is_newer_than_known("1.99.0")
    assert not is_newer_than_known("1.32.1")
    assert not is_newer_than_known("unknown")


def test_every_row_explains_itself() -> None:
    for row in PORTS:
        assert row.purpose.endswith("."), row
        assert row.by_hand, row
        assert row.bind in ("all", "loopback"), row
        assert row.category in ("traffic", "health", "telemetry", "debug", "control"), row


def test_ports_and_roles_are_unique() -> None:
    keys = [(row.number, row.role) for row in PORTS]
    assert len(keys) == len(set(keys))


def test_application_ports_are_asked_where_a_connect_proves_something() -> None:
    settings = {"app_ports": (8080, 9000, 15021), "excluded_inbound_ports": (9000,)}
    target = a_target(**settings)
    assert not {port.number for port in ports_of(target)} & {8080, 9000}
    found = {port.number: port for port in ports_of(target, applications=True)}
    asked = {number: (found[number].probe, found[number].pod_probe) for number in (8080, 9000)}
    assert asked == {8080: (None, "tcp"), 9000: ("tcp", "tcp")}
    assert {found[number].expectation for number in asked} == {Expectation.OPTIONAL}
    assert {found[number].component for number in asked} == {"app"}
    assert found[15021].name == "health"
