"""The dashboards, drawn by Grafana's own panels, hold what a reader would complain about."""

import os
import re
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.conftest import demand
from tests.dashboards.documents import dashboards
from tests.dashboards.pictures import BROKEN, CHROMIUM, HEALTHY, Stage, stage

if find_spec("playwright"):
    from playwright.async_api import async_playwright
if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.alone,
    pytest.mark.real("prometheus"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),
]

module_loop = {"scope": "module", "loop_scope": "module"}
DRAWN = [*((name, BROKEN) for name in dashboards()), ("proxy.json", HEALTHY)]
NO_COLOUR = re.compile(r"rgba\(\d+, \d+, \d+, 0\)")

CELLS = """
sections => sections.flatMap(section =>
  [...section.querySelectorAll('[role=cell]')].map(cell => ({
    panel: section.dataset.panel,
    text: cell.innerText.trim(),
    colour: getComputedStyle(cell).backgroundColor,
  })))
"""
ROWS = """
section => [...section.querySelectorAll('[role=row]')].map(row =>
  [...row.querySelectorAll('[role=cell], [role=columnheader]')].map(cell => cell.innerText.trim()))
"""


@pytest.fixture(scope="module")
def npm() -> None:
    demand("npm", "npm")


@pytest_asyncio.fixture(**module_loop)
async def ready(npm: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:  # noqa: ARG001 - needed first
    async with stage(tmp_path_factory.mktemp("stage")) as built:
        yield await built.settled()


@pytest_asyncio.fixture(**module_loop)
async def browser() -> "AsyncIterator[Browser]":
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield launched
        await launched.close()


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize(("name", "pod"), DRAWN, ids=lambda part: part)
async def test_every_panel_shows_data_or_says_why_not(
    ready: Stage, browser: "Browser", name: str, pod: str, mode: str
) -> None:
    async with ready.drawn(browser, name, mode, pod) as page:
        errors = await page.locator("[data-error]").all_inner_texts()
        assert errors == []
        assert await titles(page, '[data-panel][data-empty=""]') == []
        await assert_cells(page)
        await assert_legends(page)


@pytest.mark.parametrize("name", dashboards())
async def test_closed_rows_can_be_opened(ready: Stage, browser: "Browser", name: str) -> None:
    async with ready.drawn(browser, name, "light", is_open=True) as page:
        assert await page.locator("[data-error]").all_inner_texts() == []


async def test_ports_are_whole_numbers_in_order(ready: Stage, browser: "Browser") -> None:
    async with ready.drawn(browser, "proxy.json", "light") as page:
        rows = await rows_of(page, "Ports now")
        assert rows[0][0] == "port"
        ports = [int(row[0]) for row in rows[1:]]
        assert len(ports) > 4
        assert ports == sorted(ports)
    async with ready.drawn(browser, "overview.json", "light") as page:
        rows = await rows_of(page, "Ports up, by namespace")
        ports = [int(heading) for heading in rows[0][1:]]
        assert ports == sorted(ports)
        assert [row[0] for row in rows[1:]] == sorted(row[0] for row in rows[1:])


async def test_firing_alerts_are_listed_with_the_worst_first(
    ready: Stage, browser: "Browser"
) -> None:
    async with ready.drawn(browser, "overview.json", "dark") as page:
        rows = await rows_of(page, "Firing alerts")
    assert rows[0][:5] == ["severity", "alert", "scope", "name", "cluster"]
    assert [row[0] for row in rows[1:]] == sorted(row[0] for row in rows[1:])
    assert all(row[1].startswith("Istio") and row[4] == "east" for row in rows[1:])


async def assert_cells(page: "Page") -> None:
    """No blank cell has a colour of the scale, and no label is written as a quantity."""
    cells = await page.eval_on_selector_all("[data-kind=table]", CELLS)
    blank = {cell["colour"] for cell in cells if not cell["text"]}
    assert {colour for colour in blank if not NO_COLOUR.fullmatch(colour)} == set()
    assert [cell for cell in cells if cell["text"].endswith(" K")] == []


async def assert_legends(page: "Page") -> None:
    """Whatever is drawn as lines or bands has a legend."""
    for kind, legend in (
        ("timeseries", "[data-testid^='data-testid VizLegend']"),
        ("state-timeline", "[data-legend]"),
    ):
        drawn = f"[data-kind={kind}]:not([data-empty])"
        assert await titles(page, drawn) == await titles(page, f"{drawn}:has({legend})")


async def rows_of(page: "Page", title: str) -> list[list[str]]:
    """The texts of a table, with the headings, once it has rows."""
    panel = page.locator(f"[data-panel='{title}']")
    await panel.locator("[role=row]").nth(1).wait_for()
    return list(await panel.evaluate(ROWS))


async def titles(page: "Page", selector: str) -> list[str]:
    found = await page.eval_on_selector_all(selector, "all => all.map(one => one.dataset.panel)")
    return list(found)
