"""The example for Alertmanager inhibits this product's alerts and no others."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.rules.promtool import ALERTS

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "config" / "alertmanager.yml").read_text())[
    "inhibit_rules"
]

CLOBBERED = "IstioPortExporterLabelsClobbered"


def names(matchers: list[str]) -> set[str]:
    """The alerts that these matchers name."""
    [found] = [matcher for matcher in matchers if matcher.startswith("alertname")]
    return set(re.split(r"[=~\"|]+", found)[1:-1])


def test_every_alert_that_is_inhibited_is_named_in_full_and_ours() -> None:
    for rule in RULES:
        assert names(rule["target_matchers"]) <= set(ALERTS), rule


def test_alerts_that_are_matched_by_their_pod_have_one() -> None:
    """A source without the label never inhibits, and a target without it never is."""
    for rule in RULES:
        for matchers in (rule["source_matchers"], rule["target_matchers"]):
            if 'pod!=""' in matchers:
                texts = {name: str(ALERTS[name]["annotations"]) for name in names(matchers)}
                assert [name for name in texts if "$labels.pod" not in texts[name]] == []


def test_an_exporter_that_is_gone_inhibits_every_alert_about_the_mesh() -> None:
    about_the_mesh = {name for name in ALERTS if not name.startswith("IstioPortExporter")}

    assert names(RULES[0]["target_matchers"]) == about_the_mesh


def test_only_a_cluster_without_any_exporter_inhibits_all() -> None:
    """One of two in the mesh, or a job that has another name since, leaves those that report."""
    assert RULES[0]["source_matchers"] == ['alertname="IstioPortExporterAbsent"', 'job=""']
    others = {name for rule in RULES[1:] for name in names(rule["source_matchers"])}
    assert {name for name in others if name in ALERTS and "Exporter" in name} == {CLOBBERED}


def test_alerts_whose_pods_have_the_exporters_name_are_inhibited() -> None:
    [rule] = [rule for rule in RULES if CLOBBERED in str(rule["source_matchers"])]

    assert rule["target_matchers"] == RULES[0]["target_matchers"]


def test_nothing_inhibits_another_cluster_or_node() -> None:
    for rule in RULES:
        assert "cluster" in rule["equal"]
    assert all("node" in rule["equal"] for rule in RULES if "KubeNode" in str(rule))
