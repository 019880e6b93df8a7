"""What must hold for every rule."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from exporter.diagnosis.causes import CAUSES
from exporter.exposition import FAMILIES
from exporter.model import CauseClass
from tests.docs.pages import ROOT, fences
from tests.rules.promtool import ALERTS, FILES, all_rules

RULES = all_rules()
EXPRESSIONS = "\n".join(rule["expr"] for rule in RULES)
SHARED = ("IstioProxiesFailing", "IstioGatewaysFailing", "IstioRevisionWithoutControlPlane")
SINGLE = (
    "IstioProxyNeverConfigured",
    "IstioProxyConfigurationRejected",
    "IstioProxyWithoutXds",
    "IstioProxyRedirectionMissing",
    "IstioProxyListenerNotBound",
    "IstioProxyFault",
)
URGENT = (
    "IstioAmbientNodeCut",
    "IstioAmbientPodCut",
    "IstioAmbientBypassed",
    "IstioGatewaysFailing",
    "IstioRevisionWithoutControlPlane",
)
"""To be known within three minutes: who bypasses the mesh, that nothing comes in or no istiod is.

A node's alert comes before those of its pods."""

DOCUMENTED = re.compile(r"docs/(diagnosis|alerts)\.md#")


def minutes(duration: str) -> int:
    found = re.fullmatch(r"(\d+)(m|h)", duration)
    assert found, duration
    return int(found[1]) * {"m": 1, "h": 60}[found[2]]


@pytest.mark.usefixtures("promtool")
def test_promtool_accepts_every_rule() -> None:
    done = subprocess.run(
        ("promtool", "check", "rules", "--lint=all", "--lint-fatal", *FILES),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_printed_command_makes_every_runbook_an_address(tmp_path: Path) -> None:
    page = ROOT / "docs" / "alerts.md"
    [command] = [fence.text for fence in fences(page) if fence.text.startswith("sed ")]
    folder = tmp_path / "charts" / "istio-port-exporter" / "rules"
    shutil.copytree(FILES[0].parent, folder)
    subprocess.run(("sh", "-euc", command), cwd=tmp_path, check=True)
    changed = [
        rule["annotations"]["runbook_url"]
        for path in folder.glob("*.yaml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert len(changed) == len(ALERTS)
    begin = re.compile(r"https://istio-ports\.example/runbooks/(alerts|diagnosis)\.md#")
    assert [address for address in changed if not begin.match(address)] == []


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_complete(name: str) -> None:
    rule = ALERTS[name]
    assert re.fullmatch(r"Istio([A-Z][a-z]+)+", name)
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    annotations = rule["annotations"]
    assert list(annotations) == ["summary", "description", "runbook_url"]
    assert re.fullmatch(r"[^{]+\.", annotations["summary"])
    assert annotations["description"].endswith((".", "$value) }}"))
    assert DOCUMENTED.match(annotations["runbook_url"])
    assert minutes(rule["for"]) >= (1 if name in URGENT else 3)
    assert minutes(rule["keep_firing_for"]) >= 5


def test_alerts_keep_firing_for_as_long_as_the_page_says() -> None:
    """15m those about the mesh, 1h two about roots, 5m those about the exporter but one."""
    kept: dict[str, set[str]] = {}
    for name, rule in ALERTS.items():
        kept.setdefault(rule["keep_firing_for"], set()).add(name)
    of_exporter = {name for name in ALERTS if name.startswith("IstioPortExporter")}
    assert kept.keys() == {"5m", "15m", "1h"}
    assert kept["5m"] == of_exporter - {"IstioPortExporterDown"}
    assert kept["1h"] == {"IstioRootCertificateEnding", "IstioProxyRootsDiffer"}


def test_names_are_unique() -> None:
    names = [rule["alert"] for rule in RULES if "alert" in rule]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [rule["record"] for rule in RULES if "record" in rule])
def test_a_recording_rule_is_named_level_metric_operation(name: str) -> None:
    levels = (
        "cause|cluster|instance|job|mesh|namespace|node|replica|revision|scope|target|version"
        "|workload"
    )
    operations = "count|increase5m|info|max|min|number|ratio"
    assert re.fullmatch(rf"({levels}):istio_[a-z_]+:({operations})", name)


def test_a_shared_alert_fires_before_its_single_ones_and_outlasts_their_wait() -> None:
    for shared in SHARED:
        for single in SINGLE:
            assert minutes(ALERTS[shared]["for"]) < minutes(ALERTS[single]["for"])
    assert minutes(ALERTS["IstioAmbientNodeCut"]["for"]) < minutes(
        ALERTS["IstioAmbientPodCut"]["for"]
    )
    waits = max(minutes(ALERTS[name]["for"]) for name in SINGLE)
    assert min(minutes(ALERTS[name]["keep_firing_for"]) for name in (*SHARED, *SINGLE)) > waits


def test_an_alert_on_proxies_does_not_depend_on_labels_of_the_scrape() -> None:
    for rule in RULES:
        plain = re.sub(r'"[^"]*"', "", rule["expr"])
        groups = re.findall(r"\bby \(([^)]*)\)", plain)
        assert all("instance" not in group or "job" in group for group in groups), rule
        assert "without" not in plain


def test_every_family_in_an_expression_exists() -> None:
    known = {family.name for family in FAMILIES}
    named = set(
        re.findall(r"(?<![:\w])(istio_(?:port|target|proxy|control_plane)_\w+)\b(?!:)", EXPRESSIONS)
    )
    named = {name for name in named if not name.startswith("istio_port_exporter_")}
    assert named - known == set()


def test_every_cause_in_an_expression_exists() -> None:
    words = re.findall(r'cause[!=]~?="?"([^"]+)"|cause=~"([^"]+)"', EXPRESSIONS)
    named = {word for pair in words for text in pair for word in text.split("|") if word}
    assert {word for word in named if ".*" not in word} <= set(CAUSES)


def test_a_fault_has_the_advice_of_its_cause() -> None:
    description = ALERTS["IstioProxyFault"]["annotations"]["description"]
    advice = dict(re.findall(r'"(\w+)\. ([^"]*)"', description))
    plane = (
        "istiod_replica_stuck",
        "istiod_not_ready",
        "webhook_not_serving",
        "webhook_unreachable",
        "istiod_port_down",
    )
    assert advice == {
        cause.id: cause.advice
        for cause in CAUSES.values()
        if cause.id == "network_blocked"
        or (cause.cause_class is CauseClass.FAULT and cause.id not in plane)
    }


def test_no_rule_names_an_address() -> None:
    assert not [file for file in FILES if re.search(r"https?://", file.read_text())]
