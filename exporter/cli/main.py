"""The command line: arguments in, an exit code out; one module per command.

The rule: a command's module is imported when that command is chosen, so that `--version` and
`explain` do not pay for what only `serve` needs.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple, TypeVar

from exporter import __version__
from exporter.cli.exit_codes import ExitCode
from exporter.suggestions import did_you_mean

_Namespace = TypeVar("_Namespace")


class Command(NamedTuple):
    """A command's name, its module, its line in the list, and ways to call it.

    The module's `add_arguments(parser)` sets `run`, a function from the arguments to an ExitCode.
    """

    name: str
    module: str
    summary: str
    examples: tuple[str, ...]


COMMANDS = (
    Command(
        "serve",
        "exporter.cli.serve",
        "poll the mesh and serve metrics",
        (
            "serve --config.file exporter.yaml",
            "serve --config.file exporter.yaml --web.listen-address 127.0.0.1:10520",
        ),
    ),
    Command(
        "check",
        "exporter.cli.check",
        "poll every target once and report what is wrong",
        (
            "check -n shop",
            "check shop/cart-7d9f -o wide",
            "check -A -l app=cart --context staging --watch",
            "check -n shop --fail-on transition,policy -o json",
            "check --config.file exporter.yaml",
        ),
    ),
    Command(
        "ports",
        "exporter.cli.ports",
        "list Istio's ports",
        ("ports --role sidecar", "ports -o json"),
    ),
    Command(
        "explain",
        "exporter.cli.explain",
        "explain a port of Istio, a cause or an alert",
        ("explain 15021", "explain envoy_stuck", "explain IstioProxyFault"),
    ),
    Command(
        "demo",
        "exporter.cli.run_demo",
        "poll a mesh of healthy and broken stand-ins",
        ("demo", "demo --targets 500 --web.listen-address 127.0.0.1:10521", "demo --once"),
    ),
    Command(
        "config",
        "exporter.cli.config_check",
        "check a configuration file",
        (
            "config check --config.file exporter.yaml",
            "config check --web.config.file web-config.yml",
        ),
    ),
    Command(
        "completion",
        "exporter.cli.completion",
        "print what a shell needs to complete commands and flags",
        (
            "completion bash > /etc/bash_completion.d/istio-port-exporter",
            'completion zsh > "${fpath[1]}/_istio-port-exporter"',
            "completion fish > ~/.config/fish/completions/istio-port-exporter.fish",
        ),
    ),
)

_PLUGIN = "kubectl-istio_ports"
"""The name that kubectl finds: `kubectl istio-ports`."""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Leaves room for the commands' indentation, which argparse forgets."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = 4 + max(len(command.name) for command in COMMANDS)


class CommandParser(argparse.ArgumentParser):
    """The parser of one command; its arguments are declared when it parses, not before."""

    module = ""

    def parse_known_args(  # type: ignore[override] # one signature for both of the overloads
        self, args: Sequence[str] | None = None, namespace: _Namespace | None = None
    ) -> tuple[_Namespace | argparse.Namespace, list[str]]:
        """Parse, once the arguments are declared (called by argparse).

        What is unknown is an error of this command, whose usage is printed, not of the whole line.
        """
        self.declare()
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(self._unrecognized(unknown))
        return found, unknown

    def _unrecognized(self, unknown: Sequence[str]) -> str:
        flags = [flag for action in self._actions for flag in action.option_strings]
        name = unknown[0].partition("=")[0]
        hint = did_you_mean(name, flags) if name.startswith("-") else ""
        if name.endswith((".yaml", ".yml")) and "--config.file" in flags:
            hint = f"; did you mean --config.file {name}?"
        return f"unrecognized arguments: {' '.join(unknown)}{hint}"

    def declare(self) -> None:
        """Import the command and let it declare its arguments, once."""
        if self.module:
            module, self.module = self.module, ""
            import_module(module).add_arguments(self)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Usage errors end the process with 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without our marks shows their numbers
        sys.stdout.reconfigure(errors="backslashreplace")
    chosen = parser().parse_args(arguments)
    from exporter.config import ConfigError

    try:
        return int(chosen.run(chosen))
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return ExitCode.USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitCode.UNJUDGED
    except BrokenPipeError:
        # The reader of our output has closed it; there is nobody left to write to.
        sys.stderr.close()
        return ExitCode.HEALTHY


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    is_plugin = sys.argv[0].endswith(_PLUGIN)
    name = "kubectl istio-ports" if is_plugin else "istio-port-exporter"
    top = argparse.ArgumentParser(
        prog=name,
        description="A Prometheus exporter for the ports of Istio's data and control plane.",
        formatter_class=_HelpFormatter,
        epilog=_examples(name, [command.examples[0] for command in COMMANDS])
        + "\n\nexit codes:\n  0 nothing is unhealthy, 1 a target is unhealthy, "
        "2 usage or configuration,\n  3 nothing could be judged",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    for command in COMMANDS:
        sub = commands.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary[:1].upper()}{command.summary[1:]}.",
            epilog=_examples(name, command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.module = command.module
    return top


def _examples(name: str, calls: Sequence[str]) -> str:
    return "examples:\n" + "\n".join(f"  {name} {call}" for call in calls)
