"""Sends log lines to the screen, to stdout for Cloud Logging, and to the log file."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TextIO

from shared.errors import UsageError
from shared.events_log import LOGGER_NAME, JsonFormatter, TextFormatter

__all__ = ["LogFormat", "log_file_path", "logging_to"]


class LogFormat(Enum):
    """The form of lines on stdout."""

    TEXT = "text"
    JSON = "json"


def log_file_path(directory: Path, name: str, started: datetime) -> Path:
    """The path of a run's log file: ``{name}_{timestamp}.log``, the timestamp in UTC."""
    return directory / f"{name}_{started:%Y%m%dT%H%M%SZ}.log"


@contextmanager
def logging_to(
    stream: TextIO, log_format: LogFormat, *, stream_level: int = logging.INFO, file: Path | None = None
) -> Iterator[None]:
    """Send this process's log lines to a stream and a file while the block runs.

    Args:
        stream: Receives lines in `log_format`.
        log_format: Their form there.
        stream_level: The least severity there. On a terminal with a progress bar only warnings and errors fit.
        file: A log file in text form; the lines are appended to it. None for no file.

    Raises:
        UsageError: The file cannot be written.
    """
    shown = logging.StreamHandler(stream)
    shown.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else TextFormatter())
    shown.setLevel(stream_level)
    handlers: list[logging.Handler] = [shown]
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            kept = logging.FileHandler(file, encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"cannot write the log file {file}: {error.strerror}; choose --log-dir"
            ) from error
        kept.setFormatter(TextFormatter())
        handlers.append(kept)
    root, ours = logging.getLogger(), logging.getLogger(LOGGER_NAME)
    before = ours.level
    ours.setLevel(logging.INFO)
    for handler in handlers:
        _end_quietly(handler)
        root.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        ours.setLevel(before)


def _end_quietly(handler: logging.Handler) -> None:
    """Report a stream that accepts no more lines once; `logging` would print a traceback for every line."""
    usual = handler.handleError

    def handle(record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            usual(record)
            return
        handler.setLevel(logging.CRITICAL + 1)
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"no more log lines: {error.strerror}\n")

    handler.handleError = handle  # type: ignore[method-assign]
