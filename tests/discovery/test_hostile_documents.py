"""Pod documents that nobody vouches for: any of them is a target, none, or left out."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config import Config
from exporter.discovery.pod_documents import Pod, decode_pod
from exporter.discovery.pods import ambient_redirection, targets_of_pod
from exporter.kube.json_decoding import shallow
from exporter.kube.object_reader import ObjectReader, metadata_of
from exporter.kube.watch_events import EventType, WatchEvent, event_of, page_of
from exporter.parsing import parse_address, parse_number, parse_port, parse_time, parse_version
from exporter.poll.plan import plan_of

NUMBERS = (
    "0",
    "15020",
    "65536",
    "-1",
    "+1",
    "1_0",
    "1e3",
    "²",
    "١٥٠٢٠",
    "9" * 5000,
    " " * 12 + "80",
)
VERSIONS = (
    "1.28",
    "v1.28.3-distroless",
    "1.\u00b2",
    "\u0661.\u0662",
    "1." + "9" * 5000,
    "1.",
    ".",
    "1.28\n",
    "v",
)
ADDRESSES = ("10.0.0.1", "fd00::1", "::ffff:10.0.0.1", "x", "10.0.0.1\n", "fe80::1%\0", "1" * 5000)
TIMES = ("2026-01-01T00:00:00Z", "0001-01-01T00:00:00", "9999-12-31T23:59:59-23:59", "9" * 5000)
DEEP = "[" * 1200 + "]" * 1200
CONFIGS = (DEEP, '{"statusPort": 1e400}', "statusPort: 0x" + "F" * 5000, "- 1", "{1: 2}", "a: &a b")

texts = st.one_of(
    st.sampled_from((*NUMBERS, *VERSIONS, *ADDRESSES, *TIMES, *CONFIGS)),
    st.lists(st.sampled_from(NUMBERS), max_size=3).map(",".join),
    st.text(max_size=20),
)
numbers = st.one_of(st.integers(), st.sampled_from((0, 1, 15020, 65535, 65536, 2**31, 10**400)))
FLAGS = ("-p", "-z", "-m", "-b", "-d", "--envoy-port", "istio-iptables", "proxy", "router")
words = st.lists(st.one_of(st.sampled_from(FLAGS), texts), max_size=8)
VARIABLES = (
    "PROXY_CONFIG",
    "ENVOY_PROMETHEUS_PORT",
    "ENVOY_STATUS_PORT",
    "ENVOY_SECURE_METRICS_PORT",
    "ISTIO_META_ISTIO_VERSION",
    "ISTIO_VERSION",
    "ISTIO_KUBE_APP_PROBERS",
    "ISTIO_META_INTERCEPTION_MODE",
)
ANNOTATIONS = (
    "proxy.istio.io/config",
    "status.sidecar.istio.io/port",
    "sidecar.istio.io/status",
    "traffic.sidecar.istio.io/includeInboundPorts",
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "istio-port-exporter/ignore",
    "istio.io/rev",
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


env = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(VARIABLES), "value": texts}), max_size=4
)
containers = st.lists(
    some(
        name=st.sampled_from(("istio-proxy", "discovery", "install-cni", "agentgateway", "app")),
        image=texts.map("proxyv2:{}".format),
        args=words,
        command=words,
        env=env,
        ports=st.lists(some(containerPort=numbers, protocol=st.just("TCP")), max_size=3),
        restartPolicy=st.sampled_from(("Always", "")),
    ),
    max_size=3,
)
states = some(
    running=some(startedAt=texts),
    waiting=some(reason=texts),
    terminated=some(reason=texts, exitCode=numbers),
)
statuses = st.lists(
    some(
        name=st.just("istio-proxy"),
        ready=st.booleans(),
        restartCount=numbers,
        containerID=texts,
        state=states,
        lastState=states,
    ),
    max_size=2,
)
pods = st.fixed_dictionaries(
    {"metadata": st.fixed_dictionaries({"name": texts}, optional={
        "namespace": texts,
        "uid": texts,
        "creationTimestamp": texts,
        "labels": st.dictionaries(st.sampled_from(("app", "istio.io/rev", "x")), texts),
        "annotations": st.dictionaries(st.sampled_from(ANNOTATIONS), texts),
        "ownerReferences": st.lists(some(kind=texts, name=texts, controller=st.booleans())),
    })},
    optional={
        "spec": some(containers=containers, initContainers=containers, nodeName=texts),
        "status": some(
            phase=texts,
            podIP=texts,
            podIPs=st.lists(some(ip=texts), max_size=3),
            containerStatuses=statuses,
        ),
    },
)  # fmt: skip


def planned(pod: Pod) -> None:
    ambient_redirection(pod, {})
    for target in targets_of_pod(pod):
        plan = plan_of(target, Config())
        assert all(1 <= port.number <= 65535 for port in plan.ports)
        assert all(parse_address(address) for address in target.addresses)
        assert len(plan.network) == len(target.addresses)


@settings(max_examples=400, deadline=None)
@given(pods)
def test_any_pod_is_a_target_or_none_or_no_pod(document: dict[str, Any]) -> None:
    try:
        pod = decode_pod(json.dumps(document).encode())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    planned(pod)


@given(st.one_of(texts, st.text()))
def test_every_parser_takes_any_text(text: str) -> None:
    number, port, version = parse_number(text), parse_port(text), parse_version(text)
    assert number is None or 0 <= number < 10**20
    assert port is None or 1 <= port <= 65535
    assert version is None or max(version) < 10**6
    assert parse_address(text) is None or parse_address(text.strip()) is not None
    assert parse_time(text) is None or isinstance(parse_time(text), float)


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("15020", 15020),
        ("\n" + " " * 20 + "15020 ", 15020),
        (15020, 15020),
        ("0", None),
        (0, None),
        (True, None),
        (1.0, None),
        (None, None),
        ("٨٠", None),
        ("+80", None),
        ("8_0", None),
        ("65536", None),
        ("9" * 5000, None),
    ],
)
def test_a_port_is_a_number_from_1_to_65535(text: object, port: int | None) -> None:
    assert parse_port(text) == port


def deep_pod(name: str, levels: int) -> bytes:
    nested = b'{"f:a\\"]":[' * (levels // 2) + b"1" + b"]}" * (levels // 2)
    return b'{"metadata":{"name":"%s","uid":"u","managedFields":%s}}' % (name.encode(), nested)


@pytest.mark.parametrize("levels", [64, 1200, 9998, 100_000])
def test_a_deep_pod_costs_neither_itself_nor_its_page(levels: int) -> None:
    items = b",".join([deep_pod("a", 2), deep_pod("b", levels), deep_pod("c", 2)])
    page = page_of(b'{"metadata":{"resourceVersion":"7"},"items":[%s]}' % items)
    found = [decode_pod(item).metadata.name for item in page.items or ()]
    assert (page.metadata.resource_version, found) == ("7", ["a", "b", "c"])
    event = event_of(b'{"type":"ADDED","object":%s}' % deep_pod("b", levels))
    assert event is not None
    assert metadata_of(event).name == "b"


values = st.recursive(
    st.one_of(st.none(), st.integers(), st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_what_is_not_deep_is_kept_as_it_is(value: object) -> None:
    document = json.dumps(value, ensure_ascii=False).encode()
    assert shallow(document) == document


@given(st.binary())
def test_shallow_takes_any_bytes(document: bytes) -> None:
    shallow(document)


@pytest.mark.parametrize(
    "error", [ValueError("x"), RecursionError(), MemoryError(), KeyError("x")], ids=repr
)
def test_what_cannot_be_read_is_left_out_and_logged_once_with_its_name(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def read(_event: WatchEvent) -> object:
        raise error

    reader = ObjectReader()
    for name in ("cart", "cart", "vault"):
        document = b'{"metadata":{"name":"%s","namespace":"shop"}}' % name.encode()
        assert reader.read("pods", WatchEvent(EventType.PUT, document), read) is None
    assert reader.read("pods", WatchEvent(EventType.PUT, b"[1"), read) is None
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(" reason=")[0] for line in lines] == [
        f"kubernetes object skipped resource=pods namespace={space!r} name={name!r}"
        for space, name in (("shop", "cart"), ("shop", "vault"), ("", ""))
    ]
