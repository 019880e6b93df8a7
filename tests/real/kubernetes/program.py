"""The exporter as a program of its own, unmodified, and what it serves."""

import asyncio
import contextlib
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.until import until

ROOT = Path(__file__).parents[3]


class Program:
    """`serve` with a configuration file."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "exporter.log"
        self.address = ""

    async def samples(self) -> list[Sample]:
        """Everything on /metrics. No series occurs twice."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{self.address}/metrics") as answer,
        ):
            text = await answer.text()
        found = [row for family in text_string_to_metric_families(text) for row in family.samples]
        series = Counter((row.name, *sorted(row.labels.items())) for row in found)
        assert series.most_common(1)[0][1] == 1, series.most_common(3)
        return found

    async def pods(self, namespace: str) -> set[str]:
        """The pods of a namespace that any series speaks of."""
        rows = [row.labels for row in await self.samples()]
        return {row["pod"] for row in rows if row.get("namespace") == namespace and "pod" in row}

    async def value(self, name: str, **labels: str) -> float | None:
        """The value of one sample; None where there is none."""
        for row in await self.samples():
            if row.name == name and labels.items() <= row.labels.items():
                return row.value
        return None

    async def until_targets(self, count: int, seconds: float = 30.0) -> None:
        """Wait until so many sidecars are targets."""
        async with asyncio.timeout(seconds):
            name = "istio_port_exporter_targets"
            while await self.value(name, role="sidecar") != count:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.1)

    def is_listening(self) -> bool:
        return "listening address=" in self.log.read_text()


def in_a_pod(service_account: Path) -> tuple[str, ...]:
    """A command that runs another where a pod has its service account, in mounts of its own."""
    mounts = (
        "mount -t tmpfs tmpfs /run && mkdir -p /run/secrets/kubernetes.io && "
        f'ln -s {service_account} /run/secrets/kubernetes.io/serviceaccount && exec "$@"'
    )
    return ("unshare", "--mount", "sh", "-c", mounts, "in-a-pod")


@contextlib.asynccontextmanager
async def serving(
    folder: Path, config: object, *inside: str, **environ: str
) -> AsyncIterator[Program]:
    """Run it until the block ends; it has to end cleanly when it is told to.

    `inside` is a command that runs it, such as `in_a_pod`.
    """
    program = Program(folder)
    (folder / "exporter.yaml").write_text(yaml.safe_dump(config))
    with program.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(
                *inside,
                sys.executable,
                "-m",
                "exporter",
                "serve",
                "--config.file",
                "exporter.yaml",
            ),
            *("--web.listen-address", "127.0.0.1:0"),
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
            stdout=log,
            stderr=log,
        )
    try:
        await until(program.is_listening, "listens")
        program.address = program.log.read_text().split("listening address=")[1].split()[0]
        yield program
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 15) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "Traceback" not in program.log.read_text()
