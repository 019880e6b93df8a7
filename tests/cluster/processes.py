"""The processes of a pod, as this machine sees them: by their control group and program."""

import os
import signal
import subprocess
from pathlib import Path

from tests.real.kubernetes.client import Document

AGENT, ENVOY, ISTIOD = "pilot-agent", "envoy", "pilot-discovery"


def process_of(pod: Document, program: str) -> int:
    """The number of the process that runs a program in a pod; it has to be there."""
    uid = pod["metadata"]["uid"]
    for folder in Path("/proc").iterdir():
        try:
            is_there = folder.name.isdigit() and uid in (folder / "cgroup").read_text()
            if is_there and (folder / "comm").read_text().strip() == program:
                return int(folder.name)
        except OSError:  # it has ended
            continue
    raise AssertionError(f"no {program} in pod {pod['metadata']['name']}")


def stop(pod: Document, *programs: str) -> None:
    """Let programs do nothing from now on."""
    for program in programs:
        os.kill(process_of(pod, program), signal.SIGSTOP)


def run_inside(pod: Document, *command: str, program: str = AGENT) -> None:
    """Run a command of the image of one of the pod's programs in the pod's network."""
    where = ("nsenter", "--target", str(process_of(pod, program)), "--net", "--mount")
    done = subprocess.run((*where, *command), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
