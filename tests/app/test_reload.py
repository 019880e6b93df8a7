"""A reload: what changes with it, and what survives it."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from exporter.app.program import Exporter
from exporter.config import Config, DiscoveryConfig, KubernetesConfig, WebConfig
from exporter.model import Role, Target, TargetKey
from tests.app.conftest import CONFIG, DEFAULTS, Running, agents, exporting
from tests.discovery.test_cluster import pod
from tests.until import until

PODS = "/api/v1/pods"
LISTS = (PODS, "/api/v1/namespaces", "/api/v1/nodes")
POLLS = "istio_port_exporter_polls_total"
OWN = re.compile(r"istio_port_exporter|process_|python_|istio_target_last_poll")


def refusing(count: int) -> list[Target]:
    """Targets whose ports refuse at once."""
    return [
        Target(
            key=TargetKey("shop", f"web-{number}"),
            role=Role.PROXYLESS,
            addresses=(f"127.0.8.{number}",),
            uid=f"web-{number}",
        )
        for number in range(1, count + 1)
    ]


def has_targets(one: Running, count: int) -> bool:
    return len(one.exporter.session.targets) == count


async def series(one: Running) -> set[str]:
    """The label sets of every family about targets."""
    lines = (await one.get("/metrics"))[1].splitlines()
    return {row.rsplit(" ", 1)[0] for row in lines if row[0] != "#" and not OWN.match(row)}


@asynccontextmanager
async def watching(check: Callable[[], Any]) -> AsyncIterator[list[Any]]:
    """Everything that `check` returned in every turn of the event loop."""
    found: list[Any] = []

    async def watch() -> None:
        while True:
            found.append(check())
            await asyncio.sleep(0)

    task = asyncio.create_task(watch())
    try:
        yield found
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_last_samples_are_served_until_each_target_is_polled_anew(folder: Path) -> None:
    """From 200 ms to an hour: nothing is polled for a long time, and nothing vanishes."""
    async with exporting(folder, refusing(20)) as one:
        await one.until_ready()
        before = await series(one)
        await one.reload(interval="1h")
        polls = await one.samples(POLLS)
        await asyncio.sleep(1.5)
        assert await series(one) == before
        assert sum((await one.samples(POLLS)).values()) <= sum(polls.values()) + 1
        await one.reload(interval="300ms")
        assert await series(one) == before


async def test_a_shorter_interval_holds_at_once(folder: Path) -> None:
    async with exporting(folder, refusing(20)) as one:
        await one.until_ready()
        await one.reload(interval="1h")
        before = (await one.samples(POLLS))[""]
        await one.reload(interval="1s")
        await asyncio.sleep(1.3)
        assert (await one.samples(POLLS))[""] >= before + 20


@pytest.mark.parametrize(
    "wrong",
    [
        "pol: {}",
        "poll: {interval: never}",
        "metrics: {disabled_families: [istio_prot_up]}",
        "discovery: {kubernetes: {enabled: false}, static: {files: [nowhere.yaml]}}",
        "web: {config_file: nowhere.yaml}",
    ],
)
async def test_a_bad_configuration_changes_nothing(folder: Path, wrong: str) -> None:
    async with exporting(folder, refusing(5)) as one:
        await one.until_ready()
        session, before = one.exporter.session, await series(one)
        await asyncio.to_thread(one.file.write_text, wrong)
        assert await one.exporter.reload()
        assert one.exporter.session is session
        polls = (await one.samples(POLLS))[""]
        await asyncio.sleep(0.6)
        assert await series(one) == before
        assert (await one.samples(POLLS))[""] >= polls + 10
        assert (await one.samples("istio_port_exporter_config_last_reload_successful"))[""] == 0
        await one.reload()
        assert (await one.samples("istio_port_exporter_config_last_reload_successful"))[""] == 1


async def test_it_is_ready_and_synced_in_every_turn_of_the_loop_during_a_reload(
    folder: Path, cluster: Any
) -> None:
    cluster.put(PODS, pod("cart"))
    async with exporting(folder, refusing(50), cluster, kubernetes="true") as one:
        await one.until_ready()
        synced = "istio_port_exporter_discovery_synced"
        expected = await one.samples(synced)
        assert set(expected.values()) == {1.0}

        def checks() -> tuple[bool, bool, int]:
            session = one.exporter.session
            return session.is_ready, session.is_healthy, len(one.exporter.state.keys())

        async with watching(checks) as found:
            for change in (
                {"profile": "full"},
                {"interval": "1s"},
                {"chosen": ", roles: [sidecar]"},
            ):
                reloading = asyncio.create_task(one.reload(kubernetes="true", **change))
                while not reloading.done():
                    assert (await one.get("/-/ready"))[0] == 200
                    if "chosen" not in change:
                        assert await one.samples(synced) == expected
                await reloading
        assert set(found) == {(True, True, 51)}


async def test_no_poll_is_lost_and_none_is_made_twice(folder: Path) -> None:
    """Slow targets, some of them polled at the moment of each reload."""
    interval, reloads = 0.5, 6
    async with (
        agents(8, 0.1) as (served, targets),
        exporting(folder, targets, interval="500ms") as one,
    ):
        await one.until_ready()
        for number in range(reloads):
            await asyncio.sleep(0.37)
            await one.reload(interval="500ms", profile=("full", "standard")[number % 2])
        await asyncio.sleep(0.5)
        skipped = await one.samples("istio_port_exporter_polls_skipped_total")
    assert served.most == 1, "one at a time"
    assert skipped == {"": 0.0}
    assert len(served.begun) == len(targets)
    gaps = [after - before for times in served.begun.values() for before, after in pairwise(times)]
    assert min(gaps) > 0.6 * interval
    assert max(gaps) < 1.6 * interval


async def test_polls_that_wait_for_a_slot_are_made_after_a_reload(folder: Path) -> None:
    async with (
        agents(6, 0.2) as (served, targets),
        exporting(folder, targets, interval="1s", concurrency="1") as one,
    ):
        await asyncio.sleep(1.0)
        await one.reload(interval="1s", concurrency="4")
        await one.until_ready()
        polls = await one.samples(POLLS)
    assert served.most == 1
    assert polls[""] >= len(targets)


async def test_watches_go_on_unless_what_they_depend_on_changes(folder: Path, cluster: Any) -> None:
    cluster.put(PODS, pod("cart"))
    async with exporting(folder, cluster=cluster, kubernetes="true") as one:
        await one.until_ready()
        watches = [len(cluster.queries(path, watch=True)) for path in LISTS]
        for changed in ({"profile": "full"}, {"interval": "1s"}, {}):
            await one.reload(kubernetes="true", **changed)
            await asyncio.sleep(0.2)
        assert [len(cluster.queries(path, watch=False)) for path in LISTS] == [1, 1, 1]
        assert [len(cluster.queries(path, watch=True)) for path in LISTS] == watches
        await one.reload(kubernetes="true", chosen=", label_selector: app=cart")
        await until(lambda: len(cluster.queries(PODS, watch=False)) == 2)
        assert cluster.queries(PODS, watch=False)[1]["labelSelector"] == "app=cart"


async def test_a_resource_that_is_no_longer_read_is_not_said_to_be(
    folder: Path, cluster: Any
) -> None:
    """And the others have a row at every moment."""
    name, read = "istio_port_exporter_discovery_synced", ("namespaces", "nodes", "pods")
    always = {f'{{resource="{one}"}}' for one in read}
    services = '{resource="services"}'
    async with (
        asyncio.timeout(30),
        exporting(folder, cluster=cluster, kubernetes="true", chosen=", services: true") as one,
    ):
        await one.until_ready()
        while (await one.samples(name)).get(services) != 1:  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.01)
        await one.reload(kubernetes="true")
        while (found := await one.samples(name)) != dict.fromkeys(always, 1.0):
            assert always <= set(found) <= {*always, services}
            await asyncio.sleep(0.01)


async def test_a_cluster_can_be_left_and_taken_up_again(folder: Path, cluster: Any) -> None:
    cluster.put(PODS, pod("cart"))
    async with exporting(folder, refusing(1), cluster, kubernetes="true") as one:
        await one.until_ready()
        assert len(one.exporter.session.targets) == 2
        for enabled, count in (("false", 1), ("true", 2)):
            await one.reload(kubernetes=enabled)
            await until(partial(has_targets, one, count))


async def test_what_port_forwards_were_refused_outlives_a_reload(
    folder: Path, cluster: Any
) -> None:
    """A namespace that refused is not asked again, until `access` changes."""
    forward = "/api/v1/namespaces/shop/pods/web-1/portforward"
    cluster.refused_paths[forward] = 403

    def asked() -> int:
        return len(cluster.queries(forward, watch=False))

    async with exporting(folder, refusing(1), cluster, loopback="portforward") as one:
        await until(lambda: asked() == 1)
        for profile in ("full", "standard"):
            await one.reload(loopback="portforward", profile=profile)
            await asyncio.sleep(0.6)
        assert asked() == 1
        await one.reload(loopback="portforward, portforward: {concurrency: 2}")
        await until(lambda: asked() == 2)


async def test_static_targets_that_a_reload_leaves_out_are_gone(folder: Path) -> None:
    row = "{namespace: shop, pod: %s, role: proxyless, address: 127.0.9.1}"

    def static(*names: str) -> str:
        return f", static: {{targets: [{', '.join(row % name for name in names)}]}}"

    async with exporting(folder, static=static("a", "b")) as one:
        await one.until_ready()
        await one.reload(static=static("b", "c"))
        await until(lambda: {key.pod for key in one.exporter.session.targets} == {"b", "c"})
        assert not any('pod="a"' in row for row in await series(one))


async def test_reloads_in_a_row_end_with_the_last(folder: Path) -> None:
    async with exporting(folder, refusing(20)) as one:
        await one.until_ready()
        await asyncio.to_thread(one.file.write_text, CONFIG % {**DEFAULTS, "profile": "minimal"})
        assert await asyncio.gather(*(one.exporter.reload() for _ in range(5))) == [None] * 5
        await asyncio.sleep(0.5)
        page = (await one.get("/metrics"))[1]
        assert "istio_port_outcome" not in page
        assert page.count("# TYPE istio_port_up ") == 1


async def test_a_storm_of_reloads_is_one_and_one_more_after_it(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with exporting(folder, refusing(20)) as one:
        await one.until_ready()
        caplog.set_level("INFO")
        first = asyncio.create_task(one.exporter.reload())
        await asyncio.sleep(0.01)
        rest = [asyncio.create_task(one.exporter.reload()) for _ in range(1000)]
        assert {await first, *await asyncio.gather(*rest)} == {None}
        assert 1 <= caplog.text.count("configuration reloaded") <= 2


async def test_a_reload_ends_whenever_who_asked_for_it_goes_away(folder: Path) -> None:
    """Else nothing would be polled any more."""
    async with exporting(folder, refusing(20)) as one:
        await one.until_ready()
        for turns in range(1, 40):
            before = one.exporter.session
            asked = asyncio.create_task(one.exporter.reload())
            for _ in range(turns):
                await asyncio.sleep(0)
            asked.cancel()
            await until(lambda last=before: one.exporter.session is not last)  # type: ignore[misc]
        polls = (await one.samples(POLLS))[""]
        await asyncio.sleep(0.6)
        assert (await one.samples(POLLS))[""] >= polls + 20


@pytest.mark.parametrize(
    "changed",
    ["", "# soon\n", "basic_auth_users:\n", "{}", 'tls_server_config: {cert_file: "", key: x}'],
)
async def test_a_reload_says_what_is_wrong_with_the_web_configuration(
    tmp_path: Path, changed: str
) -> None:
    file, other = tmp_path / "web.yaml", tmp_path / "other.yaml"
    for path in (file, other):
        path.write_text(f"basic_auth_users: {{a: '$2y$10${'.' * 53}'}}")
    static = DiscoveryConfig(kubernetes=KubernetesConfig(enabled=False))
    named = [file]

    def read() -> Config:
        web = WebConfig(listen_address="127.0.0.1:0", config_file=str(named[-1]))
        return Config(discovery=static, web=web)

    exporter, listens = Exporter(read, tmp_path), asyncio.Event()
    running = asyncio.create_task(exporter.run(lambda _address: listens.set()))
    await listens.wait()
    assert await exporter.reload() is None
    session = exporter.session
    named.append(other)
    assert await exporter.reload() == f"web.config_file: is {file} until a restart"
    named.pop()
    await asyncio.to_thread(file.write_text, changed)
    assert (await exporter.reload() or "").startswith(str(file))
    assert exporter.session is session
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
