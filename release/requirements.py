"""`make hashes`: writes requirements/, the versions and hashes of everything that is installed.

One resolution for every platform and every Python that the project supports; what needs a platform
or a Python has a marker. No address is written: the index is whatever pip is configured for.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = {
    "dev": ("pyproject.toml", "--group", "dev"),
    "run": ("pyproject.toml",),
    "build": ("--group", "build"),
}
"""`dev` first: the others take its versions."""


def write(folder: Path, options: list[str]) -> None:
    """Resolve each file, keeping the versions that it has; raises CalledProcessError."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = project["requires-python"].removeprefix(">=")
    for name, sources in FILES.items():
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", lowest]
        command += ["--generate-hashes", "--no-header", "--no-annotate", *options]
        if name != "dev":  # one version of each, whoever installs it
            command += ["--constraint", str(folder / "dev.txt")]
        output = str(folder / f"{name}.txt")
        subprocess.run(
            [sys.executable, "-m", *command, *sources, "--output-file", output],
            cwd=ROOT,
            check=True,
        )


if __name__ == "__main__":
    write(ROOT / "requirements", sys.argv[1:])
