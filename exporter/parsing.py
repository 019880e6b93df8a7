"""Numbers, ports, versions, addresses, times and plain text from untrusted text. Pure.

Anybody who may create a pod writes its annotations, variables and labels. Each parser here takes
any text and returns None for what it cannot read: none of them raises. Only ASCII digits count,
and no more of them than the kind has: Python's own `int` takes other scripts and fails on
thousands.
"""

import re
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address

LARGEST_PORT = 65535

_NUMBER_DIGITS = 20
"""As many as the largest number of 64 bits has."""

_VERSION = re.compile(r"v*([0-9]{1,6})\.([0-9]{1,6})(?=[.-]|\Z)")
_ADDRESS_LENGTH = 64
"""Longer than an IPv6 address with the name of an interface."""

_TIME_LENGTH = 64


def parse_number(text: str) -> int | None:
    """A whole number of at most 20 digits; blanks around it do not matter."""
    digits = text.strip()
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= _NUMBER_DIGITS
    return int(digits) if is_number else None


def parse_port(value: object) -> int | None:
    """A port from 1 to 65535, from a number or from text."""
    number = parse_number(value) if isinstance(value, str) else value
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= LARGEST_PORT:
        return number
    return None


def parse_version(text: str) -> tuple[int, int] | None:
    """Major and minor of a version or an image tag: "1.28.3-distroless" is (1, 28)."""
    found = _VERSION.match(text)
    return (int(found[1]), int(found[2])) if found else None


def printable(text: str) -> str:
    """The text without control characters, which would write on a terminal elsewhere."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An IP literal."""
    if len(text) > _ADDRESS_LENGTH or not text.isprintable():
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def bracketed(address: str) -> str:
    """The address as it stands before a port: an IPv6 one in brackets."""
    return f"[{address}]" if ":" in address else address


def parse_host_address(text: str) -> IPv4Address | IPv6Address | None:
    """An IP literal of one host: whoever connects to 0.0.0.0 or :: gets its own machine.

    What is local to a link is no pod's either: another host answers there on each node, and at
    169.254.169.254 the cloud's metadata. IPv4 in IPv6, ::ffff:10.0.0.1, is the IPv4 address that it
    stands for.
    """
    address = parse_address(text)
    address = getattr(address, "ipv4_mapped", None) or address
    if address is None or address.is_unspecified or address.is_multicast or address.is_link_local:
        return None
    return None if address == _BROADCAST else address


_BROADCAST = IPv4Address("255.255.255.255")


def parse_time(text: str | None) -> float | None:
    """Seconds since the epoch of a timestamp of Kubernetes or Envoy; without a zone it is UTC."""
    if not text or len(text) > _TIME_LENGTH:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
