"""The process that the mesh lives in: `python -m exporter.demo.stage`, started by `mesh`.

In, on standard input: one line of JSON that names what to build, then `advance` lines. Out: a line
of JSON with the pods, then one `done` a command. Each pod is a process in a network namespace of
its own, which forks one process for each owner of sockets. Nothing has a name in the file
system: when standard input ends, or this process dies, every process, namespace, link and rule
goes with it.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from exporter.demo import kernel
from exporter.demo.addresses import Addresses, target_of
from exporter.demo.certificates import Authority
from exporter.demo.pod import BuildError, PodPlan, Props, batch, be_pod, host_route, nodad, shift_of
from exporter.demo.recorded_state import RecordedState, RecordedView
from exporter.demo.recording import load_states

RUNS = 64
_ISTIOD = 15012


def claim_run() -> tuple[int, socket.socket]:
    """A number that no other mesh on this network uses, and the socket that keeps it."""
    for run in range(RUNS):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(f"\0istio-port-exporter-mesh-{run}")
        except OSError:
            lock.close()
            continue
        return run, lock
    raise BuildError(f"{RUNS} meshes run on this machine already")


def plans_of(
    states: Sequence[RecordedState],
    addresses: Addresses,
    repetitions: Sequence[int],
    now: float,
    *,
    is_flat: bool,
) -> Iterator[PodPlan]:
    """Where each state's pod stands; repetitions take the addresses after the last pod."""
    after = len(states)
    for index, state in enumerate(states):
        in_family = addresses.pod6 if state.is_ipv6 else addresses.pod
        make = addresses.flat if is_flat else in_family
        more = range(after, after + repetitions[index])
        after += repetitions[index]
        address6 = addresses.pod6(index) if state.network6 and not is_flat else ""
        own = (make(index), *((address6,) if address6 else ()))
        yield PodPlan(
            state=state,
            target=target_of(state, own, "", now),
            addresses=(make(index), *(make(number) for number in more)),
            address6=address6,
        )


def main() -> None:
    """Build, report, carry out commands, and take everything down."""
    kernel.die_with(os.getppid())
    request = json.loads(sys.stdin.readline())
    folder = Path(request["folder"])
    every = {state.name: state for state in load_states(folder)}
    states = [every[name] for name in request["names"]]
    run, lock = claim_run()
    with lock, tempfile.TemporaryDirectory(prefix="istio-port-exporter-") as scratch:
        props = _props(states, request, run, Path(scratch))
        plans = tuple(
            plans_of(
                states, props.addresses, request["repetitions"], props.now, is_flat=props.is_flat
            )
        )
        pods = Pods(plans, props)
        try:
            _write_line(json.dumps({"pods": pods.build()}))
            for line in sys.stdin:
                if line.strip() == "advance":
                    pods.advance()
                _write_line("done")
        except (BuildError, OSError) as error:
            _write_line(json.dumps({"error": str(error)}))
        finally:
            pods.kill()


def _props(
    states: Sequence[RecordedState], request: dict[str, Any], run: int, scratch: Path
) -> Props:
    authority = Authority(scratch)
    now = time.time()
    certificates = {
        hello.certificate: authority.reissue(hello.certificate, shift_of(state, now))
        for state in states
        for seen in (state.network, state.network6, state.loopback)
        for hello in (seen or RecordedView()).hellos.values()
        if hello.certificate
    }
    return Props(
        addresses=Addresses(run),
        certificates=certificates,
        root=authority.root,
        is_flat=request["flat"],
        shows_earlier=request["earlier"],
        growing=request["growing"],
        now=now,
    )


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Pods:
    """The pods' processes."""

    def __init__(self, plans: tuple[PodPlan, ...], props: Props) -> None:
        self._plans = plans
        self._props = props
        self._processes: list[int] = []
        self._istiod: list[socket.socket] = []

    def build(self) -> list[dict[str, object]]:
        """Build every pod; one row each with its process and addresses. Raises BuildError."""
        gc.freeze()
        channels = [self._spawn(plan) for plan in self._plans]
        for channel in channels:
            _expect(channel, "the namespace")
        if not self._props.is_flat:
            self._unlink()  # a killed run may have left some
            batch(self._links())
            self._istiod = self._stand_for_istiod()
        for channel in channels:
            channel.sendall(b"go\n")
        for channel in channels:
            _expect(channel, "the pod")
            channel.close()
        return [
            {"pid": pid, "addresses": plan.addresses, "address6": plan.address6}
            for pid, plan in zip(self._processes, self._plans, strict=True)
        ]

    def advance(self) -> None:
        """Turn every pod from its earlier pages to the present ones."""
        for pid in self._processes:
            os.killpg(pid, signal.SIGUSR1)
        time.sleep(0.05)

    def kill(self) -> None:
        """End every process; namespaces, links and rules end with the last one in them."""
        for pid in self._processes:
            os.killpg(pid, signal.SIGKILL)
        for pid in self._processes:
            os.waitpid(pid, 0)
        if not self._props.is_flat:
            self._unlink()

    def _unlink(self) -> None:
        """Remove this run's links: a connection that was cut off can outlive its process."""
        prefix = self._props.addresses.link("")
        names = [row.name for row in Path("/sys/class/net").iterdir()]
        lines = "\n".join(f"link del {name}" for name in names if name.startswith(prefix))
        # The kernel removes most of them by itself meanwhile: what is gone is no error.
        command = (kernel.tool("ip"), "-force", "-batch", "-")
        subprocess.run(  # noqa: S603 - our own command
            command, input=lines, capture_output=True, text=True, check=False
        )

    def _spawn(self, plan: PodPlan) -> socket.socket:
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            ours.close()
            be_pod(plan, self._props, theirs, parent)
        theirs.close()
        os.setpgid(pid, pid)
        self._processes.append(pid)
        return ours

    def _links(self) -> str:
        """A link to each pod, with the routes to its addresses."""
        addresses = self._props.addresses
        lines = []
        for index, (pid, plan) in enumerate(zip(self._processes, self._plans, strict=True)):
            link = addresses.link(index)
            lines += [
                f"link add {link} type veth peer name eth0 netns {pid}",
                *(
                    f"addr add {host_route(gateway)} dev {link}{nodad(gateway)}"
                    for gateway in (
                        addresses.gateway_of(is_ipv6=is_ipv6) for is_ipv6 in plan.families
                    )
                ),
                f"link set {link} up",
                *(
                    f"route add {host_route(address)} dev {link} src "
                    f"{addresses.gateway_of(is_ipv6=':' in address)}"
                    for address in plan.every_address
                ),
            ]
        return "\n".join(lines)

    def _stand_for_istiod(self) -> list[socket.socket]:
        """Listeners that agents were connected to, one a family; their kernel accepts."""
        listeners = []
        for is_ipv6 in sorted({plan.families[0] for plan in self._plans}):
            listener = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._props.addresses.gateway_of(is_ipv6=is_ipv6), _ISTIOD))
            listener.listen(len(self._plans))
            listeners.append(listener)
        return listeners


def _expect(channel: socket.socket, what: str) -> None:
    channel.settimeout(60)
    line = channel.makefile().readline().strip()
    if line != "ok":
        raise BuildError(line or f"{what} ended while it was built")


if __name__ == "__main__":
    main()
