"""/metrics: the rendered blocks of every target, then the exporter's own metrics, streamed.

The rule: the event loop is never held. Chunks are joined one at a time, in slices, and gzip runs in
a thread.
"""

import logging
import time
import zlib
from collections.abc import Iterator

from aiohttp import web

from exporter import clock
from exporter.exposition import assemble, render_cluster
from exporter.turn import current_turn, in_thread
from exporter.web.context import CONTEXT, WebContext
from exporter.web.negotiation import accepts_gzip, choose_format

log = logging.getLogger(__name__)

GZIP_LEVEL = 3
"""Half the time of the default level for a tenth more bytes, on this text."""

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
"""zlib's way to say: with a gzip header."""

END_OF_OPENMETRICS = b"# EOF\n"
_VARY = "Accept, Accept-Encoding"


async def serve_metrics(request: web.Request) -> web.StreamResponse:
    """Answer a scrape; `name[]` keeps only these families."""
    context = request.app[CONTEXT]
    began = time.perf_counter()
    names = frozenset(request.query.getall("name[]", ())) or None
    wanted = choose_format(request.headers.get("Accept", ""))
    pieces = _pieces(context, names, openmetrics=wanted.openmetrics)
    response, size = await stream(request, pieces, wanted.content_type)
    if size is not None:
        context.self_metrics.exposed(size, time.perf_counter() - began)
    return response


def _pieces(
    context: WebContext, names: frozenset[str] | None, *, openmetrics: bool
) -> Iterator[bytes]:
    for _ in context.state.render_repeats():
        yield b""
    now, families = clock.now(), context.state.families
    cluster = render_cluster(context.cluster, families)
    blocks = [*context.state.blocks(now), *context.synced.blocks(now), cluster]
    yield from assemble(families, blocks, openmetrics, names)
    yield context.self_metrics.expose(openmetrics, names)
    if openmetrics:
        yield END_OF_OPENMETRICS


async def stream(
    request: web.Request, pieces: Iterator[bytes], content_type: str
) -> tuple[web.StreamResponse, int | None]:
    """Send pieces as they come, gzipped where that is asked for, until the client goes away.

    Returns the answer and the bytes of its body before compression; None unless all were sent.
    """
    response = web.StreamResponse(headers={"Content-Type": content_type, "Vary": _VARY})
    zipped = accepts_gzip(request.headers.get("Accept-Encoding", ""))
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    size, is_whole = 0, False
    try:
        await response.prepare(request)
        if request.method != "HEAD":
            gzip = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW) if zipped else None
            turn = current_turn()
            for piece in pieces:
                size += len(piece)
                if not piece:
                    await turn.maybe_yield()
                    continue
                if chunk := await in_thread(gzip.compress, piece) if gzip else piece:
                    await response.write(chunk)
                await turn.maybe_yield()
            if gzip:
                await response.write(await in_thread(gzip.flush))
        await response.write_eof()
        is_whole = request.method != "HEAD"
    except ConnectionError:  # aiohttp has two kinds of it
        log.debug("client left path=%s", request.path)
    return response, size if is_whole else None
