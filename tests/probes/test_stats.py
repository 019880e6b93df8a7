from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import ENVOY_ROLES, Cadence, EnvoyStats, Outcome, Role
from exporter.probes import paths
from exporter.probes.probers import probe
from exporter.probes.stats import read_stats

HEALTHY = b"""\
# TYPE envoy_cluster_manager_cds_update_success counter
envoy_cluster_manager_cds_update_success{} 1
# TYPE envoy_listener_manager_lds_update_success counter
envoy_listener_manager_lds_update_success{} 1
# TYPE envoy_cluster_upstream_cx_active gauge
envoy_cluster_upstream_cx_active{cluster_name="xds-grpc"} 1
# TYPE envoy_listener_manager_total_listeners_active gauge
envoy_listener_manager_total_listeners_active{} 18
envoy_listener_manager_total_listeners_warming{} 0
envoy_listener_manager_workers_started{} 1
# TYPE envoy_server_live gauge
envoy_server_live{} 1
envoy_server_state{} 0
"""
REJECTED = HEALTHY.replace(b"lds_update_success", b"lds_update_rejected").replace(
    b"listeners_warming{} 0",
    b"listeners_warming{} 1\nenvoy_listener_manager_listener_create_failure{} 2",
)


def test_reads_the_detail_page_and_takes_the_unused_for_zero() -> None:
    assert read_stats(HEALTHY, complete=True) == EnvoyStats(
        complete=True,
        live=True,
        state=0,
        workers_started=True,
        listeners_active=18,
        listeners_warming=0,
        listeners_draining=0,
        cds_success=1,
        cds_rejected=0,
        cds_failure=0,
        lds_success=1,
        lds_rejected=0,
        lds_failure=0,
        xds_connections=1,
    )


def test_reads_rejections_warming_and_failures_to_bind() -> None:
    stats = read_stats(REJECTED, complete=True)
    assert (stats.lds_rejected, stats.lds_success) == (1, 0)
    assert (stats.listeners_warming, stats.listener_create_failures) == (1, 2)


@pytest.mark.parametrize(
    ("tag", "version"),
    [("1.28.10", "1.28.10"), ("1.28.3-distroless", "1.28.3"), ("unknown", ""), ("", "")],
)
def test_reads_istios_version_by_envoys_own_report(tag: str, version: str) -> None:
    page = HEALTHY + f'istio_build{{component="proxy",tag="{tag}"}} 1\n'.encode()
    assert read_stats(page, complete=True).build == version


def test_the_fast_page_leaves_out_what_was_not_requested() -> None:
    page = b"envoy_server_live{} 1\nenvoy_server_state{} 0\n"
    assert read_stats(page, complete=False) == EnvoyStats(live=True, state=0)


def test_a_gateways_fast_page_has_its_listeners() -> None:
    servers = EnvoyStats(
        live=True, state=0, listeners_active=18, listeners_warming=0, lds_success=1
    )
    assert read_stats(HEALTHY, complete=False) == servers


@pytest.mark.parametrize("role", [role for role in ENVOY_ROLES if role is not Role.GATEWAY])
async def test_only_a_gateways_fast_page_has_them(
    serve: Any, attempt_at: Any, answer: Any, role: Role
) -> None:
    port = await serve({paths.ENVOY_LIVE.text: answer(200, HEALTHY)})
    assert (await probe(attempt_at(port, 15090, kind="stats", role=role))).outcome is Outcome.OK


@pytest.mark.parametrize("value", [b"NaN", b"x", b"", b"-", b"1e999"])
def test_a_state_that_is_no_number_is_not_known(value: Any) -> None:
    assert read_stats(b"envoy_server_state{} " + value, complete=False).state is None


CASES = {
    "healthy": ((200, HEALTHY), Outcome.OK),
    "nothing used yet": ((200, b""), Outcome.OK),
    "another process": ((200, b"app /stats/prometheus\n", b"BaseHTTP/0.6"), Outcome.WRONG_IDENTITY),
    "another empty process": ((200, b"", b"nginx"), Outcome.WRONG_IDENTITY),
    "forbidden": ((403, b""), Outcome.FORBIDDEN),
    "another process refuses": ((403, b"", b"nginx"), Outcome.WRONG_IDENTITY),
    "not found": ((404, b""), Outcome.HTTP_ERROR),
    "admin is gone": ((503, b"upstream connect error"), Outcome.HTTP_ERROR),
}


@pytest.mark.parametrize(("given", "outcome"), CASES.values(), ids=CASES)
async def test_judges_answers(
    serve: Any, attempt_at: Any, answer: Any, given: Any, outcome: Outcome
) -> None:
    port = await serve({paths.ENVOY_LIVE.text: answer(*given)})
    observed = await probe(attempt_at(port, 15090, kind="stats"))
    assert observed.outcome is outcome
    assert (observed.facts is not None) is (outcome is Outcome.OK)


async def test_asks_for_more_when_details_are_due(serve: Any, attempt_at: Any, answer: Any) -> None:
    port = await serve({paths.ENVOY_STATS.text: answer(200, HEALTHY)})
    observed = await probe(attempt_at(port, 15090, due=Cadence, kind="stats"))
    assert isinstance(observed.facts, EnvoyStats)
    assert observed.facts.complete


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_crash_the_reader(page: Any, complete: Any) -> None:
    read_stats(page, complete=complete)
    read_stats(b"envoy_server_state{} " + page, complete=complete)
