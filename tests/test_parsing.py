"""Parsers of untrusted text: any text is a value or None."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.parsing import (
    parse_address,
    parse_host_address,
    parse_number,
    parse_port,
    parse_time,
    parse_version,
    printable,
)
from tests.discovery.untrusted_text import texts


@given(st.one_of(texts, st.text()))
def test_every_parser_takes_any_text(text: str) -> None:
    number, port, version = parse_number(text), parse_port(text), parse_version(text)
    assert number is None or 0 <= number < 10**20
    assert port is None or 1 <= port <= 65535
    assert version is None or max(version) < 10**6
    assert parse_address(text) is None or parse_address(text.strip()) is not None
    assert parse_host_address(text) is None or parse_address(text) is not None
    assert parse_time(text) is None or isinstance(parse_time(text), float)
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("15020", 15020),
        ("\n" + " " * 20 + "15020 ", 15020),
        (15020, 15020),
        ("0", None),
        (0, None),
        (True, None),
        (1.0, None),
        (None, None),
        ("٨٠", None),
        ("+80", None),
        ("8_0", None),
        ("65536", None),
        ("9" * 5000, None),
    ],
)
def test_a_port_is_a_number_from_1_to_65535(text: object, port: int | None) -> None:
    assert parse_port(text) == port
