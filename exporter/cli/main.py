"""The command line: arguments in, an exit code out; one module per command.

The rule: a command's module is imported when that command is chosen, so that `--version` and
`explain` do not pay for what only `serve` needs.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, TypeVar, cast

from exporter import __version__
from exporter.cli.exit_codes import ExitCode

_Namespace = TypeVar("_Namespace")


@dataclass(frozen=True, slots=True)
class Command:
    """A command's name, the module that runs it, and its line in the list of commands."""

    name: str
    module: str
    summary: str


COMMANDS = (
    Command("serve", "exporter.cli.serve", "poll the mesh and serve metrics"),
    Command("check", "exporter.cli.check", "poll every target once and report what is wrong"),
    Command("ports", "exporter.cli.ports", "list Istio's ports"),
    Command("explain", "exporter.cli.explain", "explain one of Istio's ports"),
    Command("demo", "exporter.cli.run_demo", "poll a mesh of healthy and broken stand-ins"),
    Command("config", "exporter.cli.config_check", "check a configuration file"),
)


class CommandModule(Protocol):
    """What a command's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments; set `run`, a function from them to an ExitCode."""
        ...


class CommandParser(argparse.ArgumentParser):
    """The parser of one command; its arguments are declared when it parses, not before."""

    module = ""

    def parse_known_args(  # type: ignore[override] # one signature for both of the overloads
        self, args: Sequence[str] | None = None, namespace: _Namespace | None = None
    ) -> tuple[_Namespace | argparse.Namespace, list[str]]:
        """Import the command, let it declare its arguments, and parse (called by argparse)."""
        if self.module:
            module, self.module = self.module, ""
            cast("CommandModule", import_module(module)).add_arguments(self)
        return super().parse_known_args(args, namespace)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Usage errors end the process with 2."""
    chosen = parser().parse_args(arguments)
    from exporter.config import ConfigError

    try:
        return int(chosen.run(chosen))
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return ExitCode.USAGE
    except BrokenPipeError:
        # The reader of our output has closed it; there is nobody left to write to.
        sys.stderr.close()
        return ExitCode.HEALTHY


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="istio-port-exporter",
        description="A Prometheus exporter for the ports of Istio's data and control plane.",
        epilog="Exit codes: 0 nothing is unhealthy, 1 a target is unhealthy, "
        "2 usage or configuration, 3 nothing could be judged.",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    for command in COMMANDS:
        sub = commands.add_parser(
            command.name, help=command.summary, description=_sentence(command.summary)
        )
        sub.module = command.module
    return top


def _sentence(summary: str) -> str:
    return f"{summary[:1].upper()}{summary[1:]}."
