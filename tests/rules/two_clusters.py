"""Cases of two clusters in one Prometheus: neither silences, hides or counts the other."""

from tests.rules.promtool import Case, ExpectedAlert
from tests.rules.series import diagnosis, info, istiod, istiod_ready, of

EXPIRY = "istio_target_certificate_expiry_timestamp_seconds"


def of_cluster(cluster: str, series: dict[str, str]) -> dict[str, str]:
    """These series with the label of a cluster."""
    labelled = {}
    for selector, values in series.items():
        name, brace, rest = selector.partition("{")
        labels = rest if brace else "}"
        comma = "," if labels != "}" else ""
        labelled[f'{name}{{cluster="{cluster}"{comma}{labels}'] = values
    return labelled


def both(west: dict[str, str], east: dict[str, str]) -> dict[str, str]:
    """The series of two clusters."""
    return {**of_cluster("west", west), **of_cluster("east", east)}


EXPORTER = {"istio_port_exporter_build_info": "1x120"}
ISTIOD = {istiod("istiod-1"): "1x120", istiod_ready("istiod-1"): "1x120"}
PROXIES = {info("web-{1..9}"): "1x120"}
HEALTHY = {**EXPORTER, **ISTIOD, **PROXIES}
ABSENT = (
    "Prometheus scrapes no istio-port-exporter{}, so none of its alerts can fire. Look at its"
    " pods, its ServiceMonitor or scrape configuration, and Prometheus' page of targets. If it was"
    " removed on purpose, this alert ends within six hours; silence it until then, and remove these"
    " rules where no exporter is left."
)

CASES = (
    Case(
        "IstioPortExporterAbsent",
        "trap",
        "a cluster's exporter vanishes together with its target",
        both(HEALTHY, {"istio_port_exporter_build_info": "1x60 stale"}),
        {70: {}, 78: {"IstioPortExporterAbsent": 1}, 120: {"IstioPortExporterAbsent": 1}},
        ExpectedAlert(78, {"cluster": "east"}, ABSENT.format("")),
        watched=False,
    ),
    Case(
        "IstioPortExporterAbsent",
        "trap",
        "a cluster's job has another name since: the alert names the old one, and inhibits nothing",
        both(
            HEALTHY,
            {
                'istio_port_exporter_build_info{job="old",instance="10.0.0.9:10520"}': "1x60 stale",
                "istio_port_exporter_build_info": "_x60 1x60",
            },
        ),
        {70: {}, 78: {"IstioPortExporterAbsent": 1}, 120: {"IstioPortExporterAbsent": 1}},
        ExpectedAlert(
            78,
            {"job": "old", "cluster": "east"},
            ABSENT.format(" of the job old, which was there for most of the last six hours"),
        ),
        watched=False,
    ),
    Case(
        "IstioRevisionWithoutControlPlane",
        "trap",
        "the other cluster's istiod is no help",
        both(
            HEALTHY,
            {
                **EXPORTER,
                **PROXIES,
                istiod("istiod-1"): "1x120",
                istiod_ready("istiod-1"): "1x10 0x110",
                diagnosis("istiod-1", "istiod_not_ready", "istiod", "istio-system"): "_x11 1x109",
            },
        ),
        {
            15: {"IstioRevisionWithoutControlPlane": 1},
            120: {"IstioRevisionWithoutControlPlane": 1},
        },
        watched=False,
    ),
    Case(
        "IstioProxyFault",
        "trap",
        "pods of one name: the outage of one cluster hides nothing of the other",
        both(
            {**HEALTHY, diagnosis("web-{1..9}", "envoy_stuck"): "1x120"},
            {
                **HEALTHY,
                info("far-{1..30}", namespace="far"): "1x120",
                diagnosis("web-1", "envoy_stuck"): "1x120",
            },
        ),
        {
            5: {"IstioProxiesFailing": 1},
            120: {"IstioProxiesFailing": 1, "IstioProxyFault": 1},
        },
        watched=False,
    ),
    Case(
        "IstioProxiesFailing",
        "trap",
        "four here and four there are no five",
        both(
            {**HEALTHY, diagnosis("web-{1..4}", "envoy_stuck"): "1x120"},
            {**HEALTHY, diagnosis("web-{1..4}", "envoy_stuck"): "1x120"},
        ),
        {120: {"IstioProxyFault": 8}},
        watched=False,
    ),
    Case(
        "IstioRootCertificateEnding",
        "trap",
        "each mesh has its own root",
        both(
            {
                **HEALTHY,
                of(EXPIRY, "web-1", certificate="root", source="admin"): f"{10 * 86400}x120",
            },
            {
                **HEALTHY,
                of(EXPIRY, "web-1", certificate="root", source="admin"): f"{900 * 86400}x120",
            },
        ),
        {120: {"IstioRootCertificateEnding": 1}},
        watched=False,
    ),
    Case(
        "IstioVersionSkew",
        "trap",
        "versions are compared within a cluster",
        both(
            HEALTHY,
            {
                **EXPORTER,
                istiod("istiod-1", version="1.20.1"): "1x120",
                istiod_ready("istiod-1"): "1x120",
                info("web-1", version="1.20.1"): "1x120",
            },
        ),
        {120: {}},
        watched=False,
    ),
)
