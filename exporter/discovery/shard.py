"""Which replica owns a target: a pure function of its uid, the same everywhere.

FNV-64a spreads the uids, Google's jump consistent hash (Lamping and Veach, 2014) divides
them, so that going from n to n+1 replicas moves only one target in n+1.
"""

from exporter.config import ordinal_of

__all__ = ["jump", "ordinal_of", "owns"]

_MASK = 0xFFFFFFFFFFFFFFFF
_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_JUMP_FACTOR = 2862933555777941757


def owns(uid: str, ordinal: int, total: int) -> bool:
    """Whether the replica with this ordinal, of `total`, owns the target with this uid."""
    return total == 1 or jump(fnv64a(uid.encode()), total) == ordinal


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
