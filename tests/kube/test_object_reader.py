"""Malformed objects are skipped one by one."""

import pytest

from exporter.kube.json_decoding import Json
from exporter.kube.object_reader import ObjectReader


@pytest.mark.parametrize(
    "error", [ValueError("x"), RecursionError(), MemoryError(), KeyError("x")], ids=repr
)
def test_a_malformed_object_is_skipped_and_logged_once_with_its_name(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def read(_document: Json) -> object:
        raise error

    refused: list[str] = []
    reader = ObjectReader(refused.append)
    for name in ("cart", "cart", "vault"):
        document = b'{"metadata":{"name":"%s","namespace":"shop"}}' % name.encode()
        assert reader.read("pods", document, read) is None
    assert reader.read("pods", b"[1", read) is None
    assert refused == ["pods"] * 4
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(" reason=")[0] for line in lines] == [
        f"object left out resource=pods namespace={space!r} name={name!r}"
        for space, name in (("shop", "cart"), ("shop", "vault"), ("", ""))
    ]


def test_a_name_of_a_megabyte_is_logged_in_short(caplog: pytest.LogCaptureFixture) -> None:
    document = b'{"metadata":{"name":"%s"}}' % (b"x" * 2**20)
    assert ObjectReader().read("pods", document, lambda _document: int("x")) is None
    assert max(len(record.getMessage()) for record in caplog.records) < 1000
