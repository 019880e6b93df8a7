"""`explain PORT`: what one port is, who owns it, how to look at it, what shows on it."""

import argparse
import sys

from rich.console import Console
from rich.text import Text

from exporter.catalogue import PORTS, Port
from exporter.catalogue.other_ports import OTHER_PORTS, OtherPort
from exporter.cli.exit_codes import ExitCode
from exporter.cli.ports import as_json, versions
from exporter.model import Role
from exporter.report.target_documents import port_document


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("explain", help="explain one of Istio's ports")
    parser.add_argument("port", metavar="PORT", help="a number or a name, such as virtualInbound")
    parser.add_argument("-o", dest="output", choices=("text", "json"), default="text")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> ExitCode:
    """Print every row of the port, one a role; ends with 2 when there is none."""
    rows, others = find(chosen.port), find_other(chosen.port)
    if not rows and others:
        return _explain_others(others, chosen.output)
    if not rows:
        names = ", ".join(sorted({f"{row.number} ({row.name})" for row in PORTS}))
        print(f"{chosen.port} is no port of Istio's. Known: {names}.", file=sys.stderr)
        return ExitCode.USAGE
    if chosen.output == "json":
        print(as_json([port_document(row) for row in rows]))
        return ExitCode.HEALTHY
    console = Console()
    for roles, row in _merged(rows):
        console.print(_explanation(roles, row), soft_wrap=not console.is_terminal)
    return ExitCode.HEALTHY


def find(wanted: str) -> list[Port]:
    """The rows with this number or, whatever the case, this name."""
    return [row for row in PORTS if wanted.lower() in (str(row.number), row.name.lower())]


def find_other(wanted: str) -> list[OtherPort]:
    """The ports that are not Istio's to listen on, by number or name."""
    return [row for row in OTHER_PORTS if wanted.lower() in (str(row.port), row.name)]


def _explain_others(rows: list[OtherPort], output: str) -> ExitCode:
    if output == "json":
        print(as_json(rows))
        return ExitCode.HEALTHY
    for row in rows:
        print(f"{row.port} {row.name}\n  {row.purpose}")
    return ExitCode.HEALTHY


def _merged(rows: list[Port]) -> list[tuple[str, Port]]:
    """Rows of which the same is to be printed, with their roles."""
    merged: dict[str, tuple[list[str], Port]] = {}
    for row in rows:
        merged.setdefault(_explanation("", row).plain, ([], row))[0].append(row.role)
    return [(", ".join(roles), row) for roles, row in merged.values()]


def _capture(row: Port) -> str:
    if row.escapes_capture:
        return "escapes it: a connect reaches the port itself"
    if row.role is Role.SIDECAR:
        return "caught: from the network every connect succeeds, whoever listens"
    return "none on this role"


def _explanation(roles: str, row: Port) -> Text:
    document = port_document(row)
    bind = "every address" if row.bind == "all" else "loopback only"
    facts = {
        "owner": row.component,
        "bind": f"{bind}, {row.protocol}",
        "category": row.category,
        "capture": _capture(row),
        "moved by": row.moved_by_text or "nothing",
        "versions": versions(row),
        "by hand": document.by_hand,
    }
    if row.bind == "loopback":
        facts["seen from"] = "inside the pod"
    text = Text(f"{row.number} {row.name} ({roles})\n", style="bold")
    text.append(f"  {row.purpose}\n", style="not bold")
    for name, fact in facts.items():
        text.append(f"  {name:<10}{fact}\n", style="not bold")
    if document.causes:
        text.append("  causes that show here\n", style="not bold")
    for cause in document.causes:
        text.append(f"    {cause.cause:<28}", style="bold").append(f"{cause.sentence}\n")
    return text
