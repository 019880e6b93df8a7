"""docs/kubernetes.md describes what the chart renders: rights, ports, manifests."""

import re
from pathlib import Path

import pytest
import yaml

from exporter.catalogue import PORTS
from exporter.config import Config
from exporter.model import Role
from tests.charts.render import Document, of_kind, pod_specs, rbac, render
from tests.docs.pages import ROOT, fences

PAGE = ROOT / "docs" / "kubernetes.md"
Right = tuple[str, tuple[str, ...]]
SWITCHES: dict[str, Document] = {
    "default": {},
    "config.discovery.kubernetes.services": {
        "config": {"discovery": {"kubernetes": {"services": True}}}
    },
    "portForward.enabled": {"portForward": {"enabled": True}},
    "config.istiod.read_webhook_names": {"config": {"istiod": {"read_webhook_names": True}}},
    "istiod.webhookDryRun": {"istiod": {"webhookDryRun": {"enabled": True, "namespace": "probe"}}},
}
"""Values by the column `granted by`."""
NARROWED: Document = {"namespaces": ["shop"]}


def rights(values: Document) -> set[Right]:
    """What the service accounts of an install may do: resource and verbs."""
    roles = of_kind(rbac(values), "ClusterRole", "Role")
    return {
        (resource, tuple(rule["verbs"]))
        for role in roles
        for rule in role["rules"]
        for resource in rule["resources"]
    }


def documented() -> dict[str, set[Right]]:
    """The rights of the table, by what grants them."""
    found: dict[str, set[Right]] = {}
    row = re.compile(
        r"^\| `([a-z/]+)` \| ([a-z, ]+) \| `?([\w.]+)`? \| [^|]+ \| [^|]+ \|$", re.MULTILINE
    )
    for resource, verbs, switch in row.findall(PAGE.read_text()):
        found.setdefault(switch, set()).add((resource, tuple(verbs.split(", "))))
    return found


def test_the_rights_are_documented_as_they_are_granted() -> None:
    default = rights(SWITCHES["default"])
    added = {switch: rights(values) - default for switch, values in SWITCHES.items()}

    assert documented() == {**added, "default": default}


@pytest.mark.parametrize("switch", SWITCHES)
def test_chosen_namespaces_move_rights_and_add_none(switch: str) -> None:
    values = SWITCHES[switch]

    assert rights(values | NARROWED) == rights(values)


def test_chosen_namespaces_leave_nothing_about_pods_to_the_cluster() -> None:
    documents = rbac(SWITCHES["portForward.enabled"] | NARROWED)
    (role,) = of_kind(documents, "ClusterRole")

    assert [rule["resources"] for rule in role["rules"]] == [["nodes", "namespaces"]]


def test_no_right_but_port_forward_writes_or_reads_secrets() -> None:
    for resource, verbs in rights(SWITCHES["portForward.enabled"]):
        assert resource in {"pods", "nodes", "namespaces", "pods/portforward"}
        assert set(verbs) <= {"list", "watch"} or resource == "pods/portforward"


def ports_of(policy: Document) -> set[int]:
    (rule,) = policy["spec"]["ingress"]
    return {row["port"] for row in rule["ports"]}


def test_the_chart_admits_the_exporter_to_every_port_that_it_probes() -> None:
    (policy,) = of_kind(
        render({"networkPolicy": {"admit": {"namespaces": ["shop"]}}}), "NetworkPolicy"
    )

    requested = {row.number for row in PORTS if row.probe} | {Config().poll.control_port}
    assert ports_of(policy) == requested


def test_the_chart_admits_the_exporter_to_a_control_port_that_moved_away() -> None:
    own = [{"port": number, "role": "sidecar", "probe": "http"} for number in (15999, 15998)]
    values = {"config": {"ports": own}, "networkPolicy": {"admit": {"namespaces": ["shop"]}}}
    (policy,) = of_kind(render(values), "NetworkPolicy")

    assert {15999, 15998, 15997} <= ports_of(policy)


def test_the_printed_policy_admits_it_to_every_port_of_a_proxy() -> None:
    (text,) = [fence.text for fence in fences(PAGE) if fence.file == "admit-exporter.yaml"]
    proxies = {Role.SIDECAR, Role.GATEWAY, Role.WAYPOINT, Role.PROXYLESS}

    requested = {row.number for row in PORTS if row.probe and row.role in proxies}
    assert ports_of(yaml.safe_load(text)) == requested | {Config().poll.control_port}


def test_the_printed_scrape_leaves_out_pods_that_have_ended() -> None:
    """An evicted pod stays in the list: it would be an exporter that is down."""
    (text,) = [fence.text for fence in fences(PAGE) if fence.file == "prometheus-in-cluster.yml"]
    (job,) = yaml.safe_load(text)["scrape_configs"]
    dropped = [row["source_labels"] for row in job["relabel_configs"] if row["action"] == "drop"]

    assert dropped == [["__meta_kubernetes_pod_phase"]]


def test_the_printed_values_leave_user_and_group_to_the_cluster() -> None:
    texts = [fence.text for fence in fences(PAGE) if "runAsUser: null" in fence.text]

    (pod,) = pod_specs(render(yaml.safe_load("".join(texts))))
    assert set(pod["securityContext"]) == {"runAsNonRoot", "seccompProfile"}


def test_every_family_that_is_named_exists() -> None:
    known = Path(ROOT / "docs" / "metrics.md").read_text()
    named = set(re.findall(r"`(istio_[a-z_]+)[`{]", PAGE.read_text()))

    assert {name for name in named if f"`{name.rstrip('_')}" not in known} == set()
