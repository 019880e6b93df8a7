import asyncio
import gzip
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, web
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from benchmarks.records import healthy_sidecar
from exporter.config import Config, WebConfig
from exporter.selfmetrics.registry import SelfMetrics
from exporter.web.metrics import stream
from exporter.web.server import serving

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


async def test_text_is_what_a_scraper_without_wishes_gets(serve: Any) -> None:
    client = await serve()
    answer = await client.get("/metrics", headers={"Accept": "*/*", "Accept-Encoding": "identity"})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "Content-Encoding" not in answer.headers
    text = await answer.text()
    assert "# EOF" not in text
    names = [family.name for family in parse_text(text)]
    assert len(names) == len(set(names))
    assert names.index("istio_port_up") < names.index("istio_port_exporter_build_info")


async def test_prometheus_gets_openmetrics_that_ends_in_eof(serve: Any) -> None:
    client = await serve()
    answer = await client.get(
        "/metrics", headers={"Accept": PROMETHEUS_3, "Accept-Encoding": "gzip"}
    )
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    text = gzip.decompress(await answer.read()).decode()
    assert text.endswith("\n# EOF\n")
    assert text.count("# EOF") == 1
    assert {"istio_port_up", "istio_port_exporter_build_info"} <= {
        family.name for family in parse_openmetrics(text)
    }


async def test_gzip_says_the_same_as_plain(serve: Any) -> None:
    client = await serve(*(healthy_sidecar(index) for index in range(600)))
    query = {"name[]": "istio_port_up"}
    plain = await client.get("/metrics", params=query, headers={"Accept-Encoding": "identity"})
    zipped = await client.get("/metrics", params=query, headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in zipped.headers["Vary"]
    packed, body = await zipped.read(), await plain.read()
    assert gzip.decompress(packed) == body
    assert len(packed) < len(body) / 5


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (["istio_port_up"], {"istio_port_up"}),
        (
            ["istio_target_ready", "istio_port_exporter_in_mesh"],
            {"istio_target_ready", "istio_port_exporter_in_mesh"},
        ),
        (["no_such_family"], set()),
    ],
    ids=["one", "target-and-self", "none"],
)
async def test_only_named_families_are_sent(serve: Any, asked: list[str], kept: set[str]) -> None:
    client = await serve()
    answer = await client.get(
        "/metrics", params=[("name[]", name) for name in asked], headers={"Accept-Encoding": ""}
    )
    assert {family.name for family in parse_text(await answer.text())} == kept


async def test_bytes_and_duration_are_counted(serve: Any) -> None:
    metrics = SelfMetrics("1")
    client = await serve(self_metrics=metrics)
    answer = await client.get("/metrics", headers={"Accept-Encoding": "identity"})
    size = len(await answer.read())
    assert (await client.head("/metrics")).status == 200
    told = metrics.expose(openmetrics=False).decode()
    samples = {s.name: s.value for family in parse_text(told) for s in family.samples}
    assert samples["istio_port_exporter_exposition_bytes"] == size
    assert samples["istio_port_exporter_exposition_duration_seconds"] > 0


async def test_head_has_no_body_and_the_path_is_configurable(serve: Any) -> None:
    client = await serve(config=Config(web=WebConfig(telemetry_path="/other")))
    answer = await client.head("/other")
    assert answer.status == 200
    assert await answer.read() == b""
    assert (await client.get("/metrics")).status == 404


async def test_a_client_that_leaves_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """Prometheus leaves when its scrape_timeout has passed; an answer may take longer."""
    ended = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        def pieces() -> Iterator[bytes]:
            yield b"a"
            assert request.transport is not None
            request.transport.abort()
            yield from (b"b", b"c")

        response, size = await stream(request, pieces(), "text/plain")
        assert size is None
        ended.set()
        return response

    application = web.Application()
    application.router.add_get("/", answer)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with serving(application, listener), ClientSession() as client:
            with pytest.raises(ClientError):
                await (await client.get(url)).read()
            await asyncio.wait_for(ended.wait(), 1)
    assert caplog.text == ""
