"""What the observations mean: verdicts by port, one diagnosis, the record that is published."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.model.enums import Cadence, CauseClass, Outcome, View
from exporter.model.facts import IstiodFacts, ListeningSocket, ProxyListing, Timestamped
from exporter.model.interning import NO_ENTRIES
from exporter.model.observation import WebhookPath
from exporter.model.target import Target


class Verdict(Struct, frozen=True, gc=False):
    """What is known of one port. `up` None: unjudged, and `outcome` is the reason.

    `view` is the view that decided, `detail` is the deciding probe's. `naive`: the result of a
    plain connect from the network (True it connects, False it does not, None it was not tried).
    `structural`: unjudged by configuration for a whole role, so it is reported once per exporter
    and not per target.
    """

    port: int
    component: str
    up: bool | None
    outcome: Outcome
    view: View
    detail: str = ""
    naive: bool | None = None
    exposed: bool = False
    structural: bool = False


class Diagnosis(Struct, frozen=True, gc=False):
    """The one most likely cause, with the evidence it rests on.

    `cause` is a stable id from `diagnosis.causes`; evidence is short sentences.
    """

    cause: str
    cause_class: CauseClass = field(name="class")
    sentence: str
    advice: str
    evidence: tuple[str, ...] = ()


class CertificateValidity(Struct, frozen=True, kw_only=True, gc=False):
    """One certificate of a target: which (workload, root, serving), from what source, how long."""

    certificate: str
    source: str
    not_before: float | None = None
    not_after: float


class ProxyStatus(Struct, frozen=True, kw_only=True, gc=False):
    """What is known of an Envoy or ztunnel beyond its ports; None and empty mean not known."""

    captured: bool | None = None
    envoy_live: bool | None = None
    listeners: Mapping[str, float] = NO_ENTRIES
    bound: Mapping[str, bool] = NO_ENTRIES
    rejected: Mapping[str, bool] = NO_ENTRIES
    updates: Mapping[str, float] = NO_ENTRIES
    rejects: Mapping[str, float] = NO_ENTRIES
    xds_connected: bool | None = None
    xds_synced: Mapping[str, bool] = NO_ENTRIES
    xds_known: bool | None = None
    agent_scrape_failures: Mapping[str, float] = NO_ENTRIES
    rejected_reasons: Mapping[str, str] = NO_ENTRIES
    workloads: Mapping[str, float] = NO_ENTRIES
    terminations: Mapping[str, float] = NO_ENTRIES


_NO_PROXY = ProxyStatus()


class ServerCertificate(Struct, frozen=True, gc=False):
    """How long a gateway's certificate for a name is valid; port 0 where no hello showed it."""

    port: int
    server_name: str
    not_before: float
    not_after: float


class LastOk(Struct, frozen=True, gc=False):
    """When ports were last up, in seconds since the epoch: those that are `up` all `at` once.

    That is in the last poll; `before`: the others that were ever up.
    """

    up: tuple[int, ...] = ()
    at: float = 0.0
    before: Mapping[int, float] = NO_ENTRIES

    def get(self, port: int) -> float | None:
        """When the port was last up; None for never."""
        return self.at if port in self.up else self.before.get(port)

    def after(self, up: tuple[int, ...], now: float) -> "LastOk":
        """The same after a poll that found these ports up."""
        if not up and not self.up:
            return self
        if up == self.up and not self.before:
            return LastOk(up, now)
        known = {**self.before, **dict.fromkeys(self.up, self.at)}
        before = {port: at for port, at in known.items() if port not in up}
        return LastOk(up, now, before or NO_ENTRIES)

    def moved(self, seconds: float) -> "LastOk":
        """The same moments by a clock that is ahead."""
        before = {port: at + seconds for port, at in self.before.items()}
        return LastOk(self.up, self.at + seconds, before or NO_ENTRIES)


NEVER_OK = LastOk()


class TargetRecord(Struct, frozen=True, kw_only=True, gc=False):
    """The result of one poll of one target: what `exposition` renders and the API serves.

    `ready` maps an endpoint (envoy, agent, istiod, webhook, ztunnel, cni) to its readiness.
    `listings`: what an istiod last reported of its proxies, newest first, while it answers.
    `undetected` are causes that nothing in this poll could show. What differs between polls that
    see the same: `durations`, by port how long the probe took that decided; `polled`, when each
    cadence last ran; `last_ok`, when each port was last up (seconds since the epoch); `polls`, how
    many there were since the target was found, 0 before the first, None where nobody counts;
    `faulty_polls`, how many of them found a fault.
    """

    target: Target
    verdicts: tuple[Verdict, ...] = ()
    ready: Mapping[str, bool] = NO_ENTRIES
    diagnosis: Diagnosis | None = None
    proxy: ProxyStatus = _NO_PROXY
    control_plane: IstiodFacts | None = None
    listings: tuple[Timestamped[ProxyListing], ...] = ()
    certificates: tuple[CertificateValidity, ...] = ()
    spiffe_id: str = ""
    root: str = ""
    version: str = ""
    servers: tuple[ServerCertificate, ...] = ()
    listening: tuple[ListeningSocket, ...] = ()
    undetected: tuple[str, ...] = ()
    durations: Mapping[int, float] = NO_ENTRIES
    polled: Mapping[Cadence, float] = NO_ENTRIES
    last_ok: LastOk = NEVER_OK
    polls: int | None = None
    faulty_polls: int = 0

    @property
    def cause(self) -> str:
        """The id of its cause; empty without one."""
        return self.diagnosis.cause if self.diagnosis else ""

    def with_times_moved(self, seconds: float) -> "TargetRecord":
        """The record with later times of polls, for a wall clock that was set."""
        if not seconds:
            return self
        polled = {cadence: at + seconds for cadence, at in self.polled.items()}
        return replace(self, polled=polled, last_ok=self.last_ok.moved(seconds))


@dataclass(slots=True)
class ClusterRecord:
    """What is known of the mesh as a whole and of no single target.

    `in_mesh`: the exporter runs behind a sidecar of its own: nothing that it sees can be trusted.
    `ambient_pods`: how many pods are enrolled in ambient by (namespace, node, redirection).
    `missing_proxies`: how many pods ought to have a proxy and have none by (namespace, reason).
    `webhook_path`: the last dry run's result; None while none is made.
    """

    in_mesh: bool = False
    ambient_pods: Mapping[tuple[str, str, str], int] = dataclasses.field(default_factory=dict)
    missing_proxies: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    webhook_path: WebhookPath | None = None
