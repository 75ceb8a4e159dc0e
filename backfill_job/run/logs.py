"""Sends log lines to stderr, to stdout for Cloud Logging, and to the log file. A terminal shows none of them."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from enum import Enum
from itertools import count
from pathlib import Path
from typing import TextIO

from shared.errors import CannotWrite, UsageError
from shared.events_log import LOGGER_NAME, JsonFormatter, TextFormatter

__all__ = ["LogFormat", "logging_to", "new_log_file"]


class LogFormat(Enum):
    """The form of lines outside the log file: text on stderr, JSON on stdout."""

    TEXT = "text"
    JSON = "json"


def new_log_file(directory: Path, name: str, started: datetime) -> Path:
    """Create a run's empty log file: ``{name}_{timestamp}.log``, the timestamp in UTC.

    Where another run that began in the same second has that file, it is ``{name}_{timestamp}_2.log``, and so on. The creation is
    atomic, so two runs never share a file.

    Raises:
        UsageError: It cannot be created.
    """
    stem = f"{name}_{started:%Y%m%dT%H%M%SZ}"
    file = directory / f"{stem}.log"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for number in count(2):
            with suppress(FileExistsError):
                file.touch(exist_ok=False)
                break
            file = directory / f"{stem}_{number}.log"
    except OSError as error:
        raise UsageError(_cannot_write(file, error)) from error
    return file


@contextmanager
def logging_to(stream: TextIO | None, log_format: LogFormat, *, file: Path | None = None) -> Iterator[None]:
    """Send this process's log lines to a stream and a file while the block runs. An outer block gets none of them.

    Args:
        stream: Receives lines in `log_format`; None for a terminal, which belongs to the operator.
        file: A log file in text form; the lines are appended to it. None for no file.

    Raises:
        UsageError: The file cannot be opened, or does not take the first line: nothing was done yet.
        CannotWrite: The file took no more lines later, and the block ended without another error.
    """
    handlers: list[logging.Handler] = [] if stream is None else [_shown(stream, log_format)]
    kept: _LogFile | None = None
    if file is not None:
        try:
            kept = _LogFile(file, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise UsageError(_cannot_write(file, error)) from error
        kept.setFormatter(TextFormatter())
        handlers.append(kept)
    root, ours = logging.getLogger(), logging.getLogger(LOGGER_NAME)
    before = ours.level
    ours.setLevel(logging.INFO)
    outer = [each for each in root.handlers if isinstance(each.formatter, JsonFormatter | TextFormatter)]
    for handler in outer:
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        for handler in outer:
            root.addHandler(handler)
        ours.setLevel(before)
    if kept is not None and kept.problem is not None:
        raise CannotWrite(
            f"the log file {file} is incomplete: {kept.problem.strerror}. What was done stays; the screen is right"
        )


class _LogFile(logging.FileHandler):
    """The log file. A full disk is an error of its own: not a traceback for every line. `problem` is None before it."""

    problem: OSError | None = None
    _lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        if self.problem is None:
            super().emit(record)
            self._lines += 1

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- the name is logging's
        """Note the first problem, and say it. Raises `UsageError` where the first line cannot be written."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self.problem = error
        if not self._lines:
            raise UsageError(_cannot_write(Path(self.baseFilename), error)) from error
        sys.stderr.write(f"no more lines in the log file {self.baseFilename}: {error.strerror}\n")

    def close(self) -> None:
        """Close it. What its buffer still holds may be lost, and that is a problem, too."""
        try:
            super().close()
        except OSError as error:
            self.problem = self.problem or error


def _cannot_write(file: Path, error: OSError) -> str:
    return f"cannot write the log file {file}: {error.strerror}; choose --log-dir"


def _shown(stream: TextIO, log_format: LogFormat) -> logging.Handler:
    """Writes to a stream. One that accepts no more lines is reported once, not with a traceback for every line."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else TextFormatter())
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
    return handler
