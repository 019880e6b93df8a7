"""Connections to an API server, whose bytes aiohttp takes in pieces, in turn with all else.

The rule: an API server that lies, or a proxy before it, holds nobody up by what its answers are
made of: chunks or compressed blocks of a byte, interim responses without end.
"""

import asyncio
from functools import partial

import aiohttp
from aiohttp.client_proto import ResponseHandler

from exporter.flow_control import control_flow
from exporter.turn import Turn


class _Responses(ResponseHandler):
    """The responses of one connection."""

    def __init__(self, turn: Turn, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._turn = turn

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take what comes in pieces."""
        super().connection_made(control_flow(transport, self, self._turn))


def connector() -> aiohttp.TCPConnector:
    """What a client session connects with, as often as it likes."""
    made = aiohttp.TCPConnector(limit=0)
    loop = asyncio.get_running_loop()
    made._factory = partial(_Responses, Turn(), loop)  # type: ignore[assignment] # noqa: SLF001 - there is no other way in
    return made
