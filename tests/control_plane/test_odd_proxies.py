"""One proxy whose sync status cannot be made: the others' is there, and that one is counted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from exporter import clock
from exporter.config import Config, StaticConfig, StaticTarget
from exporter.control_plane.sync_publisher import SyncPublisher
from exporter.discovery.static import load_static
from exporter.discovery.target_sets import TargetSets
from exporter.exposition import FAMILIES, render_synced
from exporter.kube.object_reader import ObjectReader
from exporter.model import Role, TargetKey, TargetRecord, Timestamped
from exporter.scheduler.target_table import TargetTable
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State
from tests.control_plane.test_proxy_sync import CART, row
from tests.diagnosis.cases import ISTIOD


def publishing(
    refused: Callable[[str], None] = lambda _resource: None,
) -> tuple[TargetTable, TargetSets, SyncPublisher]:
    records, synced = State(FAMILIES), State(FAMILIES, render_synced)
    table = TargetTable(15.0, records, synced)
    sets = TargetSets((), table, SelfMetrics("1"))
    publisher = SyncPublisher(
        config=Config(),
        polled=table.targets,
        sets=sets,
        records=records,
        synced=synced,
        reader=ObjectReader(refused),
        set_version=table.set_version,
    )
    return table, sets, publisher


async def test_the_version_of_a_static_target_follows_what_istiods_list() -> None:
    table, sets, publisher = publishing()
    istiod = replace(ISTIOD, role=Role.ISTIOD, trusted=True, uid="i")
    entry = StaticTarget(
        namespace="shop", pod="cart", address=("10.0.0.9",), cluster_id="Kubernetes"
    )
    (cart,) = load_static(StaticConfig(targets=(entry,)), Path())
    await sets.take_static((istiod, cart), Config())
    for version in ("1.28.0", "1.29.1"):
        listed = (structs.replace(row(), version=version),)
        listings = tuple(Timestamped(listed, clock.now() - 120 * age) for age in range(2))
        publisher.records.put(TargetRecord(target=istiod, listings=listings), 1e18)
        await publisher.publish()
        assert table.targets[cart.key].istio_version == version


async def test_an_odd_proxy_costs_no_other_its_sync_status() -> None:
    refused: list[str] = []
    _, sets, publisher = publishing(refused.append)
    istiod = replace(ISTIOD, role=Role.ISTIOD, trusted=True, uid="i")
    listed = (row(), row("pay.shop"))
    listings = tuple(Timestamped(listed, clock.now() - 120 * age) for age in range(2))
    odd = replace(CART, key=TargetKey("shop", "odd"), uid="odd", lifecycle=None)  # type: ignore[arg-type]
    pay = replace(CART, key=TargetKey("shop", "pay"), uid="pay")
    await sets.take_static((istiod, odd, CART, pay), Config())
    publisher.records.put(TargetRecord(target=istiod, listings=listings), 1e18)
    await publisher.publish()
    assert {record.target.key for record in publisher.synced.records()} == {CART.key, pay.key}
    assert refused == ["proxies"]
