"""Services that select gateways, and their target ports. Pure.

In: Services as the API returns them. Out: a gateway's target with those ports. The rule: a Service
alone proves no fault. Only the one that istiod makes for a Gateway of the Gateway API, which owns
it, lists exactly its listeners, and of those Envoy has to serve HTTP and HTTPS: one of TCP or TLS
has no listener until a route is attached to it. All other ports are reported only while they
answer, because Istio's chart opens 80 and 443 whether or not a Gateway selects them. Sources:
files/kube-gateway.yaml; deploymentcontroller.go, extractServicePorts; networking/core/gateway.go.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import msgspec

from exporter.bounds import SERVICES, TARGET_PORTS
from exporter.discovery.pod_documents import Metadata
from exporter.kube.json_decoding import Json, decode
from exporter.model import Role, Target
from exporter.parsing import parse_port


class _Port(msgspec.Struct, frozen=True, rename="camel"):
    port: int = 0
    target_port: int | str = 0
    protocol: str = "TCP"
    app_protocol: str = ""


class _Spec(msgspec.Struct, frozen=True):
    selector: dict[str, str] | None = None
    ports: tuple[_Port, ...] | None = None


class _Service(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: _Spec = _Spec()


_SERVICE = msgspec.json.Decoder(_Service)


@dataclass(frozen=True, slots=True)
class Service:
    """The pods that a Service selects, and its TCP target ports; named ports are left out.

    `listeners` are those of its ports that have to be served: a Gateway that owns it lists them.
    """

    namespace: str
    selector: Mapping[str, str]
    ports: tuple[int, ...]
    listeners: tuple[int, ...]

    def selects(self, target: Target) -> bool:
        """Whether the target is one of its pods; a Service without a selector has none."""
        return (
            bool(self.selector)
            and self.namespace == target.key.namespace
            and self.selector.items() <= target.labels.items()
        )


def service_of(document: Json) -> tuple[str, Service]:
    """A Service by namespace and name; raises for what is no Service."""
    found = decode(_SERVICE, document)
    metadata, selector = found.metadata, found.spec.selector or {}
    is_of_gateway = any(owner.kind == "Gateway" for owner in metadata.owner_references or ())
    rows = [row for row in (found.spec.ports or ())[:TARGET_PORTS] if row.protocol == "TCP"]
    listeners = [row for row in rows if is_of_gateway and row.app_protocol in _ALWAYS_SERVED]
    service = Service(metadata.namespace, selector, _numbers(rows), _numbers(listeners))
    return f"{metadata.namespace}/{metadata.name}", service


_ALWAYS_SERVED = frozenset({"http", "https"})
"""The listeners' protocols, as istiod writes them, that Envoy serves without a route as well."""


def _numbers(rows: Iterable[_Port]) -> tuple[int, ...]:
    numbers = (row.target_port or row.port for row in rows)
    return tuple(dict.fromkeys(n for n in numbers if isinstance(n, int) and parse_port(n)))


def with_services(target: Target, services: Iterable[Service]) -> Target:
    """A gateway with the target ports of its Services; any other target unchanged."""
    if target.role is not Role.GATEWAY:
        return target
    listeners, others = set(target.settings.server_ports), set(target.settings.app_ports)
    for row in islice((row for row in services if row.selects(target)), SERVICES):
        listeners.update(row.listeners)
        others.update(row.ports)
    settings = replace(
        target.settings, server_ports=_some(listeners), app_ports=_some(others - listeners)
    )
    return replace(target, settings=settings)


def _some(ports: set[int]) -> tuple[int, ...]:
    return tuple(sorted(ports)[:TARGET_PORTS])
