"""Two network namespaces joined by a veth pair: the pods' and the exporter's.

The pods' namespace answers for a whole /16 of addresses, and redirects what comes to them as
Istio's own rules do. Both are removed at the end; those of a run that was killed, by the next.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Failed
from tests.real.network import EXCLUDED, RULES

PREFIX = "bench-scale"
PODS_NETWORK = "10.77.0.0/16"
MOST_TARGETS = 200 * 250
_US, _THEM = "192.0.2.1", "192.0.2.2"
_COMMAND_SECONDS = 20
_NEW_NETWORK = 0x40000000
"""CLONE_NEWNET of setns(2)."""


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Their names."""

    pods: str
    exporter: str


def address_of(index: int) -> str:
    """The address of one of the pods."""
    return f"10.77.{1 + index // 250}.{1 + index % 250}"


@contextlib.contextmanager
def joined() -> Iterator[Namespaces]:
    """Build both, and remove them with everything that runs in them."""
    _sweep()
    names = Namespaces(f"{PREFIX}-pods-{os.getpid()}", f"{PREFIX}-exporter-{os.getpid()}")
    try:
        _build(names)
        yield names
    finally:
        interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
        _remove(names.pods)
        _remove(names.exporter)
        signal.signal(signal.SIGINT, interrupted)


def _build(names: Namespaces) -> None:
    for name in (names.pods, names.exporter):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    ends = ("eth0", "netns", names.exporter, "type", "veth", "peer", "eth0", "netns", names.pods)
    run("ip", "link", "add", *ends)
    pods = [
        f"addr add {_THEM}/30 dev eth0",
        "link set eth0 up",
        f"route add local {PODS_NETWORK} dev lo",
    ]
    exporter = [
        f"addr add {_US}/30 dev eth0",
        "link set eth0 up",
        f"route add {PODS_NETWORK} via {_THEM}",
    ]
    run("ip", "-n", names.pods, "-batch", "-", text="\n".join(pods))
    run("ip", "-n", names.exporter, "-batch", "-", text="\n".join(exporter))
    excluded = "\n".join(f"-A ISTIO_INBOUND -p tcp --dport {p} -j RETURN" for p in EXCLUDED)
    rules = RULES.format(excluded=excluded)
    run("ip", "netns", "exec", names.pods, "iptables-restore", text=rules)


def run(*command: str, text: str = "") -> str:
    """Run a command to its end: what it printed. Raises Failed."""
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(command)} did not end") from error
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """Have this thread's new sockets and processes in a namespace for a while."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter(f"/run/netns/{name}")
        yield
    finally:
        _set(home)
        os.close(home)


def _enter(path: str) -> None:
    there = os.open(path, os.O_RDONLY)
    try:
        _set(there)
    finally:
        os.close(there)


def _set(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, _NEW_NETWORK):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _remove(name: str) -> None:
    with contextlib.suppress(Failed):
        for pid in run("ip", "netns", "pids", name).split():
            if int(pid) != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
    with contextlib.suppress(Failed):
        run("ip", "netns", "del", name)


def _sweep() -> None:
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith(f"{PREFIX}-") and not Path(f"/proc/{name.rpartition('-')[2]}").exists():
            _remove(name)
