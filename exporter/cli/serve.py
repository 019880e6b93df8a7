"""`serve`: poll the mesh and serve metrics, API and page until SIGTERM or Ctrl-C."""

import argparse
import sys
from functools import partial

from exporter.cli.exit_codes import ExitCode
from exporter.cli.flags import add_config_flags, add_web_flags, base_of, config_of
from exporter.cli.log_formats import start_logging
from exporter.cli.log_writer import LogWriter

_STDERR = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_config_flags(parser)
    add_web_flags(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> ExitCode:
    """Serve; ends with 0 after SIGTERM or Ctrl-C, 3 when it cannot start or bind the address."""
    import uvloop

    from exporter.app.process import ListenError
    from exporter.app.program import serve

    config = config_of(chosen)
    try:
        with LogWriter(_STDERR) as writer:
            logging_starts = partial(start_logging, writer=writer)
            logging_starts(config.log)
            uvloop.run(serve(lambda: config_of(chosen), base_of(chosen), logging_starts))
    except OSError as error:
        text = str(error) if isinstance(error, ListenError) else f"cannot start: {error}"
        print(text, file=sys.stderr)
        return ExitCode.UNJUDGED
    return ExitCode.HEALTHY
