"""The PrometheusRule holds the plain files of rules/, but for what the values change."""

import copy
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.render import RENAMED, Document, of_kind, render
from tests.rules.promtool import ALERTS, FILES, all_rules
from tests.rules.test_alerts import CASES

CLOBBERED = "IstioPortExporterLabelsClobbered"
OVERRIDE = {
    "severity": "page",
    "for": "1m30s",
    "keep_firing_for": "2m",
    "expr": 'max by (namespace, pod) (istio_target_diagnosis{namespace="shop"})',
}


def groups(labels: Mapping[str, str] | None = None, **values: Any) -> list[Document]:
    """The groups of the PrometheusRule with these labels, and these values below `rules`."""
    given = {"rules": {"enabled": True, **values}, "sampleLabels": labels or {}}
    [document] = of_kind(render(given), "PrometheusRule")
    found: list[Document] = document["spec"]["groups"]
    return found


def alerts(labels: Mapping[str, str] | None = None, **values: Any) -> dict[str, Document]:
    """The rendered alerts by name."""
    rules = [rule for group in groups(labels, **values) for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def test_there_are_no_rules_unless_they_are_wanted() -> None:
    assert of_kind(render({}), "PrometheusRule") == []


def test_the_rules_are_those_of_the_plain_files() -> None:
    plain = [group for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]

    assert groups() == plain


@pytest.mark.usefixtures("promtool")
@pytest.mark.parametrize("labels", [{}, RENAMED], ids=["plain", "renamed"])
def test_promtool_has_nothing_to_say(labels: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": groups(labels)}))
    done = subprocess.run(
        ("promtool", "check", "rules", "--lint=all", "--lint-fatal", file),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_an_override_changes_its_alert_and_no_other() -> None:
    wanted = copy.deepcopy(ALERTS)
    fault = wanted["IstioProxyFault"]
    fault["labels"]["severity"] = OVERRIDE["severity"]
    fault.update({key: OVERRIDE[key] for key in ("for", "keep_firing_for", "expr")})

    assert alerts(overrides={"IstioProxyFault": OVERRIDE}) == wanted


def test_an_expression_of_one_s_own_stays_as_it_is() -> None:
    own = alerts(RENAMED, overrides={"IstioProxyFault": OVERRIDE})

    assert own["IstioProxyFault"]["expr"] == OVERRIDE["expr"]


def test_an_alert_can_be_switched_off() -> None:
    left = alerts(overrides={"IstioVersionSkew": {"enabled": False}})

    assert set(ALERTS) - set(left) == {"IstioVersionSkew"}


def test_renamed_labels_leave_none_of_the_old_names() -> None:
    for group in groups(RENAMED):
        for rule in group["rules"]:
            templates = re.findall(r"(?s)\{\{.*?\}\}", str(rule.get("annotations", "")))
            for text in (rule["expr"], *templates):
                assert not words(text) & set(RENAMED), rule


def test_renamed_labels_change_no_other_word() -> None:
    """Undone, the renaming gives the plain rules: sentences and values of labels stay."""
    text = yaml.safe_dump([rule for group in groups(RENAMED) for rule in group["rules"]])
    undone = yaml.safe_load(text.replace("exported_", ""))

    assert undone == [rule for rule in all_rules() if rule.get("alert") != CLOBBERED]


@pytest.mark.usefixtures("promtool")
def test_alerts_with_renamed_labels_fire_as_the_plain_ones(tmp_path: Path) -> None:
    """Every alert that fires has the same texts for samples whose labels Prometheus renamed."""
    cases = [case for case in CASES if case.describe and case.alert != CLOBBERED]
    tests = [case.test(replicas=1) for case in cases]
    for test in tests:
        for row in test["input_series"]:
            row["series"] = re.sub(rf"\b({'|'.join(RENAMED)})=", r"exported_\1=", row["series"])
        for alert in test["alert_rule_test"][0]["exp_alerts"]:
            labels = alert["exp_labels"]
            alert["exp_labels"] = {RENAMED.get(name, name): labels[name] for name in labels}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups(RENAMED)}))
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        ("promtool", "test", "rules", tmp_path / "tests.yaml"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_no_rule_takes_a_label_s_value_for_its_name() -> None:
    """Renaming goes by words: `scope="namespace"` in an expression would be renamed too."""
    for rule in all_rules():
        for value in re.findall(r'=~?\s*"([^"]*)"', rule["expr"]):
            assert not words(value) & set(RENAMED), rule


@pytest.mark.parametrize(
    "base", ["https://runbooks.example/ports", "https://runbooks.example/ports/"]
)
def test_runbooks_get_the_address_that_is_set(base: str) -> None:
    for name, alert in alerts(runbookBaseURL=base).items():
        page = ALERTS[name]["annotations"]["runbook_url"].removeprefix("docs/")
        assert alert["annotations"]["runbook_url"] == f"https://runbooks.example/ports/{page}"


def test_the_object_has_the_namespace_and_labels_of_the_values() -> None:
    values = {"enabled": True, "namespace": "rules", "labels": {"release": "prometheus"}}
    [document] = of_kind(render({"rules": values}), "PrometheusRule")

    assert document["metadata"]["namespace"] == "rules"
    assert document["metadata"]["labels"]["release"] == "prometheus"
