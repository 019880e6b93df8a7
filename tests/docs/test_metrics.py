"""docs/metrics.md and the code name the same families, types, labels and profiles."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from exporter.app.capabilities import CAPABILITIES, OFF_BY_DEFAULT
from exporter.control_plane.webhook_dry_run import _REASONS
from exporter.exposition import FAMILIES
from exporter.model import Observation, Outcome, Probe, ProbeKind, Role, View
from exporter.selfmetrics.registry import SelfMetrics
from exporter.web.probe import PARAMETERS
from exporter.web.probe_limits import (
    CLIENT_BURST,
    CLIENT_PER_SECOND,
    TARGET_BURST,
    TARGET_PER_SECOND,
)
from tests.docs.pages import pages

DOCUMENT_FOLDER = Path(__file__).parent.parent.parent / "docs"
DOCUMENT = (DOCUMENT_FOLDER / "metrics.md").read_text(encoding="utf-8")
MEASURED_BY_THE_CLIENT = ("process_", "python_")

Row = tuple[str, ...]


def documented(columns: int) -> list[Row]:
    """Rows of the tables of families that have so many columns: without the meaning."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in DOCUMENT.splitlines()
        if line.startswith("| `istio_")
    ]
    assert all(row[-1] for row in rows)
    return [tuple(row[:-1]) for row in rows if len(row) == columns]


def labels_cell(labels: list[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels) or "none"


def full_page() -> str:
    """The exporter's own metrics, each family with a sample that shows its labels."""
    metrics = SelfMetrics("1.0")
    agent = Probe(15020, ProbeKind.AGENT, View.NETWORK)
    metrics.probed([Observation(agent, Outcome.OK, 0.01)], Role.SIDECAR)
    metrics.found_capable("loopback", able=True)
    metrics.counted_targets({"sidecar": 1}, 0, 0, outdated=False)
    metrics.synced("pods", complete=True)
    metrics.relisted("pods")
    metrics.refused_object("pods")
    metrics.asked_kubernetes("list", "pods", "200")
    metrics.read_file("t.yaml", readable=True)
    return metrics.expose(openmetrics=False).decode()


def test_families_of_targets_and_the_cluster_are_documented_as_they_are_and_in_order() -> None:
    assert documented(columns=6) == [
        (
            f"`{family.name}`",
            family.type,
            labels_cell(list(family.labels)),
            family.profile,
            family.stability,
        )
        for family in FAMILIES
    ]


def test_a_family_that_smaller_profiles_shorten_is_marked() -> None:
    cut = {line.split("`")[1] for line in DOCUMENT.splitlines() if "Below full: " in line}

    assert cut == {family.name for family in FAMILIES if family.brief}


def test_the_exporters_own_families_are_documented_as_they_are() -> None:
    reported = set()
    for family in text_string_to_metric_families(full_page()):
        if family.name.startswith(MEASURED_BY_THE_CLIENT):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        reported.add((f"`{name}`", family.type, labels_cell(_in_order(name, labels))))

    own = documented(columns=5)

    assert {row[:-1] for row in own} == reported
    assert {row[-1] for row in own} <= {"stable", "experimental"}


def _in_order(name: str, labels: set[str]) -> list[str]:
    """Labels in the document's order, if it names the same; sorted otherwise."""
    row = re.search(rf"^\| `{name}` \|.*$", DOCUMENT, re.MULTILINE)
    cell = re.findall(r"`(\w+)`", row[0].split("|")[3]) if row else []
    return cell if set(cell) == labels else sorted(labels)


def test_every_metric_that_the_text_names_exists() -> None:
    known = {family.name for family in FAMILIES} | {
        name.strip("`") for name, *_ in documented(columns=5)
    }
    known |= PARAMETERS

    assert set(re.findall(r"`?\b(istio_\w+[a-z])\b", DOCUMENT)) <= known


def test_no_query_drops_what_names_a_proxy() -> None:
    """Pods of a namespace would be one: of a port that one of them answers on, none is down."""
    for page in pages():
        dropped = re.findall(r"\bwithout \(([a-z, ]*)\)", page.read_text(encoding="utf-8"))
        assert not {"namespace", "pod", "role"} & set(re.findall(r"\w+", str(dropped))), page


def rows_under(heading: str) -> list[Row]:
    """The rows of the tables under a heading, without their heads."""
    part = re.split(rf"^##+ {heading}$", DOCUMENT, flags=re.MULTILINE)[1]
    text = re.split(r"^##", part, flags=re.MULTILINE)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [
        tuple(cell.strip() for cell in line.strip("|").split(" | "))
        for line, below in zip(lines, [*lines[1:], ""], strict=True)
        if not line.startswith("|---") and not below.startswith("|---")
    ]


def test_every_outcome_is_listed_in_order_with_what_it_makes_of_a_port() -> None:
    up = {True: "up", False: "down", None: "unjudged"}
    rows = rows_under("Outcomes")
    assert [row[:2] for row in rows] == [(f"`{one}`", up[one.up]) for one in Outcome]
    assert all(meaning for *_, meaning in rows)


def test_the_outcomes_of_the_dry_run_are_named() -> None:
    row = re.search(r"^\| `istio_control_plane_webhook_path_outcome` .*$", DOCUMENT, re.MULTILINE)
    shown = {outcome for _, outcome in _REASONS} | {Outcome.HTTP_ERROR, Outcome.NO_ACCESS}
    assert row
    assert shown <= set(re.findall(r"`(\w+)`", row[0]))


def test_every_capability_is_listed_in_order_with_what_switches_it_on() -> None:
    rows = rows_under("Capabilities")
    default = {name: "off" if name in OFF_BY_DEFAULT else "on" for name in CAPABILITIES}
    assert [row[:2] for row in rows] == [(f"`{name}`", state) for name, state in default.items()]
    settings = (DOCUMENT_FOLDER / "configuration.md").read_text(encoding="utf-8")
    for *_, switch in rows:
        keys = re.findall(r"`(\w+\.\w+(?:\.\w+)*)", switch)
        assert keys or "`ISTIO_DUAL_STACK`" in switch
        assert all(f"| `{key}` |" in settings for key in keys), keys


def test_what_a_probe_may_be_asked_and_how_often_is_listed() -> None:
    rows = rows_under("One target: `/probe`")
    listed = [row for row in rows if len(row) == 2]
    assert {name.strip("`") for name, _ in listed if name.startswith("`")} == PARAMETERS
    meanings = dict(listed)
    assert [name for name in meanings if name.isdecimal()] == sorted(
        name for name in meanings if name.isdecimal()
    )
    rates = re.findall(r"\d+", meanings["429"])
    assert rates[:4] == [
        f"{number:g}"
        for number in (TARGET_PER_SECOND, TARGET_BURST, CLIENT_PER_SECOND, CLIENT_BURST)
    ]
