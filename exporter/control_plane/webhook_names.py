"""By which names the API server calls the injection webhook, read where that was chosen.

Flows in: an open `KubernetesClient`. Out: `names`, one of which 15017's certificate has to have.
The rule: a failed list takes no name back, and no object that cannot be read costs another.
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from urllib.parse import urlsplit

import msgspec

from exporter.bounds import CERTIFICATE_NAMES, KUBERNETES_NAME
from exporter.config import Config
from exporter.control_plane.webhook_dry_run import INJECTOR
from exporter.kube.api_errors import KubernetesError
from exporter.kube.client import KubernetesClient
from exporter.kube.json_decoding import Json, decode
from exporter.kube.object_reader import ObjectReader
from exporter.kube.watch import ResourceWatch
from exporter.kube.watch_options import Resource, WatchCallbacks
from exporter.selfmetrics.registry import SelfMetrics

log = logging.getLogger(__name__)

CONFIGURATIONS = Resource(
    "mutatingwebhookconfigurations",
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
)


class _Service(msgspec.Struct, frozen=True):
    name: str
    namespace: str


class _ClientConfig(msgspec.Struct, frozen=True, rename="camel"):
    service: _Service | None = None
    url: str | None = None


class _Webhook(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    client_config: _ClientConfig = _ClientConfig()


class _Configuration(msgspec.Struct, frozen=True):
    webhooks: tuple[_Webhook, ...] | None = None


_DECODER = msgspec.json.Decoder(_Configuration)


@dataclass(slots=True)
class WebhookNames:
    """The names that were read last."""

    metrics: SelfMetrics
    names: tuple[str, ...] = ()
    _failure: str = field(default="", init=False)

    async def run(self, api: KubernetesClient, config: Config) -> None:
        """Read them once a detail interval until cancelled; they are forgotten then."""
        if not config.istiod.read_webhook_names:
            return
        reader = ObjectReader(self.metrics.refused_object)
        try:
            while True:
                await self._read(api, reader)
                await asyncio.sleep(config.poll.detail_interval)
        finally:
            self.names = ()

    async def _read(self, api: KubernetesClient, reader: ObjectReader) -> None:
        found: list[str] = []
        count, resource = self.metrics.asked_kubernetes, CONFIGURATIONS.name
        callbacks = WatchCallbacks(requested=lambda verb, code: count(verb, resource, code))
        try:
            async for page in ResourceWatch(api, CONFIGURATIONS, callbacks).pages():
                for document in page.items:
                    found += reader.read(CONFIGURATIONS.name, document, names_of) or ()
        except KubernetesError as error:
            self._report(str(error))
            return
        except Exception as error:  # noqa: BLE001 - no thread, no memory: what is known stays known
            self._report(f"the exporter failed: {type(error).__name__}")
            return
        self.names = tuple(islice(dict.fromkeys(found), CERTIFICATE_NAMES))
        self._report("")

    def _report(self, failure: str) -> None:
        if failure and failure != self._failure:
            log.warning("the webhooks' names cannot be read reason=%r", failure)
        self._failure = failure


def names_of(document: Json) -> tuple[str, ...]:
    """The names in a webhook configuration; raises for what is none."""
    webhooks = decode(_DECODER, document).webhooks or ()
    injectors = (row.client_config for row in webhooks if row.name.endswith(INJECTOR))
    return tuple(islice(_names(injectors), CERTIFICATE_NAMES))


def _names(injectors: Iterator[_ClientConfig]) -> Iterator[str]:
    """A Service's name as the API server expects it (client-go, webhook.ServiceResolver)."""
    for called in injectors:
        service = called.service
        name = f"{service.name}.{service.namespace}.svc" if service else _host(called.url or "")
        if 0 < len(name) <= KUBERNETES_NAME:
            yield name


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
