"""When a poll requests pages at another time than their cadence's. Pure.

The agent's page of metrics makes the agent scrape others, so it comes seldom. Envoy's statistics
come sooner where the last ones show a fault that a change of configuration ends.
"""

from collections.abc import Sequence
from typing import Protocol

from exporter.config import Config
from exporter.diagnosis.agent_page import has_abnormal_answer
from exporter.diagnosis.memory_update import has_no_servers
from exporter.model import (
    AGENT_ROLES,
    Cadence,
    Memory,
    Observation,
    Outcome,
    ProbeKind,
    Role,
    Target,
)
from exporter.poll.poll_inputs import JITTER_SECONDS

_PAGE = frozenset({Cadence.PAGE})
_DETAIL = frozenset({Cadence.DETAIL})


class PageSlots(Protocol):
    """What bounds how many agents' pages are read at once: they can take seconds."""

    def take_pages(self) -> bool:
        """Whether one more may be read; whoever may gives it back."""

    def give_back_pages(self) -> None:
        """It has been read."""


def with_pages(
    due: frozenset[Cadence], target: Target, memory: Memory, config: Config, now: float
) -> frozenset[Cadence]:
    """The due cadences: with the page where the last poll was abnormal, without it in a wait.

    While something stays abnormal, the page is requested at the detail cadence. Details of a
    gateway without servers are requested in every poll: its first server ends that fault.
    """
    stats = memory.stats.value if memory.stats and target.role is Role.GATEWAY else None
    if stats is not None and has_no_servers(stats, target.settings):
        due |= _DETAIL
    if target.role not in AGENT_ROLES or _waits(memory, now):
        return due - _PAGE if due else due
    if memory.is_abnormal and now - memory.page_requested_at >= (
        memory.effective(config.poll.detail_interval) - JITTER_SECONDS
    ):
        return due | _PAGE
    return due


def agents_to_ask(
    seen: Sequence[Observation], due: frozenset[Cadence], memory: Memory, now: float
) -> list[Observation]:
    """The agents whose page is requested at once, because this poll is the first abnormal one."""
    if Cadence.PAGE in due or memory.is_abnormal or _waits(memory, now):
        return []
    if not has_abnormal_answer(seen):
        return []
    return [
        one
        for one in seen
        if one.probe.kind is ProbeKind.AGENT and one.outcome in (Outcome.OK, Outcome.NOT_READY)
    ]


def _waits(memory: Memory, now: float) -> bool:
    """Whether a page that was too large is not to be requested yet."""
    return now < memory.page_requested_at + memory.page_wait - JITTER_SECONDS
