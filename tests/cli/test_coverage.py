"""What each mode judges: the README's table is the code's."""

from pathlib import Path

import msgspec
import pytest

from exporter.catalogue import NEWEST_VERSION, PORTS
from exporter.cli.coverage import MODES, coverage, markdown
from exporter.cli.main import main
from exporter.model import Role, Settings

README = Path(__file__).parents[2] / "README.md"
RELAYED = "inferred: 15090 answers, which is relayed to it"
CELLS = {(role, row.port): dict(zip(MODES, row.cells, strict=True)) for row in coverage()
         for role in row.roles}  # fmt: skip


def test_the_readme_has_the_table_of_the_code() -> None:
    assert markdown(coverage()) in README.read_text()


def test_every_port_of_the_newest_line_is_in_the_table() -> None:
    newest = {
        (row.role, row.number)
        for row in PORTS
        if row.number_in(Settings())
        and (row.until is None or row.until >= NEWEST_VERSION)
        and (row.since is None or row.since <= NEWEST_VERSION)
        and row.enabled is None
        and not row.expected
    }
    assert newest - set(CELLS) == set()


@pytest.mark.parametrize(
    ("role", "port", "cells"),
    [
        (Role.SIDECAR, 15000, (RELAYED, "judged", "judged")),
        (Role.SIDECAR, 15001, ("unjudged: redirection accepts for it", "judged", "judged")),
        (Role.SIDECAR, 15006, ("judged",) * 3),
        (Role.SIDECAR, 15053, ("unjudged: inside the pod", "judged", "judged")),
        (Role.GATEWAY, 8080, ("judged while it answers", "judged", "judged")),
        (Role.ISTIOD, 9876, ("unjudged: inside the pod", "judged", "judged")),
    ],
)  # fmt: skip
def test_what_a_mode_makes_of_a_port(role: Role, port: int, cells: tuple[str, ...]) -> None:
    assert tuple(CELLS[role, port].values()) == cells


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
def test_check_prints_it_without_any_target(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--coverage", "-o", output]) == 0
    text = capsys.readouterr().out
    if output == "table":
        words = {word for row in coverage() for cell in row.cells for word in cell.split()}
        assert all(word in text for word in words)
    else:
        decode = msgspec.json.decode if output == "json" else msgspec.yaml.decode
        assert len(decode(text)) == len(coverage())
