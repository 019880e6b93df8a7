"""One pod of the mesh as processes: its first one owns the network, its parts own the sockets.

The first process makes the namespace, waits for its link, writes the rules and forks a process
for each owner of sockets, which inherits the namespace. Each dies with the one that forked it.
"""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from exporter.demo import kernel
from exporter.demo.addresses import Addresses, flat_sockets
from exporter.demo.network import is_redirected, rules_of
from exporter.demo.recorded_state import RecordedState, Socket
from exporter.demo.script import Script
from exporter.demo.standin import ProcessSpec, StandIn, bind
from exporter.model import Target

_QUEUE = 2
"""Connections that fill a queue of length 0, with one to spare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPlan:
    """One pod to build. `addresses` are of one family, the repetitions' after its own.

    `address6` is the second address of a pod with both families.
    """

    state: RecordedState
    target: Target
    addresses: tuple[str, ...]
    address6: str = ""

    @property
    def every_address(self) -> tuple[str, ...]:
        """The addresses of both families."""
        return (*self.addresses, *((self.address6,) if self.address6 else ()))

    @property
    def families(self) -> tuple[bool, ...]:
        """Whether IPv6, for each family that the pod has."""
        return tuple(sorted({":" in address for address in self.every_address}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Props:
    """What all pods of a run share."""

    addresses: Addresses
    certificates: dict[bytes, Path]
    root: Path
    is_flat: bool
    shows_earlier: bool
    growing: float
    now: float


class BuildError(RuntimeError):
    """A pod could not be built; the message names the command that failed."""


def shift_of(state: RecordedState, now: float) -> float:
    """How far the state's absolute times have to be moved, in seconds."""
    return now - state.date if state.date else 0.0


def batch(text: str) -> None:
    """Run `ip` commands; raises BuildError."""
    run((kernel.tool("ip"), "-batch", "-"), text)


def host_route(address: str) -> str:
    """The address as a prefix of one host."""
    return f"{address}/{128 if ':' in address else 32}"


def nodad(address: str) -> str:
    """The option by which an IPv6 address is usable at once; nothing for IPv4."""
    return " nodad" if ":" in address else ""


def run(command: tuple[str, ...], text: str) -> None:
    """Run a command on a text; raises BuildError."""
    done = subprocess.run(  # noqa: S603 - our own commands
        command, input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"{' '.join(command)}: {done.stderr.strip()}")


def be_pod(plan: PodPlan, props: Props, channel: socket.socket, parent: int) -> NoReturn:
    """The pod's first process: its network, then its parts, then nothing."""
    try:
        os.setpgid(0, 0)
        kernel.die_with(parent)
        kernel.set_name("pause")
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        if not props.is_flat:
            kernel.leave_network()
        channel.sendall(b"ok\n")
        if channel.recv(16):
            if not props.is_flat:
                _build_network(plan, props)
            _start_parts(plan, props)
            if plan.state.network.is_unreachable and not props.is_flat:
                batch("link set eth0 down")
            channel.sendall(b"ok\n")
            channel.close()
            while True:
                signal.pause()
    except (BuildError, OSError) as error:
        channel.sendall(f"{plan.state.name}: {error}\n".encode())
    os._exit(1)


def _build_network(plan: PodPlan, props: Props) -> None:
    lines = [
        "link set lo up",
        *(
            f"addr add {host_route(address)} dev eth0{nodad(address)}"
            for address in plan.every_address
        ),
        "link set eth0 up",
    ]
    for is_ipv6 in plan.families:
        gateway = props.addresses.gateway_of(is_ipv6=is_ipv6)
        anywhere = "::/0" if is_ipv6 else "default"
        lines.append(f"route add {anywhere} via {gateway} dev eth0 onlink")
    batch("\n".join(lines))
    for is_ipv6 in plan.families:
        if rules := rules_of(plan.state, plan.target, is_ipv6=is_ipv6):
            run((kernel.tool("ip6tables-restore" if is_ipv6 else "iptables-restore"),), rules)


def _start_parts(plan: PodPlan, props: Props) -> None:
    """Fork one process for each owner of sockets, and wait until all are bound."""
    sockets = plan.state.sockets
    if props.is_flat:
        sockets = tuple(
            row
            for address in plan.addresses
            for row in flat_sockets(plan.state, plan.target, address)
        )
    parent = os.getpid()
    for process in dict.fromkeys(row.process for row in sockets):
        reading, writing = os.pipe()
        if not os.fork():
            os.close(reading)
            own = tuple(row for row in sockets if row.process == process)
            _be_part(_part(plan, props, process, own), writing, parent)
        os.close(writing)
        failure = os.read(reading, 4096).decode()
        os.close(reading)
        if failure != "ok":
            raise BuildError(failure or f"{process} ended while it was started")


def _part(plan: PodPlan, props: Props, process: str, own: tuple[Socket, ...]) -> ProcessSpec:
    state = plan.state
    redirects = is_redirected(state, plan.target, state.network)
    starts_earlier = props.shows_earlier and bool(state.earlier)
    talks = state.has_istiod_connection and process == "pilot-agent" and not props.is_flat
    return ProcessSpec(
        process=process,
        sockets=own,
        script=Script(state, step=int(not starts_earlier), shift=shift_of(state, props.now)),
        inbound=plan.target.settings.inbound_port if redirects else 0,
        certificates=props.certificates,
        root=props.root,
        istiod=props.addresses.gateway_of(is_ipv6=plan.families[0]) if talks else "",
        is_flat=props.is_flat,
        growing=props.growing,
    )


def _be_part(part: ProcessSpec, writing: int, parent: int) -> NoReturn:
    """One process of the pod: bind, report, answer until killed."""
    status = 1
    try:
        kernel.die_with(parent)
        kernel.set_name(part.process)
        bound = [bind(row) for row in part.sockets]
        fillers = [] if part.process else _fill(bound)
        os.write(writing, b"ok")
        os.close(writing)
        if fillers or part.script.is_hung(part.process):
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            while True:
                signal.pause()
        else:
            asyncio.run(StandIn(part).run(bound))
    except OSError as error:
        os.write(writing, f"{part.process}: {error}".encode())
    finally:
        os._exit(status)


def _fill(bound: Sequence[socket.socket]) -> list[socket.socket]:
    """Fill each queue, so that the kernel drops further connections as a filter would."""
    fillers = []
    for listener in bound:
        listener.listen(0)
        for _ in range(_QUEUE):
            filler = socket.socket()
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname()[:2])
            fillers.append(filler)
    return fillers
