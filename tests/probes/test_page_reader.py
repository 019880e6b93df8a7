import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Cadence, Role
from exporter.probes import paths
from exporter.probes.attempt import TooLarge
from exporter.probes.http import HttpClient
from exporter.probes.metrics_text import by_label, sample
from exporter.probes.page_reader import KEPT_BYTES, PageReader

NAMES = (b"count", b"ended_total")
LINES = st.sampled_from(
    [
        b"count 1",
        b'count{a="b"} 2',
        b"other 3",
        b'ended_total{r="x"} 4',
        b"# HELP count x",
        b"",
        b"x",
    ]
)


def in_pieces(page: bytes, size: int) -> list[bytes]:
    return [page[at : at + size] for at in range(0, len(page), size)]


def read(pieces: Sequence[bytes], *names: bytes, first: int = KEPT_BYTES) -> PageReader:
    reader = PageReader(names, first=first)
    for piece in pieces:
        reader.feed(piece)
    return reader


@given(st.lists(LINES, max_size=30), st.integers(1, 40), st.integers(0, 60), st.booleans())
def test_it_keeps_the_first_lines_and_every_named_line(
    lines: list[bytes], size: int, first: int, ended: Any
) -> None:
    page = b"\n".join(lines) + (b"\n" if ended else b"")
    reader = read(in_pieces(page, size), *NAMES, first=first)
    whole = page if len(page) <= first else page[: page.rfind(b"\n", 0, first) + 1]
    rest = page[len(whole) :].split(b"\n")
    named = [line for line in rest if line.startswith(NAMES)]
    assert reader.kept.startswith(whole)
    assert sorted(reader.kept[len(whole) :].split()) == sorted(b" ".join(named).split())


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(0, 300))
def test_no_bytes_break_it_and_it_keeps_no_more_than_it_may(
    pieces: list[bytes], first: int
) -> None:
    reader = read(pieces, b"a", b"\n", first=first)
    assert len(reader.kept) <= max(first, 1) + sum(map(len, pieces)) * 2


@pytest.mark.parametrize("size", [1000, 4096, 65536])
def test_what_it_keeps_of_hostile_pages_is_bounded(size: int) -> None:
    long = b"count" + b"x" * 3_000_000 + b"\ncount 1\n"
    many = b"count 1\n" * 500_000
    assert read(in_pieces(b"#\n" + long, size), *NAMES, first=2).kept == b"#\ncount 1\n"
    assert len(read(in_pieces(many, size), *NAMES).kept) <= 2 * KEPT_BYTES + 4096


def test_a_page_of_megabytes_takes_milliseconds_each() -> None:
    line = b'istio_tcp_received_bytes_total{source_workload="a",destination_workload="b"} 1\n'
    pieces = in_pieces(line * 100_000 + b"count 7\n", 65536)
    began = time.process_time()
    reader = read(pieces, *NAMES)
    assert time.process_time() - began < 0.5
    assert sample(reader.kept, b"count") == 7.0
    assert len(reader.kept) < KEPT_BYTES + 100


async def test_a_request_keeps_what_came_when_the_page_ends_early(
    serve: Any, attempt_at: Any, answer: Any
) -> None:
    page = b"first 1\n" + b"other 1\n" * 400_000 + b'ended_total{reason="x"} 3\n'
    port = await serve({"/metrics": answer(200, page)})
    attempt = attempt_at(port, 15020, Role.ZTUNNEL, due=(Cadence.FAST, Cadence.DETAIL))
    whole, cut = PageReader(NAMES), PageReader(NAMES)
    reply = await HttpClient(attempt).get(paths.METRICS, reader=whole)
    assert by_label(reply.body, b"ended_total", b"reason") == {"x": 3.0}
    assert len(reply.body) < KEPT_BYTES + 100
    with pytest.raises(TooLarge):
        await HttpClient(attempt).get(replace(paths.METRICS, most=1_000_000), reader=cut)
    attempt.close()
    assert sample(cut.kept, b"first") == 1.0
    assert not by_label(cut.kept, b"ended_total", b"reason")


async def test_an_endless_page_costs_no_memory(
    listen: Any, attempt_at: Any, endings: dict[str, Any]
) -> None:
    attempt = attempt_at(await listen(endings["endless"]), 15020, Role.ZTUNNEL)
    reader = PageReader(NAMES)
    with pytest.raises(TooLarge):
        async with asyncio.timeout(20):
            await HttpClient(attempt).get(paths.METRICS, reader=reader)
    attempt.close()
    assert len(reader.kept) <= KEPT_BYTES


def test_lines_that_nothing_is_kept_of_any_more_take_no_time() -> None:
    page = b"count 1\n" * (4 * KEPT_BYTES)
    reader = PageReader((b"count",))
    began = time.thread_time()
    for piece in in_pieces(page, 32_768):
        reader.feed(piece)
    first = time.thread_time() - began
    kept = reader.kept
    began = time.thread_time()
    for piece in in_pieces(page, 32_768) * 4:
        reader.feed(piece)
    assert time.thread_time() - began < first
    assert reader.kept == kept
