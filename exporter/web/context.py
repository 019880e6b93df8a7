"""What the web needs of the rest of the program: data, and the session that runs now."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from exporter.config import Config
from exporter.model import ClusterRecord, Target, TargetKey
from exporter.poll.poll_target import PollResult
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State


class WebSession(Protocol):
    """What one configuration decides.

    `targets`: every target, polled yet or not. `is_healthy`: polls make progress. `is_ready`:
    discovery was synced once and every target polled then.
    """

    @property
    def config(self) -> Config: ...  # noqa: D102
    @property
    def targets(self) -> Mapping[TargetKey, Target]: ...  # noqa: D102
    @property
    def is_healthy(self) -> bool: ...  # noqa: D102
    @property
    def is_ready(self) -> bool: ...  # noqa: D102

    async def unseen(self) -> tuple[str, ...]:
        """One sentence for each thing that this instance cannot see."""

    async def probe(self, target: Target, seconds: float = ...) -> PollResult:
        """Poll a target now, within these seconds as far as its probes can be cut short."""


@dataclass(slots=True, kw_only=True)
class WebContext:
    """Where the answers come from. A reload replaces `session`.

    `synced`: what the istiods report of proxies, which is served beside `state`. `reload`: reads
    the configuration again and returns what is wrong with it, None when all is well; None in its
    place switches the endpoint off.
    """

    state: State
    synced: State
    self_metrics: SelfMetrics
    session: WebSession
    cluster: ClusterRecord = field(default_factory=ClusterRecord)
    reload: Callable[[], Awaitable[str | None]] | None = None


CONTEXT = web.AppKey("context", WebContext)
