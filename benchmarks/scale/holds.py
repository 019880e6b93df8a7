"""How long the exporter's event loop is held: by what it uses up before it answers a request.

A process of its own asks `/-/healthy` again and again on one connection, and reads how much CPU
time the exporter's main thread used from the question to the answer. A question that comes while
the loop is held waits for the rest of the hold, so the longest of many is a hold and the short
turns that answer: a little more than the truth. It is CPU time, so that a busy machine is not
taken for a slow exporter; and the asker goes before others, so that it is not late itself.
"""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from benchmarks.processes import cpu_seconds

_PAUSE_SECONDS = 0.01
_GIVE_UP_SECONDS = 600.0
_REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(slots=True)
class Hold:
    """The longest so far, in seconds."""

    seconds: float = 0.0


@contextmanager
def watched(pid: int, port: int) -> Iterator[Hold]:
    """Watch until the end; the answer is there afterwards."""
    context = get_context("fork")
    longest = context.Value("d", 0.0)
    watcher = context.Process(target=_watch, args=(pid, port, longest), daemon=True)
    watcher.start()
    hold = Hold()
    try:
        yield hold
    finally:
        watcher.terminate()
        watcher.join()
        hold.seconds = float(longest.value)


def _watch(pid: int, port: int, longest: "Synchronized[float]") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    give_up = time.monotonic() + _GIVE_UP_SECONDS
    while time.monotonic() < give_up:
        time.sleep(_PAUSE_SECONDS)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as made:
            made.settimeout(30)
            while time.monotonic() < give_up and (used := _ask(made, pid)) is not None:
                longest.value = max(longest.value, used)
                time.sleep(_PAUSE_SECONDS)


def _ask(made: socket.socket, pid: int) -> float | None:
    """The CPU that one answer took; None when the connection has ended."""
    main, everything = _main_thread(pid), cpu_seconds(pid)
    made.sendall(_REQUEST)
    if not made.recv(65536):
        return None
    # The thread's own clock is behind by up to a tick while it runs; the process's is not, but
    # has the other threads in it.
    return min(_main_thread(pid) - main, cpu_seconds(pid) - everything)


def _main_thread(pid: int) -> float:
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9
