"""How long it takes from a break to the first sample, its cause and its alert, by the defaults.

Polls, scrapes and evaluations are 30 s apart. Last of all: `breaks.py` has broken everything while
the other tests ran. The table is that of docs/diagnosis.md.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.cluster import istio
from tests.cluster.breaking import Breaking
from tests.cluster.processes import ISTIOD, process_of, run_inside
from tests.cluster.prometheus import Prometheus
from tests.cluster.times import Break, Times, await_times, last_table, table
from tests.cluster.workloads import pods_of
from tests.real.kubernetes.client import Admin, Document

INTERVAL, DETAIL_INTERVAL = 30.0, 120.0
SAMPLED_SECONDS = 2 * INTERVAL
NAMED_SECONDS = 300.0
ALERTED_SECONDS = 720.0
"""Of one proxy; what is many proxies' has to be known sooner."""
URGENT_SECONDS = 180.0
URGENT = ("IstioGatewaysFailing", "IstioRevisionWithoutControlPlane")
LATE_SECONDS = 20.0
"""For a busy machine."""
HEALTHY_SECONDS = 80.0
"""After a break is mended: polled and scraped twice."""
HANGS = Break("istiod hangs", "istiod_replica_stuck", "IstioRevisionWithoutControlPlane")
REFUSES = {
    15010: Break("istiod's 15010 refuses", "istiod_port_down", "IstioControlPlanePortDown"),
    15017: Break("istiod's webhook refuses", "webhook_not_serving", "IstioWebhookDown"),
}
_RESET = ("-j", "REJECT", "--reject-with", "tcp-reset")


@pytest.mark.timeout(2400)
async def test_each_break_is_sampled_named_and_alerted_in_time(
    admin: Admin, breaks: Breaking, say: Callable[[str], None]
) -> None:
    broken = await breaks.broken()
    deadline = ALERTED_SECONDS + LATE_SECONDS
    (istiod,) = await pods_of(admin, istio.NAMESPACE, labelSelector="app=istiod")
    async with asyncio.TaskGroup() as group:
        group.create_task(await_times(broken.times, broken.prometheus, deadline))
        refused = [
            await _refusing(istiod, port, what, broken.prometheus) for port, what in REFUSES.items()
        ]
    # It disturbs whatever else is measured.
    times = [*broken.times, *refused, await _hanging(istiod, broken.prometheus)]
    lines = list(table(times))
    last_table().write_text("".join(f"{line}\n" for line in lines))
    for line in lines:
        say(line)
    late = [(row.what.broken, *kinds) for row in times if (kinds := list(_late(row)))]
    assert late == []


async def _refusing(istiod: Document, port: int, what: Break, prometheus: Prometheus) -> Times:
    """The times of an istiod of which one port refuses; none of its proxies uses it."""
    rule = ("INPUT", "-p", "tcp", "--dport", str(port), *_RESET)
    run_inside(istiod, "iptables", "--wait", "-I", *rule, program=ISTIOD)
    try:
        row = await _istiod_times(istiod, what, prometheus)
    finally:
        run_inside(istiod, "iptables", "--wait", "-D", *rule, program=ISTIOD)
    await asyncio.sleep(HEALTHY_SECONDS)
    return row


async def _hanging(istiod: Document, prometheus: Prometheus) -> Times:
    """The times of an istiod that hangs."""
    hung = process_of(istiod, ISTIOD)
    os.kill(hung, signal.SIGSTOP)
    try:
        return await _istiod_times(istiod, HANGS, prometheus)
    finally:
        os.kill(hung, signal.SIGCONT)


async def _istiod_times(istiod: Document, what: Break, prometheus: Prometheus) -> Times:
    """From now on, until all are known."""
    series = f'namespace="{istio.NAMESPACE}",pod="{istiod["metadata"]["name"]}"'
    row = Times(what, series, time.time())
    await await_times([row], prometheus, NAMED_SECONDS + LATE_SECONDS)
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
