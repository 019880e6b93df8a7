"""The Dockerfile's steps work: they are run here without Docker, below a folder."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from exporter.config import Config

ROOT = Path(__file__).parent.parent
FOLDERS = ("/src", "/wheels", "/opt/exporter")
"""Folders of the build stage, which stand below a temporary one here."""
UNUSED = {"PIP_NO_CACHE_DIR"}
"""Settings of the image that would only make the test slower."""


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: its word and the rest, lines joined."""

    word: str
    rest: str


def steps() -> list[list[Step]]:
    """The instructions by stage."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    found = [Step(*line.split(maxsplit=1)) for line in lines if line.strip()]
    starts = [index for index, step in enumerate(found) if step.word == "FROM"]
    return [found[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]


def rest_of(stage: list[Step], word: str) -> str:
    """The only instruction of its kind in a stage."""
    (found,) = (step.rest for step in stage if step.word == word)
    return found


def is_in_context(path: Path) -> bool:
    """Whether .dockerignore lets a file through; the last line that matches decides."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    taken = True
    parts = (str(path), *map(str, path.parents))
    for line in (line for line in lines if line and not line.startswith("#")):
        pattern = line.removeprefix("!").replace("**/", "*")
        if any(fnmatch(part, pattern) for part in parts if part != "."):
            taken = line.startswith("!")
    return taken


class Build:
    """Runs the build stage below a folder; `python` and `pip` are those of a fresh venv."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.python = root / "base" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", root / "base"], check=True)
        self._env = {"PATH": f"{self.python.parent}:/usr/bin:/bin", "HOME": str(root)}

    def run(self) -> None:
        """Run every instruction of the stage."""
        for step in steps()[0]:
            {"RUN": self._run, "COPY": self._copy, "ENV": self._set}.get(step.word, str)(step.rest)

    def _set(self, rest: str) -> None:
        pairs = dict(word.split("=", 1) for word in shlex.split(rest))
        self._env |= {name: value for name, value in pairs.items() if name not in UNUSED}

    def _copy(self, rest: str) -> None:
        *sources, target = rest.split()
        for source in (ROOT / name for name in sources):
            base = source if source.is_dir() else source.parent
            for file in (f for f in (source, *source.rglob("*")) if f.is_file()):
                if is_in_context(file.relative_to(ROOT)):
                    place = self.root / "src" / target / file.relative_to(base)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, place)

    def _run(self, rest: str) -> None:
        command = re.sub(rf"(?<= )({'|'.join(FOLDERS)})(?=/| |$)", rf"{self.root}\1", rest)
        ended = subprocess.run(
            ["sh", "-ec", command],
            cwd=self.root / "src",
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what the build stage leaves; without a package index it cannot be built."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "index", "versions", "hatchling"],
        capture_output=True,
        check=False,
    )
    if asked.returncode:
        reason = "no package index can be reached"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    root = tmp_path_factory.mktemp("image")
    Build(root).run()
    yield root
    shutil.rmtree(root)


def ours(image: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The exporter of the image, in the environment of its last stage and nothing else."""
    entry = json.loads(rest_of(steps()[1], "ENTRYPOINT"))
    pairs = dict(word.split("=", 1) for word in shlex.split(rest_of(steps()[1], "ENV")))
    env = {name: value.replace("$PATH", "/usr/bin:/bin") for name, value in pairs.items()}
    env["PATH"] = re.sub(r"^(?=/opt)", str(image), env["PATH"])
    return subprocess.run(
        [image / "opt/exporter/bin" / entry[0], *words],
        cwd=image,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_environment_has_the_exporter_and_no_installer(image: Path) -> None:
    programs = {file.name for file in (image / "opt/exporter/bin").iterdir()}

    assert "istio-port-exporter" in programs
    assert not {name for name in programs if name.startswith("pip")}


def test_only_what_serving_imports_is_compiled(image: Path) -> None:
    """Bytecode of what never runs would make the image a third larger."""
    packages = next((image / "opt/exporter/lib").glob("python*/site-packages"))

    def compiled(folder: str) -> set[str]:
        return {file.name.split(".")[0] for file in (packages / folder / "__pycache__").glob("*")}

    assert {"poll_scheduler", "slots"} <= compiled("exporter/scheduler")
    assert compiled("exporter/demo") | compiled("kubernetes/client/models") <= {"__init__"}


def test_the_wheel_has_every_file_of_the_package(image: Path) -> None:
    (wheel,) = (image / "wheels").glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("exporter/")}
    files = (file for file in (ROOT / "exporter").rglob("*") if file.is_file())
    there = {str(f.relative_to(ROOT)) for f in files if "__pycache__" not in f.parts}

    assert packed == there


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(["--help"], 0, "usage: istio-port-exporter", id="help"),
        pytest.param(["ports"], 0, "15021", id="ports"),
        pytest.param(["config", "check"], 0, "valid", id="config"),
        pytest.param(["check", "--config.file", "targets.yaml"], 1, "cart", id="check"),
    ],
)
def test_the_installed_exporter_works(image: Path, words: list[str], code: int, said: str) -> None:
    (image / "targets.yaml").write_text(
        "discovery:\n"
        "  kubernetes: {enabled: false}\n"
        "  static: {targets: [{pod: cart, role: gateway, address: 127.0.0.1}]}\n"
    )
    ended = ours(image, *words)

    assert (ended.returncode, said in ended.stdout) == (code, True), ended.stderr


def test_the_image_is_not_root_and_serves_the_default_port() -> None:
    user, _, group = rest_of(steps()[1], "USER").partition(":")

    assert (int(user) > 0, int(group) > 0) == (True, True)
    assert f":{rest_of(steps()[1], 'EXPOSE')}" == Config().web.listen_address
    assert json.loads(rest_of(steps()[1], "CMD")) == ["serve"]


def test_both_stages_have_the_same_base() -> None:
    """A virtual environment points to the Python that made it."""
    first, second = (rest_of(stage, "FROM").split()[0] for stage in steps())

    assert first == second
    assert re.search(r":\d+\.\d+", first)


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        pytest.param("exporter/cli/main.py", True, id="package"),
        pytest.param("requirements/run.txt", True, id="hashes"),
        pytest.param("requirements/dev.txt", False, id="development tools"),
        pytest.param("exporter/cli/__pycache__/check.pyc", False, id="compiled"),
        pytest.param(".git/config", False, id="history"),
        pytest.param("tests/conftest.py", False, id="tests"),
    ],
)
def test_only_what_is_copied_is_sent_to_the_builder(path: str, taken: bool) -> None:
    assert is_in_context(Path(path)) is taken
