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
    {"name": "http", "port": 80, "targetPort": 8080},
    {"name": "status", "port": 15021, "targetPort": 15021},
    {"name": "same", "port": 8443},
    {"name": "http3", "port": 8443, "targetPort": 9443, "protocol": "UDP"},
    {"name": "named", "port": 81, "targetPort": "web"},
)


def service(
    selector: dict[str, str] | None, namespace: str = "shop", rows: Sequence[object] = PORTS
) -> bytes:
    document = {
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": selector, "ports": rows},
    }
    return json.dumps(document).encode()


def gateway(labels: dict[str, str], role: Role = Role.GATEWAY) -> Target:
    return Target(key=TargetKey("shop", "web-1"), role=role, addresses=("10.0.0.7",), labels=labels)


def served(target: Target, document: bytes) -> Settings:
    return with_services(target, [service_of(document)[1]]).settings


def test_a_gateway_api_gateway_has_to_serve_the_ports_of_its_service() -> None:
    settings = served(gateway(MANAGED), service(MANAGED))
    assert settings == Settings(server_ports=(8080, 8443, 15021))


def test_any_other_gateway_may_serve_it() -> None:
    target = gateway(CLASSIC)
    found = service_of(service(CLASSIC))
    wanted = {p.number: p.expectation for p in ports_of(with_services(target, [found[1]]))}
    assert {number: wanted[number] for number in (8080, 8443)} == dict.fromkeys(
        (8080, 8443), Expectation.OPTIONAL
    )
    assert wanted[15021] is Expectation.OPEN


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
        service_of(service(MANAGED, rows=[{"port": number}]))[1] for number in range(80, 80 + 1000)
    ]
    settings = with_services(gateway(MANAGED), found).settings
    assert settings.server_ports == tuple(range(80, 80 + SERVICES))


def test_only_valid_ports_of_a_service_count() -> None:
    rows = [{"port": 1, "targetPort": number} for number in (-1, 443, 65536, 10**9)]
    settings = served(gateway(MANAGED), service(MANAGED, rows=rows))
    assert settings == Settings(server_ports=(443,))
