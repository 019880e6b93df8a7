"""One pod's network: a namespace, a veth pair to the root namespace, Istio's inbound rules.

The rules are those of Istio tools/istio-iptables/pkg/capture/run.go (`Run`,
`handleInboundPortsInclude`) for REDIRECT and included ports `*`.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = "ipe"
EXCLUDED = (15090, 15021, 15020)
RULES = """\
*nat
:ISTIO_INBOUND - [0:0]
:ISTIO_IN_REDIRECT - [0:0]
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN
{excluded}
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
COMMIT
"""
FLUSH = "*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"


@dataclass(slots=True)
class Network:
    """A pod's namespace and its addresses, one for each family (4, 6)."""

    families: tuple[int, ...] = (4,)
    name: str = ""
    number: int = 0
    addresses: dict[int, str] = field(default_factory=dict)
    gateways: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take the first free number of this machine, and build the namespace on it."""
        self.number = _take_number()
        self.name = f"{PREFIX}-{os.getpid()}-{self.number}"
        host = f"{PREFIX}{self.number}"
        run("ip", "netns", "add", self.name)
        self.folder.mkdir()
        run("ip", "link", "set", f"{host}p", "netns", self.name, "name", "eth0")
        self.addresses = {4: f"10.213.{self.number}.2", 6: f"fd00:213:{self.number:x}::2"}
        self.gateways = {4: f"10.213.{self.number}.1", 6: f"fd00:213:{self.number:x}::1"}
        inside = ["link set lo up", "link set eth0 up", "addr add ::6/128 dev lo"]
        outside = [f"link set {host} up"]
        for family in self.families:
            size, more = ("30", "") if family == 4 else ("64", " nodad")
            inside.append(f"addr add {self.addresses[family]}/{size} dev eth0{more}")
            outside.append(f"addr add {self.gateways[family]}/{size} dev {host}{more}")
        run("ip", "-n", self.name, "-batch", "-", text="\n".join(inside))
        run("ip", "-batch", "-", text="\n".join(outside))
        self.addresses = {family: self.addresses[family] for family in self.families}

    @property
    def folder(self) -> Path:
        """Where the pod's files are; gone with the namespace."""
        return folder_of(self.name)

    def capture(self, family: int) -> None:
        """Redirect inbound connections of this family to 15006, as Istio does."""
        excluded = "\n".join(f"-A ISTIO_INBOUND -p tcp --dport {p} -j RETURN" for p in EXCLUDED)
        self._restore(family, RULES.format(excluded=excluded))

    def release(self) -> None:
        """Take the redirection away."""
        for family in self.families:
            self._restore(family, FLUSH)

    def drop(self, *ports: int) -> None:
        """Drop what comes from outside to these ports; to any port if none is named."""
        match = [f"-p tcp --dport {port}" for port in ports] or [""]
        # Before redirection, so that a redirected connection still counts as to its own port.
        rows = "\n".join(f"-A PREROUTING -i eth0 {row} -j DROP" for row in match)
        for family in self.families:
            self._restore(family, f"*raw\n{rows}\nCOMMIT\n")

    def reject(self, *ports: int) -> None:
        """Answer what comes from outside to these ports with ICMP; to any port if none is named."""
        match = [f"-p tcp --dport {port}" for port in ports] or ["-p tcp"]
        rows = "\n".join(f"-A INPUT -i eth0 {row} -j REJECT" for row in match)
        for family in self.families:
            self._restore(family, f"*filter\n{rows}\nCOMMIT\n")

    def _restore(self, family: int, rules: str) -> None:
        tool = "iptables-restore" if family == 4 else "ip6tables-restore"
        run("ip", "netns", "exec", self.name, tool, text=rules)

    def close(self) -> None:
        """Remove the namespace, and with it the link and the rules."""
        remove(self.name, self.number)


def run(*command: str, text: str = "") -> str:
    """Run a command to its end; its output, or an error with its output."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}\n{text}")
    return done.stdout


def folder_of(name: str) -> Path:
    """Where the files of the pod with this namespace are."""
    return Path(tempfile.gettempdir()) / name


def _take_number() -> int:
    """Make a veth pair whose name nobody has yet: the kernel decides between test runs."""
    for number in range(1, 255):
        link = f"{PREFIX}{number}"
        if _try("ip", "link", "add", link, "type", "veth", "peer", f"{link}p"):
            return number
    raise RuntimeError(run("ip", "link", "add", f"{PREFIX}1", "type", "veth"))


def _try(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def remove(name: str, number: int) -> None:
    """End what still runs in a namespace and delete it."""
    listed = subprocess.run(
        ("ip", "netns", "pids", name), capture_output=True, text=True, check=False
    )
    for pid in listed.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    _try("ip", "link", "del", f"{PREFIX}{number}")
    _try("ip", "netns", "del", name)
    shutil.rmtree(folder_of(name), ignore_errors=True)


def sweep() -> None:
    """Remove the namespaces of test runs that were killed before they could."""
    for name in run("ip", "netns", "list").splitlines():
        prefix, _, rest = name.split()[0].partition("-")
        owner, _, number = rest.partition("-")
        if prefix == PREFIX and owner.isdigit() and not Path(f"/proc/{owner}").exists():
            remove(name.split()[0], int(number))
