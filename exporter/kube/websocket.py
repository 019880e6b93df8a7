"""A port-forward: a WebSocket to the API server with streams into one pod."""

import asyncio
import struct
from contextlib import suppress

import aiohttp
from aiohttp import hdrs

from exporter.kube.api_errors import KubernetesError
from exporter.turn import current_turn

PROTOCOL = "v4.channel.k8s.io"
MAX_MESSAGE = 2**20
"""The kubelet sends at most 32 kB at a time."""

CLOSE_SECONDS = 1.0
"""How long to wait for the other side's CLOSE frame."""

ACCEPT_ANY = {"Accept": "*/*"}
"""The kubelet's route declares no content type, so any other Accept header gets a 406
(go-restful `Route.matchesAccept`); the API server forwards our headers to it.
"""

_HEARTBEAT = (aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG)
_ENDS = (
    aiohttp.WSMsgType.CLOSE,
    aiohttp.WSMsgType.CLOSING,
    aiohttp.WSMsgType.CLOSED,
    aiohttp.WSMsgType.ERROR,
)

REFUSALS = {
    401: "the API server refused the credentials: they expired or are wrong",
    403: "pods/portforward needs the verbs get and create, and one of them is missing",
    404: "the pod is gone",
}
"""What a status means for a port-forward, whose handshake carries no error text."""


class DroppableWebSocket(aiohttp.ClientWebSocketResponse):
    """A WebSocket that can be dropped: aiohttp's `close` reads all that has come in one turn."""

    def drop(self) -> None:
        """Close the connection, whatever has come."""
        self._response.close()


class PortForwardWebSocket:
    """An open port-forward: messages in and out, each beginning with its channel."""

    def __init__(self, socket: DroppableWebSocket) -> None:
        self._socket = socket
        self._turn = current_turn()

    async def close(self) -> None:
        """Send a CLOSE frame, and drop the connection when the other side's has come.

        Others have their turn while what was on its way is read, and it is read for so long only.
        """
        normal = struct.pack("!H", aiohttp.WSCloseCode.OK)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.send_frame(normal, aiohttp.WSMsgType.CLOSE)
                while (await self._socket.receive()).type not in _ENDS:
                    await self._turn.maybe_yield()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return
        finally:
            self._socket.drop()

    async def send(self, message: bytes) -> None:
        """Send one message. `receive` reports whether the connection has ended, and how.

        The other side's last messages may still be unread when sending fails.
        """
        with suppress(aiohttp.ClientError, OSError):
            await self._socket.send_bytes(message)

    async def receive(self) -> bytes | None:
        """The next message; None when every stream has ended. Raises KubernetesError.

        The kubelet then sends a CLOSE frame with 1000 and drops the connection at once, so that
        only the frame shows it: by the time our reply fails the socket's own code is 1006.
        """
        await self._turn.maybe_yield()  # what was received already is read without a turn
        while (message := await self._socket.receive()).type in _HEARTBEAT:
            await self._turn.maybe_yield()
            if message.type is aiohttp.WSMsgType.PING:
                with suppress(aiohttp.ClientError, OSError):
                    await self._socket.pong(message.data)
        if message.type is aiohttp.WSMsgType.BINARY:
            data: bytes = message.data
            return data
        if message.type is aiohttp.WSMsgType.CLOSE and message.data == aiohttp.WSCloseCode.OK:
            return None
        raise KubernetesError(0, "the port-forward's connection was lost")


async def stay_here(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A middleware: whoever answers sends no port-forward to another server.

    aiohttp follows redirects of a WebSocket, and has no argument against it.
    """
    response = await handler(request)
    if hdrs.UPGRADE in request.headers and hdrs.LOCATION in response.headers:
        response.close()
        raise aiohttp.WSServerHandshakeError(
            response.request_info, response.history, status=response.status
        )
    return response


def refusal(status: int) -> KubernetesError:
    """The error of a port-forward that was not opened."""
    text = REFUSALS.get(status, f"the API server or the node responded with HTTP {status}")
    return KubernetesError.of(status, f"no port-forward: {text}")
