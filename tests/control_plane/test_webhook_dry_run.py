"""What a pod's creation, tried without effect, shows of the injection webhook."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Config, DryRunConfig, IstiodConfig
from exporter.control_plane.webhook_dry_run import (
    WebhookDryRun,
    document_of,
    path_of,
    read_created,
    read_refusal,
)
from exporter.kube.api_errors import KubernetesError
from exporter.model import Outcome, WebhookPath
from exporter.selfmetrics.registry import SelfMetrics

CONFIG = DryRunConfig(enabled=True, namespace="shop", revision="canary")
CALL = 'Post "https://istiod.istio-system.svc:443/inject?timeout=10s": '
INJECTOR = "rev.namespace.sidecar-injector.istio.io"


def failed(reason: str, webhook: str = INJECTOR) -> str:
    return f'Internal error occurred: failed calling webhook "{webhook}": {reason}'


def test_the_pod_requests_its_revision_and_nothing_forbidden() -> None:
    pod = json.loads(document_of(CONFIG))
    assert path_of(CONFIG) == "/api/v1/namespaces/shop/pods"
    assert pod["metadata"]["labels"] == {
        "sidecar.istio.io/inject": "true",
        "istio.io/rev": "canary",
    }
    assert pod["spec"]["automountServiceAccountToken"] is False
    anywhere = json.loads(document_of(DryRunConfig()))
    assert anywhere["metadata"]["labels"] == {"sidecar.istio.io/inject": "true"}


REFUSALS = {
    "no answer in time": (
        500,
        failed(f"failed to call webhook: {CALL}context deadline exceeded"),
        (False, Outcome.TIMEOUT),
    ),
    "dropped on the way": (
        500,
        failed(f"failed to call webhook: {CALL}dial tcp 10.0.0.2:15017: i/o timeout"),
        (False, Outcome.TIMEOUT),
    ),
    "refused": (
        500,
        failed(
            f"failed to call webhook: {CALL}dial tcp 10.0.0.2:15017: connect: connection refused"
        ),
        (False, Outcome.REFUSED),
    ),
    "no replica": (
        500,
        failed(f'failed to call webhook: {CALL}no endpoints available for service "istiod"'),
        (False, Outcome.UNREACHABLE),
    ),
    "no service": (
        500,
        failed(f'failed to call webhook: {CALL}service "istiod" not found'),
        (False, Outcome.UNREACHABLE),
    ),
    "another root": (
        500,
        failed(f"{CALL}tls: failed to verify certificate: x509: certificate signed by unknown"),
        (False, Outcome.TLS_ERROR),
    ),
    "closed": (500, failed(f"{CALL}EOF"), (False, Outcome.CLOSED)),
    "it answered badly": (
        500,
        failed("the server rejected our request for an unknown reason"),
        (False, Outcome.HTTP_ERROR),
    ),
    "another webhook failed": (
        500,
        failed(f"{CALL}connection refused", "validate.policies.example"),
        (None, Outcome.NO_ACCESS),
    ),
    "no right": (
        403,
        'pods is forbidden: User "x" cannot create resource "pods" in API group ""',
        (None, Outcome.NO_ACCESS),
    ),
    "over quota": (403, "pods is forbidden: exceeded quota: small", (None, Outcome.NO_ACCESS)),
    "forbidden for what was injected": (
        403,
        'violates PodSecurity "restricted:latest": unrestricted (container "istio-init" must drop)',
        (True, Outcome.OK),
    ),
    "no namespace": (404, 'namespaces "shop" not found', (None, Outcome.NO_ACCESS)),
    "no API server": (0, "no response from https://10.0.0.1: timeout", (None, Outcome.NO_ACCESS)),
}


@pytest.mark.parametrize(("status", "text", "expected"), REFUSALS.values(), ids=REFUSALS)
def test_what_a_refusal_shows(
    status: int, text: str, expected: tuple[bool | None, Outcome]
) -> None:
    shown = read_refusal(KubernetesError.of(status, text))
    assert (shown.up, shown.outcome) == expected
    assert bool(shown.detail) is not shown.up


def created(*containers: str, inits: tuple[str, ...] = ()) -> bytes:
    spec = {
        "containers": [{"name": name} for name in containers],
        "initContainers": [{"name": name} for name in inits],
    }
    return json.dumps({"metadata": {"name": "x"}, "spec": spec}).encode()


CREATED = {
    "a sidecar": (created("never-run", "istio-proxy"), True),
    "a native sidecar": (created("never-run", inits=("istio-init", "istio-proxy")), True),
    "as it was sent": (created("never-run"), None),
    "no pod": (b"[]", None),
}


@pytest.mark.parametrize(("body", "up"), CREATED.values(), ids=CREATED)
def test_what_a_pod_shows(body: bytes, up: bool | None) -> None:
    shown = read_created(body)
    assert (shown.up, bool(shown.detail)) == (up, up is None)


@given(st.binary(max_size=100), st.text(max_size=100))
def test_any_answer_shows_something(body: bytes, text: str) -> None:
    assert isinstance(read_created(body), WebhookPath)
    assert read_refusal(KubernetesError.of(500, failed(text))).up is False


class RefusingApi:
    """An API server whose every dry run fails."""

    async def dry_run(self, _path: str, _document: bytes) -> bytes:
        raise KubernetesError(500, failed("EOF"))


@pytest.mark.parametrize("revision", ["", "canary"])
async def test_what_was_shown_is_of_the_revision_that_was_tried(revision: str) -> None:
    shown: asyncio.Queue[WebhookPath | None] = asyncio.Queue()
    dry_run = WebhookDryRun(shown.put_nowait, SelfMetrics("1.0.0"))
    config = Config(istiod=IstiodConfig(webhook_dry_run=replace(CONFIG, revision=revision)))
    api: Any = RefusingApi()
    running = asyncio.create_task(dry_run.run(api, config))
    path = await shown.get()
    running.cancel()
    await asyncio.wait({running})
    assert path is not None
    assert (path.revision, path.outcome) == (revision, Outcome.CLOSED)
    assert dry_run.last is None
