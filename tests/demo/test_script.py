from dataclasses import replace

import pytest

from exporter.demo import SHIPPED, load_states, metrics_pages
from exporter.demo.recorded_state import End, Exchange, RecordedAnswer
from exporter.demo.script import RESET, SILENT, Script, Side

STATES = {state.name: state for state in load_states(SHIPPED)}
AGENT_PAGE = "/stats/prometheus?usedonly&filter=%5Enone%24"
PATIENCE = {"x-prometheus-scrape-timeout-seconds": "8"}


def body(answer: RecordedAnswer) -> str:
    return metrics_pages.split(answer.data)[1].decode()


def recorded(name: str, port: int, path: str) -> RecordedAnswer:
    rows = STATES[name].network.exchanges
    return next(r.answer for r in rows if (r.port, r.path, r.header) == (port, path, ""))


@pytest.mark.parametrize("name", STATES)
def test_what_was_asked_is_answered_as_then(name: str) -> None:
    script = Script(STATES[name])
    for side, seen in (
        (Side.NETWORK, script.state.network),
        (Side.LOOPBACK, script.state.loopback),
    ):
        for row in seen.exchanges:
            header, _, value = row.header.partition(": ")
            headers = {header.lower(): value} if header else {}
            answer = script.request(side, row.port, row.path, headers, tls=row.tls)
            assert answer.data == row.answer.data, (side, row.port, row.path)


def test_a_filter_is_applied_to_the_full_page() -> None:
    path = "/stats/prometheus?usedonly&filter=%5Eserver.live%24"
    text = body(Script(STATES["healthy"]).request(Side.NETWORK, 15090, path, {}))
    assert text == "# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\n"


OTHER_PAGES = {
    "HTML": b"<html>\n# heading\n<p>envoy_server_live is 1</p>\n</html>\n",
    "JSON": b'{\n "envoy_server_live": 0,\n "# a": 1\n}\n',
    "a sentence": b"envoy_x is down\n# see the log\nenvoy_server_live 0 of 3\n",
    "bytes": b"\x1f\x8b\x08\x00\xff\xfe\n# x\n",
    "Markdown": b"# Title\n\nThe page has moved.\n",
    "nothing": b"",
}


@pytest.mark.parametrize("page", OTHER_PAGES.values(), ids=OTHER_PAGES)
@pytest.mark.parametrize("framing", [b"content-length: %d\r\n", b""])
@pytest.mark.parametrize("port", [15020, 15090])
@pytest.mark.parametrize("has_earlier", [False, True])
def test_a_page_that_is_no_prometheus_text_is_handed_out_as_it_is(
    page: bytes, framing: bytes, port: int, *, has_earlier: bool
) -> None:
    length = framing % len(page) if framing else b""
    data = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + page
    row = Exchange(port, "/stats/prometheus", RecordedAnswer(data))
    state = STATES["healthy"]
    others = tuple(other for other in state.network.exchanges if other.port != port)
    network = replace(state.network, exchanges=(*others, row))
    state = replace(state, network=network, earlier=(row,) if has_earlier else ())
    for step in (0, 1, 3):
        for path in ("/stats/prometheus", AGENT_PAGE):
            answer = Script(state, step=step).request(Side.NETWORK, port, path, {})
            assert answer.data == data


def test_the_pod_view_has_the_network_views_bytes() -> None:
    answer = Script(STATES["healthy"]).request(Side.LOOPBACK, 15090, "/stats/prometheus", {})
    assert answer == recorded("healthy", 15090, "/stats/prometheus")


def test_a_page_with_envoy_hung_costs_the_patience_granted() -> None:
    script = Script(STATES["envoy-hung"])
    answer = script.request(Side.NETWORK, 15020, AGENT_PAGE, PATIENCE)
    assert "istio_agent_" in body(answer)
    assert answer.seconds == pytest.approx(8, rel=0.05)
    assert script.request(Side.NETWORK, 15020, AGENT_PAGE, {}).data == b""


def test_a_silent_port_stays_silent_whatever_is_asked() -> None:
    script = Script(STATES["agent-hung"])
    assert script.request(Side.NETWORK, 15020, "/healthz/ready", {}) == SILENT
    assert script.request(Side.NETWORK, 15020, AGENT_PAGE, PATIENCE) == SILENT
    assert script.is_hung("pilot-agent")
    assert not script.is_hung("envoy")


def test_a_port_that_was_dropped_answers_inside_from_the_same_envoy() -> None:
    script = Script(STATES["network-policy-drop"])
    page = body(script.request(Side.LOOPBACK, 15090, "/stats/prometheus", {}))
    assert "envoy_server_live{} 1" in page
    ready = script.request(Side.LOOPBACK, 15021, "/healthz/ready", {})
    assert ready.data.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("name", "port", "handshake"),
    [
        ("healthy", 15999, "ok"),
        ("excluded-ports", 15999, "ok"),
        ("mtls-disabled", 15999, "reset"),
        ("envoy-hung", 15999, "timeout"),
    ],
    ids=["permissive", "as_8080", "mtls_off", "hung"],
)
def test_hellos_to_ports_nobody_asked_end_as_to_nobody(
    name: str, port: int, handshake: str
) -> None:
    hello = Script(STATES[name]).hello(Side.NETWORK, port, is_istio=True)
    assert hello.handshake == handshake


@pytest.mark.parametrize(
    ("name", "port", "first"),
    [("healthy", 15000, b""), ("healthy", 15999, b""), ("admin-exposed", 15000, b"HTTP/1.1 400")],
    ids=["loopback_admin", "nobody", "exposed_admin"],
)
def test_bytes_that_are_no_protocol(name: str, port: int, first: bytes) -> None:
    answer = Script(STATES[name]).bare(Side.NETWORK, port)
    assert answer.data.startswith(first)
    assert (answer == RESET) is not bool(first)


def test_the_blackhole_closes_at_once() -> None:
    assert Script(STATES["healthy"]).greet(Side.NETWORK, 15006).end is End.FIN


def test_http2_settings_come_unasked() -> None:
    script = Script(STATES["istiod-healthy"])
    assert script.speaks_grpc(Side.NETWORK, 15010)
    assert not script.speaks_grpc(Side.NETWORK, 15014)


def failures(script: Script) -> float:
    path = "/stats/prometheus?filter=lds.update_failure"
    text = body(script.request(Side.NETWORK, 15090, path, {}))
    return float(text.split()[-1])


def test_steps_lead_from_the_earlier_pages_through_the_present_to_further_growth() -> None:
    earlier = Script(STATES["istiod-down-while-running"], step=0)
    present = earlier.advanced()
    assert failures(earlier) < failures(present) < failures(present.advanced())


def test_what_does_not_fail_does_not_grow() -> None:
    script = Script(STATES["healthy"])
    assert script.advanced() == script


def test_certificate_times_move() -> None:
    moved = Script(STATES["healthy"], shift=86400.0).request(Side.LOOPBACK, 15000, "/certs", {})
    still = Script(STATES["healthy"]).request(Side.LOOPBACK, 15000, "/certs", {})
    assert body(moved) != body(still)
    assert len(body(moved)) == len(body(still))
