from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from benchmarks.records import broken_sidecar, healthy_sidecar, istiod, seen_from_pod
from exporter.model import (
    Component,
    Outcome,
    ProxyStatus,
    Role,
    Settings,
    TargetRecord,
    Verdict,
    View,
)
from exporter.report.readiness_steps import readiness_steps

SIDECAR = ["istiod", "Envoy", "Configuration", "pilot-agent", "Readiness", "Redirection"]


def links(record: TargetRecord) -> dict[str, tuple[bool | None, str]]:
    return {link.name: (link.holds, link.says) for link in readiness_steps(record)}


def first_broken(record: TargetRecord) -> str | None:
    return next((link.name for link in readiness_steps(record) if link.holds is False), None)


def ended(port: int, outcome: Outcome) -> Verdict:
    up = outcome is Outcome.NOT_READY
    return Verdict(port, Component.ENVOY, up=up, outcome=outcome, view=View.NETWORK)


def test_a_healthy_sidecar_holds_from_istiod_to_redirection() -> None:
    chain = links(seen_from_pod(healthy_sidecar()))
    assert list(chain) == SIDECAR
    assert {holds for holds, _ in chain.values()} == {True}


def test_a_link_names_the_port_where_it_was_moved_to() -> None:
    moved = replace(healthy_sidecar().target, settings=Settings(status_port=15120))
    about = {link.name: link.about for link in readiness_steps(TargetRecord(target=moved))}
    assert about["pilot-agent"] == "says ready on 15120"
    assert about["Readiness"] == "Envoy says ready on 15021"


def test_an_istiod_is_judged_by_the_ports_that_it_was_started_with() -> None:
    target = replace(istiod().target, settings=Settings(grpc_xds_port=0, tls_xds_port=15112))
    verdicts = (ended(15112, Outcome.REFUSED), ended(15012, Outcome.NOT_READY))
    chain = links(TargetRecord(target=target, verdicts=verdicts))
    assert chain["xDS"] == (False, "15112 refused")


def test_nothing_known_is_neither_held_nor_broken() -> None:
    chain = links(TargetRecord(target=healthy_sidecar().target))
    assert set(chain.values()) == {(None, "not known")}


@pytest.mark.parametrize(
    ("proxy", "link", "says"),
    [
        ({"xds_connected": False}, "istiod", "no connection to istiod"),
        ({"envoy_live": False}, "Envoy", "not live"),
        ({"rejected": {"cds": False, "lds": True}}, "Configuration", "rejected: lds"),
        ({"bound": {"virtualInbound": False}}, "Configuration", "not bound: virtualInbound"),
        ({"listeners": {"warming": 2.0}}, "Configuration", "2 warming"),
        ({"captured": False}, "Redirection", "missing"),
    ],
)
def test_the_first_broken_link_is_where_to_look(
    proxy: dict[str, Any], link: str, says: str
) -> None:
    record = healthy_sidecar()
    record = structs.replace(record, proxy=structs.replace(record.proxy, **proxy))
    assert first_broken(record) == link
    assert links(record)[link] == (False, says)


def test_a_silent_port_says_so_and_a_no_says_not_ready() -> None:
    record = structs.replace(
        broken_sidecar(),
        verdicts=(ended(15020, Outcome.TIMEOUT), ended(15021, Outcome.NOT_READY)),
    )
    chain = links(record)
    assert chain["pilot-agent"] == (False, "timeout")
    assert chain["Readiness"] == (False, "not ready")


def test_an_envoy_that_says_nothing_is_judged_by_its_admin_port() -> None:
    record = structs.replace(
        healthy_sidecar(), proxy=ProxyStatus(), verdicts=(ended(15000, Outcome.TIMEOUT),)
    )
    assert links(record)["Envoy"] == (False, "15000 timeout")


@pytest.mark.parametrize(
    ("role", "names"),
    [
        (Role.GATEWAY, SIDECAR[:-1]),
        (Role.PROXYLESS, ["istiod", "pilot-agent"]),
        (Role.ZTUNNEL, ["istiod", "Readiness"]),
        (Role.AGENTGATEWAY, ["Readiness"]),
        (Role.ISTIOD, ["istiod", "xDS", "Webhooks"]),
        (Role.CNI, ["Readiness"]),
    ],
)
def test_each_role_has_a_chain_of_its_own(role: Role, names: list[str]) -> None:
    record = healthy_sidecar()
    record = structs.replace(record, target=replace(record.target, role=role))
    assert [link.name for link in readiness_steps(record)] == names


def test_an_istiod_whose_xds_is_refused_breaks_there() -> None:
    record = istiod()
    verdicts = tuple(
        structs.replace(v, up=False, outcome=Outcome.REFUSED) if v.port == 15012 else v
        for v in record.verdicts
    )
    assert first_broken(record) is None
    assert links(structs.replace(record, verdicts=verdicts))["xDS"] == (False, "15012 refused")
