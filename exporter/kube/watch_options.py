"""What `watch.py` takes: the resource, page size and timeouts, and callbacks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from exporter.kube.api_errors import KubernetesError


@dataclass(frozen=True, slots=True)
class Resource:
    """What to list and watch: its plural name, the path of its list, selectors."""

    name: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """Objects a page, and seconds.

    The API server sends bookmarks where objects change at all. After `idle_timeout` without any
    line the list is read again. `server_timeout`, after which the server ends a watch, has to be
    longer.
    """

    page_size: int = 250
    idle_timeout: float = 240.0
    server_timeout: float = 300.0
    initial_backoff: float = 0.5
    max_backoff: float = 30.0


@dataclass(frozen=True, slots=True)
class WatchCallbacks:
    """Called while a resource is listed and watched.

    `requested(verb, code)` after each request; `opened` when a watch opens: the list is complete
    and current; `failed` when a list or watch fails; `relisted` when the list is read again.
    """

    requested: Callable[[str, str], None] = lambda _verb, _code: None
    opened: Callable[[], None] = lambda: None
    failed: Callable[[KubernetesError], None] = lambda _error: None
    relisted: Callable[[], None] = lambda: None
