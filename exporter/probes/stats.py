"""15090: Envoy's statistics, relayed from its admin port, so an answer proves both.

The fast page has `server.live` and `server.state`, a gateway's also its counts of listeners; the
detail page adds updates and the connection to the agent. Identity: the page has families of
Envoy (`envoy_`).
"""

from functools import lru_cache

from msgspec.structs import replace

from exporter.catalogue import plain_version
from exporter.model import Cadence, EnvoyStats, Outcome, Role
from exporter.probes import paths
from exporter.probes.attempt import Attempt, ProbeResult
from exporter.probes.http import Reply, result_of_error_status
from exporter.probes.metrics_text import by_label, sample
from exporter.probes.single_get import SingleGet

_STATES = (0, 1, 2, 3)
_LISTENERS = b"envoy_listener_manager_"
_LDS, _CDS = _LISTENERS + b"lds_update_", b"envoy_cluster_manager_cds_update_"


def _due_page(attempt: Attempt) -> paths.Path:
    if Cadence.DETAIL in attempt.due:
        return paths.ENVOY_STATS
    return paths.ENVOY_SERVERS if attempt.target.role is Role.GATEWAY else paths.ENVOY_LIVE


def _judge(reply: Reply, attempt: Attempt) -> ProbeResult:
    complete = Cadence.DETAIL in attempt.due
    refused = result_of_error_status(reply, attempt, of_envoy=True)
    return refused or judge_stats(reply, complete=complete)


probe_stats = SingleGet(_due_page, _judge)
"""The page of the statistics port that is due."""


def judge_stats(reply: Reply, *, complete: bool) -> ProbeResult:
    """What an answer of the statistics port means."""
    if reply.status != 200:  # noqa: PLR2004
        return ProbeResult(Outcome.HTTP_ERROR, f"HTTP {reply.status}")
    named = b"envoy_" in reply.body
    if not named and (reply.body.strip() or reply.server != b"envoy"):
        return ProbeResult(Outcome.WRONG_IDENTITY, "the page has no family of Envoy")
    facts = read_stats(reply.body, complete=True) if complete else _read_fast(reply.body)
    return ProbeResult(Outcome.OK, facts=facts)


@lru_cache(maxsize=64)
def _read_fast(page: bytes) -> EnvoyStats:
    """Of a page that most proxies return alike: a gateway's differs by its counts of listeners."""
    return read_stats(page, complete=False)


def read_stats(page: bytes, *, complete: bool) -> EnvoyStats:
    """The facts of a page in Prometheus text (any bytes).

    `usedonly` leaves out what was never counted: where any counter of listeners is there, one that
    is absent is 0.
    """
    live, state = sample(page, b"envoy_server_live"), sample(page, b"envoy_server_state")
    fast = EnvoyStats(
        live=None if live is None else live > 0,
        state=int(state) if state in _STATES else None,
    )
    has_listeners = _LISTENERS in page
    zero = 0.0 if has_listeners else None
    if has_listeners or complete:
        fast = replace(
            fast,
            listeners_active=sample(page, _LISTENERS + b"total_listeners_active", zero),
            listeners_warming=sample(page, _LISTENERS + b"total_listeners_warming", zero),
            lds_success=sample(page, _LDS + b"success", zero),
        )
    return _with_details(page, fast, zero) if complete else fast


def _with_details(page: bytes, fast: EnvoyStats, zero: float | None) -> EnvoyStats:
    started = sample(page, _LISTENERS + b"workers_started")
    connections = by_label(page, b"envoy_cluster_upstream_cx_active", b"cluster_name")
    return replace(
        fast,
        complete=True,
        workers_started=None if started is None else started > 0,
        listeners_draining=sample(page, _LISTENERS + b"total_listeners_draining", zero),
        listener_create_failures=sample(page, _LISTENERS + b"listener_create_failure") or 0.0,
        cds_success=sample(page, _CDS + b"success", zero),
        cds_rejected=sample(page, _CDS + b"rejected", zero),
        cds_failure=sample(page, _CDS + b"failure", zero),
        lds_rejected=sample(page, _LDS + b"rejected", zero),
        lds_failure=sample(page, _LDS + b"failure", zero),
        xds_connections=connections.get("xds-grpc"),
        build=next(filter(None, map(plain_version, by_label(page, b"istio_build", b"tag"))), ""),
    )
