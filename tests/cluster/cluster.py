"""A Kubernetes cluster of real parts on this machine, until the block ends."""

import asyncio
import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from tests.cluster import dns, node
from tests.cluster.control_plane import ControlPlane
from tests.cluster.go_programs import cache
from tests.cluster.images import DEBIAN, OFFICIAL, Builder, cluster_images
from tests.cluster.machine import Machine, logs, remove_link
from tests.cluster.node import Node
from tests.real.kubernetes.client import Admin, Document, RefusedError

LINK = "ipecluster"
PREFIX = "istio-port-exporter-cluster-"
HOST, CONTROL, FIRST_NODE = "10.214.0.1", "10.214.0.2", 11
PRODUCT = "localhost/istio-port-exporter:test"
READY_SECONDS = 180.0
"""Nothing is promised of how fast a node is; this is for one whose cores others use too."""
Log = Callable[[str], None]


class Cluster:
    """The control plane, the nodes, and an administrator. Use `running`."""

    def __init__(self, folder: Path, log: Log) -> None:
        self.folder = folder
        self.log = log
        self.nodes: list[Node] = []
        self.plane = ControlPlane(self._machine("control", CONTROL))
        self._archives: list[Path] = []
        self._count = 0

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, for any program of this machine."""
        return self.plane.kubeconfig("admin")

    def build_images(self) -> None:
        """Build every image, as far as it has changed, and write the archives for the nodes."""
        builder = Builder(self.folder, logs() / "buildah.log")
        images = cluster_images()
        for image in images:
            builder.build(image)
            if image is DEBIAN:
                builder.tag(image.reference, OFFICIAL)
        builder.build_product(PRODUCT)
        references = [*(image.reference for image in images), PRODUCT]
        archives = self.folder / "archives"
        archives.mkdir()
        self._archives = builder.save(references, archives)

    def start_control_plane(self) -> None:
        """Start the machine that all others are linked to, and the control plane on it."""
        machine = self.plane.machine
        machine.start()
        machine.make_bridge(LINK, HOST)
        self.plane.start()

    async def add_node(self, admin: Admin) -> Node:
        """Start a further node and wait until it is ready."""
        self._count += 1
        number = self._count
        machine = self._machine(f"node-{number}", f"10.214.0.{FIRST_NODE + number - 1}")
        added = Node(machine, self.plane)
        self.nodes.append(added)
        machine.start()
        self.plane.machine.attach(machine)
        added.start_runtime()
        await asyncio.to_thread(added.load, self._archives)
        added.start_kubelet()
        document = await self._await_node(admin, added, lambda found: "podCIDR" in found["spec"])
        pods = document["spec"]["podCIDR"]
        self._connect(added, pods)
        added.start_network(pods)
        await self._await_node(admin, added, _is_ready)
        return added

    async def remove_node(self, admin: Admin, removed: Node) -> None:
        """End a node's machine, if it still runs, and delete the node."""
        removed.machine.stop()
        self.nodes.remove(removed)
        await admin.delete({"apiVersion": "v1", "kind": "Node", "metadata": {"name": removed.name}})

    async def restart_kubelet(self, admin: Admin) -> None:
        """Restart the first node's, and wait until it has reported its pods anew."""
        restarted = self.nodes[0]
        restarted.machine.end("kubelet")
        restarted.start_kubelet()
        path = f"/api/v1/nodes/{restarted.name}/proxy/pods"

        async def serves() -> bool:
            with contextlib.suppress(RefusedError):
                return bool((await admin.get(path))["items"])
            return False

        await self.wait_for(serves, f"the kubelet of {restarted.name}")

    def stop(self) -> None:
        """End every machine and remove what they have left on this one."""
        for machine in (*(one.machine for one in reversed(self.nodes)), self.plane.machine):
            machine.stop()
        remove_link(LINK)
        node.remove_cgroups()

    async def wait_for(
        self, happens: Callable[[], Awaitable[bool]], what: str, seconds: float = READY_SECONDS
    ) -> None:
        """Wait until it is true; fail at once where a program has ended."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not await happens():
            for machine in (self.plane.machine, *(one.machine for one in self.nodes)):
                machine.check()
            late = asyncio.get_running_loop().time() > deadline
            assert not late, f"waited {seconds:.0f} s for {what}; read the logs in {logs()}"
            await asyncio.sleep(0.3)

    def _machine(self, name: str, address: str) -> Machine:
        folder = self.folder / name
        folder.mkdir()
        return Machine(folder, name, address)

    def _connect(self, added: Node, pods: str) -> None:
        """Routes between the new node's pods, the control plane and the other nodes' pods."""
        added.pods = pods
        self.plane.machine.execute("ip", "route", "replace", pods, "via", added.machine.address)
        for other in self.nodes:
            if other is not added:
                other.add_route(pods, added.machine.address)
                added.add_route(other.pods, other.machine.address)

    async def _await_node(
        self, admin: Admin, wanted: Node, holds: Callable[[Document], bool]
    ) -> Document:
        found: Document = {}

        async def is_there() -> bool:
            nonlocal found
            with contextlib.suppress(RefusedError):
                found = await admin.get(f"/api/v1/nodes/{wanted.name}")
                return holds(found)
            return False

        await self.wait_for(is_there, f"node {wanted.name} ({wanted.machine.log('kubelet')})")
        return found


@contextlib.asynccontextmanager
async def running(log: Log, nodes: int = 1) -> AsyncIterator[tuple[Cluster, Admin]]:
    """A cluster whose nodes are ready and whose DNS runs; everything is removed at the end."""
    with _alone(), tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as at:
        cluster = Cluster(Path(at), log)
        try:
            clock = Stopwatch(log)
            await asyncio.to_thread(cluster.build_images)
            clock.lap("images")
            cluster.start_control_plane()
            clock.lap("control plane")
            async with cluster.plane.admin() as admin:
                await admin.apply(*dns.documents())
                for _ in range(nodes):
                    await cluster.add_node(admin)
                    clock.lap(f"node {len(cluster.nodes)} of {nodes} ready")
                await cluster.wait_for(lambda: dns.is_ready(admin), "CoreDNS")
                clock.lap("CoreDNS")
                yield cluster, admin
        finally:
            cluster.stop()


class Stopwatch:
    """Reports how long each step took."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._began = asyncio.get_running_loop().time()

    def lap(self, step: str) -> None:
        now = asyncio.get_running_loop().time()
        self._log(f"{step}: {now - self._began:.1f} s")
        self._began = now


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One cluster at a time: its link, addresses and control groups have fixed names."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Of a run that was killed: its namespaces ended with it, its files and groups did not.
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(logs(), ignore_errors=True)
        logs().mkdir()
        remove_link(LINK)
        node.remove_cgroups()
        yield


def _is_ready(found: Document) -> bool:
    conditions = found.get("status", {}).get("conditions", ())
    return any(row["type"] == "Ready" and row["status"] == "True" for row in conditions)
