"""`explain PORT`: what one port is, who owns it, how to examine it, which causes show on it."""

import argparse
import os
import shutil
import sys
import textwrap

from exporter.catalogue import PORTS, Port
from exporter.catalogue.other_ports import OTHER_PORTS, OtherPort
from exporter.cli.exit_codes import ExitCode
from exporter.cli.ports import as_json, versions
from exporter.model import Role
from exporter.report.port_documents import port_document

_LEAST_COLUMNS = 20
"""What a text has beside its beginning, however narrow the terminal is."""

_BOLD = "\x1b[1m"
_PLAIN = "\x1b[0m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("port", metavar="PORT", help="a number or a name, such as virtualInbound")
    parser.add_argument(
        "-o", dest="output", choices=("text", "json"), default="text", help="format of the output"
    )
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> ExitCode:
    """Print every row of the port, one per role; ends with 2 when there is none."""
    rows, others = find(chosen.port), find_other(chosen.port)
    if not rows and others:
        return _explain_others(others, chosen.output)
    if not rows:
        print(f"{chosen.port} is not one of Istio's ports, which are:", file=sys.stderr)
        print(_all_ports(), file=sys.stderr)
        return ExitCode.USAGE
    if chosen.output == "json":
        print(as_json([port_document(row) for row in rows]))
        return ExitCode.HEALTHY
    is_styled = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for roles, row in _merged(rows):
        heading = f"{row.number} {row.name} ({roles})"
        print(f"{_BOLD}{heading}{_PLAIN}" if is_styled else heading)
        print("\n".join(map(_fitted, _explanation(row))))
    return ExitCode.HEALTHY


def find(wanted: str) -> list[Port]:
    """The rows with this number or, in any case of letters, this name."""
    return [row for row in PORTS if wanted.lower() in (str(row.number), row.name.lower())]


def find_other(wanted: str) -> list[OtherPort]:
    """The ports on which no process of Istio listens, by number or name."""
    return [row for row in OTHER_PORTS if wanted.lower() in (str(row.port), row.name)]


def _explain_others(rows: list[OtherPort], output: str) -> ExitCode:
    if output == "json":
        print(as_json(rows))
        return ExitCode.HEALTHY
    for row in rows:
        print(f"{row.port} {row.name}")
        print(_fitted(("  ", row.purpose)))
    return ExitCode.HEALTHY


def _all_ports() -> str:
    ports = sorted({(row.number, row.name) for row in PORTS})
    return "\n".join(f"  {number:<6}{name}" for number, name in ports)


def _merged(rows: list[Port]) -> list[tuple[str, Port]]:
    """The rows with their roles; those that differ in nothing but their role are one."""
    merged: dict[tuple[object, ...], tuple[list[str], Port]] = {}
    for row in rows:
        merged.setdefault((row.name, *_explanation(row)), ([], row))[0].append(row.role)
    return [(", ".join(roles), row) for roles, row in merged.values()]


def _capture(row: Port) -> str:
    if row.escapes_capture:
        return "escapes it: a connect reaches the port itself"
    if row.role is Role.SIDECAR:
        return "redirected: a connect from the network succeeds whether or not anything listens"
    return "none on this role"


def _explanation(row: Port) -> list[tuple[str, str]]:
    """Lines, each as its beginning and the text that may be broken."""
    document = port_document(row)
    bind = "every address" if row.bind == "all" else "loopback only"
    facts = {
        "owner": row.component,
        "bind": f"{bind}, {row.protocol}",
        "category": row.category,
        "capture": _capture(row),
        "moved by": row.moved_by_text or "nothing",
        "versions": versions(row),
    }
    if row.bind == "loopback":
        facts["visible"] = "inside the pod only"
    lines = [("  ", row.purpose), *((f"  {name:<10}", fact) for name, fact in facts.items())]
    # In one piece, so that it can be copied.
    lines.append((f"  by hand   {document.by_hand or 'no command'}", ""))
    if document.causes:
        lines.append(("  causes that show here", ""))
    lines += [(f"    {cause.cause:<28}", cause.sentence) for cause in document.causes]
    return [*lines, ("", "")]


def _fitted(line: tuple[str, str]) -> str:
    """The line, broken between words where a terminal has no room for it."""
    begin, text = line
    if not text or not (sys.stdout.isatty() or "COLUMNS" in os.environ):
        return begin + text
    width = max(shutil.get_terminal_size().columns, len(begin) + _LEAST_COLUMNS)
    return textwrap.fill(
        text,
        width,
        initial_indent=begin,
        subsequent_indent=" " * len(begin),
        break_long_words=False,
        break_on_hyphens=False,
    )
