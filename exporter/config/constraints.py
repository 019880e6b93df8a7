"""Cross-references: what no single value can get wrong, checked on the converted sections."""

import re
from collections.abc import Callable, Iterator
from dataclasses import fields

from exporter.bounded_file import read_bounded
from exporter.bounds import SECRET_FILE
from exporter.config.problems import KeyPath
from exporter.config.schema import Config, PollConfig, StaticTarget
from exporter.config.value_types import spell_duration
from exporter.model import Role, Settings
from exporter.parsing import parse_version

Broken = tuple[KeyPath, str]

_LABEL_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A namespace, or a revision (RFC 1123 label)."""

_KEY = r"(?:[a-z0-9.-]+/)?[A-Za-z0-9][A-Za-z0-9._-]*"
_VALUE = r"[A-Za-z0-9._-]*"
_REQUIREMENT = (
    rf"\s*(?:!\s*)?{_KEY}\s*|\s*{_KEY}\s*(?:==?|!=|<|>)\s*{_VALUE}\s*"
    rf"|\s*{_KEY}\s+(?:not)?in\s*\(\s*{_VALUE}\s*(?:,\s*{_VALUE}\s*)*\)\s*"
)
_LABEL_SELECTOR = rf"(?:{_REQUIREMENT})(?:,(?:{_REQUIREMENT}))*"
"""What the API server takes as a labelSelector (k8s.io/apimachinery, labels.Parse)."""


_PORT_SETTINGS = {key.name for key in fields(Settings) if key.name.endswith("_port")}


def broken_namespace(name: str) -> str:
    """What is wrong with the name of a namespace; empty where nothing is."""
    is_name = _LABEL_NAME.fullmatch(name)
    return "" if is_name else f"{name!r} is not the name of a namespace; no wildcards"


def broken_selector(text: str) -> str:
    """What is wrong with a label selector, which may be empty; empty where nothing is."""
    if not text or re.fullmatch(_LABEL_SELECTOR, text):
        return ""
    return f"{text!r} is not a label selector such as app=web or tier in (front,back)"


def broken_rules(config: Config) -> Iterator[Broken]:
    """Every rule that the configuration breaks: the key to blame and what is wrong."""
    for rule in RULES:
        yield from rule(config)


def _intervals(config: Config) -> Iterator[Broken]:
    poll = config.poll
    if poll.timeout >= poll.interval:
        yield _compared(poll, "timeout", "interval", "must be shorter", "must be longer")
    longer = (("detail_interval", "interval"), ("identity_interval", "detail_interval"))
    for name, below in longer:
        if getattr(poll, name) < getattr(poll, below):
            words = ("must not be shorter", "must not be longer")
            yield _compared(poll, name, below, *words)


def _compared(poll: PollConfig, name: str, other: str, words: str, turned: str) -> Broken:
    """Blame the first of two durations, unless only the other one is not the default."""
    default = PollConfig()
    is_default = getattr(poll, name) == getattr(default, name)
    if is_default and getattr(poll, other) != getattr(default, other):
        name, other, words = other, name, turned
    this, that = (spell_duration(getattr(poll, key)) for key in (name, other))
    return ("poll", name), f"{this} {words} than poll.{other}, {that}"


def _token(config: Config) -> Iterator[Broken]:
    """The token file has to be readable now; what is in it may change later."""
    file = config.istiod.debug_token_file
    try:
        if file:
            read_bounded(file, SECRET_FILE)
    except OSError as error:
        reason = error.strerror or str(error)
        yield ("istiod", "debug_token_file"), f"{file} cannot be read: {reason}"


def _dry_run(config: Config) -> Iterator[Broken]:
    """The dry run goes to the API server, which has to be there; the names are part of a path."""
    chosen = config.istiod.webhook_dry_run
    if chosen.enabled and not config.discovery.kubernetes.enabled:
        yield ("istiod", "webhook_dry_run", "enabled"), "needs discovery.kubernetes.enabled"
    for name in ("namespace", "revision"):
        text = getattr(chosen, name)
        if not _LABEL_NAME.fullmatch(text) and (text or name == "namespace"):
            yield ("istiod", "webhook_dry_run", name), f"{text!r} is no name of Kubernetes"


def _namespaces(config: Config) -> Iterator[Broken]:
    kubernetes = ("discovery", "kubernetes")
    chosen = config.discovery.kubernetes
    for path, names in (
        ((*kubernetes, "namespaces"), chosen.namespaces),
        ((*kubernetes, "excluded_namespaces"), chosen.excluded_namespaces),
        (("istiod", "namespaces"), config.istiod.namespaces),
    ):
        for index, name in enumerate(names):
            if wrong := broken_namespace(name):
                yield (*path, index), wrong
    if chosen.namespaces and set(chosen.namespaces) <= set(chosen.excluded_namespaces):
        named = ".".join((*kubernetes, "namespaces"))
        yield (*kubernetes, "excluded_namespaces"), f"leaves none of those of {named}"


def _label_selector(config: Config) -> Iterator[Broken]:
    if wrong := broken_selector(config.discovery.kubernetes.label_selector):
        yield ("discovery", "kubernetes", "label_selector"), wrong


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
        identity = (row.port, row.role, row.namespaces, row.label_selector)
        if identity in seen:
            yield (
                ("ports", index, "port"),
                f"{row.port} of role {row.role} is defined twice for the same pods",
            )
        seen.add(identity)


def _targets(config: Config) -> Iterator[Broken]:
    seen: set[str] = set()
    for index, target in enumerate(config.discovery.static.targets):
        for path, message in broken_target(target, seen):
            yield ("discovery", "static", "targets", index, *path), message


def broken_target(target: StaticTarget, seen: set[str]) -> Iterator[Broken]:
    """What is wrong with one; `seen` has the names of those before it, and gets this one's."""
    if not (target.address or target.is_document):
        yield (), "needs an address, or as pod the path of a pod document"
    if not target.is_document:
        key = f"{target.namespace or 'default'}/{target.pod or ''.join(target.address[:1])}"
        if key in seen:
            yield (), f"{key} is defined twice: namespace and pod must be unique"
        seen.add(key)
    if target.captured and target.role not in (None, Role.SIDECAR, Role.AMBIENT):
        words = f"the role {target.role} has no redirection: only sidecar and ambient have one"
        yield ("captured",), words
    yield from _broken_words(target)


def _broken_words(target: StaticTarget) -> Iterator[Broken]:
    """Texts of a target that nothing would ever match."""
    version = target.istio_version
    if version and parse_version(version) is None:
        words = f"{version!r} is not a version such as 1.28.0; without one it is the newest"
        yield ("istio_version",), words
    named = target.settings.get("loopback_ports", ())
    for name in named if isinstance(named, list | tuple) else ():
        if name not in _PORT_SETTINGS:
            words = f"{name!r} is not a key of settings such as grpc_xds_port"
            yield ("settings", "loopback_ports"), words


RULES: tuple[Callable[[Config], Iterator[Broken]], ...] = (
    _intervals,
    _token,
    _dry_run,
    _namespaces,
    _label_selector,
    _shard,
    _ports,
    _targets,
)
