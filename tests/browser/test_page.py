"""The page over records made by hand: many, hostile, old, none, and in every light."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from msgspec import structs
from playwright.async_api import expect

from benchmarks.records import broken_sidecar, healthy_sidecar, istiod, seen_from_pod
from exporter.diagnosis import CAUSES
from exporter.model import Cadence, TargetKey, TargetRecord

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

NARROW = {"width": 390, "height": 844}
HOSTILE = """<img src=x onerror="document.title='gone'"><script>document.title='gone'</script>"""
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def fresh(record: TargetRecord, age: float = 1.0) -> TargetRecord:
    at = time.time() - age
    return structs.replace(record, polled={Cadence.FAST: at, Cadence.DETAIL: at})


def with_cause(record: TargetRecord, cause: str, *evidence: str) -> TargetRecord:
    return structs.replace(record, diagnosis=CAUSES[cause].diagnosis(evidence))


def some() -> list[TargetRecord]:
    broken = with_cause(broken_sidecar(1), "port_taken", "Envoy could not bind 15020")
    blocked = with_cause(seen_from_pod(healthy_sidecar(2)), "network_blocked")
    return [fresh(record) for record in (broken, blocked, istiod(), healthy_sidecar(3))]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "viewport", [{"width": 1440, "height": 900}, NARROW], ids=["wide", "narrow"]
)
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?target=team-1/reviews-v1-6d4f8c7b9d-00001",
        "?q=none",
        "runbooks/diagnosis.md",
        "runbooks/alerts.md",
    ],
)
async def test_everyone_can_use_it(
    stage: Any, watch: Any, scheme: str, viewport: dict[str, int], query: str
) -> None:
    stage.put(*some())
    stage.unseen = ("15001 is not seen from here",)
    watched = await watch(stage.url, color_scheme=scheme, viewport=viewport)
    page = await watched.open(query)
    found = await Axe().run(page, options=RULES)
    assert [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]] == []
    assert await page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    watched.demand_quiet()


async def test_a_cause_leads_to_its_runbook(stage: Any, watch: Any) -> None:
    stage.put(*some())
    watched = await watch(stage.url)
    page = await watched.open("?target=team-1/reviews-v1-6d4f8c7b9d-00001")
    (cause,) = await page.locator(".cause-of code").all_inner_texts()
    await page.get_by_role("link", name="Runbook for").click()
    await expect(page.locator("h2:target")).to_have_text(cause)
    await expect(page.locator("h2:target")).to_be_in_viewport()
    watched.demand_quiet()


async def test_the_keyboard_reaches_a_target(stage: Any, watch: Any) -> None:
    stage.put(*some())
    page = await (await watch(stage.url)).open()
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to content"
    await page.keyboard.press("Enter")
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.matches('.matrix a')"):
            break
    await page.keyboard.press("Enter")
    await page.get_by_role("region", name="Readiness, step by step").wait_for()


async def test_text_from_a_target_never_becomes_markup(stage: Any, watch: Any) -> None:
    record = with_cause(broken_sidecar(1), "port_taken", HOSTILE)
    verdicts = tuple(structs.replace(verdict, detail=HOSTILE) for verdict in record.verdicts)
    proxy = structs.replace(
        record.proxy, rejected_reasons={HOSTILE: HOSTILE}, bound={HOSTILE: False}
    )
    target = replace(record.target, key=TargetKey("x", HOSTILE), node=HOSTILE, workload=HOSTILE)
    stage.put(fresh(structs.replace(record, target=target, verdicts=verdicts, proxy=proxy)))
    stage.unseen = (HOSTILE,)
    watched = await watch(stage.url)
    page = await watched.open()
    await page.get_by_role("link", name=HOSTILE).click()
    await page.get_by_role("heading", name=HOSTILE).wait_for()
    await page.get_by_role("cell", name=HOSTILE).first.wait_for()
    assert await page.title() != "gone"
    assert await page.locator("main script, main img").count() == 0
    watched.demand_quiet()


async def test_ten_thousand_targets_show_within_two_seconds(
    stage: Any, watch: Any, say: Any
) -> None:
    stage.put(*(fresh(healthy_sidecar(index)) for index in range(9_900)))
    stage.put(*(fresh(broken_sidecar(index)) for index in range(9_900, 10_000)))
    watched = await watch(stage.url)
    began = time.perf_counter()
    page = await watched.open()
    await page.get_by_role("link", name="reviews-v0-6d4f8c7b9d-09900").wait_for()
    shown = time.perf_counter()
    await page.get_by_label("Search").fill("00042")
    await page.locator(".matrix tbody tr:first-child", has_text="00042").wait_for()
    filtered = time.perf_counter()
    say(
        f"page of 10,000 targets: {shown - began:.2f} s to show, {filtered - shown:.2f} s to filter"
    )
    assert max(shown - began, filtered - shown) < 2
    await page.get_by_role("link", name="Clear filters").click()
    await page.get_by_text("1 to 100 of 10,000").wait_for()
    assert await page.locator("tbody tr").count() == 100
    await page.get_by_role("link", name="Next").click()
    await page.get_by_text("101 to 200 of 10,000").wait_for()
    watched.demand_quiet()


async def test_a_refresh_keeps_focus_selection_and_scroll(stage: Any, watch: Any) -> None:
    stage.put(*(fresh(healthy_sidecar(index)) for index in range(60)))
    page = await (await watch(stage.url)).open()
    name = "reviews-v0-6d4f8c7b9d-00009"
    link = page.get_by_role("link", name=name)
    await link.focus()
    await link.evaluate("element => getSelection().selectAllChildren(element)")
    before = await page.evaluate("scrollY")
    stage.put(fresh(with_cause(broken_sidecar(5), "port_taken")))
    await page.get_by_role("heading", name="1 of 60 targets unhealthy").wait_for()
    assert await link.evaluate("element => element === document.activeElement")
    assert await page.evaluate("String(getSelection())") == name
    assert abs(await page.evaluate("scrollY") - before) < 1000 < before


async def test_the_form_follows_the_address_before_a_response_comes(stage: Any, watch: Any) -> None:
    stage.put(*some())
    page = await (await watch(stage.url)).open()
    await page.get_by_label("Search").fill("reviews")
    await page.wait_for_url("**/?q=reviews")
    await page.get_by_label("Role").select_option("istiod")
    await page.wait_for_url("**/?role=istiod&q=reviews")
    await page.route("**/api/v1/**", lambda _unanswered: None)
    await page.go_back()
    await expect(page.get_by_label("Role")).to_have_value("")
    await page.get_by_role("link", name="Clear filters").click()
    await expect(page.get_by_label("Search")).to_have_value("")


@pytest.mark.parametrize(
    ("records", "headline"),
    [([], "No targets"), ([healthy_sidecar(0), istiod()], "All 2 targets are healthy")],
    ids=["none", "all healthy"],
)
async def test_the_headline_of_a_mesh_without_faults_is_plain(
    stage: Any, watch: Any, records: list[TargetRecord], headline: str
) -> None:
    stage.put(*map(fresh, records))
    watched = await watch(stage.url)
    page = await watched.open()
    await page.get_by_role("heading", name=headline).wait_for()
    assert await page.get_by_role("region", name="Causes").count() == 0
    assert await page.get_by_role("search").count() == bool(records)
    watched.demand_quiet()


async def test_old_data_raise_an_alarm(stage: Any, watch: Any) -> None:
    stage.put(fresh(healthy_sidecar(0), age=600))
    page = await (await watch(stage.url)).open()
    await page.get_by_role("alert").get_by_text("These data are old").wait_for()
    await page.get_by_text("last poll 10 min ago").wait_for()


@pytest.mark.parametrize("query", ["", "?role=sidecar", "?target=team-3/{pod}"])
async def test_a_control_plane_that_does_not_work_stands_on_top_of_every_page(
    stage: Any, watch: Any, query: str
) -> None:
    stage.put(fresh(with_cause(istiod(), "istiod_not_ready")), fresh(healthy_sidecar(3)))
    watched = await watch(stage.url)
    page = await watched.open(query.format(pod=healthy_sidecar(3).target.key.pod))
    alert = page.get_by_role("alert")
    await alert.get_by_text("No istiod of revision default is healthy").wait_for()
    stage.put(fresh(istiod()))
    await alert.get_by_text("No istiod").wait_for(state="detached")
    watched.demand_quiet()


async def test_the_page_of_an_unwatched_target_explains_that(stage: Any, watch: Any) -> None:
    watched = await watch(stage.url)
    page = await watched.open("?target=shop/none")
    await page.get_by_text("This exporter does not watch this target").wait_for()


async def test_a_paused_page_sends_no_requests(stage: Any, watch: Any) -> None:
    stage.put(*some())
    watched = await watch(stage.url)
    page = await watched.open()
    await page.get_by_role("button", name="Pause").click()
    await page.get_by_text("paused at").wait_for()
    sent = len(watched.requested)
    await asyncio.sleep(6)
    assert len(watched.requested) == sent
    await page.get_by_role("button", name="Pause").click()
    await page.get_by_text("paused at").wait_for(state="detached")


async def test_a_targets_page_fits_a_narrow_screen(stage: Any, watch: Any) -> None:
    """Nothing has to be scrolled sideways: rows are blocks, and each value has its heading."""
    record = fresh(with_cause(seen_from_pod(broken_sidecar(1)), "port_taken", "word " * 40))
    stage.put(record)
    watched = await watch(stage.url, viewport=NARROW)
    page = await watched.open(f"?target={record.target.key}")
    beyond = "all => all.filter(one => one.getBoundingClientRect().right > innerWidth).length"
    assert await page.eval_on_selector_all("main *", beyond) == 0
    labels = "all => all.map(one => getComputedStyle(one, '::before').content)"
    shown = await page.eval_on_selector_all(".ports tbody tr:first-child td", labels)
    assert shown[0] == '"Owner"'
    assert len(shown) == 7
