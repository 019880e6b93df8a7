"""What `check` looks at and how: targets written by hand, or the pods of a kubeconfig's cluster.

A laptop cannot reach the addresses of pods, so what a kubeconfig names is looked at from inside,
by port-forward with the person's own rights. From a pod it is looked at over the network.
"""

import argparse
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Protocol

from exporter.access.portforward import PortForwards
from exporter.config import Config
from exporter.discovery.list_targets import list_targets
from exporter.kube.api_errors import KubernetesError
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import LoadCredentials
from exporter.model import Target, TargetKey
from exporter.poll.plan import Plan, PodViewFactory, inside_only, no_pod_view, plan_of

FORWARDED_AT_ONCE = 16
"""Pods looked into at the same time; each takes up to three port-forwards."""

_PATIENCE_SECONDS = 5.0
"""The least deadline of a probe whose way leads through an API server somewhere."""

_KINDS = frozenset(
    [
        "deploy",
        "deployment",
        "sts",
        "statefulset",
        "ds",
        "daemonset",
        "rs",
        "job",
        "cronjob",
        "rollout",
        "workload",
    ]
)
"""What may stand before a workload's name; which of them it is, is not asked."""

_CHOOSING = ("kubeconfig", "context", "namespace", "all_namespaces", "labels")
_GLOB = frozenset("*?[")
_FROM_INSIDE = (
    "redirection, the way to the ports over the network, and exposed ports: this looked from "
    "inside the pods, by port-forward (--access direct looks from here, where pods can be reached)"
)
_HINTS = {
    401: "the credentials ended or are wrong: log in again, or choose others with --context",
    403: "choose a namespace that you may list pods in with -n, or ask for that right",
}


class CheckSource(Protocol):
    """Where targets come from. `unseen`: what cannot be judged of all of them."""

    config: Config
    at_once: int
    unseen: tuple[str, ...]

    async def targets(self) -> Sequence[Target]:
        """The targets that are selected. Raises KubernetesError."""
        ...

    def plan(self, target: Target) -> Plan:
        """What to ask of one."""
        ...


class StaticSelection:
    """Targets of the configuration."""

    unseen: tuple[str, ...] = ()

    def __init__(self, config: Config, targets: Sequence[Target], at_once: int) -> None:
        self.config = config
        self.at_once = min(at_once, config.poll.concurrency)
        self._targets = targets

    async def targets(self) -> Sequence[Target]:
        """Always the same."""
        return self._targets

    def plan(self, target: Target) -> Plan:
        """As the configuration says."""
        return plan_of(target, self.config)


@dataclass(slots=True)
class Cluster:
    """The pods that a selector means in a cluster."""

    config: Config
    at_once: int
    unseen: tuple[str, ...]
    api: KubernetesClient
    selector: str
    forward: PodViewFactory

    async def targets(self) -> Sequence[Target]:
        """As they are now."""
        try:
            listing = await list_targets(self.api, self.config)
        except KubernetesError as error:
            hint = _HINTS.get(error.status)
            raise KubernetesError.of(
                error.status, f"{error}; {hint}" if hint else str(error)
            ) from None
        inside = (_FROM_INSIDE,) if self.forward is not no_pod_view else ()
        self.unseen = (*inside, *listing.unseen)
        return [target for target in listing.targets if means(self.selector, target)]

    def plan(self, target: Target) -> Plan:
        """From inside, or as the exporter would."""
        plan = plan_of(target, self.config, self.forward)
        return plan if self.forward is no_pod_view else inside_only(plan)


def add_cluster_flags(parser: argparse.ArgumentParser) -> None:
    """Which cluster, and which of its pods; named as kubectl names them."""
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="default: as kubectl")
    parser.add_argument("--context", metavar="NAME", help="default: the current one")
    parser.add_argument("-n", "--namespace", default="", help="default: the context's")
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    parser.add_argument("-l", "--selector", dest="labels", default="", help="labels of pods")
    parser.add_argument(
        "--access",
        choices=("auto", "direct", "portforward"),
        default="auto",
        help="how pods are reached; auto: by port-forward, but directly from inside the cluster",
    )


def names_cluster(chosen: argparse.Namespace) -> bool:
    """Whether any flag chooses a cluster, or of one."""
    return any(getattr(chosen, name) for name in _CHOOSING)


@asynccontextmanager
async def cluster(
    chosen: argparse.Namespace, config: Config, load: LoadCredentials, at_once: int
) -> AsyncIterator[Cluster]:
    """The cluster of these credentials. Raises KubernetesError."""
    async with KubernetesClient(load) as api:
        namespace = await api.namespace()
        config = narrowed(chosen, config, namespace)
        direct = Cluster(config, at_once, (), api, chosen.selector, no_pod_view)
        is_in_cluster = namespace is None
        if chosen.access == "direct" or (chosen.access == "auto" and is_in_cluster):
            yield direct
            return
        forwarding = PortForwards(
            lambda key, ports: api.forward(key.namespace, key.pod, ports), None
        )
        patient = replace(config.poll, timeout=max(config.poll.timeout, _PATIENCE_SECONDS))
        yield replace(
            direct,
            config=replace(config, poll=patient),
            at_once=FORWARDED_AT_ONCE,
            forward=lambda target: forwarding.pod(target.key),
        )


def narrowed(chosen: argparse.Namespace, config: Config, namespace: str | None) -> Config:
    """The configuration with what the flags and the selector choose of the cluster.

    `namespace`: the context's; None in a pod, which looks where its configuration says.
    """
    kubernetes = config.discovery.kubernetes
    named, _, _ = chosen.selector.partition("/")
    is_named = "/" in chosen.selector and named not in _KINDS
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
        kubernetes,
        namespaces=namespaces,
        label_selector=chosen.labels or kubernetes.label_selector,
    )
    return replace(config, discovery=replace(config.discovery, kubernetes=kubernetes))


def means(selector: str, target: Target) -> bool:
    """Whether a selector means this target: by its names, or as deployment/web by its workload."""
    kind, _, name = selector.partition("/")
    if kind in _KINDS and name:
        return fnmatchcase(target.workload, name)
    return selects(selector, target.key)


def selects(selector: str, key: TargetKey) -> bool:
    """Whether the selector names this target: by namespace, by pod, or by both."""
    if "/" in selector:
        return fnmatchcase(str(key), selector)
    return not selector or fnmatchcase(key.namespace, selector) or fnmatchcase(key.pod, selector)
