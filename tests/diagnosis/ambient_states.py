"""Workloads in ambient for the tests of diagnosis: what their ports showed, and what that is."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from exporter.model import (
    Certificate,
    Lifecycle,
    ListeningSocket,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    Redirection,
    Role,
    Settings,
    Target,
    TlsFacts,
    View,
)
from tests.diagnosis.matrix import CONTROL, NOW, inside, sockets, target_of

OK, REFUSED, TIMEOUT, REJECTED = (
    Outcome.OK,
    Outcome.REFUSED,
    Outcome.TIMEOUT,
    Outcome.REJECTED,
)
APPLICATION = 8080
IDENTITY = "/ns/shop/sa/web"
V4, V6 = "10.0.0.7", "fd00::7"
DAY = 86400.0
WORKS, MISSES = True, False
"""What is known of the redirection."""
CERTIFICATE = Certificate(
    not_before=NOW - 3600, not_after=NOW - 3600 + DAY, uris=(f"spiffe://cluster.local{IDENTITY}",)
)

WORKLOAD = target_of(
    Role.AMBIENT,
    captured=True,
    settings=Settings(application_ports=(APPLICATION,), identity=IDENTITY),
    redirection=Redirection.ENABLED,
    lifecycle=Lifecycle(created=NOW - DAY, started=NOW - DAY),
)
READY = replace(
    WORKLOAD, lifecycle=replace(WORKLOAD.lifecycle, container_ready=True, node_ready=True)
)
DUAL = replace(WORKLOAD, addresses=(V4, V6))
BYPASSING = replace(
    WORKLOAD,
    captured=False,
    settings=replace(WORKLOAD.settings, bypass_inbound_capture=True),
)
WITHOUT_PORTS = replace(WORKLOAD, settings=Settings(identity=IDENTITY))
NEW = replace(WORKLOAD, lifecycle=Lifecycle(created=NOW - 5, started=NOW - 5))


def enrolled(redirection: Redirection | None, target: Target = WORKLOAD) -> Target:
    return replace(target, redirection=redirection)


def connect(port: int, outcome: Outcome, address: str = V4) -> Observation:
    """A half-open connect."""
    kind = ProbeKind.CONTROL if port == CONTROL else ProbeKind.TCP
    probe = Probe(port, kind, View.NETWORK, address)
    return Observation(probe, outcome, 0.001, "", None, outcome is OK)


def hello(
    outcome: Outcome = OK,
    seconds: float = 0.01,
    certificate: Certificate | None = CERTIFICATE,
    address: str = V4,
) -> Observation:
    """A TLS hello to 15008; without an address one from inside the pod."""
    view = View.NETWORK if address else View.POD
    facts = TlsFacts(certificate=certificate if outcome is OK else None)
    probe = Probe(15008, ProbeKind.HBONE_HELLO, view, address)
    connected = outcome not in (REFUSED, REJECTED, Outcome.NO_ACCESS)
    return Observation(probe, outcome, seconds, "", facts, connected)


def seen(
    hbone: Outcome = OK,
    control: Outcome | None = OK,
    application: Outcome | None = OK,
    *more: Observation,
    said: Observation | None = None,
    address: str = V4,
) -> list[Observation]:
    """A poll: the connects to 15008, the control port and the application, and the hello."""
    ports = {15008: hbone, CONTROL: control, APPLICATION: application}
    rows = [connect(port, out, address) for port, out in ports.items() if out is not None]
    if hbone is OK:
        rows.append(said or hello(address=address))
    return [*rows, *more]


def listening(*ports: int, process: str = "ztunnel") -> Observation:
    rows = (ListeningSocket(port=port, address="*", process=process) for port in ports)
    return sockets(*rows)


EARLY = hello(Outcome.CLOSED, 0.02)
LATE = hello(Outcome.RESET, 5.01)
SILENT = hello(TIMEOUT, 7.0)
ALERT = hello(Outcome.TLS_ERROR)
HTTP = hello(Outcome.WRONG_PROTOCOL)
SERVED = listening(15001, 15006, 15008)


@dataclass(frozen=True)
class State:
    """`up` of 15008 and 15006, `captured` as `istio_proxy_captured`; `earlier`: polls before."""

    id: str
    cause: str
    up: tuple[bool | None, bool | None]
    now: list[Observation]
    captured: bool | None = None
    target: Target = WORKLOAD
    earlier: list[list[Observation]] = field(default_factory=list)


def certificate(**changes: object) -> Observation:
    shown = {"not_before": CERTIFICATE.not_before, "not_after": CERTIFICATE.not_after}
    return hello(certificate=Certificate(**{**shown, "uris": CERTIFICATE.uris, **changes}))


def _twice(poll: list[Observation]) -> dict[str, list[list[Observation]]]:
    return {"earlier": [poll]}


def _states() -> Iterable[State]:  # noqa: PLR0915 - a table
    both = (True, True)
    down = (False, False)
    yield State("ambient-healthy", "none", both, seen(), captured=True)
    yield State("ambient-without-ports", "none", both, seen(application=None), WORKS, WITHOUT_PORTS)
    yield State("ambient-static", "none", both, seen(), WORKS, enrolled(None))
    yield State("ambient-alert", "none", (None, True), seen(said=ALERT), captured=True)
    yield State("ambient-bypassing", "none", (True, None), seen(control=None), None, BYPASSING)
    yield State("ambient-from-its-node", "none", (True, None), seen(control=None, application=None))
    yield State(
        "ambient-admits-15008-only", "none", (True, None), seen(control=TIMEOUT, application=OK)
    )
    yield State("ambient-rejects-control", "none", (True, None), seen(control=REJECTED))
    yield State("ambient-first-poll", "none", (None, None), seen()[:3], captured=True)
    yield State(
        "ambient-label-alone-served", "none", both, seen(), WORKS, enrolled(Redirection.MISSING)
    )

    blocked = "network_blocked"
    yield State("ambient-drops-15008", blocked, (None, True), seen(TIMEOUT), captured=True)
    yield State("ambient-refuses-15008", blocked, (False, True), seen(REFUSED), captured=True)
    yield State("ambient-rejects-15008", blocked, (None, True), seen(REJECTED), captured=True)
    yield State("ambient-only-8080", blocked, (None, None), seen(TIMEOUT, TIMEOUT, OK))
    yield State("ambient-rejects-but-8080", blocked, (None, None), seen(REJECTED, REJECTED, OK))
    yield State("ambient-rejects-all", blocked, (None, None), seen(REJECTED, REJECTED, REJECTED))
    yield State(
        "ambient-rejections-are-few", blocked, (None, None), seen(REJECTED, TIMEOUT, TIMEOUT)
    )
    dark = seen(TIMEOUT, TIMEOUT, TIMEOUT)
    yield State("ambient-ready-and-silent", blocked, (None, None), dark, None, READY)
    yield State("ambient-served-and-silent", blocked, (None, None), [*dark, SERVED])
    resets = seen(REFUSED, REFUSED, OK)
    yield State("ambient-resets-and-listens", blocked, (None, None), [*resets, SERVED])
    yield State("ambient-resets-and-serves", blocked, (None, None), [*resets, hello(address="")])

    shared = listening(15001, 15006, 15008, process="")
    yield State("ambient-shared-and-silent", blocked, (None, None), [*dark, shared])
    yield State("ambient-resets-and-shared", blocked, (None, None), [*resets, shared])
    yield State(
        "ambient-refuses-and-shared", blocked, (None, True), [*seen(REFUSED), shared], WORKS
    )

    only_15008 = [*seen(REFUSED), listening(15001, 15006)]
    yield State("ambient-lost-15008", "not_served", (False, True), only_15008, WORKS)
    taken = [*seen(REFUSED), listening(15006, process="python3")]
    yield State("ambient-15006-taken", "port_taken", down, taken, WORKS)

    yield State("ambient-unreachable", "unreachable", down, dark)
    v6_dark = seen(TIMEOUT, TIMEOUT, TIMEOUT, address=V6)
    yield State("ambient-one-family-silent", "unreachable", down, [*seen(), *v6_dark], None, DUAL)

    yield State("ambient-15008-taken", "port_taken", down, seen(OK, REFUSED, REFUSED, said=HTTP))
    nameless = certificate(uris=())
    yield State("ambient-nameless", "port_taken", (False, None), seen(said=nameless), WORKS)
    foreign = seen(OK, REFUSED, REFUSED, said=nameless)
    yield State("ambient-15008-taken-by-tls", "port_taken", down, foreign)
    yield State(
        "ambient-listener-taken",
        "port_taken",
        down,
        [*seen(REFUSED, REFUSED, REFUSED), listening(15006, 15008, process="python3")],
    )

    yield State(
        "ambient-no-rules", "redirection_missing", (True, None), seen(OK, REFUSED), captured=False
    )
    yield State(
        "ambient-no-rules-v6",
        "redirection_missing",
        (True, None),
        [*seen(), *seen(OK, REFUSED, address=V6)],
        captured=False,
        target=DUAL,
    )
    v6_refuses = seen(REFUSED, REFUSED, REFUSED, address=V6)
    yield State(
        "ambient-v4-only", "address_family_mismatch", down, [*seen(), *v6_refuses], None, DUAL
    )

    missing, pending = enrolled(Redirection.MISSING), enrolled(Redirection.PENDING)
    yield State("ambient-not-enrolled", "not_enrolled", down, resets, MISSES, missing)
    refused = seen(REFUSED, REFUSED, REFUSED)
    yield State("ambient-pending", "enrolment_pending", down, refused, None, pending)
    for redirection in (Redirection.MISSING, Redirection.PENDING):
        new = enrolled(redirection, NEW)
        yield State(f"ambient-{redirection}-new", "starting", down, refused, None, new)
    yield State("ambient-outside", "outside_mesh", down, resets, captured=False)
    for control in (TIMEOUT, REJECTED):
        admitted = seen(REFUSED, control, OK)
        name = f"ambient-outside-control-{control}"
        yield State(name, "outside_mesh", (False, None), admitted, MISSES)
    filtered = seen(TIMEOUT, REFUSED, OK)
    yield State("ambient-outside-filtered", "outside_mesh", (None, None), filtered, MISSES)
    yield State(
        "ambient-filtered-not-enrolled", "not_enrolled", (None, None), filtered, MISSES, missing
    )
    yield State("ambient-outside-static", "outside_mesh", down, resets, MISSES, enrolled(None))
    yield State(
        "ambient-outside-looked",
        "outside_mesh",
        down,
        [*resets, hello(REFUSED, address="")],
        MISSES,
    )
    yield State("ambient-outside-seen", "outside_mesh", down, [*resets, listening(8080)], MISSES)
    yield State("ambient-not-served", "not_served", down, refused)
    yield State(
        "ambient-not-served-unseen",
        "not_served",
        down,
        seen(REFUSED, REFUSED, None),
        target=WITHOUT_PORTS,
    )
    yield State(
        "ambient-not-served-bypassing",
        "not_served",
        (False, None),
        seen(REFUSED, None, OK),
        target=BYPASSING,
    )
    yield State("ambient-not-served-near", "not_served", (False, None), seen(REFUSED, None, None))
    yield State("ambient-dark-and-not-served", "not_served", down, [*dark, listening(8080)])

    hung, closed = seen(said=SILENT), seen(said=EARLY)
    yield State("ambient-hung", "ztunnel_stuck", down, hung, WORKS, **_twice(hung))
    yield State("ambient-hung-once", "none", down, hung, WORKS)
    yield State("ambient-unknown", "workload_unknown", (False, True), seen(said=LATE), WORKS)
    yield State(
        "ambient-refused-certificate",
        "identity_not_issued",
        (False, True),
        closed,
        WORKS,
        **_twice(closed),
    )
    yield State("ambient-closed-once", "none", (False, True), closed, WORKS)
    yield State(
        "ambient-closed-after-served", "none", (False, True), closed, WORKS, **_twice(seen())
    )
    other = certificate(uris=("spiffe://cluster.local/ns/shop/sa/other",))
    yield State("ambient-anothers", "identity_mismatch", both, seen(said=other), WORKS)
    nested = certificate(uris=(f"spiffe://cluster.local/ns/a/sa/b{IDENTITY}",))
    yield State("ambient-anothers-nested", "identity_mismatch", both, seen(said=nested), WORKS)
    whole = replace(
        WORKLOAD, settings=replace(WORKLOAD.settings, identity=f"spiffe://cluster.local{IDENTITY}")
    )
    yield State("ambient-whole-identity", "none", both, seen(), WORKS, whole)
    elsewhere = certificate(uris=(f"spiffe://prod.example.com{IDENTITY}",))
    yield State("ambient-other-trust-domain", "none", both, seen(said=elsewhere), WORKS)
    yield State(
        "ambient-not-this-domain", "identity_mismatch", both, seen(said=elsewhere), WORKS, whole
    )
    ended = certificate(not_before=NOW - DAY - 60, not_after=NOW - 60)
    yield State("ambient-ended", "certificate_expired", both, seen(said=ended), WORKS)
    future = certificate(not_before=NOW + 900, not_after=NOW + DAY)
    yield State("ambient-begins-later", "certificate_not_yet_valid", both, seen(said=future), WORKS)
    half = certificate(not_before=NOW - 0.56 * DAY, not_after=NOW + 0.44 * DAY)
    yield State("ambient-not-renewed", "certificate_not_renewed", both, seen(said=half), WORKS)
    fresh = certificate(not_before=NOW - 0.54 * DAY, not_after=NOW + 0.46 * DAY)
    yield State("ambient-renews-soon", "none", both, seen(said=fresh), WORKS)
    short = certificate(not_before=NOW - 1800, not_after=NOW + 600)
    yield State("ambient-short-lived", "none", both, seen(said=short), WORKS)
    yield State(
        "ambient-pod-view", "none", both, [*seen(), SERVED, inside(15053, OK)], captured=True
    )


STATES = tuple(_states())
