"""Pages of a list and lines of a watch, decoded."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.kube.api_errors import GoneError, KubernetesError
from exporter.kube.watch_events import EventType, WatchEvent, event_of, page_of

POD = {"metadata": {"name": "cart", "resourceVersion": "7"}}


def line(kind: str, document: object) -> bytes:
    return json.dumps({"type": kind, "object": document}).encode()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ADDED", EventType.PUT),
        ("MODIFIED", EventType.PUT),
        ("DELETED", EventType.DROP),
        ("BOOKMARK", EventType.BOOKMARK),
    ],
)
def test_an_event_has_its_type_its_object_and_its_version(kind: str, expected: EventType) -> None:
    event = event_of(line(kind, POD))
    assert event is not None
    assert (event.type, event.version) == (expected, "7")
    assert json.loads(bytes(event.document)) == POD


def test_an_event_of_an_unknown_type_is_skipped() -> None:
    assert event_of(line("RENAMED", POD)) is None


@pytest.mark.parametrize("document", [7, {"metadata": 7}, {"metadata": {"resourceVersion": 7}}])
def test_an_object_without_a_readable_version_is_still_an_event(document: object) -> None:
    event = event_of(line("ADDED", document))
    assert event is not None
    assert (event.type, event.version) == (EventType.PUT, "")


@pytest.mark.parametrize(("code", "kind"), [(410, GoneError), (500, KubernetesError)])
def test_an_error_event_is_raised_by_its_status(code: int, kind: type[KubernetesError]) -> None:
    with pytest.raises(kind, match="too old") as raised:
        event_of(line("ERROR", {"code": code, "message": "too old"}))
    assert raised.value.status == code


def test_a_page_has_its_version_its_next_page_and_its_items() -> None:
    metadata = {"resourceVersion": "7", "continue": "next"}
    page = page_of(json.dumps({"metadata": metadata, "items": [POD]}).encode())
    assert (page.metadata.resource_version, page.metadata.continue_token) == ("7", "next")
    assert [json.loads(bytes(item)) for item in page.items] == [POD]


@given(st.one_of(st.binary(), st.text().map(str.encode)))
def test_any_bytes_are_an_event_a_page_or_an_error_of_ours(document: bytes) -> None:
    for decode in (event_of, page_of):
        try:
            decoded = decode(document)
        except KubernetesError:
            continue
        assert decoded is None or isinstance(decoded, WatchEvent) or decoded.metadata is not None


@pytest.mark.parametrize("code", [-1, 1000, 10**30, "x"])
def test_an_error_event_with_a_status_that_is_none_of_http_is_no_answer(code: object) -> None:
    with pytest.raises(KubernetesError):
        event_of(line("ERROR", {"code": code}))


@pytest.mark.parametrize(("name", "most"), [("resourceVersion", 64), ("continue", 4096)])
def test_a_list_whose_next_request_would_have_a_long_address_is_no_list(
    name: str, most: int
) -> None:
    def page(size: int) -> bytes:
        return json.dumps({"metadata": {name: "7" * size}, "items": []}).encode()

    assert page_of(page(most)).items == ()
    with pytest.raises(KubernetesError, match="not a response of the Kubernetes API"):
        page_of(page(most + 1))


def test_a_version_that_is_too_long_for_an_address_is_none() -> None:
    event = event_of(line("ADDED", {"metadata": {"resourceVersion": "7" * 100_000}}))
    assert event is not None
    assert event.version == ""
