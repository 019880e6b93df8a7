"""What the pages of Envoy's admin interface say, each added to `AdminFacts`.

Only the fields that are needed are decoded (Envoy api/envoy/admin/v3), into small structs; a
page that cannot be read leaves the facts as they were. Masks and filters keep the pages small
(recorded: 2 kB of listener states instead of 53).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from exporter.bounds import (
    CERTIFICATE_NAMES,
    KUBERNETES_NAME,
    LISTENERS,
    LISTENERS_PAGE_OBJECTS,
    SENTENCE,
    SENTENCES,
    SERVER_NAMES,
    SPIFFE_ID,
    TENANT_TEXT,
    cut_text,
)
from exporter.model import AdminFacts, BoundListener, Certificate
from exporter.model.facts import is_loopback
from exporter.parsing import parse_port, parse_time
from exporter.probes import paths
from exporter.probes.stats import read_stats

T = TypeVar("T")


class _SocketAddress(msgspec.Struct):
    address: str = ""
    port_value: int = 0


class _Address(msgspec.Struct):
    socket_address: _SocketAddress | None = None


class _Status(msgspec.Struct):
    name: str = ""
    local_address: _Address | None = None
    additional_local_addresses: tuple[_Address, ...] = ()


class _Listeners(msgspec.Struct):
    listener_statuses: tuple[_Status, ...] = ()


class _Failed(msgspec.Struct):
    name: str = ""


class _ErrorState(msgspec.Struct):
    details: str = ""
    failed_configuration: _Failed | None = None


class _State(msgspec.Struct):
    """That it is there is enough: nothing of it is decoded."""


class _Dynamic(msgspec.Struct):
    name: str = ""
    error_state: _ErrorState | None = None
    warming_state: _State | None = None


class _Dump(msgspec.Struct):
    configs: tuple[_Dynamic, ...] = ()


class _NodeMetadata(msgspec.Struct):
    version: str = msgspec.field(default="", name="ISTIO_VERSION")


class _Node(msgspec.Struct):
    metadata: _NodeMetadata = msgspec.field(default_factory=_NodeMetadata)


class _ServerInfo(msgspec.Struct):
    node: _Node = msgspec.field(default_factory=_Node)


class _Name(msgspec.Struct):
    uri: str = ""
    dns: str = ""


class _Cert(msgspec.Struct):
    subject_alt_names: tuple[_Name, ...] = ()
    valid_from: str = ""
    expiration_time: str = ""


class _Pair(msgspec.Struct):
    ca_cert: tuple[_Cert, ...] = ()
    cert_chain: tuple[_Cert, ...] = ()


class _Certs(msgspec.Struct):
    certificates: tuple[_Pair, ...] = ()


def _decode(body: bytes, kind: type[T]) -> T | None:
    if body.count(b"{") > LISTENERS_PAGE_OBJECTS:
        return None
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _with_stats(facts: AdminFacts, body: bytes) -> AdminFacts:
    return replace(facts, stats=read_stats(body, complete=True))


def _with_listeners(facts: AdminFacts, body: bytes) -> AdminFacts:
    """Active listeners; those on service addresses have no socket of their own on a sidecar."""
    document = _decode(body, _Listeners)
    if document is None:
        return facts
    found: list[BoundListener] = []
    for status in document.listener_statuses:
        name = cut_text(status.name, TENANT_TEXT)  # once: it may have a megabyte
        for address in (status.local_address, *status.additional_local_addresses):
            at = address.socket_address if address else None
            if at is not None and _is_own(at) and len(found) < LISTENERS:
                found.append(BoundListener(name=name, address=at.address, port=at.port_value))
    return replace(facts, listeners=tuple(found))


def _is_own(at: _SocketAddress) -> bool:
    """Whether it is bound to every address or to loopback, as Envoy prints them."""
    is_local = at.address in _EVERY or is_loopback(at.address)
    return is_local and len(at.address) <= TENANT_TEXT and parse_port(at.port_value) is not None


_EVERY = frozenset({"0.0.0.0", "::"})


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(cut_text(name, TENANT_TEXT) for name in islice(names, LISTENERS))


def _with_listener_states(facts: AdminFacts, body: bytes) -> AdminFacts:
    document = _decode(body, _Dump)
    if document is None:
        return facts
    return replace(
        facts,
        warming=_names(row.name for row in document.configs if row.warming_state is not None),
        rejected=_rejected(document),
    )


def _rejected(document: _Dump) -> Mapping[str, str]:
    """Envoy's reason by listener; a second row without a name repeats the first's (recorded)."""
    rejected: dict[str, str] = {}
    for row in document.configs:
        if row.error_state is not None and len(rejected) < LISTENERS:
            failed = row.error_state.failed_configuration
            name = cut_text(row.name or (failed.name if failed else ""), TENANT_TEXT)
            reason = row.error_state.details if len(rejected) < SENTENCES else ""
            rejected[name] = rejected.get(name) or cut_text(reason, SENTENCE)
    return rejected


def _with_certificates(facts: AdminFacts, body: bytes) -> AdminFacts:
    document = _decode(body, _Certs)
    if document is None:
        return facts
    workload, root = None, None
    for pair in document.certificates[:_MOST_PAIRS]:
        own = next((cert for cert in _certificates(pair.cert_chain) if cert.spiffe_id), None)
        first_root = next(_certificates(pair.ca_cert), None)
        if own and (workload is None or own.not_after > workload.not_after):
            workload = own
        if first_root and (root is None or (own and own is workload)):
            root = first_root
    return replace(
        facts,
        workload_certificate=workload,
        root_certificate=root,
        server_certificates=tuple(islice(_server_certificates(document), SERVER_NAMES)),
    )


def _with_version(facts: AdminFacts, body: bytes) -> AdminFacts:
    """Istio's version, which the agent has put into the bootstrap's node."""
    document = _decode(body, _ServerInfo)
    version = cut_text(document.node.metadata.version, TENANT_TEXT) if document else ""
    return replace(facts, istio_version=version) if version else facts


_SERVER_NAME = re.compile(r"(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63}){0,8}", re.IGNORECASE)
"""What a TLS hello can ask for; a wildcard stands for its first label."""


def _server_certificates(document: _Certs) -> Iterator[Certificate]:
    """The certificates that are no workload's, with the names that a hello can ask for."""
    for pair in document.certificates[:_MOST_PAIRS]:
        for certificate in _certificates(pair.cert_chain[:1]):
            names = tuple(name for name in certificate.dns_names if _SERVER_NAME.fullmatch(name))
            if names and not certificate.spiffe_id:
                yield replace(certificate, dns_names=names)


_MOST_PAIRS = 512
"""A page has room for no more honest ones, which have 500 bytes; each certificate takes 3 us."""

_MOST_CHAINED = 4


def _certificates(rows: Sequence[_Cert]) -> Iterator[Certificate]:
    """The first of these, without those that have no dates."""
    return filter(None, map(_certificate, rows[:_MOST_CHAINED]))


def _certificate(cert: _Cert) -> Certificate | None:
    begin, end = parse_time(cert.valid_from), parse_time(cert.expiration_time)
    if begin is None or end is None:
        return None
    names = cert.subject_alt_names[:CERTIFICATE_NAMES]
    return Certificate(
        not_before=begin,
        not_after=end,
        uris=tuple(cut_text(name.uri, SPIFFE_ID) for name in names if name.uri),
        dns_names=tuple(cut_text(name.dns, KUBERNETES_NAME) for name in names if name.dns),
    )


PAGES: Mapping[paths.Path, Callable[[AdminFacts, bytes], AdminFacts]] = MappingProxyType(
    {
        paths.ENVOY_STATS: _with_stats,
        paths.LISTENERS: _with_listeners,
        paths.LISTENER_STATES: _with_listener_states,
        paths.CERTS: _with_certificates,
        paths.SERVER_INFO: _with_version,
    }
)
"""What each page adds to the facts, from any bytes."""
