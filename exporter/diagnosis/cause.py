"""The shape of a cause: when it holds, on which roles, where it shows and what to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from exporter.catalogue import PORTS, Port
from exporter.diagnosis.case import Case, Sentences
from exporter.model import CauseClass, Diagnosis, PortName, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One possible diagnosis.

    `condition` returns the sentences that speak for the cause, or None. `sentence` states what is
    wrong, `advice` what to do; `remedy` returns a better advice for the very case, or nothing.
    `conditions` and `advices` are others in the place of condition and advice, by role.
    `undetected` returns whether the polls so far cannot have shown it (None: one poll can).
    `fallback` is a second condition, for where no cause's condition holds.
    `ports` are the ports whose state shows it, `also` other evidence in words.
    """

    id: str
    cause_class: CauseClass = CauseClass.FAULT
    roles: tuple[Role, ...]
    condition: Callable[[Case], Sentences]
    sentence: str
    advice: str
    conditions: Mapping[Role, Callable[[Case], Sentences]] = field(default_factory=dict)
    advices: Mapping[Role, str] = field(default_factory=dict)
    remedy: Callable[[Case], str] | None = None
    undetected: Callable[[Case], bool] | None = None
    fallback: Callable[[Case], Sentences] | None = None
    ports: tuple[PortName, ...] = ()
    also: str = ""

    def holds(self, case: Case) -> Sentences:
        """The sentences that speak for it on this target, None where it does not hold."""
        return self.conditions.get(case.target.role, self.condition)(case)

    def shows_on(self, row: Port) -> bool:
        """Whether the state of this catalogue row shows the cause."""
        return row.role in self.roles and row.name in self.ports

    @property
    def shown_on(self) -> str:
        """The usual numbers of its ports, and the other evidence, for people."""
        numbers = sorted({row.number for row in PORTS if self.shows_on(row)})
        return ", ".join(filter(None, (*map(str, numbers), self.also)))

    def diagnosis(self, evidence: tuple[str, ...], remedy: str = "") -> Diagnosis:
        """This cause as the diagnosis of one target; `remedy` replaces the advice."""
        return Diagnosis(self.id, self.cause_class, self.sentence, remedy or self.advice, evidence)
