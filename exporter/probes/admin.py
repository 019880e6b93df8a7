"""15000 from inside the pod: Envoy's administration interface.

/ready answers with one word of Envoy's; anything else is another process. Details and
certificates come after the outcome stands, each with its own deadline, and a part that fails is
left out. Masks and filters keep the answers small (recorded: 2 kB instead of 53).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TypeVar

import msgspec

from exporter.model import AdminFacts, BoundListener, Cadence, Certificate, Outcome
from exporter.probes import paths
from exporter.probes.http import HttpClient, Reply, answer_to
from exporter.probes.stats import read_stats
from exporter.probes.visit import Answer, Visit

_STATES = frozenset((b"LIVE", b"DRAINING", b"PRE_INITIALIZING", b"INITIALIZING"))

T = TypeVar("T")
Extra = Callable[[AdminFacts, bytes], AdminFacts]


async def probe_admin(visit: Visit) -> Answer:
    """Ask /ready, then what else is due."""
    client = HttpClient(visit)
    reply = await client.get(paths.READY)
    answer = answer_to(reply, visit) or judge_admin(reply)
    facts = answer.facts
    if not isinstance(facts, AdminFacts):
        return answer
    visit.settle()
    for path, read in _extras(facts, visit.due):
        try:
            async with asyncio.timeout(visit.timeout):
                page = await client.get(path)
        except Exception:  # noqa: BLE001 - /ready was the proof; the rest is extra
            break
        if page.status == 200:  # noqa: PLR2004
            facts = read(facts, page.body)
    return Answer(answer.outcome, answer.detail, facts)


def judge_admin(reply: Reply) -> Answer:
    """What an answer to /ready says."""
    word = reply.body.strip()
    if word not in _STATES:
        return Answer(Outcome.WRONG_IDENTITY, "the answer is not one of Envoy's states")
    outcome = Outcome.OK if reply.status == 200 else Outcome.NOT_READY  # noqa: PLR2004
    state = word.decode()
    return Answer(outcome, "" if outcome is Outcome.OK else state, AdminFacts(state=state))


def _extras(facts: AdminFacts, due: frozenset[Cadence]) -> list[tuple[paths.Path, Extra]]:
    extras: list[tuple[paths.Path, Extra]] = []
    if Cadence.DETAIL in due:
        extras += [
            (paths.ENVOY_STATS, _with_stats),
            (paths.LISTENERS, _with_listeners),
            (paths.LISTENER_STATES, _with_listener_states),
        ]
        if facts.state != "LIVE":
            extras.append((paths.INIT_DUMP, _with_unready))
    if Cadence.IDENTITY in due:
        extras.append((paths.CERTS, _with_certificates))
    return extras


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


class _Dynamic(msgspec.Struct):
    name: str = ""
    error_state: _ErrorState | None = None
    warming_state: dict[str, object] | None = None
    draining_state: dict[str, object] | None = None


class _Dump(msgspec.Struct):
    configs: tuple[_Dynamic, ...] = ()


class _Unready(msgspec.Struct):
    name: str = ""
    target_names: tuple[str, ...] = ()


class _InitDump(msgspec.Struct):
    unready_targets_dumps: tuple[_Unready, ...] = ()


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
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _with_stats(facts: AdminFacts, body: bytes) -> AdminFacts:
    return replace(facts, stats=read_stats(body, complete=True))


def _with_listeners(facts: AdminFacts, body: bytes) -> AdminFacts:
    return replace(facts, listeners=read_listeners(body))


def read_listeners(body: bytes) -> tuple[BoundListener, ...] | None:
    """Active listeners on wildcard and loopback addresses (any bytes; None: not readable).

    Those on service addresses are left out: on a sidecar they have no socket of their own.
    """
    document = _decode(body, _Listeners)
    if document is None:
        return None
    found = []
    for status in document.listener_statuses:
        for address in (status.local_address, *status.additional_local_addresses):
            at = address.socket_address if address else None
            if at is not None and _is_own(at.address):
                found.append(
                    BoundListener(name=status.name, address=at.address, port=at.port_value)
                )
    return tuple(found)


def _is_own(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return parsed.is_unspecified or parsed.is_loopback


def _with_listener_states(facts: AdminFacts, body: bytes) -> AdminFacts:
    document = _decode(body, _Dump)
    if document is None:
        return facts
    return replace(
        facts,
        warming=tuple(row.name for row in document.configs if row.warming_state is not None),
        draining=tuple(row.name for row in document.configs if row.draining_state is not None),
        rejected=_rejected(document),
    )


def _rejected(document: _Dump) -> Mapping[str, str]:
    """Envoy's reason by listener; a second row without a name repeats the first's (recorded)."""
    rejected: dict[str, str] = {}
    for row in document.configs:
        if row.error_state is not None:
            failed = row.error_state.failed_configuration
            name = row.name or (failed.name if failed else "")
            rejected[name] = rejected.get(name) or row.error_state.details
    return rejected


def _with_unready(facts: AdminFacts, body: bytes) -> AdminFacts:
    document = _decode(body, _InitDump)
    if document is None:
        return facts
    dumps = document.unready_targets_dumps
    targets = tuple(name for dump in dumps for name in dump.target_names)
    return replace(facts, unready=targets or tuple(dump.name for dump in dumps))


def _with_certificates(facts: AdminFacts, body: bytes) -> AdminFacts:
    document = _decode(body, _Certs)
    if document is None:
        return facts
    workload, root = None, None
    for pair in document.certificates:
        own = [cert for cert in map(_certificate, pair.cert_chain) if cert and cert.spiffe_id]
        roots = [cert for cert in map(_certificate, pair.ca_cert) if cert]
        if own and (workload is None or own[0].not_after > workload.not_after):
            workload = own[0]
        if roots and (root is None or (own and own[0] is workload)):
            root = roots[0]
    return replace(facts, workload_certificate=workload, root_certificate=root)


def _certificate(cert: _Cert) -> Certificate | None:
    try:
        begin, end = _moment(cert.valid_from), _moment(cert.expiration_time)
    except (ValueError, OverflowError):
        return None
    names = cert.subject_alt_names
    return Certificate(
        not_before=begin,
        not_after=end,
        uris=tuple(name.uri for name in names if name.uri),
        dns_names=tuple(name.dns for name in names if name.dns),
    )


def _moment(text: str) -> float:
    parsed = datetime.fromisoformat(text)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
