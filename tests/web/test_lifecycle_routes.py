from typing import Any

import pytest


@pytest.mark.parametrize(("path", "part"), [("/-/healthy", "is_healthy"), ("/-/ready", "is_ready")])
@pytest.mark.parametrize(("state", "status"), [(True, 200), (False, 503)], ids=["yes", "no"])
async def test_health_follows_the_program(
    serve: Any, path: str, part: str, state: Any, status: int
) -> None:
    client = await serve(**{part: state})
    assert (await client.get(path)).status == status


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_reload_reads_the_configuration_again(serve: Any, method: str) -> None:
    calls = []

    async def read() -> None:
        calls.append("read")

    client = await serve(reload=read)
    assert (await client.request(method, "/-/reload")).status == 200
    assert calls == ["read"]


async def test_a_failed_reload_says_why(serve: Any) -> None:
    async def read() -> str:
        return "exporter.yaml:3: poll.interval: too short"

    client = await serve(reload=read)
    answer = await client.post("/-/reload")
    assert answer.status == 500
    assert "exporter.yaml:3: poll.interval: too short" in await answer.text()


async def test_reload_is_off_without_a_callable_and_never_a_get(serve: Any) -> None:
    client = await serve(reload=None)
    assert (await client.post("/-/reload")).status == 403
    assert (await client.get("/-/reload")).status == 405
