"""Where Prometheus renames the samples' labels, the chart renders dashboards that know it."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charts.dashboards import FOLDER
from tests.charts.render import RENAMED
from tests.dashboards.documents import dashboards, renamed, rendered
from tests.docs.pages import ROOT, fences

COMMITTED = {path.name: path.read_text() for path in FOLDER.iterdir()}
TEXTS = {"expr", "query", "legendFormat", "url"}
"""What can name a label in a text."""
FIELDS = {"names", "indexByName", "renameByName", "rowField", "columnField"}
"""What names labels as fields; a mapping by its keys."""
SENTENCES = {"title", "description", "name"}
"""What people read, and what variables are called."""


def values_under(node: Any, keys: set[str]) -> Iterator[Any]:
    """The values under these keys, anywhere below."""
    if isinstance(node, dict):
        for key, inner in node.items():
            if key in keys:
                yield inner
            else:
                yield from values_under(inner, keys)
    elif isinstance(node, list):
        for inner in node:
            yield from values_under(inner, keys)


def labels_of(board: Any) -> set[str]:
    """The words that can be labels: what is quoted, a variable or a parameter of it is none."""
    texts = [re.sub(r'"[^"]*"|\$\w+|var-\w+', "", text) for text in values_under(board, TEXTS)]
    words = {word for text in texts for word in re.findall(r"\w+", text)}
    fields = [[field] if isinstance(field, str) else field for field in values_under(board, FIELDS)]
    return words.union(*fields)


def test_labels_as_the_exporter_has_them_give_the_committed_files() -> None:
    assert rendered({}) == COMMITTED


@pytest.mark.parametrize("file", COMMITTED)
def test_renamed_labels_leave_none_of_the_old_names(file: str) -> None:
    plain, other = labels_of(dashboards()[file]), labels_of(renamed()[file])
    assert other == {RENAMED.get(label, label) for label in plain}


@pytest.mark.parametrize("file", COMMITTED)
def test_sentences_and_variables_keep_their_words(file: str) -> None:
    assert list(values_under(renamed()[file], SENTENCES)) == list(
        values_under(dashboards()[file], SENTENCES)
    )


def test_renamed_labels_change_nothing_else() -> None:
    undone = {name: text.replace("exported_", "") for name, text in rendered(RENAMED).items()}
    assert undone == COMMITTED


def test_a_column_keeps_its_heading() -> None:
    for board in (dashboards(), renamed()):
        headings = [
            set(column.values()) for column in values_under([*board.values()], {"renameByName"})
        ]
        assert {"namespace", "pod"} <= set.union(*headings)
        assert not set.union(*headings) & set(RENAMED.values())


def test_the_printed_command_writes_what_the_chart_renders(tmp_path: Path) -> None:
    page = ROOT / "docs/dashboards.md"
    [command] = [fence.text for fence in fences(page) if fence.text.startswith("sed ")]
    folder = tmp_path / FOLDER.relative_to(ROOT)
    shutil.copytree(FOLDER, folder)
    subprocess.run(("sh", "-euc", command), cwd=tmp_path, check=True)

    requested = {label: name for label, name in RENAMED.items() if label != "endpoint"}
    assert {path.name: path.read_text() for path in folder.iterdir()} == rendered(requested)
