"""Pods as they should be, and what their ports answer then.

The table of tests/data/pods, the pods of the states that are shipped, and those that are built here
for what neither has.
"""

import json
from collections.abc import Iterator

import pytest
from msgspec import structs

from exporter.config import Config
from exporter.demo import SHIPPED, load_states
from exporter.discovery.pod_documents import decode_pod
from exporter.discovery.pods import targets_of_pod
from exporter.model import (
    AdminFacts,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    ReadinessFacts,
    Target,
    TlsFacts,
    ZtunnelFacts,
)
from exporter.poll.plan import Plan
from tests.diagnosis.matrix import CERTIFICATE, NOW, STATS, page
from tests.diagnosis.pod_states import (
    APP,
    MIGRATE,
    NATIVE,
    PROXY,
    ROUTER,
    Document,
    ended,
    job,
    native,
    pod,
    run,
    running,
    sidecar_in,
)
from tests.discovery.pod_documents import read_table

TABLE_NOW = 1795424100.0
"""An hour after the table's pods have begun, within the grace period of those that end."""

SAYS_SO = {
    "terminating": "draining",
    "deleted and held by a finalizer": "draining",
    "crash loop": "crash_looping",
    "gateway that was never injected": "proxy_missing",
}
"""The pods of the table whose own document reports what is wrong, whatever their ports answer."""

LISTENING = {**APP, "ports": [{"containerPort": 9000}]}


def _annotated(name: str, value: str) -> Document:
    notes = {"sidecar.istio.io/status": "{}", name: value}
    return sidecar_in(running(), metadata={"annotations": notes})


def _at(*addresses: str) -> Document:
    document = sidecar_in(running())
    ips = [{"ip": address} for address in addresses]
    return {**document, "status": {**document["status"], "podIP": addresses[0], "podIPs": ips}}


LONG_AGO = run(137, "OOMKilled", seconds=9000, ago=90_000)
BUILT: dict[str, Document] = {
    "classic sidecar": sidecar_in(running()),
    "native sidecar": pod((APP, running()), inits=((NATIVE, running()), (MIGRATE, ended()))),
    "native sidecar behind an init container": native(MIGRATE, ended(), before=True),
    "native sidecar before an init container": native(MIGRATE, ended(), before=False),
    "gateway": pod((ROUTER, running())),
    "job at work": job(running(), running()),
    "job at work beside a native sidecar": job(running(), running(), is_native=True),
    "second container": pod((APP, running()), (MIGRATE, running()), (PROXY, running())),
    "restarted once": sidecar_in(running(restarts=1, last=LONG_AGO)),
    "restarted often, long ago": sidecar_in(running(90_000, restarts=40, last=LONG_AGO)),
    "node was rebooted": sidecar_in(running(90, restarts=7, last=run(255, "Unknown"))),
    "nothing is reported": pod((APP, None), (PROXY, None)),
    "held by a finalizer, not deleted": sidecar_in(running(), finalizers=("example.com/keep",)),
    "put in by hand": pod((APP, running()), (PROXY, running()), injected=False),
    "status port off": _annotated("status.sidecar.istio.io/port", "0"),
    "status port by ProxyConfig": _annotated("proxy.istio.io/config", "statusPort: 15120"),
    "two families": _at("10.0.0.7", "fd00::7"),
    "two families, IPv6 first": _at("fd00::7", "10.0.0.7"),
    "IPv6 alone": _at("fd00::7"),
    "gateway beside another container": pod((ROUTER, running()), (LISTENING, running())),
    "gateway in ambient": pod(
        (ROUTER, running()),
        metadata={"annotations": {"ambient.istio.io/redirection": "enabled"}},
        injected=False,
    ),
}


def answer(probe: Probe, target: Target, now: float) -> Observation:
    """What a working pod of this target answers to the probe."""
    outcome, facts = Outcome.OK, None
    certificate = structs.replace(
        CERTIFICATE,
        not_before=now - 3600,
        not_after=now + 82_800,
        uris=(f"spiffe://cluster.local{target.settings.identity}",),
    )
    match probe.kind:
        case ProbeKind.EXPOSURE:
            outcome = Outcome.RESET if probe.captured else Outcome.REFUSED
        case ProbeKind.AGENT:
            facts = page()
        case ProbeKind.READINESS:
            facts = ReadinessFacts(status=200)
        case ProbeKind.STATS:
            facts = STATS
        case ProbeKind.ADMIN:
            facts = AdminFacts(state="LIVE")
        case ProbeKind.ZTUNNEL_STATS:
            facts = ZtunnelFacts(page=Outcome.OK, active=8, pending=0, terminations={})
        case ProbeKind.HELLO | ProbeKind.HBONE_HELLO:
            facts = TlsFacts(certificate=certificate)
    return Observation(probe, outcome, 0.01, "", facts, connected=outcome is not Outcome.REFUSED)


def answers(plan: Plan, now: float) -> list[Observation]:
    """Everything that one poll with all cadences sees."""
    asked = [probe for part in plan.network for probe in part.probes]
    asked += [part.hello for part in plan.network if part.hello]
    return [answer(probe, plan.target, now) for probe in (*asked, *plan.in_pod)]


def target_in(document: Document) -> Target:
    (target,) = targets_of_pod(decode_pod(json.dumps(document).encode()), Config())
    return target


def _shipped() -> Iterator[tuple[str, Document]]:
    """The pods of the shipped states, whatever was done to them; none of them has a status."""
    for state in load_states(SHIPPED):
        if state.pod:
            document = json.loads(state.pod)
            yield state.name, {**document, "status": {"phase": "Running", "podIP": "10.0.0.9"}}


TABLE = [row for row in read_table() if row.target is not None]
PODS = [
    *(pytest.param(row.pod, TABLE_NOW, SAYS_SO.get(row.id, "none"), id=row.id) for row in TABLE),
    *(pytest.param(document, NOW, "none", id=f"built: {name}") for name, document in BUILT.items()),
    *(
        pytest.param(document, TABLE_NOW, "none", id=f"shipped: {name}")
        for name, document in _shipped()
    ),
]
