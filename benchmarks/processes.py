"""Processes of a benchmark: started, paused while the other side has its turn, their CPU read."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_SECONDS = 30.0


class Failed(Exception):  # noqa: N818 - says what a process did
    """A process of the benchmark did not do its part; the message says which and why."""


@contextmanager
def running(log: Path, *command: object) -> Iterator[int]:
    """Run a command with its output in a file; yields its pid."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process.pid
        if process.poll() is not None:
            raise Failed(f"{command[0]} ended early: {log.read_text()[-500:]}")
    finally:
        process.kill()
        process.wait()


@contextmanager
def awake(pid: int) -> Iterator[None]:
    """Let a stopped process run for a while."""
    os.kill(pid, signal.SIGCONT)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGSTOP)


def wait_for_port(port: int) -> None:
    """Wait until something accepts on loopback; raises Failed when nothing ever does."""
    give_up = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Failed(f"nothing listens on port {port} after {_START_SECONDS:g} s")


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, to the nanosecond, threads that have ended included.

    The clock's number is made as clock_getcpuclockid(3) makes it.
    """
    return time.clock_gettime((~pid << 3) | 2)


def run_measured(log: Path, *command: object) -> tuple[float, str]:
    """Run a command to its end: the CPU seconds that it used, and what it printed."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=output, stderr=subprocess.STDOUT
        )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    printed = log.read_text()
    if process.returncode:
        raise Failed(f"{command[0]} ended with {process.returncode}: {printed[-500:]}")
    return usage.ru_utime + usage.ru_stime, printed
