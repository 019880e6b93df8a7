"""One proxy whose sync status cannot be made: the others' is there, and that one is counted."""

from dataclasses import replace

from exporter import clock
from exporter.config import Config
from exporter.control_plane.sync_publisher import SyncPublisher
from exporter.discovery.target_sets import TargetSets
from exporter.exposition import FAMILIES, render_synced
from exporter.kube.object_reader import ObjectReader
from exporter.model import Role, TargetKey, TargetRecord, Timestamped
from exporter.scheduler.target_table import TargetTable
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State
from tests.control_plane.test_proxy_sync import CART, row
from tests.diagnosis.cases import ISTIOD


async def test_an_odd_proxy_costs_no_other_its_sync_status() -> None:
    refused: list[str] = []
    records, synced = State(FAMILIES), State(FAMILIES, render_synced)
    table = TargetTable(15.0, records, synced)
    sets = TargetSets((), table, SelfMetrics("1"))
    istiod = replace(ISTIOD, role=Role.ISTIOD, trusted=True, uid="i")
    listed = (row(), row("pay.shop"))
    listings = tuple(Timestamped(listed, clock.now() - 120 * age) for age in range(2))
    odd = replace(CART, key=TargetKey("shop", "odd"), uid="odd", lifecycle=None)  # type: ignore[arg-type]
    pay = replace(CART, key=TargetKey("shop", "pay"), uid="pay")
    await sets.take_static((istiod, odd, CART, pay), Config())
    records.put(TargetRecord(target=istiod, listings=listings), 1e18)
    publisher = SyncPublisher(
        config=Config(),
        polled=table.targets,
        sets=sets,
        records=records,
        synced=synced,
        reader=ObjectReader(refused.append),
        set_version=table.set_version,
    )
    await publisher.publish()
    assert {record.target.key for record in synced.records()} == {CART.key, pay.key}
    assert refused == ["proxies"]
