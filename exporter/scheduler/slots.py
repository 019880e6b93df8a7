"""How many polls run at once, and how many start in a row.

A target that is slow or silent holds its slot until its deadlines pass. Such targets share half of
the slots. Pages of the slower cadences, which a healthy proxy too may take seconds for, are read in
a quarter of them at most: whoever finds none of these is polled without. So neither black holes nor
slow pages keep the others waiting.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_IN_A_ROW, FEWEST_IN_A_ROW = 16, 2
"""So many polls start before the responses of their probes are read: about a hundred connects."""

_ROW_SECONDS = 0.003
"""Fewer start, where these took longer: seconds of the event loop's CPU time."""


def next_row(polls: int, seconds: float) -> int:
    """How many polls start in a row, after so many took so long: at most twice as many."""
    fitting = polls * _ROW_SECONDS / max(seconds, _ROW_SECONDS / 2)
    return max(FEWEST_IN_A_ROW, min(MOST_IN_A_ROW, int(fitting)))


class Slots(Generic[T]):
    """So many polls, of slow targets half as many; what finds no slot waits.

    Whoever was started gives its slot back, however its poll ends.
    """

    def __init__(self, limit: int = 0) -> None:
        self._limit = self._slow_limit = self._page_limit = 0
        self._taken = self._taken_slow = 0
        self.free_pages = 0
        self._waiting: deque[tuple[T, Callable[[T], bool]]] = deque()
        self._waiting_slow: deque[tuple[T, Callable[[T], bool]]] = deque()
        self.resize(limit)

    def resize(self, limit: int) -> None:
        """Allow so many from now on; polls that run are not disturbed."""
        pages = max(1, limit // 4)
        self.free_pages += pages - self._page_limit
        self._limit, self._slow_limit, self._page_limit = limit, max(1, limit // 2), pages
        self._fill()

    def take(self, item: T, start: Callable[[T], bool], *, is_slow: bool) -> None:
        """Start a poll now or once there is a slot; `start` returns whether it still has to run."""
        if not (is_slow or self._waiting or self._waiting_slow) and self._has_room():
            self._begin(item, start, is_slow=False)
            return
        (self._waiting_slow if is_slow else self._waiting).append((item, start))
        self._fill()

    def give_back(self, *, is_slow: bool) -> None:
        """A poll has ended."""
        self._taken -= 1
        self._taken_slow -= is_slow
        if self._waiting or self._waiting_slow:
            self._fill()

    def take_pages(self) -> bool:
        """Whether a poll that starts may read the pages of the slower cadences."""
        may = self.free_pages > 0
        self.free_pages -= may
        return may

    def give_back_pages(self) -> None:
        """A poll that read them has ended."""
        self.free_pages += 1

    def cancel_waiting(self) -> Iterator[T]:
        """Forget what waits at once; it is returned one by one."""
        cancelled = self._waiting + self._waiting_slow
        self._waiting, self._waiting_slow = deque(), deque()
        return (cancelled.popleft()[0] for _ in range(len(cancelled)))

    def _fill(self) -> None:
        while self._has_room() and self._taken_slow < self._slow_limit and self._waiting_slow:
            self._begin(*self._waiting_slow.popleft(), is_slow=True)
        while self._has_room() and self._waiting:
            self._begin(*self._waiting.popleft(), is_slow=False)

    def _begin(self, item: T, start: Callable[[T], bool], *, is_slow: bool) -> None:
        """Take the slot first: a poll that ends at once gives it back before `start` returns."""
        self._taken += 1
        self._taken_slow += is_slow
        if not start(item):
            self._taken -= 1
            self._taken_slow -= is_slow

    def _has_room(self) -> bool:
        return self._taken < self._limit
