"""One target's case, as conditions read it: evidence, memory, verdicts and what follows of them.

Pure. It names what several conditions need to know.
"""

from collections.abc import Mapping

from msgspec import Struct

from exporter.catalogue import port_number_of
from exporter.config import Config
from exporter.diagnosis.container_evidence import failures
from exporter.diagnosis.evidence import Evidence, describe
from exporter.model import (
    AdminFacts,
    AgentMetrics,
    CauseClass,
    EnvoyStats,
    Memory,
    Observation,
    Outcome,
    PortName,
    ProxyStatus,
    Role,
    Target,
    Verdict,
)

Sentences = tuple[str, ...] | None
"""What a condition returns: the sentences that speak for its cause, None where it does not hold."""

NO_FAULT = frozenset({None, Outcome.OK, *(one for one in Outcome if one.is_unjudged)})
"""Outcomes that do not speak against a port; what is unjudged is nobody's fault."""


class Case(Struct, frozen=True, eq=False):
    """Everything that a condition may rest on."""

    evidence: Evidence
    memory: Memory
    verdicts: Mapping[int, Verdict]
    proxy: ProxyStatus
    ready: Mapping[str, bool]

    @property
    def target(self) -> Target:
        """Whose case it is."""
        return self.evidence.target

    @property
    def config(self) -> Config:
        """The configuration of this poll."""
        return self.evidence.config

    @property
    def now(self) -> float:
        """When it was polled, seconds since the epoch."""
        return self.evidence.now

    def verdict(self, name: PortName) -> Verdict | None:
        """The verdict on the port of that name; None where it is not judged from any view."""
        port = self.evidence.named.get(name)
        return self.verdicts.get(port.number) if port else None

    def number(self, name: PortName) -> int:
        """The number of the port of that name on this target; 0 where it has none."""
        return port_number_of(self.target, name)

    def outcome(self, name: PortName) -> Outcome | None:
        """The outcome of the port of that name; None where it was not probed or got lost."""
        verdict = self.verdict(name)
        if verdict is None or verdict.outcome in (Outcome.NO_ACCESS, Outcome.LOST):
            return None
        return verdict.outcome

    def is_up(self, name: PortName) -> bool:
        """Whether the verdict on that port is that it is up."""
        verdict = self.verdict(name)
        return verdict is not None and verdict.up is True

    def answers(self, name: PortName) -> bool:
        """Whether that port was proved to answer."""
        outcome = self.outcome(name)
        return outcome is not None and outcome.proves

    def agent_answer(self) -> Outcome | None:
        """The outcome on the status port, also of an answer that is not proved the agent's."""
        outcome, seen = self.outcome(PortName.STATUS), self.evidence.seen(PortName.STATUS)
        if outcome is not None or seen is None or seen.outcome is Outcome.LOST:
            return outcome
        return seen.outcome

    def hangs(self, name: PortName) -> bool:
        """Whether that port accepts and stays silent."""
        seen = self.evidence.seen(name)
        return seen is not None and seen.outcome is Outcome.TIMEOUT and seen.connected is not False

    def refuses(self, *names: PortName) -> bool:
        """Whether each of these ports that was probed refuses, and one was probed."""
        outcomes = [self.outcome(name) for name in names]
        probed = [outcome for outcome in outcomes if outcome is not None]
        return bool(probed) and all(outcome is Outcome.REFUSED for outcome in probed)

    def describe(self, *names: PortName) -> tuple[str, ...]:
        """What was seen of these ports, a sentence each."""
        found: list[Observation] = [
            seen for name in names if (seen := self.evidence.seen(name)) is not None
        ]
        return tuple(describe(seen) for seen in found)

    def describe_control_port(self) -> tuple[str, ...]:
        """What the control port and the hello showed, a sentence each."""
        sentences = [
            f"the control port {describe(connect).split(' ', 1)[1]}"
            for connect in self.evidence.connects[:1]
        ]
        inbound = self.verdict(PortName.VIRTUAL_INBOUND)
        if inbound is not None and inbound.detail:
            sentences.append(f"{inbound.port}: {inbound.detail}")
        return tuple(sentences)

    def describe_container(self) -> tuple[str, ...]:
        """What Kubernetes reports of the proxy's container, a sentence each; empty if unknown."""
        lifecycle = self.target.lifecycle
        if lifecycle.container_ready is None:
            return ()
        state = "is ready" if lifecycle.container_ready else "runs and is not ready"
        if lifecycle.is_down:
            state = f"does not run{lifecycle.trouble and f': {lifecycle.trouble}'}"
        restarts = f"it restarted {lifecycle.restarts} times" if lifecycle.restarts else ""
        reported = f"Kubernetes reports that the container {state}"
        return (reported, restarts) if restarts else (reported,)

    def explain_containers(self, cause_class: CauseClass) -> tuple[str, ...]:
        """What the kubelet reports of failures that explain a cause of this class."""
        lifecycle = self.target.lifecycle
        if lifecycle.is_down and cause_class in (CauseClass.FAULT, CauseClass.TRANSITION):
            return self.describe_container()
        return failures(lifecycle, self.now, cause_class)

    def stats(self) -> EnvoyStats | None:
        """Envoy's last complete statistics, while fresh."""
        return self.memory.stats.value if self.memory.stats else None

    def admin(self) -> AdminFacts | None:
        """Admin's last facts, while fresh."""
        return self.memory.admin.value if self.memory.admin else None

    def agent(self) -> AgentMetrics | None:
        """The agent's counters as last read."""
        return self.memory.agent.value if self.memory.agent else None

    def is_ready(self) -> bool:
        """Whether agent and Envoy are ready, as far as they could be judged."""
        return all(self.ready.values())

    def lacks_configuration(self) -> bool:
        """Whether the agent reports not ready and Envoy has never bound its ports."""
        if self.agent_answer() is not Outcome.NOT_READY:
            return False
        return self.target.role is Role.PROXYLESS or self.refuses(PortName.HEALTH, PortName.STATS)
