"""Documents of any depth are decoded."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.discovery.pod_documents import decode_pod
from exporter.kube.api_errors import KubernetesError
from exporter.kube.json_decoding import shallow
from exporter.kube.object_reader import metadata_of
from exporter.kube.watch_events import event_of, page_of


def deep_pod(name: str, levels: int) -> bytes:
    nested = b'{"f:a\\"]":[' * (levels // 2) + b"1" + b"]}" * (levels // 2)
    return b'{"metadata":{"name":"%s","uid":"u","managedFields":%s}}' % (name.encode(), nested)


@pytest.mark.parametrize("levels", [64, 1200, 9998, 100_000])
def test_a_deep_pod_is_decoded_and_so_is_its_page(levels: int) -> None:
    items = b",".join([deep_pod("a", 2), deep_pod("b", levels), deep_pod("c", 2)])
    page = page_of(b'{"metadata":{"resourceVersion":"7"},"items":[%s]}' % items)
    found = [decode_pod(item).metadata.name for item in page.items]
    assert (page.metadata.resource_version, found) == ("7", ["a", "b", "c"])
    event = event_of(b'{"type":"ADDED","object":%s}' % deep_pod("b", levels))
    assert event is not None
    assert metadata_of(event.document).name == "b"


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"\ud800", "\ufffd"),
        (r"\udc00x\uD83D", "\ufffdx\ufffd"),
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\\ud800 \udbff", r"\ud800 " + "\ufffd"),
    ],
)
def test_half_a_character_costs_neither_its_object_nor_the_page(escaped: str, text: str) -> None:
    pod = f'{{"metadata":{{"name":"a","labels":{{"x":"{escaped}"}}}}}}'
    page = page_of(f'{{"items":[{pod},{pod}]}}'.encode())
    event = event_of(f'{{"type":"ADDED","object":{pod}}}'.encode())
    assert event is not None
    for document in (*page.items, event.document, pod.encode()):
        assert decode_pod(document).labels == {"x": text}


def test_a_page_of_halves_is_none() -> None:
    began = time.thread_time()
    with pytest.raises(KubernetesError):
        page_of(b'{"items":["%s"]}' % (rb"\ud800" * 100_000))
    assert time.thread_time() - began < 0.05


@pytest.mark.parametrize("answer", ["{}", '{"kind":"Status","status":"Failure","code":403}'])
def test_an_answer_without_items_is_no_empty_list(answer: str) -> None:
    with pytest.raises(KubernetesError, match="no items"):
        page_of(answer.encode())


values = st.recursive(
    st.one_of(st.none(), st.integers(), st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_a_shallow_document_stays_the_same(value: object) -> None:
    document = json.dumps(value, ensure_ascii=False).encode()
    assert shallow(document) == document


@given(st.binary())
def test_shallow_takes_any_bytes(document: bytes) -> None:
    shallow(document)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'], ids=["lists", "mappings"])
def test_a_document_that_never_closes_what_it_opens_is_no_document(opening: bytes) -> None:
    endless = opening * 50_000
    for read in (
        lambda: page_of(b'{"items":[' + endless),
        lambda: event_of(b'{"type":"ADDED","object":' + endless),
        lambda: event_of(b'{"type":"ERROR","object":' + endless),
    ):
        with pytest.raises(KubernetesError):
            read()
