"""The dashboards are what `make chart` makes, and hold together."""

import re

import pytest

from charts.dashboards import FOLDER, documents
from exporter.exposition import FAMILIES
from tests.dashboards.documents import Asked, dashboards, panels, queries
from tests.docs.pages import ROOT

UIDS = {
    "overview.json": "istio-ports-overview",
    "proxy.json": "istio-ports-proxy",
    "control-plane.json": "istio-ports-control-plane",
    "exporter.json": "istio-ports-exporter",
}
"""Links from outside hold to these: they never change."""

DOCUMENTED = set(
    re.findall(r"^\| `(istio_\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
)
OF_THE_CLIENT = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
}
PROFILES = {row.name: ("minimal", "standard", "full").index(row.profile) for row in FAMILIES}
FAMILY = re.compile(r"\b((?:istio|process)_\w+)(?=\{)")


def test_the_committed_files_are_what_the_code_makes() -> None:
    committed = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert committed == documents(), "run make chart"


def test_their_addresses_stay() -> None:
    assert {file: board["uid"] for file, board in dashboards().items()} == UIDS


@pytest.mark.parametrize("file", UIDS)
def test_every_panel_has_a_description(file: str) -> None:
    shown = panels(dashboards()[file])
    assert [panel["title"] for panel in shown if not panel.get("description")] == []
    assert len({panel["id"] for panel in shown}) == len(shown)
    assert {panel["datasource"]["uid"] for panel in shown} == {"${datasource}"}


@pytest.mark.parametrize("file", UIDS)
def test_no_panel_lies_on_another(file: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboards()[file]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.name)
def test_a_query_selects_documented_families_of_the_chosen_targets(query: Asked) -> None:
    families = set(FAMILY.findall(query.expr))
    known = {name for family in DOCUMENTED for name in (family, f"{family}_bucket")}
    assert families
    assert families <= known | OF_THE_CLIENT
    assert query.expr.count('{cluster=~"$cluster"') == len(FAMILY.findall(query.expr))
    assert query.expr.count("rate(") == query.expr.count("[$__rate_interval]")


@pytest.mark.parametrize("file", UIDS)
def test_a_query_uses_the_dashboards_own_variables(file: str) -> None:
    board = dashboards()[file]
    offered = {variable["name"] for variable in board["templating"]["list"]}
    used = {
        name
        for query in queries()
        if query.file == file
        for name in re.findall(r"\$([a-z]\w*)", query.expr)
    }
    assert used <= offered
    assert {"datasource", "cluster", "runbooks"} <= offered


@pytest.mark.parametrize(
    "query", [row for row in queries() if " or 0 * count(" in row.expr], ids=lambda row: row.name
)
def test_a_count_is_0_only_in_profiles_that_would_tell(query: Asked) -> None:
    reported, nothing = (
        {PROFILES[name] for name in FAMILY.findall(part)}
        for part in query.expr.split(" or 0 * count(")
    )
    assert max(reported) <= max(nothing)


@pytest.mark.parametrize("file", UIDS)
def test_all_clusters_includes_targets_without_the_label(file: str) -> None:
    variables = {each["name"]: each for each in dashboards()[file]["templating"]["list"]}
    assert variables["cluster"]["allValue"] == ".*"
    assert variables["cluster"]["current"]["value"] == "$__all"


def test_links_between_dashboards_lead_to_one() -> None:
    text = "".join(path.read_text() for path in FOLDER.iterdir())
    assert set(re.findall(r"/d/([\w-]+)", text)) <= set(UIDS.values())
    assert all(
        [link["tags"] for link in board["links"] if link["type"] == "dashboards"]
        == [[tag] for tag in board["tags"]]
        for board in dashboards().values()
    )


def test_every_family_of_a_target_is_on_some_panel() -> None:
    shown = {name for query in queries() for name in FAMILY.findall(query.expr)}
    unshown = {family.name for family in FAMILIES} - shown
    assert unshown == {"istio_target_identity_info", "istio_proxy_root_info"}
