"""`completion SHELL`: a script for the shell, which then runs this command for each completion.

The words come from the parsers themselves, so that no flag can be missing. The other entry is
kubectl's: it runs `kubectl_complete-istio_ports` with the words after `kubectl istio-ports`.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence

from exporter.cli.exit_codes import ExitCode

_BASH = r"""
_istio_port_exporter() {
    local IFS=$'\n'
    COMPREPLY=($(istio-port-exporter completion bash --complete "${COMP_WORDS[@]:1:COMP_CWORD}"))
}
complete -o default -F _istio_port_exporter istio-port-exporter kubectl-istio_ports
"""
_ZSH = r"""
#compdef istio-port-exporter kubectl-istio_ports
_istio_port_exporter() {
    local -a found
    found=("${(@f)$(istio-port-exporter completion zsh --complete "${(@)words[2,CURRENT]}")}")
    if [[ -n "$found" ]]; then compadd -- $found; else _files; fi
}
compdef _istio_port_exporter istio-port-exporter kubectl-istio_ports
"""
_FISH = r"""
function __istio_port_exporter
    set -l words (commandline -opc) (commandline -ct)
    istio-port-exporter completion fish --complete $words[2..]
end
complete -c istio-port-exporter -a '(__istio_port_exporter)'
complete -c kubectl-istio_ports -a '(__istio_port_exporter)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

_NO_FILES = 4
"""Cobra's directive, the last line that kubectl expects: offer no names of files."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("shell", choices=tuple(SCRIPTS), help="the shell that reads the script")
    # What the script passes: the words after the command's name, the last one unfinished.
    parser.add_argument("--complete", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> ExitCode:
    """Print the script, or the completions of a line."""
    if chosen.complete is None:
        print(SCRIPTS[chosen.shell].strip())
    else:
        print("\n".join(completions(chosen.complete)))
    return ExitCode.HEALTHY


def complete_for_kubectl() -> int:
    """Print the completions of the words after `kubectl istio-ports`, as kubectl reads them."""
    found = completions(sys.argv[1:])
    print("\n".join([*found, f":{_NO_FILES if found else 0}"]))
    return ExitCode.HEALTHY


def completions(words: Sequence[str]) -> list[str]:
    """What the last of these words can become; nothing where it is a name of the user's."""
    *before, last = words or [""]
    parser, rest = _command_of(before)
    if rest and rest[-1].startswith("-"):
        option = parser._option_string_actions.get(rest[-1])  # noqa: SLF001 - argparse has no other way
        if option and option.nargs != 0:
            return _begun(last, option.choices or ())
    if last.startswith("-"):
        return _begun(last, _options(parser))
    return _begun(last, _values(parser))


def _command_of(words: Sequence[str]) -> tuple[argparse.ArgumentParser, Sequence[str]]:
    """The parser of the command that the words name, and the words after it."""
    from exporter.cli.main import CommandParser, parser

    top = parser()
    for index, word in enumerate(words):
        for action in top._actions:  # noqa: SLF001 - argparse has no other way
            command = (action.choices or {}).get(word) if isinstance(action.choices, dict) else None
            if isinstance(command, CommandParser):
                command.declare()
                return command, words[index + 1 :]
    return top, words


def _options(parser: argparse.ArgumentParser) -> Iterable[str]:
    """The flags that help lists."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way
        if action.help != argparse.SUPPRESS:
            yield from action.option_strings


def _values(parser: argparse.ArgumentParser) -> Iterable[str]:
    """The words that a positional argument may be."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way
        if not action.option_strings:
            yield from map(str, action.choices or ())


def _begun(start: str, words: Iterable[object]) -> list[str]:
    return [word for word in map(str, words) if word.startswith(start)]
