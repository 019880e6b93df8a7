"""A pod's lifecycle: the kubelet's report on its containers, reduced. Pure.

The rule: what the document does not report is unknown. A pod without statuses has no container that
does not run.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from exporter.bounds import CONTAINERS
from exporter.clock import time_of
from exporter.discovery.missing_proxies import is_uninjected_gateway
from exporter.discovery.pod_documents import (
    Container,
    ContainerStatus,
    Pod,
    ReadinessProbe,
    SecurityContext,
    StateDetail,
    StateReport,
    Status,
)
from exporter.discovery.redirection_rules import (
    checks_rules,
    iptables_flags,
    skipped_ids,
    writes_rules,
)
from exporter.model import ContainerKind, ContainerState, Lifecycle, PodContainer, Termination
from exporter.model.lifecycle import UNSCHEDULED

_CORE_DUMP = "enable-core-dump"
"""Injected for global.proxy.enableCoreDump: it sets the kernel's core_pattern, and runs as root."""

_LONGEST_GRACE = 10**9
_ENDING_POLICIES = ("Never", "OnFailure")
_COMPLETED = Termination("Completed")
_NO_STATUS = Status()
_NO_CONTAINER = Container()
_NO_CONTEXT = SecurityContext()


def lifecycle_of(pod: Pod, proxy: Container, *, is_istios: bool = False) -> Lifecycle:
    """The lifecycle of a pod whose target is the container `proxy`.

    `is_istios`: the pod is a part of Istio. One that no node takes does not run then; others may
    wait for a node on purpose, in a queue of jobs.
    """
    metadata, spec = pod.metadata, pod.spec
    is_unscheduled = is_istios and _is_unscheduled(pod)
    status = pod.status and pod.status.of(proxy.name)
    terminating = metadata.deletion_timestamp is not None
    seconds = spec.termination_grace_period_seconds
    return Lifecycle(
        container_ready=status.ready if status else (False if is_unscheduled else None),
        terminating=terminating if terminating or pod.status else None,
        created=time_of(metadata.creation_timestamp),
        started=status.started_at if status else None,
        restarts=status.restart_count if status else None,
        trouble=status.trouble if status else (UNSCHEDULED if is_unscheduled else ""),
        delete_by=time_of(metadata.deletion_timestamp),
        grace=30.0 if seconds is None else float(min(max(seconds, 0), _LONGEST_GRACE)),
        finalizers=(metadata.finalizers or ())[:CONTAINERS],
        proxy=proxy.name,
        containers=tuple(_containers(pod)) if _has_statuses(pod) else (),
        **(_probed(proxy.readiness_probe) if proxy.readiness_probe else {}),
        may_end=spec.restart_policy in _ENDING_POLICIES,
        missing_proxy="gateway" if is_uninjected_gateway(pod) else "",
    )


def _probed(probe: ReadinessProbe) -> dict[str, Any]:
    """The fields of `Lifecycle` about what the kubelet probes."""
    return {
        "unready_after": probe.unready_after,
        "probed_port": probe.port,
        "probe_delay": probe.delay,
    }


def lifecycle_of_workload(pod: Pod) -> Lifecycle:
    """The lifecycle of a pod in ambient, whose own containers are nothing to its ports.

    They are ready where all of them are; the pod's network is as old as the pod.
    """
    rows = (pod.status and pod.status.container_statuses) or ()
    lifecycle = lifecycle_of(pod, _NO_CONTAINER)
    return replace(
        lifecycle,
        container_ready=all(row.ready for row in rows) if rows else None,
        started=lifecycle.created,
        containers=(),
    )


def _is_unscheduled(pod: Pod) -> bool:
    status = pod.status or _NO_STATUS
    return status.phase == "Pending" and not pod.spec.node_name and not _has_statuses(pod)


def _has_statuses(pod: Pod) -> bool:
    status = pod.status or _NO_STATUS
    return bool(status.container_statuses or status.init_container_statuses)


def _containers(pod: Pod) -> Iterator[PodContainer]:
    """Every container in the order in which the kubelet starts them."""
    status, spec = pod.status or _NO_STATUS, pod.spec
    inits = (spec.init_containers or ())[:CONTAINERS]
    read = partial(_container, pod, skipped_ids(iptables_flags(inits)))
    for row in inits:
        is_native = row.restart_policy == "Always"
        kind = ContainerKind.NATIVE_SIDECAR if is_native else ContainerKind.INIT
        yield read(row, kind, _status_of(status.init_container_statuses, row.name))
    for row in (spec.containers or ())[:CONTAINERS]:
        yield read(row, ContainerKind.ORDINARY, _status_of(status.container_statuses, row.name))


def _status_of(rows: tuple[ContainerStatus, ...] | None, name: str) -> ContainerStatus:
    kept = (rows or ())[:CONTAINERS]
    return next((row for row in kept if row.name == name), ContainerStatus())


def _container(
    pod: Pod,
    skipped: tuple[frozenset[str], frozenset[str]],
    container: Container,
    kind: ContainerKind,
    status: ContainerStatus,
) -> PodContainer:
    now, before = status.state or StateReport(), status.last_state or StateReport()
    ended = _termination(now.terminated)
    is_init = kind is ContainerKind.INIT
    sets_redirection = writes_rules(container) or checks_rules(container)
    if is_init and ended is not None and not (ended.exit_code or ended.signal):
        ended = _COMPLETED
    return PodContainer(
        name=container.name,
        kind=kind,
        state=_state_of(now),
        reason=now.waiting.reason if now.waiting else "",
        started=time_of(now.running.started_at) if now.running else None,
        has_started=status.started is not False,
        ended=ended,
        last=_termination(before.terminated),
        restarts=status.restart_count,
        is_done=ended is not None and _stays_ended(pod, container, ended),
        is_istios=is_init and (sets_redirection or container.name == _CORE_DUMP),
        sets_redirection=is_init and sets_redirection,
        checks_redirection=is_init and checks_rules(container),
        bypasses_redirection=is_init and _is_among(skipped, _runs_as(pod, container)),
    )


def _state_of(report: StateReport) -> ContainerState:
    if report.running is not None:
        return ContainerState.RUNNING
    if report.terminated is not None:
        return ContainerState.TERMINATED
    return ContainerState.UNKNOWN if report.waiting is None else ContainerState.WAITING


def _termination(ended: StateDetail | None) -> Termination | None:
    if ended is None:
        return None
    times = time_of(ended.started_at), time_of(ended.finished_at)
    return Termination(ended.reason, ended.exit_code, ended.signal, *times)


def _stays_ended(pod: Pod, container: Container, ended: Termination) -> bool:
    """Whether a container that has ended so is not started again: its own policy or the pod's."""
    policy = container.restart_policy or pod.spec.restart_policy
    return policy == "Never" or (policy == "OnFailure" and not (ended.exit_code or ended.signal))


def _is_among(
    skipped: tuple[frozenset[str], frozenset[str]], ids: tuple[int | None, int | None]
) -> bool:
    """Whether the user or the group is one that redirection leaves alone."""
    return any(str(one) in each for one, each in zip(ids, skipped, strict=True))


def _runs_as(pod: Pod, container: Container) -> tuple[int | None, int | None]:
    """The user and the group of a container; its own settings outrank the pod's."""
    own = container.security_context or _NO_CONTEXT
    general = pod.spec.security_context or _NO_CONTEXT
    user = general.run_as_user if own.run_as_user is None else own.run_as_user
    group = general.run_as_group if own.run_as_group is None else own.run_as_group
    return user, group
