"""The dashboards and the status page on the demo mesh: `make pictures` writes those of the docs.

An exporter with its default profile polls the demo's stand-ins, and a Prometheus with the chart's
rules scrapes it. The rules fire at once, for nobody waits a quarter of an hour for a picture.
"""

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.app.program import Exporter
from exporter.config import load
from exporter.demo import SHIPPED, load_states, mesh
from tests.charts.render import CHART
from tests.dashboards.documents import dashboards
from tests.dashboards.drawing_page import bundle, drawing
from tests.real.prometheus import query, scraping, target

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

CHROMIUM = "/usr/bin/chromium"
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
STATUS_PAGE = PICTURES.parent / "status-page.png"
STATUS_PAGE_SIZE = (1440, 1229)
WIDTH = 1400
HEALTHY, BROKEN = "healthy", "envoy-hung"
CHOSEN = {
    **dict.fromkeys(("cluster", "namespace", "istiod_namespace", "role", "instance"), ".*"),
    "pod": BROKEN,
    "__rate_interval": "20s",
}
SETTLED_SECONDS = 180
CURVE_SECONDS = 240
"""How long the docs' pictures look back at least."""
INTERVALS = {
    "poll.interval": "5s",
    "poll.detail_interval": "5s",
    "poll.page_interval": "5s",
    "poll.identity_interval": "15s",
    "poll.timeout": "2s",
    "discovery.kubernetes.enabled": False,
    "log.level": "error",
}


@dataclass(frozen=True)
class Stage:
    """Where dashboards are drawn, of how many targets, from when to when (seconds since the epoch).

    `exporter`: the address of the exporter, whose page is drawn too.
    """

    url: str
    prometheus: str
    exporter: str
    targets: int
    began: float
    until: float = 0.0

    @contextlib.asynccontextmanager
    async def drawn(
        self, browser: "Browser", name: str, mode: str, pod: str = BROKEN, *, is_open: bool = False
    ) -> "AsyncIterator[Page]":
        """A dashboard in a page of its own, as tall as it is, in light or dark."""
        page = await browser.new_page(viewport={"width": WIDTH + 16, "height": 900})
        query: dict[str, object] = {
            "dashboard": name,
            "mode": mode,
            "from": self.began,
            "to": self.until,
            "width": WIDTH,
            "variables": json.dumps({**CHOSEN, "pod": pod}),
        }
        if is_open:
            query["open"] = 1
        await page.goto(f"{self.url}/?{urllib.parse.urlencode(query)}")
        await page.wait_for_function("document.body.dataset.pending === '0'")
        height = await page.evaluate("document.documentElement.scrollHeight")
        await page.set_viewport_size({"width": WIDTH + 16, "height": height})
        # Grafana's tables and numbers take their size once more after that of the window.
        await page.wait_for_timeout(500)
        yield page
        await page.close()

    async def settled(self, seconds: float = 0.0) -> "Stage":
        """What there is to draw once all are polled, alerts fire, a proxy had its cause for 30 s.

        `seconds`: how much longer it lasts. All is drawn as of that moment: the exporter stands
        still where a test of another process has its turn.
        """
        wanted = (
            f"count(time() - istio_target_last_poll_timestamp_seconds < 20) >= {self.targets}",
            f'count_over_time(istio_target_diagnosis{{pod="{BROKEN}"}}[1m]) > 6',
            'ALERTS{alertstate="firing"}',
        )
        async with asyncio.timeout(SETTLED_SECONDS):
            for one in wanted:
                while not await asyncio.to_thread(query, self.prometheus, one):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(1)
        await asyncio.sleep(seconds)
        return replace(self, until=time.time())


@contextlib.asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """The demo mesh, its exporter, a Prometheus and the page; `folder`: for what they write."""
    page = await asyncio.to_thread(bundle)
    listener = socket.create_server(("127.0.0.1", 0))
    exporter = f"127.0.0.1:{listener.getsockname()[1]}"
    config = load(None, INTERVALS)
    async with mesh(load_states(SHIPPED), earlier=False) as built:
        targets = [pod.target for pod in built.pods]
        running = asyncio.create_task(Exporter(lambda: config, Path(), targets, listener).run())
        _write_rules(folder)
        job = target(exporter, cluster="east")
        with scraping(folder, job, every="5s", rule_files=["*.yaml"]) as address:
            async with drawing(page, dashboards(), address) as url:
                yield Stage(url, address, exporter, len(targets), time.time())
        running.cancel()
        await asyncio.wait({running})


def _write_rules(folder: Path) -> None:
    """The chart's rules, whose alerts fire at once."""
    for path in (CHART / "rules").glob("*.yaml"):
        at_once = re.sub(
            r"^( +(?:for|keep_firing_for)): .*", r"\1: 0s", path.read_text(), flags=re.MULTILINE
        )
        (folder / path.name).write_text(at_once)


async def _write(pictures: Mapping[str, str]) -> None:
    from playwright.async_api import async_playwright

    with tempfile.TemporaryDirectory() as scratch:
        async with stage(Path(scratch)) as built, async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox"]
            )
            ready = await built.settled(CURVE_SECONDS)
            for name, mode in pictures.items():
                async with ready.drawn(browser, name, mode) as page:
                    await _shoot(page, PICTURES / name.replace(".json", ".png"))
            width, height = STATUS_PAGE_SIZE
            page = await browser.new_page(viewport={"width": width, "height": height})
            await page.goto(f"http://{ready.exporter}/")
            await page.locator("h1", has_text="targets unhealthy").wait_for()
            await _shoot(page, STATUS_PAGE)
            await browser.close()


async def _shoot(page: "Page", file: Path) -> None:
    """Write what the page shows, in a palette of 256 colours: a third of the size."""
    await page.screenshot(path=file)
    reduce = ("pngquant", "--force", "--strip", "--speed", "1", "--output", str(file), str(file))
    await asyncio.to_thread(subprocess.run, reduce, check=True)
    sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    asyncio.run(_write(dict.fromkeys(dashboards(), sys.argv[1] if sys.argv[1:] else "dark")))
