"""What the alerts take from the table of causes: each cause's number, name and advice.

An alert whose label were the cause would start anew with each new cause, so its value is the
cause's number, by which its text finds the rest without a query.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from exporter.diagnosis import CAUSES
from exporter.diagnosis.cause import Cause, CauseClass
from exporter.model import Role

_CONTROL_PLANE = frozenset(
    (
        "istiod_replica_stuck",
        "istiod_not_ready",
        "webhook_not_serving",
        "webhook_unreachable",
        "istiod_port_down",
    )
)
"""Faults that the control plane's own alerts report."""

_GROUP = 7

_NUMBERS = re.compile(r"( *)# causes: begin\n(?:.*\n)*? *# causes: end\n")
_LIST = r"\(args\n(?:.*\n)*?( *)\) \(printf"
_ADVICE = re.compile(rf"(: )(\{{\{{ index ){_LIST}")
_NAMES = re.compile(rf"(diagnosis\.md#)(\{{\{{ index ){_LIST}")


_ROLES = {"ambient": Role.AMBIENT}
"""The files of rules whose alerts are about targets of one role."""


def with_causes(name: str, rules: str) -> str:
    """The rules of this file with the numbers, names and advice of the causes as they are now."""
    causes = tuple(_named())
    rules = _NUMBERS.sub(lambda found: "".join(_numbers(found[1], causes)), rules)
    role = _ROLES.get(name, Role.SIDECAR)
    advice = [f"{cause.id}. {cause.advices.get(role, cause.advice)}" for cause in causes]
    rules = _ADVICE.sub(lambda found: _texts(found, advice), rules)
    return _NAMES.sub(lambda found: _texts(found, [cause.id for cause in causes]), rules)


def _named() -> Iterator[Cause]:
    """The causes that an alert of a proxy can name, in their order, which gives their numbers."""
    for cause in CAUSES.values():
        is_fault = cause.cause_class is CauseClass.FAULT and cause.id not in _CONTROL_PLANE
        if is_fault or cause.id == "network_blocked":
            yield cause


def _numbers(indent: str, causes: Sequence[Cause]) -> Iterator[str]:
    """In groups, so that a row passes through few unions."""
    yield f"{indent}# causes: begin\n"
    for first in range(0, len(causes), _GROUP):
        yield f"{indent}{'or ' if first else ''}(\n"
        for number, cause in enumerate(causes[first : first + _GROUP], first):
            start = "or " if number > first else ""
            row = f'label_replace(vector({number}), "cause", "{cause.id}", "", "")'
            yield f"{indent}  {start}{row}\n"
        yield f"{indent})\n"
    yield f"{indent}# causes: end\n"


def _texts(found: re.Match[str], texts: Iterable[str]) -> str:
    indent = found[3]
    rows = "".join([f'{indent}"{text}"\n' for text in texts])
    return f"{found[1]}{found[2]}(args\n{rows}{indent}) (printf"
