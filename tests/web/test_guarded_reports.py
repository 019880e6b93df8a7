"""An object that raises while it is reported costs none of the others, whatever of it is odd."""

import time
from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest
from msgspec import structs

from exporter.model import Target, TargetRecord
from exporter.state import State
from tests.web.conftest import BROKEN, FAMILIES, HEALTHY, ISTIOD

PATHS = ("summary", "matrix", "targets", "targets?q=node-1", "matrix?q=node-1&state=healthy")
OF_NO_TYPE, OF_NO_HASH, OF_NO_ENCODING = object(), ({},), "\ud800"
ODD = (None, OF_NO_TYPE, OF_NO_HASH, OF_NO_ENCODING, 10**30, float("nan"))
ODD_FIELDS = [
    *(f"target.{field.name}" for field in fields(Target) if field.name not in ("key", "role")),
    *(name for name in TargetRecord.__struct_fields__ if name not in ("target", "polls")),
]
REFUSED = 'istio_port_exporter_objects_refused_total{resource="reports"}'


def with_odd(field: str, value: object) -> TargetRecord:
    """A record of which one field is odd: its own, or one of its target's."""
    if field.startswith("target."):
        target = replace(BROKEN.target, **{field.removeprefix("target."): value})
        return structs.replace(BROKEN, target=target)
    return structs.replace(BROKEN, **{field: value})


def render_nothing(_record: object, families: Any, _last: object = None) -> tuple[bytes, ...]:
    return (b"",) * len(families)


async def report(serve: Any, *records: TargetRecord) -> tuple[list[Any], str]:
    """What each path says of the targets that are not odd, and the metrics after two rounds."""
    state = State(FAMILIES, render_nothing)
    for record in records:
        state.put(record, time.time() + 600)
    client, said = await serve(*records, state=state), []
    for path in (*PATHS, *PATHS):
        answer = await client.get(f"/api/v1/{path}")
        text = await answer.text()
        assert answer.status == 200, (path, text)
        rows = msgspec.json.decode(text)["targets"]
        if isinstance(rows, list):
            said.append([row for row in rows if row["pod"] != BROKEN.target.key.pod])
    return said, await (await client.get("/metrics")).text()


@pytest.mark.parametrize("field", ODD_FIELDS)
async def test_an_odd_field_costs_its_target_alone(
    serve: Any, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected, _ = await report(serve, HEALTHY, ISTIOD)
    for value in ODD:
        caplog.clear()
        said, metrics = await report(serve, HEALTHY, with_odd(field, value), ISTIOD)
        assert said == expected, value
        logged = [row for row in caplog.records if "resource=reports" in row.getMessage()]
        assert len(logged) <= 1, value
        assert (REFUSED in metrics) == bool(logged), value
