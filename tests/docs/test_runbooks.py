"""Each cause is in docs/diagnosis.md and each alert in docs/alerts.md, as the code has them."""

import re
import subprocess

import pytest

from docs import diagnosis
from exporter.diagnosis import CAUSES, Cause
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


def test_the_page_is_generated_from_the_table_of_causes() -> None:
    text = DIAGNOSIS.read_text()
    assert text == diagnosis.page_of(text), "make runbooks"


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_a_runbook_has_its_sentence_its_advice_and_its_detection(cause: Cause) -> None:
    paragraphs = RUNBOOKS[cause.id].strip().split("\n\n")
    assert paragraphs[0] == f"*{cause.cause_class}, shows on {cause.shown_on}.* {cause.sentence}"
    assert paragraphs[1] == f"**What to do.** {cause.advice}"
    (detection,) = (p for p in paragraphs if p.startswith("**How it is detected.** "))
    assert paragraphs.index(detection) > 2, "what to do comes first, commands with it"


def test_a_cause_that_moves_in_the_table_moves_on_the_page() -> None:
    preface, *sections = re.split(r"(?=^## )", DIAGNOSIS.read_text(), flags=re.MULTILINE)
    backwards = preface + "\n".join(section.strip() + "\n" for section in reversed(sections))
    assert diagnosis.page_of(backwards) == DIAGNOSIS.read_text()


def test_a_cause_without_a_section_is_an_error() -> None:
    text = DIAGNOSIS.read_text().replace("## draining", "## drained")
    with pytest.raises(LookupError, match="drain"):
        diagnosis.page_of(text)


def test_the_times_that_were_measured_are_of_causes_and_alerts_as_they_are() -> None:
    rows = re.findall(
        r"\| \[(\w+)\]\(#\w+\) \| \d+ s \| \d+ s \| (?:\d+ s|-) \| (.+) \|",
        DIAGNOSIS.read_text(),
    )
    assert len(rows) > 10
    assert {cause for cause, _ in rows} <= CAUSES.keys()
    waits = {f"{name}, {rule['for']}" for name, rule in ALERTS.items()}
    assert {alert for _, alert in rows} <= waits | {"none"}


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
