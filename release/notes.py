"""The release notes of a version: its section of CHANGELOG.md, printed."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def notes_of(changelog: str, version: str) -> str:
    """The section of a version, without its heading; raises LookupError where it has none."""
    pattern = rf"^## \[?{re.escape(version)}\]?(?: [^\n]*)?\n(.*?)(?=^## |\Z)"
    found = re.search(pattern, changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise LookupError(f"CHANGELOG.md has no section {version}")
    return found[1].strip() + "\n"


def version_of(tag: str) -> str:
    """The version of a tag such as v0.1.0; raises ValueError unless it is pyproject.toml's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    if tag != f"v{project['version']}":
        raise ValueError(f"{tag} is not v{project['version']}, the version in pyproject.toml")
    return str(project["version"])


if __name__ == "__main__":
    print(notes_of((ROOT / "CHANGELOG.md").read_text(), version_of(sys.argv[1])), end="")
