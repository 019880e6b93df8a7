"""What is left out when promtool judges a case cannot have given a sample."""

from pathlib import Path

import promql_parser as promql
import pytest

from tests.rules import test_alerts
from tests.rules.promtool import Case, judge
from tests.rules.reached import can_give, reached

SOME = [case for case in test_alerts.CASES if case.last <= test_alerts.LONG_MINUTES][::40]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("here", True),
        ("gone", False),
        ("here and gone", False),
        ("here unless gone", True),
        ("gone unless here", False),
        ("gone or here", True),
        ("here * on (a) group_left gone", False),
        ("gone > 0", False),
        ("count(gone)", False),
        ("-gone", False),
        ("label_replace(here, 'a', '$1', 'b', '(.*)')", True),
        ("max_over_time((gone > 0)[5m:1m])", False),
        ("rate(here[5m] offset 1m)", True),
        ("absent(gone)", True),
        ("absent_over_time(gone[5m])", True),
        ("count(gone) or vector(0)", True),
        ("here > scalar(gone)", True),
        ("time() - here", True),
        ("time() - gone", False),
        ("0 * gone", False),
    ],
)
def test_an_expression_can_give_a_sample(expression: str, expected: bool) -> None:
    assert can_give(promql.parse(expression), lambda selector: selector.name == "here") is expected


def test_rules_are_reached_by_name_and_equal_labels_and_by_what_others_record() -> None:
    exprs = {
        "by_value": 'up{port="1"}',
        "by_other_value": 'up{port="2"}',
        "by_absent_label": 'up{cluster=""}',
        "by_pattern": 'up{port=~"2"}',
        "of_recorded": "by_value > 0",
        "of_alerts": 'ALERTS{alertname="Fires"}',
        "of_nobody": "by_other_value",
    }
    rules = [{"record": name, "expr": expr} for name, expr in reversed(exprs.items())]
    groups = [{"name": "a", "rules": rules}, {"name": "b", "rules": [{"alert": "A", "expr": "x"}]}]
    (group,) = reached(groups, ['up{port="1"}'])
    kept = [rule["record"] for rule in group["rules"]]
    assert kept == ["of_recorded", "by_pattern", "by_absent_label", "by_value"]
    (group, _) = reached(groups, ['up{port="1"}', "x"])
    assert "of_alerts" in [rule["record"] for rule in group["rules"]]


@pytest.mark.usefixtures("promtool")
@pytest.mark.parametrize("case", SOME, ids=lambda case: f"{case.alert}-{case.name}")
def test_a_case_holds_with_every_rule_as_well(case: Case, tmp_path: Path) -> None:
    complaint = judge(case, min(case.replicas), tmp_path, every_rule=True)
    assert not complaint, f"\n{complaint}"
