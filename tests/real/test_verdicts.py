"""Every way that a pod breaks, done to a real one: what the exporter reports of ports and cause."""

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.config import Config, PollConfig
from exporter.exposition import assemble, render, selected
from exporter.model import EVERY_CADENCE, Memory, Settings
from exporter.poll.poll_target import PollResult, poll_once
from tests.real.pod import Pod, Shape

pytestmark = pytest.mark.real

PORTS = (15000, 15006, 15020, 15021, 15090)
UP = dict.fromkeys(PORTS, True)
DOWN = dict.fromkeys(PORTS, False)
READY = {"agent": True, "envoy": True}
NOT_READY = {"agent": False, "envoy": False}
HUGE_PAGE = 20_000_000
HEALTHY = Shape()
ISTIO_DEFAULTS = Settings()
OFFERS_QUANTUM_SAFE = ssl.OPENSSL_VERSION_INFO >= (3, 5)
"""From 3.5 on OpenSSL offers X25519MLKEM768 by itself, which COMPLIANCE_POLICY=pqc demands."""


def nothing(_pod: Pod) -> None:
    """The pod stays as it is."""


def full_page_is_huge(pod: Pod) -> None:
    """What a scraper that takes everything would get."""
    assert len(pod.get(15090, "/stats/prometheus", timeout=10)[1]) > HUGE_PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is done to a pod of this shape, and what is then true of it.

    `up` by port: True, False, None for unjudged. `ready`: what must be said of readiness.
    `looks`: how many looks it takes after the pod was spoilt. A pod that starts healthy is
    looked at before that too, as it happens in a mesh.
    """

    name: str
    shape: Shape = HEALTHY
    spoil: Callable[[Pod], None] = nothing
    up: Mapping[int, bool | None] = field(default_factory=lambda: UP)
    cause: str | None = None
    ready: Mapping[str, bool] = field(default_factory=lambda: READY)
    settings: Settings = ISTIO_DEFAULTS
    timeout: float = 1.0
    looks: int = 1


CASES = (
    Case(name="permissive"),
    Case(name="strict", shape=Shape(strict=True)),
    Case(
        name="quantum-safe",
        shape=Shape(strict=True, quantum_safe=True),
        up=UP | ({} if OFFERS_QUANTUM_SAFE else {15006: None}),
    ),
    Case(name="ipv6-only", shape=Shape(families=(6,))),
    Case(name="dual-stack", shape=Shape(families=(4, 6))),
    Case(
        name="dual-stack-captured-on-ipv4",
        shape=Shape(families=(4, 6), capture=(4,)),
        up=UP | {15006: None},
        cause="redirection_missing",
    ),
    Case(
        name="agent-killed",
        spoil=lambda pod: pod.kill("agent"),
        up=UP | {15020: False},
        cause="agent_gone",
        ready=NOT_READY,
    ),
    Case(
        name="envoy-killed",
        spoil=lambda pod: pod.kill("envoy"),
        up=DOWN,
        cause="proxy_not_running",
        ready=NOT_READY,
    ),
    Case(
        name="envoy-stopped",
        spoil=lambda pod: pod.freeze("envoy"),
        up=DOWN | {15020: True},
        cause="envoy_stuck",
        ready={"agent": True, "envoy": False},
    ),
    Case(
        name="agent-stopped",
        spoil=lambda pod: pod.freeze("agent"),
        up=UP | {15020: False, 15021: False},
        cause="agent_stuck",
        ready=NOT_READY,
    ),
    Case(
        name="rejected-at-start",
        shape=Shape(refuse=True, starts="rejected"),
        cause="configuration_rejected",
        ready=NOT_READY,
    ),
    Case(
        name="rejected-while-running",
        spoil=Pod.reject_update,
        cause="configuration_rejected",
    ),
    Case(name="warming-for-ever", spoil=Pod.warm_for_ever, cause="listener_warming", looks=2),
    Case(name="istiod-lost", spoil=Pod.lose_istiod, cause="xds_disconnected"),
    Case(
        name="redirection-missing",
        spoil=lambda pod: pod.network.release(),
        up=UP | {15006: None},
        cause="redirection_missing",
    ),
    Case(
        name="15020-taken",
        shape=Shape(taken=(15020,)),
        up=UP | {15020: False},
        cause="port_taken",
        ready={},
    ),
    Case(
        name="15090-taken",
        shape=Shape(taken=(15090,), starts="gone"),
        up=DOWN,
        cause="port_taken",
        ready={},
    ),
    Case(name="admin-exposed", shape=Shape(admin_address="0.0.0.0"), cause="admin_exposed"),
    Case(
        name="genuine-ports-dropped",
        spoil=lambda pod: pod.network.drop(15020, 15021, 15090),
        up=dict.fromkeys(PORTS) | {15006: True},
        cause="network_blocked",
        ready={},
    ),
    Case(
        name="everything-dropped",
        spoil=lambda pod: pod.network.drop(),
        up=DOWN,
        cause="unreachable",
        ready={},
    ),
    Case(
        name="genuine-ports-rejected",
        spoil=lambda pod: pod.network.reject(15020, 15021, 15090),
        up=dict.fromkeys(PORTS) | {15006: True},
        cause="network_blocked",
        ready={},
    ),
    Case(
        name="everything-rejected",
        spoil=lambda pod: pod.network.reject(),
        up=dict.fromkeys(PORTS),
        cause="network_blocked",
        ready={},
    ),
    Case(
        name="metrics-for-loopback-only",
        shape=Shape(localhost_metrics=True),
        up=UP | {15090: None, 15000: None},
        settings=Settings(metrics_localhost_only=True),
    ),
    Case(
        name="metrics-forbidden",
        shape=Shape(localhost_metrics=True),
        up={15006: True, 15020: True, 15021: True},
        cause="access_restricted",
    ),
    Case(
        name="stats-slow",
        shape=Shape(relay=("--delay", "1.2")),
        cause="admin_slow",
        timeout=3,
        looks=2,
    ),
    Case(
        name="stats-huge-although-filtered",
        shape=Shape(relay=("--pad", str(HUGE_PAGE))),
        up={15006: True, 15020: True, 15021: True, 15090: False},
        cause="stats_too_large",
        timeout=3,
    ),
    Case(
        name="stats-huge",
        shape=Shape(all_stats=True, further_clusters=2000),
        spoil=full_page_is_huge,
    ),
    Case(name="application-page-slow", shape=Shape(scrape_app=True, app=("--delay", "5"))),
)


async def looks_at(pod: Pod, case: Case, memory: Memory, count: int) -> PollResult:
    """The last of some polls, each with the memory of those before."""
    config = Config(poll=PollConfig(timeout=case.timeout))
    target = pod.target(settings=case.settings)
    for _ in range(count):
        seen = await poll_once(target, memory, EVERY_CADENCE, config, time.time())
        memory = seen.memory
    return seen


@dataclass(frozen=True, slots=True)
class Scraped:
    """The samples of one poll as Prometheus reads them: what is up, ready, and the cause."""

    up: Mapping[int, bool]
    ready: Mapping[str, bool]
    cause: str | None


def scraped(seen: PollResult) -> Scraped:
    """Render the poll's record and parse the text back."""
    families = selected("standard")
    text = b"".join(assemble(families, [render(seen.record, families)], openmetrics=False))
    samples = [
        s for family in text_string_to_metric_families(text.decode()) for s in family.samples
    ]
    causes = [s.labels["cause"] for s in samples if s.name == "istio_target_diagnosis"]
    assert len(causes) <= 1
    return Scraped(
        {int(s.labels["port"]): s.value == 1 for s in samples if s.name == "istio_port_up"},
        {s.labels["endpoint"]: s.value == 1 for s in samples if s.name == "istio_target_ready"},
        causes[0] if causes else None,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_reports_ports_and_cause(case: Case, pods: Mapping[str, Pod]) -> None:
    pod = pods[case.name]
    memory = Memory()
    if case.spoil is not nothing and case.shape.starts == "ready":
        before = await looks_at(pod, case, memory, 1)
        assert (scraped(before).up, scraped(before).cause) == (UP, None)
        memory = before.memory
    case.spoil(pod)
    seen = await looks_at(pod, case, memory, case.looks)
    now = scraped(seen)
    details = [f"{v.port}: {v.outcome} {v.detail}" for v in seen.record.verdicts]
    assert ({port: now.up.get(port) for port in case.up}, now.cause) == (case.up, case.cause), (
        details
    )
    assert now.ready.items() >= case.ready.items()
    pod.close()
