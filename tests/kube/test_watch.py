"""List and watch against a stand-in API server over real HTTP."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from exporter.kube.api_errors import KubernetesError
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import Credentials
from exporter.kube.watch import ResourceWatch
from exporter.kube.watch_events import EventType
from exporter.kube.watch_options import Resource, WatchCallbacks, WatchOptions
from tests.until import until

PODS = Resource("pods", "/api/v1/pods", {"labelSelector": "app=web"})
PACE = WatchOptions(
    page_size=2, idle_timeout=5.0, server_timeout=10.0, initial_backoff=0.01, max_backoff=0.1
)


def pod(name: str, size: int = 0) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "shop", "annotations": {"filler": "x" * size}}}


@dataclass
class Followed:
    """What a follower saw: events as `put name`, and what its callbacks got."""

    events: list[str] = field(default_factory=list)
    requested: list[tuple[str, str]] = field(default_factory=list)
    failures: list[KubernetesError] = field(default_factory=list)
    opened: int = 0
    relisted: int = 0

    def open(self) -> None:
        self.opened += 1

    def relist(self) -> None:
        self.relisted += 1

    async def until(self, *events: str) -> None:
        """Wait until these events are the last ones."""
        await until(lambda: self.events[-len(events) :] == list(events))

    async def until_watching(self, count: int = 1) -> None:
        await until(lambda: self.opened >= count)


@contextlib.asynccontextmanager
async def following(address: str, options: WatchOptions = PACE) -> AsyncIterator[Followed]:
    seen = Followed()

    async def load() -> Credentials:
        return Credentials(address)

    async def run() -> None:
        callbacks = WatchCallbacks(
            requested=lambda verb, code: seen.requested.append((verb, code)),
            opened=seen.open,
            failed=seen.failures.append,
            relisted=seen.relist,
        )
        async with KubernetesClient(load) as api:
            async for event in ResourceWatch(api, PODS, callbacks, options).events():
                named = event.type in (EventType.PUT, EventType.DROP)
                name = msgspec.json.decode(event.document)["metadata"]["name"] if named else ""
                seen.events.append(f"{event.type} {name}".strip())

    task = asyncio.create_task(run())
    try:
        yield seen
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_list_ends_after_its_last_page(cluster: Any) -> None:
    for name in "abcde":
        cluster.put(PODS.path, pod(name))
    async with following(cluster.address) as seen:
        await seen.until("list start", "put a", "put b", "put c", "put d", "put e", "list end")
    lists = cluster.queries(PODS.path, watch=False)
    assert [query["limit"] for query in lists] == ["2", "2", "2"]
    assert {query["labelSelector"] for query in lists} == {"app=web"}
    assert "continue" not in lists[0]


async def test_changes_follow_the_list(cluster: Any) -> None:
    first = pod("a")
    cluster.put(PODS.path, first)
    async with following(cluster.address) as seen:
        await seen.until_watching()
        cluster.put(PODS.path, pod("b"))
        cluster.put(PODS.path, first)
        cluster.delete(PODS.path, first)
        await seen.until("list end", "put b", "put a", "drop a")
    watched = cluster.queries(PODS.path, watch=True)[0]
    assert watched["allowWatchBookmarks"] == "true"
    assert watched["resourceVersion"] == "101"
    assert watched["labelSelector"] == "app=web"


async def test_a_watch_that_ends_is_resumed_where_its_last_bookmark_stood(cluster: Any) -> None:
    async with following(cluster.address) as seen:
        await seen.until_watching()
        cluster.bookmark(PODS.path, 170)
        cluster.version = 170
        cluster.end_watches(PODS.path)
        await seen.until_watching(2)
        cluster.put(PODS.path, pod("late"))
        await seen.until("list start", "list end", "put late")
    assert [q["resourceVersion"] for q in cluster.queries(PODS.path, watch=True)] == ["100", "170"]
    assert seen.relisted == 0


async def test_a_dropped_connection_is_a_failure_that_is_resumed(cluster: Any) -> None:
    async with following(cluster.address) as seen:
        await seen.until_watching()
        cluster.send(PODS.path, b'{"type": "ADDED", "obj')
        cluster.end_watches(PODS.path)
        await seen.until_watching(2)
        cluster.put(PODS.path, pod("b"))
        await seen.until("list end", "put b")
    assert seen.failures[0].status == 0
    assert seen.relisted == 0


async def test_the_list_is_read_anew_after_410(cluster: Any) -> None:
    cluster.put(PODS.path, pod("a"))
    async with following(cluster.address) as seen:
        await seen.until_watching()
        cluster.expire(PODS.path)
        await seen.until_watching(2)
        assert seen.events == ["list start", "put a", "list end"] * 2
    assert seen.relisted == 1
    assert seen.failures[0].status == 410


async def test_a_resumed_watch_that_is_refused_with_410_reads_the_list_anew(cluster: Any) -> None:
    async with following(cluster.address) as seen:
        await seen.until_watching()
        cluster.gone_before = 200
        cluster.version = 200
        cluster.end_watches(PODS.path)
        await seen.until("list start", "list end", "list start", "list end")
        await seen.until_watching(2)
    assert ("watch", "410") in seen.requested


async def test_lines_may_come_in_any_pieces_and_of_any_length(cluster: Any) -> None:
    cluster.chunk = 7
    async with following(cluster.address) as seen:
        await seen.until_watching()
        cluster.put(PODS.path, pod("small"))
        await seen.until("put small")
        cluster.chunk = 65_537
        cluster.put(PODS.path, pod("large", size=1_500_000))
        cluster.put(PODS.path, pod("after"))
        await seen.until("put small", "put large", "put after")


async def test_no_request_is_sent_before_retry_after_has_passed(cluster: Any) -> None:
    cluster.refusals = [(429, {"Retry-After": "1"}, "busy")]
    started = asyncio.get_running_loop().time()
    async with following(cluster.address) as seen:
        await seen.until_watching()
        assert asyncio.get_running_loop().time() - started >= 1
    assert seen.requested[:2] == [("list", "429"), ("list", "200")]


async def test_requests_to_a_failing_server_back_off(cluster: Any) -> None:
    cluster.refusals = [(503, {}, "down")] * 1000
    options = WatchOptions(initial_backoff=0.02, max_backoff=10.0)
    async with following(cluster.address, options) as seen:
        await asyncio.sleep(1.0)
        assert 3 <= len(cluster.requests) <= 7
        assert set(seen.requested) == {("list", "503")}
        assert "list end" not in seen.events


async def test_a_refused_watch_is_tried_again_from_the_same_version(cluster: Any) -> None:
    async with following(cluster.address) as seen:
        await seen.until_watching()
        cluster.refusals = [(500, {}, "broken"), (429, {}, "busy")]
        cluster.end_watches(PODS.path)
        await seen.until_watching(2)
    assert {q["resourceVersion"] for q in cluster.queries(PODS.path, watch=True)} == {"100"}
    assert [code for _, code in seen.requested if code != "200"] == ["500", "429"]
    assert seen.relisted == 0


async def test_a_silent_watch_is_ended_without_a_failure_and_the_list_read_anew(
    cluster: Any,
) -> None:
    options = WatchOptions(idle_timeout=0.2, initial_backoff=0.01)
    async with following(cluster.address, options) as seen:
        await seen.until_watching()
        silent = pod("unheard")
        cluster.objects.setdefault(PODS.path, {})["shop/unheard"] = silent
        await seen.until("list start", "put unheard", "list end")
    assert seen.failures == [], "a quiet resource is no outage"
    assert seen.relisted >= 1


async def test_bookmarks_keep_a_quiet_watch_alive(cluster: Any) -> None:
    options = WatchOptions(idle_timeout=0.3, initial_backoff=0.01)
    async with following(cluster.address, options) as seen:
        await seen.until_watching()
        for version in range(101, 111):
            cluster.bookmark(PODS.path, version)
            await asyncio.sleep(0.1)
        assert seen.events == ["list start", "list end"]
        assert not seen.failures


@pytest.mark.parametrize("told", ["bookmark", "refusal"])
async def test_a_server_restored_to_an_older_state_is_listed_again(cluster: Any, told: str) -> None:
    async with following(cluster.address) as seen:
        await seen.until_watching()
        if told == "bookmark":
            cluster.bookmark(PODS.path, 40)
        else:
            cluster.refusals = [(504, {}, "Too large resource version: 100, current: 40")]
            cluster.end_watches(PODS.path)
        await seen.until("list start", "list end", "list start", "list end")
    assert seen.relisted == 1


async def test_an_event_of_an_unknown_type_is_passed_over(cluster: Any) -> None:
    async with following(cluster.address) as seen:
        await seen.until_watching()
        cluster.send(PODS.path, b'{"type": "RENAMED", "object": {"metadata": {}}}\n')
        cluster.put(PODS.path, pod("b"))
        await seen.until("list end", "put b")
    assert not seen.failures


async def test_a_response_that_is_not_kubernetes_is_a_failure_and_no_event(cluster: Any) -> None:
    async with following(cluster.address) as seen:
        await seen.until_watching()
        cluster.send(PODS.path, b"<html>502</html>\n")
        await seen.until_watching(2)
        assert seen.events == ["list start", "list end"]
    assert "not a response of the Kubernetes API" in str(seen.failures[0])


async def test_a_list_that_fails_midway_has_no_end(cluster: Any) -> None:
    for name in "abc":
        cluster.put(PODS.path, pod(name))
    cluster.refusals = [None, (410, {}, "the continue token expired")]
    async with following(cluster.address) as seen:
        await seen.until_watching()
        first_end = seen.events.index("list start", 1)
        assert "list end" not in seen.events[:first_end]
        assert seen.events[first_end:] == ["list start", "put a", "put b", "put c", "list end"]


async def test_a_refused_connection_is_a_failure_and_is_retried() -> None:
    async with following("http://127.0.0.1:9") as seen:
        await until(lambda: len(seen.failures) >= 2)
    assert set(seen.requested) == {("list", "error")}
    assert str(seen.failures[0]) == "no response from http://127.0.0.1:9: connection refused"


async def test_objects_of_megabytes_are_listed_in_smaller_pages(cluster: Any) -> None:
    for number in range(9):
        cluster.put(PODS.path, pod(f"pod-{number}", size=1_500_000))
    options = WatchOptions(page_size=9, initial_backoff=0.01, max_backoff=0.1)
    async with following(cluster.address, options) as seen:
        await seen.until_watching()
    assert [event for event in seen.events if event.startswith("put")] == [
        f"put pod-{number}" for number in range(9)
    ]
    limits = [query["limit"] for query in cluster.queries(PODS.path, watch=False)]
    assert limits[:3] == ["9", "1", "2"]


async def test_a_watch_that_a_proxy_closes_in_a_quiet_cluster_is_followed_again_at_once(
    cluster: Any,
) -> None:
    """No event resets the wait between them, which would grow to half a minute."""
    options = WatchOptions(initial_backoff=0.05, max_backoff=30.0)
    async with following(cluster.address, options) as followed:
        for count in range(1, 11):
            await followed.until_watching(count)
            await asyncio.sleep(0.06)
            began = time.monotonic()
            cluster.end_watches(PODS.path)
            await followed.until_watching(count + 1)
            assert time.monotonic() - began < 1.0
        assert followed.relisted == 0


async def test_a_watch_that_is_closed_as_soon_as_it_opens_is_not_hammered(cluster: Any) -> None:
    options = WatchOptions(initial_backoff=0.1, max_backoff=30.0)
    async with following(cluster.address, options) as followed:

        async def close_all() -> None:
            while True:
                cluster.end_watches(PODS.path)
                await asyncio.sleep(0.001)

        closing = asyncio.create_task(close_all())
        await asyncio.sleep(2.0)
        closing.cancel()
        assert 1 < followed.opened < 8
