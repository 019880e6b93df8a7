"""How long after a break the urgent alerts fire at the latest.

The worst moments follow each other: the target breaks just after a poll, the exporter is scraped
just before the next, and the rules are evaluated just before that scrape; the last group is
evaluated first, so that each reads what the others recorded an evaluation ago.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from exporter.config import Config
from tests.rules.churn import merged
from tests.rules.lives import Span, life
from tests.rules.promtool import Series, all_groups, complaint, expanded, selectors
from tests.rules.reached import reached

EVERY = 30
"""Seconds between two scrapes, and two evaluations."""
AT_MOST = 180
WELL = 20
"""Scrapes before the one that shows the break."""
SHOWN = 12
LAST = WELL + SHOWN

GROUPS = [group["name"] for group in all_groups()]
AMBIENT = {"role": "ambient", "node": "node-1", "workload": "web"}


def broken(cause: str) -> tuple[Span, ...]:
    """As many scrapes as the rules are followed for; a `Span` is of scrapes here."""
    return (WELL, "ok"), (SHOWN, cause)


def outage(pods: str, cause: str, others: str = "ok-{1..9}", **labels: str) -> Series:
    """These pods break while others of their kind are well."""
    return merged(life(pods, *broken(cause), **labels), life(others, (LAST, "ok"), **labels))


def istiod() -> Series:
    """The only istiod of a revision with proxies."""
    return merged(
        life("istiod-1", *broken("istiod_not_ready"), role="istiod", namespace="istio-system"),
        life("web-{1..9}", (LAST, "ok"), workload="web"),
    )


def gateways() -> Series:
    """All gateways of a deployment."""
    edge = {"role": "gateway", "namespace": "istio-ingress"}
    return merged(
        life("gw-{1..2}", *broken("envoy_stuck"), workload="gw", **edge),
        life("web-{1..9}", (LAST, "ok"), workload="web"),
    )


BREAKS = {
    "a pod outside the mesh": ("IstioAmbientBypassed", outage("web-1", "outside_mesh", **AMBIENT)),
    "a pod that was never enrolled": (
        "IstioAmbientBypassed",
        outage("web-1", "not_enrolled", **AMBIENT),
    ),
    "five pods outside the mesh": (
        "IstioAmbientBypassed",
        outage("web-{1..5}", "outside_mesh", **AMBIENT),
    ),
    "every pod outside the mesh": (
        "IstioAmbientBypassed",
        life("web-{1..40}", *broken("redirection_missing"), **AMBIENT),
    ),
    "all pods of a node cut off": (
        "IstioAmbientNodeCut",
        life("web-{1..9}", *broken("not_served"), **AMBIENT),
    ),
    "all gateways of a deployment": ("IstioGatewaysFailing", gateways()),
    "the only istiod": ("IstioRevisionWithoutControlPlane", istiod()),
}


def fires(alert: str, series: Series, second: int, order: Sequence[str], folder: Path) -> str:
    """The complaint of promtool, unless this alert fires at this second and no other does."""
    firing = 'count by (alertname) (count by (alertname, pod) (ALERTS{alertstate="firing"}))'
    one = [{"labels": f'{{alertname="{alert}"}}', "value": 1}]
    watched = {"istio_port_exporter_build_info": f"1x{LAST}", **series}
    test = {
        "interval": f"{EVERY}s",
        "input_series": [{"series": s, "values": v} for s, v in expanded(watched, 1)],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{second}s", "exp_samples": one},
            {"expr": firing, "eval_time": f"{(WELL - 1) * EVERY}s", "exp_samples": []},
        ],
    }
    by_name = {group["name"]: group for group in reached(all_groups(), selectors(test))}
    groups = [by_name[name] for name in order if name in by_name]
    return complaint(test, groups, folder, in_order=True)


@pytest.mark.usefixtures("promtool")
@pytest.mark.parametrize("kind", BREAKS)
def test_an_urgent_alert_fires_within_three_minutes_of_the_break(kind: str, tmp_path: Path) -> None:
    alert, series = BREAKS[kind]
    polled_and_scraped = round(Config().poll.interval) + EVERY
    evaluated_before = (WELL - 1) * EVERY
    latest = evaluated_before + AT_MOST - polled_and_scraped
    for order in (GROUPS, GROUPS[::-1]):
        said = fires(alert, series, latest, order, tmp_path)
        assert not said, f"{order}\n{said}"
