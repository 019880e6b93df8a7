"""Objects of the Kubernetes API as somebody hostile shapes them: honest ones, changed in places."""

import copy
import os
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.discovery.pod_builders import Document, app, document, proxy, rules, sidecar
from tests.discovery.untrusted_text import ADDRESSES, CONFIGS, NUMBERS, TIMES, VERSIONS

SILENT = f"127.13.{os.getpid() % 250}.77"
"""Where everything accepts and nothing ever answers."""

NOBODY = "127.13.7.78"
"""Where everything is refused."""

STARTED = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
ENDED = {"terminated": {"reason": "Error", "exitCode": 1, "finishedAt": "2026-01-01T00:00:00Z"}}


def _status(*names: str, address: str = SILENT) -> Document:
    containers = [
        {"name": name, "ready": True, "restartCount": 1, "state": STARTED, "lastState": ENDED}
        for name in names
    ]
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": NOBODY,
        "containerStatuses": containers,
    }


def _pods() -> list[Document]:
    status = _status("app", "istio-proxy")
    config = {"proxy.istio.io/config": "statusPort: 15020\nproxyMetadata: {A: b}"}
    listed = {"traffic.sidecar.istio.io/excludeInboundPorts": "1, 2", "istio.io/rev": "canary"}
    env = {"ISTIO_META_WORKLOAD_NAME": "cart", "ISTIO_META_CLUSTER_ID": "east"}
    enrolled = {"ambient.istio.io/redirection": "enabled"}
    istiod = {"name": "discovery", "image": "pilot:1.28.0", "args": ["--grpcAddr=:15010"]}
    cni = {"name": "install-cni", "image": "istio/install-cni:1.28.0"}
    return [
        sidecar(env, annotations=config | listed, status=status),
        sidecar(env, status=_status("istio-proxy", address=NOBODY), inits=(rules(), app())),
        document(proxy("router", env=env), app(9000), status=status),
        document(proxy("waypoint"), status=status),
        document(istiod, labels={"app": "istiod"}, status=status, serviceAccountName="istiod"),
        document(proxy("ztunnel"), labels={"app": "ztunnel"}, status=status),
        document(cni, labels={"k8s-app": "istio-cni-node"}, status=status),
        document(app(8080), annotations=enrolled, status=status),
        document({"name": "istio-proxy", "image": "auto"}, status=status),
        document({"name": "agentgateway", "image": "istio/agentgateway:v1"}, status=status),
    ]


PODS = _pods()
NODES: list[Document] = [
    {
        "metadata": {"name": "node-a", "labels": {"a": "b"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
]
NAMESPACES: list[Document] = [
    {"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}, "annotations": {}}}
]
SERVICES: list[Document] = [
    {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"a": "b"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
]
STATUSES: list[Document] = [
    {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old", "details": {}}
]


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"f:a": value}
    return value


DEEP = _deep(300)
"""As deep as Python's own encoder writes; the tests of the decoder have deeper ones."""

VALUES: tuple[Any, ...] = (
    *(*NUMBERS, *VERSIONS, *ADDRESSES, *TIMES, *CONFIGS),
    *(None, True, [], {}, "", -1, 0, 65536, 2**31, 2**64, 10**400, 1.5, DEEP, [DEEP]),
    *("x" * 100_000, "1," * 30_000, "{" * 5000, '\0\n"\\', "\u202e", "$(A)" * 200),
    *([{}] * 3000, ["a"] * 3000, {str(number): "a" for number in range(3000)}),
)

ALIKE = {
    kind: [value for value in VALUES if type(value) is kind]
    for kind in (str, int, bool, list, dict)
}
"""Of the same type, an object is read further."""

Place = tuple[Any, Any]
"""A mapping or list, and the key of something in it."""


def _places(value: Any) -> Iterator[Place]:
    keys = range(len(value)) if isinstance(value, list | tuple) else tuple(value)
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _changed(honest: Document, changes: list[tuple[int, Any]]) -> Document:
    changed = copy.deepcopy(honest)
    for number, value in changes:
        places = list(_places(changed))
        if not places:
            break
        parent, key = places[number % len(places)]
        alike = ALIKE.get(type(parent[key]))
        if isinstance(value, int) and alike:
            parent[key] = copy.deepcopy(alike[value % len(alike)])
        elif value is Ellipsis:
            del parent[key]
        else:
            parent[key] = copy.deepcopy(value)
    return changed


def objects(honest: list[Document], most_changes: int = 4) -> st.SearchStrategy[Document]:
    """Honest objects of a kind, with some of their parts replaced or taken out."""
    values = st.one_of(
        st.integers(0, 999),
        st.sampled_from([value for value in (*VALUES, ...) if not isinstance(value, int)]),
        st.text(st.characters(exclude_categories=("Cs",))),
    )
    changes = st.lists(st.tuples(st.integers(0, 999), values), max_size=most_changes)
    return st.builds(_changed, st.sampled_from(honest), changes)
