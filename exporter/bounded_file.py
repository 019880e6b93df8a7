"""Reads files that others write, up to a bound: a device or a growing file has no end.

The rule: reading never waits for anybody, as everything else would wait with the reader. A terminal
may be silent, and a pipe that has a name has to be opened by a writer first, which may never come;
what a shell hands over as /dev/stdin or /dev/fd/63 has its writer.
"""

import errno
import os
import stat
from pathlib import Path


def read_bounded(path: Path | str, most: int) -> bytes:
    """The whole file. Raises OSError: unreadable, silent, a pipe, or more than `most` bytes."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            content: bytes | None = file.read(most + 1)
    except ValueError:  # no file has such a name: a null byte, or what the system cannot encode
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path)) from None
    if content is None:  # nothing now, and perhaps later
        raise OSError(errno.EAGAIN, "it is a device that is silent, not a file", str(path))
    if len(content) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def _without_waiting(path: str, flags: int) -> int:
    """Open a file that a name leads to; a pipe or a socket is none."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        if Path(path).resolve().exists():
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is a pipe, not a file", path)
        os.set_blocking(descriptor, True)
    return descriptor
