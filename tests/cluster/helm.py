"""Helm against the cluster, with its own state kept in the cluster's folder."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.cluster import Cluster
from tests.cluster.go_programs import program

Values = Mapping[str, Any]
TIMEOUT = "180s"


class Helm:
    """Installs charts from folders, with values as documents."""

    def __init__(self, cluster: Cluster) -> None:
        self._folder = cluster.folder / "helm"
        self._folder.mkdir(exist_ok=True)
        self._environ = {
            **os.environ,
            "KUBECONFIG": str(cluster.kubeconfig),
            "HELM_CACHE_HOME": str(self._folder),
            "HELM_CONFIG_HOME": str(self._folder),
            "HELM_DATA_HOME": str(self._folder),
        }

    async def install(
        self, release: str, chart: Path, namespace: str, values: Values, *, wait: bool = True
    ) -> str:
        """Install or upgrade a release, and wait until what it made is ready. Returns its notes."""
        path = self._folder / f"{namespace}-{release}.yaml"
        path.write_text(yaml.safe_dump(dict(values)))
        waits = ("--wait", "--timeout", TIMEOUT) if wait else ()
        command = ("upgrade", "--install", release, str(chart), "--values", str(path))
        return await self.run(*command, "--namespace", namespace, *waits)

    async def uninstall(self, release: str, namespace: str) -> None:
        await self.run("uninstall", release, "--namespace", namespace, "--wait")

    async def run(self, *arguments: str) -> str:
        """Run Helm to its end and return its output."""
        process = await asyncio.create_subprocess_exec(
            program("helm"),
            *arguments,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0, f"helm {' '.join(arguments)}: {errors.decode()}"
        return output.decode()
