"""The lifecycle of a pod and its containers, by the pod's document."""

from dataclasses import dataclass, replace
from enum import StrEnum

from msgspec import Struct

_RESTART_WINDOW_SECONDS = 600.0
"""After a run of so long the kubelet forgets its back-off: an earlier failure explains nothing."""

PREPARING = frozenset({"", "PodInitializing", "ContainerCreating"})
"""Why a container waits while nothing has gone wrong: its image is pulled, or others come first."""

UNSCHEDULED = "Unschedulable"
"""Why a pod's containers do not run while no node takes it, in Kubernetes' word."""

_NODE_WENT = frozenset({"Unknown", "ContainerStatusUnknown", "NodeLost"})
"""Reasons of a run that ended with its node or its runtime and not by a failure of its own."""


def _is_recent(moment: float, now: float) -> bool:
    """Whether a failure before this moment explains something now.

    One that is far in the future, by a clock of its node that is ahead, is as good as long ago.
    """
    return abs(now - moment) < _RESTART_WINDOW_SECONDS


class ContainerKind(StrEnum):
    """How a container runs: to its end before those that follow, beside all of them, or last."""

    INIT = "init"
    NATIVE_SIDECAR = "native_sidecar"
    ORDINARY = "ordinary"


class ContainerState(StrEnum):
    """What the kubelet reports of a container; unknown where it reports nothing."""

    UNKNOWN = "unknown"
    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


class Termination(Struct, frozen=True):
    """How a run of a container ended. Seconds since the epoch; `started` 0: it never started."""

    reason: str = ""
    exit_code: int = 0
    signal: int = 0
    started: float | None = None
    finished: float | None = None

    @property
    def is_failure(self) -> bool:
        """Whether the container failed by itself: no clean exit, and not lost with its node.

        One that lost a child to the kernel's memory limit may still exit with 0.
        """
        if self.reason in _NODE_WENT:
            return False
        return bool(self.exit_code or self.signal) or self.reason == "OOMKilled"

    @property
    def was_long(self) -> bool:
        """Whether the run provably lasted so long that the kubelet forgot its back-off."""
        if self.started is None or self.finished is None or self.started <= 0:
            return False
        return self.finished - self.started >= _RESTART_WINDOW_SECONDS

    def __str__(self) -> str:
        code = f"signal {self.signal}" if self.signal else f"exit code {self.exit_code}"
        return f"{self.reason or 'ended'} ({code})"


class PodContainer(Struct, frozen=True, kw_only=True):
    """One container of a pod.

    `reason`: why it waits. `started`: since when it runs, `has_started`: whether its startup probe
    lets those behind a native sidecar begin. `ended`: how the present run ended, `last` the one
    before. `is_done`: it has ended and is not started again. `is_istios`: an init container that
    Istio's injector adds; `sets_redirection`: one that sets redirection up, or only checks what
    istio-cni has set up (`checks_redirection`).
    `bypasses_redirection`: it runs as a user or a group that redirection leaves alone.
    """

    name: str
    kind: ContainerKind = ContainerKind.ORDINARY
    state: ContainerState = ContainerState.UNKNOWN
    reason: str = ""
    started: float | None = None
    has_started: bool = True
    ended: Termination | None = None
    last: Termination | None = None
    restarts: int = 0
    is_done: bool = False
    is_istios: bool = False
    sets_redirection: bool = False
    checks_redirection: bool = False
    bypasses_redirection: bool = False

    @property
    def last_run(self) -> Termination | None:
        """How the last run ended, be it the present one or the one before."""
        return self.ended or self.last

    @property
    def is_prepared(self) -> bool:
        """Whether the kubelet prepares its first run, as far as is known."""
        return self.state in _BEFORE_A_RUN and self.reason in PREPARING

    def is_still_unmade(self, before: "PodContainer") -> bool:
        """Whether it could not be made and a restarted kubelet has forgotten why, for now.

        The kubelet keeps the reason in memory only, until the container has started.
        """
        could_not = before.state is ContainerState.WAITING and before.reason in CANNOT_BE_CREATED
        return could_not and self.is_prepared and self.restarts == before.restarts

    @property
    def lacks_image(self) -> bool:
        """Whether it waits because its image cannot be had."""
        is_waiting = self.state is ContainerState.WAITING
        return is_waiting and self.reason in CANNOT_BE_CREATED - {"CreateContainerConfigError"}

    @property
    def was_never_made(self) -> bool:
        """Whether it waits for its first run, as far as the kubelet remembers."""
        is_waiting = self.state is ContainerState.WAITING
        return is_waiting and self.last is None and self.reason != BACK_OFF

    @property
    def has_completed(self) -> bool:
        """Whether it ended well, as every init container has to."""
        return self.ended is not None and not self.ended.exit_code and not self.ended.signal

    @property
    def is_failing(self) -> bool:
        """Whether it cannot be started, has failed, or fails again and again."""
        if self.state is ContainerState.WAITING and self.reason not in PREPARING:
            return True
        if self.ended is not None:
            return self.ended.is_failure
        return self.restarts >= _LOOP_RESTARTS and self.last is not None and self.last.is_failure

    def is_looping(self, now: float) -> bool:
        """Whether it fails again and again, by the kubelet's own measure of a back-off."""
        last = self.last_run
        if self.restarts < _LOOP_RESTARTS:
            return False
        if last is None:  # a kubelet that was restarted may have lost it
            return self.state is ContainerState.WAITING and self.reason == BACK_OFF
        if not last.is_failure or last.was_long:
            return False
        match self.state:
            case ContainerState.RUNNING:
                return self.started is not None and _is_recent(self.started, now)
            case ContainerState.TERMINATED:
                return last.finished is None or _is_recent(last.finished, now)
        return self.reason not in PREPARING | CANNOT_BE_CREATED

    def failed_recently(self, now: float) -> bool:
        """Whether the failure of its last run explains what is seen now."""
        last = self.last_run
        if last is None or not last.is_failure:
            return False
        if self.state is not ContainerState.RUNNING:
            return True
        return self.started is None or _is_recent(self.started, now)

    def describe(self) -> str:
        """Its state in the kubelet's words."""
        match self.state:
            case ContainerState.RUNNING:
                return "runs"
            case ContainerState.TERMINATED:
                return f"has ended: {self.ended}"
            case ContainerState.WAITING:
                return f"waits: {self.reason or 'no reason given'}"
        return "is not reported"


BACK_OFF = "CrashLoopBackOff"
_LOOP_RESTARTS = 2
"""So many restarts are a loop: one may be anybody's."""

CANNOT_BE_CREATED = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
        "CreateContainerConfigError",
    }
)
"""Why a container waits that cannot be made at all: that explains more than its last run does."""

_BEFORE_A_RUN = (ContainerState.UNKNOWN, ContainerState.WAITING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """What Kubernetes reports of the pod and its node; None where it reports nothing.

    `started` is the proxy container's start, `created` the pod's, seconds since the epoch.
    `trouble`: why the container does not run or how it last ended, in the kubelet's words.
    `delete_by`: the deletionTimestamp, which has the grace period in it; `grace` is that period.
    `containers` are in the order in which the kubelet starts them, `proxy` is one of their names.
    `unready_after`: for how many seconds the container's readiness probe may fail until it is
    not ready; None without one. `probed_port`: the port that it requests, 0 where that is unknown,
    from `probe_delay` seconds after the container's start on.
    `may_end`: its restartPolicy lets it complete, as a Job's does.
    `missing_proxy`: what asks for the proxy that was never injected; empty where none is missing.
    """

    container_ready: bool | None = None
    node_ready: bool | None = None
    terminating: bool | None = None
    created: float | None = None
    started: float | None = None
    restarts: int | None = None
    trouble: str = ""
    delete_by: float | None = None
    grace: float = 30.0
    finalizers: tuple[str, ...] = ()
    proxy: str = ""
    containers: tuple[PodContainer, ...] = ()
    missing_proxy: str = ""
    may_end: bool = False
    unready_after: float | None = None
    probed_port: int = 0
    probe_delay: float = 0.0

    def with_kept_reasons(self, before: "Lifecycle") -> "Lifecycle":
        """The same with why containers cannot be made, where the kubelet has forgotten that."""
        unmade = {
            old.name: old
            for old, new in zip(before.containers, self.containers, strict=False)
            if old.name == new.name and new.is_still_unmade(old)
        }
        if not unmade:
            return self
        containers = tuple(unmade.get(one.name, one) for one in self.containers)
        trouble = before.trouble if self.proxy in unmade else self.trouble
        return replace(self, containers=containers, trouble=trouble)

    @property
    def is_down(self) -> bool:
        """Whether Kubernetes reports that the container does not run."""
        return self.container_ready is False and self.started is None

    @property
    def proxy_container(self) -> PodContainer | None:
        """The container that the target is about."""
        return next((row for row in self.containers if row.name == self.proxy), None)

    @property
    def others(self) -> tuple[PodContainer, ...]:
        """The ordinary containers beside the proxy's: the application."""
        return tuple(
            row
            for row in self.containers
            if row.kind is ContainerKind.ORDINARY and row.name != self.proxy
        )

    @property
    def work_is_done(self) -> bool:
        """Whether the application's containers have all ended and are not started again."""
        return bool(self.others) and all(row.is_done for row in self.others)

    @property
    def pending_init(self) -> PodContainer | None:
        """The init container at which the pod stands; None once all have completed.

        None also where an ordinary container runs, whatever is left of the report on one. A native
        sidecar other than the proxy is one until it has started, in a pod that begins.
        """
        ordinary = [row for row in self.containers if row.kind is ContainerKind.ORDINARY]
        if any(row.state is ContainerState.RUNNING for row in ordinary):
            return None
        begins = all(row.is_prepared for row in ordinary)
        pending = next((row for row in self.containers if self._holds(row, begins=begins)), None)
        return pending if pending and pending.state is not ContainerState.UNKNOWN else None

    def _holds(self, row: PodContainer, *, begins: bool) -> bool:
        """Whether the containers behind this one wait for it."""
        match row.kind:
            case ContainerKind.INIT:
                return not row.has_completed
            case ContainerKind.NATIVE_SIDECAR:
                is_up = row.state is ContainerState.RUNNING and row.has_started
                return begins and not is_up and row.name != self.proxy
        return False

    def precedes(self, first: PodContainer, other: PodContainer) -> bool:
        """Whether the kubelet starts one of the containers before the other."""
        return self.containers.index(first) < self.containers.index(other)
