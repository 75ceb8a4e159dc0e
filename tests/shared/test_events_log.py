"""The structured log: its vocabulary and its two forms."""

import json
import logging
from collections.abc import Iterator

import pytest

from shared.events_log import MAX_TEXT, Event, EventLog, JsonFormatter, TextFormatter


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[_Lines]:
    handler = _Lines()
    logger = logging.getLogger("test_events_log")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def log() -> EventLog:
    return EventLog({"run": "dev-1"}, logging.getLogger("test_events_log"))


def test_an_event_is_one_json_line_that_cloud_logging_takes_apart(lines: _Lines, log: EventLog) -> None:
    """Severity, time and message are Cloud Logging's; the rest becomes the payload."""
    log.emit(Event.OBJECT_FAILED, object="gs://b/n\nm", error="no", transient=True)
    text = JsonFormatter().format(lines.records[0])
    assert "\n" not in text
    line = json.loads(text)
    assert line.pop("time").endswith("Z")
    assert line == {
        "severity": "ERROR",
        "message": "gs://b/n\nm: an object could not be copied: no",
        "event": "object_failed",
        "run": "dev-1",
        "object": "gs://b/n\nm",
        "error": "no",
        "transient": True,
    }


def test_a_changed_state_says_what_was_changed_in_its_message(lines: _Lines, log: EventLog) -> None:
    """A list of messages in a log viewer is read without opening each."""
    log.emit(Event.STATE_CHANGED, phase="dual_write", what="sign-off data", by="Ada")
    line = json.loads(JsonFormatter().format(lines.records[0]))
    assert line["message"] == "the migration's state was changed: sign-off data"
    assert (line["event"], line["severity"]) == ("state_changed", "INFO")
    assert (line["phase"], line["what"], line["by"]) == ("dual_write", "sign-off data", "Ada")


def test_a_generation_is_written_as_text(lines: _Lines, log: EventLog) -> None:
    """JSON readers keep integers exact up to 2^53 only."""
    log.emit(Event.OBJECT_CONFLICT, object="o", source_generation=2**60 + 1, destination_generation=None)
    line = json.loads(JsonFormatter().format(lines.records[0]))
    assert (line["source_generation"], line["destination_generation"]) == ("1152921504606846977", None)


def test_a_field_outside_the_vocabulary_is_refused(log: EventLog) -> None:
    """Dashboards and alerts are checked against the vocabulary, so nothing may leave it."""
    with pytest.raises(TypeError, match="object_failed has no field colour"):
        log.emit(Event.OBJECT_FAILED, colour="red")


def test_a_very_long_text_is_cut(lines: _Lines, log: EventLog) -> None:
    """A log entry has room for 256 KiB."""
    log.emit(Event.RUN_STOPPED, error="x" * 300_000)
    assert len(json.loads(JsonFormatter().format(lines.records[0]))["error"]) == MAX_TEXT


def test_the_text_form_is_one_line_too(lines: _Lines, log: EventLog) -> None:
    """An object's name may hold anything but line breaks must not break the log."""
    log.emit(Event.OBJECT_FAILED, object="gs://b/a b\tc", error="first\nsecond", transient=False)
    text = TextFormatter().format(lines.records[0])
    assert "\n" not in text
    assert 'ERROR    object_failed: an object could not be copied run="dev-1" object="gs://b/a b\\tc"' in text


def test_a_library_s_warning_is_a_line_of_the_same_form(lines: _Lines) -> None:
    """Everything on stdout is JSON, or Cloud Logging takes it for text."""
    logging.getLogger("test_events_log").warning("Connection pool is full, discarding %s", "x")
    line = json.loads(JsonFormatter().format(lines.records[0]))
    assert (line["event"], line["logger"]) == ("message", "test_events_log")
    assert line["message"] == "Connection pool is full, discarding x"
