"""The samples of a target, or of the mesh, one function per family: record -> (labels, value).

Labels are text that follows the target's own labels: empty, or `,name="value"` each. An unknown
value has no sample. Members of enums (outcomes, cadences) need no escaping.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from exporter.bounds import TENANT_TEXT, cut_text
from exporter.catalogue import plain_version
from exporter.exposition.text_format import Sample, Samples, escaped, labelled
from exporter.model import (
    Cadence,
    CertificateValidity,
    ClusterRecord,
    IstiodFacts,
    Outcome,
    Role,
    ServerCertificate,
    TargetRecord,
    Verdict,
)

_SOURCES = ("wire", "admin", "agent")


def _port(verdict: Verdict) -> str:
    return f',port="{verdict.port}",component="{escaped(verdict.component)}"'


def each(
    label: str,
    values: Callable[[TargetRecord], Mapping[str, float]],
    only: Callable[[float], bool] | None = None,
) -> Samples:
    """What a record has by the values of one label; of that what `only` takes."""

    def of(record: TargetRecord) -> list[Sample]:
        rows = values(record).items()
        chosen = rows if only is None else [row for row in rows if only(row[1])]
        return [(f',{label}="{escaped(name)}"', value) for name, value in chosen]

    return of


def one(value: Callable[[TargetRecord], float | None]) -> Samples:
    """What a record has one value of, or none."""

    def of(record: TargetRecord) -> tuple[Sample, ...]:
        known = value(record)
        return () if known is None else (("", known),)

    return of


def text(label: str, value: Callable[[TargetRecord], str]) -> Samples:
    """What a record knows as a text, or does not: a label, with the value 1."""

    def of(record: TargetRecord) -> tuple[Sample, ...]:
        known = value(record)
        return ((f',{label}="{escaped(known)}"', 1),) if known else ()

    return of


_NOT_REPORTED = IstiodFacts()


def istiod_facts(record: TargetRecord) -> IstiodFacts:
    """What the istiod replica reported, if it did."""
    return record.control_plane or _NOT_REPORTED


def up(record: TargetRecord) -> list[Sample]:
    """`istio_port_up`: every port that was judged."""
    return [(_port(row), row.up) for row in record.verdicts if row.up is not None]


def unjudged(record: TargetRecord) -> list[Sample]:
    """`istio_port_unjudged`: without the ports that configuration hides for a whole role."""
    return [
        (f'{_port(row)},reason="{row.outcome.value}"', 1)
        for row in record.verdicts
        if row.up is None and not row.structural
    ]


def outcome(record: TargetRecord) -> list[Sample]:
    """`istio_port_outcome`: judged ports whose outcome is not ok."""
    return [
        (f'{_port(row)},outcome="{row.outcome.value}"', 1)
        for row in record.verdicts
        if row.outcome is not Outcome.OK and row.up is not None
    ]


def exposed(record: TargetRecord) -> list[Sample]:
    """`istio_port_exposed`: loopback ports that responded from the network."""
    return [(_port(row), 1) for row in record.verdicts if row.exposed]


def probe_duration(record: TargetRecord) -> list[Sample]:
    """`istio_port_probe_duration_seconds`: of ports that were judged by a probe of their own."""
    durations = record.durations
    return [
        (_port(row), durations[row.port])
        for row in record.verdicts
        if row.up is not None and row.port in durations
    ]


def listening(record: TargetRecord) -> Iterator[Sample]:
    """`istio_port_listening`: the socket table."""
    owners = {row.port: row.component for row in record.verdicts}
    return _sockets(record, owners)


def listening_wrongly(record: TargetRecord) -> Iterable[Sample]:
    """In brief: the process that listens on a port whose owner does not respond."""
    if not record.listening:
        return ()
    owners = {row.port: row.component for row in record.verdicts if row.up is False}
    return (sample for sample in _sockets(record, owners) if ',component=""' not in sample[0])


def _sockets(record: TargetRecord, owners: Mapping[int, str]) -> Iterator[Sample]:
    """The socket table, which was cut when it was read."""
    for socket in record.listening:
        component = owners.get(socket.port, "")
        port, process = str(socket.port), socket.process
        labels = labelled(port=port, component=component, address=socket.address, process=process)
        yield labels, 1


def target_info(record: TargetRecord) -> tuple[Sample]:
    """`istio_target_info`: with the first address."""
    target = record.target
    reported = istiod_facts(record).version or record.version
    version = plain_version(reported) or target.istio_version
    address = target.addresses[0] if target.addresses else ""
    labels = (
        f',ip="{escaped(address)}",node="{escaped(target.node)}"'
        f',workload="{escaped(target.workload)}",version="{escaped(version)}"'
        f',revision="{escaped(target.revision)}",cluster_id="{escaped(target.cluster_id)}"'
        f',native_sidecar="{"true" if target.native_sidecar else "false"}"'
    )
    return ((labels, 1),)


def diagnosis(record: TargetRecord) -> tuple[Sample, ...]:
    """`istio_target_diagnosis`: the one cause; none for a healthy target."""
    row = record.diagnosis
    if row is None:
        return ()
    return ((f',cause="{escaped(row.cause)}",class="{row.cause_class.value}"', 1),)


def faulty_polls(record: TargetRecord) -> tuple[Sample, ...]:
    """`istio_target_faulty_polls_total`: beside each `istio_target_polls_total`."""
    return () if record.polls is None else (("", record.faulty_polls),)


def last_poll(record: TargetRecord) -> list[Sample]:
    """`istio_target_last_poll_timestamp_seconds`: of every cadence."""
    return [(f',cadence="{cadence.value}"', at) for cadence, at in record.polled.items()]


def last_regular_poll(record: TargetRecord) -> list[Sample]:
    """In brief: of every poll, and of the detail cadence, which a workload in ambient has not."""
    is_ambient = record.target.role is Role.AMBIENT
    shown = (Cadence.FAST,) if is_ambient else (Cadence.FAST, Cadence.DETAIL)
    return [
        (f',cadence="{cadence.value}"', at)
        for cadence, at in record.polled.items()
        if cadence in shown
    ]


def _certificate(row: CertificateValidity) -> str:
    return f',certificate="{escaped(row.certificate)}",source="{escaped(row.source)}"'


def expiry(record: TargetRecord) -> list[Sample]:
    """`istio_target_certificate_expiry_timestamp_seconds`: from every source."""
    return [(_certificate(row), row.not_after) for row in record.certificates]


def best_expiry(record: TargetRecord) -> list[Sample]:
    """In brief: from the best source of each certificate."""
    return [(_certificate(row), row.not_after) for row in _best(record.certificates)]


def not_before(record: TargetRecord) -> list[Sample]:
    """`istio_target_certificate_not_before_timestamp_seconds`: where the source reports it."""
    return [
        (_certificate(row), row.not_before)
        for row in record.certificates
        if row.not_before is not None
    ]


def best_not_before(record: TargetRecord) -> list[Sample]:
    """In brief: from the best source, and not of the mesh's root."""
    return [
        (_certificate(row), row.not_before)
        for row in _best(record.certificates)
        if row.not_before is not None and row.certificate != "root"
    ]


def _best(rows: Iterable[CertificateValidity]) -> Iterable[CertificateValidity]:
    """One row a certificate: the one presented to peers, else Envoy's, else the agent's."""
    best: dict[str, CertificateValidity] = {}
    for row in rows:
        before = best.get(row.certificate)
        if before is None or _rank(row.source) < _rank(before.source):
            best[row.certificate] = row
    return best.values()


def _rank(source: str) -> int:
    return _SOURCES.index(source) if source in _SOURCES else len(_SOURCES)


def server_expiry(record: TargetRecord) -> list[Sample]:
    """`istio_proxy_server_certificate_expiry_timestamp_seconds`: by port and name."""
    return [(_server(row), row.not_after) for row in record.servers]


def server_not_before(record: TargetRecord) -> list[Sample]:
    """`istio_proxy_server_certificate_not_before_timestamp_seconds`: by port and name."""
    return [(_server(row), row.not_before) for row in record.servers]


def _server(row: ServerCertificate) -> str:
    return f',port="{row.port or ""}",server_name="{escaped(row.server_name)}"'


def control_plane_info(record: TargetRecord) -> tuple[Sample, ...]:
    """`istio_control_plane_info`: once the replica has reported its version."""
    reported = istiod_facts(record).version
    if reported is None:
        return ()
    version = (
        plain_version(reported) or record.target.istio_version or cut_text(reported, TENANT_TEXT)
    )
    return ((labelled(revision=record.target.revision, version=version), 1),)


def control_plane_trusted(record: TargetRecord) -> tuple[Sample, ...]:
    """`istio_control_plane_trusted`: of istiods alone."""
    target = record.target
    if target.role is not Role.ISTIOD:
        return ()
    return ((labelled(revision=target.revision), target.trusted),)


def ambient_pods(record: ClusterRecord) -> list[Sample]:
    """`istio_proxy_ambient_pods`: redirection is enabled, pending or missing."""
    return [
        (_first(namespace=namespace, node=node, redirection=redirection), count)
        for (namespace, node, redirection), count in record.ambient_pods.items()
    ]


def missing_proxies(record: ClusterRecord) -> list[Sample]:
    """`istio_proxy_missing_pods`: what asks for the proxy is the reason."""
    return [
        (_first(namespace=namespace, reason=reason), count)
        for (namespace, reason), count in record.missing_proxies.items()
    ]


def webhook_path_up(record: ClusterRecord) -> tuple[Sample, ...]:
    """`istio_control_plane_webhook_path_up`: while the dry run shows the one or the other."""
    path = record.webhook_path
    if path is None or path.up is None:
        return ()
    return ((_first(revision=path.revision), path.up),)


def webhook_path_outcome(record: ClusterRecord) -> tuple[Sample, ...]:
    """`istio_control_plane_webhook_path_outcome`: how a dry run that was not ok ended."""
    path = record.webhook_path
    if path is None or path.up:
        return ()
    return ((_first(revision=path.revision, outcome=path.outcome.value), 1),)


def _first(**labels: str) -> str:
    """The mesh as a whole has no target's labels before these: the first one has no comma."""
    return labelled(**labels).removeprefix(",")
