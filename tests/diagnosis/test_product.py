"""Every answer of every port in every state that Kubernetes reports: what fails has a cause.

The product of what 15020, 15021, 15090, the control port and 15006 can answer, times what the
document says of the container, for sidecars; the like for istiod. Where a port is down or a proxy
is not ready and no cause is named, the reason stands in `WITHOUT_CAUSE`.
"""

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from msgspec import structs

from exporter.model import (
    AgentMetrics,
    Lifecycle,
    Memory,
    Observation,
    Outcome,
    ReadinessFacts,
    Role,
    Settings,
    Target,
    TargetRecord,
)
from tests.diagnosis.cases import ISTIOD
from tests.diagnosis.matrix import (
    CONTROL,
    GATEWAY,
    NOW,
    SIDECAR,
    STATS,
    cause_of,
    dropped,
    hello,
    net,
    page,
    rejected,
    seen_by,
    target_of,
)

Answer = Callable[[int], Observation]

COMMON: dict[str, Answer] = {
    "foreign": lambda port: net(port, Outcome.WRONG_IDENTITY, detail="another process"),
    "accepts": lambda port: net(port, Outcome.TIMEOUT),
    "refused": lambda port: net(port, Outcome.REFUSED),
    "silent": dropped,
}
READY = {
    "serves": lambda port: net(port, Outcome.OK, facts=ReadinessFacts(status=200)),
    "not ready": lambda port: net(port, Outcome.NOT_READY, facts=ReadinessFacts(status=503)),
    **COMMON,
}
AGENT: dict[str, Answer] = {
    "serves": lambda port: net(port, Outcome.OK, facts=page()),
    "not ready": lambda port: net(
        port, Outcome.NOT_READY, facts=page(503, AgentMetrics(xds_requests=1))
    ),
    **COMMON,
}
STATISTICS: dict[str, Answer] = {
    "serves": lambda port: net(port, Outcome.OK, facts=STATS),
    "not ready": lambda port: net(port, Outcome.OK, facts=structs.replace(STATS, state=3)),
    **COMMON,
}
INBOUND = {
    "certificate": [net(CONTROL, Outcome.OK), hello(Outcome.OK)],
    "reset": [net(CONTROL, Outcome.OK), hello(Outcome.RESET)],
    "foreign": [net(CONTROL, Outcome.OK), hello(Outcome.WRONG_PROTOCOL)],
    "accepts": [net(CONTROL, Outcome.OK), hello(Outcome.TIMEOUT)],
    "bypassed": [net(CONTROL, Outcome.REFUSED), net(15006, Outcome.CLOSED)],
    "refused": [net(CONTROL, Outcome.REFUSED), net(15006, Outcome.REFUSED)],
    "silent": [dropped(CONTROL)],
    "rejected": [rejected(CONTROL)],
}
STATES = {
    "unknown": Lifecycle(),
    "ready": Lifecycle(
        container_ready=True, node_ready=True, created=NOW - 9000, started=NOW - 8000
    ),
    "not ready": Lifecycle(
        container_ready=False, node_ready=True, created=NOW - 9000, started=NOW - 8000
    ),
    "down": Lifecycle(container_ready=False, node_ready=True, created=NOW - 9000, restarts=3),
    "deleted": Lifecycle(terminating=True, delete_by=NOW + 20, created=NOW - 9000),
}


def sidecars() -> Iterator[tuple[tuple[str, ...], Target, list[Observation]]]:
    names = itertools.product(AGENT, READY, STATISTICS, INBOUND, STATES)
    for status, health, stats, inbound, state in names:
        seen = [
            AGENT[status](15020),
            READY[health](15021),
            STATISTICS[stats](15090),
            *INBOUND[inbound],
        ]
        yield (
            (status, health, stats, inbound, state),
            replace(SIDECAR, lifecycle=STATES[state]),
            seen,
        )


def gateways() -> Iterator[tuple[tuple[str, ...], Target, list[Observation]]]:
    """Gateways with a server, and waypoints with their 15008, in two states."""
    for target, port in ((GATEWAY, 8443), (target_of(Role.WAYPOINT), 15008)):
        names = itertools.product(AGENT, READY, STATISTICS, READY, ("unknown", "not ready"))
        for status, health, stats, traffic, state in names:
            seen = [AGENT[status](15020), READY[health](15021), STATISTICS[stats](15090)]
            yield (
                (status, health, stats, "no capture", state, f"traffic {traffic}"),
                replace(target, lifecycle=STATES[state]),
                [*seen, READY[traffic](port)],
            )


def istiods() -> Iterator[tuple[tuple[str, ...], Target, list[Observation]]]:
    """Each of five ports on its own; and in every state with 15010 and 15014 as 15012."""
    ports = (8080, 15017, 15012, 15010, 15014)
    rows = [(names, "ready") for names in itertools.product(READY, repeat=len(ports))]
    for debug, webhook, xds, state in itertools.product(READY, READY, READY, STATES):
        rows.append(((debug, webhook, xds, xds, xds), state))
    for names, state in rows:
        seen = [READY[name](port) for name, port in zip(names, ports, strict=True)]
        yield (*names, state), replace(ISTIOD, lifecycle=STATES[state]), seen


SERVES: dict[str, Answer] = {**COMMON, "serves": lambda port: net(port, Outcome.OK)}


def others() -> Iterator[tuple[tuple[str, ...], Target, list[Observation]]]:
    """Proxyless agents, ztunnels, CNI agents and agentgateways, with 15008 as waypoints."""
    waypoint = target_of(Role.AGENTGATEWAY, settings=Settings(hbone=True))
    for target, ports in (
        (target_of(Role.ZTUNNEL), (15020, 15021)),
        (target_of(Role.CNI), (15014, 8000)),
        (target_of(Role.AGENTGATEWAY), (15020, 15021)),
        (waypoint, (15020, 15021, 15008)),
    ):
        answers = (SERVES, READY, SERVES)[: len(ports)]
        for *names, state in itertools.product(*answers, STATES):
            seen = [SERVES[names[0]](ports[0]), *map(_seen, names[1:], ports[1:])]
            yield (*names, state), replace(target, lifecycle=STATES[state]), seen
    for name, state in itertools.product(AGENT, STATES):
        target = replace(target_of(Role.PROXYLESS), lifecycle=STATES[state])
        yield (name, state), target, [AGENT[name](15020)]


def _seen(name: str, port: int) -> Observation:
    return READY[name](port)


ANSWERS = frozenset({"serves", "not ready", "certificate", "reset", "no capture"})

Names = tuple[str, ...]

WITHOUT_CAUSE: dict[str, Callable[[Names], bool]] = {
    "one port of Envoy fails and another answers, so that Envoy runs: the port's own verdict": (
        lambda names: len(ANSWERS & {*names[1:4]}) > 0 and not ANSWERS.issuperset(names[1:4])
    ),
    "Envoy's ports fail in different ways, which no one state of a process explains": (
        lambda names: len({*names[1:4]} - ANSWERS) > 1
    ),
    "agent and its relay on 15021 contradict each other: a poll between two states": (
        lambda names: names[0] != names[1] and {*names[:2]} & {"serves", "not ready"} != set()
    ),
    "a port of traffic is silent while Envoy answers elsewhere: the port's own verdict": (
        lambda names: names[-1] == "traffic accepts"
    ),
    "Envoy reports that it initialises while its workers answer: a poll between two states": (
        lambda names: names[2] == "not ready" and names[1] in ANSWERS
    ),
}
"""Why no cause is named where something fails: each row is a sentence and what it holds for."""


def is_failing(record: TargetRecord) -> bool:
    down = any(verdict.up is False for verdict in record.verdicts)
    return down or any(ready is False for ready in record.ready.values())


def without_cause(
    rows: Iterator[tuple[tuple[str, ...], Target, list[Observation]]],
) -> dict[tuple[str, ...], TargetRecord]:
    found = {}
    for names, target, seen in rows:
        memory = Memory()
        for seconds in (0.0, 120.0):
            record, memory = seen_by(seen, target=target, memory=memory, now=NOW + seconds)
        if is_failing(record) and cause_of(record) == "none":
            found[names] = record
    return found


def test_a_proxy_of_which_something_fails_has_a_cause_or_a_reason_why_not() -> None:
    found = without_cause(itertools.chain(sidecars(), gateways()))
    reasons = Counter(
        next((why for why, holds in WITHOUT_CAUSE.items() if holds(names)), "") for names in found
    )
    unexplained = [
        names for names in found if not any(holds(names) for holds in WITHOUT_CAUSE.values())
    ]
    for why, count in reasons.most_common():
        sys.stdout.write(f"{count:4} states without a cause: {why or 'not explained'}\n")
    assert unexplained == []
    assert set(reasons) == set(WITHOUT_CAUSE), "a reason that nothing needs"


def test_an_istiod_of_which_something_fails_has_a_cause() -> None:
    assert without_cause(istiods()) == {}


def test_of_ztunnels_agents_and_agentgateways_only_a_page_of_metrics_fails_without_a_cause() -> (
    None
):
    """Traffic and readiness are not concerned: the verdict on the port says all there is."""
    found = without_cause(others())
    for names, record in found.items():
        assert record.target.role in {Role.ZTUNNEL, Role.CNI, Role.AGENTGATEWAY}
        down = [verdict.port for verdict in record.verdicts if verdict.up is False]
        assert down in ([15020], [15014]), names
        assert all(record.ready.values()), names
