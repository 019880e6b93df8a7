"""Bare TCP: a connect, a listener that closes at once, and bytes that are not HTTP.

`exposure` tests whether admin answers the network without sending it, or the pod's redirection,
a request: an exposed admin answers `400` to the bytes, a loopback-only one resets (recorded). What
a connect proves is decided in `diagnosis/verdicts.py`.
"""

import asyncio

from exporter.access.dialer import NoAccess
from exporter.model import HBONE_ROLES, Outcome
from exporter.probes.attempt import Attempt, Closed, ProbeProtocol, ProbeResult
from exporter.transport.protocols import HAS_HALF_OPEN_CONNECTS, HalfOpenConnect

_NOT_HTTP = b"\0\r\n\r\n"
_ENOUGH = 16
_SHARE = 0.9
"""The share of the deadline in which a refusal has to show."""

_UNKNOWN = "not refused; a port-forward does not show whether a silent port accepts"
_LISTED = "not refused through a port-forward, and Envoy's admin lists its listener"
_MOST = 4096


class RawProtocol(ProbeProtocol):
    """A connection whose first bytes, or end, are awaited in `first`."""

    __slots__ = ("_seen", "first")

    def __init__(self) -> None:
        self._seen = b""
        self.first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Keep enough to identify what answers."""
        if not self.first.done():
            self._seen = (self._seen + data)[:_MOST]
            if len(self._seen) >= _ENOUGH:
                self.first.set_result(self._seen)

    def connection_lost(self, exc: Exception | None) -> None:
        """What came before the end is the answer; nothing is `Closed` or a reset."""
        if self.first.done():
            return
        if self._seen:
            self.first.set_result(self._seen)
        else:
            self.first.set_exception(exc or Closed())
            self.first.exception()


class _HalfOpenProtocol(ProbeProtocol, HalfOpenConnect):
    """A connection that is not used."""

    __slots__ = ()


ACCEPTS = ProbeResult(Outcome.OK)


_NO_HALF_OPEN = (
    "no half-open connect on this platform, and a full one leaves an error in ztunnel's log"
)


async def probe_connect(attempt: Attempt) -> ProbeResult:
    """The port accepts a TCP connection; nothing is sent.

    A workload in ambient gets half-open connects or none.
    """
    if attempt.target.role in HBONE_ROLES and not HAS_HALF_OPEN_CONNECTS:
        raise NoAccess(_NO_HALF_OPEN)
    if not attempt.dialer.reports_accept:
        return await _await_answer(attempt)
    await attempt.connect(_HalfOpenProtocol)
    return ACCEPTS


async def _await_answer(attempt: Attempt) -> ProbeResult:
    """Whether a port accepted, by what follows: a refusal, bytes, an end, or nothing."""
    line = await attempt.connect(RawProtocol)
    ended, _ = await asyncio.wait((line.first,), timeout=attempt.timeout * _SHARE)
    if not ended:
        if attempt.probe.is_listed:
            return ProbeResult(Outcome.OK, _LISTED)
        return ProbeResult(Outcome.NO_ACCESS, _UNKNOWN)
    fault = line.first.exception()
    if fault is None or isinstance(fault, (Closed, ConnectionResetError)):
        return ProbeResult(Outcome.OK)
    raise fault


async def probe_blackhole(attempt: Attempt) -> ProbeResult:
    """A listener that drops what is addressed to itself (15001, 15006): it closes at once."""
    line = await attempt.connect(RawProtocol)
    try:
        await line.first
    except ConnectionRefusedError:  # reported late by a port-forward
        raise
    except (Closed, ConnectionError):
        return ProbeResult(Outcome.OK)
    return ProbeResult(Outcome.WRONG_PROTOCOL, "bytes came where Envoy closes")


async def probe_exposure(attempt: Attempt) -> ProbeResult:
    """Whether admin answers the network: `OK` where it does."""
    line = await attempt.connect(RawProtocol)
    line.transport.write(_NOT_HTTP)
    answered = await line.first
    if answered.startswith(b"HTTP/1.") and b" 400 " in answered[:14]:
        return ProbeResult(Outcome.OK, "admin answers the network")
    return ProbeResult(Outcome.WRONG_PROTOCOL, "the answer is not admin's")
