"""What is rendered is what Kubernetes and the Prometheus operator know.

Kubernetes' own kinds are checked against the schemas of the oldest release that Chart.yaml names
and of the newest that `kubernetes-validate` has. The operator's kinds are in neither; their fields
are those of its Go types (pkg/apis/monitoring/v1 and v1alpha1).
"""

import re
from itertools import chain
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.charts.render import (
    CHART,
    NAMESPACE,
    RELEASE,
    Document,
    ci_files,
    of_kind,
    render,
    values_of,
)

FILES = pytest.mark.parametrize("file", ci_files(), ids=lambda file: file.stem)
CHART_YAML = yaml.safe_load((CHART / "Chart.yaml").read_text())
OLDEST = re.search(r"1\.\d+", CHART_YAML["kubeVersion"])[0]  # type: ignore[index]
NEWEST = ".".join(kubernetes_validate.latest_version().split(".")[:2])
OPERATOR = {
    "ServiceMonitor": "v1",
    "PodMonitor": "v1",
    "ScrapeConfig": "v1alpha1",
    "PrometheusRule": "v1",
}
SCRAPE = {"honorLabels", "metricRelabelings", "relabelings", "scheme", "tlsConfig", "basicAuth"}
ENDPOINT = SCRAPE | {"port", "path", "interval", "scrapeTimeout"}
MONITOR = {"namespaceSelector", "selector"}
SCRAPE_CONFIG = SCRAPE | {
    "metricsPath",
    "scrapeInterval",
    "scrapeTimeout",
    "kubernetesSDConfigs",
}


def monitored(file: Path) -> list[Document]:
    return of_kind(render(values_of(file)), "ServiceMonitor", "PodMonitor", "ScrapeConfig")


@FILES
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_valid(file: Path, version: str) -> None:
    for document in render(values_of(file)):
        if document["kind"] in OPERATOR:
            group, _, wanted = document["apiVersion"].partition("/")
            assert (group, wanted) == ("monitoring.coreos.com", OPERATOR[document["kind"]])
        else:
            kubernetes_validate.validate(document, version, strict=True)


def test_the_versions_are_the_oldest_and_the_newest() -> None:
    assert (OLDEST, int(NEWEST.split(".")[1]) > 36) == ("1.25", True)


def test_names_of_digits_stay_text() -> None:
    values = {
        "namespaceOverride": "2026",
        "namespaces": ["2027"],
        "priorityClassName": "1",
        "serviceAccount": {"name": "5"},
        "web": {"configSecret": "2"},
        "istiod": {
            "debugToken": {"enabled": True, "audience": "3"},
            "rootCertConfigMap": "4",
            "webhookDryRun": {"enabled": True, "namespace": "2028"},
        },
        "networkPolicy": {"enabled": True, "admit": {"namespaces": ["2029"]}},
    }
    for document in render(values):
        kubernetes_validate.validate(document, NEWEST, strict=True)


def test_an_unknown_field_is_found() -> None:
    document = of_kind(render({}), "Deployment")[0]
    document["spec"]["template"]["spec"]["hostPid"] = True

    with pytest.raises(kubernetes_validate.ValidationError, match="hostPid"):
        kubernetes_validate.validate(document, NEWEST, strict=True)


def test_every_kind_of_monitor_is_rendered_by_some_values() -> None:
    kinds = {document["kind"] for document in chain.from_iterable(map(monitored, ci_files()))}

    assert kinds == {"ServiceMonitor", "PodMonitor", "ScrapeConfig"}


@FILES
def test_a_monitor_has_fields_that_the_operator_knows(file: Path) -> None:
    for document in monitored(file):
        spec = document["spec"]
        if document["kind"] == "ScrapeConfig":
            assert set(spec) <= SCRAPE_CONFIG
            assert spec["scheme"] in ("HTTP", "HTTPS")
            assert [row["role"] for row in spec["kubernetesSDConfigs"]] == ["Pod"]
        else:
            endpoints = (
                "endpoints" if document["kind"] == "ServiceMonitor" else "podMetricsEndpoints"
            )
            assert set(spec) == MONITOR | {endpoints}
            assert [set(row) - ENDPOINT for row in spec[endpoints]] == [set()]


@FILES
def test_the_proxies_labels_are_kept(file: Path) -> None:
    for document in monitored(file):
        spec = document["spec"]
        rows = spec.get("endpoints") or spec.get("podMetricsEndpoints") or [spec]
        assert all(row["honorLabels"] is True for row in rows)


@FILES
def test_the_job_is_the_release_and_its_namespace(file: Path) -> None:
    """The alerts about exporters compare those of a job."""
    for document in monitored(file):
        spec = document["spec"]
        rows = spec.get("endpoints") or spec.get("podMetricsEndpoints") or [spec]
        job = {"targetLabel": "job", "replacement": f"{NAMESPACE}/{RELEASE}"}
        assert all(job in row["relabelings"] for row in rows)


@FILES
def test_a_monitor_finds_each_replica_once(file: Path) -> None:
    """A ServiceMonitor selects one Service, not the headless one beside it."""
    documents = render(values_of(file))
    for monitor in of_kind(documents, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        services = of_kind(documents, "Service")
        assert sum(wanted <= row["metadata"]["labels"].items() for row in services) == 1
