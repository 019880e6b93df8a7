import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Outcome
from exporter.probes.connect import RawProtocol
from exporter.probes.probers import probe


async def test_connecting_is_enough_and_nobody_hears_of_it(listen: Any, attempt_at: Any) -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        try:
            heard.append(await reader.read())
        except ConnectionResetError:
            heard.append(b"reset")

    observed = await probe(attempt_at(await listen(talk), kind="control"))
    await asyncio.sleep(0.05)
    assert (observed.outcome, observed.connected) == (Outcome.OK, True)
    assert heard == []


BLACKHOLE = {
    "closes": Outcome.OK,
    "resets": Outcome.OK,
    "silent": Outcome.TIMEOUT,
    "garbage": Outcome.WRONG_PROTOCOL,
}


@pytest.mark.parametrize(("ending", "outcome"), BLACKHOLE.items(), ids=BLACKHOLE)
async def test_envoy_closes_what_is_addressed_to_its_own_port(
    listen: Any, attempt_at: Any, endings: Any, ending: str, outcome: Outcome
) -> None:
    port = await listen(endings[ending])
    observed = await probe(attempt_at(port, 15006, timeout=0.3, kind="blackhole"))
    assert observed.outcome is outcome


def describe(data: bytes) -> Any:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(5) == b"\0\r\n\r\n"
        writer.write(data)

    return talk


EXPOSURE = {
    "admin": (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", Outcome.OK),
    "old http": (b"HTTP/1.0 400 Bad Request\r\n\r\n", Outcome.OK),
    "another answer": (b"HTTP/1.1 200 OK\r\n\r\n", Outcome.WRONG_PROTOCOL),
    "a few bytes": (b"hm", Outcome.WRONG_PROTOCOL),
    "nothing": (b"", Outcome.CLOSED),
}


@pytest.mark.parametrize(("data", "outcome"), EXPOSURE.values(), ids=EXPOSURE)
async def test_only_an_exposed_admin_answers_bytes_that_are_not_http(
    listen: Any, attempt_at: Any, data: bytes, outcome: Outcome
) -> None:
    observed = await probe(attempt_at(await listen(describe(data)), 15000, kind="exposure"))
    assert observed.outcome is outcome


async def test_a_reset_shows_that_admin_is_not_exposed(
    listen: Any, attempt_at: Any, endings: Any
) -> None:
    observed = await probe(
        attempt_at(await listen(endings["resets_when_asked"]), 15000, kind="exposure")
    )
    assert observed.outcome is Outcome.RESET


async def test_a_refusal_shows_that_admin_is_not_exposed(
    attempt_at: Any, unused_tcp_port: int
) -> None:
    observed = await probe(attempt_at(unused_tcp_port, 15000, kind="exposure"))
    assert observed.outcome is Outcome.REFUSED


async def test_silence_shows_nothing_of_exposure(
    listen: Any, attempt_at: Any, endings: Any
) -> None:
    port = await listen(endings["silent"])
    observed = await probe(attempt_at(port, 15000, timeout=0.2, kind="exposure"))
    assert observed.outcome is Outcome.TIMEOUT
    assert observed.facts is None


@given(st.lists(st.binary(min_size=1, max_size=5000), max_size=4))
def test_no_bytes_crash_the_raw_line(chunks: list[bytes]) -> None:
    async def feed() -> None:
        line = RawProtocol()
        for chunk in chunks:
            line.data_received(chunk)
        line.connection_lost(None)
        assert line.first.done()
        line.first.exception()

    asyncio.run(feed())
