import asyncio
import contextlib

import pytest

from tests.listening import Serve, listening


async def _reads(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _sends_what_nobody_reads(
    _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(bytes(50_000_000))
    await writer.drain()


@pytest.mark.parametrize("serve", [_reads, _sends_what_nobody_reads])
async def test_no_connection_and_no_task_outlives_the_listener(serve: Serve) -> None:
    async with listening(serve) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with contextlib.suppress(ConnectionError):
        while await reader.read(1_000_000):
            pass
    writer.close()
