import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from exporter.demo import SHIPPED, load_states

RUN = Path(__file__).with_name("run.py")


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.real
def test_every_shipped_state_is_judged_right_in_both_views() -> None:
    done = run(SHIPPED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "66 of 66 verdicts are right" in done.stdout


IN_IPV6 = (
    "healthy",
    "gateway-healthy",
    "redirection-missing",
    "app-holds-15021",
    "istiod-down-while-running",
)


@pytest.mark.real
def test_a_state_whose_sockets_are_ipv6_is_replayed_on_ipv6(tmp_path: Path) -> None:
    rows = yaml.safe_load((SHIPPED / "index.yaml").read_text())
    rows = [row for row in rows if row["name"] in IN_IPV6]
    for row in rows:
        folder = tmp_path / row["name"]
        shutil.copytree(SHIPPED / row["name"], folder)
        table = (folder / "sockets.txt").read_text()
        table = table.replace(" 0.0.0.0:", " [::]:").replace(" 127.0.0.1:", " [::1]:")
        (folder / "sockets.txt").write_text(table)
    (tmp_path / "index.yaml").write_text(yaml.safe_dump(rows))
    assert all(state.is_ipv6 for state in load_states(tmp_path))
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2 * len(IN_IPV6)} of {2 * len(IN_IPV6)} verdicts are right" in done.stdout


@pytest.mark.real
def test_what_was_recorded_outranks_an_index_that_leaves_it_open(tmp_path: Path) -> None:
    rows = yaml.safe_load((SHIPPED / "index.yaml").read_text())
    (row,) = (row for row in rows if row["name"] == "healthy")
    shutil.copytree(SHIPPED / "healthy", tmp_path / "healthy")
    for up, status in (({15090: None, 15000: None}, 0), ({15006: None}, 1), ({15090: 0}, 1)):
        changed = {**row, "up": {**row["up"], **up}, "pod_view": {"up": {}}}
        (tmp_path / "index.yaml").write_text(yaml.safe_dump([changed]))
        done = run(tmp_path)
        assert done.returncode == status, done.stdout


def test_the_shipped_states_are_not_of_ipv6_alone() -> None:
    assert not any(state.is_ipv6 for state in load_states(SHIPPED))


@pytest.mark.real
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    assert "cannot replay" in done.stdout
