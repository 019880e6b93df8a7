"""What the plan sends to one target: each port once in each view, by a kind of probe."""

import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.catalogue import ExtraPort
from exporter.config import Config
from exporter.demo import SHIPPED, load_states, mesh
from exporter.model import (
    EVERY_CADENCE,
    Expectation,
    Memory,
    Probe,
    ProbeKind,
    Role,
    Settings,
    Target,
    TargetKey,
)
from exporter.poll.plan import plan_of
from exporter.poll.poll_target import poll_once

STATES = {state.name: state for state in load_states(SHIPPED)}
CONTROL = 15999


def sidecar(**fields: object) -> Target:
    known = {"addresses": ("10.0.0.7",), "captured": True, **fields}
    return Target(key=TargetKey("shop", "cart"), role=Role.SIDECAR, **known)


def with_ports(*ports: ExtraPort) -> Config:
    return replace(Config(), ports=ports)


def own_port(number: int, probe: str = "http", **fields: object) -> ExtraPort:
    return ExtraPort(port=number, role=Role.SIDECAR, probe=probe, **fields)


def sent(target: Target, config: Config) -> list[Probe]:
    return [probe for part in plan_of(target, config).network for probe in part.probes]


def control_of(target: Target, config: Config) -> int:
    (control,) = (one for one in sent(target, config) if one.kind is ProbeKind.CONTROL)
    return control.port


def test_the_control_port_is_the_configured_one_where_nobody_uses_it() -> None:
    assert control_of(sidecar(), Config()) == CONTROL
    assert control_of(sidecar(), with_ports(own_port(9090))) == CONTROL


@pytest.mark.parametrize("probe", ["http", "tcp", "tls", ""])
@pytest.mark.parametrize("expect", [Expectation.OPEN, Expectation.OPTIONAL, Expectation.ABSENT])
def test_the_control_port_moves_away_from_a_port_of_the_users_own(
    probe: str, expect: Expectation
) -> None:
    config = with_ports(own_port(CONTROL, probe, expect=expect), own_port(CONTROL - 1))
    assert control_of(sidecar(), config) == CONTROL - 2


def test_the_control_port_moves_away_from_where_a_port_of_istio_was_moved_to() -> None:
    moved = sidecar(settings=Settings(admin_port=CONTROL))
    assert control_of(moved, Config()) == CONTROL - 1


def test_istiod_proves_itself_where_it_serves_xds_over_tls() -> None:
    istiod = replace(
        sidecar(captured=False),
        key=TargetKey("istio-system", "istiod"),
        role=Role.ISTIOD,
        trusted=True,
        settings=Settings(tls_xds_port=15112),
    )
    config = replace(Config(), istiod=replace(Config().istiod, debug_token_file="token"))
    trust = plan_of(istiod, config).options.trust
    assert trust is not None
    assert (trust.port, trust.token_file) == (15112, "token")
    off = plan_of(replace(istiod, settings=Settings(tls_xds_port=0)), config).options.trust
    assert off is not None
    assert off.token_file == ""


def test_the_control_port_moves_away_from_a_port_that_the_pod_opted_out_of() -> None:
    assert control_of(sidecar(ignored_ports=(CONTROL,)), Config()) == CONTROL - 1


def test_a_port_of_other_targets_moves_no_control_port() -> None:
    elsewhere = own_port(CONTROL, namespaces=("other",))
    assert control_of(sidecar(), with_ports(elsewhere)) == CONTROL


@given(numbers=st.lists(st.integers(CONTROL - 5, CONTROL) | st.integers(15000, 15092), max_size=6))
def test_no_port_is_probed_twice_in_one_view(numbers: list[int]) -> None:
    config = with_ports(*(own_port(number) for number in numbers))
    plan = plan_of(sidecar(netns="cart"), config)
    for probes in (plan.network[0].probes, plan.in_pod):
        assert max(Counter(probe.port for probe in probes).values()) == 1


@pytest.mark.real
async def test_capture_stays_judged_where_the_control_ports_number_is_configured() -> None:
    async with mesh([STATES["healthy"]], flat=False, earlier=False) as health:
        (pod,) = health.pods
        for config in (Config(), with_ports(own_port(CONTROL))):
            polled = await poll_once(pod.target, Memory(), EVERY_CADENCE, config, time.time())
            assert polled.record.proxy.captured is True
            assert {v.port: v.up for v in polled.record.verdicts}[15006] is True
    own = next(verdict for verdict in polled.record.verdicts if verdict.port == CONTROL)
    assert own.up is not True
