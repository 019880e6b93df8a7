"""What `check` polls and how: static targets, or the pods of a kubeconfig's cluster.

A laptop cannot reach the addresses of pods, so the pods of a kubeconfig's cluster are polled from
inside, by port-forward with the user's own rights. `check` in a pod polls over the network.
"""

import argparse
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial

from exporter.access.portforward import PortForwards
from exporter.config import Config, broken_namespace, broken_selector
from exporter.discovery.list_targets import TargetListing, list_targets
from exporter.kube.api_errors import KubernetesError
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import LoadCredentials
from exporter.model import Target, TargetKey
from exporter.poll.plan import Plan, PodViewFactory, no_pod_view, plan_of, pod_only

AT_ONCE = 64
"""Targets that are polled at the same time: what a laptop's limit of open files allows."""

_FORWARDED_AT_ONCE = 16
"""Pods that are polled at the same time; each takes up to three port-forwards."""

_FORWARDED_TIMEOUT_SECONDS = 5.0
"""The least deadline of a probe that passes through an API server."""

_KINDS = {
    "pod": ("pods", "po"),
    "deployment": ("deployments", "deploy"),
    "replicaset": ("replicasets", "rs"),
    "statefulset": ("statefulsets", "sts"),
    "daemonset": ("daemonsets", "ds"),
    "job": ("jobs",),
    "cronjob": ("cronjobs", "cj"),
    "replicationcontroller": ("replicationcontrollers", "rc"),
    "deploymentconfig": ("deploymentconfigs", "dc"),
    "rollout": ("rollouts", "ro"),
    "workload": (),
}
"""What may precede the name of a pod or workload, with kubectl's plural and short name.

Which kind of workload it is does not matter.
"""

_KIND_OF = {name: kind for kind, others in _KINDS.items() for name in (kind, *others)}

_OFTEN_OWNED = frozenset({"replicaset", "replicationcontroller", "job"})
"""Kinds that a workload makes: their own names have an end that the workload's does not have."""

_CLUSTER_FLAGS = ("kubeconfig", "context", "namespace", "all_namespaces", "labels")
_NAMED = 10
"""Targets that are named where none matches."""

_GLOB = frozenset("*?[")
_NOT_BY_FORWARD = (
    "redirection, the path to the ports over the network, and exposed ports: these polls came "
    "from inside the pods, by port-forward (--access direct polls from here, where pods are "
    "reachable)"
)
_HINTS = {
    0: "check that this cluster is up, or choose another with --context or --kubeconfig",
    401: "the credentials expired or are wrong: log in again, or choose others with --context",
    403: "choose a namespace in which you may list pods with -n, or request that right",
    404: "that is no API server of Kubernetes: choose another with --context or --kubeconfig",
}


@dataclass(slots=True)
class CheckSource:
    """Where targets come from. `not_judged`: what cannot be judged of any of them.

    `find` lists the selected targets as they are now. `forward` leads into their pods, where polls
    come from there.
    """

    config: Config
    at_once: int
    find: Callable[[], Awaitable[TargetListing]]
    forward: PodViewFactory = no_pod_view
    not_judged: tuple[str, ...] = ()

    async def targets(self) -> Sequence[Target]:
        """As they are now. Raises KubernetesError."""
        listing = await self.find()
        reasons = (_NOT_BY_FORWARD,) if self.forward is not no_pod_view else ()
        self.not_judged = (*reasons, *listing.unseen)
        return listing.targets

    def plan(self, target: Target) -> Plan:
        """The probes of one: by port-forward, or as the exporter would."""
        plan = plan_of(target, self.config, self.forward)
        return plan if self.forward is no_pod_view else pod_only(plan)


def static(config: Config, targets: Sequence[Target]) -> CheckSource:
    """Targets of the configuration, which stay the same."""

    async def find() -> TargetListing:
        return TargetListing(tuple(targets), ())

    return CheckSource(config, min(AT_ONCE, config.poll.concurrency), find)


def add_cluster_flags(parser: argparse.ArgumentParser) -> None:
    """Which cluster, and which of its pods; the names are those of kubectl."""
    parser.add_argument(
        "--kubeconfig", default="", metavar="FILE", help="default: the same as kubectl's"
    )
    parser.add_argument(
        "--context", metavar="NAME", help="context of the kubeconfig; default: the current one"
    )
    parser.add_argument(
        "-n", "--namespace", type=_namespace, default="", help="default: that of the context"
    )
    parser.add_argument(
        "-A", "--all-namespaces", action="store_true", help="pods of every namespace"
    )
    parser.add_argument(
        "-l",
        "--selector",
        dest="labels",
        type=_labels,
        default="",
        help="pods with these labels",
    )
    parser.add_argument(
        "--access",
        choices=("auto", "direct", "portforward"),
        default="auto",
        help="how to reach pods; auto: by port-forward, but directly from inside the cluster",
    )


def selector(text: str) -> str:
    """The SELECTOR argument; raises ArgumentTypeError where no target can match it."""
    first, slash, second = text.partition("/")
    if slash and (not first or not second or "/" in second):
        sentence = f"{text!r} is neither a pod, nor namespace/pod, nor deployment/name"
        raise argparse.ArgumentTypeError(sentence)
    return text


def _namespace(text: str) -> str:
    if text and (wrong := broken_namespace(text)):
        raise argparse.ArgumentTypeError(wrong)
    return text


def _labels(text: str) -> str:
    if wrong := broken_selector(text):
        raise argparse.ArgumentTypeError(wrong)
    return text


def names_cluster(chosen: argparse.Namespace) -> bool:
    """Whether any flag selects a cluster, or pods of one."""
    return any(getattr(chosen, name) for name in _CLUSTER_FLAGS)


@asynccontextmanager
async def cluster(
    chosen: argparse.Namespace, config: Config, load: LoadCredentials
) -> AsyncIterator[CheckSource]:
    """The cluster of these credentials. Raises KubernetesError."""
    async with KubernetesClient(load) as api:
        namespace = await api.namespace()
        config = narrow_discovery(chosen, config, namespace)
        find = partial(_matching, api, config, chosen.selector)
        is_in_pod = namespace is None
        if chosen.access == "direct" or (chosen.access == "auto" and is_in_pod):
            yield CheckSource(config, AT_ONCE, find)
            return
        forwarding = PortForwards(
            lambda key, ports: api.forward(key.namespace, key.pod, ports), None
        )
        poll = replace(config.poll, timeout=max(config.poll.timeout, _FORWARDED_TIMEOUT_SECONDS))
        config = replace(config, poll=poll)
        yield CheckSource(
            config, _FORWARDED_AT_ONCE, find, lambda target: forwarding.pod(target.key)
        )


async def _matching(api: KubernetesClient, config: Config, selector: str) -> TargetListing:
    """The pods that match a selector in a cluster."""
    try:
        listing = await list_targets(api, config)
    except KubernetesError as error:
        hint = _HINTS.get(error.status)
        text = f"{error}; {hint}" if hint else str(error)
        raise KubernetesError.of(error.status, text) from None
    found = (target for target in listing.targets if matches(selector, target))
    return replace(listing, targets=tuple(found))


def narrow_discovery(chosen: argparse.Namespace, config: Config, namespace: str | None) -> Config:
    """The configuration, narrowed to the namespaces and labels of the flags and the selector.

    `namespace`: the context's; None in a pod, where the configuration's namespaces hold.
    """
    kubernetes = config.discovery.kubernetes
    named, _, _ = chosen.selector.partition("/")
    is_named = "/" in chosen.selector and not _kind_of(named)
    if chosen.all_namespaces or (is_named and _GLOB & set(named)):
        namespaces: tuple[str, ...] = ()
    elif is_named:
        namespaces = (named,)
    elif chosen.namespace:
        namespaces = (chosen.namespace,)
    elif kubernetes.namespaces or namespace is None:
        namespaces = kubernetes.namespaces
    else:
        namespaces = (namespace or "default",)
    kubernetes = replace(
        kubernetes, namespaces=namespaces, label_selector=chosen.labels or kubernetes.label_selector
    )
    return replace(config, discovery=replace(config.discovery, kubernetes=kubernetes))


def _kind_of(text: str) -> str:
    """The kind, of any of its names, also with a group: deployments.apps; empty for none."""
    return _KIND_OF.get(text.partition(".")[0].lower(), "")


def matches(selector: str, target: Target) -> bool:
    """Whether a selector matches this target: by its names, or as deployment/web by workload.

    A namespace may be called jobs, so that jobs/web is one of its pods as well.
    """
    before, slash, name = selector.partition("/")
    return selects(selector, target.key) or any(
        fnmatchcase(one, name) for one in _names_as(_kind_of(before) if slash else "", target)
    )


def _names_as(kind: str, target: Target) -> tuple[str, ...]:
    """What a target is called by a kind; nothing where that is none."""
    if kind in ("", "pod"):
        return (target.key.pod,) if kind else ()
    owner = (target.key.pod.rpartition("-")[0],) if kind in _OFTEN_OWNED else ()
    return (target.workload, *owner)


def selects(selector: str, key: TargetKey) -> bool:
    """Whether the selector matches this key: by namespace, by pod, or by both."""
    if "/" in selector:
        return fnmatchcase(str(key), selector)
    return not selector or fnmatchcase(key.namespace, selector) or fnmatchcase(key.pod, selector)


def none_of(found: Sequence[Target], wanted: str) -> str:
    """What to print where the selector matches none of the configuration's targets."""
    names = ", ".join(str(target.key) for target in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"No target matches {wanted!r}; the configuration has {names}{more}."
