"""The shapes of port knowledge: a catalogue row, a target's port, a user's own port."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from exporter.catalogue.movers import Mover, Switch
from exporter.model import Component, Expectation, PortName, ProbeKind, Role, Settings, Target

Line = tuple[int, int]
"""An Istio line: (1, 28)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One row of port knowledge.

    `number` is the usual one. `bind`: "all" or "loopback". `protocol`: what it speaks. `category`:
    traffic, health, telemetry, debug, control. `escapes_capture`: Istio's rules leave it out of the
    capture, as the docs print it; of one target `target_ports.is_captured` decides. `setting`: the
    `Settings` field with its number, empty if fixed; `moved_by`: what a pod document sets that to,
    the first one counts. `switches`: variables that set other fields. `enabled` and `expected`
    (None: by `bind`) read the settings. `since`/`until`: first and last Istio line that has it.
    `probe` is sent over the network, `pod_probe` from inside the pod. `endpoint`: whose readiness
    it reports. `by_hand`: a command.
    """

    number: int
    role: Role
    name: PortName
    component: Component
    category: str
    purpose: str
    bind: str = "all"
    protocol: str = "HTTP"
    escapes_capture: bool = False
    setting: str = ""
    moved_by: tuple[Mover, ...] = ()
    switches: tuple[Switch, ...] = ()
    enabled: Callable[[Settings], bool] | None = None
    expected: Callable[[Settings, Line], Expectation] | None = None
    since: Line | None = None
    until: Line | None = None
    probe: ProbeKind | None = None
    pod_probe: ProbeKind | None = None
    endpoint: str = ""
    by_hand: str = ""
    path: str = ""

    def number_in(self, settings: Settings) -> int:
        """Its number under these settings; 0 is off."""
        number: int = getattr(settings, self.setting) if self.setting else self.number
        return number

    def expectation_in(self, settings: Settings, line: Line) -> Expectation:
        """What it should be under these settings on this Istio line."""
        not_in_line = (self.since and line < self.since) or (self.until and line > self.until)
        is_off = self.number_in(settings) == 0 or (self.enabled and not self.enabled(settings))
        if not_in_line or is_off:
            return Expectation.ABSENT
        if self.setting in settings.loopback_ports:
            return Expectation.LOOPBACK
        if self.expected:
            return self.expected(settings, line)
        return Expectation.LOOPBACK if self.bind == "loopback" else Expectation.OPEN

    @property
    def moved_by_text(self) -> str:
        """What moves and switches it, for people."""
        movers = ", ".join(mover.text for mover in self.moved_by)
        return "; ".join(filter(None, (movers, *(switch.text for switch in self.switches))))


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPort:
    """A port of one target, with its number resolved and its expectation decided.

    `name`: the catalogue's, or that of a gateway's listener; empty for the user's own ports and the
    application's. `component`: the process that owns it. `captured`: a connection from the network
    to it is answered by inbound redirection first. `by_hand`: a command, empty without one.
    """

    number: int
    expectation: Expectation
    name: PortName | str = ""
    component: Component | str = ""
    captured: bool = False
    probe: ProbeKind | None = None
    pod_probe: ProbeKind | None = None
    path: str = ""
    by_hand: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraPort:
    """A user's own port, or an override of what a catalogue port is expected to be.

    An empty `probe` keeps the catalogue's. Empty `namespaces` and `label_selector` match every
    target of the role.
    """

    port: int
    role: Role
    probe: Literal["", "http", "tcp", "tls"] = ""
    path: str = "/"
    expect: Expectation = Expectation.OPEN
    component: str = ""
    namespaces: tuple[str, ...] = ()
    label_selector: tuple[tuple[str, str], ...] = ()

    def selects(self, target: Target) -> bool:
        """Whether this row is about the target."""
        return (
            target.role is self.role
            and (not self.namespaces or target.key.namespace in self.namespaces)
            and all(target.labels.get(name) == value for name, value in self.label_selector)
        )


def rows_for(roles: Iterable[Role], **row: object) -> Iterator[Port]:
    """The same row for several roles."""
    for role in roles:
        yield Port(role=role, **row)  # type: ignore[arg-type]
