"""The least that a Python process pays for an HTTP probe: a bare epoll loop, nothing around it.

`python -m benchmarks.floor SECONDS PAUSE ADDRESSES PORT:PATH ...` asks every port of the next
address each PAUSE seconds, each on a fresh connection, with the system calls of exporter/transport:
ICMP errors kept for the time of the connect, connect, send, recv, and a reset by which the socket
is disconnected to be used again. It prints the microseconds of CPU that one probe took.
"""

import contextlib
import ctypes
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator

_LINGER_ZERO = struct.pack("ii", 1, 0)
_IP_RECVERR = 11
_CHUNK = 32768
_UNSPECIFIED = struct.pack("H14x", socket.AF_UNSPEC)
_connect = ctypes.CDLL(None).connect
_connect.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_ANSWER_SECONDS = 2.0
_WATCHED = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_REQUEST = (
    "GET {path} HTTP/1.1\r\nUser-Agent: istio-port-exporter/0.1.0\r\nHost: {host}:{port}\r\n\r\n"
)


def address_of(index: int) -> str:
    """One of the loopback addresses; the Lua scripts make the same ones."""
    return f"127.{1 + index // 62500}.{index // 250 % 250}.{1 + index % 250}"


def requests_of(addresses: int, ports: list[tuple[int, str]]) -> list[list[tuple[str, int, bytes]]]:
    """Per address what is sent to which port, made before anything is measured."""
    return [
        [
            (host, port, _REQUEST.format(path=path, host=host, port=port).encode())
            for port, path in ports
        ]
        for host in map(address_of, range(addresses))
    ]


def take(epoll: select.epoll, spare: list[socket.SocketType]) -> socket.SocketType:
    """A socket that was used before and is watched, or a new one."""
    if spare:
        return spare.pop()
    made = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    epoll.register(made.fileno(), _WATCHED)
    return made


def ask(
    epoll: select.epoll, wanted: list[tuple[str, int, bytes]], spare: list[socket.SocketType]
) -> int:
    """Ask one address's ports at the same time; how many answered."""
    waiting: dict[int, tuple[socket.SocketType, bytes]] = {}
    for host, port, request in wanted:
        made = take(epoll, spare)
        made.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        made.connect_ex((host, port))
        waiting[made.fileno()] = (made, request)
    answered = 0
    give_up = time.monotonic() + _ANSWER_SECONDS
    while waiting and time.monotonic() < give_up:
        for number, events in epoll.poll(_ANSWER_SECONDS):
            if number not in waiting:  # what was reset has events too
                continue
            made, request = waiting[number]
            if request and events & select.EPOLLOUT:
                made.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 0)
                made.send(request)
                waiting[number] = (made, b"")
            if events & select.EPOLLIN:
                answered += bool(made.recv(_CHUNK))
                del waiting[number]
                _connect(number, _UNSPECIFIED, len(_UNSPECIFIED))
                spare.append(made)
    for made, _ in waiting.values():
        made.close()
    return answered


def ticks(seconds: float, pause: float) -> Iterator[None]:
    """A turn each pause; one that is late is not made up for by waiting less than nothing."""
    end = time.monotonic() + seconds
    due = time.monotonic()
    while due < end:
        with contextlib.suppress(ValueError):
            time.sleep(due - time.monotonic())
        yield
        due += pause


def main() -> None:
    """Ask for so long, and print what a probe cost."""
    seconds, pause, addresses, *ports = sys.argv[1:]
    pairs = [(int(port), path) for port, _, path in (word.partition(":") for word in ports)]
    rows = requests_of(int(addresses), pairs)
    made = answered = turn = 0
    spare: list[socket.SocketType] = []
    with select.epoll() as epoll:
        before = time.process_time()
        for _ in ticks(float(seconds), float(pause)):
            wanted = rows[turn % len(rows)]
            answered += ask(epoll, wanted, spare)
            made += len(wanted)
            turn += 1
        used = time.process_time() - before
    if answered < made:
        sys.exit(f"{made - answered} of {made} requests were not answered")
    print(f"{used / made * 1e6:.2f}")


if __name__ == "__main__":
    main()
