"""What one probe saw of one port."""

from dataclasses import dataclass

from msgspec import Struct

from exporter.model.enums import Outcome, View
from exporter.model.facts import Facts


class Observation(Struct, frozen=True):
    """What one probe saw of one port from one view at one address.

    `seconds` is the probe's duration, for HTTP without the connect; `detail` is for people: short,
    no secrets.
    `connected`: whether a TCP connection came about, which is all that a naive prober asks;
    None where none was tried.
    """

    port: int
    view: View
    outcome: Outcome
    seconds: float = 0.0
    detail: str = ""
    facts: Facts = None
    address: str = ""
    connected: bool | None = None


@dataclass(frozen=True, slots=True)
class WebhookPath:
    """What a pod's creation, tried without effect, showed of the way to the injection webhook.

    `up`: the webhook injected (True), or the API server could not call it (False). None: neither
    was shown, and `detail` says why. `revision`: the one that the pod asked for, empty for any.
    """

    up: bool | None
    outcome: Outcome
    detail: str
    revision: str = ""


SOCKETS_PORT = 0
"""The pseudo port under which a pod's socket table is observed."""
