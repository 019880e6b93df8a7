"""The way into pods by port-forward, while the configuration and the credentials allow it."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from exporter.access.forwarded_streams import MessageStream
from exporter.access.portforward import ForwardedPod, PortForwards
from exporter.access.portforward_budget import Budget
from exporter.config import AccessConfig, Config
from exporter.kube.client import KubernetesClient
from exporter.kube.errors import KubernetesError
from exporter.model import Target, TargetKey


class PortForwardAccess:
    """Hands out the ways into pods. `api` is the API server in use, None while there is none."""

    def __init__(self, config: Config) -> None:
        self.api: KubernetesClient | None = None
        self._access: AccessConfig | None = None
        self._forwarding: PortForwards | None = None
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Take a configuration; what was refused and spent is kept unless access changed."""
        access = config.access
        if access == self._access:
            return
        self._access = access
        allowed = access.portforward
        self._forwarding = (
            PortForwards(self._open, Budget(allowed.per_second, allowed.concurrency))
            if access.loopback == "portforward"
            else None
        )

    @property
    def is_allowed(self) -> bool:
        """Whether port-forwards are to be used at all."""
        return self._forwarding is not None

    @property
    def trouble(self) -> str:
        """Why port-forwards are refused; empty where they are not."""
        return self._forwarding.trouble if self._forwarding else ""

    def pod(self, target: Target) -> ForwardedPod | None:
        """The way into a target that is polled."""
        return self._forwarding.pod(target.key) if self._forwarding else None

    def pod_now(self, target: Target) -> ForwardedPod | None:
        """The way into a target that somebody asks for: it goes first."""
        return self._forwarding.pod(target.key, urgent=True) if self._forwarding else None

    def _open(
        self, key: TargetKey, ports: Sequence[int]
    ) -> AbstractAsyncContextManager[MessageStream]:
        if self.api is None:
            raise KubernetesError.of(0, "no port-forward: there are no Kubernetes credentials")
        return self.api.forward(key.namespace, key.pod, ports)
