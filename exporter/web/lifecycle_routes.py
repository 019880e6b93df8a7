"""/-/healthy, /-/ready and /-/reload: what orchestrators and operators ask of the process."""

from aiohttp import web

from exporter.web.context import CONTEXT


async def is_healthy(request: web.Request) -> web.Response:
    """200 while the poll loop makes progress, else 503."""
    if request.app[CONTEXT].session.is_healthy:
        return web.Response(text="Healthy.\n")
    return web.Response(status=503, text="The poll loop makes no progress.\n")


async def is_ready(request: web.Request) -> web.Response:
    """200 once discovery is synced and every target was polled, else 503."""
    if request.app[CONTEXT].session.is_ready:
        return web.Response(text="Ready.\n")
    return web.Response(status=503, text="The first pass over the targets is not done.\n")


async def reload(request: web.Request) -> web.Response:
    """Read the configuration again; 500 with the reasons when the old one was kept."""
    read_again = request.app[CONTEXT].reload
    if read_again is None:
        text = "Reloading over HTTP is switched off (web.enable_reload); SIGHUP reloads too.\n"
        return web.Response(status=403, text=text)
    wrong = await read_again()
    if wrong is None:
        return web.Response(text="Reloaded.\n")
    return web.Response(status=500, text=f"The old configuration stays:\n{wrong}\n")


ROUTES = (
    web.get("/-/healthy", is_healthy),
    web.get("/-/ready", is_ready),
    web.post("/-/reload", reload),
    web.put("/-/reload", reload),
)
