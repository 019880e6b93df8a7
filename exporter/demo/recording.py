"""Reads recorded states: a folder each, with the answers of one pod, byte for byte.

In: a folder of states with its `index.yaml` (what was done, what is true). Out: `RecordedState`s.
The demo's scenarios, the tests and the recordings runner read nothing else. The rule: nothing is
judged or completed here, only read; `script` decides what a recording means.
"""

import json
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import yaml

from exporter.demo.recorded_state import (
    End,
    Exchange,
    Hello,
    RecordedAnswer,
    RecordedState,
    RecordedView,
    Socket,
)

SHIPPED = Path(__file__).parent / "states"
"""The states that the demo and the tests show."""

_DATE = re.compile(rb"^date: ([^\r\n]+)", re.IGNORECASE | re.MULTILINE)
_SOCKET = re.compile(
    r'^(?:tcp\s+)?LISTEN\s+\d+\s+\d+\s+(\S+):(\d+)\s+\S+(?:\s+users:\(\("([^"]+)")?'
)
_ESTABLISHED = re.compile(r"^\s*\d+: \S+ (?!0+:|0100007F:)\S+:(3AA2|3AA4) 01 ", re.MULTILINE)


def load_states(folder: Path) -> tuple[RecordedState, ...]:
    """Every state that the folder's index names, in its order.

    Raises:
        OSError: a file is missing.
        ValueError: a file is not what it should be.
    """
    rows = yaml.safe_load((folder / "index.yaml").read_text(encoding="utf-8"))
    return tuple(load_state(folder / row["name"], row) for row in rows)


def load_state(folder: Path, row: Mapping[str, Any]) -> RecordedState:
    """One state from its folder and its row of the index."""
    network = _seen(folder, "network")
    is_node_local = not (folder / "loopback.json").exists()
    loopback = RecordedView() if is_node_local else _seen(folder, "loopback")
    network6 = folder / "network6.json"
    pod = folder / "pod.json"
    return RecordedState(
        name=row["name"],
        role=row["role"],
        index=row,
        network=network,
        network6=_seen(folder, "network6") if network6.exists() else None,
        loopback=loopback,
        sockets=_accepting(network) if is_node_local else _sockets(folder / "sockets.txt"),
        has_istiod_connection=_talks_to_istiod(folder / "loopback"),
        earlier=tuple(_earlier(folder / "earlier")),
        pod=pod.read_bytes() if pod.exists() else b"",
        date=float(row.get("recorded") or _date(folder)),
        is_node_local=is_node_local,
    )


def _accepting(network: RecordedView) -> tuple[Socket, ...]:
    """The sockets that the network shows, where they were not recorded: Istio's, and others."""
    return tuple(
        Socket("*", port, "ztunnel" if port in _ISTIOS else "unknown")
        for port, connect in network.connects.items()
        if connect == "ok"
    )


_ISTIOS = range(15000, 15100)


def _seen(folder: Path, view: str) -> RecordedView:
    document = json.loads((folder / f"{view}.json").read_text(encoding="utf-8"))
    ports = document["tcp"]
    rows = document["http"]
    talks = [row for row in ports if row["connect"] == "ok"]
    hellos = {
        **{(row["port"], False): _hello(folder, row["tls"]) for row in talks if "tls" in row},
        **{
            (row["port"], _is_istios(row)): _hello(folder, row)
            for row in reversed(rows)
            if "handshake" in row and _is_known(row)
        },
    }
    return RecordedView(
        connects={row["port"]: "rejected" if "icmp" in row else row["connect"] for row in ports},
        silence={
            row["port"]: RecordedAnswer(bytes(row["silent"]["bytes"]), _end(row["silent"]["end"]))
            for row in talks
        },
        roots={row["port"]: _root(row["http_get_root"]) for row in talks},
        hellos=hellos,
        bare={row["port"]: _root(row) for row in rows if "sent_hex" in row and "end" in row},
        exchanges=tuple(_exchange(folder, row) for row in rows if "status" in row),
        is_unreachable=not talks and any("OSError" in str(row.get("connect")) for row in rows),
    )


def _is_istios(row: Mapping[str, Any]) -> bool:
    return "istio" in row["tls_alpn"]


def _is_known(row: Mapping[str, Any]) -> bool:
    """Whether a hello is Istio's own or a plain one for HTTP/2; no other one is sent."""
    is_plain = row["tls_alpn"] == ["h2"] and "sni" not in row and "max_version" not in row
    return is_plain or _is_istios(row)


def _root(row: Mapping[str, Any]) -> RecordedAnswer:
    first = row["first_line"].encode("latin-1") if row["bytes"] else b""
    return RecordedAnswer(data=first, end=_end(row["end"]))


def _end(text: str) -> End:
    return End(text) if text in ("fin", "reset") else End.OPEN


def _hello(folder: Path, row: Mapping[str, Any]) -> Hello:
    handshake = row["handshake"]
    if "reason" in row:
        handshake = f"{handshake}: {row['reason']}"
    name = row.get("certificate")
    return Hello(
        handshake=handshake,
        then=row.get("then") or "",
        alpn=row.get("alpn") or "",
        certificate=(folder / name).read_bytes() if name else b"",
        seconds=row.get("ms", 0.0) / 1000,
    )


def _exchange(folder: Path, row: Mapping[str, Any]) -> Exchange:
    data = (folder / row["file"]).read_bytes() if row.get("file") else b""
    return Exchange(
        port=row["port"],
        path=row["path"],
        answer=RecordedAnswer(data, _end(row["end"]), row.get("ms", 0.0) / 1000),
        header=row.get("headers") or "",
        tls=bool(row.get("tls")),
        method=row["method"],
    )


def _sockets(path: Path) -> tuple[Socket, ...]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [match for match in map(_SOCKET.match, lines) if match]
    rows = (Socket(m[1].strip("[]"), int(m[2]), m[3] or "unknown") for m in found)
    return tuple(dict.fromkeys(rows))


def _talks_to_istiod(folder: Path) -> bool:
    """Whether the kernel's table has a connection to another pod's port 15010 or 15012."""
    tables = [folder / "proc_net_tcp", folder / "proc_net_tcp6"]
    return any(_ESTABLISHED.search(t.read_text(encoding="ascii")) for t in tables if t.exists())


def _earlier(folder: Path) -> Iterator[Exchange]:
    """Pages are named PORT_PATH.http."""
    for file in sorted(folder.glob("*_stats_prometheus.http")):
        port = int(file.name.partition("_")[0])
        yield Exchange(port, "/stats/prometheus", RecordedAnswer(file.read_bytes()))


def _date(folder: Path) -> float:
    """When the state was recorded, by the first answer that carries a date."""
    for file in sorted(folder.glob("*/*.http")):
        if file.parent.name == "earlier":
            continue
        found = _DATE.search(file.read_bytes()[:2000])
        if found:
            return parsedate_to_datetime(found[1].decode("ascii")).timestamp()
    return 0.0
