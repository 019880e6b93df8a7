"""What the tests of the rules need: Debian's promtool; no root and no network."""

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def promtool() -> None:
    """Skip, with the reason, where promtool is not installed; with CI=true that fails."""
    if shutil.which("promtool") is None:
        reason = "not installed: promtool (Debian: prometheus)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"cannot run here: {reason}", pytrace=False)
        pytest.skip(reason)
