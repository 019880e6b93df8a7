"""Pages, certificates and socket tables as somebody hostile writes them, from bytes to /metrics.

Every port of a target gets them, whichever prober reads it: whatever a page holds is diagnosed,
rendered in both formats as their parsers take them, and shown as a document.
"""

import json
import math
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from exporter.access.socket_rows import read_rows
from exporter.access.socket_table import table_of
from exporter.bounds import LABEL_VALUE
from exporter.catalogue import ports_of
from exporter.config import Config
from exporter.diagnosis import diagnose
from exporter.exposition import FAMILIES, assemble, render
from exporter.model import (
    AdminFacts,
    AgentFacts,
    Certificate,
    CpuThrottling,
    Facts,
    IstiodFacts,
    Lifecycle,
    LocalPortUse,
    Memory,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    Role,
    Target,
    TargetRecord,
    TlsFacts,
    View,
)
from exporter.probes.admin_pages import PAGES
from exporter.probes.agent import judge_page
from exporter.probes.http import Reply
from exporter.probes.istiod import read_metrics
from exporter.probes.readiness import judge_ztunnel
from exporter.probes.stats import judge_stats
from exporter.probes.ztunnel_stats import read_page
from exporter.report.target_documents import target_state
from tests.diagnosis.matrix import NOW, target_of

NAMES = (
    "istio_agent_istiod_connection_terminations",
    "istio_agent_scrape_failures_total",
    "istio_agent_num_outgoing_requests",
    "istio_agent_xds_proxy_requests",
    "istio_agent_cert_expiry_seconds",
    "istio_agent_startup_duration_seconds",
    "envoy_server_live",
    "envoy_server_state",
    "envoy_cluster_upstream_cx_active",
    "envoy_listener_manager_total_listeners_active",
    "envoy_listener_manager_listener_create_failure",
    "envoy_listener_manager_lds_update_success",
    "envoy_listener_manager_lds_update_rejected",
    "envoy_cluster_manager_cds_update_success",
    "envoy_cluster_manager_cds_update_failure",
    "istio_xds_connection_terminations_total",
    "workload_manager_active_proxy_count",
    "workload_manager_pending_proxy_count",
    "pilot_xds",
    "pilot_xds_pushes",
    "pilot_total_xds_rejects",
    "istio_build",
)
LABELS = ("type", "resource_name", "cluster_name", "reason", "request_type", "tag")
TEXTS = (
    *(
        "error",
        "envoy",
        "application",
        "default",
        "ROOTCA",
        "xds-grpc",
        "csr",
        "cds",
        "cds_senderr",
    ),
    *("", 'a\\\\\\"b', "\u202e", "y" * 3000, "Reconnect", "1.28.0"),
)
NUMBERS = (
    *("0", "1", "-1", "-5", "-3", "1e308", "-1e308", "1e300", "nan", "+Inf", "-Inf", "1e-320"),
    *("1_000", "0x10", "9" * 400, "1.5", "", "abc", "1 1700000000", "-0"),
)
SAMPLES = st.tuples(
    st.sampled_from(NAMES),
    st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(TEXTS)), max_size=2),
    st.sampled_from(NUMBERS),
)


def text_of(rows: list[tuple[str, list[tuple[str, str]], str]]) -> bytes:
    lines = []
    for name, labels, value in rows:
        braces = ",".join(f'{label}="{text}"' for label, text in labels)
        lines.append(f"{name}{{{braces}}} {value}\n")
    return "".join(lines).encode()


METRICS = st.lists(SAMPLES, min_size=10, max_size=40).map(text_of)

WORDS = st.sampled_from(
    ("", "virtualInbound", "0.0.0.0", "127.0.0.1", "::", "a\nb", '"', "x" * 300, "*.example.com")
)
PORTS = st.sampled_from((0, -1, 80, 15000, 15006, 65535, 65536, 10**18))
DATES = st.sampled_from(
    (
        "2026-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "1969-12-31T23:59:59.999999Z",
        "x",
        "",
    )
)
ADDRESS = st.fixed_dictionaries(
    {"socket_address": st.fixed_dictionaries({"address": WORDS, "port_value": PORTS})}
)
NAMED = st.one_of(
    st.fixed_dictionaries({"uri": st.sampled_from(("spiffe://a/ns/b/sa/c", "x"))}),
    st.fixed_dictionaries({"dns": WORDS}),
)
CERT = st.fixed_dictionaries(
    {
        "subject_alt_names": st.lists(NAMED, max_size=3),
        "valid_from": DATES,
        "expiration_time": DATES,
    }
)
STATE = st.sampled_from(("warming_state", "draining_state", "error_state"))
DOCUMENTS = st.one_of(
    st.builds(
        lambda rows: {"listener_statuses": rows},
        st.lists(st.fixed_dictionaries({"name": WORDS, "local_address": ADDRESS}), max_size=8),
    ),
    st.builds(
        lambda rows: {"configs": [{"name": name, state: {}} for name, state in rows]},
        st.lists(st.tuples(WORDS, STATE), max_size=600),
    ),
    st.builds(
        lambda rows: {"certificates": rows},
        st.lists(
            st.fixed_dictionaries(
                {
                    "ca_cert": st.lists(CERT, max_size=2),
                    "cert_chain": st.lists(CERT, max_size=2),
                }
            ),
            max_size=5,
        ),
    ),
    st.builds(lambda version: {"node": {"metadata": {"ISTIO_VERSION": version}}}, WORDS),
    st.recursive(
        st.none() | st.booleans() | PORTS | WORDS,
        lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner),
        max_leaves=5,
    ),
)


def admin_of(state: str, stats: bytes, documents: list[Any]) -> AdminFacts:
    facts = AdminFacts(state=state)
    for read, document in zip(PAGES.values(), [*documents, {}, {}, {}, {}, {}, {}], strict=False):
        facts = read(facts, json.dumps(document).encode())
    return PAGES[next(iter(PAGES))](facts, stats)


def agent_of(page: bytes) -> AgentFacts:
    outcome, metrics = judge_page(Reply(200, b"", page))
    return AgentFacts(status=200, page=outcome, metrics=metrics)


MOMENTS = st.sampled_from((-1e12, -62135596800.0, 0.0, NOW - 1, NOW + 1, NOW + 1e8, 253402300799.0))
LINE = " 0: {:0>8X}:{:X} {:0>8X}:{:X} {} 0 0 0 0 0 {} 1"
ROWS = st.lists(
    st.builds(
        LINE.format,
        st.integers(0, 2**33),
        PORTS,
        st.integers(0, 2**33),
        PORTS,
        st.sampled_from(("0A", "01", "06", "07", "x")),
        st.integers(0, 9),
    ),
    max_size=40,
).map(lambda lines: list(read_rows("\n".join(lines))))
OWNERS = dict(enumerate(("pilot-agent", "envoy", "\n", "x" * 63)))
FACTS: st.SearchStrategy[Facts] = st.one_of(
    METRICS.map(agent_of),
    st.builds(
        lambda page, complete: judge_stats(Reply(200, b"envoy", page), complete=complete).facts,
        METRICS,
        st.booleans(),
    ),
    st.builds(
        admin_of,
        st.sampled_from(("LIVE", "INITIALIZING", "DRAINING")),
        METRICS,
        st.lists(DOCUMENTS, max_size=5),
    ),
    METRICS.map(read_page),
    METRICS.map(lambda page: read_metrics(page, IstiodFacts(version="1.28.0"))),
    st.builds(
        lambda text: judge_ztunnel(Reply(500, b"", b"not ready, pending:" + text)).facts,
        st.binary(max_size=2000),
    ),
    st.builds(
        TlsFacts,
        certificate=st.builds(
            Certificate,
            not_before=MOMENTS,
            not_after=MOMENTS,
            uris=st.sampled_from(((), ("spiffe://a/ns/b/sa/c",), ("x",))),
            dns_names=st.sampled_from(((), ("a\nb",), ("*.x",) * 16)),
        ),
        root=st.sampled_from(("", "ab" * 8)),
    ),
    st.builds(
        lambda tcp, udp, use, throttling: msgspec.structs.replace(
            table_of(tcp, udp, OWNERS), local_ports=use, throttling=throttling
        ),
        ROWS,
        ROWS,
        st.just((LocalPortUse(client="1", server="2", port=1, used=5, size=0),)),
        st.builds(
            CpuThrottling,
            periods=st.sampled_from((1, 10**19)),
            throttled=st.sampled_from((0, 10**19)),
            seconds=st.sampled_from((0.0, 1e300)),
        ),
    ),
)
POLLS = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 30),
            st.sampled_from(View),
            st.sampled_from(Outcome),
            FACTS,
            st.none() | st.booleans(),
        ),
        min_size=5,
        max_size=12,
    ),
    min_size=1,
    max_size=3,
)
TARGETS = st.builds(
    target_of,
    st.sampled_from(Role),
    addresses=st.sampled_from((("10.0.0.7",), ("10.0.0.7", "fd00::7"))),
    lifecycle=st.builds(Lifecycle, container_ready=st.none() | st.booleans()),
)


def check(target: Target, record: TargetRecord) -> None:
    block = render(record, FAMILIES)
    for openmetrics, read in ((False, read_text), (True, read_openmetrics)):
        text = b"".join(assemble(FAMILIES, [block], openmetrics)) + b"# EOF\n" * openmetrics
        for family in read(text.decode()):
            for sample in family.samples:
                assert math.isfinite(sample.value), sample
                assert all(len(value.encode()) <= LABEL_VALUE for value in sample.labels.values())
    msgspec.json.encode(target_state(target, record))


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(target=TARGETS, polls=POLLS)
def test_whatever_pages_hold_is_diagnosed_and_shown(
    target: Target, polls: list[list[tuple[int, View, Outcome, Facts, bool | None]]]
) -> None:
    memory, ports = Memory(), ports_of(target)
    for turn, seen in enumerate(polls):
        observations = [
            Observation(
                Probe(ports[number % len(ports)].number, ProbeKind.CONTROL, view, address),
                outcome,
                detail="a\nb",
                facts=facts,
                connected=connected,
            )
            for number, view, outcome, facts, connected in seen
            for address in (target.addresses if view is View.NETWORK else ("",))
        ]
        now = NOW + turn * 60
        record, memory = diagnose(target, ports, observations, memory, Config(), now)
        check(target, record)
