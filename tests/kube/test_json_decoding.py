"""Documents of any depth are decoded."""

import asyncio
import json
import time
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.discovery.pod_documents import Pod, decode_pod
from exporter.kube.api_errors import KubernetesError
from exporter.kube.json_decoding import shallow
from exporter.kube.object_reader import metadata_of
from exporter.kube.watch_events import event_of, page_of
from tests.cpu_time import LIMIT, compared, seconds


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


FILLERS = {
    "backslashes": rb"\\" * 400_000,
    "whole characters": rb"\ud83d\ude00" * 70_000,
    "lines": rb"\n" * 400_000,
}


@pytest.mark.parametrize("filler", FILLERS.values(), ids=FILLERS)
def test_half_a_character_among_very_many_escapes_takes_no_long(filler: bytes) -> None:
    labels = rb'{"x":"\ud800%s\udc00"}' % filler
    document = b'{"metadata":{"name":"a","labels":%s}}' % labels
    found: list[Pod] = []
    took = seconds(lambda: found.append(decode_pod(document)))
    whole = json.loads(b'"%s"' % filler)
    assert found[0].labels == {"x": f"\ufffd{whole}\ufffd"}
    assert took < LIMIT


def test_a_page_of_halves_is_none() -> None:
    page = b'{"items":["%s"]}' % (rb"\ud800" * 100_000)

    def read() -> None:
        with pytest.raises(KubernetesError):
            page_of(page)

    assert seconds(read) < LIMIT


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


WIDE = b",".join([b'"":[[],[],[]]'] * 40_000)
"""As many brackets as half a megabyte has room for."""


def wide_and_deep_pod(levels: int) -> bytes:
    nested = b'{"f:a":' * levels + b"{}" + b"}" * levels
    return b'{"metadata":{"name":"a","managedFields":[%s,{%s}]}}' % (nested, WIDE)


@pytest.mark.parametrize("levels", [890, 930, *range(970, 990, 3), 9900, 9960, 9985])
async def test_what_a_thread_has_decoded_is_never_too_deep_for_the_event_loop(levels: int) -> None:
    line = b'{"type":"ADDED","object":%s}' % wide_and_deep_pod(levels)
    event = await asyncio.to_thread(event_of, line)
    page = await asyncio.to_thread(page_of, b'{"items":[%s]}' % wide_and_deep_pod(levels))
    for document in (event.document if event else b"", *(page.items or ())):
        began = time.thread_time()
        name = await called_by_coroutines(lambda document=document: decode_pod(document), 12)
        took = time.thread_time() - began
        assert name.metadata.name == "a"
        assert compared(took) < LIMIT


async def called_by_coroutines(action: Callable[[], Pod], depth: int) -> Pod:
    return await called_by_coroutines(action, depth - 1) if depth else action()


def test_a_long_document_is_not_made_shallow_where_it_would_take_long() -> None:
    document = wide_and_deep_pod(12_000)

    def read() -> None:
        with pytest.raises(msgspec.DecodeError):
            decode_pod(document)

    assert seconds(read) < LIMIT
