"""What is sent to one port, planned once a target, and what came of it."""

from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from exporter.model.enums import Outcome, ProbeKind, View
from exporter.model.facts import Certificate, Facts, TlsFacts


class Probe(Struct, frozen=True, gc=False):
    """What is sent to one port, from one view, at one address of a target.

    `port` is the port that it is about; 0 for the socket table, which is no port's. `address` is
    empty in the pod view, where a port may listen on either loopback. `path` is what is requested
    where the kind leaves that open. `captured`: redirection answers a connection to the port first.
    `via`: the port that is connected to in its place, the control port for a hello; 0 for none.
    `is_listed`: Envoy's admin lists an active listener on the port.
    """

    port: int
    kind: ProbeKind
    view: View
    address: str = ""
    path: str = ""
    captured: bool = False
    via: int = 0
    is_listed: bool = False


class Observation(Struct, frozen=True, gc=False):
    """What came of one probe.

    `seconds` is the probe's duration, for HTTP without the connect; `detail` is for people: short,
    no secrets.
    `connected`: whether a TCP connection was made, which is all that a naive prober tests;
    None where none was tried.
    """

    probe: Probe
    outcome: Outcome
    seconds: float = 0.0
    detail: str = ""
    facts: Facts = None
    connected: bool | None = None

    @property
    def port(self) -> int:
        """The port that was probed; 0 for the socket table."""
        return self.probe.port

    @property
    def view(self) -> View:
        """Where it was probed from."""
        return self.probe.view

    @property
    def address(self) -> str:
        """The address that was probed; empty in the pod view."""
        return self.probe.address

    @property
    def certificate(self) -> Certificate | None:
        """The one that a TLS hello brought; None without one."""
        return self.facts.certificate if isinstance(self.facts, TlsFacts) else None


class Timed(Protocol):
    """A probe that has ended: what it was, and how many seconds it took."""

    @property
    def probe(self) -> Probe:
        """What was sent."""

    @property
    def seconds(self) -> float:
        """As an observation's."""


@dataclass(frozen=True, slots=True)
class WebhookPath:
    """What the dry run of a pod's creation showed of the way to the injection webhook.

    `up`: the webhook injected (True), or the API server could not call it (False). None: neither
    was shown, and `detail` is the reason. `revision`: the one that the pod selected, empty for any.
    `at`: when it was made, seconds since the epoch.
    """

    up: bool | None
    outcome: Outcome
    detail: str = ""
    revision: str = ""
    at: float = field(default=0.0, compare=False)
