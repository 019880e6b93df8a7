"""The exporter under test, from outside: its command, and `serve` over HTTP."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.processes import Failed, free_port, running, wait_for_port

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120.0
_SECONDS_OF_A_REQUEST = 30
_PLAIN = {"COLUMNS": "400", "TERM": "dumb", "NO_COLOR": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def program(checkout: Path) -> Path:
    """The console script in the virtual environment of a checkout; raises Failed."""
    script = checkout.resolve() / ".venv" / "bin" / "istio-port-exporter"
    if not script.exists():
        raise Failed(f"there is no {script}: run `make .venv/.run` in {checkout}")
    return script


def plain_environment() -> dict[str, str]:
    """An environment in which output is the same on every terminal, without a cluster."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, **_PLAIN, "KUBECONFIG": "/nonexistent"}


def run(script: Path, *arguments: object) -> str:
    """The exit code and both outputs of a command that ends by itself, run from the root."""
    ended = subprocess.run(
        [str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
    )
    return f"exit code {ended.returncode}\n{ended.stdout}{_headed(ended.stderr)}"


def _headed(errors: str) -> str:
    return f"standard error:\n{errors}" if errors else ""


@dataclass(frozen=True, slots=True)
class Served:
    """`serve` at work on a port of loopback."""

    port: int

    def ask(self, path: str, method: str = "GET") -> tuple[int, str, str]:
        """Status, content type and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS_OF_A_REQUEST)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            kind = answer.headers.get("content-type", "")
            return answer.status, kind, answer.read().decode("utf-8")
        finally:
            connection.close()

    def document(self, path: str) -> dict[str, object]:
        """The JSON at a path; raises Failed where there is none."""
        status, _, body = self.ask(path)
        if status != 200:
            raise Failed(f"{path} answers {status}: {body[:200]}")
        found: dict[str, object] = json.loads(body)
        return found

    def targets(self) -> list[dict[str, object]]:
        """The documents of all targets."""
        found = self.document("/api/v1/targets?limit=500")
        targets: list[dict[str, object]] = found["targets"]  # type: ignore[assignment]
        return targets

    def wait_for_polls(self) -> None:
        """Wait until each target was looked at, at every cadence, since now; raises Failed."""
        since = time.time()
        give_up = since + PATIENCE_SECONDS
        late: list[object] = []
        while time.time() < give_up:
            rows = self.targets()
            late = [row["pod"] for row in rows if not _is_polled(row, since)]
            if rows and not late:
                return
            time.sleep(1)
        raise Failed(f"not polled within {PATIENCE_SECONDS:g} s: {late}")


def _is_polled(row: dict[str, object], since: float) -> bool:
    polled: dict[str, float] = row["polled"]  # type: ignore[assignment]
    return bool(polled) and min(polled.values()) > since


@contextmanager
def serving(script: Path, config: Path) -> Iterator[Served]:
    """Run `serve` until the end."""
    port = free_port()
    flags = (f"--web.listen-address=127.0.0.1:{port}", "--web.enable-lifecycle")
    command = ("env", "-i", *(f"{name}={value}" for name, value in plain_environment().items()))
    log = config.with_suffix(".log")
    with running(log, *command, script, "serve", "--config.file", config, *flags):
        wait_for_port(port)
        yield Served(port)
