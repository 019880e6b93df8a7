"""Reports on targets one by one: one of which that fails is left out, counted, and logged once.

Whoever answers from many targets goes through them here, so that none of them costs the others.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import msgspec
from aiohttp import web

from exporter.kube.object_reader import ObjectReader
from exporter.model import TargetKey
from exporter.report.target_views import TargetView, TargetViews
from exporter.turn import current_turn
from exporter.web.context import CONTEXT

_SLICE = 500
"""Targets that a list takes at once: two milliseconds."""


class GuardedReports:
    """The views of all targets, and what is made of them. `refused` is called for each failure."""

    def __init__(self, refused: Callable[[str], None]) -> None:
        self._reader = ObjectReader(refused)
        self._views = TargetViews(self.attempt)

    def attempt(self, key: TargetKey, action: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the action
        """What `action` returns; None where it raises anything."""
        return self._reader.attempt("reports", key.pod, key.namespace, action)

    def document(self, key: TargetKey, make: Callable[[], object]) -> Any:  # noqa: ANN401 - stands for what is made
        """What `make` returns as JSON, for a document that contains it; None where it raises."""
        return self.attempt(key, lambda: msgspec.Raw(msgspec.json.encode(make())))

    async def add_targets(
        self, request: web.Request, add: Callable[[Sequence[TargetView]], None]
    ) -> None:
        """Hand every target by namespace and pod to `add`, in slices; others run in between.

        `add` takes all that it is handed, or raises and takes none.
        """
        context = request.app[CONTEXT]
        turn = current_turn()
        views = self._views.views(context.session.targets, context.state.get)
        while batch := list(islice(views, _SLICE)):
            self._add(batch, add)
            await turn.maybe_yield()

    def _add(
        self, views: Sequence[TargetView], add: Callable[[Sequence[TargetView]], None]
    ) -> None:
        try:
            add(views)
        except Exception:  # noqa: BLE001 - which of them it is shows below
            for view in views:
                self.attempt(view.target.key, partial(add, (view,)))


REPORTS = web.AppKey("reports", GuardedReports)
