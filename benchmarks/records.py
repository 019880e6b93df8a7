"""Example records: what a look at a sidecar, a gateway or an istiod leaves to be rendered.

Benchmarks, tests and the figures in docs/metrics.md are about these.
"""

from msgspec import structs

from exporter.model import (
    Cadence,
    CauseClass,
    CertificateValidity,
    Component,
    Diagnosis,
    IstiodFacts,
    ListeningSocket,
    Outcome,
    ProxyStatus,
    Role,
    ServerCertificate,
    Target,
    TargetKey,
    TargetRecord,
    Verdict,
    View,
)

NOW = 1_767_225_600.25
_DAY = 86_400.0

_NETWORK = (
    (15000, Component.ENVOY),
    (15006, Component.ENVOY),
    (15020, Component.PILOT_AGENT),
    (15021, Component.ENVOY),
    (15090, Component.ENVOY),
)
_LOOPBACK = ((15001, Component.ENVOY), (15004, Component.PILOT_AGENT))


def healthy_sidecar(index: int = 0) -> TargetRecord:
    """A healthy sidecar seen from the network; the index makes it one of many."""
    name = f"reviews-v{index % 3}-6d4f8c7b9d-{index:05d}"
    target = Target(
        key=TargetKey(f"team-{index % 40}", name),
        role=Role.SIDECAR,
        addresses=(f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}",),
        captured=True,
        istio_version="1.28.3",
        node=f"node-{index % 200}",
        workload=f"reviews-v{index % 3}",
        revision="default",
        cluster_id="Kubernetes",
        native_sidecar=True,
    )
    at = NOW + index / 1000
    hidden = Outcome.CAPTURED
    return TargetRecord(
        target=target,
        verdicts=(
            *(
                Verdict(
                    port,
                    owner,
                    up=True,
                    outcome=Outcome.OK,
                    view=View.NETWORK,
                )
                for port, owner in _NETWORK
            ),
            *(
                Verdict(port, owner, None, hidden, View.NETWORK, structural=True)
                for port, owner in _LOOPBACK
            ),
        ),
        ready={"envoy": True, "agent": True},
        polls=1_000,
        proxy=ProxyStatus(
            captured=True,
            envoy_live=True,
            listeners={"active": 40, "warming": 0, "draining": 0},
            rejected={"cds": False, "lds": False},
            updates={"cds": 120.0, "lds": 130.0},
            rejects={"cds": 0.0, "lds": 0.0},
            xds_connected=True,
            agent_scrape_failures={"envoy": 0.0, "application": 0.0, "agent": 0.0},
        ),
        certificates=(
            CertificateValidity(
                certificate="workload", source="wire", not_after=at + _DAY, not_before=at
            ),
            CertificateValidity(certificate="workload", source="agent", not_after=at + _DAY),
            CertificateValidity(certificate="root", source="agent", not_after=at + 3650 * _DAY),
        ),
        spiffe_id=f"spiffe://cluster.local/ns/team-{index % 40}/sa/reviews",
        root="0f1e2d3c4b5a6978",
        durations=dict.fromkeys(dict(_NETWORK), 0.00123 + index / 1e7),
        polled={Cadence.FAST: at, Cadence.DETAIL: at - 60, Cadence.IDENTITY: at - 1800},
    )


def seen_from_pod(record: TargetRecord) -> TargetRecord:
    """The same sidecar with its loopback ports, listeners, certificates and sockets seen too."""
    owners = (*_NETWORK, *_LOOPBACK)
    admin = (
        CertificateValidity(
            certificate=kind, source="admin", not_after=NOW + days * _DAY, not_before=NOW
        )
        for kind, days in (("workload", 1), ("root", 3650))
    )
    return structs.replace(
        record,
        durations=dict.fromkeys(dict(owners), 0.0012),
        verdicts=tuple(
            Verdict(port, owner, up=True, outcome=Outcome.OK, view=View.POD)
            for port, owner in owners
        ),
        proxy=structs.replace(
            record.proxy, bound={"virtualInbound": True, "virtualOutbound": True}
        ),
        certificates=(*record.certificates, *admin),
        listening=tuple(
            ListeningSocket(
                port=port,
                address="127.0.0.1" if port in {15000, 15004} else "0.0.0.0",
                process=owner,
            )
            for port, owner in (*owners, (9080, "python3"))
        ),
    )


def broken_sidecar(index: int = 0) -> TargetRecord:
    """A sidecar that has something for every sparse family."""
    record = seen_from_pod(healthy_sidecar(index))
    return structs.replace(
        record,
        servers=(ServerCertificate(8443, "shop.example", 1759449600.0, 1767225600.0),),
        verdicts=(
            Verdict(
                15000,
                Component.ENVOY,
                up=False,
                outcome=Outcome.TIMEOUT,
                view=View.POD,
                exposed=True,
            ),
            Verdict(15006, Component.ENVOY, None, Outcome.CAPTURED, View.NETWORK),
            Verdict(
                15020,
                Component.PILOT_AGENT,
                up=False,
                outcome=Outcome.WRONG_IDENTITY,
                view=View.POD,
            ),
            Verdict(15021, Component.ENVOY, up=True, outcome=Outcome.NOT_READY, view=View.NETWORK),
            Verdict(
                15090,
                Component.ENVOY,
                up=True,
                outcome=Outcome.OK,
                view=View.NETWORK,
                structural=True,
            ),
        ),
        durations={15000: 2.0},
        ready={"envoy": False, "agent": False},
        diagnosis=Diagnosis(
            "port_taken", CauseClass.FAULT, "Another process sits on 15020.", "Move it."
        ),
        proxy=structs.replace(
            record.proxy,
            captured=False,
            envoy_live=False,
            bound={"virtualInbound": False, "virtualOutbound": True},
            rejected={"cds": False, "lds": True},
            rejects={"cds": 0.0, "lds": 3.0},
            xds_connected=False,
            xds_synced={"cds": True, "lds": False, "eds": True, "rds": True},
            xds_known=True,
            agent_scrape_failures={"envoy": 2.0, "application": 0.0, "agent": 0.0},
        ),
    )


def istiod() -> TargetRecord:
    """A healthy istiod replica."""
    ports = (8080, 15010, 15012, 15014, 15017)
    return TargetRecord(
        target=Target(
            key=TargetKey("istio-system", "istiod-6f7d-abcde"),
            role=Role.ISTIOD,
            addresses=("10.0.0.2", "fd00::2"),
            istio_version="1.28.3",
            node="node-1",
            workload="istiod",
            revision="default",
        ),
        verdicts=tuple(
            Verdict(
                port,
                Component.ISTIOD,
                up=True,
                outcome=Outcome.OK,
                view=View.NETWORK,
            )
            for port in ports
        ),
        durations=dict.fromkeys(ports, 0.002),
        ready={"istiod": True, "webhook": True},
        control_plane=IstiodFacts(
            version="1.28.3",
            connected_proxies=812.0,
            xds_rejects={"cds": 0.0, "lds": 2.0},
            push_errors=0.0,
        ),
        certificates=(
            CertificateValidity(
                certificate="serving", source="wire", not_after=NOW + 90 * _DAY, not_before=NOW
            ),
        ),
        polled={Cadence.FAST: NOW, Cadence.DETAIL: NOW - 60},
    )


def ztunnel() -> TargetRecord:
    """A ready ztunnel that could not start to serve one pod of its node."""
    ports = (15020, 15021)
    return TargetRecord(
        target=Target(
            key=TargetKey("istio-system", "ztunnel-x7k2p"),
            role=Role.ZTUNNEL,
            addresses=("10.0.0.3",),
            istio_version="1.28.3",
            node="node-1",
            workload="ztunnel",
        ),
        verdicts=tuple(
            Verdict(port, Component.ZTUNNEL, up=True, outcome=Outcome.OK, view=View.NETWORK)
            for port in ports
        ),
        durations=dict.fromkeys(ports, 0.002),
        ready={"ztunnel": True},
        proxy=ProxyStatus(
            workloads={"active": 49.0, "pending": 1.0},
            terminations={"ConnectionError": 1.0, "Reconnect": 12.0},
        ),
        polled={Cadence.FAST: NOW, Cadence.DETAIL: NOW - 60},
    )
