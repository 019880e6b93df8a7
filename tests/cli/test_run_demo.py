import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from exporter.cli.main import main
from exporter.demo import SHIPPED, load_states


def demo(*flags: str) -> "subprocess.Popen[str]":
    """The demo on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "exporter", "demo", "--web.listen-address", address]
    return subprocess.Popen(
        [*command, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "240"},
    )


def test_once_ends_with_a_complete_table() -> None:
    states = load_states(SHIPPED)
    with demo("--once") as process:
        printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    rows = [line.split("│") for line in printed.splitlines() if line.startswith("│")]
    causes = {row[1].strip().split("/")[-1]: row[5].strip() for row in rows if row[1].strip()}
    assert {state.name for state in states} <= set(causes)
    assert not {"waiting", "unhealthy"} & set(causes.values()), causes
    assert {"healthy", "envoy_stuck", "proxy_not_running"} <= set(causes.values())


def test_it_serves_while_it_shows_and_ends_cleanly_on_ctrl_c() -> None:
    count = len(load_states(SHIPPED)) + 3
    with demo("--targets", str(count)) as process:
        assert process.stdout is not None
        printed = ""
        while " targets: " not in printed:
            line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
            printed += line
        urls = dict(re.findall(r"^(Page|Metrics|API) +(http\S+)$", printed, re.MULTILINE))
        with urllib.request.urlopen(urls["API"], timeout=5) as answer:
            assert json.load(answer)["total"] >= count
        with urllib.request.urlopen(urls["Metrics"], timeout=5) as answer:
            assert b"istio_target_diagnosis{" in answer.read()
        with urllib.request.urlopen(urls["Page"], timeout=5) as answer:
            assert b"static/main.js" in answer.read()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_a_number_of_targets_has_to_be_one(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", f"--targets={number}"])
    assert ended.value.code == 2
    assert "must be a whole number above 0" in capsys.readouterr().err
