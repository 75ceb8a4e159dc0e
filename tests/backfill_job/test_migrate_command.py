"""The command, as its user meets it: arguments, questions, files, exit codes."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage
from testing_commands import Ended, run_command, where
from testing_paths import Paths, json_lines

import local_gcs
from backfill_job import migrate_qpi_exports
from backfill_job.run import open_run
from backfill_job.run.logs import LogFormat, logging_to, new_log_file
from shared.errors import CannotWrite, UsageError
from shared.events_log import Event, EventLog

NAMES = [
    "",
    "plain.txt",
    "qpi_answers_20240101/",
    "qpi_answers_20240101/user_id_7.jsonl",
    "with space #1 100%?.txt",
    "unicode é 日本 😀.jsonl",
    "percent%2Fslash",
    "deep/" * 20 + "x",
    "L" * 1000,
    "[bold]not markup[/bold]",
    "<script>alert(1)</script>",
]


@pytest.fixture
def migrate(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs the command on the test's own pair of prefixes."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)

    def run(
        *arguments: str,
        stdin: str = "",
        terminal: bool = False,
        source: str = "",
        destination: str = "",
        **environ: str,
    ) -> Ended:
        migration = paths.migration
        chosen = [
            *(() if source == "-" else ("--source", source or migration.source.uri)),
            *(() if destination == "-" else ("--destination", destination or migration.destination.uri)),
        ]
        quick = () if "--grace" in arguments else ("--grace", "0")
        words = (*chosen, "--log-dir", str(tmp_path / "logs"), *quick, *arguments)
        return run_command("migrate", *words, typed=stdin if terminal else None, environ=environ)

    return run


def fill(paths: Paths, names: list[str] = NAMES) -> None:
    for number, name in enumerate(names):
        paths.put(name, b"" if name.endswith("/") or not name else b"%d" % number)


def log_text(tmp_path: Path) -> str:
    (file,) = (tmp_path / "logs").glob("migrate_qpi_exports_custom_*Z.log")
    return file.read_text()


# --- the dry run ----------------------------------------------------------------------------------------------


def test_the_dry_run_is_the_default_and_changes_nothing(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """M1: analyses, and sends no request that could change anything."""
    fill(paths)
    paths.server.reset_stats()
    ended = migrate()
    assert (ended.code, ended.err) == (0, "")
    assert "Dry run: nothing is changed." in ended.out
    assert ended.out.splitlines()[-2].startswith("Plan: ")
    assert ended.out.splitlines()[-1].endswith(" --execute")
    reads = {"storage.objects.list", "storage.objects.get", "storage.objects.download", "storage.buckets.get"}
    assert set(paths.server.stats()["methods"]) <= reads
    assert paths.names() == []


def test_the_dry_run_s_report_has_the_plan_and_a_line_an_object(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """plan.json and objects.jsonl; the lines of one folder are in the order of the names."""
    fill(paths)
    paths.put("plain.txt", b"other", side="destination")
    assert migrate("--report", str(tmp_path / "r")).code == 0
    lines = json_lines((tmp_path / "r" / "objects.jsonl").read_text())
    assert sorted(line["name"] for line in lines) == sorted(NAMES)
    plain = next(line for line in lines if line["name"] == "plain.txt")
    assert (plain["outcome"], plain["because"][:2]) == ("overwrite", ["size", "crc32c"])
    plan = json.loads((tmp_path / "r" / "plan.json").read_text())
    assert (plan["mode"], plan["source"]) == ("dry-run", paths.migration.source.uri)
    assert plan["findings"]["source"]["objects"] == len(NAMES)


def test_what_would_be_overwritten_is_named_before_everything_else(
    paths: Paths, migrate: Callable[..., Ended]
) -> None:
    """Nobody should find out afterwards."""
    fill(paths)
    paths.put("plain.txt", b"somebody's work", side="destination")
    out = migrate().out
    assert "OVERWRITE" in out.upper()
    assert out.index("plain.txt") < out.index("2024-01")


def test_a_copy_keeps_its_class_and_the_dry_run_prices_it(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """Reading from a colder class is billed; the copy has the metadata as ever, and the class unless another is named."""
    paths.put("cold.txt", b"x" * 2**20, storage_class="COLDLINE", metadata={"k": "v"}, content_language="fr")
    paths.put("large.txt", b"y", storage_class="ARCHIVE", content_encoding="gzip")
    paths.put("warm.txt")
    out = migrate("--report", str(tmp_path / "r")).out
    assert "1 object to copy in class COLDLINE, 1.0 MiB" in out
    colder = json.loads((tmp_path / "r" / "plan.json").read_text())["findings"]["colder"]
    assert colder["COLDLINE"] == {"objects": 1, "bytes": 2**20, "early_byte_days": 90 * 2**20}

    ended = migrate("--execute", "--yes")

    assert (ended.code, ended.err) == (0, "")
    assert "another storage class" not in ended.out
    assert [paths.look(name).storage_class for name in paths.names()] == ["COLDLINE", "ARCHIVE", "STANDARD"]  # type: ignore[union-attr]
    assert paths.look("cold.txt").metadata == paths.look("cold.txt", side="source").metadata  # type: ignore[union-attr]


@pytest.mark.parametrize("asked", ["NEARLINE", ""])
def test_a_copy_has_the_class_that_is_asked_for_whatever_the_bucket_s_default_is(
    paths: Paths, migrate: Callable[..., Ended], asked: str
) -> None:
    """Also where it is replicated by the rule, as a large object is."""
    bucket = paths.bucket("destination")
    bucket.storage_class = "COLDLINE"
    bucket.patch()
    for name in ("a.txt", "b.txt"):
        paths.put(name, metadata={"k": "v"})
    paths.put("large.txt", b"x" * (65 * 2**20))

    ended = migrate("--execute", "--yes", *(("--storage-class", asked) if asked else ()))

    assert (ended.code, ended.err) == (0, "")
    copies = [paths.look(name) for name in ("a.txt", "b.txt", "large.txt")]
    assert [copy.storage_class for copy in copies if copy] == [asked or "STANDARD"] * 3
    assert copies[0] is not None
    assert copies[0].metadata.custom == {"k": "v"}
    said = "both sides are equal; 3 objects in another storage class than the source's"
    assert (said in ended.out) is bool(asked)


def test_what_a_deletion_will_leave_and_settings_in_the_way_are_forecast(
    paths: Paths, migrate: Callable[..., Ended]
) -> None:
    """The listing knows of holds at the source, and the buckets know of rules."""
    paths.put("held.txt")
    blob = paths.bucket("source").blob("QPI_exports/held.txt")
    blob.temporary_hold = True
    blob.patch()
    bucket = paths.bucket("destination")
    bucket.add_lifecycle_set_storage_class_rule("NEARLINE", age=30)
    bucket.patch()

    out = migrate("--details").out

    assert "1 object held at the source, a deletion will leave them (--details)" in migrate().out
    assert "Held at the source, a deletion will leave them: 1 object" in out
    assert "held.txt  (temporary hold)" in out
    assert "new bucket: rules that change the class" in out
    assert "Limited by: Cloud Storage's guideline" in migrate("--in-flight", "10000").out


def test_what_is_protected_is_forecast_and_the_run_says_why_it_failed(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """The listing knows of holds. The same command does not help until somebody releases them."""
    for number, name in enumerate(("free.txt", "held.txt", "event.txt")):
        paths.put(name, b"new")
        paths.put(name, b"old", side="destination")
        blob = paths.bucket("destination").blob(paths.migration.destination.prefix + name)
        blob.temporary_hold, blob.event_based_hold = number == 1, number == 2
        blob.patch()
    ended = migrate("--report", str(tmp_path / "r"))
    assert "2 objects will be REFUSED: a hold or a retention policy" in " ".join(ended.out.split())
    assert "held.txt  (temporary hold)" in ended.out
    assert "event.txt  (event-based hold)" in ended.out
    findings = json.loads((tmp_path / "r" / "plan.json").read_text())["findings"]
    assert [each["relative"] for each in findings["protected"]["first"]] == ["event.txt", "held.txt"]
    ended = migrate("--execute", "--yes", "--report", str(tmp_path / "e"))
    assert ended.code == 1
    assert "2 objects failed: a hold forbids it. For example gs://" in ended.out
    assert "Release the hold" in ended.out
    assert "Run the same command again." not in ended.out
    (failure,) = json.loads((tmp_path / "e" / "run.json").read_text())["failures"]
    assert (failure["cause"], failure["objects"]) == ("hold", 2)


def test_a_missing_object_of_every_kind_of_failure_is_grouped(
    paths: Paths, migrate: Callable[..., Ended]
) -> None:
    """An answer that cannot be read is one object's failure, and so is a disabled key."""
    fill(paths)
    rewrite = {"method": "storage.objects.rewrite", "count": None}
    key = {"status": 400, "reason": "invalid", "message": "Cloud KMS key is disabled"}
    rules = [
        {**rewrite, "name_prefix": "QPI_exports/plain", "status": 200, "body": "{}"},
        {**rewrite, "name_prefix": "QPI_exports/deep", **key},
    ]
    paths.server.set_faults(rules=rules)
    ended = migrate("--execute", "--yes")
    assert (ended.code, ended.err) == (1, "")
    assert "1 object failed: an answer that cannot be read. For example gs://" in ended.out
    assert "1 object failed: the encryption key cannot be used." in ended.out
    assert "Enable the key version in Cloud KMS" in ended.out
    assert len(paths.names()) == len(NAMES) - 2


def test_names_are_shown_as_they_are(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """A name that looks like markup is no markup."""
    name = "[bold]not markup[/bold]"
    paths.put(name, b"a")
    paths.put(name, b"b", side="destination")
    assert name in migrate().out


# --- execute --------------------------------------------------------------------------------------------------


def test_execute_copies_everything_and_verifies(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """M2, with every odd name there is."""
    fill(paths)
    paths.put(".DS_Store", b"left behind")
    ended = migrate("--execute", "--yes", "--report", str(tmp_path / "r"))
    assert (ended.code, ended.err) == (0, "")
    assert "verified: both sides are equal" in ended.out
    assert sorted(paths.names()) == sorted(NAMES)
    for name in NAMES:
        assert paths.read(name) == paths.read(name, side="source")
    run = json.loads((tmp_path / "r" / "run.json").read_text())
    assert run["ledger"] == {
        "listed": len(NAMES) + 1,
        "copied": len(NAMES),
        "already_equal": 0,
        "superseded": 0,
        "conflict": 0,
        "erased": 0,
        "failed": 0,
        "excluded": 1,
        "bytes": run["ledger"]["bytes"],
        "holds": True,
    }
    assert datetime.fromisoformat(run["verification"].pop("began")).tzinfo is not None
    assert run["verification"] == {
        "clean": True,
        "erased": 0,
        "erased_names": [],
        "equal": len(NAMES),
        "missing": 0,
        "content_differs": 0,
        "metadata_differs": 0,
        "extra": 0,
        "in_flight": 0,
        "excluded": 1,
        "crc32c_alone": 0,
        "differences": [],
    }
    lines = json_lines((tmp_path / "r" / "objects.jsonl").read_text())
    assert sorted(line["name"] for line in lines) == sorted([*NAMES, ".DS_Store"])
    copied = next(line for line in lines if line["name"] == "plain.txt")
    there = paths.look("plain.txt")
    assert there is not None
    assert copied["outcome"] == "copied"
    assert copied["destination"]["generation"] == str(there.generation)


def test_a_sibling_of_the_prefix_is_left_alone(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """``QPI_exports_old/`` starts with the same letters."""
    paths.put("a", b"ours")
    paths.bucket("source").blob("QPI_exports_old/b").upload_from_string(b"theirs")
    paths.bucket("source").blob("QPI_exports.txt").upload_from_string(b"theirs")
    assert migrate("--execute", "--yes").code == 0
    assert [blob.name for blob in paths.bucket("destination").list_blobs(prefix="qpi")] == ["qpi_exports/a"]


def test_a_second_execution_copies_nothing(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """Resume is not a feature: what is equal is left as it is."""
    fill(paths)
    migrate("--execute", "--yes")
    paths.server.reset_stats()
    ended = migrate("--execute", "--yes")
    assert ended.code == 0
    assert "11 already equal" in ended.out
    assert paths.requests("storage.objects.rewrite") == 0


def test_an_overwrite_is_logged_with_the_generation_it_replaced(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """So that soft delete can bring it back."""
    paths.put("a", b"source")
    replaced = paths.put("a", b"somebody's work", side="destination")
    assert migrate("--execute", "--yes").code == 0
    assert "object_overwritten" in log_text(tmp_path)
    assert f'replaced_generation="{replaced}"' in log_text(tmp_path)


def test_a_source_that_is_emptied_after_the_start_is_not_called_equal(
    paths: Paths, migrate: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing compared is not equal."""
    paths.put("a", b"one")
    monkeypatch.setattr("backfill_job.copying.execution.tune_gc", lambda: paths.delete("a"))
    ended = migrate("--execute", "--yes")
    assert (ended.code, "holds no objects" in ended.err, "verified" in ended.out) == (2, True, False)


def test_an_extra_object_at_the_destination_is_not_called_equal(
    paths: Paths, migrate: Callable[..., Ended]
) -> None:
    """The consumer would load it."""
    paths.put("a", b"one")
    paths.put("extra", b"one", side="destination")
    ended = migrate("--execute", "--yes")
    assert ended.code == 1
    assert "NOT EQUAL: 1 extra" in ended.out
    assert "extra 'extra'" in ended.out


def test_excluded_names_are_counted_and_left_behind(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """By default .DS_Store, and whatever --exclude says; --no-default-excludes takes everything."""
    for name in ("a.jsonl", ".DS_Store", "x/.DS_Store", "b.tmp"):
        paths.put(name, b"one")
    ended = migrate("--execute", "--yes", "--exclude", "*.tmp")
    assert (ended.code, paths.names()) == (0, ["a.jsonl"])
    assert "3 excluded" in ended.out
    assert migrate("--execute", "--yes", "--no-default-excludes").code == 0
    assert len(paths.names()) == 4


def test_a_terminal_shows_no_log_lines_and_a_pipe_gets_them_on_stderr(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """The screen belongs to the operator. Its first line names the log file, which has every line."""
    paths.put("a", b"one")
    ended = migrate("--execute", "--yes")
    first = ended.out.splitlines()[0]
    assert first.startswith("log: ")
    assert "run_started" not in ended.out + ended.err
    assert "run_started" in Path(first.removeprefix("log: ")).read_text()
    line = [sys.executable, "-m", "backfill_job", "migrate", *where(paths), "--log-dir", str(tmp_path)]
    environ = {**os.environ, "STORAGE_EMULATOR_HOST": paths.server.url}
    piped = subprocess.run(line, env=environ, capture_output=True, text=True, check=True)
    assert "run_started" in piped.stderr
    assert "run_started" not in piped.stdout


def test_with_json_lines_everything_on_stdout_is_json(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """Cloud Logging reads stdout; a Cloud Run job gets this form without asking, and no local file."""
    fill(paths)
    for extra in ({"CLOUD_RUN_JOB": "backfill"}, {}):
        arguments = ("--execute", "--yes", *(() if extra else ("--log-format", "json")))
        ended = migrate(*arguments, **extra)
        lines = json_lines(ended.out)
        assert (ended.code, lines[0]["event"], lines[-1]["event"]) == (0, "run_started", "run_finished")
        assert lines[-1]["exit_code"] == 0


def test_the_log_file_is_named_after_environment_and_time(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """M13."""
    paths.put("a", b"one")
    migrate("--execute", "--yes")
    text = log_text(tmp_path)
    assert text.count("run_started") == text.count("run_finished") == text.count("verification_finished") == 1


# --- the question ---------------------------------------------------------------------------------------------


def test_execute_asks_on_a_terminal_and_yes_copies(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """It asks until it gets one of the two answers; the question holds the numbers."""
    paths.put("a", b"one")
    ended = migrate("--execute", terminal=True, stdin="maybe\n\ny\n")
    assert ended.code == 0
    assert "Copy 1 object? " in ended.out
    assert ended.out.count("Please type yes or no") == 2
    assert paths.names() == ["a"]


@pytest.mark.parametrize("answer", ["no\n", "NO\n", ""])
def test_no_or_the_end_of_input_changes_nothing(
    paths: Paths, migrate: Callable[..., Ended], answer: str
) -> None:
    """Anything but yes."""
    paths.put("a", b"one")
    ended = migrate("--execute", terminal=True, stdin=answer)
    assert ended.code == 2
    assert ended.err == "migrate_qpi_exports: not confirmed; nothing was changed\n"
    assert paths.names() == []


def test_without_a_terminal_execute_wants_yes(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """A pipeline must not hang on a question, nor be taken to have said yes."""
    paths.put("a", b"one")
    ended = migrate("--execute", stdin="yes\n")
    assert ended.code == 2
    assert "add --yes" in ended.err
    assert paths.names() == []


def test_a_full_disk_ends_the_run_with_one_clear_line(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """The report is not complete and does not pass for it; what was copied stays."""
    fill(paths)
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "objects.jsonl.partial").symlink_to("/dev/full")
    for arguments in ((), ("--execute", "--yes")):
        ended = migrate(*arguments, "--report", str(tmp_path / "r"))
        assert (ended.code, ended.err.count("\n")) == (1, 1)
        assert "No space left on device" in ended.err
    assert not (tmp_path / "r" / "objects.jsonl").exists()
    assert len(paths.names()) == len(NAMES)


# --- what goes wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("--execute", "--yes")])
@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_missing_bucket_cannot_start(
    paths: Paths, migrate: Callable[..., Ended], side: str, arguments: tuple[str, ...]
) -> None:
    """Never read as "nothing there"."""
    paths.put("a", b"one")
    ended = migrate(*arguments, **{side: "gs://no-such-bucket-here/p/"})
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert "gs://no-such-bucket-here: no such bucket" in ended.err


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_bucket_that_may_not_be_listed_cannot_start(
    paths: Paths, migrate: Callable[..., Ended], side: str
) -> None:
    """A 403 is not an empty prefix."""
    paths.put("a", b"one")
    bucket = getattr(paths.migration, side).bucket
    rule = {
        "method": "storage.objects.list",
        "bucket": bucket,
        "count": None,
        "status": 403,
        "message": "not you",
    }
    paths.server.set_faults(rules=[rule])
    ended = migrate("--execute", "--yes")
    assert ended.code == 2
    assert "permission denied (not you)" in ended.err


def test_an_empty_source_cannot_start_unless_allowed(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """A typo in the prefix looks just like it."""
    for arguments in ((), ("--execute", "--yes")):
        ended = migrate(*arguments)
        assert ended.code == 2
        assert "holds no objects" in ended.err
        assert migrate(*arguments, "--allow-empty").code == 0


@pytest.mark.parametrize("arguments", [(), ("--execute", "--yes")])
def test_a_listing_that_breaks_off_gives_no_verdict(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Page 3 of 5 fails for good: what was copied stays, nothing is concluded."""
    paths.server.fill(paths.migration.source.bucket, 4_500, prefix="QPI_exports/")
    rule = {
        "method": "storage.objects.list",
        "bucket": paths.migration.source.bucket,
        "name_prefix": "QPI_exports/",
        "skip": 4,  # the check at the start, the look at the folders, and two pages
        "count": None,
        "status": 403,
    }
    paths.server.set_faults(rules=[rule])
    ended = migrate(*arguments, "--report", str(tmp_path / "r"))
    assert ended.code == 1
    assert "verified" not in ended.out
    assert "Nothing was changed" not in ended.out
    assert not (tmp_path / "r" / "plan.json").exists()
    copied = len(paths.names())
    assert copied == (2_000 if arguments else 0)
    if arguments:
        run = json.loads((tmp_path / "r" / "run.json").read_text())
        assert (run["exit_code"], run["verification"], run["ledger"]["copied"]) == (1, None, copied)
    paths.server.clear_faults()
    if arguments:
        paths.server.reset_stats()
        assert migrate(*arguments).code == 0
        assert paths.requests("storage.objects.rewrite") == 2_500


def test_a_destination_that_may_not_be_written_stops_the_run(
    paths: Paths, migrate: Callable[..., Ended]
) -> None:
    """It concerns every object, so it does not fail a million times; and nothing was copied, so it could not start."""
    fill(paths, [f"n{number:04}" for number in range(1500)])
    paths.server.set_faults(rules=[{"method": "storage.objects.rewrite", "count": None, "status": 403}])
    ended = migrate("--execute", "--yes")
    assert ended.code == 2
    assert "stopped: gs://" in ended.out
    assert "permission denied" in ended.out
    assert paths.requests("storage.objects.rewrite") < 1500


def test_one_object_that_fails_does_not_stop_the_others(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """It is booked as failed, named, and the exit code is 1."""
    fill(paths)
    name = "QPI_exports/plain.txt"
    rule = {
        "method": "storage.objects.rewrite",
        "name_prefix": name,
        "count": None,
        "status": 400,
        "message": "odd",
    }
    paths.server.set_faults(rules=[rule])
    ended = migrate("--execute", "--yes")
    assert ended.code == 1
    assert "1 failed" in ended.out
    assert "NOT EQUAL: 1 missing" in ended.out
    assert "missing 'plain.txt'" in ended.out
    (line,) = [line for line in log_text(tmp_path).splitlines() if " object_failed:" in line]
    assert (f"{name}: refused" in line, line.endswith("transient=false")) == (True, True), line
    assert len(paths.names()) == len(NAMES) - 1


def test_a_name_that_cannot_be_copied_is_said_and_counted(
    paths: Paths, migrate: Callable[..., Ended]
) -> None:
    """1,024 bytes are allowed; the longer destination prefix does not leave room."""
    paths.put("L" * 1010, b"one")
    paths.put("fits", b"one")
    longer = f"gs://{paths.migration.destination.bucket}/{'x' * 30}/"
    assert "1,024" in migrate(destination=longer).out.replace("1024", "1,024")
    ended = migrate("--execute", "--yes", destination=longer)
    assert ended.code == 1
    assert "1 copied, 1 failed" in ended.out
    assert "NOT EQUAL: 1 missing" in ended.out


@pytest.mark.parametrize(
    ("arguments", "source", "reason"),
    [
        ((), "-", "say what to migrate"),
        ((), "gs://legacy/p", "write gs://legacy/p/"),
        ((), "file:///tmp/", "not a Cloud Storage prefix"),
    ],
)
def test_bad_arguments_get_one_clear_line(
    migrate: Callable[..., Ended], arguments: tuple[str, ...], source: str, reason: str
) -> None:
    """Exit code 2, no traceback."""
    ended = migrate(*arguments, source=source)
    assert (ended.code, ended.err.count("\n"), ended.out) == (2, 1, "")
    assert reason in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--in-flight", "0"),
        ("--max-writes-per-second", "x"),
        ("--grace", "-1"),
        ("--grace", "nan"),
        ("--grace", "1e99"),
        ("--env", "test"),
        ("--dry-run", "--execute"),
        ("--report", "gs://BUCKET/x"),
        ("--report", "s3://bucket/x"),
        ("--since", "yesterday"),
        ("--since", "2026-13-01"),
        ("--since", "-1d"),
        ("--report", __file__),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    migrate: Callable[..., Ended], arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """By the parser, with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        migrate(*arguments)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_a_server_that_is_not_there_is_one_clear_line(
    migrate: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within seconds, not after two minutes of retries."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setattr("backfill_job.run.run.START_PATIENCE", 0.5)
    ended = migrate()
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "no answer within the time allowed" in ended.err


def test_without_credentials_it_says_how_to_get_them(
    migrate: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not a traceback of the authentication library."""
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    ended = migrate()
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "gcloud auth application-default login" in ended.err


def test_the_tasks_of_a_job_share_the_work(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """Every object is one task's, also in a partition that appears after the first task has looked."""
    fill(
        paths,
        [f"qpi_answers_202401{day:02}/user_id_{user}.jsonl" for day in range(1, 22) for user in range(20)],
    )
    copied = []
    for index in (1, 0, 2, 1):
        environ = {
            "CLOUD_RUN_TASK_COUNT": "3",
            "CLOUD_RUN_TASK_INDEX": str(index),
            "CLOUD_RUN_EXECUTION": "e-1",
        }
        arguments = ("--execute", "--yes", "--report", str(tmp_path / f"{len(copied)}"))
        assert migrate(*arguments, **environ).code == 0
        if not copied:
            fill(paths, ["qpi_answers_20231231/late.jsonl", "flat.csv", "zzz/last"])
        run = json.loads((tmp_path / f"{len(copied)}" / f"task-{index:05}-of-00003" / "run.json").read_text())
        copied.append(run["ledger"]["copied"])
    # The second life of task 1 finds its part done, but for what came late and is its own.
    assert sum(copied) == 21 * 20 + 3
    assert copied[3] <= 3
    assert min(copied[:3]) > 21 * 20 // 5
    assert sorted(paths.names()) == sorted(paths.names(side="source"))
    assert migrate("--execute", "--yes").code == 0


def test_tasks_agree_although_an_answer_is_lost(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """The shard map was written, its answer was lost, its repetition was refused: what is there counts."""
    paths.put("a/x", b"one")
    rule = {"method": "storage.objects.insert", "count": 1, "status": "reset_after"}
    paths.server.set_faults(rules=[rule])
    environ = {"CLOUD_RUN_TASK_COUNT": "2", "CLOUD_RUN_EXECUTION": "e-1"}
    for index in "01":
        assert migrate("--execute", "--yes", CLOUD_RUN_TASK_INDEX=index, **environ).code == 0
    assert paths.names() == ["a/x"]


@pytest.mark.parametrize(
    ("arguments", "environ", "reason"),
    [
        (("--execute", "--yes"), {"CLOUD_RUN_TASK_COUNT": "2"}, "CLOUD_RUN_EXECUTION is not set"),
        (("--execute", "--yes"), {"CLOUD_RUN_TASK_COUNT": "x"}, "CLOUD_RUN_TASK_COUNT is 'x'"),
        (("--execute", "--yes"), {"CLOUD_RUN_TASK_INDEX": "1"}, "there is no such task"),
        ((), {"CLOUD_RUN_TASK_COUNT": "2", "CLOUD_RUN_EXECUTION": "e"}, "run it as one task"),
        (("--tasks", "2"), {}, "--tasks is for --execute --yes"),
        (("--execute", "--tasks", "2"), {}, "--tasks is for --execute --yes"),
    ],
)
def test_tasks_that_make_no_sense_are_refused(
    paths: Paths,
    migrate: Callable[..., Ended],
    arguments: tuple[str, ...],
    environ: dict[str, str],
    reason: str,
) -> None:
    """One clear line, exit code 2."""
    paths.put("a", b"one")
    ended = migrate(*arguments, terminal=True, **environ)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert reason in ended.err


def test_an_empty_source_is_refused_by_every_task(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """Not taken for a part without work."""
    environ = {"CLOUD_RUN_TASK_COUNT": "2", "CLOUD_RUN_TASK_INDEX": "1", "CLOUD_RUN_EXECUTION": "e-1"}
    ended = migrate("--execute", "--yes", **environ)
    assert ended.code == 2
    assert "holds no objects" in ended.err


def test_a_damaged_shard_map_is_refused(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """A wrong map could leave names to nobody."""
    paths.put("a", b"one")
    at = paths.migration.own_ref("runs", "e-1", "shards.json")
    paths.client.bucket(at.bucket).blob(at.name).upload_from_string(b"{}")
    environ = {"CLOUD_RUN_TASK_COUNT": "2", "CLOUD_RUN_TASK_INDEX": "1", "CLOUD_RUN_EXECUTION": "e-1"}
    ended = migrate("--execute", "--yes", **environ)
    assert ended.code == 2
    assert "shard map without" in ended.err


def test_the_environment_chooses_the_buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--env dev is the QPI preset, and names the log file."""
    buckets = ["data-bucket-dev", "de-bigquery-data-export-dev"]
    with local_gcs.running(buckets=buckets) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.chdir(tmp_path)
        client = storage.Client(project="test")
        client.bucket("data-bucket-dev").blob("QPI_exports/a").upload_from_string(b"one")
        assert migrate_qpi_exports.COMMAND.main(["--env", "dev", "--execute", "--yes", "--grace", "0"]) == 0
        found: list[Any] = [
            blob.name for blob in client.list_blobs("de-bigquery-data-export-dev", prefix="qpi")
        ]
        client._http.close()
    assert found == ["qpi_exports/a"]
    assert len(list(tmp_path.glob("migrate_qpi_exports_dev_*.log"))) == 1


# --- where reports go, and which days are swept ---------------------------------------------------------------


def test_reports_can_go_to_cloud_storage(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """The same files, as objects; a task of a job has no disk."""
    fill(paths)
    place = f"gs://{paths.migration.destination.bucket}/_migration/reports"
    assert migrate("--report", place + "/dry").code == 0
    assert migrate("--execute", "--yes", "--report", place + "/run/").code == 0
    bucket = paths.bucket("destination")
    names = sorted(blob.name for blob in bucket.list_blobs(prefix="_migration/reports/"))
    assert names == [
        f"_migration/reports/{name}"
        for name in (
            "dry/objects.jsonl",
            "dry/plan.json",
            "dry/started.json",
            "dry/writes.html",
            "run/objects.jsonl",
            "run/run.json",
            "run/started.json",
        )
    ]
    lines = json_lines(bucket.blob("_migration/reports/run/objects.jsonl").download_as_text())
    assert sorted(line["name"] for line in lines) == sorted(NAMES)
    run = json.loads(bucket.blob("_migration/reports/run/run.json").download_as_bytes())
    assert run["ledger"]["copied"] == len(NAMES)


def test_reports_of_a_broken_run_are_not_complete(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """Lines that were not written to their end do not appear, and run.json says how it ended."""
    fill(paths)
    place = f"gs://{paths.migration.destination.bucket}/_migration/reports"
    rule = {
        "method": "storage.objects.list",
        "bucket": paths.migration.source.bucket,
        "skip": 2,
        "status": 403,
    }
    paths.server.set_faults(rules=[rule])
    assert migrate("--report", place).code == 1
    names = [blob.name for blob in paths.bucket("destination").list_blobs(prefix="_migration/reports/")]
    assert names == ["_migration/reports/started.json"]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("gs://no-such-bucket-here/r/", "no such bucket"),
        ("{source}", "which is migrated"),
        ("{destination}below/it", "which is migrated"),
    ],
)
def test_reports_that_cannot_be_written_are_found_out_at_the_start(
    paths: Paths, migrate: Callable[..., Ended], place: str, reason: str
) -> None:
    """Before anything is copied."""
    fill(paths)
    uris = {"source": paths.migration.source.uri, "destination": paths.migration.destination.uri}
    ended = migrate("--execute", "--yes", "--report", place.format(**uris))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert reason in ended.err
    assert paths.names() == []


def test_tasks_compose_the_report_of_the_whole(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """Whoever completes the set does it; parts of an earlier execution are not of the set."""
    fill(paths, [f"qpi_answers_202401{day:02}/user_id_1.jsonl" for day in range(1, 31)])
    place = f"gs://{paths.migration.destination.bucket}/_migration/reports/"

    def whole() -> dict[str, Any]:
        blob = paths.bucket("destination").get_blob("_migration/reports/run.json")
        return json.loads(blob.download_as_bytes()) if blob else {"run": ""}

    for execution in ("e-1", "e-2"):
        for index in "201":
            assert whole()["run"] != execution
            environ = {"CLOUD_RUN_TASK_COUNT": "3", "CLOUD_RUN_TASK_INDEX": index}
            ended = migrate("--execute", "--yes", "--report", place, CLOUD_RUN_EXECUTION=execution, **environ)
            assert ended.code == 0
        run = whole()
        assert (run["run"], run["ledger"]["listed"], run["verification"]["clean"]) == (execution, 30, True)
    assert run["ledger"]["already_equal"] == 30


@pytest.mark.parametrize("damaged", [b"{", b"[]", b'{"run": "e-1"}', b'{"run": "e-1", "verification": 7}'])
def test_a_damaged_part_is_said_in_one_line(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path, damaged: bytes
) -> None:
    """Exit code 2, no traceback; the task's own report is there."""
    fill(paths, ["a/x", "b/x"])
    (tmp_path / "task-00001-of-00002").mkdir()
    (tmp_path / "task-00001-of-00002" / "run.json").write_bytes(damaged)
    environ = {
        "CLOUD_RUN_TASK_COUNT": "2",
        "CLOUD_RUN_TASK_INDEX": "0",
        "CLOUD_RUN_EXECUTION": "e-1",
    }
    ended = migrate("--execute", "--yes", "--report", str(tmp_path), **environ)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "run.json" in ended.err
    assert (tmp_path / "task-00000-of-00002" / "run.json").exists()


def test_the_estimate_stands_beside_what_it_took(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """Operations are counted as they are billed: listings, copies and what goes on record are class A, looks class B."""
    fill(paths, [f"a/{number}" for number in range(30)])
    paths.put("a/0", b"other", side="destination")
    paths.put("extra", side="destination")
    paths.server.reset_stats()
    ended = migrate("--execute", "--yes", "--report", str(tmp_path / "r"))
    run = json.loads((tmp_path / "r" / "run.json").read_text())
    assert run["operations"] == {
        "class_a": sum(paths.requests(f"storage.objects.{one}") for one in ("list", "rewrite", "insert")),
        "class_b": paths.requests("storage.objects.get") + paths.requests("storage.objects.download"),
    }
    assert run["work"] == {
        "source_objects": 30,
        "destination_objects": 2,
        "new_objects": 29,
        "replaced_objects": 1,
        "second_copy_bytes": sum(
            blob.size for blob in paths.bucket("source").list_blobs(prefix="QPI_exports/a/")
        ),
        "ranges": 1,
    }
    assert [line["what"] for line in run["estimate"]] == ["class_a", "class_b", "dollars", "seconds"]
    assert "estimated" not in ended.out  # the run was short


def test_since_leaves_out_nothing_that_has_no_day_in_its_name(
    paths: Paths, migrate: Callable[..., Ended]
) -> None:
    """Also where such a name lies between names of older days."""
    undated = [
        "qpi_answers_2026-11-23.jsonl",
        "qpi_answers_1 final.jsonl",
        "qpi_answers_20200199/user_id_1.jsonl",
    ]
    older = [
        "qpi_answers_20200101/user_id_1.jsonl",
        "qpi_answers_20200102.jsonl",
        "qpi_questions_20200103.csv",
    ]
    fill(paths, [*undated, *older])
    assert migrate("--execute", "--yes", "--since", "2026-11-23").code == 0
    assert paths.names() == sorted(undated)


def test_since_asks_for_no_further_listing(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """The folders are known already from cutting the work into pieces."""
    paths.put("qpi_answers_20240310/user_id_1.jsonl", b"{}\n")
    asked = []
    for words in ((), ("--since", "2024-03-10")):
        paths.server.reset_stats()
        assert migrate("--dry-run", *words).code == 0
        asked.append(paths.requests("storage.objects.list"))
    assert asked[0] == asked[1]


def test_since_leaves_out_older_days_only(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """What has no day in its name is always swept, and the end says how far it looked."""
    old = ["qpi_answers_20240101/user_id_1.jsonl", "qpi_answers_20240301.jsonl", "qpi_questions_20231231.csv"]
    recent = ["qpi_answers_20240309/user_id_1.jsonl", "qpi_answers_20240311/user_id_1.jsonl"]
    recent += ["qpi_answers_20240310.jsonl", "qpi_questions_20240310.csv"]
    dateless = ["", "README", "qpi_answers_/x", "qpi_answers_backup/x", "zzz/x"]
    fill(paths, [*old, *recent, *dateless])
    ended = migrate("--execute", "--yes", "--since", "2024-03-10T12:00:00+02:00", "--report", str(tmp_path))
    assert ended.code == 0
    assert sorted(paths.names()) == sorted([*recent, *dateless])
    assert "both sides are equal (since 2024-03-10 10:00 UTC only)" in ended.out
    assert json.loads((tmp_path / "run.json").read_text())["narrowed"] == "since 2024-03-10 10:00 UTC only"
    assert migrate("--execute", "--yes", "--since", "3650d").code == 0
    assert sorted(paths.names()) == sorted([*old, *recent, *dateless])


def test_a_log_file_that_cannot_be_written_is_one_line_and_nothing_starts(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """Exit code 2 before anything is asked."""
    fill(paths)
    (tmp_path / "file").write_text("")
    paths.server.reset_stats()
    ended = migrate("--execute", "--yes", "--log-dir", str(tmp_path / "file" / "below"))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert f"cannot write the log file {tmp_path / 'file' / 'below'}/migrate_qpi_exports_custom_" in ended.err
    assert ended.err.endswith("Not a directory; choose --log-dir\n")
    assert paths.server.stats()["methods"] == {}


def test_runs_that_begin_in_the_same_second_have_a_log_file_each(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first has the documented name, and each names its own file."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    fill(paths)
    now = datetime.now(UTC)
    words = (*where(paths), "--log-dir", str(tmp_path / "new"), "--grace", "0")
    ended = [run_command("migrate", *words, now=lambda: now) for _ in range(3)]
    stem = f"migrate_qpi_exports_custom_{now:%Y%m%dT%H%M%SZ}"
    said = [Path(each.out.splitlines()[0].removeprefix("log: ")).name for each in ended]
    assert said == [f"{stem}.log", f"{stem}_2.log", f"{stem}_3.log"]
    assert [each.log.count("run_started") for each in ended] == [1, 1, 1]


def test_log_files_that_are_made_at_once_are_different_files(tmp_path: Path) -> None:
    """The run that creates a file has it alone."""
    now = datetime.now(UTC)
    with ThreadPoolExecutor(8) as threads:
        files = [*threads.map(lambda _: new_log_file(tmp_path, "x", now), range(40))]
    assert len({*files}) == 40


# --- a full disk behind the log ---------------------------------------------------------------------------------

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this machine has no /dev/full")


@needs_full
def test_a_log_that_takes_no_line_is_said_before_anything_is_done(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, one line, and no copy."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    fill(paths)
    file = tmp_path / "full.log"
    file.symlink_to(FULL)
    monkeypatch.setattr(open_run, "new_log_file", lambda *_: file)
    words = (*where(paths), "--log-dir", str(tmp_path), "--grace", "0", "--execute", "--yes")
    ended = run_command("migrate", *words)
    said = (
        f"migrate_qpi_exports: cannot write the log file {file}: No space left on device; choose --log-dir\n"
    )
    assert (ended.code, ended.err) == (2, said)
    assert paths.names() == []


def logged_until_full(file: Path, error: Exception | None = None) -> None:
    """Log a line, and more after the disk is full."""
    log = EventLog()
    with logging_to(StringIO(), LogFormat.TEXT, file=file):
        log.emit(Event.RUN_STARTED, mode="execute")
        (kept,) = [
            each
            for each in logging.getLogger().handlers
            if isinstance(each, logging.FileHandler) and each.baseFilename == str(file)
        ]
        kept.stream.close()
        kept.stream = FULL.open("a", encoding="utf-8")
        for _ in range(3):
            log.emit(Event.RUN_STOPPED, error="it")
        if error is not None:
            raise error


@needs_full
def test_a_log_that_is_full_half_way_is_called_that(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The work goes on, and its end says that the log is incomplete."""
    file = tmp_path / "a.log"
    with pytest.raises(CannotWrite, match=r"the log file .*a\.log is incomplete: No space left on device"):
        logged_until_full(file)
    assert "run_started" in file.read_text()
    said = capfd.readouterr().err
    assert said.count("no more lines in the log file") == 1
    assert "Traceback" not in said


@needs_full
def test_an_error_of_the_run_is_not_hidden_by_a_full_log(tmp_path: Path) -> None:
    """The first error is the one to mend first."""
    with pytest.raises(UsageError, match="the run's own"):
        logged_until_full(tmp_path / "a.log", UsageError("the run's own"))


# --- requester pays ----------------------------------------------------------------------------------------------


def requester_pays(paths: Paths) -> None:
    """Make both buckets bill who asks; then even the test's own client needs a project."""
    for location in (paths.migration.source, paths.migration.destination):
        bucket = paths.client.bucket(location.bucket)
        bucket.requester_pays = True
        bucket.patch()


def test_a_bucket_that_wants_a_project_that_pays_is_said(paths: Paths, migrate: Callable[..., Ended]) -> None:
    """The answer asks for it, and the line says how to give it."""
    fill(paths)
    requester_pays(paths)
    for arguments in ((), ("--execute", "--yes")):
        ended = migrate(*arguments)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "Name the project that pays with --billing-project" in ended.err


@pytest.mark.parametrize("tasks", ["1", "2"])
def test_with_a_billing_project_everything_is_copied_and_verified(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path, tasks: str
) -> None:
    """Both clients send it with every request; the tasks of one machine, too."""
    fill(paths)
    paths.put("plain.txt", b"other", side="destination")
    requester_pays(paths)
    pays = ("--billing-project", "who-pays")
    assert migrate(*pays).code == 0
    words = (*pays, "--execute", "--yes", "--ungoverned", "--report", str(tmp_path / "r"))
    line = [sys.executable, "-m", "backfill_job", "migrate", *where(paths), "--log-dir", str(tmp_path)]
    done = subprocess.run(
        [*line, *words, "--grace", "0", "--tasks", tasks], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "r" / "run.json").read_text())
    assert (report["ledger"]["copied"], report["ledger"]["failed"]) == (len(NAMES), 0)
    assert report["verification"]["clean"]


@pytest.mark.parametrize("project", ["A B", "x&y=z", "../x"])
def test_a_billing_project_is_an_id(migrate: Callable[..., Ended], project: str) -> None:
    """It becomes a part of every address."""
    with pytest.raises(SystemExit):
        migrate("--billing-project", project)


def test_an_execution_that_compared_nothing_ends_with_1(
    paths: Paths, migrate: Callable[..., Ended], tmp_path: Path
) -> None:
    """Of several tasks one may have nothing; all together may not."""
    for number in (1, 2):
        paths.put(f"qpi_answers_2024010{number}/user_id_7.jsonl", b"x")
        paths.put(f"qpi_answers_2024010{number}/user_id_7.jsonl", b"x", side="destination")
    ended = migrate("--execute", "--yes", "--exclude", "*")
    assert ended.code == 1
    assert "nothing was compared: all is excluded (2 names)" in ended.out
    assert "check --exclude" in ended.out
    for words in (("--exclude", "["), ("--exclude", ""), ("--since", "9999-12-31")):
        for more in ((), ("--execute", "--yes")):
            ended = migrate(*more, *words)
            assert (ended.code, ended.err.count("\n")) == (2, 1), words
    quiet = migrate("--since", "3d")
    assert "holds no objects since " in quiet.out
    assert "case counts" not in quiet.out

    def tasks(name: str, *arguments: str) -> list[int]:
        report = ("--report", str(tmp_path / name))
        environ = {"CLOUD_RUN_EXECUTION": name, "CLOUD_RUN_TASK_COUNT": "4"}
        return [
            migrate(
                "--execute", "--yes", *report, *arguments, **environ, CLOUD_RUN_TASK_INDEX=str(index)
            ).code
            for index in range(4)
        ]

    assert tasks("some") == [0, 0, 0, 0]
    assert tasks("none", "--exclude", "*") == [0, 0, 0, 1]  # the last task sums up


def test_without_a_record_and_with_objects_at_the_destination_no_question_is_asked(
    paths: Paths, migrate: Callable[..., Ended]
) -> None:
    """What would be refused after a yes is refused before it, with how to go on; with --begin it asks."""
    paths.forget()
    fill(paths)
    paths.put("plain.txt", b"other", side="destination")
    refused = migrate("--execute", stdin="yes\n", terminal=True)
    assert (refused.code, "[yes/no]" in refused.out, "--begin begins the migration" in refused.err) == (
        2,
        False,
        True,
    )
    begun = migrate("--execute", "--begin", "--ungoverned", stdin="yes\n", terminal=True)
    assert (begun.code, begun.err) == (0, "")
