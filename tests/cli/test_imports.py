"""What each command costs at its start: modules and processor time."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cpu_time import slowness

HEAVY = (
    "aiohttp",
    "h2",
    "importlib.metadata",
    "kubernetes",
    "prometheus_client",
    "uvloop",
    "exporter.demo",
)
"""What polling and serving need, and what a constant does as well."""

CATALOGUE = ("asyncio", "rich", "yaml")
"""What nothing that is printed of the catalogue needs."""

LIGHT = {
    "--version": ("msgspec", "dataclasses", *CATALOGUE),
    "--help": ("msgspec", "dataclasses", *CATALOGUE),
    "explain 15021": CATALOGUE,
    "explain 15021 -o json": CATALOGUE,
    "explain IstioProxyFault": CATALOGUE,
    "ports -o json": CATALOGUE,
    "ports -o markdown": CATALOGUE,
    "ports": ("asyncio", "yaml"),
    "config check": CATALOGUE,
    "config check --web.config.file {folder}/web.yaml": ("asyncio", "rich"),
    "serve --help": CATALOGUE,
}
"""Commands that poll nothing, with what else none of their modules may import."""

MOST_SECONDS = 0.25
"""More than a start without anything, in processor time; measured: 0.02 to 0.16."""

TABLE_SECONDS = 0.05
"""What rich takes beside; measured: 0.04."""

_REPORT = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(list(sys.modules)), file=sys.stderr))
sys.argv = ["istio-port-exporter", *sys.argv[1:]]
from exporter.cli.main import main
sys.exit(main())
"""


def words_of(command: str, folder: Path) -> list[str]:
    (folder / "web.yaml").write_text("basic_auth_users: {}\n")
    return command.format(folder=folder).split()


@pytest.mark.parametrize("command", LIGHT)
def test_a_command_that_polls_nothing_imports_nothing_of_polling(
    command: str, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _REPORT, *words_of(command, tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(json.loads(ended.stderr.splitlines()[-1]))
    assert imported.isdisjoint({*HEAVY, *LIGHT[command]})


def processor_seconds(*command: str) -> float:
    """The least of three runs: what else runs on the machine only adds."""
    least = float("inf")
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        least = min(least, used)
    return least


@pytest.mark.alone
@pytest.mark.parametrize("command", LIGHT)
def test_a_command_that_polls_nothing_starts_quickly(command: str, tmp_path: Path) -> None:
    words = words_of(command, tmp_path)
    most = MOST_SECONDS if "rich" in LIGHT[command] else MOST_SECONDS + TABLE_SECONDS
    used = processor_seconds("-m", "exporter", *words) - processor_seconds("-c", "")
    assert used < most or used < most * slowness()
