"""Pods and gateways that are broken, each in its own way: what breaks, how, and what it causes."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.cluster import istio
from tests.cluster.images import DEBIAN
from tests.cluster.processes import AGENT, ENVOY, run_inside, stop
from tests.cluster.times import Break
from tests.cluster.workloads import isolated, job, pod
from tests.real.kubernetes.client import Admin, Document

NAMESPACE = "broken"
UNLABELLED = "unlabelled"
"""A namespace that asks for no injection."""
Act = Callable[[Admin, Document], Awaitable[float]]
"""Breaks a pod, given as the API has it; from so many seconds later on it counts as broken."""
_STUCK_SECONDS = 60.0
"""From then on a pod that is still there is a fault."""
_EDGE = "IstioGatewaysFailing"
_UNCONFIGURED = "IstioProxyNeverConfigured"
_RESET = ("-j", "REJECT", "--reject-with", "tcp-reset")
_CUT = ("-I", "OUTPUT", "-p", "tcp", "--dport", "15012", *_RESET)


@dataclass(frozen=True, slots=True)
class Case:
    """A pod, Job or gateway and its break; without `act` it is broken from its beginning.

    The document of a gateway is its servers. `objects` are there before it.
    """

    what: Break
    document: Document
    act: Act | None = None
    objects: tuple[Document, ...] = ()

    @property
    def name(self) -> str:
        """Of its mesh, and the label `app` of its pods."""
        return str(self.document["metadata"]["name"])

    @property
    def is_gateway(self) -> bool:
        """Whether a gateway has to be installed for it."""
        return bool(self.document["kind"] == "Gateway")

    @property
    def pods(self) -> str:
        """Its pods as a regular expression of namespace/name."""
        return f"{self.document['metadata']['namespace']}/{self.name}(-.*)?"


def _stopping(*programs: str) -> Act:
    async def act(_: Admin, found: Document) -> float:
        stop(found, *programs)
        return 0.0

    return act


def _firewalling(*rule: str) -> Act:
    async def act(_: Admin, found: Document) -> float:
        run_inside(found, "iptables", "--wait", *rule)
        return 0.0

    return act


def _applying(*documents: Document) -> Act:
    async def act(admin: Admin, _: Document) -> float:
        await admin.apply(*documents)
        return 0.0

    return act


def _deleting(document: Document, later: float = 0.0, **query: str) -> Act:
    async def act(admin: Admin, _: Document) -> float:
        await admin.delete(document, **query)
        return later

    return act


def _program(name: str, code: str, **more: Any) -> Document:
    """A container that runs a line of Python."""
    return {"name": name, "image": DEBIAN.reference, "command": ["python3", "-c", code], **more}


def _proxied(**metadata: str) -> dict[str, str]:
    """The annotation that gives a proxy environment variables."""
    return {"proxy.istio.io/config": json.dumps({"proxyMetadata": metadata})}


def _made(
    name: str,
    annotations: Mapping[str, str] | None = None,
    where: str = NAMESPACE,
    **spec: Any,
) -> Document:
    """A pod that has a classic sidecar: init containers run before it."""
    classic = {"sidecar.istio.io/nativeSidecar": "false", **(annotations or {})}
    return pod(where, name, annotations=classic, **spec)


def _held(name: str) -> Document:
    document = pod(NAMESPACE, name)
    document["metadata"]["finalizers"] = ["example.org/held"]
    return document


def _never_injected(name: str) -> Document:
    """A gateway of a revision that nobody serves, as istiod's webhook would complete it."""
    containers = [{"name": "istio-proxy", "image": "auto"}]
    chosen = {"inject.istio.io/templates": "gateway"}
    document = pod(UNLABELLED, name, annotations=chosen, containers=containers)
    document["metadata"]["labels"]["istio.io/rev"] = "gone"
    return document


def _open_admin(name: str) -> Document:
    """A bootstrap by which Envoy's admin port listens for everybody."""
    address = {"socket_address": {"address": "0.0.0.0", "port_value": 15000}}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "data": {"custom_bootstrap.json": json.dumps({"admin": {"address": address}})},
    }


_EDGE_SERVERS = istio.servers("edge", NAMESPACE)
_STAYS = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(86400)"
_SLEEPS = "import time; time.sleep(86400)"


CASES = (
    Case(Break("Envoy hangs", "envoy_stuck"), pod(NAMESPACE, "envoy"), _stopping(ENVOY)),
    Case(Break("the agent hangs", "agent_stuck"), pod(NAMESPACE, "agent"), _stopping(AGENT)),
    Case(
        Break("the proxy gets no CPU", "container_starved"),
        pod(NAMESPACE, "both"),
        _stopping(AGENT, ENVOY),
    ),
    Case(
        Break("the redirection is removed", "redirection_missing", "IstioProxyRedirectionMissing"),
        pod(NAMESPACE, "open"),
        _firewalling("-t", "nat", "-F"),
    ),
    Case(
        Break("no packet reaches a pod", "unreachable"),
        pod(NAMESPACE, "dark"),
        _firewalling("-I", "INPUT", "-j", "DROP"),
    ),
    Case(
        Break("what is sent to a pod is answered by a reset", "connections_ended"),
        pod(NAMESPACE, "resets"),
        _firewalling("-I", "INPUT", "-p", "tcp", "--tcp-flags", "PSH", "PSH", *_RESET),
    ),
    Case(
        Break(
            "a sidecar's way to istiod is closed",
            "xds_disconnected",
            "IstioProxyWithoutXds",
            detail=True,
        ),
        pod(NAMESPACE, "cut"),
        _firewalling(*_CUT),
    ),
    Case(
        Break("all gateways of a deployment hang", "envoy_stuck", _EDGE),
        istio.servers("front", NAMESPACE),
        _stopping(ENVOY),
    ),
    Case(
        Break("a gateway's last server is deleted", "gateway_without_servers", _EDGE),
        _EDGE_SERVERS,
        _deleting(_EDGE_SERVERS),
    ),
    Case(
        Break("a deleted pod takes its time", "draining", ""),
        pod(NAMESPACE, "leaves", ("python3", "-c", _STAYS)),
        _deleting(pod(NAMESPACE, "leaves"), gracePeriodSeconds="1500"),
    ),
    Case(
        Break("a finalizer holds a deleted pod, from a minute on", "deletion_stuck"),
        _held("held"),
        _deleting(_held("held"), later=_STUCK_SECONDS),
    ),
    Case(
        Break("a policy shuts a pod off", "network_blocked", "", later="IstioProxiesNotJudged"),
        pod(NAMESPACE, "shut"),
        _applying(isolated(NAMESPACE, {"app": "shut"})),
    ),
    Case(
        Break("the image of a new pod's proxy is not there", "redirection_setup_failing"),
        _made("absent", {"sidecar.istio.io/proxyImage": "localhost/absent:1"}),
    ),
    Case(
        Break("an init container of a new pod fails", "init_container_failing", ""),
        _made("fails", initContainers=[_program("fails", "raise SystemExit(3)")]),
    ),
    Case(
        Break("an init container of a new pod waits", "init_container_running", ""),
        _made("waits", initContainers=[_program("waits", _SLEEPS)]),
    ),
    Case(
        Break("a new proxy has too little memory", "crash_looping"),
        _made("hungry", {f"sidecar.istio.io/proxyMemory{end}": "20Mi" for end in ("", "Limit")}),
    ),
    Case(
        Break(
            "a new proxy is sent to an istiod that is not there",
            "istiod_unreachable",
            _UNCONFIGURED,
        ),
        _made("lost", {"proxy.istio.io/config": '{"discoveryAddress": "istiod.gone.svc:15012"}'}),
    ),
    Case(
        Break(
            "a new proxy's certificate authority is not there", "identity_not_issued", _UNCONFIGURED
        ),
        _made("unsigned", _proxied(CA_ADDR="istiod.istio-system.svc:15999")),
    ),
    Case(
        Break("a new proxy's admin port is open to all", "admin_exposed", "IstioProxyAdminExposed"),
        _made("bare", {"sidecar.istio.io/bootstrapOverride": "bare"}),
        objects=(_open_admin("bare"),),
    ),
    Case(
        Break("a new gateway is not injected", "proxy_missing", _EDGE),
        _never_injected("missing"),
    ),
    Case(
        Break("a Job ends, its sidecar does not", "job_held_by_sidecar", ""),
        job(NAMESPACE, "done", ("true",), **{"sidecar.istio.io/nativeSidecar": "false"}),
    ),
)
