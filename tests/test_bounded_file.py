"""What has no end, or too late a one, is refused as a file that cannot be read, by every reader."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.bounded_file import read_bounded
from exporter.bounds import FILE
from exporter.cli.main import main
from exporter.kube.api_errors import KubernetesError
from exporter.kube.credentials import load_kubeconfig


def test_a_file_is_read_whole_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_bounded(file, 5) == b"12345"
    with pytest.raises(OSError, match="File too large"):
        read_bounded(file, 4)
    with pytest.raises(OSError, match="File too large"):
        read_bounded("/dev/zero", 4)
    assert read_bounded("/dev/null", 4) == b""


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, FILE + 1)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _terminal(path: Path) -> None:
    path.symlink_to("/dev/ptmx")


REFUSALS = {
    _sparse: "File too large",
    _device: "File too large",
    _pipe: "is a pipe",
    _terminal: "is a device that is silent",
}

OPTIONS = {
    "--config.file": "",
    "--web.config.file": "",
    "targets": "discovery: {{static: {{files: [{}]}}}}",
    "a pod": "discovery: {{static: {{targets: [{{pod: {}}}]}}}}",
    "a token": "istiod: {{debug_token_file: {}}}",
}


@pytest.mark.parametrize("endless", REFUSALS)
@pytest.mark.parametrize("option", OPTIONS)
def test_a_configured_file_without_end_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    endless: Callable[[Path], None],
) -> None:
    path, named = tmp_path / "endless.yaml", option
    endless(path)
    if text := OPTIONS[option].format(path):
        (tmp_path / "exporter.yaml").write_text(text)
        path, named = tmp_path / "exporter.yaml", "--config.file"
    assert main(["config", "check", named, str(path)]) != 0
    assert REFUSALS[endless] in capsys.readouterr().err


@pytest.mark.parametrize("endless", REFUSALS)
def test_a_kubeconfig_without_end_is_refused(
    tmp_path: Path, endless: Callable[[Path], None]
) -> None:
    endless(tmp_path / "kubeconfig")
    with pytest.raises(KubernetesError, match=REFUSALS[endless]):
        asyncio.run(load_kubeconfig(str(tmp_path / "kubeconfig")))


def test_a_shells_pipe_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb") as writer:
        writer.write(b"12345")
        writer.close()
        assert read_bounded(f"/dev/fd/{reading}", 5) == b"12345"


NAMED = (
    'discovery: {static: {files: ["%s.yaml"]}}',
    'discovery: {static: {targets: [{pod: "%s.json", address: 10.0.0.1}]}}',
    'istiod: {debug_token_file: "%s"}',
    'web: {config_file: "%s"}',
)


@pytest.mark.parametrize("name", ["ä", r"\0"])
@pytest.mark.parametrize("config", NAMED)
def test_a_name_that_no_file_can_have_is_named(tmp_path: Path, config: str, name: str) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text(config % name, encoding="utf-8")
    ascii_alone = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    ended = subprocess.run(
        [sys.executable, "-m", "exporter", "config", "check", "--config.file", str(file)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **ascii_alone},
        timeout=60,
    )
    assert ended.returncode == 2
    assert "cannot be read: Invalid argument" in ended.stderr
    assert "Traceback" not in ended.stderr
