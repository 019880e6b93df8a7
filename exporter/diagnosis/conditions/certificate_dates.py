"""Conditions of the causes about certificates, of workloads and of servers of gateways. Pure."""

from collections.abc import Callable, ItemsView, Iterable
from typing import NamedTuple

from exporter.diagnosis.case import Case, Sentences
from exporter.diagnosis.target_certificates import presented_certificate
from exporter.model import Certificate, Timestamped


class CertificateFault(NamedTuple):
    """What may be wrong with a workload's own certificate, else with one of a gateway's servers.

    The latter are the user's, who needs other advice.
    """

    of_workload: Callable[[Case], Sentences]
    of_servers: Callable[[Case], Sentences]
    servers_advice: str

    def holds(self, case: Case) -> Sentences:
        """What is wrong with the one or the other."""
        return self.of_workload(case) or self.of_servers(case)

    def remedy(self, case: Case) -> str:
        """What to do about a gateway's server; empty where it is the workload's certificate."""
        is_servers = self.of_workload(case) is None and self.of_servers(case) is not None
        return self.servers_advice if is_servers else ""


def _own_has_ended(case: Case) -> Sentences:
    """A certificate that had already ended when a hello, the agent or admin showed it."""
    memory, step = case.memory, case.evidence.step
    presented = presented_certificate(memory)
    if presented is not None and presented.value.not_after <= presented.at + step:
        return ("the certificate on the wire has ended",)
    agent = case.agent()
    left = agent.workload_certificate_seconds if agent else None
    is_newest = presented is None or (agent and "default" in agent.certificate_seconds)
    if left is not None and left <= 0 and is_newest:
        return ("the agent reports that the workload's certificate has ended",)
    certificate = memory.admin.value.workload_certificate if memory.admin else None
    if left is None and _has_ended(certificate, case.evidence.wall):
        return ("Envoy's admin shows a workload certificate that has ended",)
    for port, seen in memory.serving.items():
        if seen.value.not_after <= seen.at + step:
            return (f"the certificate that {port} presents has ended",)
    return None


def _servers_has_ended(case: Case) -> Sentences:
    """The same of the certificates that a gateway's servers present."""
    for key, server in _servers(case):
        if _has_ended(server.value, server.at + case.evidence.step):
            return (f"{_of_server(*key)} has ended",)
    return None


def _servers(case: Case) -> ItemsView[tuple[int, str], Timestamped[Certificate | None]]:
    return case.memory.server_names.items()


def _of_server(port: int, name: str) -> str:
    return f"the certificate that {port} presents for {name or 'any name'}"


def _has_ended(certificate: Certificate | None, now: float) -> bool:
    return certificate is not None and certificate.not_after <= now


_CLOCK_TOLERANCE = 10.0
"""Seconds that two hosts' clocks may differ without a certificate being at fault."""


def _own_begins_later(case: Case) -> Sentences:
    """A certificate that was presented, or that admin shows, begins in the future."""
    memory = case.memory
    presented = presented_certificate(memory)
    shown = [("the certificate on the wire", presented.value if presented else None)]
    shown += [
        (f"the certificate that {port} presents", seen.value)
        for port, seen in memory.serving.items()
    ]
    admin = case.admin()
    if admin is not None:
        shown.append(
            ("the workload certificate that Envoy's admin shows", admin.workload_certificate)
        )
    return _later(case, shown)


def _servers_begins_later(case: Case) -> Sentences:
    """The same of the certificates that a gateway's servers present."""
    return _later(case, [(_of_server(*key), it.value) for key, it in _servers(case)])


def _later(case: Case, shown: Iterable[tuple[str, Certificate | None]]) -> Sentences:
    for what, certificate in shown:
        seconds = certificate.not_before - case.evidence.wall if certificate else 0.0
        if seconds > _CLOCK_TOLERANCE:
            return (f"{what} begins in {seconds:.0f} s",)
    return None


HAS_ENDED = CertificateFault(
    _own_has_ended,
    _servers_has_ended,
    "Renew the certificate in the secret that the Gateway names (credentialName, or "
    "certificateRefs), or look why its issuer does not; the gateway needs no restart.",
)
BEGINS_LATER = CertificateFault(
    _own_begins_later,
    _servers_begins_later,
    "Compare the certificate in the secret that the Gateway names (credentialName, or "
    "certificateRefs) with the clocks of its issuer and of the exporter; clients refuse it "
    "until it begins.",
)
