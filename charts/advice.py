"""The causes' advice in the description of the alert IstioProxyFault, in the causes' order."""

import re
from collections.abc import Iterator

from exporter.diagnosis import CAUSES
from exporter.model import CauseClass, Role

_CONTROL_PLANE = frozenset(
    ("istiod_replica_stuck", "istiod_not_ready", "webhook_not_serving", "webhook_unreachable")
)
"""Faults that the control plane's own alerts report; those of ambient alone have theirs too."""

_BRANCHES = re.compile(r'( *)\{\{- if eq \$cause "(?:.*\n)*?(?= *\{\{- end \}\})')


def with_advice(rules: str) -> str:
    """The rules with one branch for each cause that the alert can name."""
    return _BRANCHES.sub(lambda found: "".join(_branches(found[1])), rules)


def _branches(indent: str) -> Iterator[str]:
    word = "if"
    for cause in CAUSES.values():
        is_fault = cause.cause_class is CauseClass.FAULT and cause.id not in _CONTROL_PLANE
        is_of_ambient = cause.roles == (Role.AMBIENT,)
        if (is_fault and not is_of_ambient) or cause.id == "network_blocked":
            yield f'{indent}{{{{- {word} eq $cause "{cause.id}" }}}} {cause.advice}\n'
            word = "else if"
