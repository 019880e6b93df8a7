"""The status page: files of this package, served as they are. It reads /api/v1 and nothing else.

Scripts and style are files of their own, so that the content security policy allows no inline
ones; addresses in them are relative, so that the page works behind a path prefix.
"""

from importlib.resources import files

from aiohttp import web

from exporter.web.answers import Content, answer, content_of

_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}
_INDEX = "index.html"


def _read() -> dict[str, Content]:
    """Every file of the page by its name."""
    return {
        entry.name: content_of(entry.read_bytes(), _TYPES[entry.name.rpartition(".")[2]])
        for entry in files("exporter.web").joinpath("static").iterdir()
        if entry.is_file()
    }


_FILES = _read()


async def show_page(request: web.Request) -> web.Response:
    """The page; which target or filters it shows is in the query, read by its scripts."""
    return answer(request, _FILES[_INDEX])


async def serve_file(request: web.Request) -> web.Response:
    """A script, the style or the icon."""
    name = request.match_info["name"]
    if name == _INDEX or name not in _FILES:
        raise web.HTTPNotFound(text=f"{request.path} is not part of this page.\n")
    return answer(request, _FILES[name])


ROUTES = (web.get("/", show_page), web.get("/static/{name}", serve_file))
