"""A pod in ambient of real parts: a network behind istio-cni's rules, and a ztunnel of ours."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporter.model import Redirection, Role, Settings, Target, TargetKey
from tests.real.certificates import write_certificates
from tests.real.network import Network, run

ROOT = Path(__file__).parents[2]
IDENTITY = "/ns/shop/sa/web"
RULES = """\
*nat
:ISTIO_PRERT - [0:0]
-A PREROUTING -j ISTIO_PRERT
-A ISTIO_PRERT -s 169.254.7.127/32 -p tcp -m tcp -j ACCEPT
-A ISTIO_PRERT ! -d 127.0.0.1/32 -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff \
-j REDIRECT --to-ports 15006
COMMIT
"""
"""The inbound part of what istio-cni writes in a pod (cni/pkg/iptables/testdata)."""


@dataclass
class Workload:
    """A pod: its network, its process, and what that has logged."""

    network: Network
    server: subprocess.Popen[str]
    log: Path

    @property
    def address(self) -> str:
        return self.network.addresses[4]

    def lines(self) -> Counter[str]:
        return Counter(self.log.read_text().splitlines())

    def lines_with(self, line: str, count: int) -> Counter[str]:
        """The lines, once so many of them are alike, or after ten seconds."""
        deadline = time.monotonic() + 10
        while self.lines()[line] < count and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.lines()

    def target(self, **fields: object) -> Target:
        known = {
            "key": TargetKey("shop", "web"),
            "role": Role.AMBIENT,
            "addresses": (self.address,),
            "captured": True,
            "settings": Settings(application_ports=(8080,), identity=IDENTITY),
            "redirection": Redirection.ENABLED,
        }
        return Target(**{**known, **fields})

    def connections(self) -> list[str]:
        """Every TCP socket of the pod that does not listen."""
        found = run("ip", "netns", "exec", self.network.name, "ss", "-Htan")
        return [row for row in found.splitlines() if not row.startswith("LISTEN")]


@contextmanager
def workload(folder: Path, *options: str, rules: str = RULES) -> Iterator[Workload]:
    network = Network()
    log = folder / "log"
    try:
        write_certificates(folder, f"spiffe://cluster.local{IDENTITY}")
        if rules:
            run("ip", "netns", "exec", network.name, "iptables-restore", text=rules)
        command = [
            *("ip", "netns", "exec", network.name, sys.executable, "-m", "tests.real.ztunnel")
        ]
        command += [str(folder), *(options or ("--application", "8080"))]
        with log.open("w") as output:
            server = subprocess.Popen(command, stdout=output, text=True, cwd=ROOT)
        try:
            deadline = time.monotonic() + 20
            while "0 ready" not in log.read_text():
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield Workload(network, server, log)
        finally:
            server.kill()
            server.wait()
    finally:
        network.close()


def many_targets(pod: Workload, pods: int) -> list[Target]:
    """So many targets, each with an address of its own, all of which lead to this pod."""
    prefix = f"10.{100 + pod.network.number % 100}"
    run("ip", "-n", pod.network.name, "route", "add", "local", f"{prefix}.0.0/16", "dev", "lo")
    run("ip", "route", "add", f"{prefix}.0.0/16", "via", pod.address)
    return [
        pod.target(
            key=TargetKey("shop", f"web-{n}"),
            uid=f"web-{n}",
            addresses=(f"{prefix}.{n >> 8}.{n & 255}",),
        )
        for n in range(1, pods + 1)
    ]
