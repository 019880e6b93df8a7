"""Every step that ARCHITECTURE.md names is there: a file, and in it a function, class or table."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
STEPS = re.findall(r"\| `(exporter/[\w/]+\.py)` \| `([\w.]+)` \|", TEXT)


def names_in(file: Path) -> set[str]:
    """What a module defines: functions, classes with their methods, and values."""
    found: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                found.add(node.name)
            case ast.ClassDef():
                methods = [
                    n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
                ]
                found |= {node.name, *(f"{node.name}.{method.name}" for method in methods)}
            case ast.Assign():
                found |= {name.id for name in node.targets if isinstance(name, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return found


def test_the_ways_are_described_step_by_step() -> None:
    assert len(STEPS) > 20


@pytest.mark.parametrize(("file", "name"), STEPS)
def test_every_step_is_a_file_and_a_name_in_it(file: str, name: str) -> None:
    assert name in names_in(ROOT / file)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(exporter/[\w/.]*)`", TEXT))))
def test_every_path_exists(path: str) -> None:
    assert (ROOT / path).exists()
