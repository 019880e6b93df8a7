"""What polls and probes are counted by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.model import Observation, Role


@dataclass(frozen=True, slots=True)
class ProbeInstrumentation:
    """What polls and probes are counted by.

    `started(lateness)`: a poll started so many seconds after it was due. `skipped()`: one was not
    started because the one before still ran. `under_way(more)`: so many probes more, or less, run.
    `ended(observations, role)`: probes of a target of this role ended. `failed()`: a poll raised,
    and nothing of it is published.
    """

    under_way: Callable[[int], None] = lambda _more: None
    ended: Callable[[Sequence[Observation], Role], None] = lambda _observations, _role: None
    started: Callable[[float], None] = lambda _lateness: None
    skipped: Callable[[], None] = lambda: None
    failed: Callable[[], None] = lambda: None


NO_INSTRUMENTATION = ProbeInstrumentation()
