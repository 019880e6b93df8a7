"""`make fleet PODS=DIR`: how the exporter reads every pod of a folder, a line each.

The folder has pod documents, lists of them (`kubectl get pods -A -o json`) or injected manifests,
in JSON or YAML. The exit status is 1 where something could not be read, 2 without any pod.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from exporter.catalogue import PORTS_BY_ROLE, ports_of
from exporter.discovery.pod_documents import Container, Pod
from exporter.discovery.pods import classify, targets_of_pod
from exporter.discovery.proxy_settings import sources_of
from exporter.model import Expectation, Interception, Role, Settings, Target

HEADINGS = ("Pod", "Role", "Version", "Ports", "Capture", "Families", "Moved")
LEGEND = "Ports: open on every address, (on loopback), [optional]."
NO_ROLE = "no part of Istio"
_MARKS = {Expectation.OPEN: "{}", Expectation.LOOPBACK: "({})"}
_SUFFIXES = frozenset((".json", ".yaml", ".yml"))
_TIMESTAMP = "tag:yaml.org,2002:timestamp"

console = Console(width=None if sys.stdout.isatty() else 200)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of one document: the cells of its row, or why it could not be read."""

    file: str
    cells: tuple[str, ...] = ()
    problem: str = ""


def main(arguments: list[str]) -> int:
    """Read the folder, print the table."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        console.print("name a folder of pod documents: make fleet PODS=DIR", style="red")
        return 2
    folder = Path(arguments[0])
    readings = list(read_folder(folder))
    console.print(table_of(readings))
    bad = [reading for reading in readings if reading.problem]
    for reading in bad:
        console.print(Text(f"{reading.file}: {reading.problem}", style="red"))
    read = len(readings) - len(bad)
    console.print(f"{read} pods read, {len(bad)} documents not.")
    return 1 if bad else 0 if read else 2


class _Loader(yaml.CSafeLoader):
    """Timestamps stay text, as in JSON."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in rows if tag != _TIMESTAMP]
        for first, rows in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def read_folder(folder: Path) -> Iterator[Reading]:
    """Every pod of the files of a folder, in the order of their names."""
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES):
        name = str(path.relative_to(folder))
        try:
            for document in _documents(path):
                yield from (_read(name, pod) for pod in pods_in(document))
        except (yaml.YAMLError, msgspec.DecodeError, ValueError, RecursionError) as error:
            yield Reading(name, problem=" ".join(str(error).split()))


def _documents(path: Path) -> Iterable[Any]:
    if path.suffix == ".json":
        return (msgspec.json.decode(path.read_bytes()),)
    return yaml.load_all(path.read_bytes(), Loader=_Loader)


def table_of(readings: Iterable[Reading]) -> Table:
    """One row per pod that could be read."""
    table = Table(caption=Text(LEGEND), caption_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for reading in readings:
        if reading.cells:
            table.add_row(*map(Text, reading.cells))
    return table


def pods_in(document: Any) -> Iterator[Any]:
    """The pod documents in an object of Kubernetes: itself, its items, or its pod template.

    What is no object of Kubernetes comes out as it is. Objects without pods have none.
    """
    if document is None:
        return
    if not isinstance(document, dict) or "kind" not in document or document["kind"] == "Pod":
        yield document
    elif isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from pods_in(item)
    elif template := _template(document.get("spec")):
        own = document.get("metadata") or {}
        metadata = {"name": own.get("name"), "namespace": own.get("namespace") or "default"}
        yield {**template, "metadata": {**(template.get("metadata") or {}), **metadata}}


def _template(spec: Any) -> Mapping[str, Any] | None:
    """The pod template of a workload's spec, or of a CronJob's jobs; None without one."""
    if not isinstance(spec, dict):
        return None
    job = spec.get("jobTemplate")
    found = spec.get("template") or (job.get("spec", {}).get("template") if job else None)
    return found if isinstance(found, dict) else None


def _read(file: str, document: Any) -> Reading:
    try:
        pod = msgspec.convert(document, Pod)
    except msgspec.ValidationError as error:
        return Reading(file, problem=f"is not a pod document: {error}")
    return Reading(file, cells=cells_of(pod))


def cells_of(pod: Pod) -> tuple[str, ...]:
    """A row of the table."""
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    found, target = classify(pod), next(iter(targets_of_pod(pod)), None)
    if found is None:
        return (name, NO_ROLE, "", "", "", "", "")
    role, container = found
    if target is None:
        return (name, f"{role}, not a target", "", "", "", "", "")
    return (
        name,
        role,
        target.istio_version or "unknown",
        " ".join(
            _MARKS.get(port.expectation, "[{}]").format(port.number) for port in ports_of(target)
        ),
        _capture(target),
        _families(target),
        ", ".join(_moved(pod, container, role, target)),
    )


def _capture(target: Target) -> str:
    settings = target.settings
    if settings.ambient:
        return "ambient"
    if not target.captured or settings.interception is Interception.NONE:
        return "none"
    only, but = settings.included_inbound_ports, settings.excluded_inbound_ports
    parts = (
        settings.interception.value,
        "" if only is None else f"only {' '.join(map(str, only)) or 'nothing'}",
        f"but {' '.join(map(str, but))}" if but else "",
    )
    return " ".join(filter(None, parts))


def _families(target: Target) -> str:
    served = " ".join(f"IPv{ip_address(one).version}" for one in target.addresses)
    unserved = (f"IPv{ip_address(one).version} unserved" for one in target.unserved_addresses)
    return ", ".join(filter(None, (served or "no address", *unserved)))


def _moved(pod: Pod, container: Container, role: Role, target: Target) -> Iterator[str]:
    """Each port that the document moved, switched on or off, and where it does."""
    sources = sources_of(pod, container)
    for row in PORTS_BY_ROLE[role]:
        usual = getattr(Settings(), row.setting) if row.setting else row.number
        number = row.number_in(target.settings)
        if number != usual:
            by = (one.text for one in row.moved_by if one.number(sources) is not None)
            where = "on" if number == row.number else f"to {number}" if number else "off"
            yield f"{row.number} {where} by {next(by, 'the role')}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
