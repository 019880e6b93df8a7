"""The log's lines parse, whatever stands in them."""

import json
import logging
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cli.log_formats import JsonFormat, Logfmt

PAIR = re.compile(r'(?:^| )([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"=]+)')
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def parsed(line: str) -> dict[str, str]:
    """The pairs of a line of logfmt, all of which has to be pairs."""
    pairs, end = {}, 0
    for pair in PAIR.finditer(line):
        assert pair.start() == end, line
        end = pair.end()
        assert pair[1] not in pairs, line
        pairs[pair[1]] = json.loads(pair[2]) if pair[2][0] == '"' else pair[2]
    assert end == len(line), line
    return pairs


def record(message: str, *values: object, error: Exception | None = None) -> logging.LogRecord:
    trace = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("exporter.x", logging.WARNING, "x.py", 1, message, values, trace)


@pytest.mark.parametrize(
    ("message", "values", "fields"),
    [
        ("stopped", (), {"msg": "stopped"}),
        (
            "listening address=%s version=%s",
            ("127.0.0.1:1", "1.0"),
            {"msg": "listening", "address": "127.0.0.1:1", "version": "1.0"},
        ),
        (
            "cannot see capability=%s reason=%r",
            ("netns", 'no "netns" = none'),
            {"msg": "cannot see", "capability": "netns", "reason": 'no "netns" = none'},
        ),
        (
            "refused, asked again every %d s namespace=%s",
            (600.0, "shop"),
            {"msg": "refused, asked again every 600 s", "namespace": "shop"},
        ),
        ("probe failed port=%d", (15021,), {"msg": "probe failed", "port": 15021}),
        ("somebody else's: %s", ("a=b",), {"msg": "somebody else's: a=b"}),
        ("half full: 50%% of %s x=%s", ("it", 1), {"msg": "half full: 50% of it x=1"}),
        ("was empty=%s", ("",), {"msg": "was", "empty": ""}),
        ("odd msg=%s", ("again",), {"msg": "odd", "msg_": "again"}),
    ],
)
def test_a_message_s_fields_are_fields_of_the_line(
    message: str, values: tuple[object, ...], fields: dict[str, object]
) -> None:
    found = json.loads(JsonFormat().format(record(message, *values)))
    found["msg"] = found.pop("message")
    assert {name: found[name] for name in fields} == fields
    assert set(found) == {"time", "level", "logger", *fields}
    line = parsed(Logfmt().format(record(message, *values)))
    assert {name: line[name] for name in fields} == {n: str(v) for n, v in fields.items()}
    assert re.fullmatch(TIME, line["time"])
    assert datetime.fromisoformat(line["time"]).utcoffset() is not None


@given(st.text(), st.text())
def test_whatever_stands_in_a_value_is_one_line_that_parses(one: str, other: str) -> None:
    written = record("seen one=%s other=%r", one, other)
    line = Logfmt().format(written)
    assert len(line.splitlines()) == 1
    assert (parsed(line)["one"], parsed(line)["other"]) == (one, other)
    found = json.loads(JsonFormat().format(written))
    assert (found["one"], found["other"]) == (one, other)


@given(st.text())
@pytest.mark.parametrize("form", [Logfmt(), JsonFormat()])
@pytest.mark.parametrize("odd", ["", "\x1b[31m", "\x9b31m", "\u202e", "\u2066", "\x85", "\ud800"])
def test_a_line_has_nothing_that_acts_on_a_terminal(
    form: logging.Formatter, odd: str, text: str
) -> None:
    for line in (
        form.format(record("target appeared target=%s", f"{odd}{text}")),
        form.format(record("a %s", f"{text}{odd}")),
    ):
        assert line.isprintable()


def test_a_traceback_is_a_field_of_its_line() -> None:
    with pytest.raises(ValueError, match="invalid") as caught:
        int("a\nb")
    written = record("failed target=%s", "shop/web", error=caught.value)
    line = parsed(Logfmt().format(written))
    assert line["exception"].endswith("with base 10: 'a\\nb'")
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert json.loads(JsonFormat().format(written))["exception"] == line["exception"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_start_with_defaults_says_once_what_is_off_and_warns_of_nothing(
    tmp_path: Path, form: str
) -> None:
    config = tmp_path / "exporter.yaml"
    config.write_text("discovery: {kubernetes: {enabled: false}}\n")
    command = [sys.executable, "-m", "exporter", "serve", f"--config.file={config}"]
    command += ["--web.listen-address=127.0.0.1:0", f"--log.format={form}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as served:
        assert served.stderr
        first = served.stderr.readline()
        time.sleep(0.5)
        served.send_signal(signal.SIGTERM)
        lines = [first, *served.stderr]
    read = json.loads if form == "json" else lambda line: parsed(line.rstrip("\n"))
    found = [read(line) for line in lines]
    assert {one["level"] for one in found} == {"INFO"}
    (off,) = (one for one in found if "capabilities" in one)
    assert off["capabilities"].split(",") == [
        "loopback",
        "netns",
        "application_probes",
        "istiod_certificates",
        "debug_token",
        "webhook_dry_run",
    ]


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_library_warns_of_is_a_line_like_any_other(form: str) -> None:
    program = f"""import warnings
from exporter.cli.log_formats import start_logging
from exporter.config import LogConfig
start_logging(LogConfig(format={form!r}))
warnings.warn("a certificate is odd\\nin two lines")
"""
    written = subprocess.run(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=True
    )
    (line,) = written.stderr.splitlines()
    found = json.loads(line) if form == "json" else parsed(line)
    assert found["level"] == "WARNING"
    assert "a certificate is odd" in found["message" if form == "json" else "msg"]
