"""What is seen of a healthy pod that a plain connect or scrape does not see."""

import socket
import time
from dataclasses import replace

import pytest

from exporter.catalogue import ExtraPort
from exporter.config import AccessConfig, Config, PollConfig
from exporter.model import EVERY_CADENCE, Memory, Outcome, Role, Settings
from exporter.poll.poll_target import poll_once
from tests.real.pod import Pod, Shape

pytestmark = pytest.mark.real

POLL = PollConfig(timeout=1.0)


async def test_port_that_nobody_serves_is_not_up_though_it_connects(healthy: Pod) -> None:
    config = Config(poll=POLL, ports=(ExtraPort(port=9999, role=Role.SIDECAR, probe="tcp"),))
    old = replace(healthy.target(), istio_version="1.24.0")
    seen = await poll_once(old, Memory(), EVERY_CADENCE, config, time.time())
    for port in (9999, 15004):
        with socket.create_connection((healthy.address, port), 1):
            pass
    verdicts = {verdict.port: verdict for verdict in seen.record.verdicts}
    assert (verdicts[9999].up, verdicts[9999].outcome) == (None, Outcome.CAPTURED)
    assert verdicts[9999].naive is True
    assert 15004 not in verdicts or verdicts[15004].up is not True


async def test_wire_shows_the_workload_certificate(healthy: Pod) -> None:
    seen = await poll_once(
        healthy.target(), Memory(), EVERY_CADENCE, Config(poll=POLL), time.time()
    )
    assert seen.record.spiffe_id == healthy.spiffe_id
    lives = {life.source: life.not_after for life in seen.record.certificates}
    assert lives["wire"] == pytest.approx(time.time() + 86400, abs=120)


async def test_pod_view_reads_loopback_ports_and_sockets(healthy: Pod) -> None:
    config = Config(poll=POLL, access=AccessConfig(loopback="netns"))
    target = healthy.target(inside=True, settings=Settings(dns_capture=True))
    seen = await poll_once(target, Memory(), EVERY_CADENCE, config, time.time())
    record = seen.record
    up = {verdict.port: verdict.up for verdict in record.verdicts}
    wanted = dict.fromkeys((15000, 15001, 15006, 15020, 15021, 15053, 15090), True)
    assert ({port: up.get(port) for port in wanted}, record.diagnosis) == (wanted, None)
    sockets = {(s.port, s.process, s.is_loopback, s.protocol) for s in record.listening}
    assert sockets >= {
        (15000, "envoy", True, "tcp"),
        (15001, "envoy", False, "tcp"),
        (15006, "envoy", False, "tcp"),
        (15020, "pilot-agent", False, "tcp"),
        (15053, "pilot-agent", True, "tcp"),
        (8080, "app", False, "tcp"),
    }
    assert record.proxy.bound == {"virtualInbound": True, "virtualOutbound": True}


async def test_rejected_update_is_over_when_the_next_succeeds() -> None:
    pod = Pod("mended", Shape()).start()
    try:
        causes, memory = [], Memory()
        for change in (lambda: None, pod.reject_update, pod.mend):
            change()
            seen = await poll_once(
                pod.target(), memory, EVERY_CADENCE, Config(poll=POLL), time.time()
            )
            memory = seen.memory
            causes.append(seen.record.diagnosis and seen.record.diagnosis.cause)
        assert causes == [None, "configuration_rejected", None]
    finally:
        pod.close()


async def test_pod_view_names_the_rejected_listener() -> None:
    pod = Pod("named", Shape(refuse=True, starts="rejected")).start()
    try:
        config = Config(poll=POLL, access=AccessConfig(loopback="netns"))
        target = pod.target(inside=True)
        seen = await poll_once(target, Memory(), EVERY_CADENCE, config, time.time())
        assert list(seen.record.proxy.rejected_reasons) == ["0.0.0.0_9443"]
        assert "same matching rules" in seen.record.proxy.rejected_reasons["0.0.0.0_9443"]
    finally:
        pod.close()
