"""What a page of another site can have a reader's browser do."""

from typing import Any

import pytest

from exporter.web.limits import _is_host


async def reloaded() -> None:
    """A reload that went well."""


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://HOST"}, 200),
        ({"Origin": "https://HOST"}, 200),
        ({"Origin": "http://HOST", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://HOST.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "HOST"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://HOST", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": ""}, 403),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_page_of_another_origin_changes_nothing(
    serve: Any, method: str, headers: dict[str, str], status: int
) -> None:
    client = await serve(reload=reloaded)
    host = f"127.0.0.1:{client.port}"
    given = {name: value.replace("HOST", host) for name, value in headers.items()}
    answer = await client.request(method, "/-/reload", headers=given)
    assert answer.status == status


async def test_reading_is_left_to_the_browser(serve: Any) -> None:
    headers = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    answer = await (await serve()).get("/api/v1/summary", headers=headers)
    assert answer.status == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://a", "a:80", True),
        ("https://A", "a:443", True),
        ("https://a", "a:80", False),
        ("http://[::1]:10520", "[::1]:10520", True),
        ("ftp://a", "a", False),
    ],
)
def test_a_host_may_name_its_default_port(origin: str, host: str, *, own: bool) -> None:
    assert _is_host(origin, host) is own
