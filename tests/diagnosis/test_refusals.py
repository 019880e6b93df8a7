"""A policy that resets connections, told from a process that is gone."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from exporter.catalogue import ports_of
from exporter.model import (
    ContainerState,
    Lifecycle,
    Memory,
    Outcome,
    PodContainer,
    Redirection,
    Role,
    Settings,
)
from tests.diagnosis.ambient_states import WORKLOAD
from tests.diagnosis.matrix import (
    CONTROL,
    NOW,
    SIDECAR,
    all_of,
    cause_of,
    dropped,
    net,
    seen_by,
    sidecar,
    target_of,
    ups,
)

BARE_GATEWAY = target_of(Role.GATEWAY)
READY = Lifecycle(
    container_ready=True, node_ready=True, created=NOW - 900, started=NOW - 800,
    restarts=0, unready_after=60.0,
)  # fmt: skip
REFUSED = [*all_of(Outcome.REFUSED, (CONTROL, 15020, 15021, 15090)), net(15006, Outcome.REFUSED)]

OTHERWISE = {
    "ready for longer than its probe allows": ({}, "network_blocked"),
    "no readiness probe": ({"unready_after": None}, "proxy_not_running"),
    "not ready": ({"container_ready": False}, "proxy_not_running"),
    "a node that is not ready": ({"node_ready": False}, "proxy_not_running"),
    "restarted since": ({"started": NOW + 30, "restarts": 1}, "proxy_not_running"),
}


@pytest.mark.parametrize(("changes", "cause"), OTHERWISE.values(), ids=OTHERWISE)
def test_refusals_come_from_a_policy_only_where_the_kubelet_would_have_noticed(
    changes: dict[str, object], cause: str
) -> None:
    memory, causes = Memory(), []
    target = replace(SIDECAR, lifecycle=replace(READY, **changes))
    for seconds in (0, 30, 60, 90):
        record, memory = seen_by(REFUSED, target=target, memory=memory, now=NOW + seconds)
        causes.append(cause_of(record))
    assert causes == ["proxy_not_running"] * 3 + [cause]
    if cause == "network_blocked":
        assert set(ups(record).values()) == {None}
        assert record.diagnosis
        assert "stayed ready" in " ".join(record.diagnosis.evidence)


ADMITTED = {
    (Role.SIDECAR, 15020): ("proxy_not_running", 15021),
    (Role.SIDECAR, 15090): ("agent_gone", 15021),
    (Role.GATEWAY, 15020): ("proxy_not_running", 15021),
    (Role.GATEWAY, 15090): ("agent_gone", 15021),
    (Role.ZTUNNEL, 15020): ("ztunnel_not_ready", 15021),
    (Role.ISTIOD, 15014): ("istiod_not_ready", 8080),
    (Role.CNI, 15014): ("cni_not_ready", 8000),
}


@pytest.mark.parametrize(("role", "admitted"), ADMITTED)
@pytest.mark.parametrize("is_probed", [True, False])
def test_a_policy_that_admits_one_port_is_known_by_the_port_that_the_kubelet_probes(
    role: Role, admitted: int, *, is_probed: bool
) -> None:
    cause, probed = ADMITTED[role, admitted]
    lifecycle = replace(READY, probed_port=probed if is_probed else 0)
    memory, target = Memory(), target_of(role, lifecycle=lifecycle)
    numbers = [CONTROL, 15006] if role is Role.SIDECAR else []
    numbers += [port.number for port in ports_of(target) if port.probe and port.number != 15000]
    seen = [*all_of(Outcome.REFUSED, {*numbers} - {admitted}), net(admitted, Outcome.OK)]
    for seconds in (0, 30, 60, 90):
        record, memory = seen_by(seen, target=target, memory=memory, now=NOW + seconds)
        blocked = is_probed and seconds == 90
        assert cause_of(record) == ("network_blocked" if blocked else cause)
    assert (False in ups(record).values()) is not is_probed


@pytest.mark.parametrize("role", [Role.GATEWAY, Role.WAYPOINT])
def test_what_refuses_beside_an_agent_that_envoy_reaches_is_kept_by_a_policy(role: Role) -> None:
    others = {port.number for port in ports_of(target_of(role)) if port.probe} - {15000, 15021}
    seen = [*all_of(Outcome.REFUSED, others), net(15021, Outcome.OK)]
    record, _ = seen_by(seen, target=target_of(role))
    assert cause_of(record) == "network_blocked"
    assert {number: ups(record)[number] for number in others} == dict.fromkeys(others)


HELD = replace(READY, container_ready=False, probed_port=15021)
NOT_READY = {
    "for minutes": ({}, (0, 60, 121), "kubelet_cut_off"),
    "not for long": ({}, (0, 60, 120), "none"),
    "its probe may fail for longer": ({"unready_after": 300.0}, (0, 200, 300), "none"),
    "is not probed yet": ({"probe_delay": 1000.0}, (0, 190), "none"),
    "is probed from then on": ({"probe_delay": 1000.0}, (0, 200, 321), "kubelet_cut_off"),
    "ready": ({"container_ready": True}, (0, 300), "none"),
    "of a node that is not ready": ({"node_ready": False}, (0, 300), "none"),
    "of a node that is not known": ({"node_ready": None}, (0, 300), "none"),
    "does not run": ({"started": None, "restarts": 1}, (0, 300), "none"),
    "probed on a port that it does not have": ({"probed_port": 4}, (0, 300), "kubelet_cut_off"),
    "probed otherwise": ({"probed_port": 0}, (0, 300), "none"),
}


@pytest.mark.parametrize(("changes", "polls", "cause"), NOT_READY.values(), ids=NOT_READY)
def test_a_kubelet_that_does_not_see_what_we_see_is_cut_off(
    changes: dict[str, Any], polls: tuple[float, ...], cause: str
) -> None:
    memory, target = Memory(), replace(SIDECAR, lifecycle=replace(HELD, **changes))
    for seconds in polls:
        record, memory = seen_by(sidecar(), target=target, memory=memory, now=NOW + seconds)
        begins = HELD.started + changes.get("probe_delay", 0.0)
        is_held = (
            changes.keys() <= {"unready_after", "probe_delay", "probed_port"}
            and NOW + seconds >= begins
        )
        is_held = is_held and target.lifecycle.probed_port > 0
        is_begun = is_held and cause_of(record) == "none"
        assert ("kubelet_cut_off" in record.undetected) is is_begun
    assert cause_of(record) == cause


def test_a_probe_of_a_port_that_the_proxy_does_not_have_is_named_with_what_moves_it() -> None:
    settings = Settings(health_port=16021)
    memory, target = Memory(), replace(SIDECAR, lifecycle=HELD, settings=settings)
    moved = sidecar(net(16021, Outcome.CAPTURED, captured=True), without=(15021,))
    for seconds in (0, 150):
        record, memory = seen_by(moved, target=target, memory=memory, now=NOW + seconds)
    assert cause_of(record) == "kubelet_cut_off"
    assert record.diagnosis
    assert "the kubelet probes 15021" in " ".join(record.diagnosis.evidence)
    assert "ENVOY_STATUS_PORT" in record.diagnosis.advice


def test_a_poll_in_which_it_is_not_ready_for_us_either_begins_anew() -> None:
    memory, target = Memory(), replace(SIDECAR, lifecycle=HELD)
    unready = sidecar(net(15021, Outcome.NOT_READY))
    for seconds, seen in ((0, sidecar()), (60, unready), (150, sidecar()), (200, sidecar())):
        record, memory = seen_by(seen, target=target, memory=memory, now=NOW + seconds)
        assert cause_of(record) == "none"


def test_a_pod_that_is_deleted_is_not_held() -> None:
    memory, target = Memory(), replace(SIDECAR, lifecycle=replace(HELD, terminating=True))
    for seconds in (0, 150):
        record, memory = seen_by(sidecar(), target=target, memory=memory, now=NOW + seconds)
    assert cause_of(record) == "draining"


ENROLLED = (Role.GATEWAY, Role.WAYPOINT, Role.AGENTGATEWAY, Role.ISTIOD, Role.CNI)
IN_AMBIENT = {
    **{(role, Redirection.ENABLED): "not_served" for role in (Role.AMBIENT, *ENROLLED)},
    **{(role, Redirection.PENDING): "enrolment_pending" for role in (Role.AMBIENT, *ENROLLED)},
}


@pytest.mark.parametrize(("role", "redirection"), IN_AMBIENT)
def test_in_ambient_the_kubelet_gets_past_what_refuses_everybody_else(
    role: Role, redirection: Redirection
) -> None:
    found = WORKLOAD if role is Role.AMBIENT else target_of(role)
    settings = replace(found.settings, ambient=redirection is Redirection.ENABLED)
    target = replace(found, settings=settings, redirection=redirection, lifecycle=READY)
    ports = [port.number for port in ports_of(target) if port.probe]
    memory = Memory()
    for seconds in (0, 60, 120, 300):
        refused = all_of(Outcome.REFUSED, ports)
        record, memory = seen_by(refused, target=target, memory=memory, now=NOW + seconds)
        assert cause_of(record) == IN_AMBIENT[role, redirection]


def test_a_poll_with_one_answer_begins_anew() -> None:
    memory, target = Memory(), replace(SIDECAR, lifecycle=READY)
    answer = [*REFUSED[:1], net(15020, Outcome.TIMEOUT), *REFUSED[2:]]
    for seconds, seen in ((0, REFUSED), (30, REFUSED), (60, answer), (90, REFUSED)):
        record, memory = seen_by(seen, target=target, memory=memory, now=NOW + seconds)
    assert cause_of(record) == "proxy_not_running"


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("ImagePullBackOff", "cannot pull the image of istio-proxy"),
        ("ErrImagePull", "cannot pull the image of istio-proxy"),
        ("CreateContainerConfigError", "has not started istio-proxy: a volume, a config map"),
        ("ContainerCreating", "has not started istio-proxy: a volume, a config map"),
        ("CrashLoopBackOff", "Look at the container"),
    ],
)
@pytest.mark.parametrize(
    ("role", "name", "cause", "ports"),
    [
        (Role.SIDECAR, "istio-proxy", "proxy_not_running", (CONTROL, 15020, 15021, 15090)),
        (Role.ISTIOD, "discovery", "istiod_not_ready", (8080, 15010, 15012, 15014, 15017)),
        (Role.CNI, "install-cni", "cni_not_ready", (8000, 15014)),
    ],
)
@pytest.mark.parametrize("has_address", [True, False])
def test_what_keeps_a_container_from_its_start_is_named_with_what_to_check(
    reason: str,
    advice: str,
    role: Role,
    name: str,
    cause: str,
    ports: tuple[int, ...],
    *,
    has_address: bool,
) -> None:
    row = PodContainer(name=name, state=ContainerState.WAITING, reason=reason)
    lifecycle = Lifecycle(container_ready=False, created=NOW - 900, proxy=name, containers=(row,))
    refusing = all_of(Outcome.REFUSED, ports) if has_address else []
    record, _ = seen_by(refusing, target=replace(target_of(role), lifecycle=lifecycle))
    assert record.diagnosis
    assert record.diagnosis.cause == cause
    is_unstarted = "config map" in advice and role is Role.SIDECAR
    assert ("istio-ca-root-cert" in record.diagnosis.advice) is is_unstarted
    has_run = reason == "CrashLoopBackOff"
    assert (advice.replace("istio-proxy", name) in record.diagnosis.advice) is (
        not has_run or role is Role.SIDECAR
    )


@pytest.mark.parametrize(
    ("role", "settings", "ports"),
    [
        (Role.SIDECAR, {}, "15020, 15021 and 15090"),
        (Role.SIDECAR, {"status_port": 15120}, "15120, 15021 and 15090"),
        (Role.SIDECAR, {"metrics_localhost_only": True}, "15020 and 15021"),
        (Role.GATEWAY, {"server_ports": (8443,)}, "15020, 15021 and 15090"),
        (Role.PROXYLESS, {}, "15020"),
        (Role.ZTUNNEL, {}, "15020 and 15021"),
        (Role.AGENTGATEWAY, {}, "15020 and 15021"),
        (Role.CNI, {}, "8000 and 15014"),
        (Role.ISTIOD, {}, "8080, 15010, 15012, 15014 and 15017"),
        (Role.ISTIOD, {"grpc_xds_port": 0}, "8080, 15012, 15014 and 15017"),
    ],
)
def test_the_advice_names_the_ports_that_this_target_has(
    role: Role, settings: dict[str, object], ports: str
) -> None:
    target = target_of(role, settings=Settings(**settings), lifecycle=READY)
    seen = [dropped(port.number) for port in ports_of(target) if port.probe]
    record, _ = seen_by(seen, target=target)
    assert record.diagnosis
    assert record.diagnosis.cause == "network_blocked"
    assert f"reach {ports} in NetworkPolicies" in record.diagnosis.advice


def test_a_policy_that_ztunnel_enforces_is_told_from_a_gateway_that_is_gone() -> None:
    """A gateway in ambient under STRICT: its ztunnel accepts the exporter and closes."""
    settings = replace(BARE_GATEWAY.settings, ambient=True)
    memory, target = Memory(), replace(BARE_GATEWAY, settings=settings, lifecycle=READY)
    closed = [*all_of(Outcome.RESET, (15020, 15021, 15090)), net(8443, Outcome.OK)]
    for seconds in (0, 30, 60, 90):
        record, memory = seen_by(closed, target=target, memory=memory, now=NOW + seconds)
    assert cause_of(record) == "network_blocked"
    assert set(ups(record).values()) == {None}
    assert record.diagnosis
    assert "PERMISSIVE" in record.diagnosis.advice


@pytest.mark.parametrize(("is_enrolled", "advised"), [(True, "ztunnel"), (False, "CPU limit")])
def test_a_proxy_that_is_silent_on_every_port_is_advised_with_the_ztunnel_before_it(
    *, is_enrolled: bool, advised: str
) -> None:
    settings = replace(BARE_GATEWAY.settings, ambient=is_enrolled)
    target = replace(BARE_GATEWAY, settings=settings, lifecycle=READY)
    silent = [structs.replace(net(port, Outcome.TIMEOUT), connected=True) for port in GENUINE]
    record, _ = seen_by(silent, target=target)
    assert cause_of(record) == "container_starved"
    assert record.diagnosis
    assert advised in record.diagnosis.advice.partition(".")[0]


GENUINE = (15020, 15021, 15090)
