"""How many port-forwards may be open: a bucket of tokens for urgent and for routine polls.

A poll is served or denied at once and never waits: the target's next poll requests again. One kind
of poll goes first, and is served while there is anything left; the other is served from a full
bucket only, so that something is always left for the first. Urgent ones go first, but after each
of them a routine one does, if any waits: pods that stay broken would else keep all others from
being seen. Of a kind none is served twice while another that requested has not been served once.
"""

import time
from collections.abc import Callable
from weakref import WeakSet

_MOST_PAUSE = 60
"""A pod where nothing was opened waits at most so many times as long as it held its places."""


class _FairQueue:
    """Whose turn it is among polls of one kind; who is gone from memory is gone from here."""

    def __init__(self) -> None:
        self._waiting: WeakSet[object] = WeakSet()
        self._served: WeakSet[object] = WeakSet()
        self._crowded: WeakSet[object] = WeakSet()

    @property
    def is_waiting(self) -> bool:
        """Whether any that has not been served waits."""
        return bool(self._waiting)

    @property
    def is_crowded(self) -> bool:
        """Whether one that went first found too many port-forwards open: it has the next room."""
        return bool(self._crowded)

    def has_turn(self, poll: object) -> bool:
        """Whether nobody who has not been served waits before this one."""
        if poll in self._served and not self._waiting:
            self._served.clear()
        return poll not in self._served

    def wait(self, poll: object, *, for_room: bool = False) -> None:
        """It was denied, for now."""
        if poll not in self._served:
            self._waiting.add(poll)
        if for_room:
            self._crowded.add(poll)

    def serve(self, poll: object) -> None:
        """It was served."""
        self.leave(poll)
        self._served.add(poll)

    def leave(self, poll: object) -> None:
        """It waits no longer in this line."""
        self._waiting.discard(poll)
        self._crowded.discard(poll)


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
        self._first = self._urgent
        self._known: WeakSet[object] = WeakSet()

    def take(self, poll: object, count: int, *, urgent: bool) -> bool:
        """Whether this poll may open so many now; what it got it gives back when closed."""
        self._refill()
        self._known.add(poll)
        line, other = (self._urgent, self._routine) if urgent else (self._routine, self._urgent)
        other.leave(poll)
        goes_first = line is self._first
        is_enough = self._tokens > 0 if goes_first else self._tokens >= self._most
        has_turn = line.has_turn(poll) and (goes_first or not other.is_crowded)
        if not (has_turn and is_enough):
            line.wait(poll)
            return False
        if self._open and self._open + count > self._most:
            line.wait(poll, for_room=goes_first)
            return False
        line.serve(poll)
        self._first = self._routine if urgent and self._routine.is_waiting else self._urgent
        self.spend(count)
        return True

    def leave(self, poll: object) -> None:
        """It will not request for a while: nobody waits for it."""
        self._urgent.leave(poll)
        self._routine.leave(poll)

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


class Pause:
    """How long a pod gets no request after polls that held places for long and opened nothing.

    Else the pods of a kubelet that does not answer would hold all places all the time.
    """

    def __init__(self) -> None:
        self._times = 1
        self._until = 0.0
        self._reason = ""

    def reason(self, now: float) -> str:
        """Why it gets no request now; empty where it does."""
        return self._reason if now < self._until else ""

    def note(self, began: float, now: float, why_unopened: str) -> None:
        """A poll has ended; `why_unopened` is empty where a WebSocket was opened."""
        self._times = min(2 * self._times, _MOST_PAUSE) if why_unopened else 1
        self._until = now + self._times * (now - began) if why_unopened else now
        self._reason = why_unopened
