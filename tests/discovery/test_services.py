"""The ports that Services ask of gateways."""

import json
from collections.abc import Sequence

import msgspec
import pytest

from exporter.bounds import SERVICES
from exporter.catalogue import ports_of
from exporter.discovery.services import service_of, with_services
from exporter.model import Expectation, Role, Settings, Target, TargetKey

MANAGED = {"gateway.networking.k8s.io/gateway-name": "web"}
CLASSIC = {"istio": "ingressgateway"}
PORTS = (
    {"name": "status-port", "port": 15021, "targetPort": 15021, "appProtocol": "tcp"},
    {"name": "http", "port": 80, "targetPort": 8080, "appProtocol": "http"},
    {"name": "same", "port": 8443, "appProtocol": "https"},
    {"name": "http3", "port": 8443, "targetPort": 9443, "protocol": "UDP", "appProtocol": "https"},
    {"name": "named", "port": 81, "targetPort": "web", "appProtocol": "http"},
)
HTTP = {"port": 80, "appProtocol": "http"}


def service(
    selector: dict[str, str] | None,
    namespace: str = "shop",
    rows: Sequence[object] = PORTS,
    owner: str = "Gateway",
) -> bytes:
    owners = [{"kind": owner, "name": "web"}] if owner else None
    document = {
        "metadata": {"name": "web", "namespace": namespace, "ownerReferences": owners},
        "spec": {"selector": selector, "ports": rows},
    }
    return json.dumps(document).encode()


def gateway(labels: dict[str, str], role: Role = Role.GATEWAY) -> Target:
    return Target(key=TargetKey("shop", "web-1"), role=role, addresses=("10.0.0.7",), labels=labels)


def served(target: Target, document: bytes) -> Settings:
    return with_services(target, [service_of(document)[1]]).settings


def test_a_gateway_has_to_serve_the_ports_of_the_service_that_its_gateway_owns() -> None:
    settings = served(gateway(MANAGED), service(MANAGED))
    assert settings == Settings(server_ports=(8080, 8443), app_ports=(15021,))


@pytest.mark.parametrize("protocol", ["tcp", "tls", "udp", "hbone", ""])
def test_a_listener_that_envoy_has_with_a_route_alone_may_be_absent(protocol: str) -> None:
    rows = [{"port": 443, "appProtocol": "https"}, {"port": 9000, "appProtocol": protocol}]
    target = with_services(gateway(MANAGED), [service_of(service(MANAGED, rows=rows))[1]])
    wanted = {p.number: p.expectation for p in ports_of(target)}
    assert (wanted[443], wanted[9000]) == (Expectation.OPEN, Expectation.OPTIONAL)


@pytest.mark.parametrize("labels", [CLASSIC, MANAGED], ids=["classic", "of the Gateway API"])
@pytest.mark.parametrize("owner", ["", "HelmRelease"])
def test_it_may_serve_those_of_any_other(labels: dict[str, str], owner: str) -> None:
    found = service_of(service(labels, owner=owner))
    target = with_services(gateway(labels), [found[1]])
    wanted = {p.number: p.expectation for p in ports_of(target)}
    assert {number: wanted[number] for number in (8080, 8443)} == dict.fromkeys(
        (8080, 8443), Expectation.OPTIONAL
    )
    assert wanted[15021] is Expectation.OPEN


def test_a_port_of_two_services_has_to_be_served_where_one_is_the_gateways() -> None:
    of_gateway = service_of(service(MANAGED, rows=[HTTP]))[1]
    other = service_of(service(MANAGED, rows=[HTTP, {"port": 9000}], owner=""))[1]
    settings = with_services(gateway(MANAGED), [other, of_gateway]).settings
    assert settings == Settings(server_ports=(80,), app_ports=(9000,))


@pytest.mark.parametrize(
    ("target", "document"),
    [
        pytest.param(gateway(CLASSIC), service(MANAGED), id="other labels"),
        pytest.param(gateway(MANAGED), service(MANAGED, "bank"), id="another namespace"),
        pytest.param(gateway(MANAGED), service(None), id="no selector"),
        pytest.param(gateway(MANAGED), service({}), id="an empty selector"),
        pytest.param(gateway(MANAGED, Role.SIDECAR), service(MANAGED), id="no gateway"),
    ],
)
def test_a_service_that_leads_elsewhere_changes_nothing(target: Target, document: bytes) -> None:
    assert served(target, document) == Settings()


def test_what_is_no_service_raises() -> None:
    with pytest.raises(msgspec.ValidationError):
        service_of(b'{"metadata": {"name": 7}}')


def test_of_very_many_services_some_count() -> None:
    found = [
        service_of(service(MANAGED, rows=[{**HTTP, "port": number}]))[1]
        for number in range(80, 80 + 1000)
    ]
    settings = with_services(gateway(MANAGED), found).settings
    assert settings.server_ports == tuple(range(80, 80 + SERVICES))


def test_only_valid_ports_of_a_service_count() -> None:
    rows = [{**HTTP, "targetPort": number} for number in (-1, 443, 65536, 10**9)]
    settings = served(gateway(MANAGED), service(MANAGED, rows=rows))
    assert settings == Settings(server_ports=(443,))
