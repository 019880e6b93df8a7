"""The page over the demo mesh, polled for real.

What only the pods' own view shows needs pods with a network of their own (`real`).
"""

from typing import Any

import pytest
from playwright.async_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

BROKEN = {
    "envoy-hung": "envoy_stuck",
    "envoy-killed": "proxy_not_running",
    "app-holds-15001": "port_taken",
    "config-rejected-while-running": "configuration_rejected",
}


@pytest.mark.real
async def test_it_shows_the_broken_proxies_and_their_causes(demo: Any, watch: Any) -> None:
    for pod, cause in BROKEN.items():
        await demo.knows(pod, cause)
    watched = await watch(demo.url)
    page = await watched.open()
    await page.get_by_role("button", name="more cause").click()
    causes = page.get_by_role("region", name="Causes")
    for pod, cause in BROKEN.items():
        await causes.get_by_text(cause, exact=True).wait_for()
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=pod, exact=True))
        await row.get_by_text(cause, exact=True).wait_for()
    first = page.locator(".matrix tbody tr").first
    assert await first.get_attribute("class") == "unhealthy"
    watched.demand_quiet()


async def test_a_cell_shows_where_a_plain_connect_misleads(demo: Any, watch: Any) -> None:
    await demo.knows("envoy-hung", "envoy_stuck")
    page = await (await watch(demo.url)).open("?q=envoy-hung")
    cell = page.get_by_role("cell").filter(has_text="15021 down")
    assert "15021 down, timeout; a plain connect succeeds" in await cell.inner_text()


async def test_filters_are_in_the_address(demo: Any, watch: Any) -> None:
    await demo.knows("envoy-killed", "proxy_not_running")
    watched = await watch(demo.url)
    page = await watched.open()
    await page.get_by_label("Search").fill("envoy-k")
    await page.wait_for_url("**/?q=envoy-k")
    rows = page.locator(".matrix tbody tr")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("envoy-killed")
    await page.get_by_role("link", name="Clear filters").click()
    await expect(page.get_by_label("Search")).to_have_value("")
    await page.get_by_label("Role").select_option("istiod")
    await page.wait_for_url("**/?role=istiod")
    await page.locator(".matrix tbody tr:not(:has-text('istiod'))").first.wait_for(state="detached")
    await page.get_by_label("State").select_option("unhealthy")
    await page.wait_for_url("**/?role=istiod&state=unhealthy")
    await page.go_back()
    await page.wait_for_url("**/?role=istiod")
    await expect(page.get_by_label("State")).to_have_value("")
    await expect(page.get_by_label("Role")).to_have_value("istiod")
    watched.demand_quiet()


@pytest.mark.real
async def test_a_target_shows_what_is_known_of_it(demo: Any, watch: Any) -> None:
    await demo.knows("app-holds-15001", "port_taken")
    watched = await watch(demo.url)
    page = await watched.open("?q=app-holds")
    await page.get_by_role("link", name="app-holds-15001").click()
    await page.get_by_role("heading", name="app-holds-15001").wait_for()
    assert await page.evaluate("document.activeElement.textContent") == "app-holds-15001"
    await page.get_by_role("heading", name="port_taken").wait_for()
    steps = page.get_by_role("region", name="Readiness, step by step").get_by_role("listitem")
    assert await steps.count() == 6
    assert "Configuration" in await steps.filter(has_text="fails here first").inner_text()
    row = page.locator("table.ports").get_by_role("row").filter(has_text="15001")
    assert "timeout" in await row.inner_text()
    await page.get_by_text("-c istio-proxy -- pilot-agent request GET listeners").first.wait_for()
    assert await page.get_by_role("region", name="Listening sockets").count()
    await page.get_by_role("link", name="All targets").click()
    await page.wait_for_url("**/?q=app-holds")
    watched.demand_quiet()


async def test_it_survives_a_restart_of_the_exporter(demo: Any, watch: Any) -> None:
    await demo.knows("envoy-killed", "proxy_not_running")
    watched = await watch(demo.url)
    page = await watched.open("?q=envoy-killed")
    search = page.get_by_label("Search")
    await search.focus()
    await demo.stop()
    alarm = page.get_by_role("alert")
    await alarm.get_by_text("The exporter does not respond since").wait_for()
    assert await page.get_by_text("envoy-killed").first.is_visible()
    await demo.start()
    await alarm.get_by_text("does not respond").wait_for(state="detached")
    await page.get_by_role("row").filter(has_text="proxy_not_running").wait_for()
    assert await search.evaluate("element => element === document.activeElement")
    watched.complaints = [said for said in watched.complaints if "ERR_CONNECTION" not in said]
    watched.demand_quiet()
