"""What the cluster takes from Istio's source: its charts and the template of Envoy's bootstrap."""

import shutil
from pathlib import Path

from tests.cluster.go_programs import ISTIO, is_intact, write_sums

BOOTSTRAP = "envoy_bootstrap.json"
_CHARTS = "manifests/charts"


def charts() -> Path:
    """The folder of Istio's charts."""
    return ISTIO.folder / "charts"


def envoy_bootstrap() -> Path:
    """The template that pilot-agent makes Envoy's bootstrap from."""
    return ISTIO.folder / "source" / BOOTSTRAP


def is_made() -> bool:
    return charts().exists() and is_intact(envoy_bootstrap().parent, (BOOTSTRAP,))


def make(go: str) -> None:
    """Copy them out of the module's source."""
    source = ISTIO.source(go)
    shutil.rmtree(charts(), ignore_errors=True)
    shutil.copytree(source / _CHARTS, charts())
    # Go keeps its sources read-only.
    for path in (charts(), *charts().rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    envoy_bootstrap().parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "tools/packaging/common" / BOOTSTRAP, envoy_bootstrap())
    write_sums(envoy_bootstrap().parent, (BOOTSTRAP,))
