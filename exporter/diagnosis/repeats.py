"""Polls of a target that saw what the judged one before them saw: counted, no more.

A record and a memory for each of them cost more than two connects. They are made when somebody
reads them, and then are what `diagnose` would have returned for the last one.
"""

from collections.abc import Sequence

from msgspec import Struct

from exporter.catalogue import TargetPort
from exporter.config import Config
from exporter.diagnosis.evidence import SLOW_SECONDS
from exporter.diagnosis.memo import Memo, Shown, record_of_repeats
from exporter.model import Memory, Outcome, Probe, Target, TargetRecord


class Repeats(Struct, gc=False):
    """How many there were that `memory` has not, and how the last one went.

    `shown`: what the probes of each showed, in their order. `record`: what they came to, once
    somebody has read it. From `until` on a poll is judged (seconds since the epoch), and also where
    it took `slow` seconds, or `step`, by which the wall clock was set, is another. `at`: when the
    last one began; `seconds`: how long its probes took; `expires`: until when it may be served.
    """

    memory: Memory
    shown: Sequence[Shown]
    until: float
    step: float
    slow: float
    polls: int = 0
    at: float = 0.0
    seconds: tuple[float, ...] = ()
    expires: float = 0.0
    record: TargetRecord | None = None

    def add_up(self) -> None:
        """Let `memory` and `record` be what `diagnose` would have returned for the last one."""
        if self.polls:
            self.record, self.memory = record_of_repeats(
                self.memory, self.polls, self.seconds, self.at
            )
            self.polls = 0


def repeats_of(
    target: Target,
    ports: Sequence[TargetPort],
    probes: Sequence[Probe],
    memory: Memory,
    config: Config,
    hello_due: float,
) -> Repeats | None:
    """None yet, of a target whose polls send these probes; None where none may be.

    Args:
        target: whose polls they are.
        ports: its ports, from `catalogue.ports_of`.
        probes: what every poll sends, in order.
        memory: what its last poll left.
        config: the intervals.
        hello_due: from when on a poll sends a hello; seconds since the epoch.
    """
    memo, last = memory.memo, memory.record
    if not isinstance(memo, Memo) or last is None or last.target is not target:
        return None
    if memo.config is not config or memo.ports != ports or memo.probes != tuple(probes):
        return None
    if memory.took or memory.view_interval:
        return None
    if not all(one.outcome is Outcome.OK and one.connected for one in memo.shown):
        return None
    slow = min(SLOW_SECONDS, config.poll.timeout / 2)
    return Repeats(memory, memo.shown, min(memo.until, hello_due), memo.step, slow)
