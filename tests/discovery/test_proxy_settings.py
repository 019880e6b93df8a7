"""The settings of a proxy from its pod spec, in the shapes that Istio's injector writes."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.catalogue import ports_of
from exporter.model import Interception, Role, Settings
from tests.discovery.pod_builders import (
    Document,
    app,
    document,
    proxy,
    proxy_config,
    rules,
    settings,
    sidecar,
    target,
)

PROBERS = {
    "/app-health/app/readyz": {"httpGet": {"path": "/ready", "port": 8080}},
    "/app-health/app/livez": {"tcpSocket": {"port": 8080}},
    "/app-lifecycle/app/prestopz": {"httpGet": {"path": "/stop", "port": 8080}},
}


METADATA = {
    "ENVOY_PROMETHEUS_PORT": "16090",
    "ENVOY_STATUS_PORT": "16021",
    "ENVOY_SECURE_METRICS_PORT": 15091,
    "ENVOY_SECURE_MERGED_METRICS_PORT": "15092",
    "METRICS_LOCALHOST_ACCESS_ONLY": True,
    "ISTIO_META_DNS_CAPTURE": "true",
    "ISTIO_META_ENABLE_HBONE": "true",
    "PROXY_XDS_DEBUG_VIA_AGENT": "false",
}


EXPECTED = {
    "stats_port": 16090,
    "health_port": 16021,
    "secure_stats_port": 15091,
    "secure_merged_port": 15092,
    "metrics_localhost_only": True,
    "dns_capture": True,
    "hbone": True,
    "xds_debug": False,
}


STATUS_PORT = "status.sidecar.istio.io/port"


CONFIG = "proxy.istio.io/config"


MODE = "sidecar.istio.io/interceptionMode"


TRAFFIC = "traffic.sidecar.istio.io/"


OUTBOUND_RANGES = TRAFFIC + "includeOutboundIPRanges"
OUTBOUND_PORTS = TRAFFIC + "includeOutboundPorts"
AS_VARIABLES = {
    "ENVOY_PORT": "16001",
    "INBOUND_CAPTURE_PORT": "26006",
    "ISTIO_INBOUND_INTERCEPTION_MODE": "TPROXY",
    "ISTIO_INBOUND_PORTS": "*",
    "ISTIO_LOCAL_EXCLUDE_PORTS": "9999,15090,15021,15020",
    "ISTIO_SERVICE_CIDR": "",
}


def init(*flags: str, **variables: str) -> Document:
    env = [{"name": name, "value": value} for name, value in variables.items()]
    usual = ("-d", "15090,15021,15020") if "ISTIO_LOCAL_EXCLUDE_PORTS" not in variables else ()
    return {"name": "istio-init", "args": ["istio-iptables", *flags, *usual], "env": env}


NO_OUTBOUND: tuple[tuple[tuple[Document, ...], dict[str, str]], ...] = (
    ((init("-i", ""),), {}),
    ((init("-i", "*", "-x", "10.0.0.0/8,0.0.0.0/0"),), {}),
    ((init("--istio-service-cidr=", "-q", ""),), {}),
    ((), {OUTBOUND_RANGES: ""}),
    ((), {TRAFFIC + "excludeOutboundIPRanges": "0.0.0.0/0"}),
)
AS_TEXT = {name: str(value).lower() for name, value in METADATA.items()}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param(sidecar(), {}, id="defaults"),
        pytest.param(sidecar(env=proxy_config(proxyMetadata=METADATA)), EXPECTED, id="metadata"),
        pytest.param(sidecar(env=AS_TEXT), EXPECTED, id="environment"),
        pytest.param(
            sidecar(annotations={CONFIG: json.dumps({"proxyMetadata": METADATA})}),
            EXPECTED,
            id="annotation",
        ),
        pytest.param(
            sidecar(env=proxy_config(proxyAdminPort=15100, statusPort=15120)),
            {
                "admin_port": 15100,
                "status_port": 15120,
                "excluded_inbound_ports": (15020,),
                "exempt_ports": (15090, 15021, 15020),
            },
            id="proxy-config",
        ),
        pytest.param(
            sidecar(
                env=proxy_config(admin_port=1, proxy_admin_port=15100, proxy_metadata=METADATA),
                annotations={CONFIG: "proxy_admin_port: 15200\n1: 2\n"},
            ),
            {**EXPECTED, "admin_port": 15200},
            id="keys-as-protobuf-names-them",
        ),
        pytest.param(
            sidecar(
                env=proxy_config(proxyAdminPort=15100),
                annotations={CONFIG: "proxyAdminPort: 15200\n"},
            ),
            {"admin_port": 15200},
            id="annotation-over-environment",
        ),
        pytest.param(
            sidecar(
                inits=(),
                env=proxy_config(statusPort=15120),
                annotations={STATUS_PORT: "15220", CONFIG: "statusPort: 15320"},
            ),
            {"status_port": 15220, "exempt_ports": (15090, 15021, 15020, 15220)},
            id="status-annotation-over-all",
        ),
        pytest.param(
            sidecar(inits=(), annotations={STATUS_PORT: "0"}),
            {"status_port": 0, "exempt_ports": (15090, 15021, 15020)},
            id="status-off",
        ),
        pytest.param(
            sidecar(
                inits=(),
                env={"CA_ADDR": "csr.pki:443", **proxy_config(discoveryAddress="istiod.sys:15012")},
            ),
            {"issued_elsewhere": True},
            id="an-authority-elsewhere",
        ),
        pytest.param(
            sidecar(
                inits=(),
                env={"CA_ADDR": "istiod:15012", **proxy_config(discoveryAddress="istiod:15012")},
            ),
            {"issued_elsewhere": False},
            id="istiods-own-authority",
        ),
        pytest.param(
            sidecar(inits=(), env={"CA_ADDR": "istiod.istio-system.svc:15012"}),
            {"issued_elsewhere": False},
            id="an-authority-beside-the-meshs-default",
        ),
        pytest.param(
            sidecar(inits=(rules(excluded="9999,15000"),)),
            {"excluded_inbound_ports": (9999, 15000)},
            id="excluded",
        ),
        pytest.param(
            sidecar(
                inits=(rules(excluded="9999"),),
                annotations={TRAFFIC + "excludeInboundPorts": "7777"},
            ),
            {"excluded_inbound_ports": (9999,)},
            id="what-was-written-outranks-the-annotation",
        ),
        pytest.param(
            sidecar(inits=(), annotations={TRAFFIC + "excludeInboundPorts": "7777, 8888"}),
            {"excluded_inbound_ports": (7777, 8888)},
            id="excluded-with-cni",
        ),
        pytest.param(
            sidecar(inits=(rules(included="8080"),)),
            {"included_inbound_ports": (8080,)},
            id="included",
        ),
        pytest.param(
            sidecar(inits=(), annotations={TRAFFIC + "includeInboundPorts": ""}),
            {"included_inbound_ports": ()},
            id="included-none-with-cni",
        ),
        *[
            pytest.param(
                sidecar(inits=inits, annotations={TRAFFIC + "excludeInterfaces": text}),
                {"included_inbound_ports": () if is_out else None, "captures_outbound": not is_out},
                id=f"interfaces-{text}-{'cni' if not inits else 'init'}",
            )
            for text, is_out in (
                *(("eth0", True), ("net1, eth0", True), ("eth+", True), ("+", True)),
                *(("net1", False), ("eth1", False), ("eth00", False), ("", False)),
            )
            for inits in ((), (init("-c", text),))
        ],
        pytest.param(
            sidecar(inits=(rules(mode="TPROXY"),)),
            {"interception": Interception.TPROXY},
            id="tproxy",
        ),
        pytest.param(
            sidecar(inits=(), annotations={MODE: "NONE"}),
            {"interception": Interception.NONE},
            id="interception-annotation",
        ),
        pytest.param(
            sidecar(inits=(), env=proxy_config(interceptionMode="TPROXY")),
            {"interception": Interception.TPROXY},
            id="interception-proxy-config",
        ),
        pytest.param(
            sidecar(
                inits=(
                    {
                        "name": "istio-init",
                        "command": ["pilot-agent", "istio-iptables"],
                        "args": ["--envoy-port=16001", "--inbound-capture-port", "16006"],
                    },
                )
            ),
            {"outbound_port": 16001, "inbound_port": 16006},
            id="long-flags",
        ),
        pytest.param(
            sidecar(inits=(init("-p16001", "-z=16006", "-b8080"),)),
            {"outbound_port": 16001, "inbound_port": 16006, "included_inbound_ports": (8080,)},
            id="joined-flags",
        ),
        pytest.param(
            sidecar(inits=(init("-z", "16006", **AS_VARIABLES),)),
            {
                "outbound_port": 16001,
                "inbound_port": 16006,
                "interception": Interception.TPROXY,
                "excluded_inbound_ports": (9999,),
                "captures_outbound": False,
            },
            id="flags-as-variables-which-flags-outrank",
        ),
        pytest.param(
            sidecar(inits=(rules(excluded="9000:9100,7777, 9200 : 9300 ,5:"),)),
            {
                "excluded_inbound_ports": (7777,),
                "excluded_inbound_ranges": ((9000, 9100), (9200, 9300), (5, 65535)),
            },
            id="excluded-ranges",
        ),
        *[
            pytest.param(
                sidecar(inits=(rules(excluded=text),)),
                {"excluded_inbound_ranges": found},
                id=f"excluded-range-{text}",
            )
            for text, found in (
                *(("0:65535", ((1, 65535),)), (":80", ((1, 80),)), ("80:", ((80, 65535),))),
                *((":", ()), ("0:", ((1, 65535),)), ("a:80", ()), ("80:b", ()), ("70000:", ())),
            )
        ],
        *[
            pytest.param(
                sidecar(inits=inits, annotations=annotations),
                {"captures_outbound": False},
                id=f"outbound-not-captured-{number}",
            )
            for number, (inits, annotations) in enumerate(NO_OUTBOUND)
        ],
        pytest.param(
            sidecar(inits=(), annotations={OUTBOUND_RANGES: "", OUTBOUND_PORTS: "443"}),
            {"captures_outbound": True},
            id="outbound-ports-alone",
        ),
        pytest.param(
            sidecar(env={"ISTIO_KUBE_APP_PROBERS": json.dumps(PROBERS)}),
            {"app_probe_paths": ("/app-health/app/livez", "/app-health/app/readyz")},
            id="application-probes-without-lifecycle",
        ),
        pytest.param(
            document(app(9000, 8080), proxy("sidecar"), app(9001, 9001, name="two")),
            {"app_ports": (8080, 9000, 9001)},
            id="many-containers",
        ),
        pytest.param(
            document({**app(), "ports": [{"containerPort": 53, "protocol": "UDP"}]}, proxy()),
            {"app_ports": ()},
            id="udp",
        ),
        pytest.param(
            sidecar(
                env={
                    "PROXY_CONFIG": "{",
                    "ENVOY_STATUS_PORT": "many",
                    "ISTIO_META_DNS_CAPTURE": "",
                },
                annotations={CONFIG: "- [a", STATUS_PORT: "99999", MODE: "SOMETIMES"},
            ),
            {},
            id="malformed-parts-count-as-absent",
        ),
        pytest.param(
            sidecar(env=proxy_config(proxyMetadata=["a"], proxyAdminPort=True, statusPort=-1)),
            {},
            id="wrong-types-count-as-absent",
        ),
    ],
)
def test_settings_are_read_from_the_spec(pod: Document, expected: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"app_ports": (8080,)}
    assert settings(pod) == Settings(**{**usual, **expected})


def test_gateway_ports_are_the_ones_it_declares_itself() -> None:
    declared = [{"containerPort": port} for port in (15020, 15021, 15090, 8443, 8080)]
    found = settings(document(proxy("router", ports=declared)))
    assert (found.app_ports, found.server_ports) == ((8080, 8443), ())


@pytest.mark.parametrize(
    ("role", "env", "captures"),
    [
        ("sidecar", {}, True),
        ("sidecar", {"DISABLE_ENVOY": "true"}, True),
        ("router", {}, False),
        ("waypoint", {}, False),
    ],
)
def test_dns_is_served_by_every_agent_and_captured_of_sidecars_alone(
    role: str, env: dict[str, str], *, captures: bool
) -> None:
    served = []
    for name in ("ISTIO_META_DNS_CAPTURE", "ISTIO_META_ENABLE_DNS_SERVER", "OTHER"):
        found = target(document(proxy(role, env=env | {name: "true"})))
        served.append(15053 in {port.number for port in ports_of(found)})
    assert served == [captures, True, False]


def test_ztunnel_has_its_own_key_for_the_stats_port() -> None:
    env = proxy_config(statsPort=15120, statusPort=15220, proxyAdminPort=15100)
    found = settings(document(proxy("ztunnel", env=env)))
    assert (found.status_port, found.admin_port) == (15120, 15100)


def test_status_server_that_is_off_is_not_expected() -> None:
    found = target(sidecar(inits=(), annotations={STATUS_PORT: "0"}))
    assert [port.number for port in ports_of(found)] == [15000, 15001, 15006, 15021, 15090]


@given(st.text(), st.text(), st.text())
def test_no_text_in_a_pod_breaks_discovery(config: str, annotation: str, port: str) -> None:
    pod = sidecar(
        inits=(rules(included=port, excluded=annotation),),
        env={
            "PROXY_CONFIG": config,
            "ISTIO_KUBE_APP_PROBERS": annotation,
            "ENVOY_STATUS_PORT": port,
        },
        annotations={CONFIG: annotation, STATUS_PORT: port, TRAFFIC + "excludeInboundPorts": port},
    )
    assert target(pod).role is Role.SIDECAR


BOMB = "\n".join(
    [
        "proxyMetadata:",
        "  a: &a [x, x, x, x, x, x, x, x]",
        *(f"  {b}: &{b} [{', '.join([f'*{a}'] * 8)}]" for a, b in pairwise("abcdefgh")),
        "statusPort: 16000",
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "a: &a {b: c}\nstatusPort: 16000\nd: *a",
        "statusPort: 16000\n# " + "x" * 65536,
        "statusPort: 16000\na: " + "[" * 60000,
        "statusPort: 16000\na: !!int ''",
        "statusPort: 16000\na: !!bool x",
        "statusPort: 16000\na: " + "1:" * 300 + "1.0",
        "statusPort: 16000\na: " + "1:" * 8000 + "1",
    ],
    ids=["bomb", "alias", "large", "deep", "empty number", "bad boolean", "overflow", "base 60"],
)
def test_hostile_proxy_config_counts_as_absent(text: str) -> None:
    found = settings(sidecar(annotations={"proxy.istio.io/config": text}))
    assert found.status_port == 15020


def test_proxy_metadata_is_plain_values_only() -> None:
    text = "proxyMetadata: {ENVOY_STATUS_PORT: 16021, ENVOY_PROMETHEUS_PORT: [1], a: 0x"
    text += "F" * 5000
    found = settings(sidecar(annotations={"proxy.istio.io/config": text + "}"}))
    assert (found.health_port, found.stats_port) == (16021, 15090)
