"""HTTP answers and metrics pages as bytes: taken apart, filtered, put together again. Pure.

Envoy's `filter` matches its raw names, which a Prometheus page no longer has:
`cluster.xds-grpc.upstream_cx_active` has become
`envoy_cluster_upstream_cx_active{cluster_name="xds-grpc"}`.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

_CHUNKED = re.compile(rb"^transfer-encoding: *chunked *\r\n", re.IGNORECASE | re.MULTILINE)
_LENGTH = re.compile(rb"^(content-length: *)\d+", re.IGNORECASE | re.MULTILINE)
_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_SUFFIX = re.compile(r"_(bucket|sum|count)$")
_SCOPES = (
    ("envoy_cluster_", "cluster", "cluster_name"),
    ("envoy_listener_", "listener", "listener_address"),
    ("envoy_http_", "http", "http_conn_manager_prefix"),
)


def split(answer: bytes) -> tuple[bytes, bytes]:
    """An answer's head (with its empty line) and its decoded body."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    head += separator
    return head, _dechunk(body) if _CHUNKED.search(head) else body


def _dechunk(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if not length:
            break
        parts.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(parts)


def join(head: bytes, body: bytes) -> bytes:
    """An answer with this body, framed as its head declares."""
    if _CHUNKED.search(head):
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return head + chunk + b"0\r\n\r\n"
    return _LENGTH.sub(rb"\g<1>%d" % len(body), head) + body


def is_metrics_path(path: str) -> bool:
    """Whether the path is that of a metrics page in Prometheus' format."""
    return urlsplit(path).path == "/stats/prometheus"


def is_prometheus_text(page: bytes) -> bool:
    """Whether the page is Prometheus text: it types a family, or begins with a sample."""
    try:
        lines = page.decode().splitlines()
    except UnicodeDecodeError:
        return False
    typed = ("# HELP ", "# TYPE ")
    plain = (line for line in lines if line.strip() and not line.startswith("#"))
    return any(line.startswith(typed) for line in lines) or _is_sample(next(plain, ""))


def _is_sample(line: str) -> bool:
    """Whether the line is a name with its value, and perhaps a timestamp or an exemplar."""
    found = _SAMPLE.match(line)
    if found is None or not _is_number(found[3]):
        return False
    rest = line[found.end() :].strip()
    return not rest or rest.startswith("#") or _is_number(rest)


def filter_answer(answer: bytes, path: str) -> bytes:
    """An answer's page filtered by the query of `path`; one that is no such text as it is."""
    head, body = split(answer)
    if not is_prometheus_text(body):
        return answer
    return join(head, filter_page(body.decode(), path).encode())


def grow_answer(earlier: bytes, present: bytes, times: int) -> bytes:
    """The present answer with its page grown; one that is no such text as it is."""
    (_, before), (head, body) = split(earlier), split(present)
    if not all(map(is_prometheus_text, (before, body))):
        return present
    return join(head, grow(before.decode(), body.decode(), times).encode())


def filter_page(page: str, path: str) -> str:
    """A full page as the query of `path` (`usedonly`, `filter`) would have brought it."""
    query = dict(parse_qsl(urlsplit(path).query, keep_blank_values=True))
    # The filter is held against names whose dots may have become underscores.
    raw = query.get("filter")
    wanted = None if raw is None else re.compile(raw.replace("\\.", "[._]"))
    used_only = "usedonly" in query
    return "".join(_families(page, wanted, used_only=used_only))


def _families(page: str, wanted: re.Pattern[str] | None, *, used_only: bool) -> Iterator[str]:
    comments: list[str] = []
    kind = ""
    for line in page.splitlines(keepends=True):
        if line.startswith("#"):
            if line.startswith("# TYPE"):
                kind = line.split()[-1]
            comments = [*comments, line] if comments and _same(comments[-1], line) else [line]
        elif _is_kept(line, kind, wanted, used_only=used_only):
            yield from comments
            comments = []
            yield line


def _same(first: str, second: str) -> bool:
    """Whether two comment lines are about the same family."""
    return first.split()[2:3] == second.split()[2:3]


def _is_kept(line: str, kind: str, wanted: re.Pattern[str] | None, *, used_only: bool) -> bool:
    found = _SAMPLE.match(line)
    if found is None or not is_envoys(found[1]):
        return True
    if used_only and kind != "gauge" and _is_number(found[3]) and float(found[3]) == 0:
        return False
    return wanted is None or any(wanted.search(name) for name in raw_names(found[1], found[2]))


def is_envoys(name: str) -> bool:
    """Whether a family comes from Envoy's own statistics and not from the agent or the app."""
    return name.startswith(("envoy_", "istio_")) and not name.startswith("istio_agent_")


def raw_names(name: str, labels: str | None) -> Iterator[str]:
    """What Envoy may have called a sample; dots that became underscores stay underscores."""
    plain = _SUFFIX.sub("", name)
    values = dict(_LABEL.findall(labels or ""))
    for prefix, scope, label in _SCOPES:
        if plain.startswith(prefix) and label in values:
            yield f"{scope}.{values[label]}.{plain.removeprefix(prefix)}"
            return
    yield plain.removeprefix("envoy_")


def grow(earlier: str, present: str, times: int) -> str:
    """The present page after what grew since the earlier one has grown as much again, `times`."""
    before = dict(_values(earlier))
    lines = []
    for line in present.splitlines(keepends=True):
        name, _, value = line.rstrip("\n").rpartition(" ")
        grown = _number(value) - before.get(name, _number(value))
        if not line.startswith("#") and grown > 0:
            lines.append(f"{name} {_number(value) + grown * times:g}\n")
        else:
            lines.append(line)
    return "".join(lines)


def _values(page: str) -> Iterator[tuple[str, float]]:
    for line in page.splitlines():
        name, _, value = line.rpartition(" ")
        if not line.startswith("#"):
            yield name, _number(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> float:
    return float(text) if _is_number(text) else 0.0


def move_times(text: str, seconds: float) -> str:
    """The text with every absolute time (RFC 3339, UTC) moved."""

    def moved(match: re.Match[str]) -> str:
        moment = datetime.fromisoformat(match[0])
        return (moment + timedelta(seconds=seconds)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    return _TIME.sub(moved, text)
