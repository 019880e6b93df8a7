"""The dashboards are what `make chart` makes, and hold together."""

import re

import pytest

from charts.dashboards import FOLDER, documents
from exporter.exposition import FAMILIES
from tests.charts.render import Document
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
PROFILES_BY_NAME = ("minimal", "standard", "full")
PROFILES = {row.name: PROFILES_BY_NAME.index(row.profile) for row in FAMILIES}
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
    everything = dashboards()[file]["panels"]
    for shown in (everything, *(row["panels"] for row in everything if row.get("panels"))):
        assert_apart(shown)


def assert_apart(shown: list[Document]) -> None:
    """Rows and panels that are shown together: those of a closed row are shown without the next."""
    taken: dict[tuple[int, int], str] = {}
    for panel in shown:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.name)
def test_a_query_selects_documented_families_of_the_chosen_targets(query: Asked) -> None:
    families = set(FAMILY.findall(query.expr))
    if query.panel == "Firing alerts":
        assert query.expr.count('{cluster=~"$cluster"') == 2
        return
    known = {name for family in DOCUMENTED for name in (family, f"{family}_bucket")}
    assert families
    assert families <= known | OF_THE_CLIENT
    assert query.expr.count('{cluster=~"$cluster"') == len(FAMILY.findall(query.expr))
    assert query.expr.count("rate(") == query.expr.count("[$__rate_interval]")
    assert query.expr.count("increase(") == query.expr.count("[10m]")


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


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.name)
def test_the_cluster_stays_through_every_aggregation_and_join(query: Asked) -> None:
    aggregations = re.findall(
        r"\b(?:count|sum|min|max|avg|group|count_values)\b ([^{]*?)\(", query.expr
    )
    joins = re.findall(r"\bon \(([^)]*)\)", query.expr)
    assert [by for by in aggregations if not by.startswith("by ")] == []
    grouped = re.findall(r"\bby \(([^)]*)\)", query.expr)
    assert [labels for labels in grouped + joins if not labels.startswith("cluster")] == []


def test_no_pod_in_ambient_counts_as_a_proxy_of_some_version() -> None:
    """It has neither a version nor a revision: in a table of them it would be a nameless line."""
    counted = [query for query in queries() if re.search(r"^\w*\(?count by .*version", query.expr)]
    assert counted
    assert [query.name for query in counted if 'role!~"istiod|cni|ambient"' not in query.expr] == []


@pytest.mark.parametrize("file", UIDS)
def test_lines_and_bands_have_a_legend(file: str) -> None:
    drawn = [
        row for row in panels(dashboards()[file]) if row["type"] in ("timeseries", "state-timeline")
    ]
    assert drawn
    assert [row["title"] for row in drawn if not row["options"]["legend"]["showLegend"]] == []


@pytest.mark.parametrize("file", UIDS)
def test_a_table_shows_its_labels_as_they_are(file: str) -> None:
    """A port under a unit of numbers reads 15.0 K."""
    tables = [row for row in panels(dashboards()[file]) if row["type"] == "table"]
    assert {row["fieldConfig"]["defaults"]["unit"] for row in tables} == {"string"}


@pytest.mark.parametrize("file", UIDS)
def test_what_the_default_profile_cannot_feed_is_in_a_closed_row_that_names_the_profile(
    file: str,
) -> None:
    board = dashboards()[file]
    closed = {
        inner["title"]: row["title"] for row in board["panels"] for inner in row.get("panels", ())
    }
    for panel in panels(board):
        needed = {
            PROFILES.get(name, 0)
            for target in panel["targets"]
            for name in FAMILY.findall(target["expr"])
        }
        if needed == {PROFILES_BY_NAME.index("full")}:
            assert "metrics.profile" in closed[panel["title"]]
        elif panel["title"] in closed:
            assert re.search(r"\((\w+\.)?\w+\)$", closed[panel["title"]]), "no setting is named"


@pytest.mark.parametrize(
    "query", [row for row in queries() if " or 0 * count" in row.expr], ids=lambda row: row.name
)
def test_a_count_is_0_only_in_profiles_that_would_tell(query: Asked) -> None:
    reported, nothing = (
        {PROFILES[name] for name in FAMILY.findall(part)}
        for part in query.expr.rsplit(" or 0 * count", 1)
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


ONLY_FOR_RULES = {
    "istio_target_identity_info",
    "istio_proxy_root_info",
    "istio_control_plane_trusted",
}


def test_every_family_of_a_target_is_on_some_panel() -> None:
    shown = {name for query in queries() for name in FAMILY.findall(query.expr)}
    unshown = {family.name for family in FAMILIES} - shown
    assert unshown == ONLY_FOR_RULES
