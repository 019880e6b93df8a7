"""The image's Python, for tests that an interpreter can change: `python -m tests.image_python`.

It prints the interpreter's path: the one on PATH, pyenv's, or Debian's own out of the file system
that the cluster's images start from, which then works without being installed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster import debian

VERSION = "3.13"
_NAME = f"python{VERSION}"
_LINKER = "usr/lib64/ld-linux-x86-64.so.2"
_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib")


def main() -> int:
    """Print the path; 1 and a sentence where there is none."""
    if found := on_path() or of_pyenv() or of_debian():
        sys.stdout.write(f"{found}\n")
        return 0
    sys.stderr.write(
        f"No Python {VERSION} found: put {_NAME} on PATH, install it by pyenv, or run as root"
        " on Debian, where debootstrap takes it from Debian.\n"
    )
    return 1


def on_path() -> Path | None:
    """The first one on PATH that runs: pyenv's shim of a version that is off does not."""
    found = shutil.which(_NAME)
    return Path(found) if found and _runs(Path(found)) else None


def of_pyenv() -> Path | None:
    """The newest patch release that pyenv has built."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted(root.glob(f"versions/{VERSION}.*/bin/{_NAME}"), key=_patch)
    return next((path for path in reversed(found) if _runs(path)), None)


def of_debian() -> Path | None:
    """Debian's, unpacked beside its archive; None where it cannot be made."""
    if not debian.is_made():
        if os.geteuid() != 0 or shutil.which("debootstrap") is None:
            return None
        sys.stderr.write("Making Debian's file system for its Python, once ...\n")
        debian.make()
    return unpacked(debian.archive(), debian.archive().with_suffix(""))


def unpacked(archive: Path, root: Path) -> Path | None:
    """Unpack the archive into a folder once, with a start script that needs no chroot."""
    start = root / "usr" / "bin" / f"{_NAME}-here"
    if not start.exists():
        root.mkdir(exist_ok=True)
        # Devices and owners are of no use here.
        only = ("--exclude=./dev/*", "--no-same-owner")
        subprocess.run(("tar", "-C", str(root), *only, "-xf", str(archive)), check=True)
        libraries = ":".join(str(root / folder) for folder in _LIBRARIES)
        # Its own linker and libraries; the name it was called by is what Python finds a
        # virtual environment by.
        command = f'"{root / _LINKER}" --library-path "{libraries}" --argv0 "$0"'
        start.write_text(f'#!/bin/sh\nexec {command} "{root}/usr/bin/{_NAME}" "$@"\n')
        start.chmod(0o755)
    return start if _runs(start) else None


def _patch(path: Path) -> int:
    patch = path.parents[1].name.rpartition(".")[2]
    return int(patch) if patch.isdecimal() else -1


def _runs(python: Path) -> bool:
    question = "import ssl, sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            (str(python), "-c", question), capture_output=True, text=True, check=False
        )
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.strip() == VERSION


if __name__ == "__main__":
    sys.exit(main())
