"""What a target's last polls left that the next one needs."""

from collections.abc import Mapping

from msgspec import Struct

from exporter.model.enums import Cadence, Outcome
from exporter.model.facts import (
    AdminFacts,
    AgentMetrics,
    Certificate,
    EnvoyStats,
    IstiodFacts,
    ListeningSocket,
    ProxyListing,
    SocketTable,
    Timestamped,
    ZtunnelFacts,
)
from exporter.model.interning import NO_ENTRIES
from exporter.model.observation import Observation, Probe
from exporter.model.record import NEVER_OK, LastOk, TargetRecord


class Growth(Struct, frozen=True, gc=False):
    """A counter between two readings: its last value, last step, and how often in a row it grew.

    `is_hint`: it grew between readings too far apart to count: a reason to read it again soon.
    """

    value: float
    step: float = 0.0
    streak: int = 0
    is_hint: bool = False


class HboneHello(Struct, frozen=True, kw_only=True, gc=False):
    """What the TLS hellos to an ambient workload's 15008 at one address have left.

    `seen` is the last one, `at` when it was sent (seconds since the epoch); `alike`: how many in a
    row ended as it did. `is_current`: 15008 has accepted every connect since. `certificate` is the
    last one that came, be it that the last hello brought none.
    """

    seen: Observation
    at: float
    alike: int = 1
    is_current: bool = True
    certificate: Certificate | None = None

    @property
    def presented(self) -> Certificate | None:
        """What the last hello brought."""
        return self.certificate if self.seen.outcome is Outcome.OK else None


class RememberedPodView(Struct, frozen=True, gc=False):
    """What the last port-forward showed by port: when, and how long after the one before.

    `over_network`: what the network showed then.
    """

    at: float
    every: float
    seen: Mapping[int, Observation]
    over_network: frozenset[tuple[Probe, Outcome]]


class Memory(Struct, frozen=True, kw_only=True, gc=False):
    """What a target's last polls left that the next one needs. Pure data, replaced each poll.

    `polls` are those that were judged, `faulty_polls` those of them that found a fault.
    `is_followed`: another poll comes an interval later, so the first may leave a silence to it.
    `proofs` are ports whose identity was proved; `growth` maps counter names
    to their growth; `rejected` maps cds and lds to "the last update was rejected".
    `hello` is the last decided TLS hello per address, `hello_sent_at` the last attempt.
    `hello_missed`: addresses whose last hello timed out although the one before is believed.
    `hbone`: the same for an ambient workload's 15008, per address; empty text is the pod's view.
    `listings`: an istiod's last two answers to syncz, newest first; none while it is silent.
    `disproved` maps ports that another process answered to what was seen; `page` is how the last
    request for 15020's page ended, `page_requested_at` when that was; `page_wait` is for how many
    seconds it is not requested again. `is_abnormal`: the last poll calls for it.
    `took` maps cadences to how many seconds the last poll took in which they were due, where that
    was longer than the poll interval.
    `fault` is the cause of the last fault before Kubernetes began to delete the pod.
    `unready_polls`: in how many polls in a row readiness failed while agent and Envoy served.
    `slow_polls`: in how many polls in a row Envoy's statistics took long, or did not come.
    `pending_polls`: in how many detail polls in a row ztunnel had pending workloads.
    `lonely_polls`: in how many polls in a row a CNI agent counted no ztunnel as connected to it.
    `silent`: the probes over the network to which nothing came back in the last poll.
    `refused_since`: since when the network refuses what the kubelet probes of a ready container.
    `held_since`: since when it answers what the kubelet probes of a container that is not ready.
    `pod_view`: what the last port-forward showed; `view_interval`: how many seconds apart the
    budget allows them; `view_owes`: the cadences that were due since the last one, but the fast.
    `server_names`: what a gateway's server presented by port and name; None where nothing.
    `record` is the last one where `diagnose` may use it again, as long as a poll shows nothing else
    than `memo`, which is its own.
    """

    polls: int = 0
    faulty_polls: int = 0
    is_followed: bool = False
    agent: Timestamped[AgentMetrics] | None = None
    page: Outcome | None = None
    page_requested_at: float = 0.0
    page_wait: float = 0.0
    is_abnormal: bool = False
    stats: Timestamped[EnvoyStats] | None = None
    admin: Timestamped[AdminFacts] | None = None
    ztunnel: Timestamped[ZtunnelFacts] | None = None
    sockets: Timestamped[SocketTable] | None = None
    istiod: Timestamped[IstiodFacts] | None = None
    listings: tuple[Timestamped[ProxyListing], ...] = ()
    app_health: Timestamped[Mapping[str, int]] | None = None
    hello: Mapping[str, Timestamped[Observation]] = NO_ENTRIES
    hello_sent_at: float = 0.0
    hello_missed: frozenset[str] = frozenset()
    hbone: Mapping[str, HboneHello] = NO_ENTRIES
    exposure: Timestamped[Observation] | None = None
    serving: Mapping[int, Timestamped[Certificate]] = NO_ENTRIES
    server_names: Mapping[tuple[int, str], Timestamped[Certificate | None]] = NO_ENTRIES
    proofs: frozenset[int] = frozenset()
    disproved: Mapping[int, str] = NO_ENTRIES
    growth: Mapping[str, Growth] = NO_ENTRIES
    rejected: Mapping[str, bool] = NO_ENTRIES
    warming_polls: int = 0
    unready_polls: int = 0
    slow_polls: int = 0
    pending_polls: int = 0
    lonely_polls: int = 0
    initializing_since: float | None = None
    last_ok: LastOk = NEVER_OK
    polled: Mapping[Cadence, float] = NO_ENTRIES
    took: Mapping[Cadence, float] = NO_ENTRIES
    fault: str = ""
    silent: frozenset[Probe] = frozenset()
    refused_since: float | None = None
    held_since: float | None = None
    pod_view: RememberedPodView | None = None
    view_interval: float = 0.0
    view_owes: frozenset[Cadence] = frozenset()
    record: TargetRecord | None = None
    memo: object = None

    @property
    def listening(self) -> tuple[ListeningSocket, ...]:
        """The sockets that listen in the pod, by the last table; empty where none was read."""
        return self.sockets.value.listening if self.sockets else ()

    def effective(self, interval: float) -> float:
        """The interval at which this target can be polled: none is shorter than its polls take.

        A target that lets probes run into their deadlines takes longer than a short interval.
        """
        return max(interval, *self.took.values()) if self.took else interval
