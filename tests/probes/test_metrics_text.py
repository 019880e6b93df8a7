import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.probes.metrics_text import by_label, is_metrics, sample, samples, total

PAGE = b"""\
# TYPE envoy_server_live gauge
envoy_server_live{} 1
# TYPE envoy_server_live_time gauge
envoy_server_live_time{} 7
istio_agent_xds_proxy_requests 8
istio_agent_scrape_failures_total{type="envoy"} 3
istio_agent_scrape_failures_total{type="application"} 1e+01
pilot_xds{version="1.30.0"} 4
pilot_xds{version="1.29.1"} 2
pilot_xds_pushes{type="cds"} 12
odd{text="a } b \\" c",type="x"} 5 1700000000
nan_one NaN
inf_one +Inf
text_one hello
empty_one
last 9"""

SAMPLES = {
    "empty braces": (b"envoy_server_live", 1.0),
    "no braces": (b"istio_agent_xds_proxy_requests", 8.0),
    "exponent": (b"pilot_xds_pushes", 12.0),
    "braces in a label, and a timestamp": (b"odd", 5.0),
    "last line without an end": (b"last", 9.0),
    "not there": (b"envoy_server", None),
    "only in a comment": (b"gauge", None),
    "not a number": (b"nan_one", None),
    "infinite": (b"inf_one", None),
    "text": (b"text_one", None),
    "no value": (b"empty_one", None),
}


@pytest.mark.parametrize(("name", "value"), SAMPLES.values(), ids=SAMPLES)
def test_finds_exactly_the_named_sample(name: str, value: Any) -> None:
    assert sample(PAGE, name) == value


def test_no_count_is_below_zero() -> None:
    page = b'a -1\na 2\nb{type="x"} -3\n'
    assert sample(page, b"a") == 2
    assert total(page, b"a") == 2
    assert by_label(page, b"b", b"type") == {}
    assert by_label(page, b"b", b"type", signed=True) == {"x": -3}


def test_an_absent_sample_is_the_default() -> None:
    assert sample(PAGE, b"absent", 0.0) == 0.0


def test_groups_by_one_label() -> None:
    assert by_label(PAGE, b"istio_agent_scrape_failures_total", b"type") == {
        "envoy": 3.0,
        "application": 10.0,
    }
    assert by_label(PAGE, b"odd", b"text") == {'a } b \\" c': 5.0}
    assert by_label(PAGE, b"pilot_xds", b"type") == {}


def test_keeps_only_the_known_values_of_a_label() -> None:
    known = frozenset(("envoy", "agent"))
    name = b"istio_agent_scrape_failures_total"
    assert by_label(PAGE, name, b"type", known) == {"envoy": 3.0}


def test_a_line_that_is_too_long_is_no_sample() -> None:
    page = b'a{b="' + b"x" * 4096 + b'"} 1\na{b="y"} 2\na 3' + b" " * 5000
    assert by_label(page, b"a", b"b") == {"y": 2.0}
    assert [value for _, value in samples(page, b"a")] == [2.0]


BIG = 8 * 1024 * 1024
HOSTILE = {
    "one word": b"odd{" + b"x" * BIG,
    "one word and a value": b"odd{" + b"x" * BIG + b"} 1\n",
    "escapes": b'odd{type="' + b"\\" * BIG,
    "quotes": b'odd{type="' + b'="' * (BIG // 2),
    "braces": b"odd{" + b"} " * (BIG // 2),
    "spaces": b"odd{" + b" " * BIG + b"x",
    "the name again and again": b"odd" * (BIG // 3),
    "long lines": (b"odd{" + b"x" * 4000 + b"} 1\n") * (BIG // 4010),
    "short lines": b"\nodd 1" * (BIG // 6),
    "line ends": b"\n" * BIG,
}


@pytest.mark.parametrize("page", HOSTILE.values(), ids=HOSTILE)
def test_no_page_takes_long(page: bytes) -> None:
    started = time.process_time()
    by_label(page, b"odd", b"type")
    sample(page, b"odd")
    is_metrics(page)
    assert time.process_time() - started < 1


def test_adds_up_all_samples_of_a_name() -> None:
    assert total(PAGE, b"pilot_xds") == 6.0
    assert total(PAGE, b"absent") == 0.0


PAGES = {
    "typed": (b"# TYPE a counter\na 1\n", True),
    "bare": (b'a_b{c="d"} 1.5\n', True),
    "html": (b"<html><body>404 1</body></html>", False),
    "text": (b"app /stats/prometheus\n", False),
    "json": (b'{"a": 1}', False),
    "empty": (b"", False),
}


@pytest.mark.parametrize(("page", "expected"), PAGES.values(), ids=PAGES)
def test_tells_metrics_from_other_pages(page: Any, expected: Any) -> None:
    assert is_metrics(page) is expected


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_search(page: Any) -> None:
    for data in (page, PAGE + page, b"odd{" + page, b"odd " + page):
        list(samples(data, b"odd"))
        by_label(data, b"odd", b"type")
        is_metrics(data)
