import json
import re
from pathlib import Path

import pytest

from exporter.catalogue import PORTS, Port
from exporter.catalogue.other_ports import OTHER_PORTS
from exporter.cli.main import main
from exporter.cli.ports import markdown
from exporter.model import Role

DOCS = Path(__file__).parents[2] / "docs" / "ports.md"


def test_the_documentation_is_what_the_catalogue_says() -> None:
    assert DOCS.read_text() == markdown(PORTS)


def test_every_port_of_every_role_is_documented() -> None:
    sections = {part.split("\n", 1)[0]: part for part in DOCS.read_text().split("\n## ")[1:]}
    assert list(sections) == [role.value for role in Role]
    for row in PORTS:
        assert f"| {row.number} | {row.name} |" in sections[row.role]


@pytest.mark.parametrize("role", [None, *Role])
def test_ports_lists_the_rows_of_a_role(
    role: Role | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ports", "-o", "json", *(["--role", role] if role else [])]) == 0
    rows = json.loads(capsys.readouterr().out)["ports"]
    wanted = [(row.number, row.role) for row in PORTS if role in (None, row.role)]
    assert [(row["port"], row["role"]) for row in rows] == wanted


def test_an_unknown_role_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["ports", "--role", "sidecars"])
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert "Role." not in printed
    assert all(role.value in printed for role in Role)


def test_at_80_columns_every_word_is_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["ports"]) == 0
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert all(word in printed for row in PORTS for word in row.purpose.split())


def test_the_table_names_each_port(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ports", "--role", "istiod"]) == 0
    printed = capsys.readouterr().out
    for number in ("8080", "15010", "15012", "15014", "15017", "9876"):
        assert number in printed


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (
            "15006",
            ("virtualInbound", "envoy", "MeshConfig proxyInboundListenPort", "envoy_stuck"),
        ),
        ("virtualinbound", ("15006 virtualInbound (sidecar)", "redirected")),
        ("15004", ("until 1.24", "loopback only", "inside the pod")),
        ("15021", ("sidecar, gateway, waypoint", "ztunnel", "escapes it", "%{http_code}")),
    ],
)
def test_explain_describes_the_port(
    port: str, expected: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", port]) == 0
    printed = capsys.readouterr().out
    for words in expected:
        assert words in printed


@pytest.mark.parametrize("row", PORTS, ids=lambda row: f"{row.role}-{row.number}")
def test_explain_prints_of_each_role_what_moves_its_port(
    row: Port, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", row.name]) == 0
    parts = re.split(r"^(?=\d+ )", capsys.readouterr().out, flags=re.MULTILINE)
    heading = re.compile(rf"{row.number} {row.name} \(.*\b{row.role}\b.*\)")
    (part,) = (part for part in parts if heading.match(part))
    assert f" moved by {row.moved_by_text or 'nothing'} " in " ".join(part.split())


@pytest.mark.parametrize("port", ["15006", "15020", "15443"])
def test_explain_fits_the_columns_and_leaves_commands_whole(
    port: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["explain", port]) == 0
    wide = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["explain", port]) == 0
    narrow = capsys.readouterr().out
    assert narrow.split() == wide.split()
    commands = [line for line in wide.splitlines() if line.startswith("  by hand")]
    lines = narrow.splitlines()
    assert set(commands) <= set(lines)
    assert max(len(line) for line in lines if line not in commands) <= 80


def test_explain_as_json_has_every_role(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "15008", "-o", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["ports"]
    roles = {"sidecar", "waypoint", "ambient", "ztunnel", "agentgateway"}
    assert {row["role"] for row in rows} == roles
    assert all(row["causes"][0]["sentence"] for row in rows)


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("443", ("Service", "15017", "8443")),
        ("15443", ("east-west", "SNI")),
        ("15002", ("istio-validation", "127.0.0.6", "Nobody listens")),
        ("15011", ("Obsolete", "15012")),
        ("15999", ("control port", "Not Istio's")),
    ],
)
def test_explain_describes_ports_on_which_no_process_of_istio_listens(
    port: str, expected: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", port]) == 0
    printed = capsys.readouterr().out
    assert all(words in printed for words in expected)
    assert main(["explain", port, "-o", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["ports"]
    assert row["port"] == int(port)


def test_ports_that_are_not_istios_are_in_no_catalogue() -> None:
    assert not {row.port for row in OTHER_PORTS} & {row.number for row in PORTS}
