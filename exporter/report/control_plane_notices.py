"""What concerns the whole mesh and no target alone: a control plane of which nothing works. Pure.

Without an istiod every proxy keeps its configuration and looks well for hours, while no pod that
starts gets any. So it has a sentence of its own, whatever filters the reader has chosen.
"""

from collections import defaultdict
from collections.abc import Iterable

from exporter.model import Role
from exporter.report.health import Health
from exporter.report.target_views import TargetView

_FAILING = frozenset({Health.UNHEALTHY, Health.TRANSITION})
"""Nothing else is proof: a policy or the exporter's own trouble hides an istiod that works."""

_CUT_OFF = frozenset({"istiod_unreachable", "xds_disconnected"})
_NAMED = 3
_EFFECT = "proxies keep their configuration, pods that start get none"


class ControlPlaneNotices:
    """Takes the targets, some at a time, and names the control planes that do not work."""

    def __init__(self) -> None:
        self._istiods: defaultdict[str, list[TargetView]] = defaultdict(list)
        self._cut_off = 0

    def add(self, views: Iterable[TargetView]) -> None:
        """Count these targets."""
        for view in views:
            if view.target.role is Role.ISTIOD:
                self._istiods[view.target.revision].append(view)
            elif view.cause in _CUT_OFF:
                self._cut_off += 1

    def sentences(self) -> tuple[str, ...]:
        """One for each revision whose istiods all fail, or one where proxies miss any istiod."""
        if self._istiods:
            failing = {
                revision: views
                for revision, views in sorted(self._istiods.items())
                if all(view.health in _FAILING for view in views)
            }
            return tuple(_none_is_healthy(*item) for item in failing.items())
        if not self._cut_off:
            return ()
        proxies = "1 proxy has" if self._cut_off == 1 else f"{self._cut_off} proxies have"
        return (f"No istiod is among the targets, and {proxies} no connection to one: {_EFFECT}.",)


def _none_is_healthy(revision: str, views: list[TargetView]) -> str:
    named = [
        f"{view.target.key} ({view.cause})" if view.cause else str(view.target.key)
        for view in views[:_NAMED]
    ]
    if len(views) > _NAMED:
        named.append(f"{len(views) - _NAMED} more")
    of_revision = f" of revision {revision}" if revision else ""
    return f"No istiod{of_revision} is healthy: {', '.join(named)}. Until one is, {_EFFECT}."
