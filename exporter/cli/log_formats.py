"""The log on stderr: logfmt or JSON, one line a record, with the same fields.

A message ends with its fields, `"listening address=%s version=%s"`; what is before them is `msg`.
Sources: RFC 3339 for times; the logfmt that Prometheus and its exporters write.
"""

import json
import logging
import math
import re
import sys
from datetime import UTC, datetime

from exporter.cli.log_writer import LogWriter, WriterHandler
from exporter.config import LogConfig

_FIELD = re.compile(r"(?:^|(?<= ))([a-z_]+)=(%[^ ]*[a-z])(?= |$)")
_PLAIN = re.compile(r"[^\s\"=]+")
_OWN = ("time", "level", "logger", "msg", "message", "exception")
_IN_JSON = {"msg": "message"}
"""What is spelled otherwise in JSON."""


def start_logging(config: LogConfig, writer: LogWriter | None = None) -> None:
    """Log to stderr in the configured format, also what a library warns of: it writes lines.

    With a `writer` these are its to write.
    """
    sink = WriterHandler(writer) if writer else logging.StreamHandler(sys.stderr)
    sink.setFormatter(JsonFormat() if config.format == "json" else Logfmt())
    logging.basicConfig(level=config.level.upper(), handlers=[sink], force=True)
    logging.captureWarnings(capture=True)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Time, level, logger, message and its own fields, in this order.

    Numbers stay numbers. A message of somebody else's, without fields, is `msg` as a whole.
    """
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    fields: dict[str, object] = {
        "time": moment.replace("+00:00", "Z"),
        "level": record.levelname,
        "logger": record.name,
        "msg": record.getMessage(),
    }
    template, values = str(record.msg), record.args
    found = list(_FIELD.finditer(template))
    if found and isinstance(values, tuple) and len(values) == template.count("%"):
        before = template[: found[0].start()]
        count = before.count("%")
        if count + len(found) == len(values):
            fields["msg"] = (before % values[:count]).strip()
            named = zip(found, values[count:], strict=True)
            fields |= {
                f"{one[1]}_" if one[1] in _OWN else one[1]: _value(value) for one, value in named
            }
    if record.exc_info:
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    return fields


class Logfmt(logging.Formatter):
    """`time=... level=... logger=... msg="..." key=value`, quoted where a value needs it.

    What would act on a terminal, or turn a line's direction, is escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return " ".join(f"{name}={_quoted(value)}" for name, value in fields_of(record).items())


class JsonFormat(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields = fields_of(record)
        return json.dumps({_IN_JSON.get(name, name): value for name, value in fields.items()})


def _value(value: object) -> object:
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return value if is_number else str(value)


def _quoted(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    is_plain = text.isprintable() and _PLAIN.fullmatch(text)
    return text if is_plain else json.dumps(text)
