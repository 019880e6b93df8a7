"""Cases of alerts, and how Debian's promtool judges them.

A case is series by minute and the alerts that fire at some of its minutes: those and no others,
then or ever. Each runs with one replica of the exporter and with two, and has to end alike.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.rules.reached import reached

RULES = Path(__file__).parent.parent.parent / "charts" / "istio-port-exporter" / "rules"
FILES = sorted(RULES.glob("*.yaml"))
JOB = "istio-port-exporter"

Series = dict[str, str]
"""Selectors to values as promtool writes them, one a minute. `web-{0..29}` is thirty series."""


@cache
def all_groups() -> list[dict[str, Any]]:
    """The groups of every file, in order: read once, and never changed."""
    return [group for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]


def all_rules() -> list[dict[str, Any]]:
    """Every rule of every file, in order."""
    return [rule for group in all_groups() for rule in group["rules"]]


ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in all_rules() if "alert" in rule}


@dataclass(frozen=True)
class ExpectedAlert:
    """One alert in full: its labels without the severity, its description, its runbook."""

    minute: int
    labels: dict[str, str]
    description: str
    runbook: str = ""


@dataclass(frozen=True)
class Case:
    """One alert's case.

    kind: fires, quiet or trap. at: minute to the number of firing alerts by name. unbroken: at
    every minute between these two some alert fires. watched: whether an exporter is scraped.
    replicas: the numbers of replicas with which it has to hold. promtool evaluates the groups in a
    random order, and the case holds in each.
    """

    alert: str
    kind: str
    name: str
    series: Series
    at: Mapping[int, Mapping[str, int]]
    describe: ExpectedAlert | None = None
    unbroken: tuple[int, int] | None = None
    watched: bool = True
    replicas: tuple[int, ...] = (1, 2)

    @property
    def last(self) -> int:
        """The last minute that is evaluated."""
        return max(self.at)

    def test(self, replicas: int, cluster: str = "") -> dict[str, Any]:
        """The case as promtool's unit test; its series have this cluster's label, if any."""
        names = {name for counts in self.at.values() for name in counts}
        expected_samples = [_expect(minute, _FIRING, counts) for minute, counts in self.at.items()]
        expected_samples.append(_expect(self.last, _ever(self.last), dict.fromkeys(names, 1)))
        if self.unbroken:
            expected_samples.append(_no_gap(*self.unbroken))
        return {
            "interval": "1m",
            "input_series": [
                {"series": series, "values": values}
                for series, values in expanded(self._all_series(), replicas, cluster)
            ],
            "promql_expr_test": expected_samples,
            "alert_rule_test": (
                [_alert_test(self.alert, self.describe, cluster)] if self.describe else []
            ),
        }

    def _all_series(self) -> Series:
        build = {"istio_port_exporter_build_info": f"1x{self.last}"} if self.watched else {}
        return {**build, **self.series}


_FIRING = 'count by (alertname) (ALERTS{alertstate="firing"})'


def _ever(minutes: int) -> str:
    past = f'max_over_time(ALERTS{{alertstate="firing"}}[{minutes + 1}m])'
    return f"max by (alertname) ({past})"


def _expect(minute: int, expression: str, counts: Mapping[str, int]) -> dict[str, Any]:
    return {
        "expr": expression,
        "eval_time": f"{minute}m",
        "exp_samples": [
            {"labels": f'{{alertname="{name}"}}', "value": count}
            for name, count in sorted(counts.items())
        ],
    }


def _no_gap(first: int, last: int) -> dict[str, Any]:
    firing = '(count(ALERTS{alertstate="firing"}) > bool 0) or vector(0)'
    return {
        "expr": f"min_over_time(({firing})[{last - first}m:1m])",
        "eval_time": f"{last}m",
        "exp_samples": [{"labels": "{}", "value": 1}],
    }


def _alert_test(alert: str, describe: ExpectedAlert, cluster: str) -> dict[str, Any]:
    rule = ALERTS[alert]
    annotations = {
        "summary": rule["annotations"]["summary"],
        "description": describe.description,
        "runbook_url": describe.runbook or rule["annotations"]["runbook_url"],
    }
    labels = {**describe.labels, "severity": rule["labels"]["severity"]}
    if cluster and alert != "IstioPortExporterAbsent":  # nobody is scraped: whose would it be
        labels["cluster"] = cluster
    expected = [{"exp_labels": labels, "exp_annotations": annotations}]
    return {"eval_time": f"{describe.minute}m", "alertname": alert, "exp_alerts": expected}


def expanded(series: Series, replicas: int, cluster: str = "") -> Iterator[tuple[str, str]]:
    """Ranges written out, and each series as every replica of the exporter exposes it."""
    seen = set()
    for selector, values in series.items():
        for one in _ranges(selector):
            for replica in range(replicas):
                scraped = _scraped(one, f"10.0.0.{replica}:10520")
                if cluster and "cluster=" not in scraped:
                    scraped = scraped.replace("{", f'{{cluster="{cluster}",', 1)
                if scraped not in seen:
                    yield scraped, values
                seen.add(scraped)


def _ranges(selector: str) -> Iterator[str]:
    found = re.search(r"\{(\d+)\.\.(\d+)\}", selector)
    if found is None:
        yield selector
        return
    for number in range(int(found[1]), int(found[2]) + 1):
        yield from _ranges(selector[: found.start()] + str(number) + selector[found.end() :])


def _scraped(selector: str, instance: str) -> str:
    """A series with the labels that Prometheus adds."""
    name, _, labels = selector.partition("{")
    if "instance=" in labels and "job=" in labels:
        return selector
    if "instance=" in labels:
        return selector.replace("{", f'{{job="{JOB}",', 1)
    own = [labels.rstrip("}")] if labels else []
    shown = ",".join([*own, f'job="{JOB}"', f'instance="{instance}"'])
    return f"{name}{{{shown}}}"


def judge(
    case: Case, replicas: int, folder: Path, cluster: str = "", *, every_rule: bool = False
) -> str:
    """The complaint of promtool; empty when the case holds.

    What cannot give a sample from the case's series is not evaluated, unless it is every rule.
    """
    test, groups = case.test(replicas, cluster), all_groups()
    return complaint(test, groups if every_rule else reached(groups, selectors(test)), folder)


def selectors(test: dict[str, Any]) -> list[str]:
    """Of the series that a unit test gives."""
    return [row["series"] for row in test["input_series"]]


def complaint(
    test: dict[str, Any], groups: list[dict[str, Any]], folder: Path, *, in_order: bool = False
) -> str:
    """What promtool says of a unit test with these groups; empty when it passes.

    The rules are evaluated at the interval of the series: group by group, or in a random order.
    promtool takes what others leave of the processors, and a sixth less of them by collecting its
    garbage later.
    """
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": test["interval"],
        "group_eval_order": [group["name"] for group in groups] if in_order else [],
        "tests": [test],
    }
    (folder / "rules.yaml").write_text(json.dumps({"groups": groups}))  # which is YAML too
    (folder / "test.yaml").write_text(json.dumps(document))
    done = subprocess.run(
        ("nice", "-n", "19", "promtool", "test", "rules", "test.yaml"),
        cwd=folder,
        env={**os.environ, "GOGC": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr if done.returncode else ""
