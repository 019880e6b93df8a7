"""Whether the exporter itself is in the mesh: then nothing that it sees can be trusted.

The rule, for sidecar and ambient alike: its own pod's document says so, or connections to addresses
that nobody has are accepted, because something on our way out accepts them all. What answers on
loopback is only the reason to try: a port-forward, or a gateway on the same host, answers there
too.
"""

import asyncio
import os
import secrets
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path

from exporter.access.direct import Direct, source_address
from exporter.model import (
    FAST_ONLY,
    Outcome,
    Probe,
    ProbeKind,
    Redirection,
    Role,
    Target,
    TargetKey,
    View,
)
from exporter.probes.attempt import Attempt, ProbeOptions
from exporter.probes.probers import probe

_LOOPBACK = "127.0.0.1"
_OF_A_PROXY = (15001, 15008, 15021)
"""One of these listens on loopback in every pod whose way out is redirected."""

_NOBODYS = ("192.0.2.1", "2001:db8::1")
"""Addresses for documentation (RFC 5737, RFC 3849): no host has one."""

_UNUSED_PORT = 15999
_PREFIX = {4: 24, 6: 64}
"""What is near our own address; what lies farther may be behind a gateway that accepts for all."""

_IN_POD_NETWORK = 12
"""So many addresses beside our own, at random. A captured pod accepts on any port: where 110 of 256
addresses are such pods', all of these are in one of 25,000 tries. Nobody can take them all."""

_WITHIN_SECONDS = 1.0
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_OURSELVES = Target(key=TargetKey("", "exporter"), role=Role.SIDECAR, addresses=(_LOOPBACK,))


def own_pod(
    environment: Mapping[str, str] = os.environ, namespace: Path = _NAMESPACE
) -> TargetKey | None:
    """The pod that this process runs in; None where it runs in no cluster."""
    name = environment.get("POD_NAME") or environment.get("HOSTNAME", "")
    try:
        where = namespace.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return TargetKey(where, name) if name else None


def is_mesh_pod(own: Target | None) -> bool:
    """Whether the document of our own pod shows that its connections go through the mesh."""
    if own is None:
        return False
    return own.captured if own.role is Role.SIDECAR else own.redirection is Redirection.ENABLED


async def is_in_mesh() -> bool:
    """Whether our own connections are accepted where nobody can be."""
    if not any(await _accepted((_LOOPBACK, port) for port in _OF_A_PROXY)):
        return False
    if any(await _accepted((address, _UNUSED_PORT) for address in _NOBODYS)):
        return True
    for own in filter(None, map(source_address, _NOBODYS)):
        beside = await _accepted((address, _UNUSED_PORT) for address in _beside(own))
        if beside and all(beside):
            return True
    return False


async def _accepted(places: Iterable[tuple[str, int]]) -> list[bool]:
    """Whether each address accepts a half-open connect to the port, all tried at once."""
    found = await asyncio.gather(*(probe(_connect(*place)) for place in places))
    return [seen.outcome is Outcome.OK for seen in found]


def _connect(address: str, port: int) -> Attempt:
    question = Probe(port, ProbeKind.CONTROL, View.NETWORK, address)
    return Attempt(
        Direct(address), question, FAST_ONLY, _WITHIN_SECONDS, _OURSELVES, ProbeOptions()
    )


def _beside(own: str) -> list[str]:
    """Random addresses of the network that an address of ours is in."""
    address = ip_address(own)
    network = ip_network(f"{own}/{_PREFIX[address.version]}", strict=False)
    picked = (
        network[1 + secrets.randbelow(network.num_addresses - 2)]
        for _ in range(2 * _IN_POD_NETWORK)
    )
    return [str(one) for one in dict.fromkeys(picked) if one != address][:_IN_POD_NETWORK]
