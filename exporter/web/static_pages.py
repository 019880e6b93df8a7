"""The status page and the runbooks: files of this package, served as they are.

The page reads /api/v1 and nothing else. Scripts and style are files of their own, so that the
content security policy allows no inline ones; addresses in them are relative, so that the page
works behind a path prefix. The runbooks are made from docs/ (`make runbooks`) and have the names of
their sources, so that an address of that folder serves alerts and dashboards too.
"""

from importlib.resources import files

from aiohttp import web

from exporter.web.responses import Content, answer, content_of

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_INDEX = "index.html"


OWN_RUNBOOKS = "runbooks/diagnosis.md"
"""Where the runbooks of the causes are, seen from the page."""


def _read(folder: str) -> dict[str, Content]:
    """Every file of a folder by its name."""
    return {
        entry.name: content_of(entry.read_bytes(), _TYPES[entry.name.rpartition(".")[2]])
        for entry in files("exporter.web").joinpath(folder).iterdir()
        if entry.is_file()
    }


_FILES = _read("static")
_RUNBOOKS = {name.replace(".html", ".md"): page for name, page in _read("runbooks").items()}


async def show_page(request: web.Request) -> web.Response:
    """The page; which target or filters it shows is in the query, read by its scripts."""
    return answer(request, _FILES[_INDEX])


async def serve_file(request: web.Request) -> web.Response:
    """A script, the style or the icon."""
    name = request.match_info["name"]
    if name == _INDEX or name not in _FILES:
        raise web.HTTPNotFound(text=f"{request.path} is not part of this page.\n")
    return answer(request, _FILES[name])


async def show_runbook(request: web.Request) -> web.Response:
    """What each cause, or each alert, means and what to do."""
    page = _RUNBOOKS.get(request.match_info["name"])
    if page is None:
        known = " and ".join(f"/runbooks/{name}" for name in sorted(_RUNBOOKS))
        raise web.HTTPNotFound(text=f"{request.path} is no runbook; there are {known}.\n")
    return answer(request, page)


async def find_runbooks(request: web.Request) -> web.Response:
    """The folder of the runbooks, by its name or below it: redirected to those of the causes."""
    raise web.HTTPFound("diagnosis.md" if request.path.endswith("/") else OWN_RUNBOOKS)


ROUTES = (
    web.get("/", show_page),
    web.get("/static/{name}", serve_file),
    web.get("/runbooks", find_runbooks),
    web.get("/runbooks/", find_runbooks),
    web.get("/runbooks/{name}", show_runbook),
)
