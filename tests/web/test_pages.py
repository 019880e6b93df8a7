from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from benchmarks.records import broken_sidecar, healthy_sidecar
from exporter.model import TargetKey
from exporter.web.pages import SHOWN


async def page_of(client: TestClient) -> str:
    answer = await client.get("/")
    assert answer.status == 200
    assert answer.content_type == "text/html"
    return await answer.text()


async def test_the_page_names_causes_with_advice_and_what_is_not_seen(serve: Any) -> None:
    broken = broken_sidecar(1)
    page = await page_of(await serve())
    assert broken.diagnosis.cause in page
    assert broken.diagnosis.advice.replace("'", "&#x27;") in page
    assert "15001 is not seen from here" in page
    assert page.index(broken.target.key.pod) < page.index(healthy_sidecar(0).target.key.pod)
    assert "waiting" in page


async def test_words_from_elsewhere_are_escaped(serve: Any) -> None:
    record = healthy_sidecar(0)
    target = replace(record.target, key=TargetKey("x", "<script>alert(1)</script>"))
    page = await page_of(await serve(replace(record, target=target)))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


async def test_the_page_does_not_grow_with_the_mesh(serve: Any) -> None:
    page = await page_of(await serve(*map(healthy_sidecar, range(3, 3 + SHOWN + 50))))
    assert page.count('<tr class="') == SHOWN
    assert f"The {SHOWN} most pressing of {SHOWN + 51}" in page


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/api/v1/ports", "/api/none", "/-/healthy", "/none", "/probe"]
)
async def test_every_answer_carries_security_headers(serve: Any, path: str) -> None:
    answer = await (await serve()).get(path)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Python" not in answer.headers["Server"]


async def test_the_style_comes_from_here(serve: Any) -> None:
    client = await serve()
    assert '<link rel="stylesheet" href="/static/page.css">' in await page_of(client)
    answer = await client.get("/static/page.css")
    assert answer.content_type == "text/css"
    assert "table" in await answer.text()
