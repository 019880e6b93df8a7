"""How often `/probe` polls: what is a second old is served again, and rates for all else.

In: whom a client wants polled, and a way to do it. Out: a result, or `TooOftenError`. The rule: a
target is polled once for all that ask at the same time, and is no busier for many clients than for
one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable

from exporter.model import Target, TargetRecord
from exporter.poll.poll_target import PollResult

FRESH_SECONDS = 1.0
TARGET_PER_SECOND = 1.0
TARGET_BURST = 3
"""A target's parameters may be varied: each variant is a poll of its own."""

CLIENT_PER_SECOND = 20.0
CLIENT_BURST = 40

_MANY = 4096

Variant = tuple[Hashable, ...]


class TooOftenError(Exception):
    """This client, or all clients for this target, asked for more polls than their rate."""


class Rates:
    """A rate for each key: `per_second` on average, `burst` at once."""

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1.0 / per_second
        self._ahead = (burst - 1) * self._interval
        self._clock = clock
        self._due: dict[Hashable, float] = {}

    def take(self, key: Hashable) -> bool:
        """Whether one more is within the rate."""
        now = self._clock()
        if len(self._due) > _MANY:
            self._due = {known: due for known, due in self._due.items() if due > now}
        due = max(self._due.get(key, now), now)
        if due - now > self._ahead:
            return False
        self._due[key] = due + self._interval
        return True


class ProbeLimits:
    """The polls for `/probe` that run, and the results of the last second."""

    def __init__(self) -> None:
        self._targets = Rates(TARGET_PER_SECOND, TARGET_BURST)
        self._clients = Rates(CLIENT_PER_SECOND, CLIENT_BURST)
        self._recent: dict[Variant, tuple[float, TargetRecord]] = {}
        self._under_way: dict[Variant, asyncio.Task[PollResult]] = {}

    async def record_of(
        self,
        client: str,
        target: Target,
        poll: Callable[[], Awaitable[PollResult]],
        seconds: float | None,
    ) -> TargetRecord:
        """The record of a poll that ended within the last second, or that is made now.

        Args:
            client: the peer's address.
            target: whom to poll, with what the parameters say of it.
            poll: polls it.
            seconds: how long to wait; the poll goes on for whoever else waits.

        Raises:
            TooOftenError: nobody is polled.
            TimeoutError: the poll did not end in time.
        """
        variant = (target.key, target.remembered_as, target.istio_version, target.captured)
        oldest = time.monotonic() - FRESH_SECONDS
        self._recent = {key: kept for key, kept in self._recent.items() if kept[0] >= oldest}
        if recent := self._recent.get(variant):
            return recent[1]
        running = self._under_way.get(variant)
        if running is None:
            if not (self._clients.take(client) and self._targets.take(target.key)):
                raise TooOftenError
            running = self._under_way[variant] = asyncio.create_task(self._run(variant, poll))
            running.add_done_callback(lambda _: self._under_way.pop(variant))
        async with asyncio.timeout(seconds):
            return (await asyncio.shield(running)).record

    async def _run(self, variant: Variant, poll: Callable[[], Awaitable[PollResult]]) -> PollResult:
        result = await poll()
        self._recent[variant] = time.monotonic(), result.record
        return result
