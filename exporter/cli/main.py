"""The command line: arguments in, an exit code out; one file per command.

Exit codes: 0 healthy or done, 1 unhealthy, 2 usage or configuration, 3 could not look.
"""

import argparse
import sys
from collections.abc import Sequence

from exporter import __version__
from exporter.cli import check, config_check, explain, ports, run_demo, serve
from exporter.cli.exit_codes import ExitCode
from exporter.config import ConfigError

COMMANDS = (serve, check, ports, explain, run_demo, config_check)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Usage errors end the process with 2."""
    chosen = parser().parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return ExitCode.USAGE
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        sys.stderr.close()
        return ExitCode.HEALTHY


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="istio-port-exporter",
        description="A Prometheus exporter for the ports of Istio's data and control plane.",
        epilog="Exit codes: 0 healthy, 1 unhealthy, 2 usage or configuration, 3 could not look.",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return top
