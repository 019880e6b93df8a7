"""A target of which everything raises costs a whole exporter nothing but itself."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.model import Role, Target, TargetKey
from tests.app.conftest import exporting

HONEST = Target(key=TargetKey("shop", "cart"), role=Role.SIDECAR, addresses=("127.0.0.1",))
SAMPLE = 'istio_port_up{namespace="shop",pod="cart"'
ODD: dict[str, Any] = {
    "addresses": (None,),
    "unserved_addresses": (None,),
    "ignored_ports": None,
    "istio_version": 5,
    "settings": None,
    "lifecycle": None,
    "revision": None,
}


@pytest.mark.parametrize("field", ODD)
async def test_an_odd_target_costs_no_other(tmp_path: Path, field: str) -> None:
    odd = replace(HONEST, key=TargetKey("shop", "odd"), **{field: ODD[field]})
    async with exporting(tmp_path, (odd, HONEST)) as running:
        async with asyncio.timeout(10):
            while SAMPLE not in await metrics(running):  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)
        for path in ("summary", "matrix", "targets", "targets/shop/cart"):
            assert (await running.get(f"/api/v1/{path}"))[0] == 200
        await running.reload(profile="full")
        for path in ("summary", "matrix", "targets", "targets/shop/cart"):
            assert (await running.get(f"/api/v1/{path}"))[0] == 200
        assert 'istio_port_exporter_targets{role="sidecar"}' in await metrics(running)


async def metrics(running: Any) -> str:
    return str((await running.get("/metrics"))[1])
