"""The dry run of a pod's creation: its document, and what the response proves. Pure.

In: a namespace and a revision, then the pod that would be created, or the error. Out: a
`WebhookPath`. 15017 may respond to probes while the API server, its only client, cannot reach it;
only a dry run tests that path. The rule: only a failed call of the injector proves a fault. A
missing right, a quota or another webhook's failure proves nothing.
"""

import re

import msgspec

from exporter.config import DryRunConfig
from exporter.discovery.pod_documents import decode_pod
from exporter.kube.api_errors import KubernetesError
from exporter.model import Outcome, WebhookPath

_FAILED = re.compile(r'failed calling webhook "([^"]+)": (.*)', re.DOTALL)
_QUOTED = re.compile(r'"[^"]*"')
_INJECTOR = "sidecar-injector.istio.io"
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


def read_created(body: bytes, config: DryRunConfig) -> WebhookPath:
    """Read the response: the pod that would be created (any bytes)."""
    try:
        pod = decode_pod(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _unjudged("the API server's response is no pod", config)
    names = {container.name for container in (*pod.containers, *(pod.spec.init_containers or ()))}
    if names.isdisjoint(_INJECTED):
        return _unjudged("no webhook injected the pod: namespace and revision select none", config)
    return WebhookPath(up=True, outcome=Outcome.OK, detail="", revision=config.revision)


def read_refusal(error: KubernetesError, config: DryRunConfig) -> WebhookPath:
    """Read an error response."""
    text = str(error)
    failed = _FAILED.search(text)
    if failed is not None:
        return _read_failure(failed[1], failed[2], config)
    if error.status == _FORBIDDEN and any(f'"{name}"' in text for name in _INJECTED):
        # Validation runs after mutation, so that what forbids the pod has seen the sidecar.
        return WebhookPath(up=True, outcome=Outcome.OK, detail="", revision=config.revision)
    return _unjudged(text, config)


def _read_failure(webhook: str, reason: str, config: DryRunConfig) -> WebhookPath:
    if not webhook.endswith(_INJECTOR):
        return _unjudged(f"another webhook, {webhook}, failed first", config)
    text = _QUOTED.sub("", reason).lower()
    outcome = next((found for words, found in _REASONS if words in text), Outcome.HTTP_ERROR)
    return WebhookPath(up=False, outcome=outcome, detail=reason, revision=config.revision)


def _unjudged(why: str, config: DryRunConfig) -> WebhookPath:
    return WebhookPath(up=None, outcome=Outcome.NO_ACCESS, detail=why, revision=config.revision)
