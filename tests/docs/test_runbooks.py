"""Each cause is in docs/diagnosis.md and each alert in docs/alerts.md, as the code says."""

import re
import subprocess

import pytest

from exporter.diagnosis.causes import CAUSES, Cause
from tests.docs.pages import ROOT, anchors, fences
from tests.rules.promtool import ALERTS

DIAGNOSIS = ROOT / "docs" / "diagnosis.md"
ALERTS_PAGE = ROOT / "docs" / "alerts.md"


def sections(text: str) -> dict[str, str]:
    """The text under each heading of the second level."""
    parts = re.split(r"^#{1,2} (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


RUNBOOKS = sections(DIAGNOSIS.read_text())
ALERT_SECTIONS = sections(ALERTS_PAGE.read_text())


def test_each_cause_has_a_runbook_in_the_order_of_the_table() -> None:
    assert [name for name in RUNBOOKS if name != "Diagnosis"] == list(CAUSES)


@pytest.mark.parametrize("known", CAUSES.values(), ids=CAUSES)
def test_a_runbook_says_what_the_exporter_says(known: Cause) -> None:
    text = RUNBOOKS[known.id]
    assert text.strip().startswith(f"*{known.cause_class.value}, shows on {known.shown_on}.*")
    assert known.sentence in text
    assert f"**What to do.** {known.advice} " in text
    assert "**How it was told.** " in text


def test_each_runbook_has_commands_to_run() -> None:
    assert len(list(fences(DIAGNOSIS))) == len(CAUSES) + 1


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_documented_as_it_is(name: str) -> None:
    rule, text = ALERTS[name], ALERT_SECTIONS[name]
    severity, wait = rule["labels"]["severity"], rule["for"]
    summary = rule["annotations"]["summary"]
    assert text.strip().startswith(f"*{severity}, after {wait}.* {summary}\n")
    assert "**What to do.** " in text


def test_no_other_alert_is_documented() -> None:
    assert {name for name in ALERT_SECTIONS if name.startswith("Istio")} == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_link_leads_to_its_section(name: str) -> None:
    url = ALERTS[name]["annotations"]["runbook_url"]
    page, _, anchor = url.partition("#")
    known = anchors(ROOT / page)
    if "{{" in anchor:
        assert set(CAUSES) <= known
        fallback = re.search(r"\{\{ else \}\}(\w+)\{\{ end \}\}", anchor)
        assert fallback is None or fallback[1] in known
    else:
        assert anchor in known


@pytest.mark.usefixtures("amtool")
def test_the_inhibition_example_is_accepted() -> None:
    done = subprocess.run(
        ("amtool", "check-config", ROOT / "config" / "alertmanager.yml"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
