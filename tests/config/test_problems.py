"""What is said of a file with very many mistakes, or very long ones: little, with its place."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.bounds import PROBLEMS, SENTENCE
from exporter.config import ConfigError, Problem, load, read_targets

MISTAKES = ('[1, "2"]', "[{}]", "[[]]", "{a: 1}", '"' + "a" * 200_000 + '"', "7", "null")
KEYS = (
    "discovery.kubernetes.namespaces",
    "discovery.static.targets",
    "ports",
    "web",
    "poll.timeout",
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=range(len(MISTAKES)))
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("many", [1, 3000])
def test_no_file_makes_a_long_message(tmp_path: Path, key: str, mistake: str, many: int) -> None:
    parts = key.split(".")
    items = f"[{', '.join([mistake] * (many if len(mistake) < 100 else 1))}]"
    path = tmp_path / "config.yaml"
    path.write_text("".join(f"{{{part}: " for part in parts) + items + "}" * len(parts))
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert len(str(raised.value)) <= (PROBLEMS + 1) * (SENTENCE + len(str(path)) + 200)
    assert len(raised.value.problems) <= PROBLEMS + 1


def test_targets_of_a_broken_template_are_one_short_error(tmp_path: Path) -> None:
    path = tmp_path / "targets.yaml"
    path.write_text(json.dumps([{"pod": f"p-{number}", "address": "x"} for number in range(5000)]))
    with pytest.raises(ConfigError) as raised:
        read_targets(path)
    *named, last = raised.value.problems
    assert [problem.key for problem in named] == [f"[{number}].address" for number in range(100)]
    assert str(last) == f"{path}: has 4900 more problems, which are not listed"


@given(st.integers(1, 3 * PROBLEMS), st.text(max_size=2000))
def test_the_first_problems_are_named_and_the_others_counted(count: int, text: str) -> None:
    error = ConfigError(*(Problem("f", number, "", text) for number in range(1, count + 1)))
    named = [problem for problem in error.problems if problem.line]
    assert [problem.line for problem in named] == list(range(1, min(count, PROBLEMS) + 1))
    (*_, last) = error.problems
    assert (last.line == 0) is (count > PROBLEMS)
    assert last.line or f"{count - PROBLEMS} more" in last.message
    assert all(len(str(problem)) <= SENTENCE + 20 for problem in error.problems)
