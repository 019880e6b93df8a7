"""Where a pod document moves a port or switches it: columns that the code reads and the docs print.

In: what a pod document states, by where it states it. Out: numbers and switches. Pure. The rule: a
value that cannot be read counts as absent.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from exporter.parsing import parse_number, parse_port

TRUE = frozenset({"1", "t", "true"})
"""What Go's strconv.ParseBool takes for true, in lower case."""


class Place(StrEnum):
    """Where a pod document states something about its proxy.

    Variables are the container's own, above those of ProxyConfig's proxyMetadata. Arguments are the
    flags of the proxy's container, iptables those of istio-iptables in an init container.
    """

    ANNOTATION = "annotation"
    LABEL = "label"
    PROXY_CONFIG = "ProxyConfig"
    PROXY_METADATA = "proxyMetadata"
    VARIABLE = "variable"
    ARGUMENT = "argument"
    IPTABLES = "istio-iptables"


Sources = Mapping[Place, Mapping[str, Any]]
"""What a pod document states of its proxy, by name in each place."""


@dataclass(frozen=True, slots=True)
class Mover:
    """One place that may state a port's number, under one of several names.

    `parse` returns 0 for a port that is off, None for what is no number.
    """

    place: Place
    names: tuple[str, ...]
    text: str
    parse: Callable[[object], int | None]

    def number(self, sources: Sources) -> int | None:
        """The number that is stated here; None where there is none."""
        stated = sources[self.place]
        return next((self.parse(stated[name]) for name in self.names if name in stated), None)

    def is_on_loopback(self, sources: Sources) -> bool:
        """Whether an address with a port is stated here whose host is loopback."""
        stated = sources[self.place]
        values = (stated[name] for name in self.names if name in stated)
        return any(self.parse is port_of_address and _has_loopback_host(value) for value in values)


@dataclass(frozen=True, slots=True)
class Switch:
    """Variables or labels that set a boolean of `Settings`; one that is true is enough.

    `labels` are pairs of a label of the pod and the value with which it switches.
    """

    setting: str
    variables: tuple[str, ...]
    text: str
    default: bool = False
    labels: tuple[tuple[str, str], ...] = ()

    def is_on(self, sources: Sources) -> bool:
        """Whether it is on."""
        if any(sources[Place.LABEL].get(name) == value for name, value in self.labels):
            return True
        variables = sources[Place.VARIABLE]
        stated = [variables[name] for name in self.variables if name in variables]
        return any(map(is_true, stated)) if stated else self.default


DUAL_STACK = Switch(
    "dual_stack",
    ("ISTIO_DUAL_STACK", "ISTIO_AGENT_DUAL_STACK"),
    "ISTIO_DUAL_STACK binds Envoy's ports for both address families",
)
"""Moves no port: whether Envoy binds the second address family of its pod."""


def number_from(movers: Iterable[Mover], sources: Sources, usual: int) -> int:
    """The port's number by the first mover that states one, 0 for off; else the usual one."""
    stated = (mover.number(sources) for mover in movers)
    return next((number for number in stated if number is not None), usual)


def is_true(text: str) -> bool:
    """Whether the text of a variable is true."""
    return text.strip().lower() in TRUE


def port_number(value: object) -> int | None:
    """A port from text or a number; 0 is off."""
    number = parse_number(value) if isinstance(value, str) else value
    is_off = number == 0 and not isinstance(number, bool)
    return 0 if is_off else parse_port(number)


def port_or_off(value: object) -> int | None:
    """The same where a negative number is off, too."""
    return 0 if isinstance(value, str) and value.strip().startswith("-") else port_number(value)


def port_of_address(value: object) -> int | None:
    """The port of an address to listen on, such as ":8080" or "[::1]:53"; an empty one is off."""
    if not isinstance(value, str):
        return None
    address = value.strip().strip("\"'")
    _, colon, port = address.rpartition(":")
    return port_number(port) if colon else (None if address else 0)


def _has_loopback_host(value: object) -> bool:
    """Whether an address to listen on is one of loopback: "127.0.0.1:15010"."""
    if not isinstance(value, str):
        return False
    host = value.strip().strip("\"'").rpartition(":")[0].strip("[]").lower()
    return host in ("localhost", "::1") or host.startswith("127.")


def annotation(name: str) -> Mover:
    """An annotation of the pod."""
    return Mover(Place.ANNOTATION, (name,), f"annotation {name}", port_number)


def proxy_config(key: str) -> Mover:
    """A key of ProxyConfig: PROXY_CONFIG, and above it the annotation proxy.istio.io/config."""
    return Mover(Place.PROXY_CONFIG, (key,), f"ProxyConfig {key}", port_number)


def variable(name: str, parse: Callable[[object], int | None] = port_number) -> Mover:
    """A variable of the proxy's container, or else of ProxyConfig's proxyMetadata."""
    return Mover(Place.VARIABLE, (name,), name, parse)


def proxy_metadata(name: str) -> Mover:
    """A key of ProxyConfig's proxyMetadata that has an address to listen on."""
    return Mover(Place.PROXY_METADATA, (name,), f"proxyMetadata {name}", port_of_address)


def argument(flag: str, parse: Callable[[object], int | None] = port_of_address) -> Mover:
    """A flag of the container, usually an address to listen on."""
    return Mover(Place.ARGUMENT, (flag,), flag, parse)


def iptables(*flags: str, origin: str) -> Mover:
    """A flag of istio-iptables in an init container, and where the injector takes it from."""
    text = f"{origin} (istio-iptables {'/'.join(flags)})"
    return Mover(Place.IPTABLES, flags, text, port_number)
