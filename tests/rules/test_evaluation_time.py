"""A mesh of which much is broken costs the rules hardly more than a healthy one."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from math import inf
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import structs

from benchmarks.records import NOW, healthy_sidecar
from exporter.diagnosis.causes import CAUSES
from exporter.exposition import assemble, render, selected
from exporter.model import TargetRecord
from tests.real.programs import free_address, handling, wait_for
from tests.real.prometheus import firing, rule_groups, scraping
from tests.real.prometheus import target as job_of
from tests.rules.compressed import compressed_rules

pytestmark = [pytest.mark.real("prometheus"), pytest.mark.slow, pytest.mark.alone]

PROXIES = 1000
ALLOWED = 1.2
"""A query for each firing alert takes 3.5."""
STUCK = CAUSES["envoy_stuck"].diagnosis(())
_MINUTE = 4
"""Seconds. Each minute has a scrape and an evaluation of every rule."""


class Mesh:
    """An exporter's page of a thousand sidecars, of which two of five may be broken."""

    def __init__(self, *, is_broken: bool) -> None:
        self.is_broken = is_broken
        records = [healthy_sidecar(number) for number in range(PROXIES)]
        self._page = _page(list(map(_broken, range(PROXIES), records)) if is_broken else records)
        self._polls = self._faulty_polls = 0

    def page(self) -> bytes:
        """What a scrape reads; each is a poll later."""
        self._polls += 1
        self._faulty_polls += self.is_broken
        page = self._page.replace(b" 7777\n", b" %d\n" % self._polls)
        return page.replace(b" 8888\n", b" %d\n" % self._faulty_polls)


def _broken(number: int, record: TargetRecord) -> TargetRecord:
    """Two of five proxies, in every namespace."""
    if number // 40 % 5 > 1:
        return record
    ready = {"envoy": False, "agent": False}
    return structs.replace(record, diagnosis=STUCK, ready=ready)


def _marked(number: int, record: TargetRecord) -> TargetRecord:
    """A record with marks in place of what counts, and certificates of today."""
    later = time.time() - NOW
    certificates = tuple(
        structs.replace(
            one,
            not_after=one.not_after + later,
            not_before=None if one.not_before is None else one.not_before + later,
        )
        for one in record.certificates
    )
    return structs.replace(
        record,
        certificates=certificates,
        polls=7777,
        faulty_polls=8888 if number // 40 % 5 < 2 else 0,
    )


def _page(records: Sequence[TargetRecord]) -> bytes:
    """The page of these records, with marks in place of what counts."""
    families = selected("standard")
    blocks = [render(_marked(*row), families) for row in enumerate(records)]
    text = b"".join(assemble(families, blocks, openmetrics=False))
    return text + b"istio_port_exporter_build_info 1\n"


@contextmanager
def exporter(mesh: Mesh) -> Iterator[str]:
    """The address of this mesh's page."""
    address = free_address()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = mesh.page()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            with suppress(BrokenPipeError):  # a scrape that took too long
                self.wfile.write(page)

    with handling(address, Handler):
        yield address


@contextmanager
def prometheus(folder: Path, target: str, rules: dict[str, Any]) -> Iterator[str]:
    """Debian's Prometheus with these rules; its address."""
    folder.mkdir()
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    lookback = f"--query.lookback-delta={5 * _MINUTE}s"
    every = f"{_MINUTE}s"
    with scraping(
        folder, job_of(target), lookback, every=every, rule_files=["rules.yaml"]
    ) as found:
        yield found


Times = dict[tuple[str, int], float]
"""The least time, in seconds, that each rule took: by its group and its place in there."""


def least(address: str, times: Times) -> None:
    """Take what each rule took last. Other programs only ever lengthen that."""
    for group in rule_groups(address):
        for place, rule in enumerate(group["rules"]):
            key = group["name"], place
            times[key] = min(times.get(key, inf), rule["evaluationTime"])


def alerts(address: str) -> list[str]:
    """The names of the alerts that fire."""
    return [row["labels"]["alertname"] for row in firing(address)]


def test_400_broken_proxies_of_1000_cost_the_rules_hardly_more_than_none(
    tmp_path: Path, say: Callable[[str], None]
) -> None:
    rules = compressed_rules(_MINUTE)
    with ExitStack() as stack:

        def started(name: str, *, is_broken: bool) -> str:
            target = stack.enter_context(exporter(Mesh(is_broken=is_broken)))
            return stack.enter_context(prometheus(tmp_path / name, target, rules))

        healthy = started("healthy", is_broken=False)
        broken = started("broken", is_broken=True)
        wait_for(lambda: "IstioProxiesFailing" in alerts(broken), "the alert of the mesh", 120)
        time.sleep(5 * _MINUTE)

        times: dict[str, Times] = {healthy: {}, broken: {}}
        for _ in range(3):  # the longer, the surer
            for _ in range(15):
                time.sleep(_MINUTE)
                for address, found in times.items():
                    least(address, found)
            cost = [sum(times[address].values()) for address in (healthy, broken)]
            ratio = cost[1] / cost[0]
            if ratio < ALLOWED:
                break

        say(f"all rules, 1,000 sidecars: {ratio:.2f} times as long with 400 broken as with none")
        assert alerts(healthy) == []
        assert alerts(broken) == ["IstioProxiesFailing"]
    assert ratio < ALLOWED, cost
