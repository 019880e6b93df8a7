"""What the istiods say of the proxies, by whole exporters: alone, in shards, and beside others."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.app.program import Exporter
from exporter.config import load
from exporter.kube.credentials import Credentials
from tests.probes.mesh import MeshAuthority

PODS = "/api/v1/pods"
TOKEN = "canary-t0ken"
CONFIG = """
discovery: {kubernetes: %s}
poll: {interval: 300ms, detail_interval: 300ms, timeout: 200ms}
istiod: {debug_token_file: token, root_cert_file: mesh/root-cert.pem}
metrics: {profile: full}
shard: {ordinal: %d, total: %d}
web: {listen_address: "127.0.0.1:0"}
"""
INTERVAL_SECONDS = 0.3
NAMES = [f"cart-{number}" for number in range(12)]
LISTED = ("istio_proxy_xds_known", "istio_proxy_xds_synced")

Series = dict[tuple[str, str, str], float]


@dataclass
class Istiod:
    """One replica: what it lists, how it answers, and the heads of every request."""

    address: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    asked: list[bytes] = field(default_factory=list)

    def lists(self, *names: str, synced: bool = True) -> None:
        sent = {"sent": "2", "acked": "2" if synced else "1"}
        url = "type.googleapis.com/envoy.config.listener.v3.Listener"
        self.rows = [
            {"proxy": f"{name}.shop", "cluster_id": "Kubernetes", "resources": {url: sent}}
            for name in names
        ]

    @property
    def authorized(self) -> list[bytes]:
        """The paths that were asked for with the token."""
        return [head.split()[1] for head in self.asked if TOKEN.encode() in head]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """15014, as recorded: syncz for the token only."""
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked.append(head)
                status, body = self._page(head)
                length = b"content-length: %d" % len(body)
                writer.write(b"HTTP/1.1 %d X\r\n" % status + length + b"\r\n\r\n" + body)
        writer.close()

    def _page(self, head: bytes) -> tuple[int, bytes]:
        match head.split()[1]:
            case b"/version":
                return 200, b"1.30.0"
            case b"/debug/syncz" if TOKEN.encode() not in head:
                return 401, b""
            case b"/debug/syncz" if self.status == 200:
                return 200, json.dumps(self.rows).encode()
            case b"/debug/syncz":
                return self.status, b""
        return 404, b""


async def _stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await reader.read()
    writer.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(TOKEN)
    return tmp_path


@pytest.fixture
async def istiods(folder: Path) -> AsyncIterator[tuple[Istiod, Istiod]]:
    """Two replicas, with certificates of the mesh on 15012."""
    mesh = MeshAuthority(folder / "mesh")
    context = mesh.serving("istiod.istio-system.svc")
    replicas = Istiod("127.0.0.71"), Istiod("127.0.0.72")
    async with contextlib.AsyncExitStack() as stack:
        for one in replicas:
            for port, talk, tls in ((15014, one.answer, None), (15012, _stay, context)):
                server = await asyncio.start_server(talk, one.address, port, ssl=tls)
                stack.callback(server.close)
        yield replicas


def pod(name: str, **spec: Any) -> dict[str, Any]:
    proxy = {"name": "istio-proxy", "image": "istio/proxyv2:1.30.0", "args": ["proxy", "sidecar"]}
    proxy["env"] = [{"name": "ISTIO_META_CLUSTER_ID", "value": "Kubernetes"}]  # type: ignore[assignment]
    running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}"},
        "spec": {"containers": [proxy], "nodeName": "node-1", **spec},
        "status": {
            "phase": "Running",
            "podIP": "127.0.0.73",
            "containerStatuses": [{"name": "istio-proxy", "ready": True, "state": running}],
        },
    }


def istiod_pod(name: str, address: str, **given: str) -> dict[str, Any]:
    namespace = given.get("namespace", "istio-system")
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "istiod"}},
        "spec": {
            "serviceAccountName": given.get("account", "istiod"),
            "containers": [{"name": "discovery", "image": "istio/pilot:1.30.0"}],
        },
        "status": {"phase": "Running", "podIP": address},
    }


class Running:
    """An exporter that runs in this process."""

    def __init__(self, exporter: Exporter, address: str) -> None:
        self.exporter, self.address = exporter, address

    async def page(self) -> str:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{self.address}/metrics") as answer,
        ):
            return await answer.text()

    async def series(self, names: Iterable[str] = LISTED) -> Series:
        """The value by family, pod and the label `resource`."""
        wanted = frozenset(names)
        return {
            (sample.name, sample.labels["pod"], sample.labels.get("resource", "")): sample.value
            for family in text_string_to_metric_families(await self.page())
            for sample in family.samples
            if sample.name in wanted
        }

    async def until(self, condition: Callable[[Series], bool]) -> Series:
        async with asyncio.timeout(15):
            while not condition(found := await self.series()):  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)
        return found

    async def until_ready(self) -> None:
        """Wait until discovery told everything and every target was polled once."""
        async with asyncio.timeout(15), aiohttp.ClientSession() as session:
            while (await session.get(f"http://{self.address}/-/ready")).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def exporting(
    cluster: Any, folder: Path, ordinal: int = 0, total: int = 1, kubernetes: str = "{}"
) -> AsyncIterator[Running]:
    file = folder / f"exporter-{ordinal}-{total}.yaml"
    await asyncio.to_thread(file.write_text, CONFIG % (kubernetes, ordinal, total))

    async def credentials() -> Credentials:
        return Credentials(cluster.address)

    exporter = Exporter(lambda: load(file), folder, find_credentials=lambda: credentials)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(exporter.run(address.set_result))
    try:
        yield Running(exporter, await address)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def known(series: Series) -> dict[str, float]:
    return {pod: value for (name, pod, _), value in series.items() if name == LISTED[0]}


@pytest.fixture
def mesh(cluster: Any, istiods: tuple[Istiod, Istiod]) -> tuple[Istiod, Istiod]:
    """Twelve proxies and two istiods in a cluster; each istiod lists its half."""
    for name in NAMES:
        cluster.put(PODS, pod(name))
    for number, one in enumerate(istiods):
        cluster.put(PODS, istiod_pod(f"istiod-{number}", one.address))
        one.lists(*NAMES[number::2])
    return istiods


async def test_all_replicas_together_say_who_is_known_and_synced(
    cluster: Any, mesh: tuple[Istiod, Istiod], folder: Path
) -> None:
    async with exporting(cluster, folder) as one:
        found = await one.until(lambda series: len(known(series)) == len(NAMES))
        assert known(found) == dict.fromkeys(NAMES, 1)
        assert found[LISTED[1], "cart-3", "lds"] == 1

        mesh[0].lists(*NAMES[2::2])
        mesh[1].lists(*NAMES[1::2], synced=False)
        found = await one.until(lambda series: known(series).get("cart-0") == 0)
        found = await one.until(lambda series: series.get((LISTED[1], "cart-3", "lds")) == 0)
        assert known(found) == {**dict.fromkeys(NAMES, 1), "cart-0": 0}

        cluster.delete(PODS, pod("cart-5"))
        await one.until(lambda series: "cart-5" not in known(series))
        assert 'pod="cart-5"' not in await one.page()

        mesh[1].status = 403
        assert await one.until(lambda series: not series) == {}, "one replica does not tell"
        mesh[1].status = 200
        await one.until(lambda series: len(known(series)) == len(NAMES) - 1)
        assert set(mesh[0].authorized) == {b"/debug/syncz"}
        assert TOKEN not in await one.page()


async def test_the_shards_together_tell_what_one_exporter_tells(
    cluster: Any, mesh: tuple[Istiod, Istiod], folder: Path
) -> None:
    mesh[0].lists(*NAMES[2::2])
    names = (*LISTED, "istio_port_up", "istio_target_info", "istio_control_plane_info")

    async with exporting(cluster, folder) as alone:
        await alone.until(lambda series: known(series).get("cart-0") == 0)
        whole = await alone.series(names)
    async with contextlib.AsyncExitStack() as stack:
        shards = [
            await stack.enter_async_context(exporting(cluster, folder, ordinal, 3))
            for ordinal in range(3)
        ]
        together: Series = {}
        async with asyncio.timeout(30):
            while together != whole:  # each shard polls and lists by itself
                parts = [await shard.series(names) for shard in shards]
                assert sum(map(len, parts)) == len({key for part in parts for key in part})
                together = {key: value for part in parts for key, value in part.items()}


@pytest.mark.parametrize("kubernetes", ["{}", "{label_selector: 'app!=bank'}"], ids=["all", "some"])
async def test_a_proxy_has_the_version_that_an_istiod_lists_where_its_image_has_none(
    cluster: Any, mesh: tuple[Istiod, Istiod], folder: Path, kubernetes: str
) -> None:
    """One istiod is enough: with a selector others may be missing, and no proxy has a status."""
    pinned = pod("pinned")
    pinned["spec"]["containers"][0]["image"] = "istio/proxyv2@sha256:00"
    cluster.put(PODS, pinned)
    mesh[0].lists("pinned", *NAMES)
    for line in mesh[0].rows:
        line["istio_version"] = "1.28.10"

    async def until_page(text: str) -> None:
        async with asyncio.timeout(15):
            while text not in await one.page():  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)

    async with exporting(cluster, folder, kubernetes=kubernetes) as one:
        await until_page('version="1.28.10"')
        lines = [line for line in (await one.page()).splitlines() if "istio_target_info{" in line]
        versions = {
            line.split('pod="')[1].split('"')[0]: 'version="1.28.10"' in line for line in lines
        }
        assert [name for name, listed in versions.items() if listed] == ["pinned"]
        pinned["metadata"]["labels"] = {"app": "other"}
        cluster.put(PODS, pinned)
        await asyncio.sleep(2 * INTERVAL_SECONDS)
        assert 'version="1.28.10"' in await one.page(), "a change of the pod forgets it"


@pytest.mark.usefixtures("mesh")
async def test_who_looks_at_istiods_only_tells_of_every_proxy_and_polls_none(
    cluster: Any, folder: Path
) -> None:
    async with exporting(cluster, folder, kubernetes="{roles: [istiod]}") as one:
        found = await one.until(lambda series: len(known(series)) == len(NAMES))
        assert known(found) == dict.fromkeys(NAMES, 1)
        assert {key.pod for key in one.exporter.session.targets} == {"istiod-0", "istiod-1"}
        polled = await one.series(["istio_port_up", "istio_target_info"])
        assert {pod for _, pod, _ in polled} == {"istiod-0", "istiod-1"}


async def test_where_some_istiods_may_be_missing_nothing_is_said(
    cluster: Any, mesh: tuple[Istiod, Istiod], folder: Path
) -> None:
    selector = "{label_selector: 'app!=cart'}"
    async with exporting(cluster, folder, kubernetes=selector) as one:
        await one.until_ready()
        assert mesh[0].authorized, "it did answer"
        await asyncio.sleep(2 * INTERVAL_SECONDS)
        assert await one.series() == {}
        page = await one.page()
        assert 'istio_port_exporter_capability{capability="debug_token"} 0.0' in page


async def test_ten_shards_ask_an_istiod_no_more_than_one(
    cluster: Any, mesh: tuple[Istiod, Istiod], folder: Path
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(exporting(cluster, folder, ordinal, 10))
            for ordinal in range(1, 10)
        ]
        for other in others:
            await other.until_ready()
        assert sum(len(other.exporter.session.targets) for other in others) > 6
        assert [one.asked for one in mesh] == [[], []], "all but the first leave istiod alone"


IMPOSTORS = {
    "another namespace": {"namespace": "shop"},
    "another account": {"account": "default"},
}


@pytest.mark.parametrize("given", IMPOSTORS.values(), ids=IMPOSTORS)
@pytest.mark.parametrize("is_hidden", [False, True], ids=["polled", "ignored"])
async def test_what_only_looks_like_istiod_gets_no_token_and_counts_for_nothing(
    cluster: Any,
    istiods: tuple[Istiod, Istiod],
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    given: dict[str, str],
    is_hidden: bool,
) -> None:
    genuine, impostor = istiods
    impostor.lists("cart-0", synced=False)
    fake = istiod_pod("istiod-1", impostor.address, **given)
    if is_hidden:
        fake["metadata"]["annotations"] = {"istio-port-exporter/ignore": "true"}
    cluster.put(PODS, pod("cart-0"))
    cluster.put(PODS, istiod_pod("istiod-0", genuine.address))
    cluster.put(PODS, fake)
    genuine.lists("cart-0")
    async with exporting(cluster, folder) as one:
        async with asyncio.timeout(15):
            while len(genuine.authorized) < 3 or not (is_hidden or len(impostor.asked) > 2):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert not any(b"authorization" in head.lower() for head in impostor.asked)
        found = await one.until(lambda series: "cart-0" in known(series))
        assert found == {(LISTED[0], "cart-0", ""): 1, (LISTED[1], "cart-0", "lds"): 1}
        capability = f'capability{{capability="debug_token"}} {float(is_hidden)}'
        async with asyncio.timeout(15):
            while capability not in await one.page():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.sleep(3 * INTERVAL_SECONDS)
        lines = [line for line in caplog.messages if "for nothing" in line]
        assert len(lines) == (0 if is_hidden else 1), "logged once"
        assert all(("istiod.namespaces" in line) == ("namespace" in given) for line in lines)


async def test_while_discovery_is_not_current_no_istiod_gets_the_token(
    cluster: Any, mesh: tuple[Istiod, Istiod], folder: Path
) -> None:
    """Known targets are still polled, but their addresses may be other pods' by now."""
    async with exporting(cluster, folder) as one:
        await one.until(lambda series: len(known(series)) == len(NAMES))
        cluster.refused_paths[PODS] = 403
        cluster.expire(PODS)
        await one.until(lambda series: not series)
        for replica in mesh:
            replica.asked.clear()
        async with asyncio.timeout(15):
            while len(mesh[0].asked) < 8:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert [replica.authorized for replica in mesh] == [[], []]
        assert "istio_control_plane_info" in await one.page(), "what needs no token is read still"
        cluster.refused_paths.clear()
        await one.until(lambda series: len(known(series)) == len(NAMES))


async def test_a_probe_on_demand_never_carries_the_token(
    cluster: Any, mesh: tuple[Istiod, Istiod], folder: Path
) -> None:
    async with exporting(cluster, folder) as one:
        await one.until_ready()
        (known,) = (t for key, t in one.exporter.session.targets.items() if key.pod == "istiod-0")
    assert known.trusted
    assert mesh[0].authorized, "the poller was let in"
    mesh[0].asked.clear()
    looked = await one.exporter.session.probe(known)
    assert looked.record.control_plane is not None
    assert looked.record.control_plane.version == "1.30.0"
    assert mesh[0].asked
    assert not any(b"authorization" in head.lower() for head in mesh[0].asked)


@pytest.fixture(autouse=True)
def _no_token_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert TOKEN not in caplog.text
