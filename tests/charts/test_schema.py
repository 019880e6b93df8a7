"""The schema knows each value, and no other."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import yaml

from exporter.config.convert import leaves
from exporter.config.schema import Config
from tests.charts.render import CHART, Document

SCHEMA: Document = json.loads((CHART / "values.schema.json").read_text())
VALUES: Document = yaml.safe_load((CHART / "values.yaml").read_text())
OPEN = {"global"}
"""Sections that belong to others too: every chart of an umbrella puts its own into `global`."""


def resolved(node: Document) -> Document:
    """The node, or the definition that it refers to."""
    found: Document = SCHEMA["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    return found


def sections(node: Document, path: str = "") -> Iterator[tuple[str, Document]]:
    """Every object that names its keys, and the ones in it."""
    node = resolved(node)
    if "properties" in node:
        yield path, node
    for name, inner in node.get("properties", {}).items():
        yield from sections(inner, f"{path}.{name}" if path else name)
    if isinstance(node.get("items"), dict):
        yield from sections(node["items"], f"{path}[]")


def test_a_misspelt_key_is_refused_everywhere() -> None:
    loose = {
        path for path, node in sections(SCHEMA) if node.get("additionalProperties") is not False
    }

    assert loose == OPEN


def test_every_key_of_the_schema_has_a_default_with_a_comment() -> None:
    for path, node in sections(SCHEMA):
        if path.split(".")[0] in ("config", *OPEN):
            continue
        given: Any = VALUES
        for name in path.split(".") if path else ():
            given = given[name]
        assert set(node["properties"]) == set(given), path


def test_no_key_that_the_templates_read_can_be_emptied() -> None:
    """Helm takes away the default of a key without a value; a section may have only comments."""
    for path, node in sections(SCHEMA):
        if path.split(".")[0] in ("config", *OPEN):
            continue
        given: Any = VALUES
        for name in path.split(".") if path else ():
            given = given[name]
        kept = {
            name
            for name, inner in node["properties"].items()
            if ("properties" in resolved(inner) and name != "config")
            or (given[name] and not isinstance(given[name], dict | list))
        }
        assert set(node.get("required", ())) == kept, path


def test_the_configuration_has_every_key_of_the_exporter() -> None:
    known = {
        f"{path}.{name}".removeprefix("config.")
        for path, node in sections({"$ref": "#/$defs/config"}, "config")
        for name in node["properties"]
    }

    assert {path for path, _ in leaves(Config)} <= known


def test_the_chart_installs_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["appVersion"] == version("istio-port-exporter")
