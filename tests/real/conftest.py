"""Pods for the tests: one healthy one for all that harm nothing, and one for each case."""

from collections.abc import Iterator

import pytest

from tests.real.network import sweep
from tests.real.pod import Pod, Shape, running


@pytest.fixture(scope="session")
def machine() -> None:
    """A machine on which nothing is left of a test run that was killed."""
    sweep()


@pytest.fixture(scope="session")
def healthy(machine: None) -> Iterator[Pod]:  # noqa: ARG001 - cleaned before the first pod
    """A healthy pod that nobody may harm: PERMISSIVE, DNS, access logs, all statistics."""
    shape = Shape(dns=True, log=True, all_stats=True, scrape_app=True)
    with running({"healthy": shape}) as pods:
        yield pods["healthy"]


@pytest.fixture(scope="module")
def pods(
    machine: None,  # noqa: ARG001 - cleaned before the first pod
    request: pytest.FixtureRequest,
) -> Iterator[dict[str, Pod]]:
    """The pods of the module's selected cases (parameter `case`), by name, started together."""
    cases = [
        item.callspec.params["case"]
        for item in request.session.items
        if item.path == request.path and "case" in getattr(item, "fixturenames", ())
    ]
    with running({case.name: case.shape for case in cases}) as started:
        yield started
