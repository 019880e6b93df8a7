"""Make the cluster's parts, each once, into a cache outside the tree: `make cluster-assets`.

Run by the virtual environment's Python, as root on Debian, with Go.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

from tests.cluster import debian, sources
from tests.cluster.go_programs import MODULES, GoModule, cache, is_intact, write_sums
from tests.real.kubernetes.assets import say

Part = tuple[str, Callable[[], bool], Callable[[str], None]]


def parts() -> list[Part]:
    """Each part's label, whether it is made, and how it is made with Go."""
    return [
        ("Debian's file system", debian.is_made, lambda _go: debian.make()),
        *((module.label, *_steps(module)) for module in MODULES),
        ("Istio's charts", sources.is_made, sources.make),
    ]


def missing() -> list[str]:
    """The labels of the parts that are not made, by what their folders hold."""
    return [label for label, is_made, _ in parts() if not is_made()]


def main() -> int:
    """Make what is missing; report what is not, and why."""
    go = shutil.which("go")
    lack = "" if go else "no Go"
    lack = lack if os.geteuid() == 0 else "needs root"
    for label, is_made, make in parts():
        if is_made():
            continue
        if lack or not go:
            say(f"Not made: {label} ({lack}); the tests that use the cluster will report it.")
            continue
        say(f"Making {label} once, into {cache()} ...")
        began = time.monotonic()
        try:
            make(go)
        except (subprocess.CalledProcessError, OSError) as error:
            say(f"{label} was not made: {error}")
            return 1
        say(f"{label}: {time.monotonic() - began:.0f} s")
    return 0


def _steps(module: GoModule) -> tuple[Callable[[], bool], Callable[[str], None]]:
    def make(go: str) -> None:
        module.build(go)
        write_sums(module.folder, module.programs)

    return lambda: is_intact(module.folder, module.programs), make


if __name__ == "__main__":
    sys.exit(main())
