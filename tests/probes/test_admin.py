import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import AdminFacts, BoundListener, Cadence, Outcome
from exporter.probes import paths
from exporter.probes.admin_pages import PAGES
from exporter.probes.probers import probe

STATES = {
    "live": ((200, b"LIVE\n"), Outcome.OK, "LIVE"),
    "initializing": ((503, b"INITIALIZING\n"), Outcome.NOT_READY, "INITIALIZING"),
    "before": ((503, b"PRE_INITIALIZING\n"), Outcome.NOT_READY, "PRE_INITIALIZING"),
    "draining": ((503, b"DRAINING\n"), Outcome.NOT_READY, "DRAINING"),
    "another process": ((200, b"OK"), Outcome.WRONG_IDENTITY, None),
    "another's 404": ((404, b""), Outcome.WRONG_IDENTITY, None),
    "restricted": ((403, b""), Outcome.FORBIDDEN, None),
}


@pytest.mark.parametrize(("given", "outcome", "state"), STATES.values(), ids=STATES)
async def test_ready_answers_with_envoys_state(
    serve: Any, attempt_at: Any, answer: Any, given: Any, outcome: Outcome, state: Any
) -> None:
    observed = await probe(attempt_at(await serve({"/ready": answer(*given)}), 15000, kind="admin"))
    assert observed.outcome is outcome
    assert observed.facts == (AdminFacts(state=state) if state else None)


LISTENERS = b"""{"listener_statuses": [
 {"name": "0.0.0.0_15090",
  "local_address": {"socket_address": {"address": "0.0.0.0", "port_value": 15090}}},
 {"name": "10.96.0.1_443",
  "local_address": {"socket_address": {"address": "10.96.0.1", "port_value": 443}}},
 {"name": "virtualInbound",
  "local_address": {"socket_address": {"address": "0.0.0.0", "port_value": 15006}},
  "additional_local_addresses": [{"socket_address": {"address": "::", "port_value": 15006}}]},
 {"name": "connect_originate",
  "local_address": {"envoy_internal_address": {"server_listener_name": "connect_originate"}}}]}"""
LISTENER_STATES = b"""{"configs": [
 {"@type": "x", "name": "0.0.0.0_80", "active_state": {}},
 {"@type": "x", "name": "virtualInbound", "active_state": {},
  "error_state": {"details": "no such filter", "failed_configuration": {"name": "virtualInbound"}}},
 {"@type": "x", "error_state": {"details": "no such filter",
  "failed_configuration": {"name": "virtualInbound", "address": {"socket_address": {}}}}},
 {"@type": "x", "name": "0.0.0.0_8443", "warming_state": {}},
 {"@type": "x", "name": "old", "draining_state": {"version_info": "1"}}]}"""
CERTS = b"""{"certificates": [
 {"ca_cert": [], "cert_chain": [{"path": "/etc/tls.crt", "subject_alt_names": [{"dns": "a.b"}],
  "valid_from": "2026-11-01T00:00:00Z", "expiration_time": "2027-11-01T00:00:00Z"}]},
 {"ca_cert": [{"path": "<inline>", "subject_alt_names": [],
   "valid_from": "2026-11-23T06:31:06Z", "expiration_time": "2036-11-20T06:31:06Z"}],
  "cert_chain": [{"path": "<inline>",
   "subject_alt_names": [{"uri": "spiffe://cluster.local/ns/shop/sa/default"}],
   "valid_from": "2026-11-23T08:09:19Z", "expiration_time": "2026-11-24T08:11:19Z"}]}]}"""


def read(path: paths.Path, body: bytes) -> AdminFacts:
    return PAGES[path](AdminFacts(state="LIVE"), body)


def test_lists_listeners_on_addresses_of_the_pods_own() -> None:
    assert read(paths.LISTENERS, LISTENERS).listeners == (
        BoundListener(name="0.0.0.0_15090", address="0.0.0.0", port=15090),
        BoundListener(name="virtualInbound", address="0.0.0.0", port=15006),
        BoundListener(name="virtualInbound", address="::", port=15006),
    )


def test_lists_warming_and_rejected_listeners() -> None:
    facts = read(paths.LISTENER_STATES, LISTENER_STATES)
    assert facts.warming == ("0.0.0.0_8443",)
    assert facts.rejected == {"virtualInbound": "no such filter"}


def test_tells_the_workloads_certificate_from_others() -> None:
    facts = read(paths.CERTS, CERTS)
    assert facts.workload_certificate is not None
    assert facts.root_certificate is not None
    assert facts.workload_certificate.spiffe_id == "spiffe://cluster.local/ns/shop/sa/default"
    assert facts.workload_certificate.not_after == 1795507879.0
    assert facts.root_certificate.not_after == 2110775466.0


INFO = b'{"version": "1.40.0", "node": {"id": "x", "metadata": {"ISTIO_VERSION": "1.28.10"}}}'
EVERYTHING = {
    "/ready": b"LIVE\n",
    paths.ENVOY_STATS.text: b"envoy_server_live{} 1\n",
    paths.LISTENERS.text: LISTENERS,
    paths.LISTENER_STATES.text: LISTENER_STATES,
    paths.CERTS.text: CERTS,
}
DUE = {
    "fast": ((Cadence.FAST,), ["/ready"]),
    "detail": ((Cadence.FAST, Cadence.DETAIL), list(EVERYTHING)[:4]),
    "identity": (tuple(Cadence), list(EVERYTHING)),
}


@pytest.mark.parametrize(("due", "expected"), DUE.values(), ids=DUE)
async def test_asks_what_is_due(
    serve: Any, attempt_at: Any, answer: Any, due: Any, expected: Any
) -> None:
    asked: list[bytes] = []
    pages = {path: answer(200, body) for path, body in EVERYTHING.items()}
    observed = await probe(attempt_at(await serve(pages, asked), 15000, due=due, kind="admin"))
    assert observed.outcome is Outcome.OK
    assert [head.split()[1].decode() for head in asked] == expected
    assert isinstance(observed.facts, AdminFacts)
    assert (observed.facts.stats is not None) is (len(expected) > 1)


async def test_an_envoy_that_is_not_live_has_pages_too(
    serve: Any, attempt_at: Any, answer: Any
) -> None:
    pages = {
        "/ready": answer(503, b"INITIALIZING\n"),
        paths.LISTENER_STATES.text: answer(200, LISTENER_STATES),
    }
    port = await serve(pages)
    observed = await probe(
        attempt_at(port, 15000, due=(Cadence.FAST, Cadence.DETAIL), kind="admin")
    )
    assert observed.outcome is Outcome.NOT_READY
    assert isinstance(observed.facts, AdminFacts)
    assert observed.facts.warming == ("0.0.0.0_8443",)
    assert observed.facts.listeners is None


async def test_the_outcome_stands_when_a_page_hangs(
    listen: Any, attempt_at: Any, answer: Any
) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(200, b"LIVE\n"))
        await reader.read()

    observed = await probe(
        attempt_at(await listen(talk), 15000, due=Cadence, timeout=0.2, kind="admin")
    )
    assert (observed.outcome, observed.facts) == (Outcome.OK, AdminFacts(state="LIVE"))
    assert observed.seconds < 0.2


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_readers(body: bytes) -> None:
    starts = (b"", b'{"configs":[', b'{"certificates":[', b'{"listener_statuses":[{')
    for path in PAGES:
        for start in starts:
            read(path, start + body)


@pytest.mark.parametrize("path", [one for one in PAGES if one is not paths.ENVOY_STATS])
def test_a_page_that_cannot_be_read_is_left_out(path: Any) -> None:
    assert read(path, b"not json") == AdminFacts(state="LIVE")


@pytest.mark.parametrize(("known", "version"), [("", "1.28.10"), ("1.28.10", "")])
async def test_the_bootstrap_is_requested_where_nothing_else_shows_the_version(
    serve: Any, attempt_at: Any, answer: Any, known: str, version: str
) -> None:
    asked: list[bytes] = []
    pages = {paths.READY.text: answer(200, b"LIVE\n"), paths.SERVER_INFO.text: answer(200, INFO)}
    port = await serve(pages, asked)
    given = attempt_at(port, 15000, due=frozenset(Cadence), kind="admin")
    given.target = dataclasses.replace(given.target, istio_version=known)
    observed = await probe(given)
    assert isinstance(observed.facts, AdminFacts)
    assert observed.facts.istio_version == version
    assert any(b"server_info" in head for head in asked) is not bool(known)


@pytest.mark.parametrize("page", [b"", b"[]", b'{"node": 3}', b'{"node": {"metadata": {}}}'])
def test_a_bootstrap_without_a_version_adds_nothing(page: bytes) -> None:
    assert read(paths.SERVER_INFO, page) == read(paths.CERTS, b"")
