"""`explain`: what a port is, who owns it, which causes show on it; what a cause or alert means."""

import argparse
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import chain

from exporter.catalogue import PORTS, Port
from exporter.catalogue.other_ports import OTHER_PORTS, OtherPort
from exporter.cli.alert_runbooks import AlertRunbook, alert_runbooks
from exporter.cli.exit_codes import ExitCode
from exporter.cli.ports import as_json, versions
from exporter.diagnosis import CAUSES, Cause
from exporter.model import Role
from exporter.report.port_documents import port_document

_LEAST_COLUMNS = 20
"""What a text has beside its beginning, however narrow the terminal is."""

_BOLD = "\x1b[1m"
_PLAIN = "\x1b[0m"


class _Known:
    """The words that completion offers; what is none of them is answered by the command."""

    def __contains__(self, word: object) -> bool:
        """Whether the parser takes it: always."""
        return True

    def __iter__(self) -> Iterator[str]:
        """Every number, name, cause and alert, once."""
        ports = ((str(row.number), str(row.name)) for row in PORTS)
        return iter(dict.fromkeys((*chain(*ports), *CAUSES, *_alert_names())))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "wanted",
        metavar="PORT|CAUSE|ALERT",
        choices=_Known(),
        help="a port's number or name, such as virtualInbound, a cause, such as envoy_stuck, or an "
        "alert, such as IstioProxyFault",
    )
    parser.add_argument(
        "-o", dest="output", choices=("text", "json"), default="text", help="format of the output"
    )
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> ExitCode:
    """Print the rows of the port, one per role, the cause or the alert; ends with 2 for none."""
    rows, others = find(chosen.wanted), find_other(chosen.wanted)
    cause = find_cause(chosen.wanted)
    alert = alert_runbooks().get(chosen.wanted.lower())
    if not rows and not others and not cause and not alert:
        print(_unknown(chosen.wanted), file=sys.stderr)
        return ExitCode.USAGE
    if chosen.output == "json":
        ports = {"ports": [port_document(row) for row in rows] or others}
        found = {"causes": [_cause_document(cause)]} if cause else {"alerts": [alert]}
        print(as_json(found if cause or alert else ports))
        return ExitCode.HEALTHY
    for roles, row in _merged(rows):
        _print_part(f"{row.number} {row.name} ({roles})", _explanation(row))
    for other in () if rows else others:
        _print_part(f"{other.port} {other.name}", [("  ", other.purpose)])
    if cause:
        _print_part(f"{cause.id} ({cause.cause_class})", _cause_explanation(cause))
    if alert:
        _print_part(f"{alert.name} (alert)", _alert_explanation(alert))
    return ExitCode.HEALTHY


def find(wanted: str) -> list[Port]:
    """The rows with this number or, in any case of letters, this name."""
    return [row for row in PORTS if wanted.lower() in (str(row.number), row.name.lower())]


def find_other(wanted: str) -> list[OtherPort]:
    """The ports on which no process of Istio listens, by number or name."""
    return [row for row in OTHER_PORTS if wanted.lower() in (str(row.port), row.name)]


def find_cause(wanted: str) -> Cause | None:
    """The cause of this name, in any case of letters, with blanks or hyphens for underscores."""
    return CAUSES.get("_".join(wanted.lower().replace("-", " ").replace("_", " ").split()))


def _unknown(wanted: str) -> str:
    """What to type instead: what is spelled alike, else all of it."""
    names = [*dict.fromkeys(row.name for row in PORTS), *CAUSES, *_alert_names()]
    likely = get_close_matches(wanted, names)
    begin = f"{wanted!r} is neither a port of Istio nor a cause nor an alert"
    if likely:
        return f"{begin}. Did you mean {' or '.join(likely)}?"
    lists = (
        ("  ports   ", ", ".join(map(str, sorted({row.number for row in PORTS})))),
        ("  causes  ", ", ".join(sorted(CAUSES))),
        ("  alerts  ", ", ".join(sorted(_alert_names()))),
    )
    return "\n".join((f"{begin}; there are:", *map(_fitted, lists)))


def _print_part(heading: str, lines: Iterable[tuple[str, str]]) -> None:
    is_styled = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(f"{_BOLD}{heading}{_PLAIN}" if is_styled else heading)
    print("\n".join(map(_fitted, lines)))


def _cause_explanation(cause: Cause) -> list[tuple[str, str]]:
    advices: dict[str, str] = {}
    for role, advice in cause.advices.items():
        advices[advice] = f"{advices[advice]}, {role}" if advice in advices else role
    facts = {
        "what to do": cause.advice,
        **{f"on {roles}": advice for advice, roles in advices.items()},
        "shows on": cause.shown_on,
        "roles": ", ".join(cause.roles),
        "runbook": f"docs/diagnosis.md#{cause.id}, which the exporter serves below /runbooks",
    }
    width = max(map(len, facts)) + 2
    return [("  ", cause.sentence), *((f"  {name:<{width}}", text) for name, text in facts.items())]


def _alert_names() -> list[str]:
    return [alert.name for alert in alert_runbooks().values()]


def _alert_explanation(alert: AlertRunbook) -> list[tuple[str, str]]:
    page = f"docs/alerts.md#{alert.name.lower()}, which the exporter serves below /runbooks"
    advice = [("  what to do  ", text) for text in alert.advice]
    return [*(("  ", text) for text in alert.meaning), *advice, ("  runbook     ", page)]


def _cause_document(cause: Cause) -> dict[str, object]:
    return {
        "cause": cause.id,
        "class": cause.cause_class,
        "roles": cause.roles,
        "sentence": cause.sentence,
        "advice": cause.advice,
        "advice_by_role": cause.advices,
        "shows_on": cause.shown_on,
    }


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
