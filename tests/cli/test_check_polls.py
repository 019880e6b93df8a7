"""What `check --watch` remembers between its polls."""

from dataclasses import replace
from typing import Any

import pytest

from exporter.cli.check_polls import Polled
from exporter.cli.target_sources import static
from exporter.config import Config
from exporter.model import Memory, Role, Target, TargetKey, TargetRecord

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
