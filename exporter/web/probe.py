"""/probe: one poll of one target while the scraper waits (the multi-target pattern).

Targets are named by pod or by address; an address that is no target is polled only where the
configuration allows it, so that this cannot be used to scan a network.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web
from msgspec import structs

from exporter import clock
from exporter.catalogue import line_of
from exporter.exposition import assemble, render
from exporter.model import Role, Target, TargetKey, TargetRecord
from exporter.parsing import parse_host_address
from exporter.web.context import CONTEXT, WebContext
from exporter.web.metrics import END_OF_OPENMETRICS, stream
from exporter.web.negotiation import choose_format
from exporter.web.probe_limits import FRESH_SECONDS, ProbeLimits, TooOftenError

LIMITS = web.AppKey("probe_limits", ProbeLimits)

_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
_ANSWER_SECONDS = 0.5

PARAMETERS = frozenset({"target", "role", "istio_version", "captured", "name[]"})

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


async def serve_probe(request: web.Request) -> web.StreamResponse:
    """Poll the requested target, with every cadence due, and answer with its families.

    200 whatever was found: a target that is down is an answer. 400 with a sentence for bad
    parameters, 403 for an address that is not known, 404 for a pod that is not, 429 for what is
    asked too often, 504 where the scrape's own timeout comes first.
    """
    context = request.app[CONTEXT]
    unknown = set(request.query) - PARAMETERS
    if unknown:
        allowed = ", ".join(sorted(PARAMETERS))
        raise web.HTTPBadRequest(text=f"{min(unknown)} is not a parameter; {allowed} are.\n")
    record = await _record_of(request, _chosen(context, request.query))
    families = context.state.families
    wanted = choose_format(request.headers.get("Accept", ""))
    names = frozenset(request.query.getall("name[]", ())) or None
    uncounted = structs.replace(record, polls=None)
    pieces = list(assemble(families, [render(uncounted, families)], wanted.openmetrics, names))
    if wanted.openmetrics:
        pieces.append(END_OF_OPENMETRICS)
    response, _sent = await stream(request, iter(pieces), wanted.content_type)
    return response


async def _record_of(request: web.Request, target: Target) -> TargetRecord:
    """The last result if it is a second old at most, else that of a poll made now."""
    context, limits = request.app[CONTEXT], request.app[LIMITS]
    known = context.state.get(target.key)
    if known and known.target == target and 0 <= _age(known) <= FRESH_SECONDS:
        return known
    seconds = scrape_timeout(request.headers.get(_TIMEOUT_HEADER, ""))
    given = () if seconds is None else (seconds,)
    try:
        return await limits.record_of(
            request.remote or "", target, lambda: context.session.probe(target, *given), seconds
        )
    except TooOftenError:
        sentence = "This target, or this client, is at its rate.\n"
        raise web.HTTPTooManyRequests(text=sentence, headers={"Retry-After": "1"}) from None
    except TimeoutError:
        sentence = f"The poll did not end within {seconds:g} s, which the scrape's timeout left.\n"
        raise web.HTTPGatewayTimeout(text=sentence) from None


def _age(record: TargetRecord) -> float:
    """Seconds since the last poll began, whose time is the wall clock's; endless for none."""
    return clock.now() + clock.step() - max(record.polled.values(), default=-math.inf)


def scrape_timeout(header: str) -> float | None:
    """Seconds that a scrape leaves for the poll: half a second less than it waits; None: all."""
    try:
        seconds = float(header)
    except ValueError:
        return None
    if not 0 < seconds < math.inf:
        return None
    return max(seconds - _ANSWER_SECONDS, seconds / 2)


def _chosen(context: WebContext, query: Mapping[str, str]) -> Target:
    """The target that the parameters name, with what they say of it laid over."""
    name = query.get("target", "")
    role = _role(query.get("role", ""))
    known = _find(context.session.targets, name, role)
    target = known or _unknown(context, name, role)
    version = query.get("istio_version", "")
    if version and line_of(version) is None:
        raise web.HTTPBadRequest(text="istio_version must be a version like 1.28.0.\n")
    captured = query.get("captured", "").lower()
    if captured and captured not in _TRUTHS:
        raise web.HTTPBadRequest(text="captured must be true or false.\n")
    return replace(
        target,
        istio_version=version or target.istio_version,
        captured=_TRUTHS.get(captured, target.captured),
    )


def _role(text: str) -> Role | None:
    if not text:
        return None
    try:
        return Role(text)
    except ValueError:
        raise web.HTTPBadRequest(text=f"role must be one of {', '.join(Role)}.\n") from None


def _find(targets: Mapping[TargetKey, Target], name: str, role: Role | None) -> Target | None:
    """The watched target of this name or address; a role separates those that share an address."""
    namespace, slash, pod = name.partition("/")
    if slash:
        found = targets.get(TargetKey(namespace, pod))
        if found is None:
            raise web.HTTPNotFound(text=f"No target is named {name}.\n")
        return found if role is None else replace(found, role=role)
    address = _address(name)
    at_address = [target for target in targets.values() if address in target.addresses]
    return next((target for target in at_address if role in (None, target.role)), None)


def _address(name: str) -> str:
    address = parse_host_address(name.strip("[]"))
    if address is None:
        sentence = "target must be an IP address, or namespace/pod of a watched target.\n"
        raise web.HTTPBadRequest(text=sentence)
    return str(address)


def _unknown(context: WebContext, name: str, role: Role | None) -> Target:
    if not context.session.config.web.probe_unknown_targets:
        sentence = f"{_address(name)} is no target; web.probe_unknown_targets would allow it.\n"
        raise web.HTTPForbidden(text=sentence)
    role = role or Role.SIDECAR
    address = _address(name)
    return Target(
        key=TargetKey("", address), role=role, addresses=(address,), captured=role is Role.SIDECAR
    )


ROUTES = (web.get("/probe", serve_probe),)
