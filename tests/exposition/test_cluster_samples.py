"""What is exposed of the mesh as a whole: beside the targets, in every profile, unless disabled."""

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.exposition import PROFILES, assemble, render_cluster, selected
from exporter.model import ClusterRecord, Outcome, WebhookPath

AMBIENT = "istio_proxy_ambient_pods"
MISSING = "istio_proxy_missing_pods"
UP = "istio_control_plane_webhook_path_up"
OUTCOME = "istio_control_plane_webhook_path_outcome"

FAILED = WebhookPath(up=False, outcome=Outcome.TIMEOUT, detail="late", revision="canary")
UNJUDGED = WebhookPath(up=None, outcome=Outcome.NO_ACCESS, detail="403")
RECORD = ClusterRecord(
    ambient_pods={("a", "n1", "enabled"): 3},
    missing_proxies={("a", "namespace"): 2},
    webhook_path=FAILED,
)
ALL = {AMBIENT, MISSING, UP, OUTCOME}

Samples = dict[tuple[str, ...], float]


def samples(
    record: ClusterRecord, profile: str = "full", disabled: tuple[str, ...] = ()
) -> Samples:
    """Values by family and label values in the order of the labels' names."""
    families = selected(profile, disabled)
    blocks = [render_cluster(record, families)]
    text = b"".join(assemble(families, blocks, openmetrics=False)).decode()
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


WEBHOOK_PATHS: dict[str, tuple[WebhookPath | None, Samples]] = {
    "no-dry-run": (None, {}),
    "reached": (WebhookPath(up=True, outcome=Outcome.OK, detail=""), {(UP, ""): 1}),
    "failed": (FAILED, {(UP, "canary"): 0, (OUTCOME, "timeout", "canary"): 1}),
    "unjudged": (UNJUDGED, {(OUTCOME, "no_access", ""): 1}),
}


@pytest.mark.parametrize(("path", "expected"), WEBHOOK_PATHS.values(), ids=WEBHOOK_PATHS)
def test_the_path_to_the_webhook_is_exposed_as_far_as_the_dry_run_shows_it(
    path: WebhookPath | None, expected: Samples
) -> None:
    assert samples(ClusterRecord(webhook_path=path)) == expected


def test_ambient_pods_are_counted_by_namespace_node_and_redirection() -> None:
    counts = {("a", "n1", "enabled"): 3, ("a", "n1", "missing"): 1, ('b"', "", "missing"): 2}

    assert samples(ClusterRecord(ambient_pods=counts)) == {
        (AMBIENT, *labels): count for labels, count in counts.items()
    }


def test_missing_proxies_are_counted_by_namespace_and_reason() -> None:
    counts = {("a", "namespace"): 3, ("a", "gateway"): 1, ('b"', "pod"): 2}

    assert samples(ClusterRecord(missing_proxies=counts)) == {
        (MISSING, *labels): count for labels, count in counts.items()
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_the_families_of_the_cluster(profile: str) -> None:
    assert {name for name, *_ in samples(RECORD, profile)} == ALL


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_family_of_the_cluster_can_be_disabled_by_its_name(name: str) -> None:
    assert {found for found, *_ in samples(RECORD, disabled=(name,))} == ALL - {name}
