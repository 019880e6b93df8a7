"""How long what a slower cadence read is believed. Pure.

Memory in, memory without what nobody has reported again for too long out. Neither a fault nor a
certificate outlives the page or the handshake that showed it. How long a port-forward's view of the
pod counts is `remembered_pod_view`'s.
"""

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from exporter.config import Config
from exporter.diagnosis.agent_page import COUNTERS
from exporter.model import (
    AgentMetrics,
    Growth,
    Memory,
    Timestamped,
)

KEPT_INTERVALS = 3
"""What a cadence read is believed for this many of its effective intervals."""

PROOF_INTERVALS = 2
"""A hello and an exposure are believed for this many identity intervals."""


_DETAILS = ("stats", "admin", "ztunnel", "sockets", "istiod", "app_health")
"""What of the memory the detail cadence reads."""

_BY_IDENTITY = {
    "hello": PROOF_INTERVALS,
    "serving": KEPT_INTERVALS,
    "server_names": PROOF_INTERVALS,
}
"""What of the memory the identity cadence reads, each by port or address, and for how long."""

_GROWN = {
    "agent": COUNTERS,
    "stats": ("cds_failure", "lds_failure"),
    "ztunnel": ("xds_terminations",),
}
"""The growths that count by themselves, by whose page has the counters."""


def drop_expired(memory: Memory, config: Config, now: float) -> Memory:
    """The memory without what nobody has reported again for too long.

    That an update was rejected stays, and the counters that order it.
    """
    changes: dict[str, Any] = {}
    for name, key, end in _ends(memory, config):
        if end >= now:
            continue
        if key is None:
            changes[name] = None
        else:
            known = changes.get(name, getattr(memory, name))
            changes[name] = {one: seen for one, seen in known.items() if one != key}
    if memory.exposure and not config.poll.exposure:
        changes["exposure"] = None  # no probe would end what the last one found
    growth = _current_growth(replace(memory, **changes), config, now)
    if growth != memory.growth:
        changes["growth"] = growth
    if "stats" in changes:
        changes["warming_polls"] = 0
    if "ztunnel" in changes:
        changes["pending_polls"] = 0
    return replace(memory, **changes) if changes else memory


def next_expiry(memory: Memory, config: Config, now: float) -> float:
    """When `drop_expired` would next change this memory, by itself; infinite for never."""
    ends = [end for _, _, end in _ends(memory, config)]
    if memory.agent is not None and _without_steps(memory.growth) != memory.growth:
        ends.append(_end_of_steps(memory.agent, memory, config))
    return min((end for end in ends if end >= now), default=math.inf)


def _ends(memory: Memory, config: Config) -> Iterator[tuple[str, Hashable, float]]:
    """Until when each part of the memory is believed, by field and key; no key: the whole field."""
    detail, identity, page = _spans(memory, config)
    spans = dict.fromkeys(_DETAILS, KEPT_INTERVALS * detail)
    spans["admin"] = KEPT_INTERVALS * max(detail, memory.view_interval)
    spans |= {"agent": KEPT_INTERVALS * page, "exposure": PROOF_INTERVALS * identity}
    for name, span in spans.items():
        seen: Timestamped[Any] | None = getattr(memory, name)
        if seen is not None:
            yield name, None, seen.at + span
    if memory.page is not None:
        yield "page", None, memory.page_requested_at + KEPT_INTERVALS * page
    for name, intervals in _BY_IDENTITY.items():
        known: Mapping[Hashable, Timestamped[Any]] = getattr(memory, name)
        for key, seen in known.items():
            yield name, key, seen.at + intervals * identity


def _spans(memory: Memory, config: Config) -> tuple[float, float, float]:
    """How many seconds apart the target is read at the cadences detail, identity and page."""
    poll = config.poll
    return (
        memory.effective(poll.detail_interval),
        memory.effective(poll.identity_interval),
        memory.effective(max(poll.page_interval, poll.interval, memory.page_wait)),
    )


def _current_growth(memory: Memory, config: Config, now: float) -> Mapping[str, Growth]:
    """The growths that still count; the agent's values stay as long as its page is believed."""
    ended = {
        name
        for source, names in _GROWN.items()
        if getattr(memory, source) is None
        for name in names
    }
    growth = {name: grown for name, grown in memory.growth.items() if name not in ended}
    if memory.agent is not None and now > _end_of_steps(memory.agent, memory, config):
        return _without_steps(growth)
    return growth


def _end_of_steps(agent: Timestamped[AgentMetrics], memory: Memory, config: Config) -> float:
    """Until when the agent's counters count as having grown."""
    return agent.at + KEPT_INTERVALS * memory.effective(config.poll.detail_interval)


def _without_steps(growth: Mapping[str, Growth]) -> Mapping[str, Growth]:
    """The growths with the agent's counters as if they had not grown."""
    return {**growth, **{name: Growth(growth[name].value) for name in COUNTERS if name in growth}}
