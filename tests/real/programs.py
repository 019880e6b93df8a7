"""Programs that a test starts: on a loopback address of their own, until the block ends."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
def exporting(folder: Path, config: object, address: str) -> Iterator[None]:
    """The exporter's `serve` with this configuration, from its first complete pass on."""
    file = folder / "exporter.yaml"
    file.write_text(yaml.safe_dump(config))
    program = Path(sys.executable).parent / "istio-port-exporter"
    flags = ("--config.file", file, "--web.listen-address", address)
    with serving(folder / "exporter.out", address, program, "serve", *flags):
        wait_for(lambda: fetch(f"http://{address}/-/ready") is not None, "the first pass", 40)
        yield


@contextlib.contextmanager
def handling(address: str, handler: type[BaseHTTPRequestHandler]) -> Iterator[None]:
    """Hand requests to a handler, which logs none of them, until the block ends."""
    quiet = type("Quiet", (handler,), {"log_message": lambda *_: None})
    host, port = address.split(":")
    with ThreadingHTTPServer((host, int(port)), quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def wait_for(happened: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """Poll until it is true."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)


def fetch(url: str, seconds: float = 5) -> bytes | None:
    """The body of a GET; None when it was no 200."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=seconds) as answer:
        return answer.read()
    return None
