"""Every command and every configuration that a page shows works as printed.

Each line of each `sh` block is taken apart by its program's own reader: the exporter's parser,
make's dry run, the catalogue for ports asked by hand. A program without a reader fails, so no
page can name a command that nobody checks. What ends by itself and needs no cluster is run.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import helm_python as helm
import pytest
import yaml

from exporter.catalogue import PORTS
from exporter.cli.main import main, parser
from exporter.config import load
from tests.charts.render import CHART, pod_specs, render
from tests.docs.pages import ROOT, Fence, fences, pages

KNOWN = {row.number for row in PORTS}
_ISTIO_PORT = re.compile(r"(?<![\w.])(15\d{3})(?![\w.])")
_RUN = {"ports", "explain", "config"}
"""The exporter's commands that end by themselves and send nothing."""


@dataclass(frozen=True, slots=True)
class Command:
    """One simple command of a block: its words, and its place."""

    where: str
    words: tuple[str, ...]


def commands(fence: Fence) -> Iterator[Command]:
    """The simple commands of a block: lines joined, comments and assignments cut, pipes split."""
    for line in fence.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "|"]:
            if set(word) <= set("|&;"):
                if words:
                    yield Command(fence.where, tuple(words))
                words = []
            elif words or not re.fullmatch(r"\w+=.*", word):
                words.append(word)


def ours(command: Command, folder: Path) -> str:
    """The exporter: its parser takes the words; what ends by itself is run."""
    message = io.StringIO()
    with contextlib.redirect_stderr(message), contextlib.redirect_stdout(message):
        try:
            parser().parse_args(command.words[1:])
        except SystemExit as end:
            return message.getvalue() if end.code else ""
        if command.words[1] in _RUN:
            with contextlib.chdir(folder):
                return message.getvalue() if main(command.words[1:]) else ""
    return ""


def by_make(command: Command, _folder: Path) -> str:
    """Make knows the target."""
    ended = subprocess.run(
        ["make", "--dry-run", *command.words[1:]],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.stderr if ended.returncode else ""


def by_catalogue(command: Command, _folder: Path) -> str:
    """A command by hand: every Istio port that it names is in the catalogue."""
    named = {int(port) for port in _ISTIO_PORT.findall(" ".join(command.words))}
    return f"unknown ports {named - KNOWN}" if named - KNOWN else ""


def by_file(command: Command, folder: Path) -> str:
    """The files that it names exist, in the project or beside the page's own files."""
    named = [word for word in command.words[1:] if re.search(r"\w/|\.(ya?ml|whl)$", word)]
    lost = [word for word in named if not (ROOT / word).exists() and not (folder / word).exists()]
    return f"no such file: {', '.join(lost)}" if lost else ""


def by_helm(command: Command, folder: Path) -> str:
    """Helm: the chart renders with the values that are set or in the files that are named."""
    verb, *words = command.words[1:]
    given: dict[str, list[str]] = {"--set": [], "--values": [], "--namespace": []}
    rest: list[str] = []
    while words:
        word = words.pop(0)
        (given[word].append(words.pop(0)) if word in given else rest.append(word))
    if verb not in ("install", "upgrade") or CHART not in [ROOT / word for word in rest]:
        return "neither helm install nor upgrade of the project's chart"
    if not given["--namespace"]:
        return "no --namespace: the release is in one of its own"
    if verb == "upgrade" and not given["--values"] and "--reuse-values" not in rest:
        return "neither --values nor --reuse-values: what was set before is lost"
    values = helm.parse_set_string(",".join(given["--set"]))
    for file in given["--values"]:
        values |= yaml.safe_load((folder / file).read_text())
    try:
        return "" if render(values) else "nothing is installed"
    except helm.HelmError as error:
        return str(error)


def by_docker(command: Command, _folder: Path) -> str:
    """Docker: there is a Dockerfile, and the image has the name that the chart takes."""
    verb, *words = command.words[1:]
    if verb == "build" and words[-1] == "." and (ROOT / "Dockerfile").is_file():
        name = words[words.index("--tag") + 1]
        (pod,) = pod_specs(render({}))
        return "" if pod["containers"][0]["image"] == name else f"the chart does not take {name}"
    return "not a build of the project's Dockerfile"


def by_sed(command: Command, _folder: Path) -> str:
    """Sed takes the script, and the files that it changes are there."""
    *words, files = (word for word in command.words if word != "-i")
    ended = subprocess.run(words, input="", capture_output=True, text=True, check=False)
    return ended.stderr if list(ROOT.glob(files)) else f"no such file: {files}"


READERS: dict[str, Callable[[Command, Path], str]] = {
    "istio-port-exporter": ours,
    "make": by_make,
    "pip": by_file,
    "docker": by_docker,
    "helm": by_helm,
    "promtool": by_file,
    "sed": by_sed,
    "curl": by_catalogue,
    "kubectl": by_catalogue,
    "istioctl": by_catalogue,
    "nsenter": by_catalogue,
    "ss": by_catalogue,
    "openssl": by_catalogue,
}


def shown(page: Path) -> Iterator[Command]:
    """The commands that a page shows."""
    for fence in fences(page):
        if fence.language in ("sh", "bash", "console"):
            yield from commands(fence)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with every file that the pages write, as a reader of all of them has it."""
    shutil.copytree(ROOT / "config", tmp_path, dirs_exist_ok=True)
    for page in pages():
        for fence in fences(page):
            if fence.file:
                target = tmp_path / fence.file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(fence.text)
    return tmp_path


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_works_as_printed(page: Path, folder: Path) -> None:
    problems = []
    for command in shown(page):
        reader = READERS.get(command.words[0])
        message = reader(command, folder) if reader else "a program that no test knows"
        if message:
            problems.append(f"{command.where}: {shlex.join(command.words)}: {message}")
    assert problems == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("istio-port-exporter serve --no-such-flag", "unrecognized", id="flag"),
        pytest.param("istio-port-exporter explain 15998", "15998", id="run"),
        pytest.param("make no-such-target", "No rule to make target", id="target"),
        pytest.param("kubectl port-forward pod/a 15099", "unknown ports {15099}", id="port"),
        pytest.param(
            "helm install a charts/istio-port-exporter --namespace a --set rbac.creat=false",
            "additional properties 'creat' not allowed",
            id="value",
        ),
        pytest.param("helm install a charts/istio-port-exporter", "no --namespace", id="namespace"),
        pytest.param(
            "helm upgrade a charts/istio-port-exporter --namespace a", "is lost", id="values"
        ),
        pytest.param("docker build --tag other:1 .", "does not take other:1", id="image"),
        pytest.param("promtool check rules no/such.yaml", "no such file", id="file"),
        pytest.param("sed -i -E 's/a/' config/*.yml", "unterminated", id="script"),
    ],
)
def test_a_wrong_command_is_found(line: str, message: str, tmp_path: Path) -> None:
    words = tuple(shlex.split(line))
    assert message in READERS[words[0]](Command("here", words), tmp_path)


def exporter_files() -> Sequence[Fence]:
    """The blocks that are a configuration of the exporter."""
    return [f for page in pages() for f in fences(page) if Path(f.file).name == "exporter.yaml"]


def test_the_pages_show_a_configuration() -> None:
    assert exporter_files()


@pytest.mark.parametrize("fence", exporter_files(), ids=lambda fence: fence.where)
def test_every_shown_configuration_is_accepted(fence: Fence, tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text(fence.text)
    assert load(file)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_yaml_block_is_yaml(page: Path) -> None:
    for fence in fences(page):
        if fence.language == "yaml":
            assert list(yaml.safe_load_all(fence.text)), fence.where
