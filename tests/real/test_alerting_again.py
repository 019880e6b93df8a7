"""From what fails again and again, or vanishes, to the message on somebody's telephone.

As `test_alerting`, with the chart's rules compressed whole: every range, offset and waiting time
lasts two seconds for a minute.
"""

import contextlib
import itertools
import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from exporter.demo import DemoPod
from tests.real.programs import fetch, free_address, handling, wait_for
from tests.real.prometheus import scraping
from tests.real.test_alerting import (
    Receiver,
    alertmanager,
    exporter,
    pods,
    receiver,
    sections,
    send,
)
from tests.rules.compressed import compressed_rules

__all__ = ["alertmanager", "pods", "receiver"]

pytestmark = [
    pytest.mark.real("prometheus", "prometheus-alertmanager"),
    pytest.mark.slow,
    pytest.mark.alone,
]

PATIENCE_SECONDS = 150.0


@contextlib.contextmanager
def prometheus(exporters: Mapping[str, str], alertmanager: str, folder: Path) -> Iterator[None]:
    """Debian's Prometheus on one exporter a cluster, by the cluster's name, in files of targets."""
    for cluster, address in exporters.items():
        _write_target(folder, cluster, address)
    job = {"file_sd_configs": [{"files": ["target-*.json"], "refresh_interval": "1s"}]}
    alerting = sections(alertmanager, compressed_rules(2), folder)
    with scraping(folder, job, "--query.lookback-delta=10s", evaluated="2s", **alerting):
        yield


def _write_target(folder: Path, cluster: str, address: str) -> None:
    group = {"targets": [address], "labels": {"cluster": cluster}}
    (folder / f"target-{cluster}.json").write_text(json.dumps([group]))


@contextlib.contextmanager
def crash_looping(pod: DemoPod) -> Iterator[None]:
    """Envoy of this pod is stuck for eight seconds of twelve, again and again."""
    ended = threading.Event()

    def loop() -> None:
        while not ended.is_set():
            send(pod, "envoy", signal.SIGSTOP)
            ended.wait(8)
            send(pod, "envoy", signal.SIGCONT)
            ended.wait(4)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def received(webhook: Receiver, **labels: str) -> bool:
    """Whether a firing alert with these labels has come."""
    return any(
        row["status"] == "firing" and labels.items() <= row["labels"].items()
        for row in webhook.received
    )


@contextlib.contextmanager
def every_second_scrape_fails(exporter: str, address: str) -> Iterator[None]:
    """At this address is the exporter's page, for every other request."""
    turns = itertools.cycle((True, False))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = fetch(f"http://{exporter}/metrics") if next(turns) else None
            self.send_response(200 if page else 503)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(page or b"")

    with handling(address, Handler):
        yield


def test_a_proxy_breaks_while_every_second_scrape_fails_one_alert_each(
    pods: dict[str, DemoPod],
    receiver: tuple[Receiver, str],
    alertmanager: str,
    tmp_path: Path,
) -> None:
    webhook, address, halved = receiver[0], free_address(), free_address()
    with (
        exporter(pods, address, tmp_path),
        every_second_scrape_fails(address, halved),
        prometheus({"east": halved}, alertmanager, tmp_path),
    ):
        send(pods["healthy"], "envoy", signal.SIGSTOP)
        fault = {"alertname": "IstioProxyFault", "pod": "healthy", "severity": "warning"}
        missed = {"alertname": "IstioPortExporterDown", "severity": "warning"}
        wait_for(lambda: received(webhook, **fault), "the proxy", PATIENCE_SECONDS)
        wait_for(lambda: received(webhook, **missed), "the exporter", PATIENCE_SECONDS)
        time.sleep(20)  # ten minutes: neither ends, and nothing begins
        send(pods["healthy"], "envoy", signal.SIGCONT)
    told = sorted((row["status"], row["labels"]["alertname"]) for row in webhook.received)
    assert told == [("firing", "IstioPortExporterDown"), ("firing", "IstioProxyFault")]


def test_a_crash_loop_is_a_warning_and_three_gateways_are_one_critical_alert(
    pods: dict[str, DemoPod],
    receiver: tuple[Receiver, str],
    alertmanager: str,
    tmp_path: Path,
) -> None:
    webhook, address = receiver[0], free_address()
    with (
        exporter(pods, address, tmp_path, gateways=3),
        prometheus({"east": address}, alertmanager, tmp_path),
        crash_looping(pods["healthy"]),
    ):
        send(pods["gateway-healthy"], "envoy", signal.SIGSTOP)
        flapping = {"alertname": "IstioProxyFlapping", "pod": "healthy", "severity": "warning"}
        edge = {"alertname": "IstioGatewaysFailing", "scope": "gateway", "severity": "critical"}
        wait_for(lambda: received(webhook, **edge), "the gateways", PATIENCE_SECONDS)
        wait_for(lambda: received(webhook, **flapping), "the crash loop", PATIENCE_SECONDS)
        send(pods["gateway-healthy"], "envoy", signal.SIGCONT)
    firing = [row["labels"]["alertname"] for row in webhook.received if row["status"] == "firing"]
    assert sorted(firing) == ["IstioGatewaysFailing", "IstioProxyFlapping"]
    assert {row["labels"]["cluster"] for row in webhook.received} == {"east"}


def test_a_cluster_that_vanishes_and_an_exporter_that_restarts_are_told_apart(
    pods: dict[str, DemoPod],
    receiver: tuple[Receiver, str],
    alertmanager: str,
    tmp_path: Path,
) -> None:
    webhook = receiver[0]
    west, east = free_address(), free_address()
    (tmp_path / "east").mkdir()
    with prometheus({"west": west, "east": east}, alertmanager, tmp_path):
        with exporter(pods, east, tmp_path / "east"):
            time.sleep(30)  # so that it was there for most of the time when its end is told
            for _ in range(4):
                with exporter(pods, west, tmp_path):
                    time.sleep(8)
        (tmp_path / "target-east.json").unlink()
        with exporter(pods, west, tmp_path):
            absent = {"alertname": "IstioPortExporterAbsent", "cluster": "east"}
            restarting = {"alertname": "IstioPortExporterDown", "cluster": "west"}
            wait_for(lambda: received(webhook, **restarting), "the restarts", PATIENCE_SECONDS)
            wait_for(lambda: received(webhook, **absent), "the cluster's end", PATIENCE_SECONDS)
    told = {(row["labels"]["alertname"], row["labels"]["cluster"]) for row in webhook.received}
    assert told == {("IstioPortExporterAbsent", "east"), ("IstioPortExporterDown", "west")}
