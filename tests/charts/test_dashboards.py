"""Each dashboard is a ConfigMap that Grafana's sidecar finds."""

import json
import shutil
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml

from tests.charts.render import CHART, NAMESPACE, RELEASE, Document

DASHBOARDS = {
    "overview.json": {"title": "Overview", "panels": [{"legendFormat": "{{pod}}"}]},
    "One-Proxy.json": {"title": "Proxy"},
}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with these dashboards and no others."""
    folder = tmp_path_factory.mktemp("chart") / CHART.name
    shutil.copytree(CHART, folder, ignore=shutil.ignore_patterns("dashboards"))
    (folder / "dashboards").mkdir()
    for name, dashboard in DASHBOARDS.items():
        (folder / "dashboards" / name).write_text(json.dumps(dashboard, indent=2))
    return folder


def rendered(source: Path, runbooks: str = "", **values: Any) -> list[Document]:
    """The ConfigMaps with these values below `dashboards`."""
    given = {"dashboards": values, "rules": {"runbookBaseURL": runbooks}}
    with helm.Chart.load(source) as loaded:
        files = loaded.render(given, name=RELEASE, namespace=NAMESPACE)
    [text] = [text for name, text in files.items() if name.endswith("dashboards-configmap.yaml")]
    return [document for document in yaml.safe_load_all(text) if document]


def test_there_are_none_unless_they_are_wanted(chart: Path) -> None:
    assert rendered(chart) == []


def test_each_is_a_config_map_with_the_file_as_it_is(chart: Path) -> None:
    documents = rendered(chart, enabled=True)
    held = {name: text for row in documents for name, text in row["data"].items()}

    assert [row["metadata"]["name"] for row in documents] == [
        "ipe-istio-port-exporter-dashboard-one-proxy",
        "ipe-istio-port-exporter-dashboard-overview",
    ]
    assert held == {name: json.dumps(row, indent=2) for name, row in DASHBOARDS.items()}


def test_the_sidecar_finds_them(chart: Path) -> None:
    for document in rendered(chart, enabled=True):
        metadata = document["metadata"]
        assert metadata["labels"]["grafana_dashboard"] == "1"
        assert metadata["namespace"] == NAMESPACE
        assert "annotations" not in metadata


def test_they_have_the_namespace_and_labels_of_the_values(chart: Path) -> None:
    annotations = {"example.com/owner": "mesh"}
    given = {"enabled": True, "namespace": "grafana", "folder": "Istio", "annotations": annotations}
    for document in rendered(chart, **given, labels={"dashboard": "yes"}):
        metadata = document["metadata"]
        assert metadata["namespace"] == "grafana"
        assert metadata["annotations"] == {**annotations, "grafana_folder": "Istio"}
        assert metadata["labels"]["dashboard"] == "yes"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        pytest.param("", "", id="not told"),
        pytest.param("https://wiki.example/docs/", "https://wiki.example/docs", id="told"),
    ],
)
def test_the_real_ones_lead_to_the_runbooks(given: str, wanted: str) -> None:
    documents = rendered(CHART, given, enabled=True)
    for document in documents:
        [text] = document["data"].values()
        variables = json.loads(text)["templating"]["list"]
        assert [row["query"] for row in variables if row["name"] == "runbooks"] == [wanted]
    assert len(documents) == 4


def test_a_chart_without_dashboards_renders(chart: Path, tmp_path: Path) -> None:
    folder = tmp_path / CHART.name
    shutil.copytree(chart, folder, ignore=shutil.ignore_patterns("dashboards"))

    assert rendered(folder, enabled=True) == []
