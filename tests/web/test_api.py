from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient
from msgspec import structs

from benchmarks.records import broken_sidecar, healthy_sidecar
from exporter.catalogue import PORTS
from exporter.diagnosis import CAUSES
from exporter.web.api import ROUTES
from tests.docs.test_api import ANSWERS, DEPRECATED
from tests.web.conftest import BROKEN, HEALTHY


async def listed(client: TestClient, **query: str) -> Any:
    answer = await client.get("/api/v1/targets", params=query)
    assert answer.status == 200, await answer.text()
    return await answer.json()


STATES = "healthy, unhealthy, unjudged, transition, policy, application"


@pytest.mark.parametrize(
    ("query", "states"),
    [
        ({}, ["healthy", "healthy", "unhealthy", "unjudged"]),
        ({"state": "healthy"}, ["healthy", "healthy"]),
        ({"state": "unhealthy"}, ["unhealthy"]),
        ({"state": "unjudged"}, ["unjudged"]),
        ({"role": "istiod"}, ["healthy"]),
        ({"role": "istiod", "state": "unhealthy"}, []),
        ({"namespace": "team-1"}, ["unhealthy"]),
        ({"namespace": "nowhere"}, []),
    ],
)
async def test_filters_choose_targets(serve: Any, query: dict[str, str], states: list[str]) -> None:
    found = await listed(await serve(), **query)
    assert sorted(target["state"] for target in found["targets"]) == states
    assert found["total"] == len(states)


async def test_a_record_that_cannot_be_shown_costs_no_other_target(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    odd = structs.replace(BROKEN, last_ok=None)  # of an error of ours
    client = await serve(HEALTHY, odd)
    found = await listed(client)
    assert [row["state"] for row in found["targets"]] == ["healthy", "unjudged", "unjudged"]
    for path in ("summary", "matrix"):
        answer = await client.get(f"/api/v1/{path}")
        assert answer.status == 200, await answer.text()
    assert (await client.get("/metrics")).status == 200
    assert len([row for row in caplog.records if "resource=reports" in row.getMessage()]) == 1


async def test_a_cause_chooses_the_targets_that_have_it(serve: Any) -> None:
    client = await serve()
    by_cause = await listed(client, cause="port_taken")
    assert by_cause == await listed(client, state="unhealthy")
    assert by_cause["total"] == 1


@pytest.mark.parametrize(
    ("text", "total"),
    [
        ("REVIEWS", 3),
        ("istio-system/istiod", 1),
        ("10.9.9.9", 1),
        ("node-1", 2),
        ("port_tak", 1),
        ("no such words", 0),
        ("  ", 4),
    ],
)
async def test_text_is_found_in_names_addresses_nodes_and_causes(
    serve: Any, text: str, total: int
) -> None:
    assert (await listed(await serve(), q=text))["total"] == total


async def test_pages_join_to_the_whole_list(serve: Any) -> None:
    client = await serve(*map(healthy_sidecar, range(3, 30)))
    whole = await listed(client)
    pages = [await listed(client, limit="10", offset=str(at)) for at in (0, 10, 20, 30)]
    joined = [target["pod"] for page in pages for target in page["targets"]]
    assert joined == [target["pod"] for target in whole["targets"]]
    assert whole["total"] == len(joined) == 28


async def test_a_port_carries_the_verdict_and_the_naive_answer_beside_it(serve: Any) -> None:
    broken = broken_sidecar(1)
    found = await listed(await serve(), namespace="team-1")
    (target,) = found["targets"]
    assert [
        (port["port"], port["up"], port["outcome"], port["naive"]) for port in target["ports"]
    ] == [(v.port, v.up, v.outcome.value, v.naive) for v in broken.verdicts]
    assert {"component", "view", "detail", "seconds", "exposed", "last_ok", "name"} <= set(
        target["ports"][0]
    )
    diagnosis = target["diagnosis"]
    assert diagnosis["class"] == broken.diagnosis.cause_class
    assert diagnosis["evidence"] == list(broken.diagnosis.evidence)
    assert diagnosis["advice"] == broken.diagnosis.advice
    assert target["ready"] == dict(broken.ready)


async def test_one_target_is_found_by_name(serve: Any) -> None:
    key = healthy_sidecar(0).target.key
    answer = await (await serve()).get(f"/api/v1/targets/{key.namespace}/{key.pod}")
    assert answer.status == 200
    target = await answer.json()
    assert (target["namespace"], target["pod"]) == (key.namespace, key.pod)
    health = next(port for port in target["ports"] if port["port"] == 15021)
    assert "http://10.0.0.0:15021/healthz/ready" in health["by_hand"]
    assert "%{http_code}" in health["by_hand"]


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/api/v1/targets/none/such", 404, "No target is named none/such."),
        ("/api/v1/nothing", 404, "/api/v1/nothing is not part of this API."),
        ("/api/v1/targets?limit=0", 400, "limit must be a whole number, between 1 and 500."),
        ("/api/v1/targets?limit=501", 400, "limit must be a whole number, between 1 and 500."),
        (
            "/api/v1/targets?offset=-1",
            400,
            "offset must be a whole number, between 0 and 999999999.",
        ),
        (
            "/api/v1/targets?offset=%C2%B2",
            400,
            "offset must be a whole number, between 0 and 999999999.",
        ),
        (
            f"/api/v1/matrix?q={'x' * 201}",
            400,
            "q must not be longer than 200 characters.",
        ),
        (
            "/api/v1/summary?state=ill",
            400,
            f"state must be one of {STATES}.",
        ),
        (
            "/api/v1/targets?state=ill",
            400,
            f"state must be one of {STATES}.",
        ),
    ],
)
async def test_errors_are_json(serve: Any, path: str, status: int, error: str) -> None:
    answer = await (await serve()).get(path)
    assert answer.status == status
    assert await answer.json() == {"error": error}


@pytest.mark.parametrize("name", ["limit", "offset"])
async def test_numbers_of_many_digits_are_refused(serve: Any, name: str) -> None:
    client = await serve()
    for digits in (10, 5000):
        answer = await client.get("/api/v1/targets", params={name: "1" * digits})
        assert answer.status == 400
        assert (await answer.json())["error"].startswith(f"{name} must be a whole number")


@pytest.mark.parametrize("name", ["role", "cause"])
async def test_unknown_words_are_refused_with_the_known_ones(serve: Any, name: str) -> None:
    answer = await (await serve()).get("/api/v1/targets", params={name: "bogus"})
    assert answer.status == 400
    assert (await answer.json())["error"].startswith(f"{name} must be one of ")


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("summary", "the parameters are namespace, role."),
        ("matrix", "the parameters are namespace, role, state, cause, q, offset, limit."),
        ("targets", "the parameters are namespace, role, state, cause, q, offset, limit."),
        (f"targets/{HEALTHY.target.key}", "there are none."),
        ("ports", "there are none."),
    ],
)
async def test_parameters_that_a_path_does_not_have_are_refused(
    serve: Any, path: str, known: str
) -> None:
    client = await serve()
    for name in ("status", "Role", "page", "", "'"):
        answer = await client.get(f"/api/v1/{path}", params={name: "x"})
        assert answer.status == 400, name
        error = (await answer.json())["error"]
        assert error == f"{name!r} is no parameter of /api/v1/{path}: {known}"


async def test_a_parameter_that_is_given_twice_is_refused(serve: Any) -> None:
    answer = await (await serve()).get("/api/v1/matrix?role=istiod&role=cni")
    assert (answer.status, await answer.json()) == (400, {"error": "role is given twice."})


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_only_get_and_head_are_allowed(serve: Any, method: str) -> None:
    client = await serve()
    for route in ROUTES:
        path = route.path.format(namespace="team-0", pod="reviews-v0-6d4f8c7b9d-00000")
        answer = await client.request(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD"), path
        assert await answer.json() == {"error": "Only GET and HEAD are allowed here."}
        assert (await client.head(path)).status == 200
    assert (await client.request(method, "/api/v1/nothing")).status == 404


async def test_ports_are_the_catalogue_with_causes_in_words(serve: Any) -> None:
    answer = await (await serve()).get("/api/v1/ports")
    rows = (await answer.json())["ports"]
    assert len(rows) == len(PORTS)
    inbound = next(row for row in rows if row["name"] == "virtualInbound")
    assert inbound["port"] == 15006
    assert inbound["causes"][0]["sentence"] == CAUSES[inbound["causes"][0]["cause"]].sentence
    assert next(row for row in rows if row["port"] == 15004)["until"] == "1.24"


@pytest.mark.parametrize(("path", "document"), ANSWERS.items())
async def test_each_path_answers_with_its_document(
    serve: Any, path: str, document: type[msgspec.Struct]
) -> None:
    answer = await (await serve()).get(
        path.format(namespace="team-0", pod="reviews-v0-6d4f8c7b9d-00000")
    )
    body = await answer.read()
    decoded = msgspec.json.decode(body, type=document)
    assert answer.status == 200
    assert msgspec.json.decode(msgspec.json.encode(decoded)) == msgspec.json.decode(body)


def pairs_in(value: object) -> Iterator[tuple[str, object, object]]:
    """Each deprecated field of a struct and of those within it: its name and both values."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            new = DEPRECATED.get((type(value).__name__, name))
            if new:
                yield name, getattr(value, name), getattr(value, new)
            yield from pairs_in(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from pairs_in(item)


async def test_a_deprecated_field_has_the_value_of_its_replacement(serve: Any) -> None:
    client = await serve()
    compared = set()
    for path, document in ANSWERS.items():
        answer = await client.get(path.format(namespace="team-1", pod=BROKEN.target.key.pod))
        found = msgspec.json.decode(await answer.read(), type=document)
        for name, old, new in pairs_in(found):
            assert old == new
            compared.add(name)
    assert compared == {name for _, name in DEPRECATED}
