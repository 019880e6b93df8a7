import asyncio
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.bounds import PIECES
from exporter.model import Outcome
from exporter.probes import paths
from exporter.probes.attempt import Attempt, Closed, Malformed, ProbeResult, TooLarge
from exporter.probes.http import HttpClient, HttpProtocol, Reply
from exporter.probes.page_reader import PageReader
from exporter.probes.probers import probe
from exporter.probes.runner import probe_all
from exporter.transport.waiter import Waiter


class Connection:
    def __init__(self) -> None:
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    def abort(self) -> None:
        pass


def http_200(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def line_after(*chunks: bytes, end: Any = False, limit: int = 10_000) -> Waiter[Reply]:
    line = HttpProtocol()
    line.connection_made(Connection())  # type: ignore[arg-type]
    waiter = line.send(b"GET / HTTP/1.1\r\n\r\n", limit)
    for chunk in chunks:
        line.data_received(chunk)
    if end:
        line.connection_lost(None)
    return waiter


ANSWERS = {
    "trailers": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nserver: envoy\r\n\r\n",
        False,
        (200, b""),
    ),
    "by length": (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", False, (200, b"hi")),
    "no body": (b"HTTP/1.1 204 No\r\n\r\n", False, (204, b"")),
    "chunked": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nLIVE\n\r\n0\r\n\r\n",
        False,
        (200, b"LIVE\n"),
    ),
    "continue first": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
        False,
        (200, b"x"),
    ),
    "closing but by length": (
        b"HTTP/1.1 503 X\r\nConnection: close\r\nContent-Length: 1\r\n\r\ny",
        False,
        (503, b"y"),
    ),
    "until the end": (b"HTTP/1.0 200 OK\r\n\r\nall of it", True, (200, b"all of it")),
}


@pytest.mark.parametrize(("data", "end", "expected"), ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("step", [1, 7, 4096])
async def test_answers_are_read_by_their_length(
    data: bytes, end: Any, expected: Any, step: int
) -> None:
    chunks = [data[at : at + step] for at in range(0, len(data), step)]
    reply = line_after(*chunks, end=end).result()
    assert (reply.status, reply.body) == expected


BROKEN = {
    "not http": (b"\x15\x03\x01\x00\x02\x02\x50", False, Malformed),
    "banner": (b"220 mail ready\r\n", False, Malformed),
    "upgrade": (b"HTTP/1.1 101 X\r\nUpgrade: y\r\nConnection: upgrade\r\n\r\n", False, Malformed),
    "bad length": (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", False, Malformed),
    "cut short": (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi", True, Closed),
    "cut in the head": (b"HTTP/1.1 200 OK\r\ncontent-le", True, Closed),
    "nothing": (b"", True, Closed),
    "too large": (b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n" + b"x" * 20000, 0, TooLarge),
}


@pytest.mark.parametrize(("data", "end", "error"), BROKEN.values(), ids=BROKEN)
async def test_broken_answers_raise_what_is_wrong(data: bytes, end: Any, error: Any) -> None:
    waiter = line_after(*([data] if data else []), end=bool(end))
    with pytest.raises(error):
        waiter.result()


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=6), st.booleans())
def test_no_bytes_crash_the_client(chunks: list[bytes], end: Any) -> None:
    async def feed() -> None:
        waiter = line_after(*chunks, end=end)
        with suppress(Closed, Malformed, TooLarge):
            assert not waiter.done() or waiter.result()

    asyncio.run(feed())


@given(st.binary(max_size=300))
def test_no_bytes_after_a_status_line_crash_the_client(data: bytes) -> None:
    async def feed() -> None:
        waiter = line_after(b"HTTP/1.1 200 OK\r\n" + data, end=True)
        assert waiter.done()

    asyncio.run(feed())


async def test_one_probe_sends_its_requests_on_one_connection(
    listen: Any, attempt_at: Any, answer: Any
) -> None:
    connections = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(200, b"x"))

    client = HttpClient(attempt_at(await listen(talk)))
    for path in (paths.READY, paths.VERSION, paths.METRICS):
        assert (await client.get(path)).body == b"x"
    assert len(connections) == 1


async def test_a_closed_connection_is_made_again(serve: Any, attempt_at: Any, answer: Any) -> None:
    asked = []
    port = await serve({"/ready": answer(200, b"a", b"s", b"Connection: close")}, asked)
    client = HttpClient(attempt_at(port))
    await client.get(paths.READY)
    await client.get(paths.READY)
    assert len(asked) == 2


async def test_requests_have_a_user_agent_and_do_not_close(serve: Any, attempt_at: Any) -> None:
    asked = []
    port = await serve({}, asked)
    await HttpClient(attempt_at(port)).get(paths.AGENT_PAGE)
    head = asked[0].lower()
    assert b"user-agent: istio-port-exporter/" in head
    assert f"host: 127.0.0.1:{port}\r\n".encode() in head
    assert b"x-prometheus-scrape-timeout-seconds: 8\r\n" in head
    assert b"connection:" not in head
    assert b"accept-encoding" not in head


async def test_a_path_that_is_no_path_of_the_table_is_not_sent(serve: Any, attempt_at: Any) -> None:
    asked = []
    port = await serve({}, asked)
    with pytest.raises(TypeError):
        await HttpClient(attempt_at(port)).get("/quitquitquit")  # type: ignore[arg-type]
    assert asked == []


CAPTURED = {
    "readiness": Outcome.CAPTURED,
    "stats": Outcome.CAPTURED,
    "agent": Outcome.CAPTURED,
    "http": Outcome.CAPTURED,
}


@pytest.mark.parametrize(("name", "outcome"), CAPTURED.items(), ids=CAPTURED)
async def test_the_redirections_own_answer_proves_nothing(
    listen: Any, attempt_at: Any, answer: Any, name: str, outcome: Outcome
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(503, b"upstream connect error", b"istio-envoy"))

    port = await listen(talk)
    assert (await probe(attempt_at(port, captured=True, path="/", kind=name))).outcome is outcome


LIMITS = {
    "a status": ("readiness", (paths.HEALTHZ_READY, b""), Outcome.TOO_LARGE),
    "a version": ("istiod", (paths.VERSION, b""), Outcome.TOO_LARGE),
    "two samples": ("stats", (paths.ENVOY_LIVE, b"envoy_x 1\n"), Outcome.TOO_LARGE),
    "a whole page": ("metrics", (paths.METRICS, b"envoy_x 1\n"), Outcome.OK),
}


@pytest.mark.parametrize(("name", "page", "outcome"), LIMITS.values(), ids=LIMITS)
async def test_short_answers_are_not_read_for_long(
    serve: Any, attempt_at: Any, answer: Any, name: str, page: Any, outcome: Outcome
) -> None:
    path, start = page
    port = await serve({path.text: answer(200, start + b"x" * 100_000)})
    observed = await probe(attempt_at(port, path="/metrics", kind=name))
    assert observed.outcome is outcome
    assert observed.detail == ("" if outcome is Outcome.OK else "more than 65536 bytes")


@pytest.mark.parametrize(
    "head",
    [b"Server: " + b"x" * 2**20, b"X: y\r\n" * 2**18],
    ids=["one long", "many"],
)
async def test_headers_have_a_limit_where_the_page_has_none_to_speak_of(
    listen: Any, attempt_at: Any, head: bytes
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head)

    with pytest.raises(TooLarge):
        await HttpClient(attempt_at(await listen(talk))).get(paths.METRICS)


def test_a_page_in_pieces_of_two_bytes_takes_no_more_memory_than_the_page() -> None:
    line = HttpProtocol()
    line.connection_made(Connection())  # type: ignore[arg-type]
    waiter = line.send(b"", 2**20)
    line.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    tracemalloc.start()
    for _ in range(600):
        line.data_received(b"2\r\nxx\r\n" * 100)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    line.data_received(b"0\r\n\r\n")
    assert len(waiter.result().body) == 120_000
    assert held < 240_000


TINY = {
    "bytes": (b"", b"1\r\na\r\n"),
    "lines": (b"", b"1\r\n\n\r\n"),
    "trailers": (b"0\r\n", b"a:\r\n"),
}
"""What follows the headers, and what comes without end then."""


@pytest.mark.parametrize("path", [paths.METRICS, paths.ROOT, paths.SYNCZ], ids=lambda one: one.text)
@pytest.mark.parametrize(("start", "chunk"), TINY.values(), ids=TINY)
async def test_no_page_comes_in_tiny_pieces_without_end(
    start: bytes, chunk: bytes, path: paths.Path
) -> None:
    line = HttpProtocol()
    line.connection_made(Connection())  # type: ignore[arg-type]
    waiter = line.send(b"", path.most, None if path.kept else PageReader((b"pilot_xds",)))
    line.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + start)
    sent = 0
    while not waiter.done():
        line.data_received(chunk * 5000)
        sent += 5000
        assert sent < 2 * PIECES, "each takes a microsecond of all others' time"
    with pytest.raises(TooLarge):
        waiter.result()


def test_a_long_page_in_the_chunks_of_go_is_read() -> None:
    line = HttpProtocol()
    line.connection_made(Connection())  # type: ignore[arg-type]
    waiter = line.send(b"", paths.METRICS.most, PageReader())
    line.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"800\r\n" + b"x" * 2048 + b"\r\n"
    for _ in range(paths.METRICS.most // len(chunk) - 1):
        for at in range(0, len(chunk), 1400):
            line.data_received(chunk[at : at + 1400])
    line.data_received(b"0\r\n\r\n")
    assert waiter.result().status == 200


@pytest.mark.parametrize("behind", [http_200(b"EVIL"), b"garbage"], ids=["an answer", "garbage"])
async def test_what_stands_behind_an_answer_is_no_answer_to_the_next(
    listen: Any, attempt_at: Any, behind: bytes
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        extra = behind
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(http_200(b"real") + extra)
            extra = b""

    async def prober(asked: Attempt) -> ProbeResult:
        client = HttpClient(asked)
        replies = [await client.get(paths.ROOT) for _ in range(2)]
        return ProbeResult(Outcome.OK, b" ".join(reply.body for reply in replies).decode())

    (seen,) = await probe_all([(prober, attempt_at(await listen(talk)))])
    assert (seen.outcome, seen.detail) == (Outcome.OK, "real real")
