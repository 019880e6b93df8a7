"""One target's case, as the rules read it: evidence, memory, verdicts and what follows of them.

Pure. It gives names to the questions that several rules ask.
"""

from collections.abc import Mapping

from msgspec import Struct

from exporter.config import Config
from exporter.diagnosis.evidence import Evidence, describe
from exporter.diagnosis.proxy_status import remembered_admin, remembered_stats
from exporter.model import (
    AdminFacts,
    AgentMetrics,
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
    """Everything that a rule may rest on."""

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
        """The configuration of this look."""
        return self.evidence.config

    @property
    def now(self) -> float:
        """When it was looked, seconds since the epoch."""
        return self.evidence.now

    def verdict(self, name: PortName) -> Verdict | None:
        """The verdict on the port of that name; None where it is not judged from any view."""
        port = self.evidence.named.get(name)
        return self.verdicts.get(port.number) if port else None

    def outcome(self, name: PortName) -> Outcome | None:
        """The outcome of the port of that name; None where nothing was asked of it."""
        verdict = self.verdict(name)
        if verdict is None or verdict.outcome is Outcome.NO_ACCESS:
            return None
        return verdict.outcome

    def answers(self, name: PortName) -> bool:
        """Whether that port was proved to answer."""
        outcome = self.outcome(name)
        return outcome is not None and outcome.proves

    def is_stuck(self, name: PortName) -> bool:
        """Whether that port accepts and stays silent."""
        seen = self.evidence.seen(name)
        return seen is not None and seen.outcome is Outcome.TIMEOUT and seen.connected is not False

    def refuses(self, *names: PortName) -> bool:
        """Whether each of these ports that was asked refuses, and one was asked."""
        outcomes = [self.outcome(name) for name in names]
        asked = [outcome for outcome in outcomes if outcome is not None]
        return bool(asked) and all(outcome is Outcome.REFUSED for outcome in asked)

    def describe(self, *names: PortName) -> tuple[str, ...]:
        """What was seen of these ports, a sentence each."""
        found: list[Observation] = [
            seen for name in names if (seen := self.evidence.seen(name)) is not None
        ]
        return tuple(describe(seen) for seen in found)

    def describe_control_port(self) -> tuple[str, ...]:
        """What the control port and the hello showed, a sentence each."""
        told = [
            f"the control port {describe(connect).split(' ', 1)[1]}"
            for connect in self.evidence.connects[:1]
        ]
        inbound = self.verdict(PortName.VIRTUAL_INBOUND)
        if inbound is not None and inbound.detail:
            told.append(f"{inbound.port}: {inbound.detail}")
        return tuple(told)

    def describe_container(self) -> tuple[str, ...]:
        """What Kubernetes says of the proxy's container, a sentence each; nothing if unasked."""
        life = self.target.lifecycle
        if life.container_ready is None:
            return ()
        state = "is ready" if life.container_ready else "runs and is not ready"
        if life.is_down:
            state = f"does not run{life.trouble and f': {life.trouble}'}"
        told = f"Kubernetes says that the container {state}"
        return (told, f"it restarted {life.restarts} times") if life.restarts else (told,)

    def stats(self) -> EnvoyStats | None:
        """Envoy's last complete statistics, while fresh."""
        return remembered_stats(self.memory)

    def admin(self) -> AdminFacts | None:
        """What admin last told, while fresh."""
        return remembered_admin(self.memory)

    def admin_state(self) -> str:
        """The word of admin's /ready in this look; empty where it was not asked."""
        seen = self.evidence.seen(PortName.ADMIN)
        facts = seen.facts if seen else None
        return (facts.state or "") if isinstance(facts, AdminFacts) else ""

    def agent(self) -> AgentMetrics | None:
        """The agent's counters as last read."""
        return self.memory.agent.value if self.memory.agent else None

    def is_green(self) -> bool:
        """Whether agent and Envoy are ready, as far as they could be judged."""
        return all(self.ready.values())

    def lacks_configuration(self) -> bool:
        """Whether the agent says not ready and Envoy has never bound its ports."""
        if self.outcome(PortName.STATUS) is not Outcome.NOT_READY:
            return False
        return self.target.role is Role.PROXYLESS or self.refuses(PortName.HEALTH, PortName.STATS)
