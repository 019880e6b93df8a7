"""A bare connect over the network under way: what `probe_connect` does, for less.

A poll of a workload in ambient is two of these; coroutines and protocols were an eighth of it.
"""

import socket
import time
from collections.abc import Callable

from exporter.access.direct import Direct
from exporter.bounds import SENTENCE, cut_text
from exporter.model import Observation
from exporter.probes.attempt import Attempt, ProbeResult, failure
from exporter.probes.connect import ACCEPTS
from exporter.transport import backend
from exporter.transport.protocols import BareConnects


class ConnectRun:
    """One half-open connect; `ended` is called with it once, unless it is cancelled."""

    __slots__ = (
        *("_connects", "_ended", "_socket", "_started"),
        *("attempt", "probe", "result", "seconds"),
    )

    def __init__(
        self,
        attempt: Attempt,
        ended: Callable[["ConnectRun"], None],
        started: float,
    ) -> None:
        self.attempt = attempt
        self.probe = attempt.probe
        self._ended = ended
        self._started = started
        self.seconds = 0.0
        self.result: ProbeResult | None = None
        self._connects: BareConnects = backend.bare_connects()  # type: ignore[misc] # it has them
        self._socket: socket.SocketType | None = None
        attempt.connected = False
        attempt.until = started + attempt.timeout

    def step(self) -> None:
        """Start it."""
        dialer: Direct = self.attempt.dialer  # type: ignore[assignment] # it is one
        remote = dialer.host, self.probe.port
        try:
            self._socket = self._connects.begin(dialer.family, remote, self._handle)
        except OSError as error:
            self._end(failure(error, self.attempt))

    def time_out(self) -> None:
        """It has not ended by its deadline."""
        self.cancel()
        self._end(failure(TimeoutError(), self.attempt))

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        own, self._socket = self._socket, None
        if own is not None:
            self._connects.abort(own)

    def observation(self) -> Observation:
        """How it ended."""
        result: ProbeResult = self.result  # type: ignore[assignment] # it has
        detail = result.detail and cut_text(result.detail, SENTENCE)
        connected = self.attempt.connected
        return Observation(self.probe, result.outcome, self.seconds, detail, None, connected)

    def _handle(self, events: int) -> None:
        own: socket.SocketType = self._socket  # type: ignore[assignment] # it has begun
        self._socket = None
        error = self._connects.end(own, events)
        self.attempt.connected = error is None
        self._end(ACCEPTS if error is None else failure(error, self.attempt))

    def _end(self, result: ProbeResult) -> None:
        self.result = result
        self.seconds = time.monotonic() - self._started
        self._ended(self)
