"""The chart as a release publishes it: with its home, its sources, and the image of that release.

In: where the repository and the image are, from the platform's variables. Out: a folder that
`helm package` takes; the chart in the checkout names neither.
"""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from release.urls import ROOT, repository_of

CHART = ROOT / "charts" / "istio-port-exporter"


def write_chart(folder: Path, repository: str, registry: str, image: str, digest: str) -> Path:
    """Copy the chart below `folder`; empty values change nothing. Returns the copy.

    Args:
        folder: where the copy goes.
        repository: the address of the sources.
        registry: the image's registry.
        image: its name there.
        digest: `sha256:...` of the image.
    """
    copy = folder / CHART.name
    shutil.copytree(CHART, copy)
    if repository:
        _set(copy / "Chart.yaml", "", {"home": repository, "sources": [repository]})
    _set(
        copy / "values.yaml", "image", {"registry": registry, "repository": image, "digest": digest}
    )
    return copy


def _set(file: Path, section: str, values: Mapping[str, Any]) -> None:
    """Set keys of a file, or of one of its sections; comments stay."""
    lines = file.read_text().splitlines()
    start = lines.index(f"{section}:") + 1 if section else 0
    indent = "  " if section else ""
    for key, value in values.items():
        if not value:
            continue
        line = f"{indent}{key}: {yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}"
        places = [n for n in range(start, len(lines)) if lines[n].startswith(f"{indent}{key}:")]
        if places:
            lines[places[0]] = line
        else:
            lines.append(line)
    file.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write_chart(Path(sys.argv[1]), repository_of(), *sys.argv[2:5])
