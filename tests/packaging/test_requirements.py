"""requirements/: everything that is installed has a version and hashes, and no address."""

import re
import tomllib

import pytest

from release.requirements import FILES, ROOT

_PINNED = re.compile(r"([a-z0-9][a-z0-9.-]*)==(\S+)(?: ; .+)?")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(name: str) -> dict[str, tuple[str, int]]:
    """Version and number of hashes of each distribution."""
    found: dict[str, tuple[str, int]] = {}
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", "")
    for line in text.splitlines():
        pinned, *hashes = re.split(r"\s+--hash=", line)
        known = _PINNED.fullmatch(pinned.strip())
        assert known, line
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one.strip()) for one in hashes), line
        found[known[1]] = known[2], len(hashes)
    return found


def plain(requirement: str) -> str:
    return re.split(r"[<>=!~;\[ ]", requirement)[0].lower().replace("_", "-")


@pytest.mark.parametrize("name", FILES)
def test_every_distribution_has_hashes(name: str) -> None:
    assert [one for one, (_, hashes) in pins(name).items() if not hashes] == []


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("run", PROJECT["project"]["dependencies"]),
        ("build", PROJECT["build-system"]["requires"]),
        ("dev", [one for one in PROJECT["dependency-groups"]["dev"] if isinstance(one, str)]),
    ],
)
def test_what_the_project_names_is_there(name: str, wanted: list[str]) -> None:
    assert {plain(one) for one in wanted} <= set(pins(name))


def test_the_files_agree_on_versions() -> None:
    everything = pins("dev")
    for name in ("run", "build"):
        assert {one: everything.get(one) for one in pins(name)} == pins(name)


@pytest.mark.parametrize("name", ["aiohttp", "cryptography", "msgspec", "uvloop"])
def test_hashes_are_those_of_every_platform(name: str) -> None:
    """A wheel for each Python, processor and system, and the sources."""
    assert pins("run")[name][1] > 20


def test_nothing_is_installed_without_hashes() -> None:
    for name in ("Makefile", "Dockerfile"):
        text = (ROOT / name).read_text().replace("\\\n", "")
        for line in re.findall(
            r"^.*\bpip\b.* install\b.*$|^.*\$\(PIP_INSTALL\).*$", text, re.MULTILINE
        ):
            for part in line.split("&&"):
                if "install" in part.lower() and "PIP_INSTALL :=" not in part:
                    alone = "--no-deps" in part or "$(ITSELF)" in part
                    assert "--require-hashes" in part or alone, part


def test_no_file_names_an_address() -> None:
    for name in FILES:
        assert "://" not in (ROOT / "requirements" / f"{name}.txt").read_text()
