"""Processes of a pod that are not Istio's: the application, and relays before Envoy's admin.

`app PORT`: 200 to every GET; /metrics waits `--delay` seconds first. On one of Istio's ports it
is the process that took it. `relay PORT`: passes GETs on to admin `--delay` seconds late, or
answers with a page of `--pad` bytes that ignores the filter: an admin that is slow, or too big.
"""

import argparse
import ctypes
import http.client
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADMIN = ("127.0.0.1", 15000)
PR_SET_NAME = 15


def name_process(name: str) -> None:
    """Be called so in process lists, where a socket's owner is looked up."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


class Server(ThreadingHTTPServer):
    """Listens on every address of both families."""

    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class Quiet(BaseHTTPRequestHandler):
    """HTTP/1.1 with kept connections, and nothing on stderr."""

    protocol_version = "HTTP/1.1"
    delay = 0.0
    pad = 0

    def log_message(self, *_arguments: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", content_type: str = "text/plain") -> None:
        self.send_response_only(status)
        self.send_header("Date", self.date_time_string())
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class App(Quiet):
    """The application."""

    def do_GET(self) -> None:
        if self.path.startswith("/metrics"):
            time.sleep(self.delay)
        self.answer(200, b"# TYPE app_requests_total counter\napp_requests_total 1\n")


class Relay(Quiet):
    """Before admin: slow, or with a page of the size asked for."""

    def do_GET(self) -> None:
        time.sleep(self.delay)
        connection = http.client.HTTPConnection(*ADMIN, timeout=5)
        connection.request("GET", self.path)
        answer = connection.getresponse()
        body = answer.read()
        line = b'envoy_cluster_upstream_cx_total{cluster_name="outbound|80||a.b.c.d"} 1\n'
        body += line * max(0, (self.pad - len(body)) // len(line) + 1) if self.pad else b""
        self.answer(answer.status, body)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("app", "relay"))
    parser.add_argument("port", type=int)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--pad", type=int, default=0)
    options = parser.parse_args()
    name_process(options.what)
    handler = {"app": App, "relay": Relay}[options.what]
    handler.delay, handler.pad = options.delay, options.pad
    Server(("::", options.port), handler).serve_forever()


if __name__ == "__main__":
    main()
