"""Write what follows from other files into the chart: `make chart`, compared by a test.

In: values.yaml with a comment above each key, the exporter's own configuration keys and its causes.
Out: the table of values in the chart's README.md, the part of values.schema.json about `config`,
the causes' advice in the alert rules, and the dashboards, which `charts.dashboards` makes.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
import yaml

from charts import dashboards
from charts.advice import with_causes
from exporter.config.convert import REQUIRED, describe, keys_of, meta_of, section_of
from exporter.config.schema import Config

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "istio-port-exporter"
_BEGIN, _END = "<!-- values: begin -->\n", "<!-- values: end -->"
_DURATION = r"^\d+(\.\d+)?(ms|s|m|h)$"
_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
}
_BY_WORDS: dict[str, dict[str, Any]] = {
    "a duration such as 500ms, 15s, 2m or 1h": {"type": "string", "pattern": _DURATION},
    "a whole number, 0 or more, or auto": {"type": ["integer", "string"]},
    "an IP address or a list of them": {"type": ["string", "array"]},
    "a name under /run/netns, a path or a pid": {"type": ["string", "integer"]},
    "labels such as app=web,tier=front": {"type": "string"},
    "a range of ports such as 9000:9100": {"type": "string", "pattern": "^[0-9]+:[0-9]+$"},
}
"""Kinds that are written otherwise than they are held."""


VERSIONED = (
    "README.md",
    "docs/kubernetes.md",
    "charts/istio-port-exporter/README.md",
    "exporter/__init__.py",
)
"""Pages with commands that build an image of this version, and the exporter's own constant."""


def main() -> None:
    """Write the files."""
    for page in (ROOT / name for name in (*VERSIONED, "charts/istio-port-exporter/Chart.yaml")):
        page.write_text(with_version(page.read_text(), version()))
    readme, schema = CHART / "README.md", CHART / "values.schema.json"
    readme.write_text(with_table(readme.read_text(), (CHART / "values.yaml").read_text()))
    schema.write_text(with_config(schema.read_text()))
    for rules in sorted((CHART / "rules").glob("*.yaml")):
        rules.write_text(with_causes(rules.stem, rules.read_text()))
    dashboards.FOLDER.mkdir(exist_ok=True)
    for name, document in dashboards.documents().items():
        (dashboards.FOLDER / name).write_text(document)


def version() -> str:
    """The version, which stands in pyproject.toml alone."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def with_version(text: str, made: str) -> str:
    """The text with this version as appVersion, as `__version__` and as the tag of images."""
    text = re.sub(r"^(appVersion:|__version__ =) .*$", rf'\1 "{made}"', text, flags=re.MULTILINE)
    return re.sub(r"\bistio-port-exporter:\d+\.\d+\.\d+\b", f"istio-port-exporter:{made}", text)


def with_table(readme: str, values: str) -> str:
    """The README with the table of these values."""
    before, _, rest = readme.partition(_BEGIN)
    after = rest.partition(_END)[2]
    rows = [f"| `{key}` | `{default}` | {text} |" for key, default, text in described(values)]
    table = "\n".join(("| key | default | meaning |", "|---|---|---|", *rows))
    return f"{before}{_BEGIN}{table}\n{_END}{after}"


def with_config(schema: str) -> str:
    """The schema with the exporter's own configuration as it is now."""
    document = json.loads(schema)
    document["$defs"]["config"] = section_schema(Config)
    return json.dumps(document, indent=2) + "\n"


def described(values: str) -> Iterator[tuple[str, str, str]]:
    """Key, default as JSON and comment of everything in values.yaml that has a comment."""
    lines = values.splitlines()
    root = yaml.compose(values, yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)  # noqa: S101 - a chart's values are a mapping
    yield from _described(root, "", lines)


def _described(node: yaml.MappingNode, above: str, lines: list[str]) -> Iterator[tuple[str, ...]]:
    for key, value in node.value:
        path = f"{above}.{key.value}" if above else key.value
        text = _comment_above(lines, key.start_mark.line)
        is_section = isinstance(value, yaml.MappingNode) and bool(value.value)
        if text:
            yield path, _spelt(value), text
        elif is_section:
            yield from _described(value, path, lines)
        else:
            raise ValueError(f"values.yaml:{key.start_mark.line + 1}: {path} needs a comment")


def _comment_above(lines: list[str], line: int) -> str:
    comment: list[str] = []
    while line and (found := re.fullmatch(r"\s*# (.*)", lines[line - 1])):
        comment.insert(0, found[1])
        line -= 1
    return " ".join(comment).replace("|", "\\|")


def _spelt(value: yaml.Node) -> str:
    return json.dumps(yaml.safe_load(yaml.serialize(value)), separators=(", ", ": "))


def section_schema(section: type) -> dict[str, Any]:
    """JSON schema of a section of the configuration: its keys and no others."""
    keys = keys_of(section)
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key.name: kind_schema(key.kind) for key in keys},
    }
    if required := [key.name for key in keys if key.default is REQUIRED]:
        schema["required"] = required
    return schema


def kind_schema(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a type as it was annotated
    """JSON schema of one kind of value."""
    if (section := section_of(kind)) is not None:
        return section_schema(section)
    meta = meta_of(kind)
    if meta is not None:
        return _annotated_schema(kind, meta)
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return {"anyOf": [kind_schema(arg) for arg in args]}
    if origin is tuple:
        return {"type": "array", "items": kind_schema(args[0])}
    if origin is Literal:
        return {"enum": list(args)}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"enum": [str(word) for word in kind]}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": kind_schema(args[1])}
    return dict(_PLAIN[kind])


def _annotated_schema(kind: Any, meta: msgspec.Meta) -> dict[str, Any]:  # noqa: ANN401
    if "fields_of" in (meta.extra or {}):
        return section_schema((meta.extra or {})["fields_of"])
    words = describe(kind)
    schema = _BY_WORDS.get(words) or kind_schema(get_args(kind)[0])
    limits = {
        "minimum": meta.ge,
        "maximum": meta.le,
        "exclusiveMinimum": meta.gt,
        "pattern": meta.pattern
        and meta.pattern.replace(r"\Z", "$"),  # as Go and JavaScript have it
    }
    given = {name: limit for name, limit in limits.items() if limit is not None}
    return {"description": words, **schema, **given}


if __name__ == "__main__":
    main()
