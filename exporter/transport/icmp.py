"""Who ended a connect: a reset is the target's, an ICMP message another host's or our own kernel's.

Both raise the same error: iptables' REJECT is a refused connect like a dead process. Linux keeps
what ICMP told of a connect (since 5.8) for a socket that asked with IP_RECVERR; no right is needed.
The rule: what ICMP told is `Rejected` where a host that is not ours forbids the connection, and an
unreachable host in every other case; it is never a refusal, and never a right that we lack.
"""

import errno
import os
import socket
import struct
from ipaddress import ip_address

_LEVELS = {socket.AF_INET: socket.IPPROTO_IP, socket.AF_INET6: socket.IPPROTO_IPV6}
_ASKING = {socket.AF_INET: 11, socket.AF_INET6: 25}
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

_LACKS_NO_WAY = frozenset((errno.EHOSTUNREACH, errno.ENETUNREACH))
_ROOM = 128


class Rejected(OSError):  # noqa: N818 - names what the network did
    """Another host said by ICMP that the connection is forbidden; the text names it."""


def ask(made: socket.SocketType) -> None:
    """From here on keep what ICMP tells of this socket."""
    made.setsockopt(_LEVELS[made.family], _ASKING[made.family], 1)  # type: ignore[index]


def ask_no_more(made: socket.SocketType) -> None:
    """Keep nothing more and forget what was told: ICMP may not break what is connected."""
    made.setsockopt(_LEVELS[made.family], _ASKING[made.family], 0)  # type: ignore[index]


def failure_of(made: socket.SocketType, number: int) -> OSError | None:
    """What an attempt to connect that has this error number failed of; 0 may still be a failure.

    A message that comes while the connect is being sent does not end it: Linux would send again.
    """
    try:
        told = made.recvmsg(0, _ROOM, socket.MSG_ERRQUEUE)[1]
    except OSError:
        return OSError(number, os.strerror(number)) if number else None
    for _level, _kind, data in told:
        number, origin, kind, code, _info, _data = _ERROR.unpack_from(data)
        if origin in _SENDERS:
            sender = str(ip_address(data[_SENDERS[origin]]))
            forbids = kind == _UNREACHABLE_TYPE[origin] and _FORBIDS.get((origin, code))
            if forbids and not _is_ours(made, sender):
                return Rejected(number, f"rejected by {sender}: ICMP {forbids}")
            if number not in _LACKS_NO_WAY:
                number = errno.EHOSTUNREACH
    return OSError(number, os.strerror(number))


def _is_ours(made: socket.SocketType, sender: str) -> bool:
    """Whether our own kernel sent it: a filter on the way out answers with our own address."""
    return sender == made.getsockname()[0] or ip_address(sender).is_loopback
