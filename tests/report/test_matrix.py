from typing import Any

import pytest

from benchmarks.records import broken_sidecar, healthy_sidecar


async def matrix(client: Any, **query: str) -> Any:
    answer = await client.get("/api/v1/matrix", params=query)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_the_worst_come_first(serve: Any) -> None:
    found = await matrix(await serve())
    assert [target["state"] for target in found["targets"]] == [
        "unhealthy",
        "unjudged",
        "healthy",
        "healthy",
    ]
    worst, waiting, *_ = found["targets"]
    assert (worst["cause"], worst["class"]) == ("port_taken", "fault")
    assert (waiting["last_poll"], waiting["ports"], waiting["cause"]) == (None, [], "")


async def test_a_cell_has_the_verdict_and_the_result_of_a_plain_connect(serve: Any) -> None:
    (target,) = (await matrix(await serve(), state="unhealthy"))["targets"]
    assert target["ports"][0] == {
        "port": 15000,
        "up": False,
        "outcome": "timeout",
        "naive": None,
        "exposed": True,
    }


async def test_columns_count_all_targets_that_match(serve: Any) -> None:
    client = await serve(broken_sidecar(1), *map(healthy_sidecar, range(3, 9)))
    columns = {
        column["port"]: (column["up"], column["down"], column["unjudged"])
        for column in (await matrix(client, limit="1"))["ports"]
    }
    assert columns[15000] == (6, 1, 0)
    assert columns[15006] == (6, 0, 1)
    assert list(columns) == sorted(columns)
    healthy = await matrix(client, state="healthy", limit="1")
    assert next(c for c in healthy["ports"] if c["port"] == 15000)["down"] == 0


async def test_pages_join_to_the_whole(serve: Any) -> None:
    client = await serve(*map(healthy_sidecar, range(3, 30)))
    whole = await matrix(client)
    pages = [await matrix(client, limit="10", offset=str(at)) for at in (0, 10, 20, 30)]
    assert [row for page in pages for row in page["targets"]] == whole["targets"]
    assert whole["total"] == 28


@pytest.mark.parametrize("query", [{"q": "nothing like it"}, {"offset": "4"}])
async def test_an_empty_page_is_a_document(serve: Any, query: dict[str, str]) -> None:
    assert (await matrix(await serve(), **query))["targets"] == []
