"""Conditions of the causes about a pod's end, its restarts, and a proxy never injected. Pure.

All of it is in the pod's document, so that a restart of the exporter changes nothing.
"""

from collections.abc import Iterator

from exporter.diagnosis.case import Case, Sentences
from exporter.diagnosis.conditions.proxy_processes import agent_is_gone
from exporter.diagnosis.container_evidence import duration, last_run, since
from exporter.model import ContainerKind, ContainerState, Lifecycle, Outcome, PodContainer, PortName

_STUCK_AFTER_SECONDS = 60.0
"""The kubelet takes a few seconds after the grace period; a minute is more than it needs."""

_HELD_AFTER_SECONDS = 60.0
"""An application may stop its sidecar itself, a moment after its work is done."""


_REPORTED_AFTER_SECONDS = 10.0
"""Within so long a busy kubelet reports that containers have ended, and the watch brings it."""


def deletion_is_stuck(case: Case) -> Sentences:
    """A minute past its deletionTimestamp, which has the grace period in it, the pod is there."""
    lifecycle = case.target.lifecycle
    if not lifecycle.terminating or lifecycle.delete_by is None:
        return None
    late = case.now - lifecycle.delete_by
    if late <= _STUCK_AFTER_SECONDS:
        return None
    sentence = f"Kubernetes was to have deleted the pod {duration(late)} ago"
    return (sentence, *(tuple(_holders(lifecycle)) or _NO_HOLDER))


_NO_HOLDER = ("neither a finalizer nor a running container is reported: the kubelet has not ended",)


def _holders(lifecycle: Lifecycle) -> Iterator[str]:
    """What keeps a deleted pod."""
    if lifecycle.finalizers:
        yield f"finalizers hold it: {', '.join(lifecycle.finalizers)}"
    running = [row.name for row in lifecycle.containers if row.state is ContainerState.RUNNING]
    if running:
        yield f"containers that still run: {', '.join(running)}"
    elif not lifecycle.containers and lifecycle.started is not None:
        yield "its container still runs"
    if lifecycle.node_ready is False:
        yield "its node is not ready"


def pod_is_ending(case: Case) -> Sentences:
    """Kubernetes deletes the pod, or its work is done and the proxy is next or has ended, too."""
    lifecycle = case.target.lifecycle
    if lifecycle.terminating:
        return ("Kubernetes is deleting the pod", *_exits(lifecycle))
    if not lifecycle.work_is_done:
        return _agent_has_just_ended(case)
    done, proxy = _work_ended(lifecycle), lifecycle.proxy_container
    if proxy is not None and proxy.is_done:
        done = proxy.ended.finished if proxy.ended else None
    is_over = done is not None and case.now - done > _ending_seconds(lifecycle)
    return None if is_over else ("the pod's work is done", *_exits(lifecycle))


def _agent_has_just_ended(case: Case) -> Sentences:
    """The agent refuses since the last poll, and Kubernetes still reports that its container runs.

    The agent is the first process of its container and stops first, while Envoy drains: of a Job
    whose work is done, by an eviction, with its node. The report on that comes a moment later.
    """
    lifecycle = case.target.lifecycle
    if lifecycle.started is None or case.outcome(PortName.STATUS) is not Outcome.REFUSED:
        return None
    answered = case.memory.last_ok.get(case.number(PortName.STATUS)) or 0.0
    interval = case.memory.effective(case.config.poll.interval)
    if answered <= lifecycle.started or case.now - answered > interval + _REPORTED_AFTER_SECONDS:
        return None
    if not lifecycle.may_end and agent_is_gone(case) is None:
        return None
    sentence = "the agent has ended since the last poll, which Kubernetes has yet to report"
    return (sentence, *case.describe(PortName.STATUS, PortName.HEALTH))


def _ending_seconds(lifecycle: Lifecycle) -> float:
    """How long a proxy may take to end after the work is done."""
    if _is_classic(lifecycle.proxy_container):
        return _HELD_AFTER_SECONDS
    return lifecycle.grace + _STUCK_AFTER_SECONDS


def _is_classic(proxy: PodContainer | None) -> bool:
    return proxy is not None and proxy.kind is ContainerKind.ORDINARY


def _work_ended(lifecycle: Lifecycle) -> float | None:
    """When the last of the application's containers ended; no later than its start if unknown."""
    ends = [row.ended for row in lifecycle.others if row.ended]
    times = [end.finished or end.started for end in ends]
    return max(filter(None, times), default=lifecycle.created)


def _exits(lifecycle: Lifecycle) -> tuple[str, ...]:
    return tuple(f"{row.name} has ended: {row.ended}" for row in lifecycle.others if row.is_done)


def sidecar_holds_the_job(case: Case) -> Sentences:
    """The application's containers have ended for good and a classic sidecar runs on alone."""
    lifecycle, proxy = case.target.lifecycle, case.target.lifecycle.proxy_container
    if lifecycle.terminating or not lifecycle.work_is_done or not _is_classic(proxy):
        return None
    if proxy is None or proxy.state is not ContainerState.RUNNING:
        return None
    ended = since(_work_ended(lifecycle), case.now)
    return (f"only {proxy.name} runs, the work has been done{ended}", *_exits(lifecycle))


def proxy_was_never_injected(case: Case) -> Sentences:
    """The proxy's image is still the placeholder that the injector replaces."""
    lifecycle = case.target.lifecycle
    if not lifecycle.missing_proxy:
        return None
    sentence = f"the image of {lifecycle.proxy} is still `auto`: the injector has not seen this pod"
    return (sentence, *case.describe_container())


def container_crash_loops(case: Case) -> Sentences:
    """Two restarts or more, a failure after a short run, and that not long ago."""
    proxy = case.target.lifecycle.proxy_container
    if proxy is None or not proxy.is_looping(case.now):
        return None
    now = f"{proxy.name} {proxy.describe()}"
    if proxy.state is ContainerState.RUNNING:
        now = f"{proxy.name} runs again{since(proxy.started, case.now)}"
    return (f"it restarted {proxy.restarts} times", *last_run(proxy, case.now), now)
