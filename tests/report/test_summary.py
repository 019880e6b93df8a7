import time
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from msgspec import structs

from benchmarks.records import broken_sidecar, healthy_sidecar
from exporter.config import Config, PollConfig, WebConfig
from exporter.diagnosis import CAUSES
from exporter.model import Cadence, TargetRecord


async def summary(client: TestClient, **query: str) -> Any:
    answer = await client.get("/api/v1/summary", params=query)
    assert answer.status == 200, await answer.text()
    return await answer.json()


def polled(record: TargetRecord, at: float) -> TargetRecord:
    return structs.replace(record, polled={Cadence.FAST: at})


def with_cause(record: TargetRecord, cause: str) -> TargetRecord:
    return structs.replace(record, diagnosis=CAUSES[cause].diagnosis(()))


async def test_it_counts_states_and_causes_and_lists_what_is_not_judged(serve: Any) -> None:
    found = await summary(await serve())
    assert found["targets"] == 4
    assert found["states"] == {
        "healthy": 2,
        "unhealthy": 1,
        "unjudged": 1,
        "transition": 0,
        "policy": 0,
        "application": 0,
    }
    (cause,) = found["causes"]
    assert cause["targets"] == 1
    broken = broken_sidecar(0).diagnosis
    assert broken is not None
    assert cause["advice"] == broken.advice
    assert found["not_judged"] == ["15001 is not seen from here"]


async def test_namespace_and_role_narrow_all_but_the_choice_of_them(serve: Any) -> None:
    client = await serve()
    found = await summary(client, namespace="team-1", role="sidecar")
    assert (found["targets"], found["states"]["unhealthy"]) == (1, 1)
    whole = await summary(client)
    assert found["namespaces"] == whole["namespaces"]
    assert {"name": "team-1", "targets": 1, "unhealthy": 1} in found["namespaces"]
    assert [role["name"] for role in found["roles"]] == ["istiod", "sidecar"]


async def test_faults_come_first_then_causes_of_many_targets(serve: Any) -> None:
    client = await serve(
        *(with_cause(healthy_sidecar(index), "network_blocked") for index in range(3, 8)),
        *(with_cause(healthy_sidecar(index), "envoy_stuck") for index in range(8, 10)),
        with_cause(healthy_sidecar(10), "agent_gone"),
    )
    found = await summary(client)
    assert [(cause["cause"], cause["targets"]) for cause in found["causes"]] == [
        ("envoy_stuck", 2),
        ("agent_gone", 1),
        ("network_blocked", 5),
    ]


async def test_a_cause_has_the_advice_that_is_for_most_of_its_targets(serve: Any) -> None:
    cause, advices = CAUSES["certificate_expired"], ["Look.", "Restart istiod.", "Restart istiod."]
    client = await serve(
        *(
            structs.replace(healthy_sidecar(index), diagnosis=cause.diagnosis((), advice))
            for index, advice in enumerate(advices)
        )
    )
    (found,) = (await summary(client))["causes"]
    assert (found["targets"], found["advice"]) == (3, "Restart istiod.")


@pytest.mark.parametrize(
    ("base", "link"),
    [("", "runbooks/diagnosis.md"), ("https://wiki.example/mesh", "https://wiki.example/mesh")],
)
async def test_causes_lead_to_the_configured_runbooks_or_our_own(
    serve: Any, base: str, link: str
) -> None:
    broken = with_cause(broken_sidecar(1), "port_taken")
    client = await serve(broken, config=Config(web=WebConfig(runbook_url=base)))
    assert (await summary(client))["runbooks"] == link


async def test_it_reports_how_old_the_polls_are(serve: Any) -> None:
    now = time.time()
    client = await serve(
        polled(healthy_sidecar(3), now - 1),
        polled(healthy_sidecar(4), now - 29),
        polled(healthy_sidecar(5), now - 31),
        config=Config(poll=PollConfig(interval=10.0)),
    )
    found = await summary(client)
    assert found["polls"] == {
        "interval": 10.0,
        "newest": pytest.approx(now - 1),
        "oldest": pytest.approx(now - 31),
        "overdue": 1,
        "waiting": 1,
    }
    assert found["now"] == pytest.approx(now, abs=5)


async def test_without_targets_there_are_no_polls(serve: Any) -> None:
    found = await summary(await serve(targets={}))
    assert found["targets"] == 0
    assert found["polls"]["newest"] is None
    assert found["causes"] == found["namespaces"] == []
