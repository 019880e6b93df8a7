"""Which resources are listed and watched; logs each failure and recovery once."""

import logging
from collections.abc import Callable, Collection

from exporter.kube.api_errors import KubernetesError
from exporter.kube.watch_options import Resource, WatchCallbacks
from exporter.selfmetrics.registry import SelfMetrics

log = logging.getLogger(__name__)


class WatchStatus:
    """Reports each resource's progress. A resource may be watched in several scopes."""

    def __init__(self, metrics: SelfMetrics) -> None:
        self._metrics = metrics
        self._watched: dict[str, dict[str, bool]] = {}
        self._last_error: dict[str, str] = {}

    def reset(self, wanted: Collection[str]) -> None:
        """Start again with these resources: none is watched, and every failure is logged again."""
        for name in self._watched:
            if name not in wanted:
                self._metrics.synced(name, None)
        self._watched.clear()
        self._last_error.clear()

    def is_watched(self, name: str) -> bool:
        """Whether every list of a resource is complete and being watched at this moment."""
        rows = self._watched.get(name, {})
        return bool(rows) and all(rows.values())

    def callbacks(
        self, resource: Resource, scope: str = "", attempted: Callable[[], None] = lambda: None
    ) -> WatchCallbacks:
        """The callbacks for a watch of this resource. `attempted()` on each failure."""
        name = resource.name
        self._set(name, scope, is_watched=False)

        def opened() -> None:
            self._set(name, scope, is_watched=True)
            self._log_change(resource.path, None)

        def failed(error: KubernetesError) -> None:
            self._set(name, scope, is_watched=False)
            self._log_change(resource.path, error)
            attempted()

        return WatchCallbacks(
            requested=lambda verb, code: self._metrics.asked_kubernetes(verb, name, code),
            opened=opened,
            failed=failed,
            relisted=lambda: self._metrics.relisted(name),
        )

    def _set(self, name: str, scope: str, *, is_watched: bool) -> None:
        self._watched.setdefault(name, {})[scope] = is_watched
        self._metrics.synced(name, self.is_watched(name))

    def _log_change(self, path: str, error: KubernetesError | None) -> None:
        """Log when a watch begins to fail, fails differently, or works again."""
        error_type = f"{type(error).__name__} {error.status}" if error else ""
        if error_type == self._last_error.get(path, ""):
            return
        self._last_error[path] = error_type
        if error:
            log.warning(
                "kubernetes watch failed, targets are kept path=%s status=%s reason=%r",
                path,
                error.status or "none",
                str(error),
            )
        else:
            log.info("kubernetes watch works again path=%s", path)
