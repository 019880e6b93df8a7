"""The dry run of a pod's creation, once a detail interval: document, request, what it proves.

In: a namespace and a revision, then the pod that would be created, or the error. Out: a
`WebhookPath`. 15017 may respond to probes while the API server, its only client, cannot reach it;
only a dry run tests that path. The rule: only a failed call of the injector proves a fault. A
missing right, a quota or another webhook's failure proves nothing.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from exporter import clock
from exporter.config import Config, DryRunConfig
from exporter.discovery.pod_documents import decode_pod
from exporter.kube.api_errors import KubernetesError
from exporter.kube.client import KubernetesClient
from exporter.model import Outcome, WebhookPath
from exporter.selfmetrics.registry import SelfMetrics

_FAILED = re.compile(r'failed calling webhook "([^"]+)": (.*)', re.DOTALL)
_QUOTED = re.compile(r'"[^"]*"')
INJECTOR = "sidecar-injector.istio.io"
"""How the names of Istio's injection webhooks end (manifests/charts/istiod-control)."""

_INJECTED = ("istio-proxy", "istio-init", "istio-validation")
_FORBIDDEN = 403

_REASONS: tuple[tuple[str, Outcome], ...] = (
    ("x509:", Outcome.TLS_ERROR),
    ("tls:", Outcome.TLS_ERROR),
    ("connection refused", Outcome.REFUSED),
    ("connection reset", Outcome.RESET),
    ("no endpoints available", Outcome.UNREACHABLE),
    ("not found", Outcome.UNREACHABLE),
    ("no such host", Outcome.UNREACHABLE),
    ("no route to host", Outcome.UNREACHABLE),
    ("network is unreachable", Outcome.UNREACHABLE),
    ("deadline exceeded", Outcome.TIMEOUT),
    ("timeout", Outcome.TIMEOUT),
    ("eof", Outcome.CLOSED),
)
"""Texts in the API server's error for a failed call, and their outcome; the first match holds."""


def path_of(config: DryRunConfig) -> str:
    """The path to which the pod is posted."""
    return f"/api/v1/namespaces/{config.namespace}/pods"


def document_of(config: DryRunConfig) -> bytes:
    """A pod to be injected, which the restricted pod security standard admits."""
    labels = {"sidecar.istio.io/inject": "true"}
    if config.revision:
        labels["istio.io/rev"] = config.revision
    harmless = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    resources = {"cpu": "1m", "memory": "1Mi"}
    container = {
        "name": "never-run",
        "image": "never-run",
        "resources": {"requests": resources, "limits": resources},
        "securityContext": harmless,
    }
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "istio-port-exporter-dry-run-", "labels": labels},
        "spec": {
            "containers": [container],
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
        },
    }
    return msgspec.json.encode(document)


def read_created(body: bytes) -> WebhookPath:
    """Read the response: the pod that would be created (any bytes)."""
    try:
        pod = decode_pod(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _unjudged("the API server's response is no pod")
    names = {container.name for container in (*pod.containers, *(pod.spec.init_containers or ()))}
    if names.isdisjoint(_INJECTED):
        return _unjudged("no webhook injected the pod: namespace and revision select none")
    return WebhookPath(up=True, outcome=Outcome.OK)


def read_refusal(error: KubernetesError) -> WebhookPath:
    """Read an error response."""
    text = str(error)
    failed = _FAILED.search(text)
    if failed is not None:
        return _read_failure(failed[1], failed[2])
    if error.status == _FORBIDDEN and any(f'"{name}"' in text for name in _INJECTED):
        # Validation runs after mutation, so that what forbids the pod has seen the sidecar.
        return WebhookPath(up=True, outcome=Outcome.OK)
    return _unjudged(text)


def _read_failure(webhook: str, reason: str) -> WebhookPath:
    if not webhook.endswith(INJECTOR):
        return _unjudged(f"another webhook, {webhook}, failed first")
    text = _QUOTED.sub("", reason).lower()
    outcome = next((found for words, found in _REASONS if words in text), Outcome.HTTP_ERROR)
    return WebhookPath(up=False, outcome=outcome, detail=reason)


def _unjudged(why: str) -> WebhookPath:
    return WebhookPath(up=None, outcome=Outcome.NO_ACCESS, detail=why)


log = logging.getLogger(__name__)


@dataclass(slots=True)
class WebhookDryRun:
    """Keeps what the last dry run showed; `tried` is called after each."""

    tried: Callable[[WebhookPath | None], None]
    metrics: SelfMetrics
    last: WebhookPath | None = None

    async def run(self, api: KubernetesClient, config: Config) -> None:
        """Try until cancelled; what was shown is forgotten then.

        Of many shards, or one exporter a node and one beside them, one tries.
        """
        chosen = config.istiod.webhook_dry_run
        kubernetes = config.discovery.kubernetes
        is_owner = config.shard.ordinal == 0 and not kubernetes.node
        if not (chosen.enabled and is_owner):
            return
        try:
            while True:
                began = clock.now()
                path = await self._try(api, chosen)
                self._take(replace(path, revision=chosen.revision, at=began))
                await asyncio.sleep(config.poll.detail_interval)
        finally:
            self._take(None)

    async def _try(self, api: KubernetesClient, chosen: DryRunConfig) -> WebhookPath:
        try:
            body = await api.dry_run(path_of(chosen), document_of(chosen))
        except KubernetesError as error:
            self.metrics.asked_kubernetes("create", "pods", str(error.status or "error"))
            return read_refusal(error)
        self.metrics.asked_kubernetes("create", "pods", "201")
        return read_created(body)

    def _take(self, path: WebhookPath | None) -> None:
        """Keep it, publish it, and log when it changed."""
        before = self.last
        self.last = path
        self.tried(path)
        if path is None or (before and (before.outcome, before.up) == (path.outcome, path.up)):
            return
        level = logging.INFO if path.up else logging.WARNING
        words = {True: "reached", False: "not reached", None: "not judged"}[path.up]
        log.log(
            level,
            "injection webhook %s by the API server outcome=%s reason=%r",
            words,
            path.outcome.value,
            path.detail,
        )
