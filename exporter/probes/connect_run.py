"""A bare connect over the network under way: what `probe_connect` does, for less.

A poll of a workload in ambient is two of these; coroutines and protocols were an eighth of it.
"""

import time
from collections.abc import Callable

from exporter.access.direct import Direct
from exporter.bounds import SENTENCE, cut_text
from exporter.model import Observation, Outcome
from exporter.probes.attempt import Attempt, ProbeResult, failure
from exporter.transport.protocols import BareConnect

ACCEPTS = ProbeResult(Outcome.OK)


class ConnectRun:
    """One half-open connect; `ended` is called with it once, unless it is cancelled."""

    __slots__ = (
        "_connect",
        "_dialer",
        "_ended",
        "_started",
        "attempt",
        "probe",
        "result",
        "seconds",
    )

    def __init__(
        self,
        attempt: Attempt,
        ended: Callable[["ConnectRun"], None],
        started: float,
    ) -> None:
        self.attempt = attempt
        self.probe = attempt.probe
        self._dialer: Direct = attempt.dialer  # type: ignore[assignment] # it is one
        self._ended = ended
        self._started = started
        self.seconds = 0.0
        self.result: ProbeResult | None = None
        self._connect: BareConnect | None = None
        attempt.connected = False
        attempt.until = started + attempt.timeout

    def step(self) -> None:
        """Start it."""
        try:
            self._connect = self._dialer.bare_connect(self.probe.port, self._connected)
        except OSError as error:
            self._end(failure(error, self.attempt))

    def time_out(self) -> None:
        """It has not ended by its deadline."""
        self._abort()
        self._end(failure(TimeoutError(), self.attempt))

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._abort()

    def observation(self) -> Observation:
        """How it ended."""
        result: ProbeResult = self.result  # type: ignore[assignment] # it has
        detail = result.detail and cut_text(result.detail, SENTENCE)
        connected = self.attempt.connected
        return Observation(self.probe, result.outcome, self.seconds, detail, None, connected)

    def _abort(self) -> None:
        if self._connect is not None:
            self._connect.abort()
            self._connect = None

    def _connected(self, error: OSError | None) -> None:
        self._connect = None  # which knows this: garbage in a circle
        self.attempt.connected = error is None
        self._end(ACCEPTS if error is None else failure(error, self.attempt))

    def _end(self, result: ProbeResult) -> None:
        self.result = result
        self.seconds = time.monotonic() - self._started
        self._ended(self)
