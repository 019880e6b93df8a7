import argparse
import errno
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.app.process import ListenError
from exporter.cli.main import main, parser

COMMANDS = ("serve", "check", "ports", "explain", "demo", "config", "completion")


@pytest.mark.parametrize("arguments", [[], ["bogus"], ["ports", "--role", "boss"], ["explain"]])
def test_usage_errors_end_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: istio-port-exporter" in capsys.readouterr().err


def _texts(of: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, str]]:
    """The help of a parser and of those below it."""
    getattr(of, "declare", lambda: None)()
    yield name, of.format_help()
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below, one in action.choices.items():
                yield from _texts(one, f"{name} {below}")


@pytest.mark.parametrize("module", ["exporter", "exporter.cli"])
def test_the_package_runs_where_the_console_script_is_not_on_the_path(module: str) -> None:
    command = [sys.executable, "-m", module, "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.startswith("istio-port-exporter ")


def test_every_help_has_examples() -> None:
    texts = dict(_texts(parser()))
    assert len(texts) == len(COMMANDS) + 2
    assert {name for name, text in texts.items() if "\nexamples:\n" not in text} == set()


def test_help_names_every_command() -> None:
    text = parser().format_help()
    for command in COMMANDS:
        assert f"    {command} " in text


@pytest.mark.parametrize("command", ["check", "serve", "config check"])
def test_bad_configuration_ends_with_2_and_a_line_for_each_problem(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("pol: {}\npoll: {interval: soon}\n")
    assert main([*command.split(), "--config.file", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{file}:1", f"{file}:2"]


def test_a_flag_overrides_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("web: {listen_address: ':10520'}\n")
    flags = ["--config.file", str(file), "--web.listen-address", "nonsense"]
    assert main(["config", "check", *flags]) == 2
    assert "web.listen_address" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "config check"])
def test_a_bad_file_with_tls_and_users_ends_with_2(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("basic_auth_users:\n  alice: secret\n")
    assert main([*command.split(), "--web.config.file", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"{file}:2: basic_auth_users.alice: is not a bcrypt")


def test_a_good_configuration_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "targets.yaml").write_text(
        "- {namespace: a, pod: b, role: sidecar, address: 192.0.2.1}\n"
    )
    file = tmp_path / "exporter.yaml"
    file.write_text("discovery: {static: {files: [targets.yaml]}}\n")
    assert main(["config", "check", "--config.file", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: valid; static targets: 1\n"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def wait_for(url: str) -> str:
    for _ in range(100):
        try:
            return get(url)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    return get(url)


def test_serve_serves_until_sigterm_and_reloads_on_sighup(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    target = "{namespace: a, pod: b, role: cni, address: 127.73.0.1}"
    file.write_text(
        f"discovery: {{static: {{targets: [{target}]}}}}\npoll: {{interval: 1s, timeout: 500ms}}\n"
    )
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "exporter", "serve", "--config.file", str(file)]
    command += ["--web.listen-address", address, "--log.format", "json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert wait_for(f"http://{address}/-/ready") == "Ready.\n"
            assert 'istio_port_up{namespace="a",pod="b"' in get(f"http://{address}/metrics")
            file.write_text("poll: {interval: soon}\n")
            process.send_signal(signal.SIGHUP)
            failed = "istio_port_exporter_config_last_reload_successful 0.0"
            for _ in range(50):
                if failed in get(f"http://{address}/metrics"):
                    break
                time.sleep(0.1)
            assert failed in get(f"http://{address}/metrics")
        finally:
            process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert '"message": "stopped"' in errors


def test_an_address_in_use_ends_with_3_and_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        command = [sys.executable, "-m", "exporter", "serve", "--web.listen-address", address]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3
    assert f"cannot listen on {address}: Address already in use\nIs another " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.EADDRINUSE, "Is another exporter"),
        (errno.EADDRNOTAVAIL, "This machine has no such address"),
        (errno.EACCES, "below 1024"),
    ],
)
def test_an_address_that_cannot_be_bound_comes_with_advice(code: int, advice: str) -> None:
    first, second = str(ListenError("192.0.2.9:80", OSError(code, "any"))).splitlines()
    assert first == f"cannot listen on 192.0.2.9:80: {os.strerror(code)}"
    assert advice in second


@pytest.mark.parametrize(
    ("given", "logged"),
    [(":0", "[::]"), ("127.0.0.1:0", "127.0.0.1"), ("localhost:0", "127.0.0.1")],
)
def test_the_log_names_the_address_that_is_bound(given: str, logged: str, tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("discovery: {kubernetes: {enabled: false}}\n")
    command = [sys.executable, "-m", "exporter", "serve", "--config.file", str(file)]
    command += ["--web.listen-address", given]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        line = next(line for line in process.stderr if "msg=listening" in line)
        process.kill()
    assert line.split("address=")[1].split()[0].rpartition(":")[0] == logged


def test_a_closed_pipe_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "exporter", "ports", "-o", "json"]
    ended = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(writing)
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "usage", "hint"),
    [
        (["check", "--namspace", "shop"], "check", "--namespace"),
        (["explain", "15021", "15006"], "explain", None),
        (["config", "check", "more"], "config check", None),
        (["config", "check", "my.yaml"], "config check", "--config.file my.yaml"),
        (["serve", "my.yml"], "serve", "--config.file my.yml"),
        (["serve", "--web.listen-adress=:1"], "serve", "--web.listen-address"),
    ],
)
def test_an_unknown_argument_is_an_error_of_its_command(
    arguments: list[str], usage: str, hint: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"usage: istio-port-exporter {usage} ")
    if hint:
        assert f"did you mean {hint}?" in printed
