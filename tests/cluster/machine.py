"""One machine of the cluster: namespaces of its own on this one, so that nothing of it changes.

Its processes see this machine's files. What they write under /etc, /opt, /var and /run is kept
apart; their network, mounts and process numbers are their own. When the machine's first process
ends, the kernel ends all others and removes the mounts and links; and that one ends with us.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cluster.go_programs import PAUSE, cache, program

BRIDGE = "machines"
START_SECONDS = 20.0
STOP_SECONDS = 30.0
# What a kubelet would set for the whole of this machine: it finds its own values there instead.
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
_OVERLAID = ("etc", "opt", "usr/libexec", "var")
# The root is shared among the machine's own mounts alone, as kubelet and containerd need it.
_SETUP = """\
mount --make-rshared /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs {state}
for path in {overlaid}; do
    mkdir -p {state}/upper/$path {state}/work/$path
    mount -t overlay overlay /$path \\
        -o lowerdir=/$path,upperdir={state}/upper/$path,workdir={state}/work/$path
done
mkdir -p /var/lib/kubelet {state}/kubelet
mount --bind {state}/kubelet /var/lib/kubelet
cd {folder}/sysctl
for value in $(find . -type f); do mount --bind $value /proc/sys/$value; done
cd /
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
touch {folder}/ready
exec {init}
"""


def logs() -> Path:
    """The logs of the last cluster, by machine and program."""
    return cache() / "logs"


class Machine:
    """Namespaces, a folder, and the programs that run there. Use `start` and `stop`."""

    def __init__(self, folder: Path, name: str, address: str) -> None:
        self.folder = folder
        self.name = name
        self.address = address
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._holder: subprocess.Popen[bytes] | None = None
        self.pid = 0
        self.logs = logs() / name
        self.logs.mkdir(parents=True, exist_ok=True)

    @property
    def state(self) -> Path:
        """A folder in memory that only the machine sees: to leave a disk takes a sync of it."""
        return self.folder / "state"

    def start(self) -> None:
        """Make the namespaces; the machine has no link yet but its loopback."""
        self._write_sysctls()
        self.state.mkdir()
        script = _SETUP.format(
            folder=self.folder,
            state=self.state,
            overlaid=" ".join(_OVERLAID),
            init=program(*PAUSE.programs),
        )
        namespaces = ("--net", "--mount", "--pid", "--propagation", "private", "--mount-proc")
        command = ("unshare", *namespaces, "--fork", "--kill-child", "sh", "-ec", script)
        self._holder = self._spawn("machine", *command)
        self._await((self.folder / "ready").exists, "machine")
        self.pid = _child(self._holder.pid)

    def stop(self) -> None:
        """End every process of the machine; its namespaces go with the last."""
        if self._holder:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid or self._holder.pid, signal.SIGKILL)
        for process in (*self._processes.values(), *filter(None, [self._holder])):
            process.kill()
            process.wait()
        self._processes.clear()
        self._holder = None

    def run(self, name: str, *command: object, environ: Mapping[str, str] | None = None) -> None:
        """Start a program; its output goes to `log(name)`."""
        settings = [f"{key}={value}" for key, value in (environ or {}).items()]
        self._processes[name] = self._spawn(
            name, *self._enter(), "env", *settings, *map(str, command)
        )

    def end(self, name: str) -> None:
        """End one program and wait for it."""
        process = self._processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(_child(process.pid), signal.SIGTERM)
        process.wait(STOP_SECONDS)

    def execute(self, *command: object, text: str = "") -> str:
        """Run a command to its end and return its output."""
        line = (*self._enter(), *map(str, command))
        done = subprocess.run(line, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(map(str, command))}: {done.stderr.strip()}")
        return done.stdout

    def log(self, name: str) -> Path:
        """Where a program's output is; it outlives the machine."""
        return self.logs / f"{name}.log"

    def check(self) -> None:
        """Raise where a program has ended by itself."""
        holder = {"machine": self._holder} if self._holder else {}
        for name, process in {**holder, **self._processes}.items():
            assert process.poll() is None, f"{name} of {self.name} ended:\n{self._tail(name)}"

    def await_file(self, name: str, path: str) -> None:
        """Wait for a file or socket that a program makes; `path` is the machine's."""
        inside = Path(f"/proc/{self.pid}/root") / path.lstrip("/")
        self._await(inside.exists, name)

    def attach(self, other: "Machine") -> None:
        """Link another machine to this one's bridge, and give it its address."""
        link_end = ("peer", "name", "eth0", "netns", str(other.pid))
        _ip("link", "add", "name", other.name, "netns", str(self.pid), "type", "veth", *link_end)
        self.execute("ip", "link", "set", other.name, "master", BRIDGE, "up")
        other.execute("ip", "addr", "add", f"{other.address}/24", "dev", "eth0")
        other.execute("ip", "link", "set", "eth0", "up")

    def make_bridge(self, host: str, host_address: str) -> None:
        """The network of all machines, with a link to this one named `host`."""
        self.execute("ip", "link", "add", BRIDGE, "type", "bridge")
        self.execute("ip", "addr", "add", f"{self.address}/24", "dev", BRIDGE)
        self.execute("ip", "link", "set", BRIDGE, "up")
        link_end = ("peer", "name", "host", "netns", str(self.pid))
        _ip("link", "add", "name", host, "type", "veth", *link_end)
        self.execute("ip", "link", "set", "host", "master", BRIDGE, "up")
        _ip("addr", "add", f"{host_address}/24", "dev", host)
        _ip("link", "set", host, "up")

    def _enter(self) -> tuple[str, ...]:
        return ("nsenter", "--target", str(self.pid), "--net", "--mount", "--pid")

    def _spawn(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with self.log(name).open("ab") as log:
            return subprocess.Popen(
                ("setpriv", "--pdeathsig", "KILL", *command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _write_sysctls(self) -> None:
        for name, value in SYSCTLS.items():
            path = self.folder / "sysctl" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value)

    def _await(self, happened: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not happened():
            self.check()
            assert time.monotonic() < deadline, self._tail(name)
            time.sleep(0.05)

    def _tail(self, name: str) -> str:
        log = self.log(name)
        return f"read {log}, which ends:\n{log.read_text(errors='replace')[-2000:]}"


def remove_link(name: str) -> None:
    """Remove a link of this one's: the kernel takes its time to remove it with a namespace."""
    subprocess.run(("ip", "link", "delete", name), capture_output=True, check=False)


def _child(pid: int) -> int:
    """The process that a program of util-linux has forked."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert children, f"process {pid} has no child"
    return int(children[0])


def _ip(*arguments: str) -> None:
    done = subprocess.run(("ip", *arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
