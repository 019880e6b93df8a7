"""Views of pods by port-forward, while the configuration and the credentials allow it."""

from exporter.access.portforward import ForwardedPod, Open, PortForwards
from exporter.access.portforward_budget import Budget
from exporter.config import AccessConfig
from exporter.model import Target

_SHARE_OF_PROBES = 4
"""For `/probe`: a port-forward more for so many that polls may open."""


class PortForwardAccess:
    """Port-forwards under one configuration of `access`: their budget and what was refused.

    It is handed from session to session while that stays the same.
    """

    def __init__(self, config: AccessConfig, open_websocket: Open) -> None:
        self.config = config
        allowed = config.portforward
        self._portforwards = (
            PortForwards(
                open_websocket,
                Budget(allowed.per_second, allowed.concurrency),
                probe_budget=Budget(allowed.per_second / _SHARE_OF_PROBES, 1),
            )
            if config.loopback == "portforward"
            else None
        )

    @property
    def error(self) -> str:
        """Why port-forwards are refused; empty where they are not."""
        return self._portforwards.trouble if self._portforwards else ""

    def pod(self, target: Target) -> ForwardedPod | None:
        """The view of a target that is polled."""
        return self._portforwards.pod(target.key) if self._portforwards else None

    def probed_pod(self, target: Target) -> ForwardedPod | None:
        """The view of a target that `/probe` polls: a small budget beside that of the polls."""
        return self._portforwards.probed_pod(target.key) if self._portforwards else None
