"""What one probe saw of one port."""

from dataclasses import dataclass, field

from msgspec import Struct

from exporter.model.enums import Outcome, View
from exporter.model.facts import Facts
from exporter.model.probe import Probe


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


@dataclass(frozen=True, slots=True)
class WebhookPath:
    """What the dry run of a pod's creation showed of the way to the injection webhook.

    `up`: the webhook injected (True), or the API server could not call it (False). None: neither
    was shown, and `detail` is the reason. `revision`: the one that the pod selected, empty for any.
    `at`: when it was made, seconds since the epoch.
    """

    up: bool | None
    outcome: Outcome
    detail: str
    revision: str = ""
    at: float = field(default=0.0, compare=False)
