"""Every place in the catalogue that moves a port is read from pod documents."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from exporter.catalogue import PORTS, Port, ports_of
from exporter.catalogue.movers import Mover, Place, port_of_address
from exporter.discovery.pod_documents import Container, Pod, decode_pod
from exporter.discovery.proxy_settings import settings_of
from exporter.model import Role, Target, TargetKey

MOVED = [row for row in PORTS if row.moved_by]
FIRST = 17001


def pod_of(stated: Mapping[Place, Mapping[str, Any]], *, apart: bool = False) -> Pod:
    """A pod document that states this; `apart`: flags and their values are words of their own."""

    def words(place: Place) -> list[str]:
        pairs = [(flag, str(value)) for flag, value in stated.get(place, {}).items()]
        return [w for pair in pairs for w in (pair if apart else ["=".join(pair)])]

    config = {
        **stated.get(Place.PROXY_CONFIG, {}),
        "proxyMetadata": stated.get(Place.PROXY_METADATA, {}),
    }
    variables = {**stated.get(Place.VARIABLE, {}), "PROXY_CONFIG": json.dumps(config)}
    container = {
        "name": "proxy",
        "args": ["serve", *words(Place.ARGUMENT)],
        "env": [{"name": name, "value": str(value)} for name, value in variables.items()],
    }
    init = {"name": "istio-init", "args": ["istio-iptables", *words(Place.IPTABLES)]}
    document = {
        "metadata": {"name": "a", "annotations": dict(stated.get(Place.ANNOTATION, {}))},
        "spec": {"containers": [container], "initContainers": [init]},
    }
    return decode_pod(json.dumps(document).encode())


def number_in(pod: Pod, row: Port) -> int:
    return row.number_in(settings_of(pod, container_of(pod), row.role))


def container_of(pod: Pod) -> Container:
    return pod.containers[0]


def value_of(mover: Mover, number: int) -> str:
    return f":{number}" if mover.parse is port_of_address else str(number)


def stating(movers: Iterable[Mover], first: int = FIRST) -> dict[Place, dict[str, str]]:
    """The movers' places, each with a number of its own, counted on from the first."""
    stated: dict[Place, dict[str, str]] = {}
    for number, mover in enumerate(movers, first):
        stated.setdefault(mover.place, {})[mover.names[0]] = value_of(mover, number)
    return stated


CASES = [(row, mover, name) for row in MOVED for mover in row.moved_by for name in mover.names]


@pytest.mark.parametrize("apart", [False, True], ids=["joined", "apart"])
@pytest.mark.parametrize(("row", "mover", "name"), CASES)
def test_each_place_moves_its_port(row: Port, mover: Mover, name: str, *, apart: bool) -> None:
    named = replace(mover, names=(name,))
    assert number_in(pod_of(stating([named]), apart=apart), row) == FIRST


@pytest.mark.parametrize("row", MOVED)
def test_the_first_place_that_states_a_number_counts(row: Port) -> None:
    for passed in range(len(row.moved_by)):
        stated = stating(row.moved_by)
        for mover in row.moved_by[:passed]:
            stated[mover.place][mover.names[0]] = "many"
        assert number_in(pod_of(stated), row) == FIRST + passed


@pytest.mark.parametrize("row", MOVED)
def test_what_is_no_number_counts_as_absent(row: Port) -> None:
    usual = number_in(pod_of({}), row)
    assert usual in (row.number, 0)
    stated = {mover.place: dict.fromkeys(mover.names, "many") for mover in row.moved_by}
    assert number_in(pod_of(stated), row) == usual


@pytest.mark.parametrize("row", [row for row in PORTS if row.switches])
def test_a_switch_is_read_from_each_of_its_variables(row: Port) -> None:
    for switch in row.switches:
        for name in switch.variables:
            pod = pod_of({Place.VARIABLE: {name: str(not switch.default).lower()}})
            found = settings_of(pod, container_of(pod), row.role)
            assert getattr(found, switch.setting) is not switch.default


def test_what_an_istiod_is_started_without_is_not_expected() -> None:
    stated = {Place.ARGUMENT: {"--grpcAddr": "", "--httpsAddr": "", "--httpAddr": ":8081"}}
    pod = pod_of(stated, apart=True)
    settings = settings_of(pod, container_of(pod), Role.ISTIOD)
    target = Target(
        key=TargetKey("istio-system", "istiod"),
        role=Role.ISTIOD,
        addresses=("10.0.0.1",),
        settings=settings,
    )
    assert sorted(port.number for port in ports_of(target)) == [8081, 9876, 15012, 15014]


def test_ztunnel_takes_the_address_of_its_dns_from_the_metadata_alone() -> None:
    (row,) = (row for row in MOVED if row.role is Role.ZTUNNEL and row.number == 15053)
    assert number_in(pod_of({Place.VARIABLE: {"DNS_PROXY_ADDR": ":5353"}}), row) == 15053
    assert number_in(pod_of({Place.PROXY_METADATA: {"DNS_PROXY_ADDR": ":5353"}}), row) == 5353
