"""How many port-forwards may be open: a bucket of tokens for urgent and for routine polls.

A poll is served or denied at once and never waits: the target's next poll requests again. An urgent
one is served while there is anything left, a routine one only from a full bucket, so that
something is always left for the first. Of a kind none is served twice while another that
requested has not been served once.
"""

import time
from collections.abc import Callable
from weakref import WeakSet


class _FairQueue:
    """Whose turn it is among polls of one kind; who is gone from memory is gone from here."""

    def __init__(self) -> None:
        self._waiting: WeakSet[object] = WeakSet()
        self._served: WeakSet[object] = WeakSet()

    def has_turn(self, poll: object) -> bool:
        """Whether nobody who has not been served waits before this one."""
        if poll in self._served and not self._waiting:
            self._served.clear()
        return poll not in self._served

    def wait(self, poll: object) -> None:
        """It was denied, for now."""
        if poll not in self._served:
            self._waiting.add(poll)

    def serve(self, poll: object) -> None:
        """It was served."""
        self.leave(poll)
        self._served.add(poll)

    def leave(self, poll: object) -> None:
        """It waits no longer in this line."""
        self._waiting.discard(poll)


class Budget:
    """`per_second` port-forwards on average, `concurrency` open at once and at a stroke.

    A poll is never cut in two: it may overdraw the bucket, and pays that back before the next.
    """

    def __init__(
        self,
        per_second: float,
        concurrency: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = per_second
        self._most = float(concurrency)
        self._tokens = self._most
        self._open = 0
        self._clock = clock
        self._refilled_at = clock()
        self._urgent = _FairQueue()
        self._routine = _FairQueue()
        self._known: WeakSet[object] = WeakSet()

    def take(self, poll: object, count: int, *, urgent: bool) -> bool:
        """Whether this poll may open so many now; what it got it gives back when closed."""
        self._refill()
        self._known.add(poll)
        line, other = (self._urgent, self._routine) if urgent else (self._routine, self._urgent)
        other.leave(poll)
        is_enough = self._tokens > 0 if urgent else self._tokens >= self._most
        has_room = self._open == 0 or self._open + count <= self._most
        if not (is_enough and has_room and line.has_turn(poll)):
            line.wait(poll)
            return False
        line.serve(poll)
        self.spend(count)
        return True

    def spend(self, count: int) -> None:
        """So many were opened, granted or not."""
        self._tokens -= count
        self._open += count

    def give_back(self, count: int) -> None:
        """So many were closed."""
        self._open -= count

    def seconds_to_serve_all(self, count: int) -> float:
        """How long it takes to serve every poll once, if each needs so many."""
        return len(self._known) * count / self._rate

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._refilled_at) * self._rate)
        self._refilled_at = now
