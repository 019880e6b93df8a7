"""Which replica owns a target: a pure function of its uid, the same everywhere.

FNV-64a spreads the uids, Google's jump consistent hash (Lamping and Veach, 2014) divides
them, so that going from n to n+1 replicas moves only one target in n+1. While replicas disagree on
their number a target may be polled twice, or by none.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from exporter.config import Config, ShardConfig
from exporter.model import PROXY_ROLES, Role, Settings, Target

_MASK = 0xFFFFFFFFFFFFFFFF
_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_JUMP_FACTOR = 2862933555777941757


_DEFAULTS = Settings()
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


def is_owned(target: Target, config: Config) -> bool:
    """Whether this replica polls a target of the cluster, by role and shard."""
    roles = config.discovery.kubernetes.roles
    return (not roles or target.role in roles) and is_on_shard(target, config.shard)


def is_on_shard(target: Target, shard: ShardConfig) -> bool:
    """Whether the target belongs to this shard; shard 0 owns every istiod."""
    if target.role is Role.ISTIOD:
        return shard.ordinal == 0
    return owns(target.uid, shard.ordinal, shard.total)


def is_synced_by_istiods(target: Target, config: Config) -> bool:
    """Whether this replica exposes the sync status of a proxy that another one polls."""
    roles = config.discovery.kubernetes.roles
    owns_istiods = config.shard.ordinal == 0 and (not roles or Role.ISTIOD in roles)
    reads_syncz = config.istiod.mode != "none" and bool(config.istiod.debug_token_file)
    return owns_istiods and reads_syncz and target.role in PROXY_ROLES


def without_details(target: Target) -> Target:
    """A target without what only a poll needs, so that very many can be kept."""
    return replace(
        target,
        settings=_DEFAULTS,
        labels=_NO_LABELS,
        workload="",
        istio_version="",
        lifecycle=replace(target.lifecycle, containers=(), finalizers=()),
    )


def owns(uid: str, ordinal: int, total: int) -> bool:
    """Whether the replica with this ordinal, of `total`, owns the target with this uid."""
    return total == 1 or jump(fnv64a(uid.encode()[:_UID_BYTES]), total) == ordinal


_UID_BYTES = 512
"""A uid of the API has 36, a static target's is a namespace and a name; each byte takes 0.1 us."""


def fnv64a(data: bytes) -> int:
    """The 64 bit FNV-1a hash (isthe.com/chongo/tech/comp/fnv)."""
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & _MASK
    return value


def jump(key: int, buckets: int) -> int:
    """The bucket of a 64 bit key, from 0 to buckets - 1."""
    bucket, following = 0, 0
    while following < buckets:
        bucket = following
        key = (key * _JUMP_FACTOR + 1) & _MASK
        following = int((bucket + 1) * ((1 << 31) / ((key >> 33) + 1)))
    return bucket
