"""TLS hellos to a gateway's servers, by whose names its certificates are for. Pure.

Each presents the certificate of one server. The names are those in the certificates that its Envoy
has (admin's /certs, in the pod view); without them a hello without a name finds the server of every
host. Sent at the identity cadence, to ports that answer, and once when a port or name is new.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from exporter.bounds import SERVER_NAMES
from exporter.catalogue.gateway_servers import is_server
from exporter.model import Memory, Observation, Outcome, Probe, ProbeKind, Role, View
from exporter.poll.plan import Plan


def server_hellos(
    plan: Plan, seen: Sequence[Observation], memory: Memory, *, is_identity_due: bool
) -> list[Probe]:
    """The hellos that this poll sends."""
    if plan.target.role is not Role.GATEWAY:
        return []
    servers = {port.number for port in plan.ports if is_server(port)}
    answering = {
        (one.address, one.port)
        for one in seen
        if one.view is View.NETWORK and one.outcome is Outcome.OK and one.port in servers
    }
    first = next((address for address, _ in sorted(answering)), "")
    ports = sorted(port for address, port in answering if address == first)
    wanted = islice(_hellos(first, ports, memory), SERVER_NAMES)
    known = memory.server_names
    return [one for one in wanted if is_identity_due or (one.port, one.path) not in known]


def _hellos(address: str, ports: Sequence[int], memory: Memory) -> Iterator[Probe]:
    certificates = (memory.admin.value.server_certificates if memory.admin else None) or ()
    names = dict.fromkeys(name for one in certificates for name in one.dns_names)
    for port in ports:
        for name in names or ("",):
            yield Probe(port, ProbeKind.SERVER_HELLO, View.NETWORK, address, path=name)
