"""istiod's 15014: its version, at the detail cadence its metrics, and syncz with a token.

Only named families are read from the metrics page. `/debug/*` needs a token of audience
`istio-ca` (Istio pilot/pkg/xds/debug.go); from inside the pod it is open to loopback.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec
from msgspec.structs import replace

from exporter.bounds import LABEL_VALUE, PROXIES, SENTENCE, SYNCZ_ROW, TENANT_TEXT, cut_text
from exporter.model import (
    Cadence,
    IstiodFacts,
    Outcome,
    ProxyListing,
    SyncStatus,
    View,
    XdsResource,
)
from exporter.probes import paths
from exporter.probes.attempt import Attempt, ProbeResult, failure
from exporter.probes.http import HttpClient, result_of_error_status
from exporter.probes.mesh_trust import authorize, may_be_authorized
from exporter.probes.metrics_text import by_label, total
from exporter.probes.page_reader import KEPT_BYTES, PageReader
from exporter.turn import current_turn

_SHORT = {
    "type.googleapis.com/envoy.config.cluster.v3.Cluster": "cds",
    "type.googleapis.com/envoy.config.listener.v3.Listener": "lds",
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration": "rds",
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment": "eds",
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret": "sds",
}

_TYPES = frozenset(
    ("cds", "lds", "rds", "eds", "sds", "nds", "ecds", "pcds", "bds", "wds", "wrds", "wads")
)
"""What istiod counts rejects by (Istio pilot/pkg/xds/v3/model.go, GetMetricType)."""

_IN_STEP = XdsResource(synced=True)
"""One for all: nearly every resource of nearly every proxy is in step."""

_FAMILIES = (b"pilot_xds", b"pilot_total_xds_rejects", b"istio_build")
"""What is read of its metrics; a large mesh's page is long."""

_VERSION = re.compile(r"[0-9A-Za-z.+_-]{1,128}")
"""Version, revision and status; with two whole hashes a development build has about 100."""


_DEPTH = 6
"""How deeply a row is nested at most; recorded: 3."""


def _nested(depth: int) -> bytes:
    """The pattern of one part of a JSON object that stands between its braces."""
    plain = rb'[^{}"]++|"(?:[^"\\]++|\\.)*+"'
    return rb"(?:%s|\{%s*+\})" % (plain, _nested(depth - 1)) if depth else rb"(?:%s)" % plain


class _Resource(msgspec.Struct):
    sent: str = ""
    acked: str = ""
    last_error: str = msgspec.field(default="", name="lastError")


class _Entry(msgspec.Struct):
    """One row of syncz; the flat fields are those of Istio before 1.24."""

    proxy: str = ""
    cluster_id: str = ""
    istio_version: str = ""
    cluster_sent: str = ""
    cluster_acked: str = ""
    listener_sent: str = ""
    listener_acked: str = ""
    route_sent: str = ""
    route_acked: str = ""
    endpoint_sent: str = ""
    endpoint_acked: str = ""
    resources: dict[str, _Resource] | None = None


_NONE = b"null"
"""The whole page of an istiod without proxies."""

_FIRST = re.compile(rb"\s*\[")
_ROW = re.compile(rb"[\s,]*+(\{%s*+\})" % _nested(_DEPTH))
_LAST = re.compile(rb"\s*\]\s*")
_ENTRY = msgspec.json.Decoder(_Entry)
_SYNCZ_SECONDS = 10.0
"""istiod makes the page anew each time; with thousands of proxies that takes a while."""


async def probe_istiod(attempt: Attempt) -> ProbeResult:
    """Request the version, then what else is due."""
    client = HttpClient(attempt)
    reply = await client.get(paths.VERSION)
    refused = result_of_error_status(reply, attempt)
    if refused is not None:
        return refused
    if reply.status != 200:  # noqa: PLR2004
        return ProbeResult(Outcome.HTTP_ERROR, f"HTTP {reply.status}")
    version = reply.body.decode(errors="replace").strip()
    if not _VERSION.fullmatch(version):
        return ProbeResult(Outcome.WRONG_IDENTITY, "the answer is not a version")
    facts = IstiodFacts(version=version)
    if Cadence.DETAIL in attempt.due:
        attempt.settle()
        facts = await _with_metrics(facts, client, attempt)
        facts = await _with_syncz(facts, client, attempt)
    return ProbeResult(Outcome.OK, facts=facts)


async def _with_metrics(facts: IstiodFacts, client: HttpClient, attempt: Attempt) -> IstiodFacts:
    attempt.allow(attempt.timeout)
    try:
        reply = await client.get(paths.METRICS, reader=PageReader(_FAMILIES))
    except Exception:  # noqa: BLE001 - the version was the proof; the page is extra
        return facts
    return read_metrics(reply.body, facts) if reply.status == 200 else facts  # noqa: PLR2004


def read_metrics(page: bytes, facts: IstiodFacts) -> IstiodFacts:
    """The facts, with what a metrics page adds (any bytes)."""
    pushes = by_label(page, b"pilot_xds_pushes", b"type")
    builds = by_label(page, b"istio_build", b"tag")
    return replace(
        facts,
        connected_proxies=total(page, b"pilot_xds"),
        xds_rejects=by_label(page, b"pilot_total_xds_rejects", b"type", _TYPES),
        push_errors=sum(count for kind, count in pushes.items() if kind.endswith("_senderr")),
        build=next(filter(_VERSION.fullmatch, builds), ""),
    )


async def _with_syncz(facts: IstiodFacts, client: HttpClient, attempt: Attempt) -> IstiodFacts:
    """The facts with syncz: over the network with the token, which a pod's loopback never requires.

    Of an istiod that counts for nothing only the page's start is kept, and no row: anybody may make
    pods that list thousands.

    Source: Istio pilot/pkg/xds/debug.go, allowAuthenticatedOrLocalhost.
    """
    is_remote = attempt.probe.view is View.NETWORK
    if is_remote and not may_be_authorized(attempt):
        return facts
    attempt.allow(max(attempt.timeout, _SYNCZ_SECONDS))
    try:
        authorization = await authorize(attempt) if is_remote else b""
        if is_remote and not authorization:
            return facts
        counts = attempt.target.trusted
        reply = await client.get(paths.SYNCZ, authorization, None if counts else _StartReader())
    except Exception as error:  # noqa: BLE001 - the version was the proof; syncz is extra
        return replace(facts, syncz_outcome=failure(error, attempt).outcome)
    match reply.status:
        case 200:
            rows = await read_syncz(reply.body) if counts else _nobody_of(reply.body)
            outcome = Outcome.WRONG_PROTOCOL if rows is None else Outcome.OK
        case 401 | 403:
            rows, outcome = None, Outcome.FORBIDDEN
        case _:
            rows, outcome = None, Outcome.HTTP_ERROR
    return replace(facts, syncz=rows, syncz_outcome=outcome, syncz_status=reply.status)


async def read_syncz(body: bytes) -> ProxyListing | None:
    """The rows of a syncz answer (any bytes), others in between; None where it is none."""
    rows = []
    turn = current_turn()
    try:
        for row in _rows(body):
            rows.append(row)
            await turn.maybe_yield()
    except _NO_SYNCZ:
        return None
    return tuple(rows)


class _StartReader(PageReader):
    """Keeps the first bytes of a page whose lines may be of any length."""

    __slots__ = ()

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the page."""
        self._start += data[: max(0, KEPT_BYTES - len(self._start))]


def _nobody_of(start: bytes) -> ProxyListing | None:
    """No row of a syncz answer, by its start; None where it is none."""
    return () if _FIRST.match(start) or start.strip() == _NONE else None


_NO_SYNCZ = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def _rows(body: bytes) -> Iterator[SyncStatus]:
    """Row by row: to decode a page of 64 MB at once would hold the event loop."""
    for raw in _documents(body):
        entry = _ENTRY.decode(raw)
        yield SyncStatus(
            proxy=cut_text(entry.proxy, SENTENCE),
            cluster_id=cut_text(entry.cluster_id, TENANT_TEXT),
            version=cut_text(entry.istio_version, TENANT_TEXT),
            resources=_resources(entry),
        )


def _documents(body: bytes) -> Iterator[bytes]:
    if body[:SYNCZ_ROW].strip() == _NONE:
        return
    first = _FIRST.match(body, 0, SYNCZ_ROW)
    at = first.end() if first else 0
    for _ in range(PROXIES if first else 0):
        row = _ROW.match(body, at, at + SYNCZ_ROW)
        if row is None:
            break
        at = row.end()
        yield row[1]
    last = _LAST.match(body, at, at + SYNCZ_ROW) if first else None
    if last is None or last.end() < len(body):
        raise msgspec.DecodeError("no list of proxies")


def _resources(entry: _Entry) -> Mapping[str, XdsResource]:
    if entry.resources is None:
        flat = {
            "cds": _Resource(entry.cluster_sent, entry.cluster_acked),
            "lds": _Resource(entry.listener_sent, entry.listener_acked),
            "rds": _Resource(entry.route_sent, entry.route_acked),
            "eds": _Resource(entry.endpoint_sent, entry.endpoint_acked),
        }
        return {name: _resource(row) for name, row in flat.items() if row.sent}
    return {_SHORT[url]: _resource(row) for url, row in entry.resources.items() if url in _SHORT}


def _resource(row: _Resource) -> XdsResource:
    if row.sent and row.sent == row.acked and not row.last_error:
        return _IN_STEP
    return XdsResource(
        synced=False,
        error=cut_text(row.last_error, SENTENCE),
        behind="" if row.sent == row.acked else cut_text(row.acked, LABEL_VALUE),
    )
