"""The PrometheusRule holds the plain files of rules/, but for what the values change."""

import copy
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml

from exporter.exposition import FAMILIES, PROFILES
from tests.charts.render import CHART, RENAMED, Document, of_kind, render
from tests.rules.promtool import ALERTS, FILES, all_rules, complaint, selectors
from tests.rules.reached import reached
from tests.rules.test_alerts import CASES, LONG_MINUTES

CLOBBERED = "IstioPortExporterLabelsClobbered"
OVERRIDE = {
    "severity": "page",
    "for": "1m30s",
    "keep_firing_for": "2m",
    "expr": 'max by (namespace, pod) (istio_target_diagnosis{namespace="shop"})',
}


RENAMED_HERE = {**RENAMED, "cluster": "k8s_cluster"}
FULL_ONLY = {"IstioCertificateBehindAgent", "IstioProxyRootsDiffer"}
UNFED: dict[str, set[str]] = {
    "minimal": FULL_ONLY
    | {
        "IstioProxyListenerNotBound",
        "IstioCertificatesNotRenewed",
        "IstioGatewayCertificateEnding",
        "IstioRootCertificateEnding",
        "IstioRootCertificateExpired",
        "IstioControlPlaneReplicasDisagree",
        "IstioControlPlanePushErrors",
        "IstioZtunnelWorkloadsMissing",
    },
    "standard": FULL_ONLY,
    "full": set(),
}
"""The alerts that nothing of a profile feeds."""

OWN_RUNBOOKS = "http://ipe-istio-port-exporter.istio-port-exporter.svc:10520/runbooks"


def groups(
    labels: Mapping[str, str] | None = None, profile: str = "full", **values: Any
) -> list[Document]:
    """The groups of the PrometheusRule with these labels, and these values below `rules`."""
    given = {
        "namespaceOverride": "istio-port-exporter",
        "rules": {"enabled": True, **values},
        "sampleLabels": labels or {},
        "config": {"metrics": {"profile": profile}},
    }
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


def plain_alerts() -> dict[str, Document]:
    """The alerts of the plain files with the runbooks of an install."""
    found = copy.deepcopy(ALERTS)
    for alert in found.values():
        page = alert["annotations"]["runbook_url"].removeprefix("docs/")
        alert["annotations"]["runbook_url"] = f"{OWN_RUNBOOKS}/{page}"
    return found


def test_the_rules_are_those_of_the_plain_files() -> None:
    plain = [group for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]
    for rule in [rule for group in plain for rule in group["rules"] if "alert" in rule]:
        rule["annotations"] = plain_alerts()[rule["alert"]]["annotations"]

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
    wanted = plain_alerts()
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
    for group in groups(RENAMED_HERE):
        for rule in group["rules"]:
            expression = re.sub(r"\b\w+:\w+:\w+", "", rule["expr"])
            expression = re.sub(r"#.*", "", expression)
            named = re.findall(r"\$labels\.(\w+)", str(rule.get("annotations", "")))
            assert not (words(expression) | {*named}) & set(RENAMED_HERE), rule


def test_renamed_labels_change_no_other_word() -> None:
    """Undone, the renaming gives the plain rules: sentences and values of labels stay."""
    text = yaml.safe_dump([rule for group in groups(RENAMED) for rule in group["rules"]])
    undone = yaml.safe_load(text.replace("exported_", "").replace(OWN_RUNBOOKS, "docs"))

    assert undone == [rule for rule in all_rules() if rule.get("alert") != CLOBBERED]


@pytest.mark.slow  # an alert after the other; what a change needs is the test before
@pytest.mark.background
@pytest.mark.usefixtures("promtool")
def test_alerts_with_renamed_labels_fire_as_the_plain_ones(tmp_path: Path) -> None:
    """Each alert that fires within hours has the same texts for samples with renamed labels."""
    cases = [case for case in CASES if case.describe and case.alert != CLOBBERED]
    cases = [case for case in cases if case.last <= LONG_MINUTES]
    shortest = {case.alert: case for case in sorted(cases, key=lambda case: -case.last)}
    tests = [case.test(replicas=1) for case in shortest.values()]
    for test in tests:
        for row in test["input_series"]:
            row["series"] = re.sub(rf"\b({'|'.join(RENAMED)})=", r"exported_\1=", row["series"])
        for alert in test["alert_rule_test"][0]["exp_alerts"]:
            labels = alert["exp_labels"]
            alert["exp_labels"] = {RENAMED.get(name, name): labels[name] for name in labels}
    renamed = groups(RENAMED, runbookBaseURL="docs")
    said = [complaint(test, reached(renamed, selectors(test)), tmp_path) for test in tests]
    assert not "".join(said)


def test_the_offered_policy_admits_the_probes_of_this_install() -> None:
    given = {"rules": {"enabled": True}, "config": {"poll": {"control_port": 16000}}}
    [document] = of_kind(render(given), "PrometheusRule")
    texts = [str(rule) for group in document["spec"]["groups"] for rule in group["rules"]]
    [offers] = [text for text in texts if "admit-hbone" in text]

    assert (
        '"kubernetes.io/metadata.name":"monitoring"}}}],"ports":[{"protocol":"TCP","port":16000}]'
        in offers
    )


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


def test_runbooks_are_below_the_address_at_which_people_reach_the_exporter() -> None:
    given = {"rules": {"enabled": True}, "web": {"externalURL": "https://ports.example/"}}
    [document] = of_kind(render(given), "PrometheusRule")
    links = [
        rule["annotations"]["runbook_url"]
        for group in document["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]

    assert all(link.startswith("https://ports.example/runbooks/") for link in links)


def test_alerts_take_labels_and_annotations() -> None:
    given = alerts(
        additionalRuleLabels={"team": "mesh", "tier": "1"},
        additionalRuleAnnotations={"dashboard": "d"},
        overrides={"IstioProxyFault": {"labels": {"tier": "2"}, "annotations": {"note": "n"}}},
    )
    fault, other = given["IstioProxyFault"], given["IstioWebhookDown"]

    assert fault["labels"] == {"severity": "warning", "team": "mesh", "tier": "2"}
    assert other["labels"] == {"severity": "critical", "team": "mesh", "tier": "1"}
    assert fault["annotations"]["note"] == "n"
    assert {row["annotations"]["dashboard"] for row in given.values()} == {"d"}


def test_in_the_shadow_no_alert_pages_and_each_keeps_its_intended_severity() -> None:
    wanted = {name: alert["labels"]["severity"] for name, alert in ALERTS.items()}
    given = alerts(shadow=True, overrides={"IstioProxyFault": {"severity": "critical"}})

    assert {alert["labels"]["severity"] for alert in given.values()} == {"none"}
    assert {name: alert["labels"]["intended_severity"] for name, alert in given.items()} == {
        **wanted,
        "IstioProxyFault": "critical",
    }


def recorded(record: str, **values: Any) -> str:
    """The expression of this recording rule."""
    rules = [rule for group in groups(**values) for rule in group["rules"]]
    found: str = next(rule["expr"] for rule in rules if rule.get("record") == record)
    return found


def test_the_size_of_an_outage_of_the_mesh_is_a_value() -> None:
    limit = recorded("mesh:istio_proxy_failing_limit:count", mesh={"proxies": 50, "share": 0.1})

    assert re.findall(r"[\d.]+", limit) == ["0.1", "5", "50"]


def test_the_availability_below_which_a_workload_is_degraded_is_a_value() -> None:
    degraded = "workload:istio_proxy_degraded:info"

    assert recorded(degraded, workload={"availability": 0.95}) == recorded(degraded).replace(
        "0.99", "0.95"
    )
    assert "(1 - 0.99)" in recorded(degraded)


@pytest.mark.parametrize("profile", PROFILES)
def test_alerts_that_the_profile_cannot_feed_are_left_out(profile: str) -> None:
    assert set(ALERTS) - set(alerts(profile=profile)) == UNFED[profile]


def test_what_an_alert_needs_are_families_of_the_profile_that_is_named() -> None:
    profile_of = {family.name: family.profile for family in FAMILIES}
    template = (CHART / "templates" / "_rules.tpl").read_text()
    needs = re.findall(r'^  "([\w*]+)" \(list "(\w+)"(.*)\)$', template, re.MULTILINE)
    named = {alert: (profile, re.findall(r'"(\w+)"', rest)) for alert, profile, rest in needs}

    assert len(named) > 8
    for alert, (profile, families) in named.items():
        assert {profile_of[family] for family in families} <= {profile}, alert


def test_a_family_that_all_rules_need_cannot_be_disabled() -> None:
    disabled = {"profile": "full", "disabled_families": ["istio_target_diagnosis"]}
    with pytest.raises(helm.HelmError, match=r"istio_target_diagnosis is in config\.metrics"):
        render({"rules": {"enabled": True}, "config": {"metrics": disabled}})


def test_to_ask_for_an_alert_that_is_not_fed_is_refused() -> None:
    with pytest.raises(helm.HelmError, match="IstioProxyRootsDiffer: the alert cannot be fed"):
        alerts(profile="standard", overrides={"IstioProxyRootsDiffer": {"enabled": True}})


def test_the_object_has_the_namespace_and_labels_of_the_values() -> None:
    values = {"enabled": True, "namespace": "rules", "labels": {"release": "prometheus"}}
    [document] = of_kind(render({"rules": values}), "PrometheusRule")

    assert document["metadata"]["namespace"] == "rules"
    assert document["metadata"]["labels"]["release"] == "prometheus"


def test_a_label_by_which_rules_find_alerts_cannot_be_added_to_these() -> None:
    joins = {
        name
        for rule in all_rules()
        for labels in re.findall(
            r"on \(([\w, ]+)\) \(?\s*(?:last_over_time\()?ALERTS", rule["expr"]
        )
        for name in labels.split(", ")
    }
    assert {"cluster", "namespace", "pod", "revision", "node", "name"} <= joins
    for name in joins:
        with pytest.raises(helm.HelmError, match=f"join alerts with samples by {name},"):
            render({"rules": {"enabled": True, "additionalRuleLabels": {name: "mine"}}})
