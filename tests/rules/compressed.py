"""The chart's rules with some seconds for each minute, for tests with a real Prometheus."""

import re
from typing import Any

from tests.charts.render import of_kind, render

_MINUTES = {"m": 1, "h": 60, "d": 1440}


def compressed_rules(seconds: int, **values: Any) -> dict[str, Any]:
    """The rules as a file of Prometheus; a minute lasts so many seconds.

    Args:
        seconds: how long a minute lasts, in ranges, offsets and waiting times.
        values: more below the chart's `rules`.
    """
    [document] = of_kind(render({"rules": {"enabled": True, **values}}), "PrometheusRule")
    spec: dict[str, Any] = document["spec"]
    for rule in [rule for group in spec["groups"] for rule in group["rules"]]:
        rule["expr"] = re.sub(
            r"(\[|offset )(\d+)([mhd])\b",
            lambda found: f"{found[1]}{_seconds(found[2] + found[3], seconds)}s",
            rule["expr"],
        )
        for key in {"for", "keep_firing_for"} & set(rule):
            rule[key] = f"{_seconds(rule[key], seconds)}s"
    return spec


def _seconds(duration: str, seconds: int) -> int:
    return int(duration[:-1]) * _MINUTES[duration[-1]] * seconds
