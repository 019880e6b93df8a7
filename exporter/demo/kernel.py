"""The few Linux calls that Python 3.11 does not have: namespaces, names, deaths of parents."""

import ctypes
import os
import shutil
import signal
import subprocess
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_CLONE_NEWNET = 0x40000000
_CLONE_NEWUSER = 0x10000000
_CAP_NET_ADMIN = 12
_CAP_SYS_ADMIN = 21

_libc = ctypes.CDLL(None, use_errno=True)


def set_name(name: str) -> None:
    """Name this process, as `ss -p` and `ps` show it (15 bytes)."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def die_with(parent: int) -> None:
    """End this process when its parent ends, however that ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def leave_network() -> None:
    """Move this process into a network namespace of its own; raises OSError."""
    _unshare(_CLONE_NEWNET)


def _unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def tool(name: str) -> str:
    """The path of a command; an ordinary user's PATH lacks the folders of some."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return found


def can_build_networks() -> bool:
    """Whether this process may make namespaces, links and rules, and has the commands."""
    return not why_no_networks()


def why_no_networks() -> str:
    """What this process lacks to make namespaces, links and rules; empty where it lacks nothing."""
    for name in ("ip", "iptables-restore"):
        try:
            tool(name)
        except FileNotFoundError as missing:
            return str(missing)
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return "this system is no Linux"
    line = next((row for row in status.splitlines() if row.startswith("CapEff:")), "CapEff: 0")
    effective = int(line.split()[1], 16)
    if all(effective >> bit & 1 for bit in (_CAP_NET_ADMIN, _CAP_SYS_ADMIN)):
        return ""
    if os.geteuid():
        return "this user may make no network namespaces, and is not root"
    return "root lacks CAP_NET_ADMIN or CAP_SYS_ADMIN here"


def enter_own_network() -> bool:
    """As an ordinary user, move into a user and network namespace of one's own.

    Call it before any thread starts and after binding what the outside has to reach: sockets
    stay where they were made. False, and nothing changed, where the kernel does not allow it.
    """
    child = os.fork()
    if not child:
        os._exit(not _tries_to_enter())
    allowed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return allowed and _tries_to_enter()


def _tries_to_enter() -> bool:
    user, group = os.getuid(), os.getgid()
    try:
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
        subprocess.run(  # noqa: S603 - our own command
            (tool("ip"), "link", "set", "lo", "up"), check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
