"""Who ended a connect: a reset is the target's, an ICMP message another host's or our own kernel's.

Both raise the same error: iptables' REJECT is a refused connect like a dead process. Linux keeps
the ICMP messages of a connect (since 5.8) for a socket with IP_RECVERR; no right is needed. The
rule: ICMP means `Rejected` where a host that is not ours forbids the connection, and an unreachable
host in every other case; it is never a refusal, and never a right that we lack.
"""

import errno
import os
import socket
import struct
from ipaddress import ip_address

_IS_LINUX = hasattr(socket, "MSG_ERRQUEUE")

_OPTIONS = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
"""IP_RECVERR and IPV6_RECVERR (Linux uapi/linux/in.h, in6.h)."""

_ERROR = struct.Struct("=IBBBxII")
"""struct sock_extended_err (Linux uapi/linux/errqueue.h); the sender's sockaddr follows it."""

_SENDERS = {2: slice(20, 24), 3: slice(24, 40)}
"""Where the sender's address is, by origin: SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6."""

_UNREACHABLE_TYPE = {2: 3, 3: 1}
"""ICMP's and ICMPv6's "destination unreachable", by origin."""

_FORBIDS = {
    (2, 3): "port unreachable",
    (2, 9): "network administratively prohibited",
    (2, 10): "host administratively prohibited",
    (2, 13): "communication administratively prohibited",
    (3, 1): "administratively prohibited",
    (3, 4): "port unreachable",
}
"""The codes of a filter, by origin; TCP itself answers for a closed port, never with ICMP."""

_NO_ROUTE = frozenset((errno.EHOSTUNREACH, errno.ENETUNREACH))
_AFTER_CONNECT = frozenset((errno.ECONNRESET, errno.EPIPE))
_MESSAGE_SIZE = 128


class Rejected(OSError):  # noqa: N818 - names what the network did
    """Another host forbids the connection, by ICMP; the text names it."""


def collect(own: socket.SocketType, value: int) -> None:
    """1: keep the ICMP messages of this socket. 0: forget them, and keep no more.

    They are kept until it is connected: ICMP may not break a connection.
    """
    if _IS_LINUX:
        level, option = _OPTIONS[own.family]  # type: ignore[index] # as the socket's int
        own.setsockopt(level, option, value)


def connect_error(own: socket.SocketType) -> OSError | None:
    """Why a connect failed that has ended; None where it did not.

    A message that comes while the connect is being sent sets no SO_ERROR: Linux would send again.
    """
    number = own.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    for data in _messages(own):
        number, origin, kind, code, _info, _data = _ERROR.unpack_from(data)
        if origin in _SENDERS:
            sender = str(ip_address(data[_SENDERS[origin]]))
            forbids = kind == _UNREACHABLE_TYPE[origin] and _FORBIDS.get((origin, code))
            if forbids and not _is_ours(own, sender):
                return Rejected(number, f"rejected by {sender}: ICMP {forbids}")
            if number not in _NO_ROUTE:
                number = errno.EHOSTUNREACH
    return OSError(number, os.strerror(number)) if number else None


def is_after_connect(error: OSError) -> bool:
    """Whether only an established connection can have it: a refused one has ECONNREFUSED."""
    return error.errno in _AFTER_CONNECT


def _messages(own: socket.SocketType) -> list[bytes]:
    """The first message of the error queue; none where there is none."""
    if not _IS_LINUX:
        return []
    try:
        return [data for _, _, data in own.recvmsg(0, _MESSAGE_SIZE, socket.MSG_ERRQUEUE)[1]]
    except OSError:
        return []


def _is_ours(own: socket.SocketType, sender: str) -> bool:
    """Whether our own kernel sent it: a filter on the way out answers with our own address."""
    return sender == own.getsockname()[0] or ip_address(sender).is_loopback
