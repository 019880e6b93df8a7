"""A stand-in for pilot-agent: status server, xDS socket, DNS proxy, one connection to istiod.

It answers as Istio's agent does; each part names the source it follows. It runs inside the
pod's namespace, is called pilot-agent there, and ends when Envoy ends, as the real one does
(pkg/envoy/agent.go `Run`).
"""

import argparse
import contextlib
import http.client
import os
import re
import select
import socket
import struct
import threading
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import h2.config
import h2.connection
import h2.events
from servers import Quiet, Server, name_process

FORBIDDEN = b"Only requests from localhost are allowed\n"
STATS = "/stats?usedonly&filter="
UPDATES = STATS + quote(
    r"^(cluster_manager\.cds|listener_manager\.lds)\.(update_success|update_rejected)$"
)
STATE = STATS + quote(r"^(server\.state|listener_manager\.workers_started)")


def get(
    host: str, port: int, path: str, timeout: float | None, headers: dict[str, str] | None = None
) -> bytes:
    """The body of a 200; any other answer, or none in time, is an OSError."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"status {answer.status}")
    return body


class Readiness:
    """pilot/cmd/pilot-agent/status/ready/probe.go: both parts are kept once they were true."""

    def __init__(self, loopback: str, admin_port: int) -> None:
        self.admin = (loopback, admin_port)
        self.received = False
        self.live = False

    def check(self) -> bool:
        """`Probe.Check`: configuration received (`checkConfigStatus`), then `isEnvoyReady`."""
        try:
            if not self.received:
                stats = self._stats(UPDATES)
                self.received = all(
                    stats.get(name, 0) > 0
                    for name in (
                        "cluster_manager.cds.update_success",
                        "listener_manager.lds.update_success",
                    )
                )
            if self.received and not self.live:
                stats = self._stats(STATE)
                self.live = (
                    stats.get("server.state") == 0
                    and stats.get("listener_manager.workers_started") == 1
                )
        except OSError:
            return False
        return self.received and self.live

    def _stats(self, path: str) -> dict[str, int]:
        # util.GetReadinessStats and GetUpdateStatusStats: a 3 second client.
        rows = re.findall(r"^(\S+): (\d+)$", get(*self.admin, path, 3.0).decode(), re.MULTILINE)
        return {name: int(value) for name, value in rows}


class Counters:
    """The agent's own metrics (pkg/monitoring, pkg/istio-agent/metrics): absent until used."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.started = time.time()
        self.values = {
            'istio_agent_cert_expiry_seconds{resource_name="default"}': 86000.0,
            'istio_agent_num_outgoing_requests{request_type="csr"}': 1.0,
            "istio_agent_process_start_time_seconds": self.started,
        }

    def add(self, name: str, amount: float = 1.0) -> None:
        with self.lock:
            self.values[name] = self.values.get(name, 0.0) + amount

    def page(self) -> bytes:
        with self.lock:
            rows = sorted(self.values.items())
        lines: list[str] = []
        for name, value in rows:
            family = name.partition("{")[0]
            kind = "gauge" if "seconds" in family else "counter"
            header = f"# TYPE {family} {kind}"
            lines += [f"{name} {value}"] if header in lines else [header, f"{name} {value}"]
        return ("\n".join(lines) + "\n").encode()


class Status(Quiet):
    """The status server, pilot/cmd/pilot-agent/status/server.go `Run`."""

    options: argparse.Namespace
    readiness: Readiness
    counters: Counters

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        path = urlsplit(self.path)
        local = self.client_address[0] in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
        match path.path:
            case "/healthz/ready":
                # handleReadyProbe: the code alone; why is only in the log.
                self.answer(200 if self.readiness.check() else 503)
            case "/metrics" | "/stats/prometheus":
                if self.options.localhost_metrics and not local:
                    self.answer(403, FORBIDDEN)
                else:
                    self.answer(200, self.merged(path.query))
            case "/quitquitquit" | "/drain":
                # handleQuit, handleDrain: loopback first, then the method; POST is not asked here.
                self.answer(405 if local else 403, b"Method Not Allowed\n" if local else FORBIDDEN)
            case name if name.startswith("/app-health/"):
                # handleAppProbe: no prober is configured for the path.
                self.answer(400, f"app prober config does not exists for {name}\n".encode())
            case _:
                self.answer(404, b"404 page not found\n")

    def merged(self, query: str) -> bytes:
        """`handleStats`: the agent's metrics, Envoy's with the caller's query, the application's.

        A part that fails is counted and left out. Without the timeout header nothing is bounded.
        """
        self.counters.add("istio_agent_scrapes_total")
        header = self.headers.get("X-Prometheus-Scrape-Timeout-Seconds")
        timeout = float(header) if header else None
        parts = [self.counters.page()]
        query = f"?{query}" if query else ""
        sources = [("envoy", self.options.stats_port, f"/stats/prometheus{query}")]
        if self.options.scrape_app:
            sources.append(("application", self.options.scrape_app, "/metrics"))
        for kind, port, path in sources:
            try:
                parts.append(get(self.options.loopback, port, path, timeout))
            except OSError:
                self.counters.add(f'istio_agent_scrape_failures_total{{type="{kind}"}}')
        return b"".join(parts)


class Xds(threading.Thread):
    """The xDS proxy, pkg/istio-agent/xds_proxy.go: Envoy's stream lives while istiod's does.

    Envoy gets its listeners from files here, so the stream carries nothing; it only stands.
    """

    def __init__(self, path: Path, istiod: tuple[str, int], counters: Counters) -> None:
        super().__init__(daemon=True)
        self.istiod, self.counters = istiod, counters
        self.streams: set[socket.socket] = set()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen()
        self.connected = threading.Event()

    def run(self) -> None:
        """Keep one connection to istiod; drop Envoy's streams when it is lost."""
        threading.Thread(target=self._accept, daemon=True).start()
        while True:
            with contextlib.suppress(OSError), socket.create_connection(self.istiod, 2) as upstream:
                upstream.settimeout(None)
                self.connected.set()
                upstream.recv(1)
            if self.connected.is_set():
                self.counters.add('istio_agent_istiod_connection_terminations{type="error"}')
            self.connected.clear()
            for stream in list(self.streams):
                with contextlib.suppress(OSError):
                    stream.shutdown(socket.SHUT_RDWR)
            time.sleep(0.3)

    def _accept(self) -> None:
        self.connected.wait(1)
        while True:
            stream, _ = self.server.accept()
            if self.connected.is_set():
                threading.Thread(target=self._hold, args=(stream,), daemon=True).start()
            else:
                stream.close()

    def _hold(self, stream: socket.socket) -> None:
        """Speak as much HTTP/2 as keeps a gRPC stream open."""
        self.streams.add(stream)
        self.counters.add("istio_agent_xds_proxy_requests")
        self.counters.add("istio_agent_xds_proxy_responses")
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError), stream:
            stream.sendall(connection.data_to_send())
            while data := stream.recv(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        fields = [(":status", "200"), ("content-type", "application/grpc")]
                        connection.send_headers(event.stream_id, fields)
                    if isinstance(event, h2.events.DataReceived):
                        connection.acknowledge_received_data(
                            event.flow_controlled_length, event.stream_id
                        )
                stream.sendall(connection.data_to_send())
        self.streams.discard(stream)


def nxdomain(query: bytes) -> bytes:
    """The question sent back as "no such name" (pkg/dns/client/dns.go answers what it knows)."""
    return query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12:]


def serve_dns(address: str) -> None:
    """The DNS proxy on loopback 15053, by UDP and TCP (pkg/dns/client `NewLocalDNSServer`)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    datagrams = socket.socket(family, socket.SOCK_DGRAM)
    datagrams.bind((address, 15053))
    streams = socket.create_server((address, 15053), family=family)

    def by_udp() -> None:
        while True:
            query, peer = datagrams.recvfrom(4096)
            datagrams.sendto(nxdomain(query), peer)

    def by_tcp() -> None:
        while True:
            stream, _ = streams.accept()
            with contextlib.suppress(OSError), stream:
                query = stream.recv(4096)[2:]
                stream.sendall(struct.pack("!H", len(query)) + nxdomain(query))

    threading.Thread(target=by_udp, daemon=True).start()
    threading.Thread(target=by_tcp, daemon=True).start()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--envoy", type=Path, required=True, help="file with Envoy's pid")
    parser.add_argument("--istiod", required=True, help="address of istiod")
    parser.add_argument("--xds", type=Path, required=True, help="unix socket for Envoy's xDS")
    parser.add_argument("--loopback", default="127.0.0.1")
    parser.add_argument("--admin-port", type=int, default=15000)
    parser.add_argument("--stats-port", type=int, default=15090)
    parser.add_argument("--status-port", type=int, default=15020)
    parser.add_argument("--scrape-app", type=int, default=0)
    parser.add_argument("--dns", action="store_true")
    parser.add_argument("--localhost-metrics", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Serve until Envoy ends."""
    options = parse()
    name_process("pilot-agent")
    counters = Counters()
    Xds(options.xds, (options.istiod, 15012), counters).start()
    if options.dns:
        serve_dns(options.loopback)
    Status.options, Status.counters = options, counters
    Status.readiness = Readiness(options.loopback, options.admin_port)
    # A status port that is taken is logged and nothing more, as recorded.
    with contextlib.suppress(OSError):
        server = Server(("::", options.status_port), Status)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    while not options.envoy.exists():
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        select.select([os.pidfd_open(int(options.envoy.read_text()))], [], [])


if __name__ == "__main__":
    main()
