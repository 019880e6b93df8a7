"""What the observations mean: verdicts by port, one diagnosis, the record that is published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from exporter.model.enums import Cadence, CauseClass, Outcome, View
from exporter.model.facts import IstiodFacts, ListeningSocket, ProxyListing, Timestamped
from exporter.model.observation import Observation, WebhookPath
from exporter.model.target import Target


class Verdict(Struct, frozen=True):
    """What can be said of one port. `up` None: unjudged, and `outcome` says why.

    `view` is the view that decided. `naive`: what a plain connect from the network said
    (True it connects, False it does not, None it was not tried). `seconds` and `detail`
    are the deciding probe's. `structural`: unjudged by configuration for a whole role, so it
    is said once per exporter and not per target.
    """

    port: int
    component: str
    up: bool | None
    outcome: Outcome
    view: View
    seconds: float = 0.0
    detail: str = ""
    naive: bool | None = None
    exposed: bool = False
    structural: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The one most likely cause, with the evidence it rests on.

    `cause` is a stable id from `diagnosis.causes`; evidence is short sentences.
    """

    cause: str
    cause_class: CauseClass
    sentence: str
    advice: str
    evidence: tuple[str, ...] = ()


class CertificateValidity(Struct, frozen=True, kw_only=True):
    """One certificate of a target: which (workload, root, serving), told by whom, how long."""

    certificate: str
    source: str
    not_after: float
    not_before: float | None = None


class ProxyStatus(Struct, frozen=True, kw_only=True):
    """What is known of an Envoy or ztunnel beyond its ports; None and empty mean not known."""

    captured: bool | None = None
    envoy_live: bool | None = None
    listeners: Mapping[str, float] = {}
    bound: Mapping[str, bool] = {}
    rejected: Mapping[str, bool] = {}
    updates: Mapping[str, float] = {}
    rejects: Mapping[str, float] = {}
    xds_connected: bool | None = None
    xds_synced: Mapping[str, bool] = {}
    xds_known: bool | None = None
    agent_scrape_failures: Mapping[str, float] = {}
    rejected_reasons: Mapping[str, str] = {}


_NO_PROXY = ProxyStatus()


class TargetRecord(Struct, frozen=True, kw_only=True):
    """Everything one look said of one target: what `exposition` renders and the API serves.

    `ready` maps an endpoint (envoy, agent, istiod, webhook, ztunnel, cni) to its readiness.
    `listings`: what an istiod last said of its proxies, newest first, while it answers.
    `polled` holds when each cadence last ran, seconds since the epoch.
    """

    target: Target
    verdicts: tuple[Verdict, ...] = ()
    ready: Mapping[str, bool] = {}
    diagnosis: Diagnosis | None = None
    proxy: ProxyStatus = _NO_PROXY
    control_plane: IstiodFacts | None = None
    listings: tuple[Timestamped[ProxyListing], ...] = ()
    certificates: tuple[CertificateValidity, ...] = ()
    spiffe_id: str = ""
    listening: tuple[ListeningSocket, ...] = ()
    polled: Mapping[Cadence, float] = {}
    last_ok: Mapping[int, float] = {}
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """What the exporter reports of the mesh as a whole and of no single target.

    `ambient_pods`: how many pods are enrolled in ambient by (namespace, node, redirection).
    `webhook_path`: the last dry run's result; None while none is made.
    """

    ambient_pods: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    webhook_path: WebhookPath | None = None


class Steady(Struct, frozen=True):
    """What a look showed that left nothing to learn: the same again means the same again.

    `ports` are the very ones that were looked at, of `record`'s target. `timed` names the
    observation whose duration each verdict has, by its place; None for one that was inferred.
    `until`: what time alone changes is judged then, seconds since the epoch.
    """

    ports: Sequence[object]
    observations: tuple[Observation, ...]
    timed: tuple[int | None, ...]
    until: float
    record: TargetRecord
