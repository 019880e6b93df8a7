"""Make the shipped states from a folder of recordings: `trim.py FROM TO STATE...`.

Keeps what the exporter asks and what tells it, drops the rest: HELP lines, families that are
never read, requests that are never made, a pod document's bookkeeping.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from exporter.demo import metrics_pages as pages

ASKED = re.compile(
    r"^(/|/healthz/ready|/ready|/readyz|/metrics|/version|/debug/syncz|/certs|/init_dump"
    r"|/listeners\?format=json|/stats/prometheus|/app-health/app/readyz"
    r"|/config_dump\?resource=dynamic_listeners&mask=.*"
    r"|/stats/prometheus\?usedonly&filter=.*listener_manager.*)$"
)
TELLING = re.compile(
    r"^(# TYPE )?(envoy_("
    r"server_(live|state|uptime)\b"
    r"|listener_manager_(total|lds|workers_started|listener_create)"
    r"|cluster_manager_(cds|active|warming)"
    r"|cluster_upstream_(cx_(active|total|connect_fail)\b|rq_total)"
    r").*|istio_agent_(?!go_|process_).*"
    r"|(pilot|citadel|istio_build|istiod|istio_xds|galley|webhook|workload|istio_cni).*)"
)
HISTOGRAM = re.compile(r"^(# TYPE .* histogram$|(?!workload_manager_)\S+_(bucket|sum|count)\b)")
BOOKKEEPING = ("volumes", "tolerations")


def trim(source: Path, target: Path, names: list[str]) -> None:
    """Write the trimmed states and their index."""
    rows = yaml.safe_load((source / "index.yaml").read_text(encoding="utf-8"))
    chosen = [row for row in rows if row["name"] in names]
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    index = yaml.safe_dump(chosen, sort_keys=False, width=100)
    head = "# What was done to each state, and what is true of it; `recording.py` reads it.\n"
    (target / "index.yaml").write_text(head + index, encoding="utf-8")
    for row in chosen:
        trim_state(source / row["name"], target / row["name"])


def trim_state(source: Path, target: Path) -> None:
    """Write one trimmed state."""
    target.mkdir()
    shutil.copy(source / "sockets.txt", target)
    for view in ("network", "network6", "loopback"):
        if (source / f"{view}.json").exists():
            trim_view(source, target, view)
    for file in (source / "earlier").glob("*.http"):
        write(target / "earlier" / file.name, trim_answer(file.read_bytes()))
    for table in ("proc_net_tcp", "proc_net_tcp6"):
        trim_table(source / "loopback" / table, target / "loopback" / table)
    if (source / "pod.json").exists():
        document = trim_pod(json.loads((source / "pod.json").read_text(encoding="utf-8")))
        write(target / "pod.json", json.dumps(document).encode())


def trim_view(source: Path, target: Path, view: str) -> None:
    """Write one view: every port, the requests that are sent, their files."""
    document = json.loads((source / f"{view}.json").read_text(encoding="utf-8"))
    rows = []
    for row in document["http"]:
        if "path" in row and not (ASKED.match(row["path"]) and row.get("method") == "GET"):
            continue
        if row.get("file"):
            if (source / row["file"]).stat().st_size > 10_000 and row["path"] == "/":
                continue
            data = trim_answer((source / row["file"]).read_bytes())
            row["bytes"] = len(data)
            write(target / row["file"], data)
        rows.append(row)
    for row in [*rows, *(port.get("tls", {}) for port in document["tcp"])]:
        if row.get("certificate"):
            write(target / row["certificate"], (source / row["certificate"]).read_bytes())
    tcp, http = (",\n  ".join(json.dumps(row) for row in part) for part in (document["tcp"], rows))
    text = f'{{"tcp": [\n  {tcp}],\n "http": [\n  {http}]}}\n'
    write(target / f"{view}.json", text.encode())


def trim_answer(data: bytes) -> bytes:
    """An answer without the lines that nobody reads; what is no metrics page stays whole."""
    head, body = pages.split(data)
    if b"# TYPE " not in body:
        return data
    lines = body.decode().splitlines(keepends=True)
    kept = [line for line in lines if TELLING.match(line) and not HISTOGRAM.match(line)]
    return pages.join(head, "".join(kept).encode())


def trim_table(source: Path, target: Path) -> None:
    """A kernel's table with its established connections only."""
    if source.exists():
        head, *rows = source.read_text(encoding="ascii").splitlines(keepends=True)
        kept = [row for row in rows if row.split()[3] == "01"]
        write(target, "".join([head, *kept]).encode())


def trim_pod(document: dict[str, Any]) -> dict[str, Any]:
    """A pod document without volumes and managed fields."""
    document["metadata"].pop("managedFields", None)
    spec = document["spec"]
    for name in BOOKKEEPING:
        spec.pop(name, None)
    for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
        container.pop("volumeMounts", None)
    return document


def write(path: Path, data: bytes) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


if __name__ == "__main__":
    trim(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
