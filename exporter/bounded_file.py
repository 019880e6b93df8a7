"""Reads files that others write, up to a bound: a device or a growing file has no end."""

import errno
import os
from pathlib import Path


def read_bounded(path: Path | str, most: int) -> bytes:
    """The whole file. Raises OSError: it cannot be read, or has more than `most` bytes."""
    with Path(path).open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content
