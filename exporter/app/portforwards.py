"""Views of pods by port-forward, while the configuration and the credentials allow it."""

from exporter.access.portforward import ForwardedPod, Open, PortForwards
from exporter.access.portforward_budget import Budget
from exporter.config import AccessConfig
from exporter.model import Target


class PortForwardAccess:
    """Port-forwards under one configuration of `access`: their budget and what was refused.

    It is handed from session to session while that stays the same.
    """

    def __init__(self, config: AccessConfig, open_websocket: Open) -> None:
        self.config = config
        allowed = config.portforward
        self._portforwards = (
            PortForwards(open_websocket, Budget(allowed.per_second, allowed.concurrency))
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

    def urgent_pod(self, target: Target) -> ForwardedPod | None:
        """The view of a target that somebody waits for: it goes first."""
        return self._portforwards.pod(target.key, urgent=True) if self._portforwards else None
