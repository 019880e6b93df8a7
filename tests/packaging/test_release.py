"""Each step of a release that needs no platform: build, check, install, demo, chart, notes."""

import json
import os
import re
import subprocess
import sys
import tarfile
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml

from release.chart import write_chart
from release.notes import notes_of, version_of
from release.urls import ROOT, repository_of, urls_of

PLATFORM = {"GITHUB_SERVER_URL": "https://forge.example", "GITHUB_REPOSITORY": "Some/where"}
WHEEL = f"istio_port_exporter-{version('istio-port-exporter')}-py3-none-any.whl"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` leaves."""
    folder = tmp_path_factory.mktemp("dist") / "dist"
    given = [f"DIST={folder}", f"VENV={sys.prefix}", "--old-file", f"{sys.prefix}/.dev"]
    subprocess.run(
        ["make", "--silent", "dist", *given],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **PLATFORM},
        capture_output=True,
        check=True,
    )
    return folder


def test_packages_sbom_and_checksums_are_made(dist: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=dist, check=True)
    listed = {line.split()[1] for line in (dist / "SHA256SUMS").read_text().splitlines()}
    assert listed == {file.name for file in dist.iterdir()} - {"SHA256SUMS"}
    components = json.loads((dist / "istio-port-exporter.cdx.json").read_text())["components"]
    named = {(one["name"], one["version"]) for one in components}
    requirements = (ROOT / "requirements" / "run.txt").read_text()
    assert named == set(re.findall(r"^(\S+?)==(\S+)", requirements, re.MULTILINE))


def test_the_packages_name_where_the_project_is(dist: Path) -> None:
    with zipfile.ZipFile(dist / WHEEL) as wheel:
        (name,) = (one for one in wheel.namelist() if one.endswith("/METADATA"))
        metadata = Parser().parsestr(wheel.read(name).decode())
    urls = dict(one.split(", ") for one in metadata.get_all("Project-URL", []))
    assert urls == urls_of("https://forge.example/Some/where")


def test_nobody_is_sent_to_an_address_that_is_made_up() -> None:
    assert repository_of({}) == ""
    assert urls_of("") == {}
    assert "home" not in yaml.safe_load(
        (ROOT / "charts/istio-port-exporter/Chart.yaml").read_text()
    )


def test_the_wheel_holds_the_package_alone(dist: Path) -> None:
    with zipfile.ZipFile(dist / WHEEL) as wheel:
        tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"exporter"}


def test_the_sources_are_what_a_wheel_is_built_of(dist: Path) -> None:
    (sources,) = dist.glob("*.tar.gz")
    with tarfile.open(sources) as archive:
        names = {"/".join(name.split("/")[1:]) for name in archive.getnames()}
    assert {"pyproject.toml", "hatch_build.py", "LICENSE", "README.md"} <= names
    assert not [name for name in names if name.startswith(("tests", "requirements"))]


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what requirements/run.txt names, and nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=True)
    pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--require-hashes"]
    subprocess.run([*pip, "-r", ROOT / "requirements/run.txt"], check=True)
    alone = [*pip[:-1], "--no-deps", "--no-index", dist / WHEEL]
    subprocess.run(alone, check=True)
    return folder


@pytest.mark.slow  # it installs everything anew
def test_the_wheel_works_in_an_empty_environment(installed: Path, tmp_path: Path) -> None:
    subprocess.run([installed / "bin/python", "-m", "pip", "check"], check=True)
    command = [installed / "bin/istio-port-exporter", "demo", "--web.listen-address=127.0.0.1:0"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout
        address = next(found for found in _addresses(demo.stdout) if found)
        with urllib.request.urlopen(f"{address}/metrics") as answer:
            assert b"istio_port_exporter_build_info" in answer.read()
        demo.terminate()


def _addresses(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        found = re.search(r"http://[\w.:\[\]]+\d", line)
        yield found[0] if found else ""


def test_the_chart_is_packaged_with_its_home_and_renders_with_the_release_s_image(
    tmp_path: Path,
) -> None:
    digest = f"sha256:{'a' * 64}"
    chart = write_chart(tmp_path, "https://forge.example/a/b", "registry.example", "a/b", digest)
    with helm.Chart.load(chart) as loaded:
        package = loaded.save(str(tmp_path))
    with helm.Chart.load_archive(Path(package).read_bytes()) as packaged:
        files = packaged.render({}, name="ipe", namespace="x", is_install=True)
        metadata: Any = packaged.metadata
    documents = [yaml.safe_load(text) for name, text in files.items() if "deployment" in name]
    (pod,) = (one["spec"]["template"]["spec"] for one in documents if one)
    assert pod["containers"][0]["image"] == f"registry.example/a/b@{digest}"
    written = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert written["home"] == "https://forge.example/a/b"
    assert written["sources"] == ["https://forge.example/a/b"]
    assert metadata


def test_the_chart_of_the_checkout_is_packaged_as_it_is(tmp_path: Path) -> None:
    chart = write_chart(tmp_path, "", "", "", "")
    original = ROOT / "charts" / "istio-port-exporter"
    for name in ("Chart.yaml", "values.yaml"):
        assert (chart / name).read_text() == (original / name).read_text()


def test_release_notes_are_the_version_s_section() -> None:
    text = "# C\n\n## Unreleased\n\n- new\n\n## [1.2.0] - 2026-01-01\n\n- b\n\n## 1.1.0\n\n- a\n"
    assert notes_of(text, "1.2.0") == "- b\n"
    assert notes_of(text, "1.1.0") == "- a\n"
    for missing in ("1.2", "2.0.0"):
        with pytest.raises(LookupError):
            notes_of(text, missing)


def test_a_tag_is_the_version_s() -> None:
    assert version_of(f"v{version('istio-port-exporter')}") == version("istio-port-exporter")
    with pytest.raises(ValueError, match=r"is not v\d"):
        version_of("v99.0.0")
