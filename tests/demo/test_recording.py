import json
from pathlib import Path

import pytest

from exporter.demo import SHIPPED, load_states
from exporter.demo.recorded_state import End, Socket
from exporter.demo.recording import load_state

STATES = {state.name: state for state in load_states(SHIPPED)}


def test_at_least_fourteen_proxies_and_two_istiods_are_shipped() -> None:
    roles = [state.role for state in STATES.values()]
    assert roles.count("istiod") >= 2
    assert len(roles) - roles.count("istiod") - roles.count("cni") >= 14


def test_healthy_and_broken_states_are_shipped() -> None:
    causes = [state.index["cause"] for state in STATES.values()]
    assert {"none", "envoy_stuck", "agent_stuck", "port_taken", "network_blocked"} <= {
        str(cause) for cause in causes
    }


def test_reads_bytes_as_they_were_sent() -> None:
    answers = {(row.port, row.path): row.answer for row in STATES["healthy"].network.exchanges}
    ready = answers[15020, "/healthz/ready"]
    assert ready.data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert ready.end is End.FIN


@pytest.mark.parametrize(
    ("name", "port", "connect"),
    [
        ("healthy", 15008, "refused"),
        ("healthy", 9999, "ok"),
        ("network-policy-drop", 15020, "timeout"),
    ],
    ids=["refused", "captured", "dropped"],
)
def test_reads_how_connecting_ended(name: str, port: int, connect: str) -> None:
    assert STATES[name].network.connects[port] == connect


def test_reads_who_listens() -> None:
    sockets = STATES["healthy"].sockets
    assert Socket("127.0.0.1", 15000, "envoy") in sockets
    assert Socket("*", 15020, "pilot-agent") in sockets


def test_a_link_that_was_down_is_not_a_filter() -> None:
    assert STATES["node-gone"].network.is_unreachable
    assert not STATES["network-policy-drop"].network.is_unreachable


def test_reads_both_families_of_a_dual_stack_pod() -> None:
    assert STATES["dual-stack-healthy"].network6 is not None
    assert STATES["healthy"].network6 is None


def test_a_state_is_dated_by_its_answers() -> None:
    assert STATES["healthy"].date > 0
    assert STATES["envoy-killed"].date == 0


def test_earlier_pages_are_kept_apart() -> None:
    assert {row.port for row in STATES["istiod-down-while-running"].earlier} == {15020, 15090}
    assert STATES["healthy"].earlier == ()


def test_a_state_without_a_document_or_answers_is_read(tmp_path: Path) -> None:
    for view in ("network", "loopback"):
        rows = {"tcp": [{"port": 8000, "connect": "refused"}], "http": []}
        (tmp_path / f"{view}.json").write_text(json.dumps(rows))
    state = load_state(tmp_path, {"name": "gone", "role": "cni", "cause": "cni_not_ready"})
    assert not state.is_healthy
    assert (state.pod, state.sockets) == (b"", ())
