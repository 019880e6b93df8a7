"""How many looks go on at once.

A silent target holds its place until its deadlines pass. Such targets share half of the places, so
that black holes never keep the others waiting.
"""

from collections import deque
from collections.abc import Callable


class Slots:
    """So many looks, at silent targets half as many; whoever finds no room waits.

    Whoever began gives its place back, however its look ends.
    """

    def __init__(self, most: int = 0) -> None:
        self._most = self._most_silent = 0
        self._taken = self._taken_silent = 0
        self._waiting: deque[Callable[[], bool]] = deque()
        self._waiting_silent: deque[Callable[[], bool]] = deque()
        self.resize(most)

    def resize(self, most: int) -> None:
        """Allow so many from now on; looks that go on are not disturbed."""
        self._most, self._most_silent = most, max(1, most // 2)
        self._fill()

    def take(self, begin: Callable[[], bool], *, is_silent: bool) -> None:
        """Begin a look now, or when there is room; `begin` says whether it is still wanted."""
        (self._waiting_silent if is_silent else self._waiting).append(begin)
        self._fill()

    def give_back(self, *, is_silent: bool) -> None:
        """A look has ended."""
        self._taken -= 1
        self._taken_silent -= is_silent
        self._fill()

    def _fill(self) -> None:
        while self._has_room() and self._taken_silent < self._most_silent and self._waiting_silent:
            begun = self._waiting_silent.popleft()()
            self._taken += begun
            self._taken_silent += begun
        while self._has_room() and self._waiting:
            self._taken += self._waiting.popleft()()

    def _has_room(self) -> bool:
        return self._taken < self._most
