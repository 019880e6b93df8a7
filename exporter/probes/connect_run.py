"""A bare connect over the network under way, for the runner: what `probe_connect` does, for less.

A poll of a workload in ambient is two of these, and coroutines and protocols an eighth of it.
"""

import time
from collections.abc import Callable

from exporter.access.direct import Direct
from exporter.bounds import SENTENCE, cut_text
from exporter.model import Observation, Outcome
from exporter.probes.attempt import Attempt, ProbeResult, failure
from exporter.transport.protocols import BareConnect

_ACCEPTS = ProbeResult(Outcome.OK)


class ConnectRun:
    """One half-open connect; `ended` is called with it once, unless it is cancelled."""

    __slots__ = ("_connect", "_dialer", "_ended", "_result", "_seconds", "_started", "attempt")

    _result: ProbeResult

    def __init__(
        self,
        dialer: Direct,
        attempt: Attempt,
        ended: Callable[["ConnectRun"], None],
        started: float,
    ) -> None:
        self.attempt = attempt
        self._dialer = dialer
        self._ended = ended
        self._started = started
        self._seconds = 0.0
        self._connect: BareConnect | None = None
        attempt.connected = False
        attempt.until = started + attempt.timeout

    def step(self) -> None:
        """Start it."""
        try:
            self._connect = self._dialer.bare_connect(self.attempt.probe.port, self._connected)
        except OSError as error:
            self._end(failure(error, self.attempt))

    def time_out(self) -> None:
        """It has not ended by its deadline."""
        self.cancel()
        self._end(failure(TimeoutError(), self.attempt))

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if self._connect is not None:
            self._connect.abort()
            self._connect = None

    def observation(self) -> Observation:
        """How it ended."""
        attempt, result = self.attempt, self._result
        detail = result.detail and cut_text(result.detail, SENTENCE)
        return Observation(
            attempt.probe, result.outcome, self._seconds, detail, None, attempt.connected
        )

    def _connected(self, error: OSError | None) -> None:
        self._connect = None  # which knows this: garbage in a circle
        if error is None:
            self.attempt.connected = True
            self._end(_ACCEPTS)
        else:
            self._end(failure(error, self.attempt))

    def _end(self, result: ProbeResult) -> None:
        self._result = result
        self._seconds = time.monotonic() - self._started
        self._ended(self)
