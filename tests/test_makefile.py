"""What the README's `make demo` really runs."""

import os
import subprocess
from pathlib import Path

import pytest


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
        cwd=Path(__file__).parent.parent,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    program, *arguments = plan.stdout.splitlines()[-1].split()
    assert program.endswith("istio-port-exporter")
    assert arguments == command
