"""From a broken proxy to the message on somebody's telephone, and back.

The exporter watches the demo mesh, a real Prometheus evaluates the rules as the chart renders
them, and a real Alertmanager tells a webhook here. What the rules measure in minutes takes as
many seconds; the expressions are the chart's own.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.demo import SHIPPED, DemoPod, load_states, mesh
from tests.charts.render import of_kind, render
from tests.real.programs import (
    exporting,
    free_address,
    handling,
    serving,
    wait_for,
)
from tests.real.prometheus import firing, query, scraping, target
from tests.rules.promtool import ALERTS

pytestmark = [pytest.mark.real("prometheus", "prometheus-alertmanager"), pytest.mark.slow]

STATES = ("healthy", "strict-mtls", "gateway-healthy")
RUNBOOKS = "https://runbooks.example"
TIMEOUT_SECONDS = 40.0

Alert = dict[str, Any]


class Receiver:
    """A webhook of Alertmanager: the alerts that it received, in order."""

    def __init__(self) -> None:
        self.received: list[Alert] = []

    def brief(self) -> list[tuple[str, str, str]]:
        """State, alert and pod of everything that it received."""
        return [
            (row["status"], row["labels"]["alertname"], row["labels"].get("pod", ""))
            for row in self.received
        ]

    @contextlib.contextmanager
    def listening(self, address: str) -> Iterator[None]:
        """Take messages until the block ends."""
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                received.extend(json.loads(self.rfile.read(length))["alerts"])
                self.send_response(200)
                self.end_headers()

        with handling(address, Handler):
            yield


@pytest.fixture
def pods(machine: None) -> Iterator[dict[str, DemoPod]]:  # noqa: ARG001 - cleaned before the first pod
    """Healthy pods of the demo mesh, by name."""
    states = [state for state in load_states(SHIPPED) if state.name in STATES]
    with asyncio.Runner() as runner:
        health = mesh(states, flat=False, earlier=False)
        built = runner.run(health.__aenter__())
        try:
            yield {pod.name: pod for pod in built.pods}
        finally:
            runner.run(health.__aexit__(None, None, None))


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    """The webhook and its address."""
    webhook, address = Receiver(), free_address()
    with webhook.listening(address):
        yield webhook, address


@pytest.fixture
def alertmanager(receiver: tuple[Receiver, str], tmp_path: Path) -> Iterator[str]:
    """Debian's Alertmanager, which sends the webhook each alert by itself; its address."""
    config = {
        "route": {
            "receiver": "webhook",
            "group_by": ["..."],
            "group_wait": "1s",
            "group_interval": "1s",
            "repeat_interval": "4h",
        },
        "receivers": [
            {"name": "webhook", "webhook_configs": [{"url": f"http://{receiver[1]}/"}]},
        ],
    }
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config))
    address = free_address()
    command = (
        "prometheus-alertmanager",
        f"--config.file={tmp_path}/alertmanager.yml",
        f"--storage.path={tmp_path}/alertmanager",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    )
    with serving(tmp_path / "alertmanager.out", address, *command):
        yield address


def rules() -> dict[str, Any]:
    """The chart's rules with a second for each minute that an alert waits or goes on."""
    overrides = {
        name: {key: f"{minutes(rule[key])}s" for key in ("for", "keep_firing_for") if key in rule}
        for name, rule in ALERTS.items()
    }
    values = {"enabled": True, "overrides": overrides, "runbookBaseURL": RUNBOOKS}
    [document] = of_kind(render({"rules": values}), "PrometheusRule")
    found: dict[str, Any] = document["spec"]
    return found


def minutes(duration: str) -> int:
    """`90m` or `1h` in minutes."""
    return int(duration[:-1]) * {"m": 1, "h": 60}[duration[-1]]


def sections(alertmanager: str, rules: object, folder: Path) -> dict[str, Any]:
    """What Prometheus is configured with to send the alerts of these rules."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    return {
        "rule_files": ["rules.yaml"],
        "alerting": {"alertmanagers": [target(alertmanager)]},
    }


@contextlib.contextmanager
def exporter(
    pods: dict[str, DemoPod], address: str, folder: Path, *, gateways: int = 0
) -> Iterator[None]:
    """The exporter's `serve` on these pods, from its first complete pass on.

    `gateways`: the gateway is so many pods of a deployment, of which each answers at its address.
    """
    targets = [
        {
            "namespace": pod.target.key.namespace,
            "pod": f"{pod.name}-{number}" if number else pod.name,
            "role": str(pod.target.role),
            "address": pod.target.addresses[0],
            **({"workload": pod.name} if gateways else {}),
        }
        for pod in pods.values()
        for number in (range(1, gateways + 1) if gateways and "gateway" in pod.name else (0,))
    ]
    config = {
        "discovery": {"kubernetes": {"enabled": False}, "static": {"targets": targets}},
        "poll": {
            "interval": "1s",
            "detail_interval": "1s",
            "page_interval": "1s",
            "timeout": "500ms",
        },
    }
    with exporting(folder, config, address):
        yield


def send(pod: DemoPod, process: str, what: signal.Signals) -> None:
    """Send a signal to one process of a pod."""
    first = pod.target.netns
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    [found] = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == process]
    os.kill(int(found), what)


def test_a_broken_proxy_is_one_message_and_its_end_another(
    pods: dict[str, DemoPod], receiver: tuple[Receiver, str], alertmanager: str, tmp_path: Path
) -> None:
    webhook, address = receiver[0], free_address()
    received = ("firing", "IstioProxyFault", "healthy")
    with contextlib.ExitStack() as watching:
        running = watching.enter_context(contextlib.ExitStack())
        running.enter_context(exporter(pods, address, tmp_path))
        server = watching.enter_context(
            scraping(tmp_path, target(address), **sections(alertmanager, rules(), tmp_path))
        )

        send(pods["healthy"], "envoy", signal.SIGSTOP)
        wait_for(lambda: bool(webhook.received), "the first message", TIMEOUT_SECONDS)
        assert webhook.brief() == [received]
        [alert] = webhook.received
        assert alert["labels"]["severity"] == "warning"
        assert "envoy_stuck" in alert["annotations"]["description"]
        assert alert["annotations"]["runbook_url"] == f"{RUNBOOKS}/diagnosis.md#envoy_stuck"
        [before] = firing(server)

        running.close()
        wait_for(lambda: bool(query(server, "up == 0")), "Prometheus to miss the exporter")
        assert not query(server, "istio_target_diagnosis")
        running.enter_context(exporter(pods, address, tmp_path))
        wait_for(
            lambda: bool(query(server, "istio_target_diagnosis")), "the fault to be seen again"
        )
        [after] = firing(server)
        assert (after["labels"], after["activeAt"]) == (before["labels"], before["activeAt"])
        assert webhook.brief() == [received]

        send(pods["healthy"], "envoy", signal.SIGCONT)
        wait_for(lambda: len(webhook.received) > 1, "the end to be told", TIMEOUT_SECONDS)
        assert webhook.brief() == [received, ("resolved", "IstioProxyFault", "healthy")]
        assert firing(server) == []
