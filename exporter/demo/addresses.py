"""From a recorded state to the target that the exporter is given, and where it stands. Pure.

The pod document goes through the same classifier as a real pod's; roles that have none
(istiod, the CNI agent) are those of the index.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from exporter.catalogue import control_port, ports_of
from exporter.demo.network import is_redirected
from exporter.demo.recorded_state import RecordedState, Socket
from exporter.demo.script import NOBODY
from exporter.discovery.pod_documents import decode_pod
from exporter.discovery.pods import targets_of_pod
from exporter.model import Lifecycle, Role, Target, TargetKey

CONTROL_PORT = 15999
LONG_AGO = 86400.0
_OWN = ("127.0.0.1",)
"""An address of this host, whatever it is called."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one run on a machine: run 0 to 63, 2,046 pods each.

    198.18.0.0/15 is set aside for tests (RFC 2544), fd00::/8 for private use.
    """

    run: int

    def link(self, index: int | str) -> str:
        """The exporter's end of a pod's link."""
        return f"ipx{self.run}p{index}"

    def gateway_of(self, *, is_ipv6: bool) -> str:
        """The exporter's side in one family."""
        return self.pod6(-1) if is_ipv6 else self.pod(-1)

    def pod(self, index: int) -> str:
        """A pod's IPv4 address."""
        return self._numbered(198, 18, index)

    def pod6(self, index: int) -> str:
        """A pod's IPv6 address."""
        return str(IPv6Address(f"fd00:1590:{self.run:x}::{index + 2:x}"))

    def flat(self, index: int) -> str:
        """A loopback address of its own, where there is no network namespace."""
        return self._numbered(127, 90, index)

    def _numbered(self, first: int, second: int, index: int) -> str:
        number = self.run * 2048 + index + 2
        return f"{first}.{second + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def target_of(
    state: RecordedState, addresses: Sequence[str], netns: str, now: float, *, number: int = 0
) -> Target:
    """The target of a state's pod. `number` above 0 names one of its repetitions.

    The pods were seconds old when they were recorded; here they are as old as a day.
    """
    is_ambient = state.role == Role.AMBIENT
    pod = decode_pod(state.pod) if state.pod else None
    found = targets_of_pod(pod, in_ambient_namespace=is_ambient) if pod else ()
    name = f"{state.name}-{number}" if number else state.name
    key = TargetKey("istio-system", name)
    target = Target(key=key, role=Role(state.role), addresses=())
    if found:
        target = replace(found[0], key=TargetKey(found[0].key.namespace, name))
    lifecycle = Lifecycle(terminating=target.lifecycle.terminating, started=now - LONG_AGO)
    return replace(
        target,
        role=Role(state.role),
        addresses=tuple(addresses),
        netns=netns,
        uid=str(target.key),
        trusted=False,
        host_addresses=_OWN if state.is_node_local else (),
        lifecycle=lifecycle,
    )


def flat_sockets(state: RecordedState, target: Target, address: str) -> tuple[Socket, ...]:
    """The sockets that stand in for a pod on one loopback address.

    What redirection would have accepted is bound port by port, by the owner of 15006. An owner
    of "" stands for a packet filter: it listens and lets nobody in.
    """
    seen = state.network
    inbound = target.settings.inbound_port
    owners = {row.port: row.process for row in state.sockets if not row.is_loopback}
    redirects = is_redirected(state, target, seen)
    anybody = next(iter(owners.values()), "unknown")
    rows = []
    for port in sorted(_ports(state, target)):
        connect = seen.connects.get(port, seen.connects.get(NOBODY, "refused"))
        if connect == "ok":
            owner = owners.get(inbound if redirects else port, owners.get(port, anybody))
            rows.append(Socket(address, port, owners.get(port, owner)))
        elif connect == "timeout" or seen.is_unreachable:
            rows.append(Socket(address, port, ""))
    return tuple(rows)


def _ports(state: RecordedState, target: Target) -> set[int]:
    """Every port that may be probed on a target, and every one that was recorded."""
    own = {port.number for port in ports_of(target)}
    control = control_port(target, CONTROL_PORT)
    return own | set(state.network.connects) | ({control} if control else set())
