"""Completion: the words of each command line, and the scripts in the shells themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.cli.completion import SCRIPTS, completions
from exporter.cli.main import COMMANDS, main, parser
from exporter.model import Role
from tests.conftest import demand

BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", [command.name for command in COMMANDS]),
        ("co", ["config", "completion"]),
        ("--ver", ["--version"]),
        ("check --fail", ["--fail-on"]),
        ("check --all", ["--all-namespaces", "--all"]),
        ("check shop/cart -o ", ["table", "wide", "json", "yaml"]),
        ("check -o w", ["wide"]),
        ("check -n ", []),
        ("check ", []),
        ("ports --role ", [str(role) for role in Role]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("explain envoy", ["envoy_stuck"]),
        ("explain 1509", ["15090", "15091", "15092"]),
        ("completion --com", []),
        ("config ", ["check"]),
        ("bogus --", ["--help", "--version"]),
    ],
)
def test_a_line_is_completed_with_what_the_command_takes(line: str, wanted: list[str]) -> None:
    assert completions(line.split(" ")) == wanted


def in_shell(*command: str) -> list[str]:
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    return ended.stdout.split()


def test_bash_completes(tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(SCRIPTS["bash"])
    line = (
        f"source {script}; COMP_WORDS=(istio-port-exporter ports --role z); COMP_CWORD=3; "
        '_istio_port_exporter; printf "%s\\n" "${COMPREPLY[@]}"; complete -p kubectl-istio_ports'
    )
    assert in_shell("bash", "-c", line)[:2] == ["ztunnel", "complete"]


def test_fish_completes(tmp_path: Path) -> None:
    demand("fish", "fish")
    script = tmp_path / "completion"
    script.write_text(SCRIPTS["fish"])
    line = f"source {script}; complete --do-complete 'istio-port-exporter ports --role z'"
    assert in_shell("fish", "--no-config", "-c", line) == ["ztunnel"]


def test_zsh_takes_the_script(tmp_path: Path) -> None:
    demand("zsh", "zsh")
    script = tmp_path / "completion"
    script.write_text(SCRIPTS["zsh"])
    line = (
        f"autoload -U compinit; compinit -D -d {tmp_path}/dump; source {script}; "
        "print $_comps[kubectl-istio_ports]"
    )
    assert in_shell("zsh", "-f", "-c", line) == ["_istio_port_exporter"]


def test_kubectl_finds_the_plugin_and_its_completion() -> None:
    assert in_shell("kubectl-istio_ports", "ports", "--role", "cni", "-o", "json")[0] == "{"
    assert in_shell("kubectl-istio_ports", "--help")[:3] == ["usage:", "kubectl", "istio-ports"]
    assert in_shell("kubectl_complete-istio_ports", "ports", "--role", "z") == ["ztunnel", ":4"]
    assert in_shell("kubectl_complete-istio_ports", "check", "-n", "") == [":0"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_has_examples_that_parse(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    name = command.name  # type: ignore[attr-defined]
    with pytest.raises(SystemExit):
        main([name, "--help"])
    examples = capsys.readouterr().out.partition("examples:\n")[2].splitlines()
    assert examples
    for example in examples:
        words = example.split(" > ")[0].split()
        assert parser().parse_args(words[1:]).run
