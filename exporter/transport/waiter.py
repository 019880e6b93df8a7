"""A result that wakes its one waiter at once, in the turn of the event loop in which it is set.

asyncio's own futures take another turn, a handle and a copied context, which costs a probe as much
as a system call does. The runner of the probes is called directly; a task that awaits a `Waiter` is
woken in a turn of its own, as by any future (asyncio takes what has `_asyncio_future_blocking` for
one).
"""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiter(Generic[T]):
    """A result that is set once, and awaited by one; the first counts, later ones are dropped.

    It is awaited, and not given to `asyncio.wait` or `gather`.
    """

    __slots__ = ("_asyncio_future_blocking", "_awaited", "_callback", "_done", "_error", "_value")

    _value: T

    def __init__(self) -> None:
        self._asyncio_future_blocking = False
        self._callback: Callable[[Waiter[T]], object] | None = None
        self._error: BaseException | None = None
        self._awaited = self._done = False

    def done(self) -> bool:
        """Whether there is a result or an exception."""
        return self._done

    def set_result(self, value: T) -> None:
        """Wake the waiter with a value."""
        if not self._done:
            self._value = value
            self._wake()

    def set_exception(self, error: BaseException) -> None:
        """Wake the waiter with an exception."""
        if not self._done:
            self._error = error
            self._wake()

    def result(self) -> T:
        """The value; raises the exception."""
        if self._error is not None:
            raise self._error
        return self._value

    def __await__(self) -> Generator["Waiter[T]", None, T]:
        """Wait for the result; RuntimeError where it was awaited before."""
        if self._awaited:
            raise RuntimeError("a Waiter is awaited by one")
        self._awaited = True
        return self._wait()

    def _wait(self) -> Generator["Waiter[T]", None, T]:
        try:
            if not self._done:
                self._asyncio_future_blocking = True
                yield self
        except BaseException:
            self.cancel()
            raise
        return self.take()

    def take(self) -> T:
        """The same, and forget it: it may know this, which would be garbage in a circle."""
        result = self.result()
        del self._value
        return result

    def add_done_callback(
        self, callback: Callable[["Waiter[T]"], object], *, context: Context | None = None
    ) -> None:
        """Call this with the result; with a context, as a task has, in a turn of its own."""
        if context is None:
            self._callback = callback
            return
        loop = asyncio.get_running_loop()
        self._callback = lambda waiter: loop.call_soon(callback, waiter, context=context)

    def remove_done_callback(self, _callback: object) -> None:
        """Wake nobody."""
        self._callback = None

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - as asyncio calls it
        """Nobody waits any more; called too when the waiter is cancelled or closed."""
        was_done = self._done
        self.set_exception(asyncio.CancelledError())
        return not was_done

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop, for the task that awaits this."""
        return asyncio.get_running_loop()

    def _wake(self) -> None:
        self._done = True
        callback, self._callback = self._callback, None
        if callback is not None:
            callback(self)
