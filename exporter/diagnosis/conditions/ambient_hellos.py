"""Conditions of the causes that TLS hellos to a workload in ambient show. Pure."""

from collections.abc import Iterator

from exporter.diagnosis.case import Case, Sentences
from exporter.diagnosis.container_evidence import duration
from exporter.diagnosis.workload_evidence import (
    RENEWED_AT,
    addresses_of,
    current_hello,
    ending_of,
    families,
)
from exporter.model import Certificate, PortName


def ztunnel_is_stuck(case: Case) -> Sentences:
    """15008 accepts, and two hellos in a row brought not a byte."""
    return _hellos_end(case, "timeout", "accepts and answers no TLS hello", in_a_row=2)


def workload_is_unknown(case: Case) -> Sentences:
    """A hello is closed without a certificate after seconds: ztunnel waited for istiod."""
    return _hellos_end(case, "late", "closes a TLS hello without a certificate after {:.1f} s")


def identity_is_missing(case: Case) -> Sentences:
    """Two hellos in a row were closed at once without a certificate."""
    found = _hellos_end(
        case, "early", "closes TLS hellos at once without a certificate", in_a_row=2
    )
    if found is None:
        return None
    ended = [
        hello.certificate.not_after
        for hello in case.memory.hbone.values()
        if hello.certificate and hello.certificate.not_after <= case.evidence.wall
    ]
    if not ended:
        return found
    return (*found, f"its last certificate ended {duration(case.evidence.wall - max(ended))} ago")


def may_be_stuck(case: Case) -> bool:
    """Whether a first hello was silent: the second one decides."""
    return _failed_once(case, "timeout")


def may_lack_identity(case: Case) -> bool:
    """Whether a first hello was closed at once: the second one decides."""
    return _failed_once(case, "early")


def _failed_once(case: Case, ending: str) -> bool:
    rows = (current_hello(case.memory, row) for row in addresses_of(case.evidence))
    return any(last and last.alike == 1 and ending_of(last.seen) == ending for last in rows)


def identity_differs(case: Case) -> Sentences:
    """The certificate names another service account than the pod's."""
    wanted = case.target.settings.identity
    for _, certificate in _presented(case):
        shown = certificate.spiffe_id
        in_domain = "/" + shown.removeprefix("spiffe://").partition("/")[2]
        if shown and wanted and wanted not in (shown, in_domain):
            return (f"the certificate is of {shown}", f"the pod runs as {wanted}")
    return None


def is_not_renewed(case: Case) -> Sentences:
    """After more than half of its lifetime the certificate is still the one that is presented."""
    for at, certificate in _presented(case):
        lifetime = certificate.not_after - certificate.not_before
        if lifetime < _SHORTEST_SECONDS:
            continue
        share = (at - certificate.not_before) / lifetime
        if share >= RENEWED_AT:
            left = duration(max(0.0, certificate.not_after - case.evidence.wall))
            return (f"{share:.0%} of the certificate's lifetime have passed", f"it ends in {left}")
    return None


def _presented(case: Case) -> Iterator[tuple[float, Certificate]]:
    """The certificates that are presented now, and when each was seen by the wall clock."""
    for row in addresses_of(case.evidence):
        last = current_hello(case.memory, row)
        if last is not None and last.presented is not None:
            yield last.at + case.evidence.step, last.presented


_SHORTEST_SECONDS = 3600.0


def _hellos_end(case: Case, ending: str, what: str, in_a_row: int = 1) -> Sentences:
    """The addresses whose last hellos ended so, in a sentence."""
    rows = []
    seconds = 0.0
    for row in addresses_of(case.evidence):
        last = current_hello(case.memory, row)
        if last and ending_of(last.seen) == ending and last.alike >= in_a_row:
            rows.append(row)
            seconds = last.seen.seconds
    if not rows:
        return None
    return (f"{case.number(PortName.HBONE)} {what.format(seconds)}{families(rows, case.evidence)}",)
