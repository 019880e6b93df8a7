"""What the README's `make demo` really runs."""

import os
import re
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


def test_every_part_of_continuous_integration_is_a_target_and_prints_its_time() -> None:
    root = Path(__file__).parent.parent
    script = (root / ".ci" / "run").read_text()
    (parts,) = re.findall(r"^for target in (.+?); do", script, re.MULTILINE)
    command = ["make", "--dry-run", "--no-print-directory", "lint", *parts.split()]
    subprocess.run(command, cwd=root, capture_output=True, check=True)
    assert {"test", "test-slow", "test-cluster"} <= set(parts.split())
    assert "$((SECONDS - began)) s" in script
