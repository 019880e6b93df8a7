"""What `make bench-scale` makes of its figures, and that it leaves nothing behind."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.scale import namespaces, report
from benchmarks.scale.ambient import AmbientFigures
from benchmarks.scale.machine import ahead_of_others
from benchmarks.scale.measure import Figures, Timing, quantile, share_over
from benchmarks.scale.subject import command_of

ROOT = Path(__file__).parent.parent
PHASES = ("start", "polls", "metrics", "metrics_gzip", "summary", "matrix", "reload")


def good_figures() -> Figures:
    pages = {name: Timing([0.01, 0.02, 0.3]) for name in ("summary", "matrix")}
    ambient = AmbientFigures(1000, cpu_per_poll=0.00002, beside=0.0002, hellos_most=50, left=0)
    return Figures(
        1000,
        holds=dict.fromkeys(PHASES, 0.001),
        pages=pages,
        cpu_per_poll=0.0002,
        ambient=ambient,
    )


def test_a_run_within_every_limit_is_not_short() -> None:
    assert not report.is_short(good_figures())
    assert all(line.endswith("holds") for line in report.table(good_figures())[1:])


@pytest.mark.parametrize(
    "worse",
    [
        {"core": 0.51},
        {"late_p99": 1.01},
        {"memory": 13e6},
        {"reload_peak": 1.31},
        {"polls_off": 0.011},
        {"skipped": 1.0},
        {"core": math.nan},
        {"ambient": AmbientFigures(cpu_per_poll=0.00006, beside=0.0002, hellos_most=50, left=0)},
        {"ambient": AmbientFigures(cpu_per_poll=0.00002, beside=0.0002, hellos_most=61, left=0)},
        {"ambient": AmbientFigures(cpu_per_poll=0.00002, beside=0.0002, hellos_most=50, left=1)},
        *({"holds": {**dict.fromkeys(PHASES, 0.001), phase: 0.021}} for phase in PHASES),
        *(
            {"pages": {**good_figures().pages, page: Timing([0.11])}}
            for page in ("summary", "matrix")
        ),
    ],
    ids=str,
)
def test_one_figure_over_its_limit_is_the_one_that_is_short(worse: dict[str, object]) -> None:
    figures = good_figures()
    for name, value in worse.items():
        setattr(figures, name, value)
    assert report.is_short(figures)
    assert sum(line.endswith("short") for line in report.table(figures)) == 1


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 0.05), (0.9, 0.1), (0.95, 0.55), (0.99, 0.91), (1.0, 1.0)],
)
def test_a_quantile_is_spread_evenly_within_its_bucket(share: float, expected: float) -> None:
    buckets = {0.1: 900.0, 1.0: 1000.0, math.inf: 1000.0}
    # 0.5 of 1,000 are 500 of the 900 in the first bucket.
    assert quantile(share, buckets) == pytest.approx(expected if share != 0.5 else 0.1 * 500 / 900)


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile(0.99, {0.1: 0.0, 1.0: 0.0, math.inf: 10.0}) == 1.0


def test_a_histogram_without_the_bound_tells_no_share() -> None:
    assert share_over(0.1, {0.1: 75.0, math.inf: 100.0}) == 0.25
    assert math.isnan(share_over(0.2, {0.1: 75.0, math.inf: 100.0}))


def test_the_exporter_is_ours_a_checkout_s_or_a_command(tmp_path: Path) -> None:
    assert command_of("") == (str(Path(sys.executable).with_name("istio-port-exporter")),)
    (checkout,) = command_of(str(tmp_path))
    assert checkout == str(tmp_path / ".venv" / "bin" / "istio-port-exporter")
    assert command_of("python -m other") == ("python", "-m", "other")


def test_every_target_has_an_address_of_its_own() -> None:
    addresses = {namespaces.address_of(index) for index in range(namespaces.MOST_TARGETS)}
    assert len(addresses) == namespaces.MOST_TARGETS
    assert all(address.startswith("10.77.") for address in addresses)


@pytest.mark.real
def test_an_interrupted_run_leaves_no_namespace() -> None:
    made: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(made)
    assert len(made) == 2
    assert not set(made) & set(listed())


def interrupted(made: list[str]) -> None:
    with namespaces.joined() as names:
        made += set(listed()) & {names.pods, names.exporter}
        raise KeyboardInterrupt


@pytest.mark.real
def test_a_run_goes_before_others_and_then_no_more() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with ahead_of_others():
        assert os.getpriority(os.PRIO_PROCESS, 0) < before
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def listed() -> list[str]:
    return [line.split()[0] for line in namespaces.run("ip", "netns", "list").splitlines()]


def test_another_user_than_root_is_told_so() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, "needs Linux and root" in done.stderr) == (2, True)


AS_NOBODY = """
import sys
import os
from benchmarks.scale import __main__ as scale
if os.geteuid() == 0:
    os.setuid(65534)
sys.argv = ["bench-scale"]
sys.exit(scale.main())
"""
