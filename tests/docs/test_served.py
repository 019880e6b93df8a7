"""The runbooks that the exporter serves are those of docs/."""

import re
from html.parser import HTMLParser

import pytest

from docs import runbooks
from exporter.diagnosis.causes import CAUSES
from tests.docs.pages import ROOT, anchors
from tests.rules.promtool import ALERTS


class Page(HTMLParser):
    """The ids of a page, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.update({given["id"]} if "id" in given else ())
        self.links.update({given["href"]} if tag == "a" else ())


MADE = {name: Page(text) for name, text in runbooks.documents().items()}


@pytest.mark.parametrize("name", MADE)
def test_the_served_page_is_the_one_of_the_docs(name: str) -> None:
    assert (runbooks.FOLDER / name).read_text() == runbooks.documents()[name], "make runbooks"
    assert {entry.name for entry in runbooks.FOLDER.iterdir()} == set(MADE)


@pytest.mark.parametrize("name", MADE)
def test_its_anchors_are_those_of_the_source(name: str) -> None:
    source = ROOT / "docs" / name.replace(".html", ".md")
    assert anchors(source) <= MADE[name].ids


def test_each_cause_and_each_alert_has_its_place() -> None:
    assert set(CAUSES) <= MADE["diagnosis.html"].ids
    assert {name.lower() for name in ALERTS} <= MADE["alerts.html"].ids


@pytest.mark.parametrize("name", MADE)
def test_every_link_leads_to_what_is_served(name: str) -> None:
    for link in MADE[name].links - {"../"}:
        page, _, anchor = link.partition("#")
        target = MADE[page.replace(".md", ".html")] if page else MADE[name]
        assert not anchor or anchor in target.ids, link


def test_nothing_is_inline() -> None:
    for text in runbooks.documents().values():
        assert not re.search(r"<style|<script|style=|\son\w+=", text)
