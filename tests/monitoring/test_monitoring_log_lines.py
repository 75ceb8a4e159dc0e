"""What the real job and the real function write to stdout, line for line: the vocabulary's events, within Cloud Logging's limits."""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from testing_paths import Paths

from demo.function import running_function
from monitoring.vocabulary import MAX_LINE, line_problems
from shared.events_log import CONTEXT_FIELDS, FIELD_TYPES, Event

ROOT = Path(__file__).parents[2]
DAY = "qpi_answers_20240101"


def command(paths: Paths, name: str, *more: str) -> list[dict[str, Any]]:
    """Run a command as Cloud Run does; gives its stdout's lines, each of which must be right."""
    migration = paths.migration
    words = [sys.executable, "-m", "backfill_job", name, "--source", migration.source.uri]
    words += ["--destination", migration.destination.uri, "--log-format", "json", *more]
    done = subprocess.run(
        words,
        env={**os.environ, "STORAGE_EMULATOR_HOST": paths.server.url, "CLOUD_RUN_JOB": "backfill"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return checked(done.stdout.strip("\n").split("\n"))


def checked(lines: list[str]) -> list[dict[str, Any]]:
    assert [(problem, line) for line in lines for problem in line_problems(line)] == []
    found: list[dict[str, Any]] = [json.loads(line) for line in lines]
    for line in found:
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
    return found


def test_the_job_s_stdout_is_the_vocabulary_s(paths: Paths, tmp_path: Path) -> None:
    """A dry run, an execution, one with refusals and a conflict of names, an unclean and a clean verification."""
    names = [f"{DAY}/user_id_1.jsonl", f"{DAY}/user_id_ü\u20282.jsonl", "x" * 900]
    for name in names:
        paths.put(name)
    report = ("--report", str(tmp_path / "report"), "--log-dir", str(tmp_path))
    lines = command(paths, "migrate", *report)
    lines += command(paths, "verify", "--grace", "0", *report)
    refused = {"method": "storage.objects.rewrite", "count": None, "status": 403}
    paths.server.set_faults(rules=[refused])
    lines += command(paths, "migrate", "--execute", "--yes", "--grace", "0", *report)
    paths.server.clear_faults()
    lines += command(paths, "migrate", "--execute", "--yes", "--grace", "0", *report)
    lines += command(paths, "verify", "--grace", "0", *report)
    events = {line["event"] for line in lines}
    assert {
        "run_started", "plan_made", "object_failed", "run_finished", "verification_finished", "verification_difference",
    } <= events  # fmt: skip
    assert {line["severity"] for line in lines} >= {"INFO", "ERROR"}
    assert paths.names() == sorted(names, key=lambda name: name.encode())


def test_the_function_s_output_is_the_vocabulary_s(paths: Paths, tmp_path: Path) -> None:
    """Copies, an event that is ignored, and one that is delivered again; everything that the framework's process writes, too."""
    log = tmp_path / "mirror.log"
    with running_function(
        paths.server.url,
        paths.migration,
        log,
        {"GOOGLE_CLOUD_PROJECT": "proj-1", "MIRROR_RETRY_DEADLINE_S": "1"},
    ) as function:
        paths.server.add_subscriber(function.url, types=["finalized"], bucket=paths.migration.source.bucket)
        paths.put(f"{DAY}/user_id_ü\u20281.jsonl")
        paths.bucket("source").blob("elsewhere/x.txt").upload_from_string(b"x")
        paths.server.wait_for_events()
        paths.server.set_faults(rules=[{"method": "storage.objects.rewrite", "count": 1, "status": 403}])
        paths.put(f"{DAY}/user_id_2.jsonl")
        paths.server.wait_for_events()
    lines = checked(log.read_text(encoding="utf-8").strip("\n").split("\n"))
    assert {line.get("outcome") for line in lines if line["event"] == "mirrored"} == {"copied", "ignored"}
    assert "mirror_retry" in {line["event"] for line in lines}


def test_every_field_has_a_type() -> None:
    """Those of every event and of the context, and no others: a field without a type is not checked on any line."""
    fields = CONTEXT_FIELDS.union(*(event.value.fields for event in Event))
    assert set(FIELD_TYPES) == fields


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"event": "progres"}, "no event is called progres"),
        ({"listd": 1}, "progress has no field listd"),
        ({"listed": "1"}, "listed is '1'"),
        ({"listed": True}, "listed is True"),
        ({"severity": "WARN"}, "Cloud Logging has no severity 'WARN'"),
        ({"severity": None}, "no severity"),
        ({"time": None}, "no time"),
        ({"time": "2026-11-23T06:00:00"}, "time '2026-11-23T06:00:00' is not a time with an offset"),
        ({"message": None}, "no message"),
        ({"message": "x" * MAX_LINE}, "more than 102,400"),
    ],
)
def test_a_line_that_is_wrong_is_found(change: dict[str, Any], told: str) -> None:
    """Each of them would be missed by a metric, or refused by Cloud Logging."""
    line = {
        "severity": "INFO",
        "time": "2026-11-23T06:00:00.000Z",
        "message": "m",
        "event": "progress",
        "listed": 1,
    }
    assert line_problems(json.dumps(line)) == []
    assert any(told in problem for problem in line_problems(json.dumps(line | change)))


def test_the_longest_line_is_right() -> None:
    """One byte more is too many."""
    line = {"severity": "INFO", "time": "2026-11-23T06:00:00.000Z", "event": "progress", "message": ""}
    line["message"] = "x" * (MAX_LINE - len(json.dumps(line)))
    assert line_problems(json.dumps(line)) == []
    assert line_problems(json.dumps(line | {"message": line["message"] + "x"})) != []


@pytest.mark.parametrize("text", ["", "hello", "[1]", '"x"', '{"event": "progress", "event": "progress"}'])
def test_what_is_not_a_json_object_is_not_a_line(text: str) -> None:
    """One sentence, whatever else is wrong."""
    assert len(line_problems(text)) == 1
    assert "JSON" in line_problems(text)[0]
