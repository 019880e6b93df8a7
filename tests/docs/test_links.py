"""Every link of every page leads somewhere."""

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anchors, links, pages

WEB = ("https://", "http://localhost")


def broken(page: Path, link: str) -> str:
    """What is wrong with a link of a page; empty when it leads to a file, and to its heading."""
    if link.startswith(WEB):
        return ""
    path, _, anchor = link.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.is_relative_to(ROOT) or not file.exists():
        return f"{link}: no such file"
    if anchor and anchor not in anchors(file):
        return f"{link}: no such heading"
    return ""


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [problem for link in links(page) if (problem := broken(page, link))] == []


@pytest.mark.parametrize(
    ("link", "message"),
    [
        pytest.param("docs/ports.md", "", id="file"),
        pytest.param("docs/nowhere.md", "docs/nowhere.md: no such file", id="no file"),
        pytest.param("#two-commands", "", id="heading"),
        pytest.param("#three-commands", "#three-commands: no such heading", id="no heading"),
        pytest.param("../elsewhere", "../elsewhere: no such file", id="outside"),
    ],
)
def test_a_broken_link_is_found(link: str, message: str) -> None:
    assert broken(ROOT / "README.md", link) == message


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    open_ends = [ROOT / "README.md"]
    while open_ends:
        page = open_ends.pop()
        if page in reached:
            continue
        reached.add(page)
        paths = (link.partition("#")[0] for link in links(page) if not link.startswith(WEB))
        open_ends += [(page.parent / path).resolve() for path in paths if path.endswith(".md")]
    assert set(pages()) - reached == set()
