"""A pod that is never created: what it asks for, and what the API server's answer shows. Pure.

In: a namespace and a revision, then the pod as it would have been or the refusal. Out: a
`WebhookPath`. From inside the mesh 15017 can look well while the API server, which alone calls it,
cannot reach it; only this shows that way. The rule: only the injector's own failure counts
against it. A right that is missing, a quota or another webhook says nothing of it.
"""

import re

import msgspec

from exporter.config import DryRunConfig
from exporter.discovery.pods import decode_pod
from exporter.kube.errors import KubernetesError
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
"""What the API server says of a call that failed, and what that is; the first that is said."""


def path_of(config: DryRunConfig) -> str:
    """Where the pod is created."""
    return f"/api/v1/namespaces/{config.namespace}/pods"


def document_of(config: DryRunConfig) -> bytes:
    """A pod that asks to be injected and that the restricted profile of Kubernetes allows."""
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
    """What a pod that would have been created shows (any bytes)."""
    try:
        pod = decode_pod(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _nothing("the API server's answer is no pod", config)
    names = {container.name for container in (*pod.containers, *(pod.spec.init_containers or ()))}
    if names.isdisjoint(_INJECTED):
        return _nothing("no injector took the pod: namespace and revision name none", config)
    return WebhookPath(up=True, outcome=Outcome.OK, detail="", revision=config.revision)


def read_refusal(error: KubernetesError, config: DryRunConfig) -> WebhookPath:
    """What a refusal shows."""
    text = str(error)
    failed = _FAILED.search(text)
    if failed is not None:
        return _read_failure(failed[1], failed[2], config)
    if error.status == _FORBIDDEN and any(f'"{name}"' in text for name in _INJECTED):
        # Admitted after it was changed, so that what forbids it has seen the sidecar.
        return WebhookPath(up=True, outcome=Outcome.OK, detail="", revision=config.revision)
    return _nothing(text, config)


def _read_failure(webhook: str, reason: str, config: DryRunConfig) -> WebhookPath:
    if not webhook.endswith(_INJECTOR):
        return _nothing(f"another webhook, {webhook}, failed first", config)
    said = _QUOTED.sub("", reason).lower()
    outcome = next((found for words, found in _REASONS if words in said), Outcome.HTTP_ERROR)
    return WebhookPath(up=False, outcome=outcome, detail=reason, revision=config.revision)


def _nothing(why: str, config: DryRunConfig) -> WebhookPath:
    return WebhookPath(up=None, outcome=Outcome.NO_ACCESS, detail=why, revision=config.revision)
