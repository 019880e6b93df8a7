"""docs/api.md and the code name the same paths, parameters, documents, fields and types."""

import re
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from exporter.report import target_documents
from exporter.report.matrix import Matrix
from exporter.report.summary import Summary
from exporter.report.target_views import Filters
from exporter.web import api
from exporter.web.target_filters import DEFAULT_LIMIT, MAX_LIMIT, MAX_TEXT

PAGE = Path(__file__).parent.parent.parent / "docs" / "api.md"
DOCUMENT = PAGE.read_text(encoding="utf-8")
ANSWERS: dict[str, type[msgspec.Struct]] = {
    "/api/v1/summary": Summary,
    "/api/v1/matrix": Matrix,
    "/api/v1/targets": api.TargetList,
    "/api/v1/targets/{namespace}/{pod}": target_documents.TargetState,
    "/api/v1/ports": api.PortList,
}
SCALARS = {str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}


def words_of(hint: Any) -> str:
    """A type in the page's words."""
    if hint in SCALARS:
        return SCALARS[hint]
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return SCALARS[str]
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    within = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(words_of, within))
    if get_origin(hint) is tuple:
        return f"list of {words_of(within[0])}"
    return f"map of {words_of(within[0])} to {words_of(within[1])}"


def structs_in(hint: Any) -> list[type[msgspec.Struct]]:
    """The structs of a type, each before those within it."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        within = [struct for each in get_type_hints(hint).values() for struct in structs_in(each)]
        return [hint, *within]
    return [struct for each in get_args(hint) for struct in structs_in(each)]


DOCUMENTS = tuple(
    dict.fromkeys(struct for answer in ANSWERS.values() for struct in structs_in(answer))
)


def rows_under(heading: str) -> list[list[str]]:
    """The rows of the table under a heading, without its head; empty where there is none."""
    found = re.search(rf"^##+ {heading}\n(.*?)(?=^##|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    lines = [line for line in found[1].splitlines() if line.startswith("|")] if found else []
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


DEPRECATED = {
    (document.__name__, name.strip("`")): replacement[1]
    for document in DOCUMENTS
    for name, _, meaning in rows_under(document.__name__)
    if (replacement := re.fullmatch(r"deprecated: `(\w+)`", meaning))
}
"""By document and old name: the name that replaces it."""


def test_every_path_is_listed_with_its_document() -> None:
    assert list(ANSWERS) == [route.path for route in api.ROUTES]
    rows = [(path, answer) for path, answer, *_ in rows_under("Requests")]
    assert rows == [(f"`{path}`", words_of(answer)) for path, answer in ANSWERS.items()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.__name__)
def test_every_field_is_listed_with_its_type_in_order(document: type[msgspec.Struct]) -> None:
    hints = get_type_hints(document)
    rows = rows_under(document.__name__)
    assert [(name, kind) for name, kind, _ in rows] == [
        (f"`{field.encode_name}`", words_of(hints[field.name]))
        for field in msgspec.structs.fields(document)
    ]
    assert all(meaning for *_, meaning in rows)


def test_every_parameter_is_listed_with_its_bounds() -> None:
    rows = {name.strip("`"): meaning for name, meaning in rows_under("Parameters")}
    filters = set(Filters.__struct_fields__) - {"text"}
    assert set(rows) == filters | {"q", "offset", "limit"}
    assert str(MAX_TEXT) in rows["q"]
    assert {str(DEFAULT_LIMIT), str(MAX_LIMIT)} <= set(re.findall(r"\d+", rows["limit"]))


def test_every_deprecated_field_is_in_the_upgrade_notes_with_its_replacement() -> None:
    text = (PAGE.parent / "upgrading.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \| `(\w+)` \|$", text, re.MULTILINE)
    assert {(document, old): new for document, old, new in rows} == DEPRECATED


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.__name__)
def test_a_deprecated_field_has_the_type_of_its_replacement(
    document: type[msgspec.Struct],
) -> None:
    hints = get_type_hints(document)
    for (name, old), new in DEPRECATED.items():
        assert name != document.__name__ or hints[old] == hints[new]
