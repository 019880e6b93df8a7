"""What is remembered ends when it is told to, and only what ends then is looked at again."""

import pytest

from exporter.config import Config
from exporter.diagnosis.agent_page import COUNTERS
from exporter.diagnosis.freshness import KEPT_INTERVALS, drop_expired, next_expiry
from exporter.model import AgentMetrics, EnvoyStats, Growth, Memory, Timestamped
from tests.diagnosis.matrix import NOW

CONFIG = Config()
DETAILS_END = NOW + KEPT_INTERVALS * CONFIG.poll.detail_interval
PAGE_END = NOW + KEPT_INTERVALS * CONFIG.poll.page_interval
AGENT = Timestamped(AgentMetrics(), NOW)
STATS = Timestamped(EnvoyStats(live=True), NOW)


@pytest.mark.parametrize(
    ("memory", "end"),
    [
        (Memory(stats=STATS), DETAILS_END),
        (Memory(agent=AGENT), PAGE_END),
        *((Memory(agent=AGENT, growth={name: Growth(3.0)}), PAGE_END) for name in COUNTERS),
        *((Memory(agent=AGENT, growth={name: Growth(3.0, 1.0)}), DETAILS_END) for name in COUNTERS),
        *(
            (Memory(agent=AGENT, growth={name: Growth(3.0, is_hint=True)}), DETAILS_END)
            for name in COUNTERS
        ),
    ],
)
def test_what_is_remembered_changes_after_its_end_and_not_before(
    memory: Memory, end: float
) -> None:
    assert next_expiry(memory, CONFIG, NOW) == end
    assert drop_expired(memory, CONFIG, end) == memory
    assert drop_expired(memory, CONFIG, end + 0.1) != memory
