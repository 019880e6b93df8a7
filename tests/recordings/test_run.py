import subprocess
import sys
from pathlib import Path

import pytest

from exporter.demo import SHIPPED

RUN = Path(__file__).with_name("run.py")


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.real
def test_every_shipped_state_is_judged_right_in_both_views() -> None:
    done = run(SHIPPED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "62 of 62 verdicts are right" in done.stdout


@pytest.mark.real
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    assert "cannot replay" in done.stdout
