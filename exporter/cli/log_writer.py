"""Writes the log's lines in a thread of its own.

The rule: whoever reads the log may stop reading, as a container's runtime does whose disk is full;
the lines then wait, those beyond a bound are lost, and nothing else waits for them.
"""

import logging
import os
import queue
import threading
import time
from typing import Self

_MOST_LINES = 10_000
_LAST_SECONDS = 1.0


class LogWriter:
    """Lines for a file descriptor, in their order; leaving the block waits for them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: queue.Queue[str] = queue.Queue(_MOST_LINES)
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Wait until all is written, and no longer than a second."""
        until = time.monotonic() + _LAST_SECONDS
        while self._lines.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.002)

    def put(self, line: str) -> None:
        """Write it soon; it is lost where too many wait."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            return

    def _write(self) -> None:
        while True:
            rest = f"{self._lines.get()}\n".encode(errors="backslashreplace")
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:  # nobody will ever read it, or there is no room for it
                pass
            finally:
                self._lines.task_done()


class WriterHandler(logging.Handler):
    """Hands each record as a line to a writer."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Format it, and have it written."""
        try:
            self._writer.put(self.format(record))
        except Exception:  # noqa: BLE001 - as logging's own handlers
            self.handleError(record)
