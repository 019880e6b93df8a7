"""The lines of a stream: a watch sends one JSON object a line, in chunks of any size."""

from collections.abc import AsyncGenerator, AsyncIterator

from exporter.bounds import WATCH_LINE
from exporter.kube.api_errors import KubernetesError


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Whole lines from chunks of any size; aiohttp's own reader refuses the line of a big pod."""
    rest = bytearray()
    async for chunk in chunks:
        searched = len(rest)
        rest += chunk
        end = rest.rfind(b"\n", searched)
        if end >= 0:
            for line in bytes(rest[:end]).split(b"\n"):
                if line.strip():
                    yield line
            del rest[: end + 1]
        if len(rest) > WATCH_LINE:
            raise KubernetesError.of(0, f"a line of the watch is longer than {WATCH_LINE} bytes")
