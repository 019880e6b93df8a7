"""A listener whose connections end with it: what is left open is told to any later test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


@asynccontextmanager
async def listening(serve: Serve, address: str = "127.0.0.1", **options: Any) -> AsyncIterator[int]:
    """Run `serve` for each connection, which it need not close; yields the port."""
    served: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(run(reader, writer))
        served[task] = writer
        task.add_done_callback(served.pop)

    server = await asyncio.start_server(accepted, address, 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        left = dict(served)
        for task, writer in left.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*left, return_exceptions=True)
