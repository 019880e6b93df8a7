"""Programs that a test starts: on a loopback address of their own, until the block ends."""

import contextlib
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import yaml


def free_address() -> str:
    """A loopback address with a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def serving(output: Path, address: str, *command: object) -> Iterator[None]:
    """Run a server until it accepts connections; end it cleanly afterwards."""
    host, port = address.split(":")
    with output.open("wb") as written:
        process = subprocess.Popen([str(part) for part in command], stdout=written, stderr=written)

    def accepts() -> bool:
        assert process.poll() is None, output.read_text()[-2000:]
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return True
        return False

    try:
        wait_for(accepts, f"{command[0]} on {address}")
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, output.read_text()[-2000:]
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def scraping(exporter: str, folder: Path, labels: Mapping[str, str] | None = None) -> Iterator[str]:
    """A Prometheus that scrapes this address every second; its own address.

    It honours the samples' labels, unless there are labels of the target: these then win.
    """
    job = {
        "job_name": "istio-ports",
        "honor_labels": not labels,
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "static_configs": [{"targets": [exporter], "labels": dict(labels or {})}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    address = free_address()
    command = (
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
    )
    with serving(folder / "out", address, *command):
        yield address


def wait_for(happened: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """Poll until it is true."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)


def fetch(url: str) -> bytes | None:
    """The body of a GET; None when it was no 200."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()
    return None
