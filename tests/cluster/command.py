"""`check` as a person on this machine runs it: a kubeconfig, and no route to any pod."""

import asyncio
import json
import sys
from typing import Any

from tests.cluster.cluster import Cluster

_CHECK = (sys.executable, "-m", "exporter", "check")
_SECONDS = 120.0


async def check(cluster: Cluster, *arguments: str) -> tuple[int | None, Any, str]:
    """Exit code, the report (`-o json` is added) and what was written to standard error."""
    process = await asyncio.create_subprocess_exec(
        *_CHECK,
        *("--kubeconfig", str(cluster.kubeconfig), "-o", "json"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    text = errors.decode()
    assert "Traceback" not in text
    return process.returncode, json.loads(output) if output else None, text
