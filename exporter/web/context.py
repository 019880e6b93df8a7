"""What the web needs of the rest of the program: data and callables, nothing to own."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from exporter.config import Config
from exporter.exposition import Family
from exporter.model import Target, TargetKey
from exporter.poll.poll_target import PollResult
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class WebContext:
    """Where the answers come from. Callables, so that a reload shows at once.

    `listed`: what the istiods say of proxies, which is told beside `state`.
    `families`: what the blocks in `state` were rendered with. `targets`: everything under
    watch, polled yet or not. `unseen`: one sentence for each thing that this instance cannot
    see. `probe`: one look, now. `reload`: reads the configuration again and returns what is
    wrong with it, None when all is well; None in its place switches the endpoint off.
    """

    state: State
    self_metrics: SelfMetrics
    config: Callable[[], Config]
    families: Callable[[], tuple[Family, ...]]
    targets: Callable[[], Mapping[TargetKey, Target]]
    unseen: Callable[[], tuple[str, ...]]
    probe: Callable[[Target], Awaitable[PollResult]]
    is_healthy: Callable[[], bool]
    is_ready: Callable[[], bool]
    listed: State
    reload: Callable[[], Awaitable[str | None]] | None = None


CONTEXT = web.AppKey("context", WebContext)
