"""The kinds of values a configuration holds, each with its words and its limits.

A kind is an annotated type: `description` is what a message and the documentation call it;
`read`, where there is one, converts what YAML gave into the value or raises ValueError with
the message for the user.
"""

import ipaddress
import re
from typing import Annotated

from msgspec import Meta

from exporter.catalogue.changing_paths import may_be_sent
from exporter.model.family_names import FAMILY_NAMES
from exporter.parsing import LARGEST_PORT, parse_port

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LABEL = re.compile(r"[A-Za-z0-9./_-]+")
_MORE_THAN_ADDRESS = re.compile(r"[\d.]+[:/]\d+|\[[\da-f:]+\](:\d+)?|[\da-f:]+/\d+", re.IGNORECASE)
_TELEMETRY_PATH = re.compile(r"/[A-Za-z0-9/_.-]+")
_URL_PATH = re.compile(r"/[^\s?#]*")
_OWN_PAGES = ("/probe", "/runbooks")
_OWN_FOLDERS = ("/api/", "/-/", "/runbooks/", "/static/")
_PORT_DIGITS = 5
_MAX_COUNT = 100_000
_MAX_HOURS = 365 * 24
_RANGE_WORDS = "a range of ports such as 9000:9100"
_DURATION_WORDS = "a duration such as 500ms, 15s, 2m or 1h"


def _read_duration(value: object) -> float:
    """Seconds of a duration: 15s, 500ms, 2m, 1h; never negative, a year at most."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is not {_DURATION_WORDS}")
    seconds = float(found[1]) * _SECONDS[found[2]]
    if seconds > _MAX_HOURS * _SECONDS["h"]:
        raise ValueError(f"{value!r} must not be longer than {_MAX_HOURS}h")
    return seconds


def spell_duration(seconds: float) -> str:
    """A duration as people write it: 500ms, 90s, 2m, 1h."""
    for unit in ("h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds * 1000:.10g}ms" if seconds < 1 else f"{seconds:.10g}s"


def _read_period(value: object) -> float:
    """As `_read_duration`, above zero."""
    seconds = _read_duration(value)
    if not seconds:
        raise ValueError(f"{value!r} must be more than zero")
    return seconds


def _read_addresses(value: object) -> tuple[str, ...]:
    """One IP literal or one of each family, in canonical spelling; not of groups or nobody."""
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError("an empty list is not an IP address or a list of them")
    addresses: dict[int, str] = {}
    for item in items:
        address = _read_address(item)
        text, first = str(address), addresses.get(address.version)
        if first is not None:
            wrong = "is listed twice" if first == text else f"is of the family of {first}"
            raise ValueError(f"{text} {wrong}: a target has one address of each family")
        addresses[address.version] = text
    return tuple(addresses.values())


def _read_address(value: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        address = None
    if address is None:
        advice = "names are not resolved, give the address"
        if isinstance(value, str) and _MORE_THAN_ADDRESS.fullmatch(value):
            advice = "leave out the port or the mask"
        raise ValueError(f"{value!r} is not an IP address: {advice}")
    inner = (address.ipv4_mapped if address.version == 6 else None) or address  # noqa: PLR2004
    if inner.is_unspecified or inner.is_multicast:
        kind = "the unspecified address" if inner.is_unspecified else "a multicast address"
        raise ValueError(f"{value!r} is {kind}, not that of a pod")
    return address


def _read_netns(value: object) -> str:
    """A network namespace: its name under /run/netns, a path, or a pid (a number or text)."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return str(value)
    if isinstance(value, str):
        return value
    raise ValueError(f"{value!r} is not a name under /run/netns, a path or a pid")


def _read_listen_address(value: object) -> str:
    """`:10520`, `127.0.0.1:10520`, `[::1]:10520` or a host name with a port."""
    if isinstance(value, str):
        host, colon, port = value.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        is_number = port.isascii() and port.isdigit() and len(port) <= _PORT_DIGITS
        number = int(port) if is_number else LARGEST_PORT + 1
        if colon and number <= LARGEST_PORT and (bracketed or ":" not in host):
            return value
    raise ValueError(f"{value!r} is not an address such as :10520 or 127.0.0.1:10520")


def _read_telemetry_path(value: object) -> str:
    """A path for the metrics that nothing else of the exporter is served at."""
    if not isinstance(value, str) or not _TELEMETRY_PATH.fullmatch(value):
        raise ValueError(f"{value!r} is not a path such as /metrics: letters, digits, / _ . -")
    if value in _OWN_PAGES or value.startswith(_OWN_FOLDERS):
        raise ValueError(f"{value!r} is a path of the exporter's own")
    return value


def _read_url_path(value: object) -> str:
    """A path to send, without a query."""
    if not isinstance(value, str) or not _URL_PATH.fullmatch(value):
        raise ValueError(f"{value!r} is not a path that starts with /")
    if not may_be_sent(value):
        raise ValueError(f"{value!r} is never sent: it could change a target, or is not ASCII")
    return value


def _read_port_range(value: object) -> tuple[int, int]:
    """The first and the last port of a range: `9000:9100`."""
    first, colon, last = value.partition(":") if isinstance(value, str) else ("", "", "")
    ends = parse_port(first), parse_port(last)
    if not (colon and ends[0] and ends[1]):
        raise ValueError(f"{value!r} is not {_RANGE_WORDS}")
    return ends[0], ends[1]


def _read_selector(value: object) -> tuple[tuple[str, str], ...]:
    """Labels that must be equal: `app=web,tier=front`."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not labels such as app=web,tier=front")  # noqa: TRY004
    pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
    for name, equals, wanted in pairs:
        if not (equals and _LABEL.fullmatch(name) and (not wanted or _LABEL.fullmatch(wanted))):
            raise ValueError(f"{value!r} is not labels such as app=web,tier=front")
    return tuple((name, wanted) for name, _, wanted in pairs)


Duration = Annotated[float, Meta(description=_DURATION_WORDS, extra={"read": _read_duration})]
Period = Annotated[float, Meta(description=_DURATION_WORDS, extra={"read": _read_period})]
PortNumber = Annotated[int, Meta(ge=1, le=LARGEST_PORT, description="a port, 1 to 65535")]
PortOrOff = Annotated[
    int, Meta(ge=0, le=LARGEST_PORT, description="a port, 1 to 65535, or 0 for off")
]
Count = Annotated[int, Meta(ge=1, le=_MAX_COUNT, description=f"a whole number, 1 to {_MAX_COUNT}")]
Ordinal = Annotated[int, Meta(ge=0, description="a whole number, 0 or more, or auto")]
Rate = Annotated[float, Meta(gt=0, description="a number above 0")]
UrlPath = Annotated[
    str, Meta(description="a path that starts with /", extra={"read": _read_url_path})
]
SpiffeId = Annotated[
    str,
    Meta(
        pattern=r"^(spiffe://[^/\s]+/\S+|/\S+)?\Z",
        description="a SPIFFE ID, or what follows its trust domain such as /ns/shop/sa/web",
    ),
]
TelemetryPath = Annotated[
    str, Meta(description="a path such as /metrics", extra={"read": _read_telemetry_path})
]
FamilyName = Annotated[
    str,
    Meta(
        pattern=rf"^({'|'.join(FAMILY_NAMES)})\Z",
        description="the name of a metric family such as istio_port_up",
    ),
]
WebAddress = Annotated[
    str,
    Meta(pattern=r"^(https?://[^\s#]+)?\Z", description="an http or https address, without a #"),
]
FilePath = Annotated[str, Meta(description="a path to a file", extra={"file": True})]
Addresses = Annotated[
    tuple[str, ...],
    Meta(description="an IP address or a list of them", extra={"read": _read_addresses}),
]
Netns = Annotated[
    str, Meta(description="a name under /run/netns, a path or a pid", extra={"read": _read_netns})
]
ListenAddress = Annotated[
    str, Meta(description="an address such as :10520", extra={"read": _read_listen_address})
]
PortRange = Annotated[
    tuple[int, int], Meta(description=_RANGE_WORDS, extra={"read": _read_port_range})
]
Selector = Annotated[
    tuple[tuple[str, str], ...],
    Meta(description="labels such as app=web,tier=front", extra={"read": _read_selector}),
]
