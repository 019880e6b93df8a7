import gzip
import re
from importlib.resources import files
from typing import Any

import pytest

NAMES = sorted(entry.name for entry in files("exporter.web").joinpath("static").iterdir())
SCRIPTS = [name for name in NAMES if name.endswith(".js")]
REFERRED = re.compile(r"""(?:src|href|from)\s*=?\s*"(?:static/|\./)([^"]+)\"""")


def text_of(name: str) -> str:
    return files("exporter.web").joinpath("static", name).read_text(encoding="utf-8")


async def test_the_page_and_all_that_it_refers_to_is_served(serve: Any) -> None:
    client = await serve()
    page = await client.get("/")
    assert (page.status, page.content_type) == (200, "text/html")
    referred = set(REFERRED.findall(text_of("index.html")))
    referred.update(*(REFERRED.findall(text_of(name)) for name in SCRIPTS))
    assert referred == set(NAMES) - {"index.html"}
    for name in referred:
        answer = await client.get(f"/static/{name}")
        assert answer.status == 200
        assert answer.content_type != "application/octet-stream"


@pytest.mark.parametrize("path", ["/static/index.html", "/static/none.js", "/static/..%2fapi.py"])
async def test_nothing_else_is_served(serve: Any, path: str) -> None:
    assert (await (await serve()).get(path)).status == 404


def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    page = text_of("index.html")
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*src=)", page)
    for name in NAMES:
        text = text_of(name).replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"""["'(]\s*(https?:)?//[a-z]""", text), name


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_makes_markup_of_text(name: str) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|DOMParser|srcdoc",
        text_of(name),
    )


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/v1/ports"])
async def test_what_a_browser_has_is_not_sent_again(serve: Any, path: str) -> None:
    client = await serve()
    first = await client.get(path)
    assert first.headers["Cache-Control"] == "no-cache"
    again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    other = await client.get(path, headers={"If-None-Match": 'W/"other"'})
    assert (other.status, await other.read()) == (200, await first.read())


@pytest.mark.parametrize("path", ["/static/page.css", "/api/v1/ports"])
async def test_long_answers_are_gzipped_where_that_is_understood(serve: Any, path: str) -> None:
    client = await serve()
    whole = await client.get(path, headers={"Accept-Encoding": "identity"})
    zipped = await client.get(path, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in whole.headers
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(await zipped.read()) == await whole.read()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/static/main.js",
        "/metrics",
        "/api/v1/summary",
        "/api/none",
        "/-/healthy",
        "/none",
        "/probe",
    ],
)
async def test_every_answer_carries_security_headers(serve: Any, path: str) -> None:
    answer = await (await serve()).get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Python" not in answer.headers["Server"]


async def test_the_folder_of_the_runbooks_leads_to_those_of_the_causes(serve: Any) -> None:
    client = await serve()
    for path in ("/runbooks", "/runbooks/"):
        answer = await client.get(path)
        assert (answer.status, answer.url.path) == (200, "/runbooks/diagnosis.md")
    missing = await client.get("/runbooks/faq.md")
    assert missing.status == 404
    assert "there are /runbooks/alerts.md and /runbooks/diagnosis.md" in await missing.text()
