"""What a request wants of the targets: its filters and page."""

from aiohttp import web

from exporter.diagnosis import CAUSES
from exporter.model import Role
from exporter.report.health import Health
from exporter.report.target_views import Filters, Page

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
"""A page of this size takes a few milliseconds to make."""

_MAX_OFFSET = 999_999_999
MAX_TEXT = 200
SCOPE = ("namespace", "role")
EVERY_PARAMETER = (*SCOPE, "state", "cause", "q", "offset", "limit")


def read_filters(request: web.Request) -> Filters:
    """The filters of a request; raises HTTPBadRequest with a sentence for a bad value."""
    query = request.query
    return Filters(
        namespace=query.get("namespace", ""),
        role=_one_of("role", query.get("role", ""), tuple(Role)),
        state=_one_of("state", query.get("state", ""), tuple(Health)),
        cause=_one_of("cause", query.get("cause", ""), tuple(CAUSES)),
        text=_text(query.get("q", "")),
    )


def read_page(request: web.Request) -> Page:
    """The page that a request wants; raises HTTPBadRequest as `read_filters` does."""
    query = request.query
    return Page(
        offset=_whole("offset", query.get("offset", "0"), 0, _MAX_OFFSET),
        limit=_whole("limit", query.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT),
    )


def refuse_others(request: web.Request, known: tuple[str, ...] = ()) -> None:
    """Raise HTTPBadRequest for a parameter that is none of these, or that is given twice.

    To ignore it would return more targets than were requested, without a word.
    """
    for name in request.query:
        if name not in known:
            names = f"the parameters are {', '.join(known)}" if known else "there are none"
            text = f"{name[:MAX_TEXT]!r} is no parameter of {request.path}: {names}."
            raise web.HTTPBadRequest(text=text)
        if len(request.query.getall(name)) > 1:
            raise web.HTTPBadRequest(text=f"{name} is given twice.")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value and value not in allowed:
        raise web.HTTPBadRequest(text=f"{name} must be one of {', '.join(allowed)}.")
    return value


def _text(value: str) -> str:
    if len(value) > MAX_TEXT:
        raise web.HTTPBadRequest(text=f"q must not be longer than {MAX_TEXT} characters.")
    return value.strip().lower()


def _whole(name: str, value: str, least: int, most: int) -> int:
    is_whole = value.isascii() and value.isdigit() and len(value) <= len(str(_MAX_OFFSET))
    if not is_whole or not least <= int(value) <= most:
        text = f"{name} must be a whole number, between {least} and {most}."
        raise web.HTTPBadRequest(text=text)
    return int(value)
