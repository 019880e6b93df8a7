"""Pods in every state of their life, as a kubelet reports them, and what their ports then show."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from exporter.config import Config
from exporter.discovery.pod_documents import decode_pod
from exporter.discovery.pods import targets_of_pod
from exporter.model import Memory, Observation, Outcome, Target, TargetRecord
from tests.diagnosis.matrix import CONTROL, NOW, all_of, dropped, net, rejected, seen_by, sidecar

Document = dict[str, Any]

REFUSED = all_of(Outcome.REFUSED, (CONTROL, 15006, 15020, 15021, 15090))
DARK = [dropped(port) for port in (CONTROL, 15020, 15021, 15090)]
REJECTED = [rejected(port) for port in (CONTROL, 15020, 15021, 15090)]
HEALTHY = sidecar()

IMAGE = "istio/proxyv2:1.28.1"
RULES = ["istio-iptables", "-p", "15001", "-z", "15006", "-m", "REDIRECT", "-b", "*", "-d", "15090"]
INIT = {"name": "istio-init", "image": IMAGE, "args": RULES}
VALIDATION = {"name": "istio-validation", "image": IMAGE, "args": [*RULES, "--run-validation"]}
PROXY = {"name": "istio-proxy", "image": IMAGE, "args": ["proxy", "sidecar"]}
ROUTER = {"name": "istio-proxy", "image": IMAGE, "args": ["proxy", "router"]}
NATIVE = {**PROXY, "restartPolicy": "Always"}
APP = {"name": "app", "image": "shop/app:1"}
MIGRATE = {"name": "migrate", "image": "shop/migrate:1"}
AS_PROXY = {**MIGRATE, "securityContext": {"runAsUser": 1337}}
AS_GROUP = {**MIGRATE, "securityContext": {"runAsUser": 1000, "runAsGroup": 1337}}
OPENSHIFT = {**INIT, "name": "istio-validation", "args": [*RULES, "-u", "1000629999"]}
AS_NAMESPACE = {**MIGRATE, "securityContext": {"runAsUser": 1000629999}}
NO_OUTBOUND = {**INIT, "args": [*RULES, "-i", ""]}
AUTO = {"name": "istio-proxy", "image": "auto"}


def iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def run(code: int = 1, reason: str = "Error", *, seconds: float = 5, ago: float = 20) -> Document:
    """A run that has ended `ago` seconds ago, after `seconds`."""
    finished = NOW - ago
    return {
        "exitCode": code,
        "reason": reason,
        "startedAt": iso(finished - seconds),
        "finishedAt": iso(finished),
    }


def running(
    age: float = 3600, *, ready: bool = True, restarts: int = 0, last: Document | None = None
) -> Document:
    state = {"running": {"startedAt": iso(NOW - age)}}
    return _status(state, ready=ready, restarts=restarts, last=last)


def waiting(
    reason: str = "PodInitializing", *, restarts: int = 0, last: Document | None = None
) -> Document:
    return _status({"waiting": {"reason": reason}}, restarts=restarts, last=last)


def ended(ending: Document | None = None, *, restarts: int = 0) -> Document:
    ending = ending or run(0, "Completed")
    return _status({"terminated": ending}, ready=not ending["exitCode"], restarts=restarts)


def _status(
    state: Document, *, ready: bool = False, restarts: int = 0, last: Document | None = None
) -> Document:
    status = {"state": state, "ready": ready, "restartCount": restarts}
    return {**status, "lastState": {"terminated": last}} if last else status


Row = tuple[Document, Document | None]
"""A container and its status; None: the kubelet reports none."""


def pod(
    *containers: Row,
    inits: tuple[Row, ...] = (),
    age: float = 3700,
    deleted: float | None = None,
    finalizers: tuple[str, ...] = (),
    metadata: Document | None = None,
    injected: bool = True,
    **spec: object,
) -> Document:
    """A pod; `deleted`: how many seconds ago its grace period has ended."""
    notes = {"sidecar.istio.io/status": "{}"} if injected else {}
    meta: Document = {
        "name": "cart-1",
        "namespace": "shop",
        "creationTimestamp": iso(NOW - age),
        "annotations": notes,
        **(metadata or {}),
    }
    if deleted is not None:
        meta |= {"deletionTimestamp": iso(NOW - deleted), "finalizers": list(finalizers)}
    return {
        "metadata": meta,
        "spec": {
            "nodeName": "node-1",
            "containers": [row for row, _ in containers],
            "initContainers": [row for row, _ in inits],
            **spec,
        },
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.7",
            "containerStatuses": _statuses(containers),
            "initContainerStatuses": _statuses(inits),
        },
    }


def _statuses(rows: tuple[Row, ...]) -> list[Document]:
    return [{"name": row["name"], **status} for row, status in rows if status is not None]


def target_in(document: Document) -> Target:
    (target,) = targets_of_pod(decode_pod(json.dumps(document).encode()), Config())
    return target


def polled(
    document: Document,
    seen: list[Observation],
    *,
    polls: int = 2,
    later: float = 0.0,
    memory: Memory | None = None,
    node_ready: bool | None = None,
) -> tuple[TargetRecord, Memory]:
    """What some polls of the pod in this state come to; `later`: seconds after NOW."""
    memory = memory or Memory()
    target = target_in(document)
    target = replace(target, lifecycle=replace(target.lifecycle, node_ready=node_ready))
    for number in range(polls):
        now = NOW + later + number * 0.5
        record, memory = seen_by(seen, target=target, memory=memory, now=now)
    return record, memory


DRAINING = [*HEALTHY[:3], net(15020, Outcome.REFUSED), net(15021, Outcome.NOT_READY), HEALTHY[5]]
CREATING = ("PodInitializing", "ContainerCreating")
UNPULLED = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull")
UNSTARTED = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


GATEWAY_SEEN = HEALTHY[3:]
OOM = run(137, "OOMKilled", seconds=12)
BACK_OFF = "CrashLoopBackOff"


@dataclass(frozen=True)
class State:
    """A pod, what its ports show, and what the diagnosis has to be and to name."""

    id: str
    cause: str
    pod: Document
    seen: list[Observation]
    names: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    node_ready: bool | None = None


def classic(init: Document, status: Document, *, age: float = 600, first: tuple = ()) -> Document:
    """A pod with a classic sidecar that stands at this init container."""
    rows = (*first, (init, status))
    return pod((APP, waiting()), (PROXY, waiting()), inits=rows, age=age)


def set_up(init: Document, status: Document, **more: object) -> Document:
    """The same with redirection set up before it."""
    return classic(init, status, first=((INIT, ended()),), **more)


def native(init: Document, status: Document, *, before: bool, **more: object) -> Document:
    """A pod with a native sidecar and this init container before or behind it."""
    proxy = (NATIVE, waiting() if before else running(500))
    rows = ((init, status), proxy) if before else (proxy, (init, status))
    return pod((APP, waiting()), inits=((INIT, ended()), *rows), age=600, **more)


def sidecar_in(status: Document, *, age: float = 3700, **more: object) -> Document:
    return pod((APP, running()), (PROXY, status), inits=((INIT, ended()),), age=age, **more)


def job(
    app: Document, proxy: Document, *, is_native: bool = False, policy: str = "Never"
) -> Document:
    if is_native:
        return pod((APP, app), inits=((INIT, ended()), (NATIVE, proxy)), restartPolicy=policy)
    return pod((APP, app), (PROXY, proxy), inits=((INIT, ended()),), restartPolicy=policy)
