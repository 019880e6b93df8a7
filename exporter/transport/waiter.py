"""A future that wakes its one waiter at once, in the turn of the event loop in which it is told.

asyncio's own futures take another turn, a handle and a copied context, which costs a probe as much
as a system call does. A wave of probes is woken directly; a task that awaits a signal is woken in
a turn of its own, as of any future (asyncio takes what has `_asyncio_future_blocking` for one).
"""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiter(Generic[T]):
    """Something that will be told once, or fail; what is told after that, nobody hears.

    It is awaited by one, and not given to `asyncio.wait` and its like.
    """

    __slots__ = ("_asyncio_future_blocking", "_error", "_value", "_wake", "done")

    _value: T

    def __init__(self) -> None:
        self._asyncio_future_blocking = False
        self._error: BaseException | None = None
        self._wake: Callable[[Waiter[T]], object] | None = None
        self.done = False

    def tell(self, value: T) -> None:
        """Tell the value."""
        if not self.done:
            self._value = value
            self._end()

    def fail(self, error: BaseException) -> None:
        """Tell that it failed: whoever waits is raised this."""
        if not self.done:
            self._error = error
            self._end()

    def result(self) -> T:
        """What was told; raises what it failed with."""
        if self._error is not None:
            raise self._error
        return self._value

    def __await__(self) -> Generator["Waiter[T]", None, T]:
        """Wait until it is told."""
        if not self.done:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    def add_done_callback(
        self, wake: Callable[["Waiter[T]"], object], *, context: Context | None = None
    ) -> None:
        """Wake this when it is told; with a context, as a task does, in a turn of its own."""
        if context is None:
            self._wake = wake
            return
        loop = asyncio.get_running_loop()
        self._wake = lambda told: loop.call_soon(wake, told, context=context)

    def remove_done_callback(self, _wake: object) -> None:
        """Wake nobody."""
        self._wake = None

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - as asyncio calls it
        """Nobody waits any more; a task among those who did is cancelled."""
        if self.done:
            return False
        self.fail(asyncio.CancelledError())
        return True

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop, for the task that awaits this."""
        return asyncio.get_running_loop()

    def _end(self) -> None:
        self.done = True
        wake, self._wake = self._wake, None
        if wake is not None:
            wake(self)
