"""Values that cannot work are refused with a clear message: one file per rule."""

import re
from pathlib import Path

import helm_python as helm
import pytest

from tests.charts.render import CHART, render, values_of

FILES = sorted((Path(__file__).parent / "invalid").glob("*.yaml"))
DECIDED = (
    "discovery.kubernetes.namespaces",
    "discovery.kubernetes.cluster_scoped",
    "discovery.kubernetes.node",
    "access.loopback",
    "istiod.debug_token_file",
    "istiod.root_cert_file",
    "istiod.webhook_dry_run",
    "shard",
    "web.listen_address",
    "web.config_file",
)
"""Keys of the exporter's configuration that the chart writes itself."""

GIVEN: dict[str, object] = {"namespaces": [], "cluster_scoped": False}
"""A value of the type that the schema asks for, by key; text for the others."""


def message_of(file: Path) -> str:
    """The error of Helm that the first line names."""
    return file.read_text().splitlines()[0].removeprefix("# ")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_invalid_values_are_refused(file: Path) -> None:
    with pytest.raises(helm.HelmError) as refusal:
        render(values_of(file))

    assert message_of(file) in str(refusal.value)


def test_every_rule_has_a_file() -> None:
    rules = re.findall(
        r'fail (?:\(printf )?"([^"%]*)', (CHART / "templates/_validate.tpl").read_text()
    )
    reported = [message_of(file) for file in FILES]

    assert [rule for rule in rules if not any(rule in message for message in reported)] == []


@pytest.mark.parametrize("path", DECIDED)
def test_what_the_chart_decides_is_refused_in_the_configuration(path: str) -> None:
    sections = ("shard", "istiod.webhook_dry_run")
    given: object = {} if path in sections else GIVEN.get(path.rpartition(".")[2], "none")
    for key in reversed(path.split(".")):
        given = {key: given}

    with pytest.raises(helm.HelmError, match=rf"config\.{re.escape(path)} is set by the chart"):
        render({"config": given})
