"""Probes of one GET: which path, and what its answer means; over the network without a coroutine.

Most probes are of this kind. A coroutine and its two waits cost one as much as its system calls, so
that a `GetRun` goes from the connect to the answer by itself. Through other dialers, and where more
than the one answer is wanted, the same prober is a coroutine as any other.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from exporter.model import Observation, Outcome
from exporter.probes.attempt import Attempt, Prober, ProbeResult, failed, failure
from exporter.probes.http import (
    HttpClient,
    HttpProtocol,
    Reply,
    host_lines,
    reader_of,
    result_of_error_status,
)
from exporter.probes.paths import Path
from exporter.transport.protocols import ENDS_PROCESS
from exporter.transport.waiter import Waiter

Judge = Callable[[Reply, Attempt], ProbeResult]
"""What an answer means."""


def accepting(judge: Callable[[Reply], ProbeResult]) -> Judge:
    """Judges an answer by itself, unless its status is an error for any port."""
    return lambda reply, attempt: result_of_error_status(reply, attempt) or judge(reply)


@dataclass(frozen=True, slots=True)
class SingleGet:
    """A prober that requests one `path` and judges the answer.

    Where an attempt `wants_more` than that, `whole` probes.
    """

    path: Callable[[Attempt], Path]
    judge: Judge
    whole: Prober | None = None
    wants_more: Callable[[Attempt], bool] = lambda _attempt: True

    def is_all(self, attempt: Attempt) -> bool:
        """Whether the one answer is all that the attempt wants."""
        return self.whole is None or not self.wants_more(attempt)

    async def __call__(self, attempt: Attempt) -> ProbeResult:
        """Make the attempt, as any prober."""
        if self.whole is not None and not self.is_all(attempt):
            return await self.whole(attempt)
        return self.judge(await HttpClient(attempt).get(self.path(attempt)), attempt)


_CANCELLED = ProbeResult(Outcome.NO_ACCESS, "cancelled")
"""Nobody reads it: what follows is no end any more."""


class GetRun:
    """One such probe under way; `ended` is called with it once, unless it is cancelled.

    It waits for the connect, then for the answer.
    """

    __slots__ = (
        *("_begun", "_ended", "_get", "_opening", "_path", "_started"),
        *("attempt", "probe", "result", "seconds"),
    )

    _path: Path
    _begun: float

    def __init__(
        self,
        get: SingleGet,
        attempt: Attempt,
        ended: Callable[["GetRun"], None],
        started: float,
    ) -> None:
        self.attempt = attempt
        self.probe = attempt.probe
        self._get = get
        self._ended = ended
        self._started = started
        self.seconds = 0.0
        self.result: ProbeResult | None = None
        self._opening: Waiter[HttpProtocol] | None = None
        attempt.asked = attempt.resent = 0.0
        attempt.until = started + attempt.timeout

    def step(self) -> None:
        """Begin to connect."""
        attempt = self.attempt
        try:
            self._path = self._get.path(attempt)
            attempt.connected = False
            self._begun = time.monotonic()
            connected = attempt.dialer.connect(attempt.probe.port, HttpProtocol)
            self._opening = opening = cast("Waiter[HttpProtocol]", connected)
            opening.add_done_callback(self._connected)
        except BaseException as error:  # noqa: BLE001 - `_fail` raises what ends the process
            self._fail(error)

    def set_result(self, value: Reply) -> None:
        """Judge the answer."""
        attempt = self.attempt
        at = attempt.answered()
        try:
            result = self._get.judge(value, attempt)
        except BaseException as error:  # noqa: BLE001 - as in `step`
            self._fail(error)
        else:
            self._end(result, at)

    def set_exception(self, error: BaseException) -> None:
        """There is no answer, but for the one by which `_end` itself drops the connection."""
        if self.result is None:
            self._end(failed(error, self.attempt), time.monotonic())

    def time_out(self) -> None:
        """It has not ended by its deadline."""
        result = failure(TimeoutError(), self.attempt)
        self.cancel()
        self._end(result, time.monotonic())

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self.result = _CANCELLED
        if self._opening is not None:
            self._opening.remove_done_callback(self._connected)
            self._opening.cancel()
            self._opening = None
        self.attempt.close()

    def observation(self) -> Observation:
        """How it ended."""
        result: ProbeResult = self.result  # type: ignore[assignment] # it has
        return self.attempt.observation(result, self.seconds)

    def _connected(self, opening: Waiter[HttpProtocol]) -> None:
        self._opening = None
        attempt, path = self.attempt, self._path
        try:
            line = opening.take()
            attempt.opened(line, self._begun)
            attempt.asked = time.monotonic()
            line.ask(path.head + host_lines(attempt), path.most, reader_of(path), self)
        except BaseException as error:  # noqa: BLE001 - as in `step`
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.set_exception(error)
        if isinstance(error, ENDS_PROCESS):
            raise error

    def _end(self, result: ProbeResult, at: float) -> None:
        attempt = self.attempt
        self.result, self.seconds = result, attempt.took(self._started, at)
        attempt.close()
        self._ended(self)
