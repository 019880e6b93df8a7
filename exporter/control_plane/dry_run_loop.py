"""Tries a pod's creation, without effect, once a detail interval, where that was chosen.

Flows in: an open `KubernetesClient`. Out: the last `WebhookPath`, while it is fresh. It is no probe
of a target: the request goes to the API server, with a right that only this needs.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from exporter import clock
from exporter.config import Config, DryRunConfig
from exporter.control_plane.webhook_dry_run import document_of, path_of, read_created, read_refusal
from exporter.kube.api_errors import KubernetesError
from exporter.kube.client import KubernetesClient
from exporter.model import WebhookPath

log = logging.getLogger(__name__)


@dataclass(slots=True)
class WebhookDryRun:
    """Keeps what the last dry run showed; `tried` and `requested` are called after each.

    `requested` takes verb, resource and code, as the exporter's own metrics do.
    """

    tried: Callable[[WebhookPath | None], None]
    requested: Callable[[str, str, str], None]
    last: WebhookPath | None = None

    async def run(self, api: KubernetesClient, config: Config) -> None:
        """Try until cancelled; what was shown is forgotten then.

        Of many shards, or one exporter a node and one beside them, one tries.
        """
        chosen = config.istiod.webhook_dry_run
        kubernetes = config.discovery.kubernetes
        is_owner = config.shard.ordinal == 0 and not kubernetes.node
        if not (chosen.enabled and is_owner):
            return
        try:
            while True:
                began = clock.now()
                self._take(replace(await self._try(api, chosen), at=began))
                await asyncio.sleep(max(config.poll.detail_interval, config.poll.interval))
        finally:
            self._take(None)

    async def _try(self, api: KubernetesClient, chosen: DryRunConfig) -> WebhookPath:
        try:
            body = await api.dry_run(path_of(chosen), document_of(chosen))
        except KubernetesError as error:
            self.requested("create", "pods", str(error.status or "error"))
            return read_refusal(error, chosen)
        self.requested("create", "pods", "201")
        return read_created(body, chosen)

    def _take(self, path: WebhookPath | None) -> None:
        """Keep it, publish it, and log when it changed."""
        before = self.last
        self.last = path
        self.tried(path)
        if path is None or (before and (before.outcome, before.up) == (path.outcome, path.up)):
            return
        level = logging.INFO if path.up else logging.WARNING
        words = {True: "reached", False: "not reached", None: "not judged"}[path.up]
        log.log(
            level,
            "injection webhook %s by the API server outcome=%s reason=%r",
            words,
            path.outcome.value,
            path.detail,
        )
