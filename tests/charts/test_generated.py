"""What is made from other files is what those files say now (`make chart`)."""

import pytest

from charts.advice import with_causes
from charts.generate import (
    ROOT,
    VERSIONED,
    described,
    version,
    with_config,
    with_table,
    with_version,
)
from tests.charts.render import CHART


def test_the_readme_lists_the_values_as_they_are() -> None:
    readme = (CHART / "README.md").read_text()

    assert with_table(readme, (CHART / "values.yaml").read_text()) == readme


def test_the_schema_knows_the_exporters_configuration_as_it_is() -> None:
    schema = (CHART / "values.schema.json").read_text()

    assert with_config(schema) == schema


def test_the_rules_have_the_advice_of_the_causes_as_they_are() -> None:
    texts = {file.stem: file.read_text() for file in (CHART / "rules").glob("*.yaml")}

    assert sum(text.count("envoy_stuck") for text in texts.values()) >= 5
    assert {name: with_causes(name, text) for name, text in texts.items()} == texts


@pytest.mark.parametrize("page", [*VERSIONED, "charts/istio-port-exporter/Chart.yaml"])
def test_the_version_is_that_of_the_project(page: str) -> None:
    text = (ROOT / page).read_text()

    assert version() in text
    assert with_version(text, version()) == text
    assert "9.9.9" in with_version(text, "9.9.9")


def test_a_value_without_a_comment_is_refused() -> None:
    with pytest.raises(ValueError, match=r"values\.yaml:4: a\.b needs a comment"):
        list(described("# Told.\nc: 1\na:\n  b: 1\n"))
