"""The flags that several commands share, and the configuration that they make.

The names are those of the exporter-toolkit; a flag overrides the file.
"""

import argparse
from pathlib import Path

from exporter.config import Config, load

_KEYS = (
    "web.listen_address",
    "web.telemetry_path",
    "web.config_file",
    "web.enable_reload",
    "log.level",
    "log.format",
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
        "--log.level",
        dest="log.level",
        choices=("debug", "info", "warning", "error"),
        help="least severity to log",
    )
    parser.add_argument(
        "--log.format", dest="log.format", choices=("text", "json"), help="format of the log"
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
