"""What a panel shows: its query, and how the resulting values look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from grafana_foundation_sdk.models import dashboard as model

TARGET = "cluster, namespace, pod, role"
"""The labels that name a target; `cluster` is the scrape's, and may be absent."""


class Query(NamedTuple):
    """A PromQL expression and how its series are called; `{{label}}` stands for a label."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Scale:
    """How values look: their unit, colours from so much on, and words with a colour."""

    unit: str = "short"
    steps: Sequence[tuple[float | None, str]] = ((None, "green"),)
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    top: float | None = None

    @property
    def thresholds(self) -> model.ThresholdsConfig:
        """The colours as Grafana takes them."""
        steps = [model.Threshold(value=value, color=color) for value, color in self.steps]
        return model.ThresholdsConfig(mode=model.ThresholdsMode.ABSOLUTE, steps=steps)

    @property
    def mappings(self) -> list[model.ValueMap]:
        """The words as Grafana takes them."""
        options = {
            value: model.ValueMappingResult(text=text, color=color, index=index)
            for index, (value, (text, color)) in enumerate(self.words.items())
        }
        return [model.ValueMap(options=options)] if options else []


PLAIN = Scale(steps=((None, "blue"),))
"""Numbers that are neither good nor bad."""
NONE_IS_GOOD = Scale(steps=((None, "green"), (1, "red")))
NONE_IS_BETTER = Scale(steps=((None, "green"), (1, "orange")))
UP = Scale(words={"1": ("up", "green"), "0": ("down", "red")})
YES = Scale(words={"1": ("yes", "green"), "0": ("no", "red")})
NO = Scale(words={"0": ("no", "green"), "1": ("yes", "red")})
PRESENT = Scale(words={"1": ("yes", "orange")})
"""Sparse families: 1 while they have a sample."""
SECONDS = Scale(unit="s", steps=((None, "blue"),))
RATE = Scale(unit="cps", steps=((None, "blue"),))


@dataclass(frozen=True)
class Column:
    """A column of a table: its label or value, its heading, and what its cells are and lead to.

    Columns that a link reads keep their label as their heading.
    """

    label: str
    heading: str = ""
    scale: Scale | None = None
    link: tuple[str, str] | None = None


def best(family: str, by: str, where: str) -> str:
    """A family's samples by these labels: where several exporters see a target, the largest."""
    return f"max by ({by}) ({family}{{{where}}})"


TO_RUNBOOK = ("Runbook of ${__value.text}", "${runbooks}/diagnosis.md#${__value.text}")
"""From a cell that holds a cause."""
SERIES_TO_RUNBOOK = ("Runbook of this cause", "${runbooks}/diagnosis.md#${__field.labels.cause}")
TO_PROXY = (
    "This proxy",
    (
        "/d/istio-ports-proxy?${datasource:queryparam}&${cluster:queryparam}"
        "&var-namespace=${__data.fields.namespace}&var-pod=${__data.fields.pod}&${__url_time_range}"
    ),
)
"""From a row with `namespace` and `pod`."""
