"""/probe is no amplifier: one poll for all that ask, results of the last second, rates."""

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from msgspec import structs

from benchmarks.records import healthy_sidecar
from exporter import clock
from exporter.access.portforward import PortForwards
from exporter.access.portforward_budget import Budget
from exporter.config import Config, WebConfig
from exporter.model import Cadence, Memory, Target, TargetKey, TargetRecord
from exporter.poll.poll_target import PollResult
from exporter.web import probe_limits
from exporter.web.probe import scrape_timeout
from exporter.web.probe_limits import ProbeLimits, Rates, TooOftenError

TARGET = healthy_sidecar(0).target
OPEN = Config(web=WebConfig(probe_unknown_targets=True))


class Polls:
    """Counts the polls of each target; each takes some time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.polled: list[Target] = []
        self.seconds = seconds

    async def __call__(self, target: Target, _seconds: float = 0.0) -> PollResult:
        self.polled.append(target)
        await asyncio.sleep(self.seconds)
        return PollResult(TargetRecord(target=target), Memory(), ())


async def test_all_that_ask_within_a_second_get_one_poll(serve: Any) -> None:
    polls = Polls(0.1)
    client = await serve(probe=polls)
    query = {"target": str(TARGET.key)}
    for _ in range(3):
        answers = await asyncio.gather(*(client.get("/probe", params=query) for _ in range(5)))
        assert [answer.status for answer in answers] == [200] * 5
    assert len(polls.polled) == 1


@pytest.mark.parametrize("changes", [{"uid": "another"}, {"addresses": ("10.9.9.9",)}])
async def test_a_pod_that_came_again_under_its_name_gets_a_poll_of_its_own(
    changes: dict[str, Any],
) -> None:
    polls, limits = Polls(), ProbeLimits()
    for target in (TARGET, TARGET, replace(TARGET, **changes)):
        record = await limits.record_of("client", target, partial(polls, target), None)
        assert record.target == target
    assert len(polls.polled) == 2


async def test_a_result_is_not_served_once_it_is_older(serve: Any) -> None:
    polls = Polls()
    client = await serve(probe=polls)
    for _ in range(2):
        assert (await client.get("/probe", params={"target": str(TARGET.key)})).status == 200
        await asyncio.sleep(probe_limits.FRESH_SECONDS + 0.1)
    assert len(polls.polled) == 2


@pytest.mark.parametrize("step", [0.0, 86400.0, -86400.0])
@pytest.mark.parametrize(("age", "polled"), [(0.0, 0), (5.0, 1)])
async def test_what_the_poller_saw_a_moment_ago_is_the_answer_whatever_the_wall_clock(
    serve: Any, age: float, polled: int, step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = time.time
    monkeypatch.setattr(time, "time", lambda: genuine() + step)
    seen = structs.replace(healthy_sidecar(0), polled={Cadence.FAST: clock.now() - age})
    record = seen.with_times_moved(clock.step())
    polls = Polls()
    client = await serve(record, probe=polls)
    answer = await client.get("/probe", params={"target": str(TARGET.key)})
    assert len(polls.polled) == polled
    assert ('istio_port_up{namespace="' in await answer.text()) is not polled
    overridden = {"target": str(TARGET.key), "istio_version": "1.20.0"}
    assert (await client.get("/probe", params=overridden)).status == 200
    assert len(polls.polled) == polled + 1


async def test_a_target_has_a_rate_whatever_the_parameters_are(serve: Any) -> None:
    polls = Polls()
    client = await serve(probe=polls)
    answers = [
        await client.get(
            "/probe", params={"target": str(TARGET.key), "istio_version": f"1.{minor}.0"}
        )
        for minor in range(10, 30)
    ]
    refused = [answer for answer in answers if answer.status == 429]
    assert len(polls.polled) <= probe_limits.TARGET_BURST + 1
    assert len(refused) == 20 - len(polls.polled)
    assert refused[0].headers["Retry-After"] == "1"


async def test_a_client_has_a_rate_and_costs_no_other_one_its_own() -> None:
    limits, polls = ProbeLimits(), Polls()

    async def ask(client: str, number: int) -> bool:
        target = replace(TARGET, key=TargetKey("shop", f"web-{number}"))
        try:
            await limits.record_of(client, target, lambda: polls(target), None)
        except TooOftenError:
            return False
        return True

    asked = [await ask("10.0.0.1", number) for number in range(200)]
    assert probe_limits.CLIENT_BURST <= sum(asked) <= probe_limits.CLIENT_BURST + 20
    assert await ask("10.0.0.2", 1000)


async def test_unknown_targets_have_the_same_rates(serve: Any) -> None:
    polls = Polls()
    client = await serve(probe=polls, config=OPEN)
    for role in ("sidecar", "gateway", "waypoint", "proxyless", "ztunnel", "istiod"):
        await client.get("/probe", params={"target": "192.0.2.1", "role": role})
    assert len(polls.polled) == probe_limits.TARGET_BURST


async def test_a_scrape_that_gives_up_leaves_the_poll_to_others(serve: Any) -> None:
    polls = Polls(0.6)
    client = await serve(probe=polls)
    query = {"target": str(TARGET.key)}
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": "0.4"}
    patient = asyncio.create_task(client.get("/probe", params=query))
    hasty = await client.get("/probe", params=query, headers=headers)
    assert hasty.status == 504
    assert "within 0.2 s" in await hasty.text()
    assert (await patient).status == 200
    assert len(polls.polled) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("10", 9.5),
        ("0.5", 0.25),
        ("1e1", 9.5),
        *((header, None) for header in ("", "x", "0", "-1", "nan", "inf", "1" * 400)),
    ],
)
def test_a_scrape_timeout_leaves_time_for_the_answer(header: str, seconds: float | None) -> None:
    assert scrape_timeout(header) == seconds


def test_a_rate_allows_its_burst_and_then_one_an_interval() -> None:
    now = [0.0]
    rates = Rates(2.0, 3, lambda: now[0])
    assert [rates.take("a") for _ in range(5)] == [True, True, True, False, False]
    assert rates.take("b")
    now[0] = 0.5
    assert [rates.take("a") for _ in range(2)] == [True, False]


def test_rates_of_many_keys_are_not_kept_for_ever() -> None:
    now = [0.0]
    rates = Rates(2.0, 3, lambda: now[0])
    for number in range(100_000):
        now[0] += 0.01
        assert rates.take(number)
    assert len(rates._due) <= probe_limits._MANY + 1


async def test_probes_spend_none_of_the_port_forwards_of_the_polls() -> None:
    polls, probes = Budget(1.0, 4), Budget(0.25, 1)
    forwarding = PortForwards(refusing, polls, probe_budget=probes)
    for number in range(20):
        pod = forwarding.probed_pod(TargetKey("shop", f"web-{number}"))
        pod._budget.take(pod, 2, urgent=True)
    assert polls._tokens == 4.0
    assert polls.take(forwarding.pod(TARGET.key), 2, urgent=False)


def refusing(*_arguments: object) -> Any:
    raise AssertionError("no WebSocket is opened")
