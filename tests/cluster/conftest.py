"""One cluster with Istio for all tests of this folder. They share it, in namespaces of their own.

A machine where it cannot run skips them and reports why; with CI=true that is a failure.
"""

import contextlib
import itertools
import os
import shutil
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster import istio
from tests.cluster.assets import missing
from tests.cluster.breaking import Breaking
from tests.cluster.cluster import Cluster, Stopwatch, running
from tests.cluster.helm import Helm
from tests.cluster.product import RESTRICTED, Exporter, exporter, install
from tests.cluster.workloads import new_namespace
from tests.real.kubernetes.client import Admin

PROGRAMS = (
    *("etcd", "runc", "buildah", "nsenter", "setpriv", "ip", "iptables", "ipset"),
    "prometheus",
)
UP_SECONDS = 1500.0
MEMORY_LIMIT = "128Mi"
"""The docs' 100 MB and 30 kB a target, rounded up."""
_NUMBERS = itertools.count()


def why_not() -> str:
    """Why no cluster can run here; empty when one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    unmade = missing()
    return f"not made: {', '.join(unmade)} (make cluster-assets)" if unmade else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits for the images and the cluster; all share one event loop."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(UP_SECONDS))
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def parts(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Cluster, Admin]]:
    """The cluster and its administrator."""
    report = partial(show, request.config)
    if reason := why_not():
        if os.environ.get("CI") == "true":
            pytest.fail(f"cannot run here: {reason}", pytrace=False)
        pytest.skip(reason)
    async with running(report) as (cluster, admin):
        clock = Stopwatch(report)
        await istio.install(admin, Helm(cluster))
        clock.lap("Istio")
        yield cluster, admin


@pytest.fixture(scope="session")
def cluster(parts: tuple[Cluster, Admin]) -> Cluster:
    return parts[0]


@pytest.fixture(scope="session")
def admin(parts: tuple[Cluster, Admin]) -> Admin:
    return parts[1]


@pytest.fixture(scope="session")
def helm(cluster: Cluster) -> Helm:
    return Helm(cluster)


@pytest_asyncio.fixture(loop_scope="session")
async def corner(admin: Admin) -> AsyncIterator[str]:
    """A namespace of the test's own, which is deleted afterwards."""
    async with new_namespace(admin, f"corner-{next(_NUMBERS)}") as name:
        yield name


@pytest_asyncio.fixture(loop_scope="session")
async def mesh(admin: Admin) -> AsyncIterator[str]:
    """The same, and its pods get a sidecar."""
    async with new_namespace(
        admin, f"mesh-{next(_NUMBERS)}", **{"istio-injection": "enabled"}
    ) as name:
        yield name


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def direct(admin: Admin, helm: Helm) -> AsyncIterator[Exporter]:
    """The chart with its defaults, but that it polls often, within the memory that docs allow."""
    limits = {"limits": {"memory": MEMORY_LIMIT}}
    async with new_namespace(admin, "direct", **RESTRICTED) as name:
        await install(helm, name, config={"poll": {"interval": "5s"}}, resources=limits)
        yield await exporter(admin, name)
        await helm.uninstall("exporter", name)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def netns(admin: Admin, helm: Helm) -> AsyncIterator[Exporter]:
    """The chart as a DaemonSet that polls often."""
    async with new_namespace(admin, "netns") as name:
        often = {"poll": {"interval": "10s"}}
        await install(helm, name, mode="daemonset", fullnameOverride="netns", config=often)
        yield await exporter(admin, name)
        await helm.uninstall("exporter", name)


@pytest_asyncio.fixture(scope="session", loop_scope="session", autouse=True)
async def breaks(
    request: pytest.FixtureRequest, cluster: Cluster, admin: Admin, helm: Helm
) -> AsyncIterator[Breaking | None]:
    """Begins with the session, where the test that reads the times is among its tests."""
    if not any(item.path.name == "test_times.py" for item in request.session.items):
        yield None
        return
    begun = Breaking(cluster, admin, helm)
    yield begun
    await begun.close()


def show(config: pytest.Config, line: str) -> None:
    """Progress, past pytest's capture: bringing the cluster up takes minutes."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        print(f"cluster: {line}", file=sys.__stderr__, flush=True)
