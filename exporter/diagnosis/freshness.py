"""How long what a slower cadence read is believed. Pure.

Memory in, memory without what nobody has reported again for too long out. Neither a fault nor a
certificate outlives the page or the handshake that showed it.
"""

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any, TypeVar

from msgspec.structs import replace

from exporter.config import Config
from exporter.diagnosis.agent_page import COUNTERS
from exporter.diagnosis.evidence import Evidence
from exporter.model import (
    Cadence,
    Growth,
    IstiodFacts,
    Memory,
    Outcome,
    PortName,
    ProxyListing,
    Timestamped,
)

T = TypeVar("T")

KEPT_INTERVALS = 3
"""What a cadence read is believed for this many of its effective intervals."""

PROOF_INTERVALS = 2
"""A hello and an exposure are believed for this many identity intervals."""


def is_fresh(
    seen: Timestamped[T], interval: float, now: float, intervals: int = KEPT_INTERVALS
) -> bool:
    """Whether something remembered may still be used."""
    return now - seen.at <= intervals * interval


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
    detail, identity, page = _spans(memory, config)
    changes: dict[str, Any] = {
        name: None
        for name, span in (("agent", page), *[(name, detail) for name in _DETAILS])
        if (seen := getattr(memory, name)) is not None and not is_fresh(seen, span, now)
    }
    growth = _current_growth(replace(memory, **changes), detail, now)
    if growth != memory.growth:
        changes["growth"] = growth
    if "stats" in changes:
        changes["warming_polls"] = 0
    if "ztunnel" in changes:
        changes["pending_polls"] = 0
    if memory.page is not None and now - memory.page_requested_at > KEPT_INTERVALS * page:
        changes["page"] = None
    exposure = memory.exposure
    is_probed = config.poll.exposure  # without it no probe would end what the last one found
    if exposure and not (is_probed and is_fresh(exposure, identity, now, PROOF_INTERVALS)):
        changes["exposure"] = None
    for name, intervals in _BY_IDENTITY.items():
        known: Mapping[Any, Timestamped[Any]] = getattr(memory, name)
        if not all(is_fresh(seen, identity, now, intervals) for seen in known.values()):
            changes[name] = {
                key: seen for key, seen in known.items() if is_fresh(seen, identity, now, intervals)
            }
    return replace(memory, **changes) if changes else memory


def next_expiry(memory: Memory, config: Config, now: float) -> float:
    """When `drop_expired` would next change this memory, by itself; infinite for never."""
    detail, identity, page = _spans(memory, config)
    reads = [(getattr(memory, name), KEPT_INTERVALS * detail) for name in _DETAILS]
    if _without_steps(memory.growth) != memory.growth:
        reads.append((memory.agent, KEPT_INTERVALS * detail))
    reads += [
        (memory.agent, KEPT_INTERVALS * page),
        (memory.exposure, PROOF_INTERVALS * identity),
        *(
            (seen, intervals * identity)
            for name, intervals in _BY_IDENTITY.items()
            for seen in getattr(memory, name).values()
        ),
    ]
    ends = [seen.at + seconds for seen, seconds in reads if seen is not None]
    if memory.page is not None:
        ends.append(memory.page_requested_at + KEPT_INTERVALS * page)
    return min((end for end in ends if end >= now), default=math.inf)


def _spans(memory: Memory, config: Config) -> tuple[float, float, float]:
    """How many seconds apart the target is read at the cadences detail, identity and page."""
    poll = config.poll
    return (
        memory.effective(poll.detail_interval),
        memory.effective(poll.identity_interval),
        memory.effective(max(poll.page_interval, poll.interval, memory.page_wait)),
    )


def _current_growth(memory: Memory, detail: float, now: float) -> Mapping[str, Growth]:
    """The growths that still count; the agent's values stay as long as its page is believed."""
    ended = {
        name
        for source, names in _GROWN.items()
        if getattr(memory, source) is None
        for name in names
    }
    growth = {name: grown for name, grown in memory.growth.items() if name not in ended}
    if memory.agent is not None and not is_fresh(memory.agent, detail, now):
        return _without_steps(growth)
    return growth


def _without_steps(growth: Mapping[str, Growth]) -> Mapping[str, Growth]:
    """The growths with the agent's counters as if they had not grown."""
    return {**growth, **{name: Growth(growth[name].value) for name in COUNTERS if name in growth}}


def current_listings(evidence: Evidence, before: Memory) -> tuple[Timestamped[ProxyListing], ...]:
    """An istiod's last two answers to syncz after this poll, newest first.

    None, where it does not answer now, or did not answer the last request: what it listed before
    may be another replica's by now.
    """
    for seen in (*chain.from_iterable(evidence.network.values()), *evidence.pod.values()):
        if isinstance(seen.facts, IstiodFacts) and seen.facts.syncz is not None:
            return (Timestamped(seen.facts.syncz, evidence.now), *before.listings[:1])
    monitoring = evidence.seen(PortName.HTTP_MONITORING)
    was_requested = before.polled.get(Cadence.DETAIL) == evidence.now
    is_silent = monitoring is None or monitoring.outcome is not Outcome.OK
    return () if was_requested or is_silent else before.listings
