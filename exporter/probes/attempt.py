"""What a prober is handed and what it hands back, and how every failure becomes an outcome.

An `Attempt` is one try at one port. A prober returns a `ProbeResult` or raises; `failure` turns
whatever was raised into a `ProbeResult`, so that all failures are mapped in one place.
"""

import asyncio
import errno
import logging
import math
import ssl
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from msgspec import Struct

from exporter.access.dialer import Dialer, NoAccess
from exporter.bounds import SENTENCE, cut_text
from exporter.model import Cadence, Facts, Observation, Outcome, Probe, Target
from exporter.transport.icmp import Rejected

log = logging.getLogger(__name__)

_STALL_SECONDS = 0.1
"""Answers that seem to take less are not looked into."""


class Closed(Exception):  # noqa: N818 - names what the peer did
    """The peer closed the connection before it had answered."""


class Malformed(Exception):  # noqa: N818 - names what the peer sent
    """The peer's bytes are not the protocol that the port speaks."""


class TooLarge(Exception):  # noqa: N818 - names what the peer sent
    """The answer is longer than is read."""


EXPECTED = (OSError, NoAccess, Closed, Malformed, TooLarge)
"""What a target, the network or missing rights can cause; anything else is a bug."""


def nobody_names(_address: str) -> bool:
    """Without a current discovery nobody is named."""
    return False


@dataclass(frozen=True, slots=True)
class MeshTrust:
    """How an istiod proves itself, and what it is given then: files, never what is in them.

    `root_file` holds the mesh's root certificates (PEM). `names` are DNS names of which its
    certificate must have one, on `port`, before it is given what `token_file` holds; 15017's may
    also have one of `webhook_names`, or of `called_names()`, by which the API server calls it. An
    empty `token_file`: this target gets no token, whatever it proves. `is_named(address)`: whether
    the API names the target at this address at this moment; without that it gets none either.
    """

    root_file: str
    names: tuple[str, ...] = ()
    token_file: str = ""
    port: int = 15012
    webhook_names: tuple[str, ...] = ()
    is_named: Callable[[str], bool] = field(default=nobody_names, compare=False, repr=False)
    called_names: Callable[[], tuple[str, ...]] = field(default=tuple, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """What the configuration chooses for all probes of one target.

    `trust`: how an istiod proves itself; None where it need not.
    `bugs` are what probers raised by mistake and was logged already,
    by port and class.
    """

    application_probes: bool = False
    trust: MeshTrust | None = None
    bugs: list[tuple[int, type[BaseException]]] = field(
        default_factory=list, compare=False, repr=False
    )


class ProbeProtocol(asyncio.Protocol):
    """A connection that can be dropped at any time."""

    __slots__ = ("transport",)

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    def drop(self) -> None:
        """Drop the connection with a reset."""
        self.transport.abort()


ProtocolT = TypeVar("ProtocolT", bound=ProbeProtocol)


_SYN_AGAIN_SECONDS = 0.9
"""A connect that takes so long has lost a packet: the kernel sends the SYN again after 1 s."""

_RESEND_SECONDS = 3.0
"""What is lost on such a connection is sent again after so long (RFC 6298, 5.7).

A percent of lost packets would else be a hung process in every thousandth poll.
"""


class Attempt(Struct, eq=False):
    """One attempt of one probe: by which connection, of what, how long.

    The first six fields are the question. The rest is filled in on the way: `connected` whether
    TCP connected (None: not tried), `line` what is open, `facts` what is known even if the prober
    fails, `settled` when the outcome stood; `asked` when the first HTTP request was sent; `until`
    when the prober's time is up. All in seconds of the monotonic clock. `resent`: for how many
    seconds the kernel may have waited before it sent something again.
    """

    dialer: Dialer
    probe: Probe
    due: frozenset[Cadence]
    timeout: float
    target: Target
    options: ProbeOptions
    connected: bool | None = None
    facts: Facts = None
    settled: float = 0.0
    asked: float = 0.0
    until: float = math.inf
    resent: float = 0.0
    line: ProbeProtocol | None = None

    async def connect(self, factory: Callable[[], ProtocolT], port: int = 0) -> ProtocolT:
        """Connect to the probed port, or to another one; closed by `close`."""
        if self.line is not None:
            self.close()
        if self.connected is None:  # a reconnect that fails takes nothing back
            self.connected = False
        begun = time.monotonic()
        line = await self.dialer.connect(port or self.probe.port, factory)
        self.opened(line, begun)
        return line

    def opened(self, line: ProbeProtocol, begun: float) -> None:
        """A connect that was begun then has succeeded."""
        self.connected = True if self.dialer.reports_accept else None
        self.line = line
        now = time.monotonic()
        if self.connected and now - begun >= _SYN_AGAIN_SECONDS:
            self.resent = _RESEND_SECONDS
            self.until = max(self.until, now + self.timeout + _RESEND_SECONDS)

    def took(self, started: float, ended: float) -> float:
        """Its duration, for HTTP without the connect.

        It is without the time for which the kernel waited to send again what was lost.
        """
        seconds = ended - (self.asked or started)
        return seconds - self.resent if seconds >= self.resent else seconds

    def close(self) -> None:
        """Drop the open connection, if any, with a reset."""
        if self.line is not None:
            self.line.drop()
            self.line = None

    def settle(self) -> None:
        """The outcome stands: what is still requested has deadlines of its own."""
        self.settled = self.answered()
        self.allow(self.timeout)

    def answered(self) -> float:
        """When the answer to a request had come: a stall of ours is not the target's."""
        now = time.monotonic()
        if self.line is None or now - self.asked < _STALL_SECONDS:
            return now
        unread = getattr(self.line.transport, "unread_seconds", 0.0)  # a port-forward has none
        return max(self.asked, now - unread)

    def allow(self, seconds: float) -> None:
        """What is requested from here on has so long; then `TimeoutError` comes where it waits."""
        self.until = time.monotonic() + seconds

    def observation(self, result: "ProbeResult", seconds: float) -> Observation:
        """How it ended."""
        return Observation(
            self.probe,
            result.outcome,
            seconds,
            result.detail and cut_text(result.detail, SENTENCE),
            self.facts if result.facts is None else result.facts,
            None if result.outcome is Outcome.NO_ACCESS else self.connected,
        )


class ProbeResult(Struct, frozen=True):
    """How a probe ended: the outcome, a short detail for people, and what it learnt."""

    outcome: Outcome
    detail: str = ""
    facts: Facts = None


Prober = Callable[[Attempt], Coroutine[Any, Any, ProbeResult]]

_MISSED = {True: "connected, but no answer", False: "no connection", None: "no answer"}
"""What did not come, by whether a connection did; None where that is not known."""

_UNREACHABLE = frozenset(
    (
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
        errno.EAFNOSUPPORT,
        errno.EINVAL,
    )
)


def failed(error: BaseException, attempt: Attempt) -> ProbeResult:
    """The outcome of a failure; one that no target can cause is a bug, and logged.

    Once for a target's port and its kind: it may come back with every poll.
    """
    bug = attempt.probe.port, type(error)
    if not isinstance(error, EXPECTED) and bug not in attempt.options.bugs:
        attempt.options.bugs.append(bug)
        target, port = attempt.target.key, attempt.probe.port
        log.error("probe failed target=%s port=%d", target, port, exc_info=error)
    error.__traceback__ = None  # its frames know the future that keeps it: garbage in a circle
    return failure(error, attempt)


def failure(error: BaseException, attempt: Attempt) -> ProbeResult:
    """The outcome that an exception means, with a sentence for people. Total."""
    match error:
        case TimeoutError():
            return ProbeResult(
                Outcome.TIMEOUT, f"{_MISSED[attempt.connected]} within {attempt.timeout:g} s"
            )
        case Closed():
            return ProbeResult(Outcome.CLOSED, str(error) or "closed before it answered")
        case Malformed():
            return ProbeResult(Outcome.WRONG_PROTOCOL, str(error))
        case TooLarge():
            return ProbeResult(Outcome.TOO_LARGE, _excess(error))
        case NoAccess():
            return ProbeResult(Outcome.NO_ACCESS, str(error))
        case ssl.SSLError():
            return ProbeResult(Outcome.TLS_ERROR, _tls_failure(error))
        case OSError():
            return _socket_failure(error)
    return ProbeResult(Outcome.NO_ACCESS, f"the exporter failed: {type(error).__name__}")


def _socket_failure(error: OSError) -> ProbeResult:
    """What a socket's error means; what is left over is the exporter's own trouble."""
    if isinstance(error, Rejected):
        return ProbeResult(Outcome.REJECTED, str(error.strerror))
    if isinstance(error, ConnectionRefusedError):
        return ProbeResult(Outcome.REFUSED, "connection refused")
    if isinstance(error, ConnectionError):
        return ProbeResult(Outcome.RESET, "connection reset")
    reason = error.strerror or str(error)
    if error.errno in _UNREACHABLE:
        return ProbeResult(Outcome.UNREACHABLE, reason.lower())
    return ProbeResult(Outcome.NO_ACCESS, f"the exporter could not open a connection: {reason}")


def _excess(error: TooLarge) -> str:
    return f"more than {error.args[0]} bytes" if error.args else "more than is read"


def _tls_failure(error: ssl.SSLError) -> str:
    """OpenSSL's short reason; an error that Python itself raised has only a text."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "verify_message", None) or str(error)
        return f"its certificate does not verify against the mesh's root: {reason}"
    return f"TLS failed: {getattr(error, 'reason', None) or error}"
