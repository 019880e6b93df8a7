"""A control plane that does not work is said on top, and only where that is proved."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from benchmarks.records import healthy_sidecar, istiod
from exporter.diagnosis import CAUSES
from exporter.model import TargetKey, TargetRecord


def replica(name: str, cause: str = "", revision: str = "default") -> TargetRecord:
    record = istiod()
    target = replace(record.target, key=TargetKey("istio-system", name), revision=revision)
    return with_cause(structs.replace(record, target=target), cause)


def with_cause(record: TargetRecord, cause: str) -> TargetRecord:
    diagnosis = CAUSES[cause].diagnosis(()) if cause else None
    return structs.replace(record, diagnosis=diagnosis)


async def notices(serve: Any, *records: TargetRecord, only: bool = False, **query: str) -> Any:
    parts = {"targets": {record.target.key: record.target for record in records}} if only else {}
    client = await serve(*records, **parts)
    answer = await client.get("/api/v1/summary", params=query)
    return (await answer.json())["notices"]


FAILING = replica("istiod-1", "istiod_not_ready")


@pytest.mark.parametrize(
    ("others", "names"),
    [
        ([], ["istio-system/istiod-1 (istiod_not_ready)", "revision default"]),
        ([replica("istiod-2", "starting")], ["istio-system/istiod-2 (starting)"]),
        ([replica("istiod-2", "draining")], ["istio-system/istiod-2 (draining)"]),
        ([replica("istiod-2", revision="1-29")], ["revision default"]),
        ([replica(f"istiod-{index}", "unreachable") for index in range(2, 9)], ["5 more"]),
    ],
    ids=["alone", "starting", "draining", "other revision", "many"],
)
async def test_a_revision_without_a_healthy_istiod_is_named(
    serve: Any, others: list[TargetRecord], names: list[str]
) -> None:
    (sentence,) = await notices(serve, FAILING, *others, healthy_sidecar())
    assert [name for name in names if name not in sentence] == []


async def test_each_revision_has_its_own_sentence_whatever_the_filters(serve: Any) -> None:
    other = replica("istiod-9", "istiod_replica_stuck", "1-29")
    found = await notices(serve, FAILING, other, healthy_sidecar(), namespace="team-0")
    assert [sentence.partition(" is ")[0] for sentence in found] == [
        "No istiod of revision 1-29",
        "No istiod of revision default",
    ]


@pytest.mark.parametrize("cause", ["", "network_blocked", "unknown", "access_restricted"])
async def test_an_istiod_that_may_work_gives_no_notice(serve: Any, cause: str) -> None:
    assert await notices(serve, FAILING, replica("istiod-2", cause), healthy_sidecar()) == []


async def test_an_istiod_that_was_not_polled_yet_gives_no_notice(serve: Any) -> None:
    waiting = replica("istiod-2").target
    targets = {FAILING.target.key: FAILING.target, waiting.key: waiting}
    client = await serve(FAILING, targets=targets)
    answer = await client.get("/api/v1/summary")
    assert (await answer.json())["notices"] == []


@pytest.mark.parametrize("cause", ["xds_disconnected", "istiod_unreachable"])
async def test_proxies_that_miss_an_istiod_that_is_gone_give_a_notice(
    serve: Any, cause: str
) -> None:
    lost = [with_cause(healthy_sidecar(index), cause) for index in range(2)]
    (sentence,) = await notices(serve, *lost, only=True)
    assert "2 proxies have no connection" in sentence


async def test_a_mesh_whose_istiod_is_elsewhere_has_no_notice(serve: Any) -> None:
    assert await notices(serve, healthy_sidecar(0), healthy_sidecar(1), only=True) == []
