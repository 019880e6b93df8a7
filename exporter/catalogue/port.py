"""The shapes of port knowledge: a catalogue row, a target's port, a user's own port."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from exporter.model import Component, Expectation, PortName, Role, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One row of port knowledge.

    `bind`: "all" or "loopback". `protocol`: what it speaks. `category`: traffic, health,
    telemetry, debug, control. `setting`: the `Settings` field that moves it, empty if fixed.
    `since`/`until`: first and last Istio line that has it. `probe` is asked over the network,
    `pod_probe` from inside the pod; empty means not asked there. `by_hand`: a command.
    """

    number: int
    role: Role
    name: PortName
    component: Component
    bind: str
    protocol: str
    category: str
    purpose: str
    escapes_capture: bool = False
    setting: str = ""
    moved_by: str = ""
    since: tuple[int, int] | None = None
    until: tuple[int, int] | None = None
    probe: str = ""
    pod_probe: str = ""
    by_hand: str = ""
    path: str = ""


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
    probe: str = ""
    pod_probe: str = ""
    path: str = ""
    by_hand: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraPort:
    """A user's own port, or an override of what a catalogue port is expected to be.

    `probe` is http, tcp or tls; empty keeps the catalogue's. Empty `namespaces` and `labels`
    match every target of the role.
    """

    port: int
    role: Role
    probe: str = ""
    path: str = "/"
    expect: Expectation = Expectation.OPEN
    component: str = ""
    namespaces: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = field(default_factory=tuple)

    def selects(self, target: Target) -> bool:
        """Whether this row is about the target."""
        return (
            target.role is self.role
            and (not self.namespaces or target.key.namespace in self.namespaces)
            and all(target.labels.get(name) == value for name, value in self.labels)
        )


def rows_for(roles: Iterable[Role], **row: object) -> Iterator[Port]:
    """The same row for several roles."""
    for role in roles:
        yield Port(role=role, **row)  # type: ignore[arg-type]
