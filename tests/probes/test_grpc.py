import asyncio
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Outcome, Role, TlsFacts
from exporter.probes.grpc import GrpcProtocol
from exporter.probes.probers import probe

OK_HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


def server_of(headers: Any, trailers: Any = None, requests: Any = None) -> Any:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived) and requests is not None:
                    requests.append(dict(event.headers))
                if isinstance(event, h2.events.StreamEnded):
                    stream = event.stream_id
                    connection.send_headers(stream, headers, end_stream=trailers is None)
                    if trailers is not None:
                        connection.send_headers(stream, trailers, end_stream=True)
            writer.write(connection.data_to_send())

    return talk


ANSWERS = {
    "no health service": (([*OK_HEADERS, ("grpc-status", "12")],), Outcome.OK),
    "serving": ((OK_HEADERS, [("grpc-status", "0")]), Outcome.OK),
    "refused": (([*OK_HEADERS, ("grpc-status", "16")],), Outcome.FORBIDDEN),
    "unavailable": (([*OK_HEADERS, ("grpc-status", "14")],), Outcome.HTTP_ERROR),
    "http/2 but not grpc": (([(":status", "404")],), Outcome.WRONG_PROTOCOL),
    "no status at all": ((OK_HEADERS,), Outcome.WRONG_PROTOCOL),
}


@pytest.mark.parametrize(("given", "outcome"), ANSWERS.values(), ids=ANSWERS)
async def test_a_grpc_status_is_the_proof(
    listen: Any, attempt_at: Any, given: Any, outcome: Outcome
) -> None:
    port = await listen(server_of(*given))
    observed = await probe(attempt_at(port, 15010, Role.ISTIOD, kind="grpc"))
    assert (observed.outcome, observed.connected) == (outcome, True)


async def test_asks_for_health_and_nothing_else(listen: Any, attempt_at: Any) -> None:
    requests: list[dict[bytes, bytes]] = []
    headers = [*OK_HEADERS, ("grpc-status", "12")]
    port = await listen(server_of(headers, requests=requests))
    await probe(attempt_at(port, 15010, Role.ISTIOD, kind="grpc"))
    assert [request[b":path"] for request in requests] == [b"/grpc.health.v1.Health/Check"]


async def test_over_tls_it_keeps_the_certificate(listen: Any, attempt_at: Any, tls: Any) -> None:
    talk = server_of([*OK_HEADERS, ("grpc-status", "12")])
    port = await listen(talk, ssl=tls("h2"))
    observed = await probe(attempt_at(port, 15012, Role.ISTIOD, kind="grpc_tls"))
    assert observed.outcome is Outcome.OK
    assert isinstance(observed.facts, TlsFacts)
    assert observed.facts.certificate is not None


async def test_the_certificate_stays_when_grpc_fails(
    listen: Any, attempt_at: Any, tls: Any
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.close()

    port = await listen(talk, ssl=tls("h2"))
    observed = await probe(attempt_at(port, 15012, Role.ISTIOD, kind="grpc_tls"))
    assert observed.outcome in {Outcome.CLOSED, Outcome.RESET}
    assert isinstance(observed.facts, TlsFacts)
    assert observed.facts.certificate is not None


BAD = {
    "silent": Outcome.TIMEOUT,
    "closes_when_asked": Outcome.CLOSED,
    "resets_when_asked": Outcome.RESET,
    "garbage": Outcome.WRONG_PROTOCOL,
}


@pytest.mark.parametrize("name", ["grpc", "grpc_tls"])
@pytest.mark.parametrize(("ending", "outcome"), BAD.items(), ids=BAD)
async def test_bad_peers_end_as_outcomes(
    listen: Any, attempt_at: Any, endings: Any, name: str, ending: str, outcome: Outcome
) -> None:
    port = await listen(endings[ending])
    observed = await probe(attempt_at(port, 15010, Role.ISTIOD, timeout=0.3, kind=name))
    assert observed.outcome is outcome


class Connection:
    def write(self, data: bytes) -> None:
        pass


@given(
    st.lists(st.binary(min_size=1, max_size=200), max_size=5),
    st.sampled_from([b"", b"\0\0\0\x04\0\0\0\0\0", b"\0\0\x05\x01\x05\0\0\0\x01"]),
)
def test_no_bytes_crash_the_line(chunks: list[bytes], start: bytes) -> None:
    async def feed() -> None:
        line = GrpcProtocol("127.0.0.1")
        line.connection_made(Connection())  # type: ignore[arg-type]
        line.data_received(start or b"\0")
        for chunk in chunks:
            line.data_received(chunk)
        line.connection_lost(None)
        assert line.status.done()

    asyncio.run(feed())
