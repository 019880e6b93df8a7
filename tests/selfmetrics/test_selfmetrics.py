"""What the exporter says about itself."""

import subprocess
from collections.abc import Callable

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.model import Observation, Outcome, Probe, ProbeKind, Role, View
from exporter.selfmetrics.collectors import MAX_PROBE_SERIES, PROBE_BUCKETS
from exporter.selfmetrics.registry import SelfMetrics

OWN = "istio_port_exporter_"


def samples(metrics: SelfMetrics, prefix: str = OWN) -> dict[tuple[str, ...], float]:
    """Values by name (without the prefix) and label values."""
    return {
        (sample.name.removeprefix(prefix), *sample.labels.values()): sample.value
        for family in parse_text(metrics.expose(openmetrics=False).decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("happen", "expected"),
    [
        pytest.param(lambda m: m.poll_skipped(), {("polls_skipped_total",): 1}, id="skipped"),
        pytest.param(
            lambda m: (m.probes_under_way(9), m.probes_under_way(-2)),
            {("probes_in_flight",): 7},
            id="in-flight",
        ),
        pytest.param(
            lambda m: m.exposed(1000, 0.5),
            {("exposition_bytes",): 1000, ("exposition_duration_seconds",): 0.5},
            id="exposed",
        ),
        pytest.param(
            lambda m: m.found_capable("loopback", able=False),
            {("capability", "loopback"): 0},
            id="not-capable",
        ),
        pytest.param(
            lambda m: m.placed(in_mesh=True, ordinal=2, total=5),
            {("in_mesh",): 1, ("shard_ordinal",): 2, ("total_shards",): 5},
            id="placed",
        ),
        pytest.param(
            lambda m: (
                m.reloaded(successful=True, now=50.0),
                m.reloaded(successful=False, now=90.0),
            ),
            {
                ("config_last_reload_successful",): 0,
                ("config_last_reload_success_timestamp_seconds",): 50,
            },
            id="bad-reload-keeps-the-time-of-the-good-one",
        ),
        pytest.param(
            lambda m: m.counted_targets({"sidecar": 3}, 1, 2, outdated=True),
            {("targets", "sidecar"): 3, ("targets_ignored",): 1, ("ports_ignored",): 2},
            id="targets",
        ),
        pytest.param(
            lambda m: (m.synced("pods", complete=True), m.synced("pods", complete=False)),
            {("discovery_synced", "pods"): 0},
            id="watch-broke",
        ),
        pytest.param(
            lambda m: m.relisted("pods"), {("discovery_relists_total", "pods"): 1}, id="relisted"
        ),
        pytest.param(
            lambda m: m.refused_object("pods"), {("objects_refused_total", "pods"): 1}, id="refused"
        ),
        pytest.param(
            lambda m: m.read_file("t.yaml", readable=False),
            {("discovery_file_up", "t.yaml"): 0},
            id="unreadable-file",
        ),
    ],
)
def test_what_happened_is_told(
    happen: Callable[[SelfMetrics], object], expected: dict[tuple[str, ...], float]
) -> None:
    metrics = SelfMetrics("1.0")
    happen(metrics)

    assert expected.items() <= samples(metrics).items()


def test_requests_to_kubernetes_are_counted_by_how_they_ended() -> None:
    metrics = SelfMetrics("1.0")
    for code in ("200", "200", "error"):
        metrics.asked_kubernetes("list", "pods", code)
    text = metrics.expose(openmetrics=False).decode()

    assert f'{OWN}kubernetes_requests_total{{code="200",resource="pods",verb="list"}} 2.0' in text
    assert f'{OWN}kubernetes_requests_total{{code="error",resource="pods",verb="list"}} 1.0' in text


def test_roles_and_files_that_are_gone_have_no_sample() -> None:
    metrics = SelfMetrics("1.0")
    metrics.counted_targets({"sidecar": 3, "istiod": 1}, 0, 0, outdated=False)
    metrics.counted_targets({"istiod": 1}, 0, 0, outdated=False)
    metrics.read_file("old.yaml", readable=True)
    metrics.forgot_files()
    told = samples(metrics)

    assert ("targets", "sidecar") not in told
    assert ("discovery_file_up", "old.yaml") not in told
    assert told["targets", "istiod"] == 1


def probed(port: int, seconds: float = 0.01) -> Observation:
    return Observation(Probe(port, ProbeKind.AGENT, View.NETWORK), Outcome.OK, seconds)


def test_probes_are_counted_in_buckets_by_port_and_role() -> None:
    metrics = SelfMetrics("1.0")
    times = (0.001, PROBE_BUCKETS[0], 0.2, 60.0)
    metrics.probed([probed(15020, seconds) for seconds in times], Role.SIDECAR)
    metrics.probed([probed(15020, 1.0)], Role.GATEWAY)
    told = samples(metrics)

    def bucket(bound: str) -> float:
        return next(
            value
            for name, value in told.items()
            if name[0] == "probe_duration_seconds_bucket" and {bound, "sidecar"} <= set(name)
        )

    assert [bucket(bound) for bound in ("0.005", "0.05", "0.5", "2.0", "+Inf")] == [2, 2, 3, 3, 4]
    assert told["probe_duration_seconds_sum", "15020", "sidecar"] == pytest.approx(60.206)
    assert told["probe_duration_seconds_count", "15020", "gateway"] == 1
    assert told["probes_total",] == 5


def test_ports_without_number_share_one_histogram() -> None:
    metrics = SelfMetrics("1.0")
    metrics.probed([probed(port) for port in range(MAX_PROBE_SERIES + 10)], Role.GATEWAY)
    told = samples(metrics)

    assert told["probe_duration_seconds_count", "other", "gateway"] == 10
    assert told["probes_total",] == MAX_PROBE_SERIES + 10


def test_late_polls_and_a_held_loop_are_counted() -> None:
    metrics = SelfMetrics("1.0")
    metrics.poll_started(0.05)
    metrics.poll_started(3.0)
    metrics.lagged(0.03)
    told = samples(metrics)

    assert told["polls_total",] == 2
    assert told["poll_lateness_seconds_bucket", "1.0"] == 1
    assert told["event_loop_lag_seconds_bucket", "0.02"] == 0
    assert told["event_loop_lag_seconds_bucket", "0.05"] == 1


def test_two_exporters_in_one_process_do_not_share_metrics() -> None:
    one, other = SelfMetrics("1.0"), SelfMetrics("2.0")
    one.poll_skipped()

    assert samples(other)["polls_skipped_total",] == 0


@pytest.mark.parametrize("name", [f"{OWN}polls_total", f"{OWN}polls"])
def test_a_choice_of_names_leaves_the_rest_out(name: str) -> None:
    page = SelfMetrics("1.0").expose(openmetrics=False, names=frozenset({name})).decode()

    assert [line.split()[0] for line in page.splitlines() if line[0] != "#"] == [
        f"{OWN}polls_total"
    ]


def test_openmetrics_is_readable_and_ends_where_the_caller_ends_it(full: SelfMetrics) -> None:
    page = full.expose(openmetrics=True).decode()

    assert "# EOF" not in page
    assert f"{OWN}polls" in {family.name for family in parse_openmetrics(page + "# EOF\n")}


@pytest.mark.parametrize("openmetrics", [False, True])
def test_there_are_no_created_series(full: SelfMetrics, openmetrics: bool) -> None:
    assert b"_created" not in full.expose(openmetrics)


def test_promtool_has_nothing_to_object(full: SelfMetrics) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=full.expose(openmetrics=False),
        capture_output=True,
        check=False,
    )

    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)


def test_every_family_is_about_the_exporter_its_process_or_python(full: SelfMetrics) -> None:
    names = {family.name for family in parse_text(full.expose(openmetrics=False).decode())}

    assert {name for name in names if not name.startswith((OWN, "process_", "python_"))} == set()


@pytest.fixture
def full() -> SelfMetrics:
    """Metrics of which every family has a sample."""
    metrics = SelfMetrics("1.0")
    metrics.probed([probed(15020)], Role.SIDECAR)
    metrics.poll_started(0.1)
    metrics.lagged(0.01)
    metrics.found_capable("loopback", able=True)
    metrics.counted_targets({"sidecar": 1}, 0, 0, outdated=False)
    metrics.synced("pods", complete=True)
    metrics.relisted("pods")
    metrics.asked_kubernetes("list", "pods", "200")
    metrics.read_file("t.yaml", readable=True)
    return metrics
