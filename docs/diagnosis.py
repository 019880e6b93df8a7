"""Write what `diagnosis.md` takes from the table of causes: `make runbooks`.

In: the page and the table. Out: the page with its order, its table, and each section's first line
and advice from the code; how a cause is detected and what else to do are written by hand.
"""

import re
from pathlib import Path

from exporter.diagnosis import CAUSES, Cause
from exporter.diagnosis.ambient_causes import AMBIENT_ORDER
from exporter.diagnosis.lifecycle_causes import LIFECYCLE_CAUSES
from exporter.model import ALL_ROLES, Role

PAGE = Path(__file__).parent / "diagnosis.md"

_AMBIENT = "On a workload in ambient"
_ADVICE = "**What to do.** "
_HEADING = re.compile(r"^## (.+)\n", re.MULTILINE)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page_of(PAGE.read_text()))


def page_of(text: str) -> str:
    """The page, with the table of causes in place of an older one."""
    preface, *parts = _HEADING.split(text)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    if sections.keys() != CAUSES.keys():
        raise LookupError(f"not a cause or without a section: {sections.keys() ^ CAUSES.keys()}")
    table = re.sub(r"(^\|.*\n)+", lambda _: _table(), preface, count=1, flags=re.MULTILINE)
    table = re.sub(_AMBIENT + ".*", lambda _: _AMBIENT + _ambient_order(), table)
    return table + "\n".join(_section(cause, sections[cause.id]) for cause in CAUSES.values())


def _table() -> str:
    rows = (
        f"| {number} | {_link(cause.id)} | {cause.cause_class} | {_roles(cause)} "
        f"| {cause.shown_on} |\n"
        for number, cause in enumerate(CAUSES.values(), 1)
    )
    return "| Order | Cause | Class | Roles | Shows on |\n|---|---|---|---|---|\n" + "".join(rows)


def _ambient_order() -> str:
    before = [cause.id for cause in LIFECYCLE_CAUSES if Role.AMBIENT in cause.roles][-1]
    following = ", ".join(map(_link, AMBIENT_ORDER))
    return f" the order after {_link(before)} is: {following}."


def _link(cause: str) -> str:
    return f"[{cause}](#{cause})"


def _roles(cause: Cause) -> str:
    return "all" if cause.roles == ALL_ROLES else ", ".join(cause.roles)


def _section(cause: Cause, text: str) -> str:
    first = f"*{cause.cause_class}, shows on {cause.shown_on}.* {cause.sentence}"
    _, *paragraphs = text.strip().split("\n\n")
    kept = (_ADVICE + cause.advice if p.startswith(_ADVICE) else p for p in paragraphs)
    return "\n\n".join((f"## {cause.id}", first, *kept)) + "\n"
