"""What a stand-in answers: a recorded state turned into an answer for every request. Pure.

In: a view, the port that was dialled (before redirection) and what came first on it. Out: an
`RecordedAnswer` or a `Hello`. The rule: a question that was not recorded is answered from the same
state and the same process, never from a healthy one; what is silent stays silent.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import unquote

from exporter.demo import metrics_pages
from exporter.demo.recorded_state import (
    End,
    Exchange,
    Hello,
    RecordedAnswer,
    RecordedState,
    RecordedView,
)

NOBODY = 15009
"""A port that nobody ever serves: unrecorded ports connect as this one."""

NOBODYS_HELLO = 9999
APPLICATION = 8080
SILENT = RecordedAnswer(end=End.OPEN)
RESET = RecordedAnswer(end=End.RESET)

_AGENT, _ADMIN, _STATS = 15020, 15000, 15090
_SLOW = 0.3
_GRANTED = "x-prometheus-scrape-timeout-seconds"
_NOT_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\ncontent-type: text/plain\r\n"
    b"connection: close\r\n\r\nBad Request"
)
_H2_FRAME = b"\x00\x00"


class Side(StrEnum):
    """From where a connection came: another pod over IPv4 or IPv6, or the pod itself."""

    NETWORK = "network"
    NETWORK6 = "network6"
    LOOPBACK = "loopback"


@dataclass(frozen=True, slots=True)
class Script:
    """The answers of one state.

    `step` 0 shows its earlier pages where it has some, 1 the recorded present; with each further
    one what grew between the two goes on growing. `shift` moves absolute times, in seconds.
    """

    state: RecordedState
    step: int = 1
    shift: float = 0.0

    def advanced(self) -> "Script":
        """The script one step on; what has recovered stays as it was recorded."""
        last = 1 if self.state.is_healthy or not self.state.earlier else self.step + 1
        return replace(self, step=max(1, min(self.step + 1, last)))

    def seen(self, side: Side) -> RecordedView:
        """What was recorded from this side."""
        state = self.state
        if side is Side.LOOPBACK:
            return state.loopback
        return state.network6 or state.network if side is Side.NETWORK6 else state.network

    def is_hung(self, process: str) -> bool:
        """Whether a process accepts by its kernel only: none of its ports ever sent a byte."""
        ports = [row.port for row in self.state.sockets if row.process == process]
        known = [port for port in ports if port in self.state.loopback.silence]
        return bool(known) and all(self._is_mute(self.state.loopback, port) for port in known)

    def _is_mute(self, seen: RecordedView, port: int) -> bool:
        hello = seen.hellos.get((port, False))
        mute = seen.silence[port].end is End.OPEN and not seen.silence[port].data
        mute = mute and seen.roots[port].end is End.OPEN and not seen.roots[port].data
        return mute and (hello is None or hello.handshake == "timeout")

    def greet(self, side: Side, port: int) -> RecordedAnswer:
        """What comes before any request: bytes, or the end of the connection."""
        seen = self.seen(side)
        silence = seen.silence.get(_known(seen, port), SILENT)
        if not silence.data:
            return silence
        first = next((row.answer.data for row in self._exchanges(side, port)), b"")
        return RecordedAnswer(first[: len(silence.data)], silence.end)

    def speaks_grpc(self, side: Side, port: int) -> bool:
        """Whether HTTP/2 is spoken here in plaintext: its settings come unasked."""
        return self.greet(side, port).data.startswith(_H2_FRAME)

    def hello(self, side: Side, port: int, *, is_istio: bool) -> Hello:
        """How a TLS hello ends, with or without Istio's ALPN."""
        seen = self.seen(side)
        hellos = seen.hellos
        if is_istio and port not in seen.connects:
            fallback = hellos.get((APPLICATION, True), Hello("reset"))
            return hellos.get((port, True)) or hellos.get((NOBODYS_HELLO, True), fallback)
        known = _known(seen, port)
        if is_istio and (known, True) in hellos:
            return hellos[known, True]
        if is_istio and (known, False) in hellos and self._is_nobodys(seen, known):
            return self.hello(side, 0, is_istio=True)
        return hellos.get((known, False), Hello("reset"))

    def _is_nobodys(self, seen: RecordedView, port: int) -> bool:
        """Whether only the redirection answers here: what was recorded is as on 15009."""
        is_as_nobodys = seen.hellos.get((port, False)) == seen.hellos.get((NOBODY, False))
        return port not in self._open() and is_as_nobodys

    def bare(self, side: Side, port: int) -> RecordedAnswer:
        """What bytes that are no protocol bring."""
        seen = self.seen(side)
        if port in seen.bare:
            answer = seen.bare[port]
            return RecordedAnswer(_NOT_HTTP, End.FIN) if answer.data else answer
        known = _known(seen, port)
        root = seen.roots.get(known, RESET)
        if root.end is End.OPEN and not root.data:
            return SILENT
        serves = {row.port for row in self.state.sockets}
        served = port in serves and root.data.startswith(b"HTTP/")
        is_other = side is not Side.LOOPBACK and port not in self._open()
        return RecordedAnswer(_NOT_HTTP) if served and not is_other else RESET

    def _open(self) -> frozenset[int]:
        return frozenset(row.port for row in self.state.sockets if not row.is_loopback)

    def request(
        self, side: Side, port: int, path: str, headers: Mapping[str, str], *, tls: bool = False
    ) -> RecordedAnswer:
        """The answer to a GET. `headers` have lower case names."""
        seen = self.seen(side)
        known = _known(seen, port)
        root = seen.roots.get(known)
        if root is not None and root.end is End.OPEN and not root.data:
            return SILENT
        rows = [r for r in self._exchanges(side, known) if r.tls == tls and r.method == "GET"]
        answer = _delayed(rows, path, headers) or self._recorded(rows, path, headers)
        if answer is None and metrics_pages.is_metrics_path(path):
            answer = self._page(side, known, rows, path, headers)
        if answer is None and path == "/healthz/ready":
            answer = self._relayed(side, known)
        return answer or self._unknown(seen, known, rows, tls=tls)

    def _exchanges(self, side: Side, port: int) -> list[Exchange]:
        """What was requested of a port; where the pod's view has nothing, the network's serves."""
        rows = [row for row in self.seen(side).exchanges if row.port == port]
        if side is Side.LOOPBACK and port in self.state.loopback.silence:
            requested = {(row.path, row.header, row.tls) for row in rows}
            more = [row for row in self.state.network.exchanges if row.port == port]
            rows += [
                row
                for row in more
                if row.answer.data and (row.path, row.header, row.tls) not in requested
            ]
        if self.step == 1 or not self._has_earlier(port):
            return rows
        others = [row for row in rows if not metrics_pages.is_metrics_path(row.path)]
        return others + [self._at_step(row, rows) for row in self._earlier(port)]

    def _earlier(self, port: int) -> list[Exchange]:
        return [row for row in self.state.earlier if row.port == port]

    def _has_earlier(self, port: int) -> bool:
        return bool(self.state.earlier) and (port == _ADMIN or bool(self._earlier(port)))

    def _at_step(self, earlier: Exchange, rows: list[Exchange]) -> Exchange:
        """A page that has grown as often as this step has it."""
        present = next((row for row in rows if row.path == earlier.path and not row.header), None)
        if not self.step or present is None:
            return earlier
        grown = metrics_pages.grow_answer(earlier.answer.data, present.answer.data, self.step - 1)
        return replace(present, answer=replace(present.answer, data=grown))

    def _recorded(
        self, rows: list[Exchange], path: str, headers: Mapping[str, str]
    ) -> RecordedAnswer | None:
        """The answer to exactly this request, the one with the same headers first."""
        found = [row for row in rows if unquote(row.path) == unquote(path)]
        if not found:
            return None
        row = max(found, key=lambda row: (_header_fits(row, headers), not row.header))
        answer = row.answer
        if path == "/certs":
            head, body = metrics_pages.split(answer.data)
            text = metrics_pages.move_times(body.decode("latin-1"), self.shift)
            moved = metrics_pages.join(head, text.encode("latin-1"))
            answer = RecordedAnswer(moved, answer.end, answer.seconds)
        return answer

    def _page(
        self, side: Side, port: int, rows: list[Exchange], path: str, headers: Mapping[str, str]
    ) -> RecordedAnswer | None:
        """A metrics page by filtering the same process's full one.

        The agent's page is in no other page: where nobody recorded it, nothing is made up and the
        connection ends without an answer.
        """
        full = self._recorded(rows, "/stats/prometheus", headers)
        if full is not None and full.data:
            return _filtered(full, path)
        if port == _AGENT and full is None:
            return RESET
        if port == _AGENT or not self._is_envoys(port):
            return full
        return next((_filtered(row.answer, path) for row in self._envoy_pages(side)), None)

    def _is_envoys(self, port: int) -> bool:
        return any(row.port == port and row.process == "envoy" for row in self.state.sockets)

    def _envoy_pages(self, side: Side) -> Iterator[Exchange]:
        """Envoy's pages of this state, the fullest first: 15090 is relayed to admin."""
        rows = [
            row
            for port in (_STATS, *sorted({row.port for row in self.state.sockets}))
            for row in self._exchanges(side, port)
            if self._is_envoys(port) and metrics_pages.is_metrics_path(row.path) and row.answer.data
        ]
        yield from sorted(rows, key=lambda row: (row.port != _STATS, len(row.path)))

    def _relayed(self, side: Side, port: int) -> RecordedAnswer | None:
        """Envoy's readiness port relays the agent's answer."""
        if not self._is_envoys(port) or port in (_ADMIN, _STATS):
            return None
        row = next((r for r in self._exchanges(side, _AGENT) if r.path == "/healthz/ready"), None)
        if row is None or not row.answer.data:
            return None
        status = row.answer.data.split(b"\r\n", 1)[0]
        more = b"\r\ncontent-length: 0\r\nserver: envoy\r\nconnection: close\r\n\r\n"
        return RecordedAnswer(status + more)

    def _unknown(
        self, seen: RecordedView, port: int, rows: list[Exchange], *, tls: bool
    ) -> RecordedAnswer:
        """A path that was not requested: as the bare GET, or not found."""
        root = next((row.answer for row in rows if row.path == "/"), None)
        if root is not None:
            return root
        first = seen.roots.get(port)
        if first is not None and not first.data and not tls:
            return first
        if port not in seen.connects or (first and b" 503 " in first.data):
            nobody = [row for row in seen.exchanges if row.port == NOBODYS_HELLO]
            return nobody[0].answer if nobody else RESET
        status = first.data if first and first.data else b"HTTP/1.1 404 Not Found"
        server = b"server: envoy\r\n" if self._is_envoys(port) else b""
        more = b"\r\ncontent-length: 0\r\n%bconnection: close\r\n\r\n" % server
        return RecordedAnswer(status + more)


def _known(seen: RecordedView, port: int) -> int:
    """The port, or the one that unrecorded ports behave as."""
    return port if port in seen.connects else NOBODY


def _header_fits(row: Exchange, headers: Mapping[str, str]) -> bool:
    name = row.header.partition(":")[0].strip().lower()
    return bool(name) and name in headers


def _is_slow(row: Exchange) -> bool:
    """Whether thinking took the time, not a delayed close after an error."""
    is_error = re.match(rb"HTTP/1\.\d (404|405)", row.answer.data) is not None
    return row.answer.seconds > _SLOW and bool(row.answer.data) and not is_error


def _delayed(rows: list[Exchange], path: str, headers: Mapping[str, str]) -> RecordedAnswer | None:
    """A page that takes the time granted by a header, because a part of it hangs."""
    if _GRANTED not in headers or not metrics_pages.is_metrics_path(path):
        return None
    for row in rows:
        name, _, recorded = row.header.partition(":")
        if name.strip().lower() == _GRANTED and _is_slow(row):
            page = _filtered(row.answer, path)
            seconds = page.seconds * float(headers[_GRANTED]) / float(recorded)
            return RecordedAnswer(page.data, page.end, seconds)
    return None


def _filtered(full: RecordedAnswer, path: str) -> RecordedAnswer:
    return replace(full, data=metrics_pages.filter_answer(full.data, path))
