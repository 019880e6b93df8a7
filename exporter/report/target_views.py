"""Targets as lists and summaries see them: one view a target, the filters, the pages. Pure."""

from dataclasses import dataclass

from exporter.model import Target, TargetRecord
from exporter.report.target_documents import Health


@dataclass(frozen=True, slots=True)
class TargetView:
    """One target as the walk meets it; `record` None: it was not looked at yet."""

    target: Target
    record: TargetRecord | None
    health: Health
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a list was asked for; empty means everything. `text` is in lower case."""

    namespace: str = ""
    role: str = ""
    state: str = ""
    cause: str = ""
    text: str = ""

    def is_in_scope(self, target: Target) -> bool:
        """Whether namespace and role let the target through."""
        return self.namespace in ("", target.key.namespace) and self.role in ("", target.role)

    def lets_through(self, found: TargetView) -> bool:
        """Whether every filter lets the target through."""
        return (
            self.is_in_scope(found.target)
            and self.state in ("", found.health)
            and self.cause in ("", found.cause)
            and (not self.text or self.text in _words_of(found))
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list was asked for."""

    offset: int
    limit: int

    def of(self, found: list[TargetView]) -> list[TargetView]:
        """The part of what was found."""
        return found[self.offset : self.offset + self.limit]


def _words_of(found: TargetView) -> str:
    """What a text filter looks in."""
    target = found.target
    words = (
        str(target.key),
        *target.addresses,
        target.node,
        target.workload,
        target.revision,
        target.istio_version,
        found.cause,
    )
    return "\n".join(words).lower()
