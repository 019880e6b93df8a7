import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Outcome
from exporter.probes import tls
from exporter.probes.attempt import TooLarge
from exporter.probes.probers import probe
from exporter.probes.server_hello import chooses_finite_field
from exporter.probes.tls import TlsProtocol, offer_curves_alone, unnamed_context
from exporter.tls_contexts import client_context, server_context

FINITE = {"ffdhe2048": 0x0100, "ffdhe3072": 0x0101, "ffdhe8192": 0x0104, "of later": 0x01FF}
CURVES = {"P-256": 0x17, "P-521": 0x19, "X25519": 0x1D, "X25519MLKEM768": 0x11EC}
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def _hello(
    group: int, random: bytes = RETRY, session: bytes = bytes(32), padding: int = 0
) -> bytes:
    """A server's hello: the group in key_share, behind the version and an extension to skip."""
    rows = ((43, b"\x03\x04"), (0x2C, bytes(padding)), (51, group.to_bytes(2)))
    extensions = b"".join(kind.to_bytes(2) + len(value).to_bytes(2) + value for kind, value in rows)
    head = b"\x03\x03" + random + bytes((len(session),)) + session + b"\x13\x02\x00"
    body = head + len(extensions).to_bytes(2) + extensions
    return b"\x02" + len(body).to_bytes(3) + body


def _record(payload: bytes, kind: int = 0x16) -> bytes:
    return bytes((kind, 3, 3)) + len(payload).to_bytes(2) + payload


@pytest.mark.parametrize(
    ("group", "is_finite"),
    [*((one, True) for one in FINITE.values()), *((one, False) for one in CURVES.values())],
    ids=[*FINITE, *CURVES],
)
def test_a_group_of_finite_fields_is_found(group: int, is_finite: bool) -> None:
    for session in (b"", bytes(32)):
        assert chooses_finite_field(_record(_hello(group, session=session))) is is_finite
        assert chooses_finite_field(_record(_hello(group, bytes(32), session))) is False


@given(
    st.lists(st.integers(min_value=1, max_value=40), max_size=60),
    st.integers(min_value=0, max_value=3),
    st.sampled_from([b"", _record(b"\x01\x00", 0x15), _record(b"\x01", 0x14), _record(b"")]),
    st.integers(min_value=0, max_value=500),
)
def test_it_is_found_however_the_message_is_cut(
    cuts: list[int], requests: int, between: bytes, padding: int
) -> None:
    message = bytes(4 * requests) + _hello(FINITE["ffdhe8192"], padding=padding)
    sent, at = b"", 0
    for size in cuts:
        sent += _record(message[at : at + size]) + between
        at += size
    whole = sent + _record(message[at:]) if at < len(message) else sent
    found = [chooses_finite_field(whole[:end]) for end in range(len(whole) + 1)]
    assert found[-1] is True
    assert False not in found


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x16\x03\x03\x00\xff", b"\x16\x03\x03\x00\x40\x02"]),
)
def test_any_bytes_are_read(data: bytes, start: bytes) -> None:
    assert chooses_finite_field(start + data) in (True, False, None)


class Connection:
    def __init__(self) -> None:
        self.is_open = True

    def write(self, _data: bytes) -> None:
        pass

    def abort(self) -> None:
        self.is_open = False


@pytest.mark.parametrize("group", FINITE.values(), ids=FINITE)
@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_openssl_computes_nothing_for_it(group: int, piece: int) -> None:
    line, connection = TlsProtocol(("h2",)), Connection()
    line.connection_made(connection)  # type: ignore[arg-type]
    answer = _record(_hello(group))
    for at in range(0, len(answer), piece):
        line.data_received(answer[at : at + piece])
    assert not connection.is_open
    with pytest.raises(ssl.SSLError, match="group"):
        await line.done


@pytest.mark.parametrize("piece", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("endless", "error"),
    [
        (_record(bytes(4)) * 500, TooLarge),
        (_record(bytes(16384)), TooLarge),
        (_record(b"\x02\x00\x40\x00" + bytes(4000)), TooLarge),
        (_record(b"\x01\x5a", 0x15) * 500, ssl.SSLError),
    ],
    ids=["requests", "a long record", "a long hello", "alerts"],
)
async def test_a_first_message_without_end_ends_the_connection(
    endless: bytes, error: type[Exception], piece: int
) -> None:
    line, connection = TlsProtocol(("h2",)), Connection()
    line.connection_made(connection)  # type: ignore[arg-type]
    for at in range(0, len(endless), piece):
        if connection.is_open:
            line.data_received(endless[at : at + piece])
    assert not connection.is_open
    with pytest.raises(error):
        await line.done


async def _wait(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


CURVE_NAMES = ("prime256v1", "secp384r1", "secp521r1")


@pytest.mark.parametrize("curve", CURVE_NAMES)
async def test_servers_that_turn_the_first_key_down_are_read(
    listen: Any, attempt_at: Any, request: pytest.FixtureRequest, curve: str
) -> None:
    context = request.getfixturevalue("tls")("h2")
    context.set_ecdh_curve(curve)
    observed = await probe(attempt_at(await listen(_wait, ssl=context), kind="tls"))
    assert observed.outcome is Outcome.OK


CONTEXTS: dict[str, Callable[[], ssl.SSLContext]] = {
    "any certificate": lambda: tls._context(("h2",)),
    "a workload's": tls._tls13_context,
    "the mesh's": lambda: unnamed_context(("h2",)),
}


@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
def test_no_hello_offers_numbers_that_the_server_chooses(
    context: Callable[[], ssl.SSLContext],
) -> None:
    offered = context().get_ciphers()
    assert offered
    assert {row["kea"] for row in offered} <= {"kx-any", "kx-ecdhe"}
    usual = {row["name"] for row in server_context().get_ciphers() if "ECDHE" in row["name"]}
    assert usual <= {row["name"] for row in offered}


def test_none_is_offered_whatever_python_was_built_to_offer() -> None:
    context = client_context()
    context.set_ciphers("DEFAULT")
    assert {"kx-rsa"} < {row["kea"] for row in context.get_ciphers()}
    offer_curves_alone(context)
    assert {row["kea"] for row in context.get_ciphers()} == {"kx-any", "kx-ecdhe"}
