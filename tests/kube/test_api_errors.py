"""Why a connection to the API server did not come about, in words."""

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest

from exporter.kube.api_errors import reason_of
from exporter.tls_contexts import server_context
from tests.real.certificates import write_certificates


async def reason_for(url: str) -> str:
    """Of the error that a request raises."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError) as raised:
            await session.get(url)
    return reason_of(raised.value)


async def test_a_refused_connection_has_the_systems_words() -> None:
    assert await reason_for("https://127.0.0.1:9") == "connection refused"


async def test_an_unknown_authority_is_named_as_that(tmp_path: Path) -> None:
    write_certificates(tmp_path, "spiffe://cluster.local/ns/a/sa/b")
    tls = server_context()
    tls.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    server = await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=tls
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        reason = await reason_for(f"https://127.0.0.1:{port}")
    assert reason.startswith("its certificate is not trusted: ")
    assert "object at" not in reason


async def test_a_server_without_tls_is_named_as_that() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        reason = await reason_for(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert reason.startswith("TLS: ")


def test_any_other_error_keeps_its_text() -> None:
    assert reason_of(ssl.SSLError("anything")) == str(ssl.SSLError("anything"))
