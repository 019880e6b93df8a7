"""Conditions of the causes about init containers, which run before the proxy or behind it. Pure.

An init container that has to end before the proxy starts explains every silent and refusing port.
One behind a native sidecar explains nothing of the proxy: it is reported where nothing else is.
"""

from exporter.diagnosis.case import Case, Sentences
from exporter.diagnosis.container_evidence import last_run, since
from exporter.model import ContainerKind, ContainerState, Interception, PodContainer, Role

_LONGEST_SECONDS = 3600.0
"""An init container that takes longer is taken for one that does not end."""

_LONGEST_PREPARATION_SECONDS = 600.0
"""The kubelet needs so long at most for Istio's image, for volumes and for the pod's network."""


def _before_the_proxy(case: Case) -> PodContainer | None:
    """The init container for which the proxy's start waits.

    Where the pod's network was made anew, as after a reboot of its node, all of them run again, and
    the kubelet may still report of the proxy how its run before that ended.
    """
    lifecycle = case.target.lifecycle
    init, proxy = lifecycle.pending_init, lifecycle.proxy_container
    if init is None or proxy is None or proxy.state is ContainerState.RUNNING:
        return None
    return init if lifecycle.precedes(init, proxy) else None


def _behind_the_proxy(case: Case) -> PodContainer | None:
    """The init container that runs beside a native sidecar that runs already."""
    lifecycle = case.target.lifecycle
    init, proxy = lifecycle.pending_init, lifecycle.proxy_container
    if init is None or proxy is None or proxy.kind is not ContainerKind.NATIVE_SIDECAR:
        return None
    is_behind = proxy.state is ContainerState.RUNNING and lifecycle.precedes(proxy, init)
    return init if is_behind else None


def redirection_setup_fails(case: Case) -> Sentences:
    """An init container of Istio's fails, cannot be pulled, or does not end."""
    init = _before_the_proxy(case)
    if init is None or not init.is_istios or not _does_not_end(case, init):
        return None
    return _describe(case, init)


def redirection_remedy(case: Case) -> str:
    """What to do about the very container that fails, or about its image."""
    init = _before_the_proxy(case)
    if init is None:
        return ""
    if init.is_prepared and init.last is None:
        return (
            f"The kubelet has not started {init.name}: a volume (config map istio-ca-root-cert), an"
            " image or the pod's network (istio-cni of this node) is missing; kubectl describe pod"
            " shows which."
        )
    if init.lacks_image:
        return (
            f"The kubelet cannot start {init.name}: check its image, the registry and the pull"
            " secret (kubectl describe pod)."
        )
    if not init.sets_redirection:
        return _CORE_DUMP_REMEDY
    if init.was_never_made:
        return _UNMADE_REMEDY.format(init.name)
    if init.checks_redirection:
        return _VALIDATION_REMEDY
    return _REPEATED_REMEDY.format(init.name) if _has_run_before(case) else ""


def _has_run_before(case: Case) -> bool:
    """Whether the proxy ran in this pod, so that redirection was set up once already."""
    proxy = case.target.lifecycle.proxy_container
    return proxy is not None and (proxy.last_run is not None or proxy.restarts > 0)


_REPEATED_REMEDY = (
    "Delete the pod. Its proxy has run before: redirection was set up then, and {0} is run again"
    " and fails on the rules that are still there, if its log says so; the node may have removed"
    " its ended container."
)
_UNMADE_REMEDY = (
    "The kubelet cannot start {}: kubectl describe pod shows why, such as runAsNonRoot, a missing"
    " config map or a security policy. Where no container may run as root, use istio-cni."
)
_CORE_DUMP_REMEDY = (
    "Redirection is set up. enable-core-dump has to run privileged and as root: allow that, or turn"
    " it off (global.proxy.enableCoreDump) and delete this pod."
)
_VALIDATION_REMEDY = (
    "istio-cni has not set redirection up in this pod: look at the istio-cni pod of this node and"
    " its log, then delete this pod, or let istio-cni's repair do so."
)


def init_container_fails(case: Case) -> Sentences:
    """The application's own init container fails or has run for an hour, before the proxy."""
    init = _before_the_proxy(case)
    if init is None or init.is_istios or not _does_not_end(case, init):
        return None
    return (*_describe(case, init), *_waits_for_network(case, init))


def init_container_runs(case: Case) -> Sentences:
    """An init container has not ended yet, so that the proxy has not been started."""
    init = _before_the_proxy(case)
    if init is None or _does_not_end(case, init):
        return None
    return (*_describe(case, init), *_waits_for_network(case, init))


def init_container_fails_behind(case: Case) -> Sentences:
    """The same of an init container behind a native sidecar."""
    init = _behind_the_proxy(case)
    return _describe(case, init) if init is not None and _does_not_end(case, init) else None


def init_container_runs_behind(case: Case) -> Sentences:
    """An init container behind a native sidecar has not ended yet."""
    init = _behind_the_proxy(case)
    return _describe(case, init) if init is not None and not _does_not_end(case, init) else None


def network_remedy(case: Case) -> str:
    """What to do where the init container may wait for a network that it cannot have yet."""
    init = _before_the_proxy(case)
    return _NETWORK_REMEDY if init is not None and _waits_for_network(case, init) else ""


_NETWORK_REMEDY = (
    "Read the log of this init container. If it waits for the network: use native sidecars"
    " (ENABLE_NATIVE_SIDECARS, Istio 1.27 by default), run it as the proxy's user (runAsUser:"
    " 1337; on OpenShift the one behind -u of istio-validation), exclude its destinations"
    " (traffic.sidecar.istio.io/excludeOutboundPorts or excludeOutboundIPRanges), or move its work"
    " into the application's container with holdApplicationUntilProxyStarts."
)


def _does_not_end(case: Case, init: PodContainer) -> bool:
    begun = _begun(case, init)
    is_unstarted = init.is_istios and init.is_prepared and init.last is None
    longest = _LONGEST_PREPARATION_SECONDS if is_unstarted else _LONGEST_SECONDS
    is_old = begun is not None and case.now - begun >= longest
    return init.is_failing or is_old


def _begun(case: Case, init: PodContainer) -> float | None:
    """Since when it runs; since the pod was made for one that was not started."""
    running = init.state is ContainerState.RUNNING
    return init.started if running and init.started else case.target.lifecycle.created


def _describe(case: Case, init: PodContainer) -> tuple[str, ...]:
    last = last_run(init, case.now) if init.last else ()
    repeated = (f"{init.name} restarted {init.restarts} times",) if init.restarts else ()
    if init.state is ContainerState.RUNNING:
        does = "runs" if init.has_started else "runs and its startup probe fails"
        sentence = f"the init container {init.name} {does}{since(init.started, case.now)}"
    else:
        begun = since(case.target.lifecycle.created, case.now)
        sentence = f"the init container {init.name} {init.describe()}; the pod exists{begun}"
    return (sentence, *repeated, *last)


def _waits_for_network(case: Case, init: PodContainer) -> tuple[str, ...]:
    """Redirection stands already and the proxy does not run: connections go nowhere."""
    target = case.target
    settings = target.settings
    if target.role is not Role.SIDECAR or settings.interception is Interception.NONE:
        return ()
    if not settings.captures_outbound:
        return ()
    if init.is_istios or init.bypasses_redirection:
        return ()
    is_set = any(
        row.sets_redirection and row.has_completed and target.lifecycle.precedes(row, init)
        for row in target.lifecycle.containers
    )
    return (_NO_NETWORK,) if is_set else ()


_NO_NETWORK = (
    "redirection is set up and the proxy does not run yet, so this init container has no network"
    " through it"
)
