"""`ports`: the catalogue of Istio's ports, one row per port and role; roles that agree share one.

The markdown output is `docs/ports.md`.
"""

import argparse
from collections.abc import Iterable, Iterator
from itertools import groupby

import msgspec

from exporter.catalogue import NEWEST_VERSION, PORTS, Port
from exporter.cli.exit_codes import ExitCode
from exporter.model import Role
from exporter.report.port_documents import PortDocument, port_document

_PREFACE = f"""\
# Ports

Every port of Istio that the exporter knows, one row per port and role, up to Istio
{NEWEST_VERSION[0]}.{NEWEST_VERSION[1]}; a newer proxy is judged as the newest known one.
`istio-port-exporter explain PORT` prints the same of one port. This page is written by
`istio-port-exporter ports -o markdown`.

*Moved by* lists where the exporter reads a port's number in a pod document, the first that states
one first: annotations, ProxyConfig (the variable PROXY_CONFIG, and above it the annotation
proxy.istio.io/config), the container's variables (or else proxyMetadata), and its arguments.
"""

_HEADINGS = (
    "Port",
    "Name",
    "Owner",
    "Bind",
    "Protocol",
    "Category",
    "Escapes capture",
    "Moved by",
    "Versions",
    "Purpose",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("--role", choices=[str(role) for role in Role], help="only its ports")
    parser.add_argument(
        "-o",
        dest="output",
        choices=("table", "json", "markdown"),
        default="table",
        help="format of the output",
    )
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> ExitCode:
    """Print the rows."""
    rows = [row for row in PORTS if chosen.role in (None, row.role)]
    match chosen.output:
        case "json":
            print(as_json({"ports": [port_document(row) for row in rows]}))
        case "markdown":
            print(markdown(rows), end="")
        case _:
            _print_table(rows)
    return ExitCode.HEALTHY


def as_json(document: object) -> str:
    """A document of structs, mappings and scalars, indented as every command prints it."""
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def versions(row: Port) -> str:
    """The Istio lines that have the port, in words."""
    since = f"since {row.since[0]}.{row.since[1]}" if row.since else ""
    until = f"until {row.until[0]}.{row.until[1]}" if row.until else ""
    return " ".join(filter(None, (since, until))) or "all"


def markdown(rows: Iterable[Port]) -> str:
    """The page that documents the ports: a table and the commands, by role."""
    sections = (_section(role, list(of_role)) for role, of_role in _by_role(rows))
    return "\n".join([_PREFACE, *sections])


def _by_role(rows: Iterable[Port]) -> Iterator[tuple[Role, Iterator[Port]]]:
    order = list(Role)
    return groupby(sorted(rows, key=lambda row: order.index(row.role)), key=lambda row: row.role)


def _section(role: Role, rows: list[Port]) -> str:
    table = [
        f"| {' | '.join(_HEADINGS)} |",
        f"|{'---|' * len(_HEADINGS)}",
        *(f"| {' | '.join(map(_cell, _cells(row)))} |" for row in rows),
    ]
    commands = [
        f"- {document.port}: `{document.by_hand}`" + _causes(document)
        for document in map(port_document, rows)
        if document.by_hand
    ]
    by_hand = ["By hand, and the causes that show there:", "", *commands, ""]
    return "\n".join([f"## {role}", "", *table, "", *by_hand])


def _causes(document: PortDocument) -> str:
    return f" ({', '.join(one.cause for one in document.causes)})" if document.causes else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "-"


def _cells(row: Port) -> tuple[str, ...]:
    return (
        str(row.number),
        row.name,
        row.component,
        row.bind,
        row.protocol,
        row.category,
        "yes" if row.escapes_capture else "no",
        row.moved_by_text,
        versions(row),
        row.purpose,
    )


def _print_table(rows: Iterable[Port]) -> None:
    """Print a row for each port, by number; roles that differ in nothing share it."""
    from exporter.cli.fitting_table import FittingTable
    from exporter.cli.tables import console

    headings = ("Port", "Name", "Roles", "Owner", "Bind", "Protocol", "Versions", "Purpose")
    roles: dict[tuple[str, ...], list[str]] = {}
    for row in sorted(rows, key=lambda row: row.number):
        facts = (row.component, row.bind, row.protocol, versions(row), row.purpose)
        roles.setdefault((str(row.number), row.name, *facts), []).append(row.role)
    cells = [(*key[:2], ", ".join(found), *key[2:]) for key, found in roles.items()]
    console().print(FittingTable(headings, [cells], title=("Port", "Name", "Roles")))
