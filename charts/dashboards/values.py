"""What a panel shows: its query, and how the resulting values look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml
from grafana_foundation_sdk.models import dashboard as model

RULES = Path(__file__).parent.parent / "istio-port-exporter" / "rules"

TARGET = "cluster, namespace, pod, role"
"""The labels that name a target; `cluster` is the scrape's, and may be absent."""


class Query(NamedTuple):
    """A PromQL expression and how its series are called; `{{label}}` stands for a label."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Scale:
    """How values look: their unit, colours from so much on, and words with a colour.

    `absent`: the word for a cell of a table without a value; without one it stays blank.
    """

    unit: str = "short"
    steps: Sequence[tuple[float | None, str]] = ((None, "green"),)
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    top: float | None = None
    absent: str = ""

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

    @property
    def cell_mappings(self) -> list[model.ValueMap | model.SpecialValueMap]:
        """The words of a table's cells: without a value they have no colour of the scale."""
        result = model.ValueMappingResult(text=self.absent or " ", color=GREY, index=99)
        if not self.absent:
            result.color = "transparent"
        absent = model.DashboardSpecialValueMapOptions(
            match=model.SpecialValueMatch.NULL_AND_NAN, result=result
        )
        return [*self.mappings, model.SpecialValueMap(options=absent)]


GREY = "#7d8590"
"""What is not judged; legible under white on light and dark pages."""
PLAIN = Scale(steps=((None, "blue"),))
"""Numbers that are neither good nor bad."""
NONE_IS_GOOD = Scale(steps=((None, "green"), (1, "red")))
NONE_IS_BETTER = Scale(steps=((None, "green"), (1, "orange")))
UP = Scale(
    words={"1": ("up", "green"), "0": ("down", "red"), "-1": ("unjudged", GREY)},
    absent="unjudged",
)
PORT_STATES = Scale(words=UP.words)
"""The ports of several targets: -1 is unjudged, and without a value there is no such port."""
YES = Scale(words={"1": ("yes", "green"), "0": ("no", "red")})
NO = Scale(words={"0": ("no", "green"), "1": ("yes", "red")})
ABLE = Scale(words={"1": ("yes", "green"), "0": ("no", GREY)})
"""What may be absent without being wrong."""
TEXT = Scale(unit="string", steps=((None, "text"),))
"""Cells of tables: labels, of which some look like numbers."""
SEVERITY = Scale(
    unit="string",
    words={
        "critical": ("critical", "red"),
        "warning": ("warning", "orange"),
        "info": ("info", "blue"),
    },
)
SINCE = Scale(unit="dateTimeFromNow")
"""Milliseconds since the epoch."""
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


def firing(where: str, files: Sequence[str] = ()) -> str:
    """This product's firing alerts, of all rules or those of these files, and since when."""
    names = [
        rule["alert"]
        for path in sorted(RULES.glob("*.yaml"))
        if not files or path.name in files
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    chosen = f'{where}, alertname=~"{"|".join(names)}"'
    return (
        f"1000 * ALERTS_FOR_STATE{{{chosen}}} and ignoring (alertstate) "
        f'ALERTS{{{chosen}, alertstate="firing"}}'
    )


def unhealthy(where: str) -> str:
    """The targets that are unhealthy: 1 each.

    As `exporter.report.health.health_of` has it: a fault, or a port down or a readiness of 0 that
    no cause of another class explains.
    """
    fault = best("istio_target_diagnosis", TARGET, f'{where}, class="fault"')
    caused = best("istio_target_diagnosis", TARGET, where)
    down = f"{best('istio_port_up', f'{TARGET}, port', where)} == 0"
    unready = f"{best('istio_target_ready', f'{TARGET}, endpoint', where)} == 0"
    return f"({fault} or group by ({TARGET}) ({down} or {unready}) unless on ({TARGET}) {caused})"


def ports_of(by: str, where: str) -> str:
    """The ports: 1 up, 0 down, -1 unjudged."""
    unjudged = f"group by ({by}) (istio_port_unjudged{{{where}}})"
    return f"({best('istio_port_up', by, where)} or -1 * {unjudged})"


def best(family: str, by: str, where: str) -> str:
    """A family's samples by these labels: where several exporters see a target, the largest."""
    return f"max by ({by}) ({family}{{{where}}})"


def counted(family: str, by: str, kept: str, where: str) -> str:
    """Pods that are counted by these labels, summed by those that are kept.

    Replicas of an exporter count the same pods, shards their own.
    """
    shard = 'count_values by (cluster, job, instance) ("shard", istio_port_exporter_shard_ordinal)'
    of_shard = f"{family}{{{where}}} * on (cluster, job, instance) group_left (shard) {shard}"
    return f"sum by ({kept}) (max by ({by}, shard) ({of_shard}))"


TO_RUNBOOK = ("Runbook of ${__value.text}", "${runbooks}/diagnosis.md#${__value.text}")
"""From a cell that holds a cause."""
ALERT_TO_RUNBOOK = ("Runbook of ${__value.text}", "${runbooks}/alerts.md#${__value.text}")
"""From a cell that holds an alert's name."""
SERIES_TO_RUNBOOK = ("Runbook of this cause", "${runbooks}/diagnosis.md#${__field.labels.cause}")
TO_PROXY = (
    "This proxy",
    (
        "/d/istio-ports-proxy?${datasource:queryparam}&var-cluster=${__data.fields.cluster}"
        "&var-namespace=${__data.fields.namespace}&var-pod=${__data.fields.pod}&${__url_time_range}"
    ),
)
"""From a row with `cluster`, `namespace` and `pod`."""
