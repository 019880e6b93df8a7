"""A log that nobody reads holds nothing up."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from exporter.cli.log_writer import LogWriter

LINE = "x" * 100
SECONDS = 0.5


def test_lines_that_nobody_reads_wait_or_are_lost() -> None:
    reading, writing = os.pipe()
    writer = LogWriter(writing)
    began = time.thread_time()
    for number in range(20_000):
        writer.put(f"{number} {LINE}")
    assert time.thread_time() - began < SECONDS
    with os.fdopen(reading) as reader:
        for number in range(10_000):
            assert reader.readline() == f"{number} {LINE}\n"
        writer.put("the last")
        while (line := reader.readline()) != "the last\n":
            assert line.endswith(f" {LINE}\n")
    os.close(writing)


def test_a_log_without_a_reader_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with LogWriter(writing) as writer:
        for _ in range(3):
            writer.put(LINE)
    os.close(writing)


def test_the_exporter_ends_although_nobody_reads_its_log(tmp_path: Path) -> None:
    """A reload that fails writes a line, and so many fill the pipe."""
    file = tmp_path / "exporter.yaml"
    file.write_text(
        "discovery: {kubernetes: {enabled: false}}\nweb: {listen_address: '127.0.0.1:0'}\n"
    )
    command = [sys.executable, "-m", "exporter", "serve", "--config.file", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        while "listening" not in process.stderr.readline():
            pass
        file.write_text("".join(f"{'x' * 600}{number}: 1\n" for number in range(200)))
        process.send_signal(signal.SIGHUP)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
