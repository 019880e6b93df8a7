"""What `check --watch` remembers between its polls."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from exporter.cli.check import exit_of
from exporter.cli.check_polls import Polled
from exporter.cli.exit_codes import ExitCode
from exporter.cli.target_sources import static
from exporter.config import Config, PollConfig
from exporter.model import EVERY_CADENCE, Cadence, Memory, Role, Target, TargetKey, TargetRecord
from exporter.poll.plan import Plan
from exporter.poll.poll_target import PollResult

BEFORE = Target(
    key=TargetKey("shop", "web-0"), role=Role.SIDECAR, addresses=("10.0.0.7",), uid="one"
)


@pytest.mark.parametrize(
    ("changes", "is_another"),
    [
        ({}, False),
        ({"istio_version": "1.30.0"}, False),
        ({"uid": "two"}, True),
        ({"addresses": ("10.0.0.8",)}, True),
        ({"role": Role.GATEWAY}, True),
    ],
)
async def test_another_pod_of_the_same_name_begins_without_a_memory(
    changes: dict[str, Any], is_another: bool
) -> None:
    after = replace(BEFORE, **changes)
    polled = Polled(static(Config(), [after]), [BEFORE])
    polled.memories[BEFORE.key] = Memory(polls=9)
    polled.records[BEFORE.key] = TargetRecord(target=BEFORE)
    await polled.update_targets()
    assert list(polled.targets) == [after]
    assert (BEFORE.key not in polled.memories, BEFORE.key not in polled.records) == (
        is_another,
        is_another,
    )


async def test_each_target_is_read_whole_at_first_and_its_identity_at_its_own_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, bool]] = []
    times = itertools.count(0.0, 30.0)

    async def poll(
        plan: Plan, memory: Memory, due: frozenset[Cadence], _config: Config, now: float, **_: Any
    ) -> PollResult:
        seen.append((plan.target.key.pod, Cadence.IDENTITY in due))
        assert due | {Cadence.IDENTITY} == EVERY_CADENCE
        memory = structs.replace(memory, polled={**memory.polled, **dict.fromkeys(due, now)})
        return PollResult(TargetRecord(target=plan.target), memory, ())

    async def outside() -> bool:
        return False

    monkeypatch.setattr("exporter.poll.poll_target.poll_target", poll)
    monkeypatch.setattr("exporter.app.in_mesh.is_in_mesh", outside)
    monkeypatch.setattr("exporter.clock.now", lambda: next(times))
    config = Config(poll=PollConfig(identity_interval=100.0))
    late = replace(BEFORE, key=TargetKey("shop", "web-1"), addresses=("10.0.0.9",))
    polled = Polled(static(config, [BEFORE, late]), [BEFORE])
    await polled.poll()
    await polled.update_targets()
    for _ in range(2):
        await polled.poll()
    again = replace(BEFORE, uid="two")
    polled.source = static(config, [again, late])
    await polled.update_targets()
    for _ in range(2):
        await polled.poll()
    whole = [pod for pod, is_whole in seen if is_whole]
    assert whole == ["web-0", "web-1", "web-0", "web-1"]


async def test_a_poll_that_raises_costs_no_other_poll_and_the_target_its_own_result(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    others = [replace(BEFORE, key=TargetKey("shop", f"web-{number}")) for number in range(1, 5)]

    async def poll(plan: Plan, *_: Any, **__: Any) -> PollResult:
        if plan.target.key in broken:
            raise ValueError("what nobody thought of")
        return PollResult(TargetRecord(target=plan.target), Memory(), ())

    async def outside() -> bool:
        return False

    monkeypatch.setattr("exporter.poll.poll_target.poll_target", poll)
    monkeypatch.setattr("exporter.app.in_mesh.is_in_mesh", outside)
    polled = Polled(static(Config(), [BEFORE, *others]), [BEFORE, *others])
    broken: set[TargetKey] = set()
    for found in ({BEFORE, *others}, {*others}):
        polls = itertools.count()
        await polled.poll(lambda polls=polls: next(polls))
        assert {record.target for record in polled.records.values()} == found
        assert next(polls) == 1 + len(others)
        broken.add(BEFORE.key)
    assert "poll failed target=shop/web-0" in caplog.text
    assert exit_of(map(polled.records.get, (BEFORE.key,))) is ExitCode.UNJUDGED
