"""What the README's `make demo` and continuous integration really run."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("given", "command"),
    [
        pytest.param([], ["demo"], id="as it comes"),
        pytest.param(["TARGETS=40"], ["demo", "--targets", "40"], id="grown"),
    ],
)
def test_make_demo_runs_the_demo(given: list[str], command: list[str]) -> None:
    plan = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "demo", *given],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    program, *arguments = plan.stdout.splitlines()[-1].split()
    assert program.endswith("istio-port-exporter")
    assert arguments == command


MAKE = """#!/bin/sh
echo "$*" >>"$ASKED"
case " $FAILING " in *" $(echo "$*" | tr ' ' +) "*) exit 2 ;; esac
"""
AGAIN = "PYTEST_OPTIONS=--last-failed"
BEGINNING = ["lint", "test-assets", "test"]
REST = ["test-slow", "test-image-python", "test-cluster"]


def continuous_integration(folder: Path, *failing: str) -> tuple[list[str], str, int]:
    """What `.ci/run` asks make for, but for what it has made meanwhile; its report and its code."""
    make, asked = folder / "make", folder / "asked"
    make.write_text(MAKE)
    make.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    settings = {"PATH": path, "ASKED": str(asked), "FAILING": " ".join(failing)}
    done = subprocess.run(
        ("bash", ROOT / ".ci" / "run"),
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    parts = [line for line in asked.read_text().splitlines() if line != "cluster-assets"]
    return parts, done.stdout, done.returncode


def test_continuous_integration_runs_every_part_and_prints_its_time(tmp_path: Path) -> None:
    parts, report, code = continuous_integration(tmp_path)
    assert (parts, code) == ([*BEGINNING, *REST], 0)
    assert "cluster-assets" in (tmp_path / "asked").read_text().split()
    for part in parts:
        assert re.search(rf"^make {part}: passed, \d+ s$", report, re.MULTILINE)
    assert re.search(r"^all parts: \d+ s$", report, re.MULTILINE)
    command = ["make", "--dry-run", "--no-print-directory", *parts, "cluster-assets"]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)


def test_tests_that_fail_get_two_more_tries_which_the_report_shows(tmp_path: Path) -> None:
    parts, report, code = continuous_integration(tmp_path, "test")
    assert (parts, code) == ([*BEGINNING, f"test {AGAIN}", *REST], 0)
    assert "make test: failed," in report


@pytest.mark.parametrize(
    ("failing", "parts"),
    [
        (["lint"], ["lint"]),
        (["test-assets"], ["lint", "test-assets"]),
        (["test", f"test+{AGAIN}"], [*BEGINNING, f"test {AGAIN}", f"test {AGAIN}"]),
    ],
)
def test_what_fails_for_good_ends_it(failing: list[str], parts: list[str], tmp_path: Path) -> None:
    assert continuous_integration(tmp_path, *failing)[::2] == (parts, 1)
