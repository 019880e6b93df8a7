"""The worst legal input of every parser: none holds the event loop for 20 ms.

What counts is the CPU time of the thread; of some runs the shortest, because caches and collections
of garbage are not the input's doing.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from exporter.access.cpu_throttling import cpu_cgroup_in, throttling_in
from exporter.access.pod_processes import member_of
from exporter.access.socket_rows import read_rows
from exporter.bounds import (
    CERTIFICATE,
    HTTP2,
    LIST_VALUES,
    OBJECT,
    OBJECT_VALUES,
    PROXIES,
    STATS_PAGE,
    SYNCZ_PAGE,
    SYNCZ_ROW,
    TARGET_PORTS,
)
from exporter.bounds import LISTENERS as MOST_LISTENERS
from exporter.catalogue import ports_of
from exporter.config import Config
from exporter.control_plane.webhook_names import names_of
from exporter.diagnosis import diagnose
from exporter.discovery.classified_pods import classify_pod, unfiltered
from exporter.discovery.nodes_and_namespaces import namespace_settings_of, readiness_of
from exporter.discovery.pod_documents import decode_pod
from exporter.discovery.services import Service, service_of, with_services
from exporter.exposition import FAMILIES, render
from exporter.kube.json_decoding import Json
from exporter.kube.object_reader import ObjectReader
from exporter.kube.watch_events import event_of, lines_of, page_of
from exporter.model import (
    AdminFacts,
    IstiodFacts,
    Memory,
    Observation,
    Outcome,
    Probe,
    Role,
    Settings,
    Target,
    TargetKey,
    View,
)
from exporter.poll.plan import plan_of
from exporter.probes.admin_pages import PAGES
from exporter.probes.agent import judge_page
from exporter.probes.grpc import GrpcProtocol
from exporter.probes.http import HttpProtocol, Reply
from exporter.probes.istiod import read_metrics, read_syncz
from exporter.probes.page_reader import PageReader
from exporter.probes.paths import LISTENERS
from exporter.probes.plain_http import judge_metrics
from exporter.probes.stats import read_stats
from exporter.probes.x509_facts import certificate_of
from exporter.probes.ztunnel_stats import read_page
from tests.cpu_time import LIMIT, Action, compared, seconds

RECEIVED = 65536
"""What a connection is given before the time is looked at."""


def filled(start: bytes, piece: bytes, end: bytes, most: int) -> bytes:
    return start + piece * ((most - len(start) - len(end)) // len(piece)) + end


# --- pages -----------------------------------------------------------------------------------


def metrics_pages(name: bytes) -> dict[str, bytes]:
    most = STATS_PAGE
    labels = b'a="",' * 800
    return {
        "labels": filled(b"", name + b"{" + labels + b"} 1\n", b"", most),
        "lines": filled(b"", name + b'{type="x"} 1\n', b"", most),
        "names": filled(b"", b"\n" + name, b"", most),
        "escapes": filled(b"\n" + name + b'{a="', b"\\", b"", most),
        "one word": b"x" * most,
    }


METRICS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "15020": (
        b"istio_agent_istiod_connection_terminations",
        lambda page: judge_page(Reply(200, b"", page)),
    ),
    "15020 of a ztunnel": (b"istio_xds_connection_terminations_total", read_page),
    "15090": (
        b"envoy_cluster_upstream_cx_active",
        lambda page: read_stats(page, complete=True),
    ),
    "15014": (b"pilot_total_xds_rejects", lambda page: read_metrics(page, IstiodFacts())),
    "/metrics": (b"x", lambda page: judge_metrics(Reply(200, b"", page))),
}

SHORT_DATES = b'{"valid_from":"2026W01","expiration_time":"2026W01"}'
PIECES = {
    "nothing": b"{},",
    "lists": b"[],",
    "texts": b'"",',
    "numbers": b"1,",
    "listeners": b'{"name":"a","local_address":{"socket_address":{"address":"::"}}},',
    "warming": b'{"name":"a","warming_state":{},"draining_state":{},"error_state":{}},',
    "certificates": b'{"cert_chain":[{"valid_from":"2026-01-01T00:00:00Z"}],"ca_cert":[{}]},',
    "short dates": b'{"cert_chain":[%s],"ca_cert":[%s]},' % (SHORT_DATES, SHORT_DATES),
    "chains": b'{"cert_chain":[%s%s]},' % ((SHORT_DATES + b",") * 2000, SHORT_DATES),
    "deep": b"[" * 60 + b"]" * 60 + b",",
}
KEYS = (b"listener_statuses", b"configs", b"certificates", b"x")


def admin_actions() -> dict[str, Action]:
    found: dict[str, Action] = {}
    for path, read in PAGES.items():
        for name, piece in PIECES.items():
            for key in KEYS:
                page = filled(b'{"%s":[' % key, piece, b'"x"]}', path.most)
                found[f"{path.text[:12]} {key.decode()} {name}"] = lambda read=read, page=page: (
                    read(AdminFacts(), page)
                )
    return found


@pytest.mark.parametrize("port", METRICS)
def test_a_page_of_metrics(port: str) -> None:
    name, read = METRICS[port]
    took = {kind: seconds(lambda: read(page)) for kind, page in metrics_pages(name).items()}  # noqa: B023
    assert max(took.values()) < LIMIT, took


def test_a_page_of_admin() -> None:
    took = {name: seconds(action) for name, action in admin_actions().items()}
    assert max(took.values()) < LIMIT, {name: s for name, s in took.items() if s > LIMIT}


def test_a_listener_with_a_long_name_and_many_addresses() -> None:
    start = b'{"listener_statuses":[{"name":"%s","additional_local_addresses":[' % (b"a" * 2**20)
    address = b'{"socket_address":{"address":"::","port_value":1}},'
    page = filled(start, address, b"{}]}]}", 3 * 2**19)
    read = PAGES[LISTENERS]
    assert len(read(AdminFacts(), page).listeners or ()) == MOST_LISTENERS
    assert seconds(lambda: read(AdminFacts(), page)) < LIMIT


def test_one_row_of_a_listing() -> None:
    """Rows are read one by one, and others have their turn in between."""
    pieces = (b'"%d":{},', b'"%d":1,', b'"%d":{"sent":"a","acked":"b"},', b'"%d":[[]],')
    for piece in pieces:
        rows = b"".join(piece % number for number in range(SYNCZ_ROW // (len(piece) + 5)))
        row = b'[{"resources":{' + rows + b'"z":{}}}]'
        assert compared(min(max(steps(read_syncz(row))) for _ in range(2))) < LIMIT, piece


class Steps:
    """Awaits a coroutine; `took` is what each of its turns took."""

    def __init__(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self._coroutine = coroutine
        self.took: list[float] = []

    def __await__(self) -> Iterator[Any]:
        while True:
            began = time.thread_time()
            try:
                waited_for = self._coroutine.send(None)
            except StopIteration:
                return
            finally:
                self.took.append(time.thread_time() - began)
            yield waited_for


def steps(coroutine: Coroutine[Any, Any, object]) -> list[float]:
    """What each turn of a coroutine takes that has the event loop to itself."""

    async def measure() -> list[float]:
        measured = Steps(coroutine)
        await measured
        return measured.took

    return asyncio.run(measure())


@pytest.mark.parametrize(
    "row",
    [
        b"{},",
        b'{"proxy":"a.b"},',
        b'{"a":{"a":{"a":{}}}}   ,',
        b'{"a":"' + b"\\n" * 30_000 + b'"},',
    ],
)
@pytest.mark.parametrize("end", [b"{}]", b"{}", b"{}] x"])
def test_a_whole_listing(row: bytes, end: bytes) -> None:
    page = filled(b"[", row, end, min(int(SYNCZ_PAGE), PROXIES * len(row)) // 16)
    turns = [sorted(steps(read_syncz(page))) for _ in range(2)]
    assert compared(min(each[-1] for each in turns)) < LIMIT


def test_files_of_the_kernel() -> None:
    """Those that are read in one go; rows of socket tables are read one by one, in a thread."""
    mounts = "".join(f"{n} 1 0:1 / /sys/fs/cgroup rw - cgroup2 a {',' * 200}\n" for n in range(300))
    group = "0::/kubepods" + "/pod" * 1000 + "pod-" * 1000 + "a" * 64 + "\n"
    stat = "nr_periods 1\n" * 5000
    for action in (
        lambda: cpu_cgroup_in(mounts),
        lambda: throttling_in(stat),
        lambda: member_of(group * 14),
        lambda: list(read_rows("   0: 0100007F:3A98 00000000:0000 0A 0 0 0 0 0 1\n" * 1000)),
    ):
        assert seconds(action) < LIMIT


# --- what a connection receives ----------------------------------------------------------------


class Connection:
    def write(self, data: bytes) -> None: ...

    def abort(self) -> None: ...


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
RECEIVES = {
    "pieces": HEAD + b"1\r\n\n\r\n" * (RECEIVED // 6),
    "named lines": HEAD + b"4\r\n\na 1\r\n" * (RECEIVED // 9),
    "continues": b"HTTP/1.1 100 C\r\n\r\n" * (RECEIVED // 18),
    "headers": b"HTTP/1.1 200 OK\r\n" + b"a:b\r\n" * (RECEIVED // 5),
    "trailers": HEAD + b"0\r\n" + b"a:b\r\n" * (RECEIVED // 5),
}


@pytest.mark.parametrize("data", RECEIVES.values(), ids=RECEIVES)
def test_what_http_receives_at_once(data: bytes) -> None:
    def receive() -> None:
        line = HttpProtocol()
        line.connection_made(Connection())  # type: ignore[arg-type]
        line.send(b"", 2**25, PageReader((b"a", b"b", b"c"), first=0))
        line.data_received(data[:RECEIVED])

    assert seconds(receive) < LIMIT


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload


SETTINGS = frame(4, 0, 0)
FLOODS = {
    "settings": SETTINGS,
    "pings": frame(6, 0, 0, b"12345678"),
    "informational headers": frame(1, 4, 1, b"\x08\x03100"),
    "headers of a table": frame(1, 4, 1, b"\x88" + b"\x90" * 200),
    "windows": frame(8, 0, 0, b"\0\0\0\1"),
    "priorities": frame(2, 0, 3, b"\0\0\0\0\1"),
    "unknown": frame(99, 0, 0),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_what_http2_receives_at_once(flood: bytes) -> None:
    def receive() -> None:
        line = GrpcProtocol("10.0.0.1")
        line.connection_made(Connection())  # type: ignore[arg-type]
        line.data_received(filled(SETTINGS, flood, b"", HTTP2))

    assert seconds(receive) < LIMIT


def test_a_certificate_with_names_without_end() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(1))
    names = x509.SubjectAlternativeName([x509.DNSName("a")] * ((CERTIFICATE - 300) // 3))
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    der = signed.public_bytes(Encoding.DER)
    assert CERTIFICATE - 100 < len(der) <= CERTIFICATE
    assert seconds(lambda: certificate_of(der)) < LIMIT


# --- lists and watches of the Kubernetes API, in threads that hold the interpreter --------------


@pytest.mark.parametrize("value", [b"1,", b"{},", b'"",', b"[],"])
def test_a_page_of_a_list_and_a_line_of_a_watch(value: bytes) -> None:
    page = b'{"items":[' + value * (LIST_VALUES - 1) + b"1]}"
    assert seconds(lambda: page_of(page)) < LIMIT
    single = b'{"items":[{"a":[' + value * (OBJECT_VALUES - 1) + b"1]}]}"
    assert seconds(lambda: page_of(single, is_single=True)) < LIMIT
    line = b'{"type":"ADDED","object":{"a":[' + value * (OBJECT_VALUES - 2) + b"1]}}"
    assert seconds(lambda: event_of(line)) < LIMIT


@pytest.mark.parametrize("blank", [b"\n", b" \n", b"\r\n", b" "])
def test_blank_lines_of_a_watch(blank: bytes) -> None:
    async def chunk() -> AsyncIterator[bytes]:
        yield blank * (2**18 // len(blank))

    async def read() -> None:
        assert [line async for line in lines_of(chunk())] == []

    assert compared(min(max(steps(read())) for _ in range(2))) < LIMIT


# --- objects of the Kubernetes API -------------------------------------------------------------


def large(item: object, start: object) -> list[Any]:
    """As many of an item as an object has room for."""
    size = len(json.dumps(item, separators=(",", ":"))) + 1
    return [item] * ((OBJECT - 2000 - len(json.dumps(start))) // size)


def pod(annotations: dict[str, str] | None = None, **proxy: object) -> dict[str, Any]:
    status = {"podIP": "10.0.0.1", "phase": "Running"}
    container = {"name": "istio-proxy", "args": ["proxy", "router"], **proxy}
    metadata = {"name": "web", "namespace": "shop", "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"containers": [container]}, "status": status}


def worst_pods() -> dict[str, dict[str, Any]]:
    listed = "traffic.sidecar.istio.io/excludeInboundPorts"
    many = pod()
    many["spec"]["containers"] += large({"name": "a"}, many)
    inits = pod()
    inits["spec"]["initContainers"] = large({"name": "a"}, inits)
    states = pod()
    states["status"]["containerStatuses"] = large({"name": "a"}, states)
    finalizers = pod()
    finalizers["metadata"]["finalizers"] = large("a", finalizers)
    owners = pod()
    owners["metadata"]["ownerReferences"] = large({"kind": "a"}, owners)
    addresses = pod()
    addresses["status"]["podIPs"] = large({"ip": "10.0.0.1"}, addresses)
    labels = pod()
    labels["metadata"]["labels"] = {str(number): "" for number in range(60_000)}
    value = "a" * 400
    return {
        "containers": many,
        "init containers": inits,
        "statuses": states,
        "finalizers": finalizers,
        "owners": owners,
        "addresses": addresses,
        "labels": labels,
        "ports": pod(ports=large({"containerPort": 1}, pod())),
        "variables": pod(env=large({"name": "a", "value": ""}, pod())),
        "arguments": pod(args=["proxy", "router", *large("-a=b", pod())]),
        "words put in": pod(
            args=["proxy", "router", *["$(A)" * 120] * 1000],
            env=[{"name": "A", "value": value}],
        ),
        "a list of ports": pod({listed: "1," * 120_000}),
        "a short list of ports": pod({listed: "1," * 8000}),
        "ports left out": pod({"istio-port-exporter/ignore": "1," * 8000}),
        "YAML": pod({"proxy.istio.io/config": "{" + "a,b," * 4000 + "c}"}),
        "YAML, a mapping": pod(
            {"proxy.istio.io/config": "\n".join(f"k{number}: [1]" for number in range(120))}
        ),
        "probes": pod(
            env=[
                {
                    "name": "ISTIO_KUBE_APP_PROBERS",
                    "value": json.dumps({f"/app-health/{n}/livez": {} for n in range(300)}),
                }
            ]
        ),
    }


@pytest.mark.parametrize("document", worst_pods().values(), ids=worst_pods())
def test_a_pod(document: dict[str, Any]) -> None:
    config = Config()
    every = unfiltered(config)
    encoded = b""

    def prepare() -> None:
        nonlocal encoded
        annotations = document["metadata"]["annotations"]
        if "proxy.istio.io/config" in annotations:  # what was read once is not read again
            annotations["proxy.istio.io/config"] += " #"
        encoded = json.dumps(document, separators=(",", ":")).encode()

    def read() -> None:
        classified = classify_pod(decode_pod(encoded), config, every)
        assert classified is not None
        assert classified.target is not None
        plan_of(classified.target, config)

    assert seconds(read, prepare) < LIMIT


@pytest.mark.parametrize(
    ("read", "key", "item"),
    [
        (service_of, "ports", {"port": 1}),
        (readiness_of, "conditions", {"type": "Ready"}),
        (lambda document: namespace_settings_of(document, "a"), "x", 1),
        (names_of, "webhooks", {"name": "rev.namespace.sidecar-injector.istio.io"}),
    ],
    ids=["service", "node", "namespace", "webhook configuration"],
)
def test_another_object(read: Callable[[Json], object], key: str, item: object) -> None:
    part = {key: large(item, {})}
    document = {"metadata": {"name": "a"}, "spec": part, "status": part, **part}
    encoded = json.dumps(document, separators=(",", ":")).encode()
    assert seconds(lambda: ObjectReader().read("x", encoded[:OBJECT], read)) < LIMIT
    text = json.dumps(document).encode()
    assert seconds(lambda: ObjectReader().read("x", text, read)) < LIMIT


def test_a_gateway_that_very_many_services_select() -> None:
    target = Target(key=TargetKey("shop", "web"), role=Role.GATEWAY, addresses=(), labels=SELECTOR)
    ports = tuple(range(1, TARGET_PORTS + 1))
    services = [Service("shop", SELECTOR, ports, ports) for _ in range(10_000)]
    assert seconds(lambda: with_services(target, services)) < LIMIT


SELECTOR = {"app": "web"}


def test_an_object_that_is_too_large_is_refused_by_its_name() -> None:
    """The most that JSON makes of what etcd stores."""
    document = b'{"metadata":{"name":"a"},"spec":{"b":"%s"}}' % (b"\\u0001" * 1_500_000)
    names: list[str] = []

    def read() -> None:
        ObjectReader().read("x", document, decode_pod, lambda metadata: names.append(metadata.name))

    assert seconds(read) < LIMIT
    assert {*names} == {"a"}


# --- a poll ------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.REJECTED, Outcome.REFUSED])
def test_a_gateway_with_as_many_ports_as_are_probed(outcome: Outcome) -> None:
    numbers = tuple(range(20_000, 24_000))
    addresses = ("10.0.0.1", "fd00::1")
    target = Target(
        key=TargetKey("shop", "web"),
        role=Role.GATEWAY,
        addresses=addresses,
        settings=Settings(server_ports=numbers),
    )
    ports = ports_of(target)
    seen = [
        Observation(Probe(port.number, port.probe, View.NETWORK, address), outcome, 0.001)
        for port in ports
        if port.probe
        for address in addresses
    ]

    def judge() -> None:
        record, _ = diagnose(target, ports, seen, Memory(), Config(), 1e9)
        render(record, FAMILIES)

    assert seconds(judge) < LIMIT
