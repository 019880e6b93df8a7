"""The exit codes, which scripts rely on."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    HEALTHY = 0
    UNHEALTHY = 1
    USAGE = 2
    UNJUDGED = 3
