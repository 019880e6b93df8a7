"""`config check`: report what is wrong with a configuration and its files, as `serve` would."""

import argparse
from pathlib import Path

from exporter.cli.exit_codes import ExitCode
from exporter.cli.flags import add_config_flags, add_web_flags, base_of, config_of
from exporter.config import StaticConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their arguments."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    summary = "report what is wrong with a configuration"
    checker = actions.add_parser(
        "check",
        help=summary,
        description=f"{summary.capitalize()}.",
        epilog=parser.epilog,
        formatter_class=parser.formatter_class,
    )
    add_config_flags(checker)
    add_web_flags(checker)
    checker.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> ExitCode:
    """Ends with 0 when `serve` would start with it; raises ConfigError when not."""
    config = config_of(chosen)
    targets = _count_targets(config.discovery.static, base_of(chosen))
    if config.web.config_file:
        _note_deviations(config.web.config_file)
    source = chosen.config_file or "the defaults"
    print(f"{source}: valid; static targets: {targets}")
    return ExitCode.HEALTHY


def _count_targets(static: StaticConfig, base: Path) -> int:
    if not (static.files or static.targets):
        return 0
    from exporter.discovery.static import load_static

    return len(load_static(static, base))


def _note_deviations(file: str) -> None:
    from exporter.web.toolkit.deviations import deviations
    from exporter.web.toolkit.listening_tls import load_web_config

    served, document, _context = load_web_config(Path(file))
    for note in deviations(served, document.value):
        print(f"{file}: {note}")
