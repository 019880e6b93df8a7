"""How well the cluster is followed: which lists are complete, what failed, told once each."""

import logging
from collections.abc import Callable, Iterable

from exporter.kube.errors import KubernetesError
from exporter.kube.watch_options import Resource, WatchCallbacks

log = logging.getLogger(__name__)


class WatchStatus:
    """Passes on what happens to each resource. A resource may be followed in several scopes.

    `synced(name, is_so)`, `relisted(name)` and `asked(verb, name, code)` take the resource's
    name as the exporter's own metrics do.
    """

    def __init__(
        self,
        synced: Callable[[str, bool], None],
        relisted: Callable[[str], None],
        asked: Callable[[str, str, str], None],
    ) -> None:
        self._synced = synced
        self._relisted = relisted
        self._asked = asked
        self._sources: dict[str, dict[str, bool]] = {}
        self._trouble: dict[str, str] = {}

    def forget(self) -> None:
        """Begin anew: nothing is followed, and every trouble is news again."""
        self._sources.clear()
        self._trouble.clear()

    def stop(self) -> None:
        """Say that nothing is followed any more."""
        for name, scopes in self._sources.items():
            self._set(name, scopes, is_followed=False)

    def is_followed(self, name: str) -> bool:
        """Whether every list of a resource is complete and being watched at this moment."""
        rows = self._sources.get(name, {})
        return bool(rows) and all(rows.values())

    def callbacks(
        self, resource: Resource, scope: str = "", tried: Callable[[], None] = lambda: None
    ) -> WatchCallbacks:
        """Who is told how following a resource goes. `tried()` whenever it failed."""
        name = resource.name
        self._set(name, [scope], is_followed=False)

        def began() -> None:
            self._set(name, [scope], is_followed=True)
            self._tell(resource.path, None)

        def failed(error: KubernetesError) -> None:
            self._set(name, [scope], is_followed=False)
            self._tell(resource.path, error)
            tried()

        return WatchCallbacks(
            asked=lambda verb, code: self._asked(verb, name, code),
            began=began,
            failed=failed,
            relisted=lambda: self._relisted(name),
        )

    def _set(self, name: str, scopes: Iterable[str], *, is_followed: bool) -> None:
        rows = self._sources.setdefault(name, {})
        rows.update(dict.fromkeys(scopes, is_followed))
        self._synced(name, self.is_followed(name))

    def _tell(self, path: str, error: KubernetesError | None) -> None:
        """Log when something begins to fail, fails otherwise, or works again."""
        kind = f"{type(error).__name__} {error.status}" if error else ""
        if kind == self._trouble.get(path, ""):
            return
        self._trouble[path] = kind
        if error:
            log.warning(
                "kubernetes not followed, known targets stay path=%s status=%s reason=%r",
                path,
                error.status or "none",
                str(error),
            )
        else:
            log.info("kubernetes followed again path=%s", path)
