"""Which namespaces and targets the flags and the selector mean."""

import argparse

import pytest

from exporter.cli.target_sources import add_cluster_flags, means, narrowed
from exporter.config import Config
from exporter.model import Role, Target, TargetKey

WEB = Target(key=TargetKey("shop", "web-7d9f-x2x"), role=Role.SIDECAR, addresses=(), workload="web")


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
        ("shop/web", ("-A",), ()),
    ],
)
def test_namespaces_are_the_narrowest_that_are_meant(
    selector: str, flags: tuple[str, ...], namespaces: tuple[str, ...]
) -> None:
    config = narrowed(chosen(selector, *flags), Config(), "mine")
    assert config.discovery.kubernetes.namespaces == namespaces


def test_a_context_without_a_namespace_means_default() -> None:
    config = narrowed(chosen(""), Config(), "")
    assert config.discovery.kubernetes.namespaces == ("default",)


def test_a_pod_looks_in_all_namespaces_but_those_that_are_named() -> None:
    assert narrowed(chosen(""), Config(), None).discovery.kubernetes.namespaces == ()
    found = narrowed(chosen("shop/web"), Config(), None)
    assert found.discovery.kubernetes.namespaces == ("shop",)


def test_labels_choose_pods() -> None:
    config = narrowed(chosen("", "-l", "app=web"), Config(), "mine")
    assert config.discovery.kubernetes.label_selector == "app=web"


@pytest.mark.parametrize(
    ("selector", "is_meant"),
    [
        ("deployment/web", True),
        ("deploy/w*", True),
        ("deployment/cart", False),
        ("shop/web-*", True),
        ("shop", True),
        ("web", False),
        ("", True),
    ],
)
def test_selectors_mean_workloads_too(selector: str, is_meant: object) -> None:
    assert means(selector, WEB) is is_meant
