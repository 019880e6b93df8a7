"""What is followed, how patiently, and who is told: the words of `watch.py`."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from exporter.kube.errors import KubernetesError


class ApiClient(Protocol):
    """What is asked; both methods raise KubernetesError."""

    async def get(self, path: str, query: Mapping[str, str]) -> bytes:
        """One whole document."""

    def stream(
        self, path: str, query: Mapping[str, str]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The lines of an answer that goes on; entered once it began."""


@dataclass(frozen=True, slots=True)
class Resource:
    """What to follow: its plural name, the path of its list, selectors."""

    name: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """How much at a time and how patiently; seconds.

    The API server sends a bookmark every minute, so `silence` is a watch that is dead, and
    `lifetime`, after which the server ends a watch, has to be longer.
    """

    page_size: int = 250
    silence: float = 150.0
    lifetime: float = 300.0
    first_wait: float = 0.5
    longest_wait: float = 30.0


@dataclass(frozen=True, slots=True)
class WatchCallbacks:
    """Who is told what happened on the way.

    `asked(verb, code)`; `began` when a watch opened, so that the list is complete and followed;
    `failed` when it, or the list, broke; `relisted` when the list is read again.
    """

    asked: Callable[[str, str], None]
    began: Callable[[], None]
    failed: Callable[[KubernetesError], None]
    relisted: Callable[[], None]
