"""The fields of a Kubernetes Pod that discovery needs, as msgspec structs; the rest is skipped.

Everything is optional except the name: a pod document without a status still shows what the
pod is. Pure, but for the clock by which `started_at` is.
"""

from functools import cached_property
from typing import Annotated

import msgspec

from exporter.bounds import ADDRESSES, CONTAINER_VALUES, CONTAINERS
from exporter.clock import time_of
from exporter.discovery.command_lines import expanded, words_of
from exporter.kube.json_decoding import Json, decode
from exporter.parsing import parse_host_address, parse_port

_Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]


class _Part(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Fields are spelled as Kubernetes does; unknown ones are ignored."""


class Owner(_Part, frozen=True):
    """One owner reference."""

    kind: str = ""
    name: str = ""
    controller: bool | None = None


class Metadata(_Part, frozen=True):
    """The metadata of a pod, or of another object."""

    name: str
    namespace: str = "default"
    uid: str = ""
    creation_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] | None = None
    owner_references: tuple[Owner, ...] | None = None


class _Variable(_Part, frozen=True):
    """One environment variable; those that refer to something have no value here."""

    name: str
    value: str | None = None


class _ContainerPort(_Part, frozen=True):
    """One declared port."""

    container_port: _Int32 = 0
    protocol: str = "TCP"


class SecurityContext(_Part, frozen=True):
    """As which user and group a container runs."""

    run_as_user: int | None = None
    run_as_group: int | None = None


class _ProbedEndpoint(_Part, frozen=True):
    """What the kubelet requests over HTTP: a port, by its number or its name."""

    port: int | str = 0


class ReadinessProbe(_Part, frozen=True):
    """When the kubelet begins to probe, how often, and how many failures make it not ready."""

    initial_delay_seconds: int | None = None
    period_seconds: int | None = None
    failure_threshold: int | None = None
    http_get: _ProbedEndpoint | None = None

    @property
    def delay(self) -> float:
        """Seconds from the container's start to the first probe."""
        return float(min(max(self.initial_delay_seconds or 0, 0), _LONGEST_SECONDS))

    @property
    def port(self) -> int:
        """The port that it requests by number; 0 for none."""
        return (self.http_get and parse_port(self.http_get.port)) or 0

    @property
    def unready_after(self) -> float:
        """Seconds until a container that fails is not ready, by the kubelet's defaults."""
        period, threshold = self.period_seconds or 10, self.failure_threshold or 3
        return float(min(max(period, 1) * max(threshold, 1), _LONGEST_SECONDS))


_LONGEST_SECONDS = 10**9


class Container(_Part, frozen=True, dict=True, gc=True):
    """A container or init container. What is made of its rows is made once."""

    name: str = ""
    image: str = ""
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    env: tuple[_Variable, ...] | None = None
    ports: tuple[_ContainerPort, ...] | None = None
    restart_policy: str | None = None
    security_context: SecurityContext | None = None
    readiness_probe: ReadinessProbe | None = None

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Command and arguments in one row, as kubelet and shell make them."""
        return words_of(self.command or (), self.args or (), self.environment)

    @cached_property
    def environment(self) -> dict[str, str]:
        """The variables that have a literal value, with those before them put in."""
        found: dict[str, str] = {}
        for row in (self.env or ())[:CONTAINER_VALUES]:
            if row.value is not None:
                found[row.name] = expanded(row.value, found)
        return found

    @cached_property
    def tcp_ports(self) -> tuple[int, ...]:
        """The declared TCP ports."""
        rows = (self.ports or ())[:CONTAINER_VALUES]
        ports = (row.container_port for row in rows if row.protocol == "TCP")
        return tuple(port for port in ports if parse_port(port))


class _OperatingSystem(_Part, frozen=True):
    """For which operating system a pod is."""

    name: str = ""


class Spec(_Part, frozen=True):
    """A pod's spec."""

    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    node_name: str | None = None
    host_network: bool | None = None
    service_account_name: str | None = None
    restart_policy: str | None = None
    termination_grace_period_seconds: int | None = None
    security_context: SecurityContext | None = None
    os: _OperatingSystem | None = None
    node_selector: dict[str, str] | None = None


class StateDetail(_Part, frozen=True):
    """Why a container waits or has ended (CrashLoopBackOff, OOMKilled), how and when; or runs."""

    reason: str = ""
    exit_code: _Int32 = 0
    signal: _Int32 = 0
    started_at: str | None = None
    finished_at: str | None = None


class StateReport(_Part, frozen=True):
    """The state of a container: one of the three is there."""

    running: StateDetail | None = None
    waiting: StateDetail | None = None
    terminated: StateDetail | None = None


class ContainerStatus(_Part, frozen=True):
    """The kubelet's status of one container."""

    name: str = ""
    ready: bool = False
    started: bool | None = None
    restart_count: _Int32 = 0
    container_id: str = msgspec.field(default="", name="containerID")
    state: StateReport | None = None
    last_state: StateReport | None = None

    @property
    def started_at(self) -> float | None:
        """When it started, in seconds since the epoch; None where it does not run."""
        running = self.state.running if self.state else None
        return time_of(running.started_at) if running else None

    @property
    def trouble(self) -> str:
        """Why it does not run, and how it last ended, in the kubelet's words; else empty."""
        now, before = self.state or StateReport(), self.last_state or StateReport()
        waiting = now.waiting.reason if now.waiting else ""
        ended = now.terminated or before.terminated
        last = f"{ended.reason or 'ended'} (exit code {ended.exit_code})" if ended else ""
        return ", ".join(filter(None, (waiting, last and f"last ended: {last}")))


class _PodIP(_Part, frozen=True):
    """One address of a pod."""

    ip: str = ""


class Status(_Part, frozen=True):
    """A pod's status."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[_PodIP, ...] | None = msgspec.field(default=None, name="podIPs")
    host_ip: str = msgspec.field(default="", name="hostIP")
    host_ips: tuple[_PodIP, ...] | None = msgspec.field(default=None, name="hostIPs")
    container_statuses: tuple[ContainerStatus, ...] | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The pod's addresses, the primary one first and none twice.

        What is no host's address is left out.
        """
        listed = [row.ip for row in (self.pod_ips or ())[:ADDRESSES]]
        found = [address for ip in listed if (address := parse_host_address(ip))]
        found = found or [address for ip in (self.pod_ip,) if (address := parse_host_address(ip))]
        return tuple(dict.fromkeys(map(str, found)))

    def of(self, container: str) -> ContainerStatus | None:
        """The status of a container or init container; None where the kubelet reports none."""
        rows = (*(self.container_statuses or ()), *(self.init_container_statuses or ()))
        return next((row for row in rows if row.name == container), None)


class Pod(_Part, frozen=True):
    """A pod as the API server returns it."""

    metadata: Metadata
    spec: Spec = Spec()
    status: Status | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The pod's labels."""
        return self.metadata.labels or {}

    @property
    def annotations(self) -> dict[str, str]:
        """The pod's annotations."""
        return self.metadata.annotations or {}

    @property
    def is_injected(self) -> bool:
        """Whether the injector has been at it, whatever it put in."""
        return "sidecar.istio.io/status" in self.annotations

    @property
    def is_for_windows(self) -> bool:
        """Whether it runs on Windows nodes alone, on which nothing of Istio does."""
        stated = self.spec.os.name if self.spec.os else ""
        return "windows" in (stated, (self.spec.node_selector or {}).get("kubernetes.io/os"))

    @property
    def has_ended(self) -> bool:
        """Whether its containers have ended and are not started again."""
        return self.status is not None and self.status.phase in ("Succeeded", "Failed")

    @property
    def containers(self) -> tuple[Container, ...]:
        """The containers that run as long as the pod; native sidecars come first."""
        inits = self.spec.init_containers or ()
        native = tuple(row for row in inits[:CONTAINERS] if row.restart_policy == "Always")
        return (*native, *(self.spec.containers or ())[:CONTAINERS])


_DECODER = msgspec.json.Decoder(Pod)


def decode_pod(document: Json) -> Pod:
    """A pod from its JSON; raises msgspec.DecodeError for anything else."""
    return decode(_DECODER, document)
