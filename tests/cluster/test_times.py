"""How long it takes from a break to the first sample, its cause and its alert, by the defaults.

Polls, scrapes and evaluations are 30 s apart. Last of all: `breaks.py` has broken everything while
the other tests ran. The table is that of docs/diagnosis.md.
"""

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.cluster import istio
from tests.cluster.breaks import Breaking
from tests.cluster.processes import ISTIOD, process_of
from tests.cluster.prometheus import Prometheus
from tests.cluster.times import Break, Times, await_times, last_table, table
from tests.cluster.workloads import pods_of
from tests.real.kubernetes.client import Admin

INTERVAL, DETAIL_INTERVAL = 30.0, 120.0
SAMPLED_SECONDS = 2 * INTERVAL
NAMED_SECONDS = 300.0
ALERTED_SECONDS = 720.0
"""Of one proxy; what is many proxies' has to be known sooner."""
URGENT_SECONDS = 180.0
URGENT = ("IstioGatewaysFailing", "IstioRevisionWithoutControlPlane")
LATE_SECONDS = 20.0
"""For a busy machine."""
HANGS = Break("istiod hangs", "istiod_replica_stuck", "IstioRevisionWithoutControlPlane")


@pytest.mark.timeout(2400)
async def test_each_break_is_sampled_named_and_alerted_in_time(
    admin: Admin, breaks: Breaking, say: Callable[[str], None]
) -> None:
    broken = await breaks.broken()
    await await_times(broken.times, broken.prometheus, ALERTED_SECONDS + LATE_SECONDS)
    times = [*broken.times, await _without_istiod(admin, broken.prometheus)]
    lines = list(table(times))
    last_table().write_text("".join(f"{line}\n" for line in lines))
    for line in lines:
        say(line)
    late = [(row.what.broken, *kinds) for row in times if (kinds := list(_late(row)))]
    assert late == []


async def _without_istiod(admin: Admin, prometheus: Prometheus) -> Times:
    """The times of an istiod that hangs; it disturbs whatever else is measured."""
    (istiod,) = await pods_of(admin, istio.NAMESPACE, labelSelector="app=istiod")
    hung = process_of(istiod, ISTIOD)
    os.kill(hung, signal.SIGSTOP)
    series = f'namespace="{istio.NAMESPACE}",pod="{istiod["metadata"]["name"]}"'
    row = Times(HANGS, series, time.time())
    try:
        await await_times([row], prometheus, NAMED_SECONDS + LATE_SECONDS)
    finally:
        os.kill(hung, signal.SIGCONT)
    return row


def _late(row: Times) -> list[str]:
    """What came later than it should, or never."""
    sampled = SAMPLED_SECONDS + (DETAIL_INTERVAL if row.what.detail else 0.0)
    limits = {"sample": (row.sampled, sampled), "cause": (row.named, NAMED_SECONDS)}
    if row.what.alert:
        seconds = URGENT_SECONDS if row.what.alert in URGENT else ALERTED_SECONDS
        limits["alert"] = (row.fired, seconds)
    return [
        f"{what}: {seconds}"
        for what, (seconds, most) in limits.items()
        if seconds is None or seconds > most + LATE_SECONDS
    ]
