"""Where a run's log lines go: a stream, a file, and neither of them twice."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from backfill_job.run.logs import LogFormat, logging_to
from shared.events_log import LOGGER_NAME, Event, EventLog


class Broken(StringIO):
    """Takes no line, as a pipe whose reader is gone, or a terminal that hung up. Counts what it was asked to take."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.asked = 0

    def write(self, _: str) -> int:
        self.asked += 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(5, "Input/output error"), "no more log lines: Input/output error\n"),
        (BrokenPipeError(32, "Broken pipe"), ""),
    ],
    ids=["hung up", "the reader is gone"],
)
def test_a_stream_that_takes_no_line_is_said_once_and_the_file_has_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    """No traceback for each line. That a reader such as `head` has enough is not said."""
    stream, file, log = Broken(error), tmp_path / "a.log", EventLog()
    with logging_to(stream, LogFormat.JSON, file=file):
        for number in range(3):
            log.emit(Event.RUN_STOPPED, error=f"line {number}")
    assert capsys.readouterr().err == said
    assert stream.asked == 1
    assert [f"line {number}" in file.read_text() for number in range(4)] == [True, True, True, False]


def test_another_error_of_a_stream_is_not_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a defect of ours, so the library's own traceback shows it, for each line."""
    with logging_to(Broken(ValueError("ours")), LogFormat.TEXT):
        for _ in range(2):
            EventLog().emit(Event.RUN_STOPPED, error="it")
    assert capsys.readouterr().err.count("ValueError: ours") == 2


@pytest.fixture
def level() -> Iterator[int]:
    """The logger's level before a run, which is not the one of a run."""
    logger = logging.getLogger(LOGGER_NAME)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield logging.CRITICAL
    logger.setLevel(before)


def test_an_inner_block_has_its_lines_alone_and_the_outer_one_goes_on(tmp_path: Path, level: int) -> None:
    """The file is text whatever the stream's form is; afterwards the logger is as it was."""
    logger, log = logging.getLogger(LOGGER_NAME), EventLog()
    outer, inner = StringIO(), StringIO()
    with logging_to(outer, LogFormat.TEXT, file=tmp_path / "outer.log"):
        log.emit(Event.RUN_STOPPED, error="first")
        with logging_to(inner, LogFormat.JSON, file=tmp_path / "inner.log"):
            log.emit(Event.RUN_STARTED, mode="execute")
        with logging_to(None, LogFormat.TEXT, file=tmp_path / "inner.log"):
            log.emit(Event.RUN_STOPPED, error="on a terminal")
        log.emit(Event.RUN_STOPPED, error="last")
    assert [line.split(" error=")[1] for line in outer.getvalue().splitlines()] == ['"first"', '"last"']
    assert (tmp_path / "outer.log").read_text() == outer.getvalue()
    (line,) = inner.getvalue().splitlines()
    assert json.loads(line)["mode"] == "execute"
    started, stopped = (tmp_path / "inner.log").read_text().splitlines()
    assert started.endswith(' mode="execute"')
    assert stopped.endswith(' error="on a terminal"')
    assert logger.level == level
