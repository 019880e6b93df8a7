"""The wire of a port-forward: a WebSocket to the API server with streams into one pod."""

import aiohttp

from exporter.kube.errors import KubernetesError

PROTOCOL = "v4.channel.k8s.io"
MOST_MESSAGE = 2**20
"""The kubelet sends at most 32 kB at a time."""

CLOSE_SECONDS = 1.0
"""How long the other side's goodbye is awaited."""

_IN_ORDER = frozenset((aiohttp.WSCloseCode.OK, aiohttp.WSCloseCode.GOING_AWAY, 1005))
"""The kubelet closes with 1000 when every stream has ended; 1005 is a close without a code."""

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
        """Send one message. Raises KubernetesError once it broke."""
        try:
            await self._socket.send_bytes(message)
        except (aiohttp.ClientError, OSError) as error:
            raise KubernetesError.of(0, f"the port-forward broke off: {error}") from None

    async def receive(self) -> bytes | None:
        """The next message; None when it was closed in good order. Raises KubernetesError."""
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            data: bytes = message.data
            return data
        if message.type is not aiohttp.WSMsgType.ERROR and self._socket.close_code in _IN_ORDER:
            return None
        raise KubernetesError.of(0, "the port-forward broke off")


def refusal(status: int) -> KubernetesError:
    """The error of a port-forward that was not opened."""
    text = REFUSALS.get(status, f"the API server or the node answered with HTTP {status}")
    return KubernetesError.of(status, f"no port-forward: {text}")
