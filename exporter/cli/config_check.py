"""`config check`: report what is wrong with a configuration and its files, as `serve` would."""

import argparse
from pathlib import Path

from exporter.cli.exit_codes import ExitCode
from exporter.cli.flags import add_config_flags, add_web_flags, base_of, config_of
from exporter.discovery.static import load_static
from exporter.web.toolkit.deviations import deviations
from exporter.web.toolkit.listening_tls import load_web_config


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
    targets = load_static(config.discovery.static, base_of(chosen))
    if config.web.config_file:
        file, document, _context = load_web_config(Path(config.web.config_file))
        for note in deviations(file, document.value):
            print(f"{config.web.config_file}: {note}")
    source = chosen.config_file or "the defaults"
    print(f"{source}: valid; static targets: {len(targets)}")
    return ExitCode.HEALTHY
