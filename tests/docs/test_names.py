"""No metric of ours has a name that Istio, ztunnel, istio-cni, Envoy or Kiali export."""

from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from exporter.exposition import FAMILIES
from exporter.selfmetrics.registry import SelfMetrics
from tests.docs.test_metrics import MEASURED_BY_THE_CLIENT

ROOT = Path(__file__).parents[2]
OURS = ("istio_port_", "istio_target_", "istio_proxy_", "istio_control_plane_")
"""How every name of ours begins."""


def others() -> set[str]:
    lines = (ROOT / "tests" / "data" / "names" / "others.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def ours() -> set[str]:
    page = SelfMetrics("1.0").expose(openmetrics=False).decode()
    own = {family.name for family in text_string_to_metric_families(page)}
    own = {name for name in own if not name.startswith(MEASURED_BY_THE_CLIENT)}
    return own | {family.name for family in FAMILIES}


def recorded() -> set[str]:
    """The names of the recording rules that the chart ships."""
    files = (ROOT / "charts" / "istio-port-exporter" / "rules").glob("*.yaml")
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def test_names_are_ours_alone() -> None:
    assert ours()
    assert ours().isdisjoint(others())
    assert recorded().isdisjoint(others())


def test_every_name_begins_as_no_other_does() -> None:
    assert all(name.startswith(OURS) for name in ours())
    assert not [name for name in others() if name.startswith(OURS)]
