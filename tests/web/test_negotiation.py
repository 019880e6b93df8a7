from typing import Any

import pytest

from exporter.web.negotiation import accepts_gzip, choose_format

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("application/json", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        ("application/openmetrics-text", OPEN),
        ("application/openmetrics-text; version=1.0.0", OPEN),
        ("application/openmetrics-text; version=0.0.1", TEXT),
        ("application/openmetrics-text; version=2.0.0,text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.9", TEXT),
        ("text/plain;q=0.2, application/openmetrics-text;q=0.9", OPEN),
        ("text/plain, application/openmetrics-text", OPEN),
        ("application/openmetrics-text, text/plain", OPEN),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=nonsense", TEXT),
        ("Application/OpenMetrics-Text; Version=1.0.0", OPEN),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
            OPEN + "; escaping=allow-utf-8",
        ),
        ('text/plain;version="0.0.4";escaping=bogus', TEXT),
        (";;,,=;q", TEXT),
    ],
)
def test_the_format_follows_the_accept_header(accept: str, content_type: str) -> None:
    chosen = choose_format(accept)
    assert chosen.content_type == content_type
    assert chosen.openmetrics is content_type.startswith("application/")


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("*", True),
        ("*;q=1, gzip;q=0", False),
        ("identity", False),
        ("GZIP", True),
    ],
)
def test_gzip_is_used_only_where_it_is_accepted(header: str, accepted: Any) -> None:
    assert accepts_gzip(header) is accepted
