"""How many looks go on at once.

A silent target holds its place until its deadlines pass. Such targets share half of the places, so
that black holes never keep the others waiting.
"""

from collections import deque
from collections.abc import Callable


class Slots:
    """So many looks, at silent targets half as many; whoever finds no room waits.

    A look that is cancelled gives nothing back: then nobody is to begin any more.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._free_of_silent = max(1, most // 2)
        self._waiting: deque[Callable[[], None]] = deque()
        self._waiting_silent: deque[Callable[[], None]] = deque()

    def take(self, begin: Callable[[], None], *, is_silent: bool) -> None:
        """Begin a look now, or when there is room."""
        (self._waiting_silent if is_silent else self._waiting).append(begin)
        self._fill()

    def give_back(self, *, is_silent: bool) -> None:
        """A look has ended."""
        self._free += 1
        self._free_of_silent += is_silent
        self._fill()

    def _fill(self) -> None:
        while self._free and self._free_of_silent and self._waiting_silent:
            self._free -= 1
            self._free_of_silent -= 1
            self._waiting_silent.popleft()()
        while self._free and self._waiting:
            self._free -= 1
            self._waiting.popleft()()
