"""How many polls run at once.

A silent target holds its slot until its deadlines pass. Such targets share half of the slots, so
that black holes never keep the others waiting.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Slots(Generic[T]):
    """So many polls, of silent targets half as many; what finds no slot waits.

    Whoever was started gives its slot back, however its poll ends.
    """

    def __init__(self, limit: int = 0) -> None:
        self._limit = self._silent_limit = 0
        self._taken = self._taken_silent = 0
        self._waiting: deque[tuple[T, Callable[[T], bool]]] = deque()
        self._waiting_silent: deque[tuple[T, Callable[[T], bool]]] = deque()
        self.resize(limit)

    def resize(self, limit: int) -> None:
        """Allow so many from now on; polls that run are not disturbed."""
        self._limit, self._silent_limit = limit, max(1, limit // 2)
        self._fill()

    def take(self, item: T, start: Callable[[T], bool], *, is_silent: bool) -> None:
        """Start a poll now or once there is a slot; `start` returns whether it still has to run."""
        (self._waiting_silent if is_silent else self._waiting).append((item, start))
        self._fill()

    def give_back(self, *, is_silent: bool) -> None:
        """A poll has ended."""
        self._taken -= 1
        self._taken_silent -= is_silent
        self._fill()

    def cancel_waiting(self) -> list[T]:
        """Forget what waits, and return it."""
        cancelled = [item for item, _ in (*self._waiting, *self._waiting_silent)]
        self._waiting.clear()
        self._waiting_silent.clear()
        return cancelled

    def _fill(self) -> None:
        while self._has_room() and self._taken_silent < self._silent_limit and self._waiting_silent:
            item, start = self._waiting_silent.popleft()
            started = start(item)
            self._taken += started
            self._taken_silent += started
        while self._has_room() and self._waiting:
            item, start = self._waiting.popleft()
            self._taken += start(item)

    def _has_room(self) -> bool:
        return self._taken < self._limit
