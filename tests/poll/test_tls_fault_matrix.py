"""What an istiod can do wrong in TLS and HTTP/2: outcomes, cause, and whether anybody is late."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from exporter.config import Config, IstiodConfig
from exporter.exposition import selected
from exporter.model import Role, Target, TargetKey, TargetRecord
from exporter.poll.poll_steps import ProbeInstrumentation
from exporter.scheduler.poll_scheduler import Scheduler
from exporter.scheduler.target_table import TargetTable
from exporter.state import State
from tests.poll import hostile_istiods
from tests.poll.hostile_istiods import CERTIFICATES, TALKS, WITHOUT_TLS
from tests.poll.test_fault_matrix import POLL, gateway, serving, shown_of

HONEST = 40
PATIENT = replace(POLL, interval=2.0, detail_interval=4.0, timeout=1.5)
"""Their one process makes two dozen handshakes at once."""

OK, WRONG, HUGE, TLS, LATE = "ok", "wrong_protocol", "too_large", "tls_error", "timeout"
NOT_READY = "istiod_not_ready"

FAULTS = {
    "honest": (OK, OK, OK, ""),
    "SETTINGS without end": (HUGE, HUGE, WRONG, NOT_READY),
    "PING without end": (HUGE, HUGE, WRONG, NOT_READY),
    "1xx without end": (HUGE, HUGE, WRONG, NOT_READY),
    "CONTINUATION without end": (HUGE, HUGE, WRONG, NOT_READY),
    "GOAWAY": ("closed", "closed", WRONG, NOT_READY),
    "HTTP/1.1 in TLS": (WRONG, WRONG, OK, NOT_READY),
    "silent in TLS": (LATE, LATE, LATE, "istiod_replica_stuck"),
    "plain HTTP on TLS": (OK, WRONG, WRONG, NOT_READY),
    "alerts without end": (OK, TLS, TLS, NOT_READY),
    "records without end": (OK, HUGE, HUGE, NOT_READY),
    "half a handshake": (OK, LATE, LATE, "istiod_replica_stuck"),
    "expired": (OK, TLS, TLS, "certificate_expired"),
    "not yet valid": (OK, TLS, TLS, "certificate_not_yet_valid"),
    "of another root": (OK, TLS, TLS, NOT_READY),
    "of its own": (OK, TLS, TLS, NOT_READY),
    "of another name": (OK, OK, OK, ""),
    "of many names": (OK, OK, OK, ""),
    "of names beyond a handshake": (OK, HUGE, HUGE, NOT_READY),
    "of a huge chain": (OK, HUGE, HUGE, NOT_READY),
}
"""What 15010, 15012 and 15017 come to, and the cause."""


@contextlib.asynccontextmanager
async def istiods(folder: Path, names: list[str], first: int) -> AsyncIterator[None]:
    """Istiods of these names in a process of their own."""
    served = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", hostile_istiods.__name__, str(folder), str(first), *names),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert served.stdout
        assert await served.stdout.readline() == b"ready\n"
        yield
    finally:
        served.kill()
        await served.wait()


def istiod(number: int, name: str) -> Target:
    return replace(
        gateway(number, name),
        key=TargetKey("istio-system", name),
        role=Role.ISTIOD,
    )


async def test_every_fault_has_its_outcomes_and_cause_and_makes_nobody_late(
    tmp_path: Path,
) -> None:
    assert {*FAULTS} == {"honest", *TALKS, *WITHOUT_TLS, *CERTIFICATES}
    names = [*FAULTS]
    honest = [f"honest-{number}" for number in range(HONEST)]
    state, late = State(selected("standard")), list[float]()
    table = TargetTable(PATIENT.interval, state, State(()))
    trusting = IstiodConfig(root_cert_file=str(tmp_path / "mesh" / "root-cert.pem"))
    config = Config(poll=PATIENT, istiod=trusting)
    scheduler = Scheduler(config, table, ProbeInstrumentation(started=late.append))
    async with istiods(tmp_path, names, 0), serving(["honest"] * HONEST, len(names)):
        for number, name in enumerate(names):
            table.put(istiod(number, name))
        for number, name in enumerate(honest, len(names)):
            table.put(gateway(number, name))
        running = asyncio.create_task(scheduler.run())
        await asyncio.sleep(5)
        running.cancel()
        await asyncio.wait({running})
    found = {name: outcomes_of(state.get(TargetKey("istio-system", name))) for name in names}
    assert found == FAULTS
    assert {shown_of(state.get(TargetKey("shop", name))) for name in honest} == {("ok", "")}
    assert max(late) < PATIENT.interval / 2


def outcomes_of(record: TargetRecord | None) -> tuple[str, ...]:
    assert record is not None
    by_port = {verdict.port: verdict for verdict in record.verdicts}
    asked = [by_port[port] for port in (15010, 15012, 15017)]
    assert all(verdict.up is (verdict.outcome == OK) for verdict in asked)
    cause = record.diagnosis.cause if record.diagnosis else ""
    return *(str(verdict.outcome) for verdict in asked), cause
