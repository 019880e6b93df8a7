"""The wait between retries: doubled, jittered, bounded, and no shorter than Retry-After."""

import time

from exporter.kube.api_errors import KubernetesError
from exporter.kube.watch import Backoff
from exporter.kube.watch_options import WatchOptions

OPTIONS = WatchOptions(initial_backoff=0.02, max_backoff=0.08)


async def waited(backoff: Backoff, error: KubernetesError | None = None) -> float:
    start = time.monotonic()
    await backoff.wait(error)
    return time.monotonic() - start


async def test_the_wait_doubles_up_to_its_limit() -> None:
    backoff = Backoff(OPTIONS)
    waits = [await waited(backoff) for _ in range(4)]
    for wait, longest in zip(waits, (0.02, 0.04, 0.08, 0.08), strict=True):
        assert longest / 2 <= wait < longest + 1


async def test_a_success_starts_again_with_the_first_wait() -> None:
    backoff = Backoff(WatchOptions(initial_backoff=0.01, max_backoff=60.0))
    for _ in range(4):
        await backoff.wait()
    backoff.reset()
    assert await waited(backoff) < 0.08, "the fifth wait would be 0.08 s at least"


async def test_the_wait_is_no_shorter_than_retry_after() -> None:
    error = KubernetesError.of(429, "busy", retry_after=0.3)
    assert await waited(Backoff(OPTIONS), error) >= 0.3


async def test_many_failures_do_not_overflow() -> None:
    backoff = Backoff(WatchOptions(initial_backoff=0.0, max_backoff=0.0))
    for _ in range(2000):
        await backoff.wait()
