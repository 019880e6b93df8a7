"""What a password's guard refuses under /api, in the form of the API's other errors."""

from pathlib import Path
from typing import Any

import bcrypt
import pytest

from exporter.web.toolkit import passwords
from exporter.web.toolkit.web_config import WebConfigFile

CHALLENGE = "Basic realm="


@pytest.fixture
def door(tmp_path: Path) -> WebConfigFile:
    hashed = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
    file = tmp_path / "web.yaml"
    file.write_text(f"basic_auth_users: {{alice: '{hashed}'}}\n")
    return WebConfigFile(file)


@pytest.mark.parametrize("path", ["summary", "targets/shop/cart", "targets?limit=0", "nothing"])
async def test_who_may_not_come_in_reads_json(serve: Any, door: WebConfigFile, path: str) -> None:
    answer = await (await serve(door=door)).get(f"/api/v1/{path}")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith(CHALLENGE)
    assert await answer.json() == {"error": "Name and password, please."}


async def test_who_has_to_wait_reads_json(
    serve: Any, door: WebConfigFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 0)
    guess = {"Authorization": "Basic YWxpY2U6Y2xvc2U="}
    answer = await (await serve(door=door)).get("/api/v1/summary", headers=guess)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert "passwords" in (await answer.json())["error"]


@pytest.mark.parametrize("path", ["/metrics", "/probe", "/-/healthy", "/", "/nothing"])
async def test_elsewhere_it_is_plain_text(serve: Any, door: WebConfigFile, path: str) -> None:
    answer = await (await serve(door=door)).get(path)
    assert (answer.status, answer.content_type) == (401, "text/plain")
    assert answer.headers["WWW-Authenticate"].startswith(CHALLENGE)
