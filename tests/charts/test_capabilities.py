"""A DaemonSet's capabilities are what it takes to see a pod from inside, each for its reason."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.charts.render import ROOT, pod_specs, render

POD = """
import fcntl, os, socket, struct
any_socket = socket.socket()
fcntl.ioctl(any_socket.fileno(), 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))
listener = socket.create_server(("127.0.0.1", 15000))
listener.set_inheritable(True)
print(os.getpid(), flush=True)
os.execvp("setpriv", ["setpriv", "--reuid=1337", "--regid=1337", "--clear-groups", "cat"])
"""
"""Listens on loopback in its own namespace, then goes on as istio-proxy's user until stdin ends."""

LOOK = """
import asyncio, sys
from exporter.access.dialer import NoAccess
from exporter.access.netns import Netns

async def look(pid):
    inside = Netns(pid, "127.0.0.1")
    try:
        await inside.connect(15000, asyncio.Protocol)
    except NoAccess as error:
        return str(error)
    table = await inside.sockets()
    return ", ".join(f"{row.port} {row.process}" for row in table.listening)

print(asyncio.run(look(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def pod() -> Iterator[str]:
    """A process of istio-proxy's user in a network namespace of its own: its id."""
    with subprocess.Popen(
        ["unshare", "--net", sys.executable, "-c", POD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdin
        pid = process.stdout.readline().strip()
        process.stdin.write("changed\n")
        process.stdin.flush()
        assert process.stdout.readline() == "changed\n", "it has become the other user's program"
        yield pid
        process.stdin.close()


def seen(pid: str, capabilities: set[str]) -> str:
    """What the exporter's access sees of the pod with these capabilities and no others."""
    bounding = ",".join(["-all", *(f"+{name.lower()}" for name in sorted(capabilities))])
    return subprocess.run(
        [
            "setpriv",
            f"--bounding-set={bounding}",
            "--no-new-privs",
            sys.executable,
            "-c",
            LOOK,
            pid,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def granted() -> set[str]:
    inside, _ = pod_specs(render({"mode": "daemonset"}))
    (container,) = inside["containers"]
    return set(container["securityContext"]["capabilities"]["add"])


@pytest.mark.real("setpriv", "unshare")
def test_with_them_the_pod_is_seen_from_inside(pod: str) -> None:
    assert seen(pod, granted()) == "15000 cat"


@pytest.mark.real("setpriv", "unshare")
@pytest.mark.parametrize(
    ("without", "message"),
    [
        pytest.param("SYS_ADMIN", "cannot be entered: Operation not permitted", id="enter"),
        pytest.param("SYS_PTRACE", "cannot be entered: Permission denied", id="open"),
        pytest.param("DAC_READ_SEARCH", "15000", id="name the owner of a socket"),
    ],
)
def test_without_one_something_is_lost(pod: str, without: str, message: str) -> None:
    found = seen(pod, granted() - {without})

    assert message in found
    assert found != "15000 cat"
