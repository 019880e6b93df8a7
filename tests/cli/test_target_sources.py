"""Which namespaces and targets the flags and the selector select."""

import argparse
from dataclasses import replace

import pytest

from exporter.cli.target_sources import add_cluster_flags, matches, narrow_discovery
from exporter.config import Config
from exporter.model import Role, Target, TargetKey

WEB = Target(key=TargetKey("shop", "web-7d9f-x2x"), role=Role.SIDECAR, addresses=(), workload="web")


PODS = ("pod", "pods", "po", "Pod")
KINDS = (
    *PODS,
    *("deployment", "deployments", "deploy", "deployment.apps", "deployments.v1.apps"),
    *("replicaset", "replicasets", "rs", "ReplicaSet", "replicaset.apps"),
    *("statefulset", "statefulsets", "sts", "daemonset", "daemonsets", "ds"),
    *("job", "jobs", "job.batch", "cronjob", "cronjobs", "cj"),
    *("replicationcontroller", "replicationcontrollers", "rc"),
    *("deploymentconfig", "deploymentconfigs", "dc", "rollout", "rollouts", "ro", "workload"),
)
"""As kubectl takes them, and as its `-o name` prints them."""


def chosen(selector: str, *flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_cluster_flags(parser)
    found = parser.parse_args(list(flags))
    return argparse.Namespace(**{**vars(found), "selector": selector})


@pytest.mark.parametrize(
    ("selector", "flags", "namespaces"),
    [
        ("", (), ("mine",)),
        ("", ("-n", "other"), ("other",)),
        ("", ("-A",), ()),
        ("web-*", (), ("mine",)),
        ("shop/web-*", (), ("shop",)),
        ("sh*/web", (), ()),
        ("deployment/web", (), ("mine",)),
        ("deployment/web", ("-n", "shop"), ("shop",)),
        *((f"{kind}/web", (), ("mine",)) for kind in KINDS),
        ("shop/web", ("-A",), ()),
    ],
)
def test_namespaces_are_the_narrowest_that_flags_and_selector_name(
    selector: str, flags: tuple[str, ...], namespaces: tuple[str, ...]
) -> None:
    config = narrow_discovery(chosen(selector, *flags), Config(), "mine")
    assert config.discovery.kubernetes.namespaces == namespaces


def test_a_context_without_a_namespace_means_default() -> None:
    config = narrow_discovery(chosen(""), Config(), "")
    assert config.discovery.kubernetes.namespaces == ("default",)


def test_in_a_pod_the_configured_namespaces_hold_unless_the_selector_names_one() -> None:
    assert narrow_discovery(chosen(""), Config(), None).discovery.kubernetes.namespaces == ()
    found = narrow_discovery(chosen("shop/web"), Config(), None)
    assert found.discovery.kubernetes.namespaces == ("shop",)


def test_labels_choose_pods() -> None:
    config = narrow_discovery(chosen("", "-l", "app=web"), Config(), "mine")
    assert config.discovery.kubernetes.label_selector == "app=web"


@pytest.mark.parametrize(
    ("selector", "is_matched"),
    [
        ("deployment/web", True),
        ("deploy/w*", True),
        ("deployment/cart", False),
        ("shop/web-*", True),
        ("shop", True),
        ("web", False),
        ("", True),
        ("job", False),
        ("pod", False),
        ("pod/shop", False),
        ("pod/web", False),
        ("jobs/web", True),
        ("replicaset/web-7d9f", True),
        ("replicaset/web-7d", False),
        ("deployment/web-7d9f", False),
        ("gateway/web", False),
        *((f"{kind}/{'web-*' if kind in PODS else 'web'}", True) for kind in KINDS),
        *((f"{kind}/cart", False) for kind in KINDS),
    ],
)
def test_selectors_match_workloads_too(selector: str, is_matched: object) -> None:
    assert matches(selector, WEB) is is_matched


def test_a_namespace_that_is_called_like_a_kind_has_pods_too() -> None:
    nightly = replace(WEB, key=TargetKey("jobs", "nightly"), workload="backup")
    assert matches("jobs/nightly", nightly)
    assert not matches("jobs/nightly", replace(nightly, key=TargetKey("shop", "nightly")))
