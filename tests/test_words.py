"""The code speaks the field's language: CONTRIBUTING's glossary is kept, names mean one thing."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "exporter").rglob("*.py"))

FIELD_TERMS = {"cert_chain", "load_cert_chain"}
"""Names with a word of the glossary's last column that another interface gives us."""

DEPRECATED = {"chain", "looked", "looks", "says"}
"""Fields of the API that stay for one release beside their plain names (docs/upgrading.md)."""

_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def glossary() -> list[tuple[str, str, str]]:
    """The rows of the glossary: word, meaning, the words that are not used for it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| word | meaning | not |")[2].partition("\n\n")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    return [(word.strip(), meaning.strip(), never.strip()) for word, meaning, never in rows]


def never() -> set[str]:
    """Every word of the last column."""
    return {word.strip() for _, _, words in glossary() for word in words.split(",") if word.strip()}


def names_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that the code defines: classes, functions, arguments, variables, attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


def first_lines_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The first line of every docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text.splitlines()[0]


def test_the_glossary_has_every_word_once() -> None:
    words = [word for word, _, _ in glossary()]

    assert len(words) > 20
    assert len(words) == len(set(words))
    assert all(meaning for _, meaning, _ in glossary())
    assert never().isdisjoint(words)


def test_no_name_and_no_docstring_has_a_word_that_the_glossary_replaces() -> None:
    found = []
    for module in MODULES:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        where = module.relative_to(ROOT)
        for line, name in names_in(tree):
            parts = {part.lower() for part in _PART.findall(name)}
            if name not in FIELD_TERMS | DEPRECATED and parts & never():
                found.append(f"{where}:{line} {name}")
        for line, text in first_lines_in(tree):
            words = set(re.findall(r"[a-z]+", re.sub(r"`[^`]*`", "", text.lower())))
            found += [f"{where}:{line} {text!r}: {word}" for word in sorted(words & never())]

    assert not found, "\n".join(found)


def test_no_two_modules_and_no_two_public_classes_have_one_name() -> None:
    named: defaultdict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        path = module.relative_to(ROOT / "exporter")
        if not module.stem.startswith("__") and path.parts[0] != "model":
            named[module.stem].add(str(path))
        if module.stem == "__init__" and path.parts[0] != "model":
            named[module.parent.name].add(str(path))
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                named[node.name].add(str(path))

    assert not {name: places for name, places in named.items() if len(places) > 1}
