"""The certificates of a target, by where they were seen: a hello, admin, the agent's page. Pure."""

from collections.abc import Iterator
from operator import attrgetter

from exporter.bounds import SERVER_NAMES
from exporter.diagnosis.evidence import Evidence
from exporter.model import (
    AdminFacts,
    Certificate,
    CertificateValidity,
    Memory,
    ServerCertificate,
    Timestamped,
    TlsFacts,
)


def presented_certificate(memory: Memory) -> Timestamped[Certificate] | None:
    """The certificate that a hello last brought, of any address."""
    shown = _last_hello(memory)
    if shown is not None and shown.value.certificate is not None:
        return Timestamped(shown.value.certificate, shown.at)
    of_ztunnel = [one for one in memory.hbone.values() if one.presented is not None]
    newest = max(of_ztunnel, key=attrgetter("at"), default=None)
    return Timestamped(newest.presented, newest.at) if newest and newest.presented else None


def presented_root(memory: Memory) -> str:
    """Which root's key is behind the certificate that a hello last brought; empty for none."""
    shown = _last_hello(memory)
    return shown.value.root if shown else ""


def _last_hello(memory: Memory) -> Timestamped[TlsFacts] | None:
    """What the last hello showed that brought a certificate through the control port."""
    shown = [
        Timestamped(facts, hello.at)
        for hello in memory.hello.values()
        if isinstance(facts := hello.value.facts, TlsFacts) and facts.certificate is not None
    ]
    return max(shown, key=attrgetter("at"), default=None)


def certificates_of(evidence: Evidence, memory: Memory) -> tuple[CertificateValidity, ...]:
    """Every certificate known of the target, by source."""
    if evidence.in_mesh:
        return ()
    return (*_presented(memory), *_of_agent(memory, evidence.step), *_of_admin(memory))


def _presented(memory: Memory) -> Iterator[CertificateValidity]:
    presented = presented_certificate(memory)
    if presented is not None:
        yield _validity("workload", "wire", presented.value)
    if memory.serving:
        ending = min((seen.value for seen in memory.serving.values()), key=lambda c: c.not_after)
        yield _validity("serving", "wire", ending)


def _of_agent(memory: Memory, step: float) -> Iterator[CertificateValidity]:
    left = memory.agent.value.workload_certificate_seconds if memory.agent else None
    if memory.agent is not None and left is not None:
        end = memory.agent.at + step + left
        yield CertificateValidity(certificate="workload", source="agent", not_after=end)


def _of_admin(memory: Memory) -> Iterator[CertificateValidity]:
    if memory.admin is None:
        return
    admin = memory.admin.value
    if admin.workload_certificate is not None:
        yield _validity("workload", "admin", admin.workload_certificate)
    if admin.root_certificate is not None:
        yield _validity("root", "admin", admin.root_certificate)


def names_of_servers(admin: AdminFacts | None) -> tuple[str, ...]:
    """The names in the certificates of a gateway's servers that its Envoy has, each once."""
    certificates = (admin.server_certificates if admin else None) or ()
    return tuple(dict.fromkeys(name for one in certificates for name in one.dns_names))


def server_certificates_of(memory: Memory) -> tuple[ServerCertificate, ...]:
    """A gateway's server certificates: by port as presented, else by admin's word alone."""
    presented = {
        key: seen.value for key, seen in memory.server_names.items() if seen.value is not None
    }
    names = {name for _, name in presented}
    of_admin = (memory.admin.value.server_certificates if memory.admin else None) or ()
    listed = {(0, name): one for one in of_admin for name in one.dns_names if name not in names}
    found = sorted((presented | listed).items(), key=lambda item: item[0])
    return tuple(
        ServerCertificate(port, name, one.not_before, one.not_after)
        for (port, name), one in found[:SERVER_NAMES]
    )


def _validity(name: str, source: str, certificate: Certificate) -> CertificateValidity:
    return CertificateValidity(
        certificate=name,
        source=source,
        not_after=certificate.not_after,
        not_before=certificate.not_before,
    )
