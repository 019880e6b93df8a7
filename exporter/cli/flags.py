"""The flags that several commands share, and the configuration that they make.

The names are those of the exporter-toolkit; a flag overrides the file.
"""

import argparse
import json
import logging
import sys
from pathlib import Path

from exporter.config import Config, LogConfig, load

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

_KEYS = (
    "web.listen_address",
    "web.telemetry_path",
    "web.config_file",
    "web.enable_reload",
    "log.level",
    "log.format",
)


ANOTHER_ADDRESS = (
    "Is another exporter, or a demo, running there? Choose another address with "
    "--web.listen-address, such as 127.0.0.1:10521."
)


def add_config_flags(parser: argparse.ArgumentParser) -> None:
    """--config.file and the log's flags."""
    parser.add_argument(
        "--config.file",
        dest="config_file",
        type=Path,
        metavar="FILE",
        help="configuration in YAML (default: none, the built-in values)",
    )
    parser.add_argument(
        "--log.level", dest="log.level", choices=LEVELS, help="least severity to log"
    )
    parser.add_argument(
        "--log.format", dest="log.format", choices=FORMATS, help="format of the log"
    )


def add_web_flags(parser: argparse.ArgumentParser) -> None:
    """Where to serve."""
    parser.add_argument(
        "--web.listen-address",
        dest="web.listen_address",
        metavar="HOST:PORT",
        help="where to listen (default :10520)",
    )
    parser.add_argument(
        "--web.telemetry-path",
        dest="web.telemetry_path",
        metavar="PATH",
        help="path of the metrics (default /metrics)",
    )
    parser.add_argument(
        "--web.config.file",
        dest="web.config_file",
        metavar="FILE",
        help="exporter-toolkit file with TLS and users",
    )
    parser.add_argument(
        "--web.enable-lifecycle",
        dest="web.enable_reload",
        action="store_const",
        const=True,
        help="reload the configuration on POST /-/reload too, as on SIGHUP",
    )


def overrides_of(chosen: argparse.Namespace) -> dict[str, object]:
    """The configuration keys that the flags set."""
    values = vars(chosen)
    return {key: values[key] for key in _KEYS if values.get(key) is not None}


def config_of(chosen: argparse.Namespace) -> Config:
    """The configuration of the file and the flags; raises ConfigError."""
    return load(chosen.config_file, overrides_of(chosen))


def base_of(chosen: argparse.Namespace) -> Path:
    """The folder to which the configuration's file names are relative."""
    file: Path | None = chosen.config_file
    return Path() if file is None else file.parent


def start_logging(config: LogConfig) -> None:
    """Log to stderr in the configured format."""
    sink = logging.StreamHandler(sys.stderr)
    sink.setFormatter(_Json() if config.format == "json" else _Text())
    logging.basicConfig(level=config.level.upper(), handlers=[sink], force=True)


class _Text(logging.Formatter):
    """One line: time=... level=... logger=..., the message and its own key=value pairs."""

    def __init__(self) -> None:
        super().__init__("time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s")


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
