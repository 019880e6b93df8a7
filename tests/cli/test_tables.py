import re
from collections.abc import Callable

import pytest
from msgspec import structs
from rich.console import Console, RenderableType

from benchmarks.records import broken_sidecar, healthy_sidecar
from exporter.cli.tables import every_port, overview, report_of, summary
from exporter.model import CauseClass, Diagnosis, Outcome, TargetRecord, Verdict, View
from exporter.report.target_documents import TargetState, target_state

HEALTHY = target_state(healthy_sidecar(0).target, healthy_sidecar(0))
BROKEN = target_state(broken_sidecar(1).target, broken_sidecar(1))
WAITING = target_state(healthy_sidecar(2).target, None)
HEADINGS = {"target", "role", "cause", "detail"}
"""A paragraph begins with the first three, and leaves out what is empty."""


def words(text: str) -> set[str]:
    """What is between spaces, colons and borders, in any case of letters."""
    return {word.lower() for word in re.split(r"[\s│┃:]+", text) if re.match(r"\w", word)}


def printed(shown: RenderableType, width: int = 240) -> str:
    screen = Console(width=width)
    with screen.capture() as capture:
        screen.print(shown)
    return capture.get()


def with_port(*, up: bool | None, naive: bool | None) -> TargetState:
    verdict = Verdict(15021, "envoy", up, Outcome.TIMEOUT, View.NETWORK, naive=naive)
    record = TargetRecord(target=healthy_sidecar(0).target, verdicts=(verdict,))
    return target_state(record.target, record)


@pytest.mark.parametrize(
    ("up", "naive", "verdict", "misleads", "beside"),
    [
        (True, True, "15021✓", "", "✓"),
        (False, True, "15021✗", "15021✓", "✓!"),
        (False, False, "15021✗", "", "✗"),
        (True, False, "15021✓", "15021✗", "✗!"),
        (None, True, "15021?", "", "✓"),
        (False, None, "15021✗", "", "·"),
    ],
)
def test_the_verdict_is_beside_a_plain_connect_that_misleads(
    *, up: bool | None, naive: bool | None, verdict: str, misleads: str, beside: str
) -> None:
    target = with_port(up=up, naive=naive)
    text = printed(overview([target]))
    row = next(line for line in text.splitlines() if "15021" in line)
    cells = [verdict, misleads] if misleads else [verdict]
    assert [cell.strip() for cell in row.split("│")[3:-2]] == cells
    row = next(line for line in printed(every_port([target])).splitlines() if "15021" in line)
    assert beside in [cell.strip() for cell in row.split("│")[8:10]]


def test_every_port_has_the_outcome_of_its_probe() -> None:
    text = printed(every_port([with_port(up=False, naive=True)]))
    row = next(line for line in text.splitlines() if "15021" in line)
    assert {"health", "envoy", "timeout", "network"} <= {cell.strip() for cell in row.split("│")}


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 200])
@pytest.mark.parametrize("table", [overview, every_port])
def test_no_width_breaks_a_word(
    table: Callable[[list[TargetState]], RenderableType], width: int
) -> None:
    targets = [HEALTHY, BROKEN, WAITING]
    shown = printed(table(targets), width)
    assert max(map(len, shown.splitlines())) <= width
    assert words(printed(table(targets))) - HEADINGS <= words(shown)


def test_a_narrow_terminal_has_a_paragraph_for_each_target() -> None:
    shown = printed(overview([BROKEN]), 60)
    assert "│" not in shown
    assert shown.startswith(f"{BROKEN.namespace}/{BROKEN.pod}  sidecar  port_taken\n  ports: ")


def test_advice_is_given_once_for_a_cause_with_each_targets_evidence() -> None:
    other = target_state(broken_sidecar(2).target, broken_sidecar(2))
    text = printed(report_of([HEALTHY, BROKEN, other], ()))
    diagnosis = broken_sidecar(1).diagnosis
    assert diagnosis is not None
    assert text.count(diagnosis.advice) == 1
    for target in (BROKEN, other):
        assert f"  {target.namespace}/{target.pod}" in text.split(diagnosis.advice)[1]


def test_each_target_stands_below_the_advice_that_is_for_it() -> None:
    advices = ("Allow 15020.", "Allow 15120.", "Allow 15020.")
    shown = []
    for number, advice in enumerate(advices):
        blocked = Diagnosis("network_blocked", CauseClass.POLICY, "The network drops.", advice)
        record = structs.replace(broken_sidecar(number), diagnosis=blocked)
        shown.append(target_state(record.target, record))
    text = printed(report_of(shown, ()))
    told = [line.strip() for line in text[text.index("network_blocked (policy)") :].splitlines()]
    assert [line for line in told if line in {*advices}] == ["Allow 15020.", "Allow 15120."]
    assert told.count("The network drops.") == 1
    names = [f"{one.namespace}/{one.pod}" for one in shown]
    above = {line: told[: told.index(line)] for line in names}
    assert [[one for one in above[name] if one in advices][-1] for name in names] == [*advices]


def test_what_is_not_judged_is_listed_beneath() -> None:
    text = printed(report_of([HEALTHY], ("port 15001 of a sidecar: no_access",)))
    assert "Not judged:\n  port 15001 of a sidecar: no_access" in text
    assert "Not judged" not in printed(report_of([HEALTHY], ()))


def test_text_from_a_target_is_neither_markup_nor_an_escape_sequence() -> None:
    healthy = healthy_sidecar(0)
    rude = structs.replace(healthy.verdicts[0], detail="[red]x[/red]\x1b[2J")
    record = structs.replace(healthy, verdicts=(rude,))
    text = printed(every_port([target_state(record.target, record)]))
    assert "[red]x[/red]\ufffd[2J" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        ([HEALTHY], "1 target: 1 healthy"),
        ([HEALTHY, BROKEN, WAITING], "3 targets: 1 healthy, 1 unhealthy, 1 unjudged"),
    ],
)
def test_the_summary_counts(targets: list[TargetState], sentence: str) -> None:
    assert summary(targets) == sentence


@pytest.mark.parametrize("table", [overview, every_port])
def test_a_heading_says_cause_and_names_no_class_of_ours(
    table: Callable[[list[TargetState]], RenderableType],
) -> None:
    heading = printed(table([BROKEN])).splitlines()[1]
    assert re.findall(r"\w+", heading)[-1] == "Cause"


def test_advice_on_faults_comes_before_that_on_what_is_nobodys_fault() -> None:
    policy = Diagnosis("network_blocked", CauseClass.POLICY, "The network drops.", "Allow it.")
    record = structs.replace(broken_sidecar(2), diagnosis=policy)
    blocked = target_state(record.target, record)
    text = printed(report_of([blocked, BROKEN], ()))
    assert text.index("port_taken (fault)") < text.index("network_blocked (policy)")


def test_a_broken_line_of_advice_keeps_its_indentation() -> None:
    text = printed(report_of([BROKEN], ("something long " * 9,)), 60)
    told = text[text.index("port_taken (fault)") :].splitlines()
    assert all(line.startswith("  ") for line in told if line.strip() and line[0] == " ")
    assert {line[0] for line in told if line.strip()} == {"p", " ", "N", "1"}


def test_a_paragraph_breaks_between_its_parts() -> None:
    lines = printed(every_port([BROKEN]), 60).splitlines()
    assert any(re.match(r"  (.*  )?plain connect: .!?  ", line) for line in lines)
    assert not any(line.rstrip().endswith(("plain", ":")) for line in lines)
