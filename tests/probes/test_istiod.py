import asyncio
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import exporter.demo
from exporter.bounds import PROXIES, SYNCZ_ROW
from exporter.model import Cadence, IstiodFacts, Outcome, Role, SyncStatus, View, XdsResource
from exporter.probes.istiod import read_metrics, read_syncz
from exporter.probes.probers import probe

RECORDED = Path(exporter.demo.__file__).parent / "states" / "istiod-healthy" / "loopback"
METRICS = b"""\
# TYPE istio_build gauge
istio_build{component="pilot",tag="1.30.0"} 1
pilot_total_xds_rejects{type="lds"} 1
pilot_total_xds_rejects{type="cds"} 2
pilot_xds{version="1.30.0"} 4
pilot_xds{version="1.29.2"} 3
pilot_xds_pushes{type="cds"} 12
pilot_xds_pushes{type="cds_senderr"} 5
pilot_xds_pushes{type="lds_senderr"} 1
"""
FACTS = IstiodFacts(
    version="1.30.0",
    connected_proxies=7,
    xds_rejects={"lds": 1, "cds": 2},
    push_errors=6,
    build="1.30.0",
)
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
SYNCZ = [
    {
        "cluster_id": "Kubernetes",
        "proxy": "cart.shop",
        "proxy_type": "sidecar",
        "istio_version": "1.30.0",
        "resources": {
            CLUSTER: {"sent": "a", "acked": "a", "sentTime": "2026-11-23T07:18:54Z"},
            LISTENER: {"sent": "b", "acked": "a", "lastError": "no such filter"},
            SECRET: {"sentTime": "0001-01-01T00:00:00Z"},
            "type.googleapis.com/other": {"sent": "c"},
        },
    }
]
ROW = SyncStatus(
    proxy="cart.shop",
    cluster_id="Kubernetes",
    version="1.30.0",
    resources={
        "cds": XdsResource(synced=True),
        "lds": XdsResource(synced=False, error="no such filter", behind="a"),
        "sds": XdsResource(synced=False),
    },
)


def test_reads_the_named_families_only() -> None:
    assert read_metrics(METRICS, IstiodFacts(version="1.30.0")) == FACTS


async def test_reads_syncz() -> None:
    assert await read_syncz(json.dumps(SYNCZ).encode()) == (ROW,)


async def test_reads_syncz_of_before_1_24() -> None:
    old = [{"proxy": "a.b", "cluster_sent": "x", "cluster_acked": "y", "route_sent": ""}]
    (row,) = await read_syncz(json.dumps(old).encode()) or ()
    assert row.resources == {"cds": XdsResource(synced=False, behind="y")}


@pytest.mark.parametrize("body", [b"null", b"[]", b" [ ] "])
async def test_an_istiod_without_proxies_lists_none(body: bytes) -> None:
    assert await read_syncz(body) == ()


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b"[1]", b"\xff", b"[" * 100_000])
async def test_what_is_no_syncz_is_none(body: bytes) -> None:
    assert await read_syncz(body) is None


async def test_the_version_is_the_proof(serve: Any, attempt_at: Any, answer: Any) -> None:
    port = await serve({"/version": answer(200, b"1.30.0-abc-Clean\n")})
    observed = await probe(attempt_at(port, 15014, Role.ISTIOD, kind="istiod"))
    assert observed.outcome is Outcome.OK
    assert observed.facts == IstiodFacts(version="1.30.0-abc-Clean")


async def test_details_come_when_due(serve: Any, attempt_at: Any, answer: Any) -> None:
    port = await serve({"/version": answer(200, b"1.30.0"), "/metrics": answer(200, METRICS)})
    observed = await probe(attempt_at(port, 15014, Role.ISTIOD, due=Cadence, kind="istiod"))
    assert observed.facts == FACTS


async def test_the_outcome_stands_when_details_fail(
    serve: Any, attempt_at: Any, answer: Any
) -> None:
    port = await serve({"/version": answer(200, b"1.30.0"), "/metrics": answer(403)})
    observed = await probe(attempt_at(port, 15014, Role.ISTIOD, due=Cadence, kind="istiod"))
    assert (observed.outcome, observed.facts) == (Outcome.OK, IstiodFacts(version="1.30.0"))


NO_VERSIONS = {
    "a page": b"<html>hello</html>",
    "nothing": b"",
    "two words": b"1.30.0 ok",
    "too long": b"1" * 129,
    "not text": b"\xff\xfe",
}


@pytest.mark.parametrize("body", NO_VERSIONS.values(), ids=NO_VERSIONS)
async def test_what_is_no_version_is_not_istiods(
    serve: Any, attempt_at: Any, answer: Any, body: bytes
) -> None:
    port = await serve({"/version": answer(200, body)})
    observed = await probe(attempt_at(port, 15014, Role.ISTIOD, kind="istiod"))
    assert (observed.outcome, observed.facts) == (Outcome.WRONG_IDENTITY, None)


async def test_a_development_builds_version_is_one(
    serve: Any, attempt_at: Any, answer: Any
) -> None:
    version = f"1.30-alpha.{'a' * 40}-{'a' * 40}-Modified"
    port = await serve({"/version": answer(200, version.encode())})
    observed = await probe(attempt_at(port, 15014, Role.ISTIOD, kind="istiod"))
    assert observed.facts == IstiodFacts(version=version)


def test_labels_that_istiod_does_not_have_are_left_out() -> None:
    page = b"""\
pilot_total_xds_rejects{type="ecds"} 1
pilot_total_xds_rejects{type="x1"} 2
istio_build{tag="<b>"} 1
istio_build{tag="1.30.0"} 1
"""
    facts = read_metrics(page, IstiodFacts())
    assert (facts.xds_rejects, facts.build) == ({"ecds": 1}, "1.30.0")


SYNCZ_ANSWERS = {
    "open": ((200, b"[]"), Outcome.OK, ()),
    "no token": ((401, b""), Outcome.FORBIDDEN, None),
    "wrong namespace": ((403, b""), Outcome.FORBIDDEN, None),
    "switched off": ((404, b""), Outcome.HTTP_ERROR, None),
    "not json": ((200, b"hm"), Outcome.WRONG_PROTOCOL, None),
}


@pytest.mark.parametrize(("given", "outcome", "rows"), SYNCZ_ANSWERS.values(), ids=SYNCZ_ANSWERS)
async def test_syncz_has_an_outcome_of_its_own(
    serve: Any, attempt_at: Any, answer: Any, given: Any, outcome: Outcome, rows: Any
) -> None:
    pages = {"/version": answer(200, b"1.30.0"), "/debug/syncz": answer(*given)}
    asked: list[bytes] = []
    port = await serve(pages, asked)
    inside = attempt_at(port, 15014, Role.ISTIOD, due=Cadence, kind="istiod", view=View.POD)
    observed = await probe(inside)
    assert isinstance(observed.facts, IstiodFacts)
    assert observed.facts.syncz_outcome is outcome
    assert observed.facts.syncz_status == given[0]
    assert observed.facts.syncz == rows
    assert not any(b"Authorization" in head for head in asked), "loopback asks for no token"


TRUSTED = {"view": View.POD, "trusted": True}


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("count", [0, 1, 1000])
async def test_of_an_istiod_that_counts_for_nothing_no_row_is_kept(
    serve: Any, attempt_at: Any, answer: Any, count: int, trusted: bool
) -> None:
    """Any tenant's pod may look like istiod, list thousands of proxies, and be one of many."""
    body = json.dumps([{"proxy": f"cart-{number}.shop"} for number in range(count)]).encode()
    port = await serve({"/version": answer(200, b"1.30.0"), "/debug/syncz": answer(200, body)})
    given = {"view": View.POD, "trusted": trusted}
    observed = await probe(
        attempt_at(port, 15014, Role.ISTIOD, due=Cadence, kind="istiod", **given)
    )
    assert isinstance(observed.facts, IstiodFacts)
    assert observed.facts.syncz_outcome is Outcome.OK
    assert observed.facts.syncz is not None
    assert len(observed.facts.syncz) == (count if trusted else 0)


async def test_of_an_istiod_that_counts_for_nothing_no_page_is_held(
    listen: Any, attempt_at: Any
) -> None:
    """Ten pods that each send 64 MB at the same time would be the end of the exporter."""
    piece, count = (b'{"proxy":"%s"},' % (b"a" * 16_369)) * 64, 24

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readuntil(b"\r\n\r\n"):
            is_syncz = b"syncz" in request
            size = (count * len(piece) + 4) if is_syncz else 6
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            if b"/version" in request:
                writer.write(b"1.30.0")
            elif is_syncz:
                writer.write(b"[")
                for _ in range(count):
                    writer.write(piece)
                    await writer.drain()
                writer.write(b"{}]")
            else:
                writer.write(b"a_b 1\n")

    given = {"view": View.POD, "trusted": False}
    attempt = attempt_at(
        await listen(talk), 15014, Role.ISTIOD, due=Cadence, kind="istiod", **given
    )
    tracemalloc.start()
    observed = await probe(attempt)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(observed.facts, IstiodFacts)
    assert (observed.facts.syncz, observed.facts.syncz_outcome) == ((), Outcome.OK)
    assert most < 6 * len(piece), "the sender's buffers are in it"


async def test_the_recorded_syncz_is_read(serve: Any, attempt_at: Any, answer: Any) -> None:
    page = await asyncio.to_thread((RECORDED / "15014_debug_syncz.http").read_bytes)
    port = await serve({"/version": answer(200, b"1.30.0"), "/debug/syncz": page})
    inside = attempt_at(port, 15014, Role.ISTIOD, due=Cadence, kind="istiod", **TRUSTED)
    observed = await probe(inside)
    assert isinstance(observed.facts, IstiodFacts)
    rows = observed.facts.syncz or ()
    assert [row.proxy for row in rows] == ["cart.shop", "tlsgw.shop", "webgw.shop"]
    assert {row.cluster_id for row in rows} == {"Kubernetes"}
    late = {(row.proxy, n) for row in rows for n, one in row.resources.items() if not one.synced}
    assert late == {("tlsgw.shop", "sds")}, "a gateway whose secret is missing"


async def test_thousands_of_proxies_are_read_without_holding_the_loop(
    serve: Any, attempt_at: Any, answer: Any
) -> None:
    url, count = LISTENER, 6000
    nonce = {"sent": "n" * 60, "acked": "n" * 60, "sentTime": "2026-11-23T07:18:54Z"}
    types = {url: nonce, CLUSTER: nonce, **{f"type.googleapis.com/{n}": nonce for n in range(7)}}
    rows = [{"proxy": f"cart-{n}.shop", "resources": types} for n in range(count)]
    body = json.dumps(rows).encode()
    assert len(body) > 8 * 1024 * 1024, "more than other pages may have"
    port = await serve({"/version": answer(200, b"1.30.0"), "/debug/syncz": answer(200, body)})
    inside = attempt_at(port, 15014, Role.ISTIOD, due=Cadence, kind="istiod", **TRUSTED)
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    observed = await probe(inside)
    other.cancel()
    assert isinstance(observed.facts, IstiodFacts)
    assert observed.facts.syncz_outcome is Outcome.OK
    assert len(observed.facts.syncz or ()) == count
    assert turns > 10


async def test_syncz_is_not_requested_without_a_token(
    serve: Any, attempt_at: Any, answer: Any
) -> None:
    asked: list[bytes] = []
    port = await serve({"/version": answer(200, b"1.30.0")}, asked)
    await probe(attempt_at(port, 15014, Role.ISTIOD, due=Cadence, kind="istiod"))
    assert not any(b"/debug" in head for head in asked)


async def test_a_forbidden_version_is_forbidden(serve: Any, attempt_at: Any, answer: Any) -> None:
    port = await serve({"/version": answer(403)})
    assert (
        await probe(attempt_at(port, 15014, Role.ISTIOD, kind="istiod"))
    ).outcome is Outcome.FORBIDDEN


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_readers(body: bytes) -> None:
    read_metrics(body, IstiodFacts())
    asyncio.run(read_syncz(body))
    asyncio.run(read_syncz(b'[{"resources":' + body))


@pytest.mark.parametrize(
    "page",
    [
        b"[{}]x",
        b"[{}",
        b"{}",
        b"[" + b'{"proxy":"a"},' * (PROXIES + 1) + b"{}]",
        b'[{"proxy":"' + b"x" * SYNCZ_ROW + b'"}]',
        b"[" + b'{"proxy":"aaaaaaaaaaaaaaaaa"},' * (PROXIES + 1) + b"{}]",
        b"[" + b'{"proxy":"a"},' * 80_000 + b"{}",
    ],
    ids=["more", "less", "no list", "too many", "a long row", "too many and long", "long and less"],
)
async def test_a_listing_that_is_none_or_too_large_counts_for_nothing(page: bytes) -> None:
    assert await read_syncz(page) is None


async def test_a_listing_may_be_indented_and_have_braces_in_its_texts() -> None:
    rows = [{"proxy": f'a{{{number}}}\\"', "resources": None} for number in range(3)]
    found = await read_syncz(json.dumps(rows, indent=2).encode())
    assert found is not None
    assert [row.proxy for row in found] == [row["proxy"] for row in rows]
    assert await read_syncz(b" null ") == ()
