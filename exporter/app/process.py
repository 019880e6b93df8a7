"""What the process needs of its machine: a socket, open files, memory."""

import asyncio
import ctypes
import errno
import gc
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from exporter.turn import in_thread

_COLLECT_SOONEST_SECONDS, _COLLECT_LATEST_SECONDS = 0.01, 1.0
_COLLECTION_SECONDS = 0.001
"""What a collection is to take, of CPU time: the pause before the next one follows from the last.
To wake up for a trifle costs more than the trifle."""

_RELEASE_SECONDS = 30.0


_ADVICE = {
    errno.EADDRINUSE: "\nIs another exporter, or a demo, running there? Choose another address "
    "with --web.listen-address, such as 127.0.0.1:10521.",
    errno.EADDRNOTAVAIL: "\nThis machine has no such address. Choose one of its own with "
    "--web.listen-address, or all of them with :10520.",
    errno.EACCES: "\nThis user may not listen on a port below 1024. Choose another address with "
    "--web.listen-address, such as :10520.",
}


class ListenError(OSError):
    """An address cannot be bound; the text has the reason, and what to do."""

    def __init__(self, address: str, error: OSError) -> None:
        code = error.errno or 0
        reason = os.strerror(code) if code > 0 else error.strerror or str(error)
        super().__init__(f"cannot listen on {address}: {reason}{_ADVICE.get(code, '')}")


def bind(address: str) -> socket.socket:
    """A socket listening on `host:port`; without a host on every address of both families.

    Raises ListenError.
    """
    try:
        return _listening(address)
    except OSError as error:
        raise ListenError(address, error) from error


def _listening(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host and socket.has_dualstack_ipv6():
        wildcard = ("", int(port))
        return socket.create_server(wildcard, family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family)


def raise_file_limit() -> None:
    """Allow as many open sockets as the system allows: each poll holds several."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def collect_garbage_rarely() -> None:
    """Do not go through old objects again and again: polls leave little that is garbage.

    The defaults go through every target's records over and over; measured at 10 to 30 us a probe.
    """
    gc.set_threshold(5_000, 2, 1_000_000)


async def collect_young_garbage() -> None:
    """Go through new objects before there are many of them, until cancelled.

    The collector counts how many more objects were made than freed. Polls free an old record for
    each new one, so that it would go through the records of all targets at once, and hold the event
    loop: 60 ms with 20,000 targets.
    """
    pause = _COLLECT_SOONEST_SECONDS
    while True:
        await asyncio.sleep(pause)
        began = time.thread_time()
        if gc.isenabled():
            gc.collect(1)
        took = max(time.thread_time() - began, _COLLECTION_SECONDS / 100)
        fitting = pause * _COLLECTION_SECONDS / took
        pause = min(max(fitting, _COLLECT_SOONEST_SECONDS), _COLLECT_LATEST_SECONDS)


async def release_freed_memory() -> None:
    """Give the system back what glibc keeps of freed memory, until cancelled.

    The first polls hold TLS handshakes and whole pages between what stays, which keeps glibc from
    giving any of it back by itself: 8 to 10 MB with 5,000 targets, which take 2 ms in a thread.
    Other C libraries have no such function.
    """
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while release is not None:
        await asyncio.sleep(_RELEASE_SECONDS)
        await in_thread(release, 0)


@contextmanager
def many_new_objects() -> Iterator[None]:
    """While a thread makes very many objects that stay, do not go through them.

    A collection holds the event loop whichever thread it is in. In the end they are old, as if
    collections had found them in use.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()
        gc.enable()
