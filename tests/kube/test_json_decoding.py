"""Documents of any depth are decoded."""

import json

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
    found = [decode_pod(item).metadata.name for item in page.items or ()]
    assert (page.metadata.resource_version, found) == ("7", ["a", "b", "c"])
    event = event_of(b'{"type":"ADDED","object":%s}' % deep_pod("b", levels))
    assert event is not None
    assert metadata_of(event.document).name == "b"


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
