"""Where the project is: from the platform's variables, else `[tool.release]` in pyproject.toml.

That one value is empty until the first release: nobody is sent to an address that is made up.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def repository_of(environment: Mapping[str, str] = os.environ) -> str:
    """The address of the repository; empty where nobody knows it."""
    server, name = (environment.get(f"GITHUB_{key}", "") for key in ("SERVER_URL", "REPOSITORY"))
    if server and name:
        return f"{server}/{name}"
    return str(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["release"]["repository"]
    )


def urls_of(repository: str) -> dict[str, str]:
    """The project's addresses by the names that package indexes know."""
    if not repository:
        return {}
    below = f"{repository}/blob/HEAD"
    return {
        "Homepage": repository,
        "Source": repository,
        "Documentation": f"{below}/README.md",
        "Changelog": f"{below}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }
