"""The chart is sound: Helm lints it, and every values file in ci/ renders."""

import re
import shutil
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml

from tests.charts.render import (
    CHART,
    Document,
    ci_files,
    of_kind,
    render,
    render_files,
    values_of,
)

FILES = pytest.mark.parametrize("file", ci_files(), ids=lambda file: file.stem)


@FILES
def test_helm_finds_nothing_to_complain_of(file: Path) -> None:
    report = helm.lint(CHART, values_of(file), strict=True)

    assert report["errors"] == []
    assert [row for row in report["messages"] if row["severity"] > 1] == []


@FILES
def test_every_object_has_the_common_labels(file: Path) -> None:
    for document in render(values_of(file)):
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "ipe"
        assert labels["app.kubernetes.io/name"] == "istio-port-exporter"


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        ("deployment", ["Deployment"]),
        ("statefulset", ["StatefulSet"]),
        ("daemonset", ["DaemonSet", "Deployment"]),
    ],
)
def test_a_mode_is_one_kind_of_workload(mode: str, kinds: list[str]) -> None:
    documents = render({"mode": mode})

    assert [
        row["kind"] for row in of_kind(documents, "Deployment", "StatefulSet", "DaemonSet")
    ] == kinds


@FILES
def test_releases_of_one_name_in_two_namespaces_share_no_object(file: Path) -> None:
    values = {**values_of(file), "namespaceOverride": "", "extraManifests": []}
    for key in ("serviceMonitor", "podMonitor", "scrapeConfig", "rules", "dashboards"):
        values[key] = {**values.get(key, {}), "namespace": "shared"}

    def objects(namespace: str) -> set[tuple[str, str, str]]:
        found = [(row["kind"], row["metadata"]) for row in render(values, namespace)]
        return {(kind, meta.get("namespace", ""), meta["name"]) for kind, meta in found}

    long = "long-" * 12
    assert not objects(f"{long}of") & objects(f"{long}by")


@pytest.mark.parametrize("release", ["ports.v2", "istio-port-exporter.v2", f"{'long.' * 10}v2"])
@FILES
def test_a_release_may_have_dots_in_its_name_and_no_service_has(file: Path, release: str) -> None:
    services = of_kind(render(values_of(file), release=release), "Service")

    names = [row["metadata"]["name"] for row in services]
    assert [name for name in names if not re.fullmatch("[a-z][-a-z0-9]{0,61}[a-z0-9]", name)] == []


@pytest.mark.parametrize("mode", ["deployment", "statefulset", "daemonset"])
def test_maps_whose_keys_are_all_commented_out_count_as_empty_ones(mode: str) -> None:
    chosen = {"mode": mode, **{name: {"enabled": True} for name in ("rules", "dashboards")}}
    blank, empty = (
        filled(values_of(CHART / "values.yaml"), chosen, free) for free in (None, dict[str, Any]())
    )
    assert (blank["config"], empty["rules"]["overrides"]) == (None, {})
    assert render_files(blank) == render_files(empty)


def filled(defaults: Document, chosen: Document, free: object) -> Document:
    """Values with what is chosen, and `free` for each map of the user's own keys."""
    found: Document = {}
    for key, value in defaults.items():
        if value == {}:
            found[key] = free
        elif isinstance(value, dict):
            found[key] = filled(value, chosen.get(key, {}), free)
        elif key in chosen:
            found[key] = chosen[key]
    return found


@pytest.mark.parametrize(("enabled", "is_there"), [(True, True), (False, False)])
def test_an_umbrella_chart_may_switch_it_by_a_condition(
    enabled: bool, is_there: bool, tmp_path: Path
) -> None:
    shutil.copytree(CHART, tmp_path / "charts" / CHART.name)
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    switched = {"name": CHART.name, "version": version, "condition": f"{CHART.name}.enabled"}
    umbrella = {"apiVersion": "v2", "name": "mesh", "version": "1.0.0", "dependencies": [switched]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(umbrella))

    with helm.Chart.load(tmp_path) as chart:
        files = chart.render(
            {CHART.name: {"enabled": enabled}}, name="mesh", namespace="mesh", is_install=True
        )

    assert bool(files) is is_there
