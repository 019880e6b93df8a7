"""The wire of a port-forward: a WebSocket to the API server with streams into one pod."""

from contextlib import suppress

import aiohttp

from exporter.kube.errors import KubernetesError

PROTOCOL = "v4.channel.k8s.io"
MOST_MESSAGE = 2**20
"""The kubelet sends at most 32 kB at a time."""

CLOSE_SECONDS = 1.0
"""How long the other side's goodbye is awaited."""

ANY_ANSWER = {"Accept": "*/*"}
"""The kubelet's route says of no type that it produces it, and refuses who asks for one with 406
(go-restful `Route.matchesAccept`); the API server passes our headers on to it.
"""

_HEARTBEAT = (aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG)

REFUSALS = {
    401: "the API server does not know us: the credentials ended or are wrong",
    403: "pods/portforward needs the verbs get and create, and one of them is missing",
    404: "the pod is gone",
}
"""What a status means for a port-forward, where the API server's own words do not reach us."""


class PortForwardWebSocket:
    """An open port-forward: messages in and out, each beginning with its channel."""

    def __init__(self, socket: "aiohttp.ClientWebSocketResponse[bool]") -> None:
        self._socket = socket

    async def send(self, message: bytes) -> None:
        """Send one message. Whether it was too late is told by `receive`, as is how it ended.

        The other side's last words may be here unread while nothing can be sent any more.
        """
        with suppress(aiohttp.ClientError, OSError):
            await self._socket.send_bytes(message)

    async def receive(self) -> bytes | None:
        """The next message; None when every stream has ended. Raises KubernetesError.

        The kubelet then sends a CLOSE frame with 1000 and drops the connection at once, so that
        only the frame tells: by the time our answer fails the socket's own code is 1006.
        """
        while (message := await self._socket.receive()).type in _HEARTBEAT:
            if message.type is aiohttp.WSMsgType.PING:
                with suppress(aiohttp.ClientError, OSError):
                    await self._socket.pong(message.data)
        if message.type is aiohttp.WSMsgType.BINARY:
            data: bytes = message.data
            return data
        if message.type is aiohttp.WSMsgType.CLOSE and message.data == aiohttp.WSCloseCode.OK:
            return None
        raise KubernetesError.of(0, "the port-forward broke off")


def refusal(status: int) -> KubernetesError:
    """The error of a port-forward that was not opened."""
    text = REFUSALS.get(status, f"the API server or the node answered with HTTP {status}")
    return KubernetesError.of(status, f"no port-forward: {text}")
