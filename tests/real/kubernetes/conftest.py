"""A control plane for every test below, and a corner of it for each."""

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.real.kubernetes.client import Admin
from tests.real.kubernetes.control_plane import ControlPlane, running
from tests.real.kubernetes.fault_proxy import FaultProxy, fault_proxy
from tests.real.kubernetes.pods import namespace

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One for all tests that neither restart it nor take its history away."""
    with running(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture
def own_control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One that the test may restart, empty and put back."""
    with running(tmp_path_factory.mktemp("own-control-plane")) as plane:
        yield plane


@pytest.fixture
async def admin(control_plane: ControlPlane) -> AsyncIterator[Admin]:
    """Every right on the shared control plane."""
    async with control_plane.admin() as client:
        yield client


@pytest.fixture
async def corner(admin: Admin) -> AsyncIterator[str]:
    """A namespace of the test's own; its pods are deleted afterwards."""
    name = f"corner-{next(_NUMBERS)}"
    await admin.apply(namespace(name))
    yield name
    await admin.delete_all(f"/api/v1/namespaces/{name}/pods")


@pytest.fixture
async def faults(control_plane: ControlPlane) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the shared control plane."""
    async with fault_proxy(control_plane.authority, control_plane.port) as proxy:
        yield proxy
