"""Static targets: the configuration's entries and files in, targets out.

Files are read again when they change. The rule: a broken file changes nothing, the last good
targets are kept, and each error is logged once.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from exporter.bounds import TENANT_TEXT
from exporter.config import ConfigError, Problem, StaticConfig, StaticTarget, read_targets
from exporter.config.yaml_document import FileStamp, read_document, read_file, stamp_of
from exporter.discovery.pod_documents import Pod
from exporter.discovery.pods import targets_of_pod
from exporter.model import Interception, Role, Settings, Target, TargetKey
from exporter.model.interning import shared, shared_mapping
from exporter.turn import in_thread

log = logging.getLogger(__name__)

_PLAIN = ("istio_version", "netns", "node", "workload", "revision", "cluster_id", "ignored_ports")
"""Fields that an entry and a target share; an empty one in the entry overrides nothing."""

_Entry = tuple[StaticTarget, Path]
"""An entry with the folder that its paths are relative to."""

_OnChange = Callable[[Iterable[Target]], Awaitable[None]]
"""Takes the targets; it can go through them once."""


def load_static(static: StaticConfig, base: Path) -> tuple[Target, ...]:
    """All static targets; paths are relative to `base`. Raises ConfigError."""
    return _targets_of(tuple(_entries(static, base)))


def _targets_of(entries: tuple[_Entry, ...]) -> tuple[Target, ...]:
    targets: dict[TargetKey, Target] = {}
    problems: list[Problem] = []
    for entry, folder in entries:
        with _collected(problems):
            for target in _targets_of_entry(entry, folder):
                if target.key in targets:
                    raise _error(entry, f"{target.key} is defined twice: it has to be unique")
                targets[target.key] = target
    if problems:
        raise ConfigError(*problems)
    return tuple(targets.values())


def _entries(static: StaticConfig, base: Path) -> Iterator[_Entry]:
    problems: list[Problem] = []
    for file in static.files:
        path = base / file
        with _collected(problems):
            for entry in read_targets(path):
                yield entry, path.parent
    if problems:
        raise ConfigError(*problems)
    for entry in static.targets:
        yield entry, base


@contextmanager
def _collected(problems: list[Problem]) -> Iterator[None]:
    """Keep what is wrong with a file or an entry, and go on: the others may be wrong too."""
    try:
        yield
    except ConfigError as error:
        problems.extend(error.every)


def _targets_of_entry(entry: StaticTarget, folder: Path) -> tuple[Target, ...]:
    if not entry.is_document:
        return (_target_of_entry(entry),)
    path = folder / entry.pod
    pod = _read_pod(path)
    try:
        is_ambient = entry.role is Role.AMBIENT
        targets = targets_of_pod(pod, in_ambient_namespace=is_ambient)
        found = tuple(_overridden(target, entry) for target in targets)
    except Exception as error:
        message = f"{path} cannot be read as a pod: {type(error).__name__}: {error}"
        raise _error(entry, message) from error
    if not found:
        raise _error(entry, f"{path} is no target: nothing in this pod is Istio's, or it has ended")
    if not all(target.addresses for target in found):
        raise _error(entry, f"needs an address: {path} has none in its status")
    return found


def _target_of_entry(entry: StaticTarget) -> Target:
    key = TargetKey(entry.namespace or "default", entry.pod or entry.address[0])
    role = entry.role or Role.SIDECAR
    empty = Target(key=key, role=role, addresses=entry.address, uid=str(key))
    target = _overridden(empty, entry)
    return target if entry.captured is not None else replace(target, captured=_captures(target))


def _captures(target: Target) -> bool:
    """Whether redirection is expected where the entry does not set `captured`."""
    settings = target.settings
    if target.role is Role.AMBIENT:
        return not settings.bypass_inbound_capture
    is_redirected = settings.interception is not Interception.NONE
    return target.role is Role.SIDECAR and is_redirected and settings.included_inbound_ports != ()


def _overridden(target: Target, entry: StaticTarget) -> Target:
    """The target with the entry's fields overriding its own. A static target is never trusted."""
    configured: dict[str, Any] = {
        name: shared(getattr(entry, name)) for name in _PLAIN if getattr(entry, name)
    }
    settings: Settings = replace(target.settings, **dict(entry.settings))  # type: ignore[arg-type]
    # A copy: beside the name in the document is what else was parsed, whose memory it would keep.
    pod = target.key.pod.encode().decode()
    key = TargetKey(shared(entry.namespace or target.key.namespace), pod)
    return replace(
        target,
        key=key,
        role=entry.role or target.role,
        addresses=entry.address or target.addresses,
        unserved_addresses=() if entry.address else target.unserved_addresses,
        captured=target.captured if entry.captured is None else entry.captured,
        settings=shared(settings),
        labels=shared_mapping({**target.labels, **entry.labels}),
        uid=str(key),
        container_id="",
        trusted=False,
        **configured,
    )


def _read_pod(path: Path) -> Pod:
    """A pod document in JSON or YAML; raises ConfigError for anything else."""
    value = read_document(read_file(path), str(path)).value
    if message := _is_no_pod(value):
        raise ConfigError(Problem(str(path), 0, "", message))
    try:
        return msgspec.convert(value, Pod)
    except msgspec.ValidationError as error:
        message = f"is not a pod document: {error}"
        raise ConfigError(Problem(str(path), 0, "", message)) from error


_GIVE = "give the document of one pod, as kubectl get pod NAME -o yaml prints it"


def _is_no_pod(value: object) -> str:
    """What a document is instead of a pod, and what to give; empty for one that may be a pod."""
    if value is None or value == {}:
        return f"is empty: {_GIVE}"
    if not isinstance(value, dict):
        return f"is not a pod document: {_GIVE}"
    kind, items = value.get("kind"), value.get("items")
    if isinstance(items, list):
        return f"is a list of {len(items)} objects and not a pod: {_GIVE}, one in each file"
    if isinstance(kind, str) and kind not in ("", "Pod"):
        shown = kind if kind.isalnum() and len(kind) <= TENANT_TEXT else "document of another kind"
        return f"is a {shown} and not a pod: {_GIVE}, of one of its pods"
    return "" if "metadata" in value else f"is not a pod document, it has no metadata: {_GIVE}"


def _error(entry: StaticTarget, message: str) -> ConfigError:
    return ConfigError(Problem(entry.source.file, entry.source.line, "", message))


class StaticSource:
    """Watches the files of a `StaticConfig` by their time stamps.

    A thread does it: ten thousand files would hold the event loop, and so would a disk that hangs.
    """

    def __init__(self, static: StaticConfig, base: Path, period: float = 5.0) -> None:
        self._static = static
        self._base = base
        self._period = period
        self._paths: set[Path] = {base / file for file in static.files}
        self._last_error: tuple[Problem, ...] = ()
        self._stamps: dict[Path, FileStamp] | None = None
        self._unreported: deque[Target] | None = None

    def read(self) -> None:
        """Read every file, for `run` to report. Raises ConfigError."""
        stamps = self._stamps_now()
        try:
            self._unreported = deque(self._load())
        finally:
            self._stamps = {path: stamps.get(path, stamp_of(path)) for path in self._paths}

    async def run(self, on_change: _OnChange, on_error: Callable[[ConfigError], None]) -> None:
        """Report the targets now and whenever a file changes; runs until it is cancelled.

        `on_change` also means that an earlier error is over. Each new error is reported once.
        """
        while True:
            if await in_thread(self._has_changed):
                await self._read_again(on_error)
            targets, self._unreported = self._unreported, None
            if targets is not None:
                await on_change(_drained(targets))
            await asyncio.sleep(self._period)

    def _has_changed(self) -> bool:
        return self._stamps_now() != self._stamps

    def _stamps_now(self) -> dict[Path, FileStamp]:
        return {path: stamp_of(path) for path in self._paths}

    async def _read_again(self, on_error: Callable[[ConfigError], None]) -> None:
        try:
            await in_thread(self.read)
        except ConfigError as error:
            if error.every != self._last_error:
                log.warning("static targets unchanged: %s", error)
                on_error(error)
            self._last_error = error.every
        else:
            self._last_error = ()

    def _load(self) -> tuple[Target, ...]:
        """The targets; remembers the pod documents they name, which may change as well."""
        entries = tuple(_entries(self._static, self._base))
        documents = {folder / entry.pod for entry, folder in entries if entry.is_document}
        self._paths = {self._base / file for file in self._static.files} | documents
        return _targets_of(entries)


def _drained(targets: deque[Target]) -> Iterator[Target]:
    """Each target, which is freed once it was taken: all at once would hold the event loop."""
    while targets:
        yield targets.popleft()
