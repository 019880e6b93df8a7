"""Cross-references: what no single value can get wrong, checked on the converted sections."""

import re
from collections.abc import Callable, Iterable, Iterator

from exporter.config.document import KeyPath
from exporter.config.schema import Config, StaticTarget
from exporter.model import Role

Broken = tuple[KeyPath, str]


def broken_rules(config: Config) -> Iterator[Broken]:
    """Every rule that the configuration breaks: the key to blame and what is wrong."""
    for rule in RULES:
        yield from rule(config)


def _intervals(config: Config) -> Iterator[Broken]:
    poll = config.poll
    if poll.timeout >= poll.interval:
        message = f"{poll.timeout:g}s must be shorter than poll.interval, {poll.interval:g}s"
        yield ("poll", "timeout"), message
    longer = (("detail_interval", "interval"), ("identity_interval", "detail_interval"))
    for name, below in longer:
        seconds, least = getattr(poll, name), getattr(poll, below)
        if seconds < least:
            message = f"{seconds:g}s must not be shorter than poll.{below}, {least:g}s"
            yield ("poll", name), message


def _shard(config: Config) -> Iterator[Broken]:
    shard = config.shard
    if shard.ordinal >= shard.total:
        yield (
            ("shard", "ordinal"),
            f"{shard.ordinal} must be below shard.total, {shard.total}: the first is 0",
        )


def _ports(config: Config) -> Iterator[Broken]:
    seen = set()
    for index, row in enumerate(config.ports):
        identity = (row.port, row.role, row.namespaces, row.labels)
        if identity in seen:
            yield (
                ("ports", index, "port"),
                f"{row.port} of role {row.role} stands here twice for the same pods",
            )
        seen.add(identity)


def _targets(config: Config) -> Iterator[Broken]:
    for path, message in broken_targets(config.discovery.static.targets):
        yield ("discovery", "static", "targets", *path), message


def broken_targets(targets: Iterable[StaticTarget]) -> Iterator[Broken]:
    """What is wrong with a list of static targets, wherever it stands."""
    seen = set()
    for index, target in enumerate(targets):
        if not (target.address or target.is_document):
            yield (index,), "needs an address, or as pod the path of a pod document"
        if target.is_document and not target.address:
            continue
        key = f"{target.namespace or 'default'}/{target.pod or ''.join(target.address[:1])}"
        if not target.is_document and key in seen:
            yield (index,), f"{key} stands here twice: namespace and pod must be unique"
        seen.add(key)
        if target.captured and target.role not in (None, Role.SIDECAR):
            yield (index, "captured"), f"a {target.role} has no redirection, only a sidecar has"


RULES: tuple[Callable[[Config], Iterator[Broken]], ...] = (_intervals, _shard, _ports, _targets)


def ordinal_of(pod: str) -> int:
    """A StatefulSet pod's ordinal: exporter-3 -> 3. Raises ValueError for other names."""
    found = re.search(r"-(\d+)$", pod)
    if found is None:
        raise ValueError(f"{pod!r} is not the name of a StatefulSet's pod such as exporter-0")
    return int(found[1])
