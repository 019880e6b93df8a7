"""What several istiods say together of a proxy, pass by pass."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from msgspec import structs

from exporter.config import Config, DiscoveryConfig, IstiodConfig, KubernetesConfig
from exporter.control_plane.proxy_sync import merge_replicas, revisions_elsewhere, why_incomplete
from exporter.model import (
    Cadence,
    IstiodFacts,
    Lifecycle,
    Memory,
    Observation,
    Outcome,
    ProxyStatus,
    Role,
    SyncStatus,
    Target,
    TargetKey,
    TargetRecord,
    Timestamped,
    XdsResource,
)
from tests.diagnosis.cases import ISTIOD, istiod
from tests.diagnosis.matrix import NOW, net, seen_by

CONFIG = Config()
PASS = 120.0
CART = Target(
    key=TargetKey("shop", "cart"),
    role=Role.SIDECAR,
    addresses=("10.0.0.7",),
    cluster_id="Kubernetes",
)
IN_STEP = XdsResource(synced=True)
NO_RESOURCES: Mapping[str, XdsResource] = {}


def row(
    proxy: str = "cart.shop",
    cluster: str = "Kubernetes",
    resources: Mapping[str, XdsResource] = NO_RESOURCES,
) -> SyncStatus:
    return SyncStatus(proxy=proxy, cluster_id=cluster, version="1.30.0", resources=resources)


def replica(*passes: tuple[SyncStatus, ...], cluster: str = "", ago: float = 0.0) -> TargetRecord:
    """An istiod's record: its passes newest first, the newest so many seconds ago."""
    listings = tuple(
        Timestamped(rows, NOW - ago - PASS * number) for number, rows in enumerate(passes)
    )
    return TargetRecord(target=replace(ISTIOD, cluster_id=cluster), listings=listings)


@pytest.mark.parametrize(
    ("role", "reported", "version"),
    [
        (Role.SIDECAR, "1.28.10", "1.28.10"),
        (Role.GATEWAY, "1.28.10-asm.4", "1.28.10"),
        (Role.ZTUNNEL, "1.28.10", "1.28.10"),
        (Role.SIDECAR, "2.6.3", "1.20"),
        (Role.SIDECAR, "unknown", ""),
        (Role.SIDECAR, "", ""),
        (Role.AGENTGATEWAY, "1.0.0", ""),
        (Role.CNI, "1.28.10", ""),
    ],
)
def test_an_istiod_that_lists_a_proxy_has_its_version(
    role: Role, reported: str, version: str
) -> None:
    listed = replica((structs.replace(row(), version=reported),), cluster="Kubernetes")
    merged = merge_replicas([None, listed], CONFIG, NOW)
    assert merged.version(replace(CART, role=role)) == version
    assert merged.version(replace(CART, role=role, key=TargetKey("shop", "other"))) == ""


def said(*replicas: TargetRecord | None, proxy: Target = CART) -> ProxyStatus | None:
    return merge_replicas(replicas, CONFIG, NOW).status(proxy)


def known(*replicas: TargetRecord | None, proxy: Target = CART) -> bool | None:
    status = said(*replicas, proxy=proxy)
    return None if status is None else status.xds_known


HERE, NOWHERE = (row(),), (row("other.shop"),)
TWICE = (NOWHERE, NOWHERE)

KNOWN = {
    "one lists it": ((replica(HERE),), True),
    "the other lists it": ((replica(NOWHERE), replica(HERE)), True),
    "both lists are stale with it": ((replica(HERE), replica(HERE, ago=60)), True),
    "missed once": ((replica(NOWHERE), replica(NOWHERE)), None),
    "missed twice by one, once by the other": ((replica(*TWICE), replica(NOWHERE)), None),
    "missed twice by all": ((replica(*TWICE), replica(*TWICE, ago=60)), False),
    "it moved between the passes": ((replica(*TWICE), replica(NOWHERE, HERE)), None),
    "nobody lists anybody": ((replica((), ()),), False),
    "one did not answer": ((replica(HERE), replica()), None),
    "one was never looked at": ((replica(HERE), None), None),
    "one answered long ago": ((replica(HERE), replica(HERE, ago=2 * PASS + 1)), None),
    "no istiod": ((), None),
    "another cluster has a pod of that name": ((replica((row(cluster="other"),), ()),), False),
    "an old istiod tells no cluster": ((replica((row(cluster=""),)),), True),
    "another cluster's istiod does not answer": (
        (replica(HERE, cluster="Kubernetes"), replica(cluster="other")),
        True,
    ),
    "only another cluster's istiod": ((replica(HERE, cluster="other"),), None),
}


@pytest.mark.parametrize(("replicas", "expected"), KNOWN.values(), ids=KNOWN)
def test_a_proxy_is_known_or_missing_by_all_listings(
    replicas: tuple[TargetRecord | None, ...], expected: bool | None
) -> None:
    assert known(*replicas) is expected


def test_a_proxy_without_a_cluster_is_of_its_istiods_cluster() -> None:
    nameless = replace(CART, cluster_id="")
    foreign = (row(cluster="other"),)
    assert known(replica(HERE, cluster="Kubernetes"), proxy=nameless) is True
    assert known(replica(foreign, foreign, cluster="Kubernetes"), proxy=nameless) is False


def test_a_pod_name_may_have_dots() -> None:
    dotted = replace(CART, key=TargetKey("shop", "cart.v1"))
    assert known(replica((row("cart.v1.shop"),)), proxy=dotted) is True


LIVES = {
    "by hand": (Lifecycle(), False),
    "ran before both passes": (Lifecycle(container_ready=True, started=NOW - 900), False),
    "ran, and is not ready": (Lifecycle(container_ready=False, started=NOW - 900), False),
    "began after the first pass": (Lifecycle(container_ready=True, started=NOW - 100), None),
    "was starting in the first pass": (Lifecycle(container_ready=True, started=NOW - 150), None),
    "does not run": (Lifecycle(container_ready=False), None),
    "is ending": (Lifecycle(container_ready=True, started=NOW - 900, terminating=True), None),
}


@pytest.mark.parametrize(("life", "expected"), LIVES.values(), ids=LIVES)
def test_only_a_proxy_that_ran_then_is_missed(life: Lifecycle, expected: bool | None) -> None:
    assert known(replica(*TWICE), proxy=replace(CART, lifecycle=life)) is expected


@pytest.mark.parametrize("role", Role)
def test_which_roles_are_missed_and_which_are_only_found(role: Role) -> None:
    proxy = replace(CART, role=role)
    never = role in (Role.ISTIOD, Role.CNI, Role.AMBIENT)
    may_stay_away = role in (Role.PROXYLESS, Role.AGENTGATEWAY, Role.ZTUNNEL)
    assert known(replica(HERE), proxy=proxy) is (None if never else True)
    assert known(replica(*TWICE), proxy=proxy) is (None if never or may_stay_away else False)


def late(acked: str, *, error: str = "") -> XdsResource:
    return XdsResource(synced=False, behind=acked, error=error)


SYNCED = {
    "in step": ([IN_STEP], {"lds": True}),
    "in step after it was late": ([IN_STEP, late("1")], {"lds": True}),
    "late for the first time": ([late("1")], {}),
    "late after it was in step": ([late("1"), IN_STEP], {}),
    "late twice, and getting on": ([late("2"), late("1")], {}),
    "late twice with the same": ([late("1"), late("1")], {"lds": False}),
    "never acknowledged": ([late(""), late("")], {"lds": False}),
    "asked for and never sent": ([late(""), late("")], {"lds": False}),
    "rejected": ([late("1", error="no such filter")], {"lds": False}),
    "never asked for": ([], {}),
}


@pytest.mark.parametrize(("passes", "expected"), SYNCED.values(), ids=SYNCED)
def test_a_resource_is_synced_by_two_listings(
    passes: list[XdsResource], expected: dict[str, bool]
) -> None:
    lists = [(row(resources={"lds": resource}),) for resource in passes] or [HERE]
    assert said(replica(*lists)) == ProxyStatus(xds_known=True, xds_synced=expected)


def test_the_newest_listing_of_a_proxy_counts() -> None:
    stuck = (row(resources={"lds": late("1")}),)
    fine = (row(resources={"lds": IN_STEP}),)
    status = said(replica(stuck, stuck, ago=60), replica(fine, ago=5))
    assert status == ProxyStatus(xds_known=True, xds_synced={"lds": True})


# --- what an istiod's own memory keeps -----------------------------------------------------------


def answered(rows: tuple[SyncStatus, ...] | None) -> list[Observation]:
    facts = IstiodFacts(version="1.30.0", connected_proxies=1.0, syncz=rows)
    return istiod(net(15014, Outcome.OK, facts=facts))


QUICK = istiod(net(15014, Outcome.OK, facts=IstiodFacts(version="1.30.0")))
SILENT = istiod(net(15014, Outcome.TIMEOUT))
GONE = istiod(net(15014, Outcome.REFUSED))

POLLS = {
    "one pass": ([answered(HERE)], [HERE]),
    "two passes": ([answered(HERE), answered(NOWHERE)], [NOWHERE, HERE]),
    "three passes": ([answered(()), answered(HERE), answered(NOWHERE)], [NOWHERE, HERE]),
    "polls in between": ([answered(HERE), QUICK, QUICK, answered(())], [(), HERE]),
    "the last pass was refused": ([answered(HERE), answered(None)], []),
    "the last pass was not answered": ([answered(HERE), SILENT], []),
    "it is gone since": ([answered(HERE), GONE], []),
    "it came back": ([answered(HERE), GONE, answered(NOWHERE)], [NOWHERE]),
}


@pytest.mark.parametrize(("polls", "expected"), POLLS.values(), ids=POLLS)
def test_an_istiods_last_two_answers_are_kept_while_it_answers(
    polls: list[list[Observation]], expected: list[tuple[SyncStatus, ...]]
) -> None:
    memory = Memory()
    for number, seen in enumerate(polls):
        now = NOW + 30.0 * number
        due = {Cadence.FAST} if seen in (QUICK, GONE) else {Cadence.FAST, Cadence.DETAIL}
        memory = structs.replace(memory, polled={**memory.polled, **dict.fromkeys(due, now)})
        record, memory = seen_by(seen, target=ISTIOD, memory=memory, now=now)
    assert [listing.value for listing in record.listings] == expected
    assert record.listings == memory.listings


# --- what makes the union impossible -------------------------------------------------------------


def discovering(**chosen: object) -> Config:
    kubernetes = KubernetesConfig(**chosen)
    istiod = IstiodConfig(namespaces=("istio-system",))
    return Config(discovery=DiscoveryConfig(kubernetes=kubernetes), istiod=istiod)


NARROWED = {
    "everything": ({}, ""),
    "istiod's namespace is among them": ({"namespaces": ("shop", "istio-system")}, ""),
    "istiod is among them": ({"roles": (Role.ISTIOD,)}, ""),
    "a node": ({"node": "n1"}, "node"),
    "a selector": ({"label_selector": "app=cart"}, "label_selector"),
    "without istiod": ({"roles": (Role.SIDECAR,)}, "roles"),
    "without its namespace": ({"namespaces": ("shop",)}, "namespaces"),
    "no cluster at all": ({"enabled": False, "node": "n1"}, ""),
}


@pytest.mark.parametrize(("chosen", "key"), NARROWED.values(), ids=NARROWED)
def test_a_part_of_the_istiods_is_never_taken_for_all(chosen: dict[str, object], key: str) -> None:
    reason = why_incomplete(discovering(**chosen))
    assert reason.startswith(f"discovery.kubernetes.{key} ") if key else not reason


REVISIONS = {
    "its own revision's istiod counts": ("stable", ["stable"], [], False),
    "so too beside one of it that does not": ("stable", ["stable"], ["stable"], False),
    "only one that does not count has its revision": ("canary", ["stable"], ["canary"], None),
    "nobody has its revision any more": ("gone", ["stable"], ["canary"], False),
}


@pytest.mark.parametrize(
    ("revision", "trusted", "others", "known"), REVISIONS.values(), ids=REVISIONS
)
def test_who_connects_to_an_istiod_that_does_not_count_is_not_missing(
    revision: str, trusted: list[str], others: list[str], known: bool | None
) -> None:
    istiods = [replace(ISTIOD, revision=one, trusted=True) for one in trusted]
    istiods += [replace(ISTIOD, revision=one) for one in others]
    merged = merge_replicas([replica(*TWICE)], CONFIG, NOW, revisions_elsewhere([*istiods, CART]))
    status = merged.status(replace(CART, revision=revision))
    assert (None if status is None else status.xds_known) is known
    listed = merge_replicas([replica(HERE)], CONFIG, NOW, revisions_elsewhere(istiods))
    found = listed.status(replace(CART, revision=revision))
    assert found is not None, "an istiod that counts lists it"
    assert found.xds_known
