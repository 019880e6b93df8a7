"""The file system that every image starts from: Debian trixie with Python 3.13, by debootstrap."""

import hashlib
import subprocess
import tempfile
from pathlib import Path

from tests.cluster.go_programs import cache, is_intact, write_sums

RELEASE = "trixie"
PACKAGES = ("ca-certificates", "iptables", "python3", "python3-venv")
ARCHIVE = f"{RELEASE}.tar"
_UNUSED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "var/log")
# As in the image of the official name, `python` and `pip` lie under /usr/local and not with Debian.
_FINISH = ("python3", "-m", "venv", "/usr/local")


def archive() -> Path:
    """The file system as a tar archive in the cache."""
    return _folder() / ARCHIVE


def is_made() -> bool:
    return is_intact(_folder(), (ARCHIVE,))


def make() -> None:
    """Make the archive; raises CalledProcessError. Takes root."""
    _folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="debootstrap-") as scratch:
        root = Path(scratch) / "root"
        # In namespaces of its own: its mounts and processes are gone when it ends, or we do.
        apart = ("unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child")
        command = ("setpriv", "--pdeathsig", "KILL", *apart, "debootstrap", "--variant=minbase")
        included = f"--include={','.join(PACKAGES)}"
        log = _folder() / "debootstrap.log"
        with log.open("wb") as output:
            subprocess.run(
                (*command, included, RELEASE, str(root), *_mirror()),
                stdout=output,
                stderr=output,
                check=True,
            )
        subprocess.run(("chroot", str(root), *_FINISH), check=True)
        half = _folder() / f".{ARCHIVE}"
        unused = [f"--exclude=./{folder}/*" for folder in _UNUSED]
        subprocess.run(("tar", "-C", str(root), *unused, "-cf", str(half), "."), check=True)
        half.rename(archive())
    write_sums(_folder(), (ARCHIVE,))


def _folder() -> Path:
    recipe = repr((PACKAGES, _FINISH, _UNUSED)).encode()
    return cache() / f"debian-{RELEASE}-{hashlib.sha256(recipe).hexdigest()[:8]}"


def _mirror() -> list[str]:
    """Where this machine's own apt takes Debian from; empty: debootstrap's default."""
    command = ("apt-get", "indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(REPO_URI)")
    rows = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    origins = [row.split() for row in rows]
    return [
        row[2] for row in origins if row[:2] == ["Debian", "main"] and "security" not in row[2]
    ][:1]
