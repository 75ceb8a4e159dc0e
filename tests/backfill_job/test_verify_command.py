"""The command ``verify``, as its user meets it."""

import html
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from testing_commands import Ended, run_command, where, without_log
from testing_paths import Paths

from backfill_job.verify.certificate import read_certificate
from shared.gateway import Gateway
from shared.objects import LEFT_OUT, parse_time
from shared.phase import Phase
from shared.record import read_state

GOOD = b'{"user_id":"7"}\n'


@pytest.fixture
def run(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)

    def run(*arguments: str, now: datetime | None = None, **environ: str) -> Ended:
        quick = () if "--grace" in arguments else ("--grace", "0")
        words = (*where(paths), "--log-dir", str(tmp_path / "logs"), *quick, *arguments)
        return run_command("verify", *words, now=lambda: now or datetime.now(UTC), environ=environ)

    return run


def both(paths: Paths, *names: str, data: bytes = GOOD) -> None:
    for name in names:
        for side in ("source", "destination"):
            paths.put(name, data, side=side)


def report_in(folder: Path, name: str = "verification.json") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name).read_bytes())
    return content


def day(number: int, user: int = 1) -> str:
    return f"qpi_answers_202401{number:02}/user_id_{user}.jsonl"


def test_two_equal_paths_are_certified(
    paths: Paths, run: Callable[..., Ended], tmp_path: Path, gateway: Gateway
) -> None:
    """Exit code 0; the reports, the certificate and the state tell the same."""
    both(paths, day(1), day(1, 2), day(3), "README")
    ended = run("--report", str(tmp_path / "r"))
    assert (ended.code, ended.err) == (0, "")
    assert "4 names compared: both sides are equal" in ended.out
    report, certificate = report_in(tmp_path / "r"), (tmp_path / "r" / "certificate.json").read_bytes()
    assert report["certificate"]["sha256"] == sha256(certificate).hexdigest()
    content = json.loads(certificate)
    assert read_certificate(certificate, "it").to_bytes() == certificate
    assert read_certificate(certificate, "it").unequal_days == ()
    assert content["data"]["days"]["2024-01-01"]["source"]["objects"] == 2
    assert [(each["day"], each["verdict"]) for each in report["days"]] == [
        ("2024-01-01", "equal"),
        ("2024-01-02", "absent"),
        ("2024-01-03", "equal"),
    ]
    assert report["undated"]["source"]["objects"] == 1
    assert [remark["kind"] for remark in report["remarks"]] == ["missing_day"]
    assert "both sides are equal" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    (recorded,) = read_state(gateway, paths.migration).runs
    assert (recorded.exit_code, recorded.certificate_sha256) == (0, report["certificate"]["sha256"])
    latest = paths.bucket("destination").blob("_migration/qpi_exports/latest/verification.json")
    assert json.loads(latest.download_as_bytes()) == report


def test_every_difference_is_reported_with_both_sides_facts(
    paths: Paths, run: Callable[..., Ended], tmp_path: Path
) -> None:
    """Exit code 1; a day that has less JSONL data at the destination is critical."""
    both(paths, day(1), day(2))
    paths.put(day(2), b'{"user_id":"8"}\n', side="destination")
    paths.put(day(3), GOOD)
    paths.put("extra", b"x", side="destination")
    both(paths, "typed")
    paths.put("typed", GOOD, side="destination", content_type="text/plain")
    ended = run("--report", str(tmp_path / "r"))
    assert ended.code == 1
    report = report_in(tmp_path / "r")
    assert report["counts"] == {
        "equal": 1,
        "missing": 1,
        "content_differs": 1,
        "metadata_differs": 1,
        "extra": 1,
        "in_flight": 0,
        "excluded": 0,
        "erased": 0,
    }
    assert {finding["name"]: finding["verdict"] for finding in report["differences"]} == {
        day(2): "content_differs",
        day(3): "missing",
        "extra": "extra",
        "typed": "metadata_differs",
    }
    assert report["metadata_differences"] == {"content type": 1}
    certificate = (tmp_path / "r" / "certificate.json").read_bytes()
    # The digests cover contents; of the object with another content type, the verdict alone tells.
    assert read_certificate(certificate, "it").unequal_days == ("2024-01-02", "2024-01-03", "undated")
    assert [each["verdict"] for each in report["days"]] == ["equal", "differing", "missing"]
    assert "critical: 2024-01-03: 1 JSONL file at the source, 0 at the destination" in ended.out
    assert "NOT EQUAL: 1 missing, 1 content differs, 1 metadata differs, 1 extra" in ended.out


def test_object_contexts_are_compared(
    paths: Paths, run: Callable[..., Ended], tmp_path: Path, gateway: Gateway
) -> None:
    """A copy carries them; one that somebody changed since is a difference."""
    paths.put(day(1))
    blob = paths.bucket("source").blob(paths.migration.source.prefix + day(1))
    path = f"/b/{blob.bucket.name}/o/{blob.name.replace('/', '%2F')}"
    for value in ("raw", "clean"):
        contexts = {"custom": {"state": {"value": value}}}
        paths.client._connection.api_request("PATCH", path, data={"contexts": contexts})
        source, destination = paths.migration.source_ref(day(1)), paths.migration.destination_ref(day(1))
        if value == "raw":
            generation = gateway.look(source)
            assert generation is not None
            gateway.copy(source, destination, if_source=generation.generation, if_destination=0)
            assert run().code == 0
    ended = run("--report", str(tmp_path / "r"))
    assert ended.code == 1
    assert "metadata differs" in ended.out
    assert report_in(tmp_path / "r")["metadata_differences"] == {"object contexts": 1}


def test_what_is_not_compared_is_named(paths: Paths, run: Callable[..., Ended], tmp_path: Path) -> None:
    """By the verdict, the report and the certificate."""
    both(paths, day(1))
    ended = run("--report", str(tmp_path / "r"))
    assert f"  not compared: {', '.join(LEFT_OUT)}\n" in ended.out
    assert tuple(report_in(tmp_path / "r", "certificate.json")["not_compared"]) == LEFT_OUT
    page = html.unescape((tmp_path / "r" / "report.html").read_text(encoding="utf-8"))
    named = {each["what"] for each in report_in(tmp_path / "r")["not_kept"]}
    assert named >= set(LEFT_OUT)
    assert all(words in page for words in LEFT_OUT)


def test_an_object_without_a_checksum_is_never_equal(
    paths: Paths, run: Callable[..., Ended], tmp_path: Path
) -> None:
    """A composite object has no md5, and is judged by its crc32c alone."""
    both(paths, day(1))
    bucket = paths.bucket("destination")
    name = paths.migration.destination.prefix + day(1)
    parts = [bucket.blob(f"part-{number}") for number in range(2)]
    for part, data in zip(parts, (GOOD[:5], GOOD[5:]), strict=True):
        part.upload_from_string(data)
    whole = bucket.blob(name)
    whole.content_type = "application/json"
    whole.compose(parts)
    assert run().code == 0
    whole = bucket.blob(name)
    whole.content_type = "application/json"
    whole.compose(parts[::-1])
    assert run().code == 1


def test_contents_are_read_on_request(paths: Paths, run: Callable[..., Ended], tmp_path: Path) -> None:
    """What is wrong at the source is the source's, and does not fail the migration; what the copy broke does."""
    both(paths, day(1), data=b'{"user_id":[7]}\n')
    both(paths, day(2))
    both(paths, day(3), data=b'{"user_id":7,"submitted_at":0,"answers":[]}\n')
    ended = run("--contents", "all", "--report", str(tmp_path / "r"))
    assert ended.code == 0
    assert "contents: wrong type in 1 object (the source's own)" in ended.out
    assert "contents: coerced, not judged here, in 1 object (the source's own)" in ended.out
    content = report_in(tmp_path / "r")["contents"]
    assert (content["objects"], content["rows"], content["migration_problems"]) == (3, 3, {})
    assert content["source_problems"]["coerced"] == {"objects": 1, "lines": 1, "severity": "not_judged"}
    assert "NOTHING was read" not in ended.out
    assert (
        "NOTHING was read: no JSONL object is there, or the sample took none"
        in run("--contents", "sample:0.0001").out
    )


@pytest.mark.parametrize("contents", ["none", "all"])
def test_tasks_come_to_the_same_certificate(
    paths: Paths, run: Callable[..., Ended], tmp_path: Path, contents: str
) -> None:
    """However many share the names; the last one sums up and records."""
    both(paths, *(day(number, user) for number in range(1, 20) for user in (1, 2)), "README")
    assert run("--report", str(tmp_path / "one"), "--no-record", "--contents", contents).code == 0
    environ = {"CLOUD_RUN_TASK_COUNT": "3", "CLOUD_RUN_EXECUTION": "e-1"}
    for index in "201":
        assert not (tmp_path / "three" / "verification.json").exists()
        arguments = ("--report", str(tmp_path / "three"), "--contents", contents)
        assert run(*arguments, CLOUD_RUN_TASK_INDEX=index, **environ).code == 0
    one, three = report_in(tmp_path / "one"), report_in(tmp_path / "three")
    assert one["certificate"]["data_sha256"] == three["certificate"]["data_sha256"]
    for key in ("counts", "totals", "days", "undated"):
        assert one[key] == three[key]
    if contents == "all":
        assert three["contents"]["rows"] == 38


def test_local_tasks_sum_up(paths: Paths, gateway: Gateway, tmp_path: Path) -> None:
    """``--tasks 2``: two processes, one answer."""
    both(paths, *(day(number) for number in range(1, 10)))
    migration = paths.migration
    line = [sys.executable, "-m", "backfill_job", "verify", "--source", migration.source.uri]
    line += ["--destination", migration.destination.uri, "--grace", "0", "--tasks", "2"]
    environ = {**os.environ, "STORAGE_EMULATOR_HOST": paths.server.url}
    done = subprocess.run(line, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, without_log(done.stderr)) == (0, "")
    *_, verdict, following = done.stdout.splitlines()
    assert verdict == "9 names compared: both sides are equal"
    assert following.startswith("Next: python -m backfill_job signoff ")
    assert done.stdout.count(verdict) == done.stdout.count("Next: ") == 1
    # Without --report there is none to be found afterwards, and nobody is sent to look for one.
    assert "report: " not in done.stdout
    (recorded,) = read_state(gateway, migration).runs
    assert recorded.report is None


@pytest.mark.parametrize("command", [("verify",), ("migrate", "--execute", "--yes", "--ungoverned")])
def test_with_json_lines_the_tasks_of_one_machine_print_nothing_else(
    paths: Paths, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Every line on stdout is one JSON object, also after the last task."""
    environ = {**os.environ, "STORAGE_EMULATOR_HOST": paths.server.url}
    both(paths, *(day(number) for number in range(1, 10)))
    line = [sys.executable, "-m", "backfill_job", *command, *where(paths), "--grace", "0", "--tasks", "2"]
    line += ["--log-format", "json"]
    done = subprocess.run(line, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(json.loads(each)["event"] for each in done.stdout.splitlines())


def test_the_lag_of_the_mirror_is_taken_from_the_objects_times(
    paths: Paths, run: Callable[..., Ended], tmp_path: Path
) -> None:
    """Of objects written since; the backfill's copies of older ones do not count."""
    both(paths, day(1), day(2))
    assert run("--report", str(tmp_path / "a")).code == 0
    lag = report_in(tmp_path / "a")["lag"]
    created = [
        [
            parse_time(state.created)
            for side in ("source", "destination")
            if (state := paths.look(name, side=side))
        ]
        for name in (day(1), day(2))
    ]
    longest = max((copied - written).total_seconds() for written, copied in created)
    assert (lag["objects"], lag["max_s"]) == (2, pytest.approx(longest, abs=0.001))
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert run("--report", str(tmp_path / "b"), "--mirror-since", later).code == 0
    assert report_in(tmp_path / "b")["lag"]["objects"] == 0
    paths.begin()
    assert run("--report", str(tmp_path / "c")).code == 0
    assert report_in(tmp_path / "c")["lag"]["objects"] == 0, "a mirror brings nothing before the begin"


def test_a_prefix_in_another_case_is_critical(
    paths: Paths, run: Callable[..., Ended], tmp_path: Path
) -> None:
    """The silent failure: somebody writes to the new bucket under the old prefix's case. The reports say so, too."""
    both(paths, day(1))
    paths.bucket("destination").blob("QPI_exports/" + day(2)).upload_from_string(GOOD)
    ended = run("--report", str(tmp_path / "r"))
    assert (ended.code, ended.err) == (1, "")
    assert [remark["kind"] for remark in report_in(tmp_path / "r")["remarks"]] == ["mixed_prefix"]
    assert "in another case" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "mixed_prefix_found" in ended.log
    assert "QPI_exports/ holds objects: the destination's name in another case" in ended.out


def test_a_narrowed_verification_certifies_nothing(
    paths: Paths, run: Callable[..., Ended], tmp_path: Path, gateway: Gateway
) -> None:
    """It looked at a part, and says so."""
    both(paths, day(1))
    paths.put(day(2), GOOD)
    ended = run("--since", "2024-01-09", "--report", str(tmp_path / "r"))
    assert ended.code == 0
    assert "(since 2024-01-09 00:00 UTC only)" in ended.out
    assert report_in(tmp_path / "r")["certificate"] is None
    assert read_state(gateway, paths.migration).runs == ()


def test_a_listing_that_breaks_off_gives_no_verdict(
    paths: Paths, run: Callable[..., Ended], tmp_path: Path, gateway: Gateway
) -> None:
    """Neither a report nor a certificate nor a record."""
    paths.server.fill(paths.migration.source.bucket, 2_500, prefix="QPI_exports/")
    rule = {"method": "storage.objects.list", "skip": 6, "count": None, "status": 403}
    paths.server.set_faults(rules=[rule])
    ended = run("--report", str(tmp_path / "r"))
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "equal" not in ended.out
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["started.json"]
    paths.server.clear_faults()
    assert read_state(gateway, paths.migration).runs == ()


def test_whoever_may_not_record_is_told_how_to_compare_only(paths: Paths, run: Callable[..., Ended]) -> None:
    """A second person needs no more than reading."""
    both(paths, day(1))
    rule = {"method": "storage.objects.insert", "count": None, "status": 403}
    paths.server.set_faults(rules=[rule])
    ended = run()
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "cannot start: the comparison could not be recorded" in ended.err
    assert "--no-record" in ended.err
    assert run("--no-record").code == 0


def test_odd_names_are_shown_as_they_are(paths: Paths, run: Callable[..., Ended], tmp_path: Path) -> None:
    """Never as markup, on the screen or in the page."""
    paths.put("<script>alert(1)</script>")
    paths.put("[bold]not markup[/bold]")
    ended = run("--report", str(tmp_path / "r"))
    assert "missing '[bold]not markup[/bold]'" in ended.out
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    "arguments",
    [("--contents", "some"), ("--contents", "sample:0"), ("--mirror-since", "x"), ("--report", __file__)],
)
def test_arguments_that_make_no_sense_are_refused(
    run: Callable[..., Ended], arguments: tuple[str, ...]
) -> None:
    """By argparse, with exit code 2."""
    with pytest.raises(SystemExit) as refused:
        run(*arguments)
    assert refused.value.code == 2


def test_several_tasks_need_a_place_for_their_results(paths: Paths, run: Callable[..., Ended]) -> None:
    """In a job; local tasks have one of their own."""
    both(paths, day(1))
    environ = {"CLOUD_RUN_TASK_COUNT": "2", "CLOUD_RUN_EXECUTION": "e", "CLOUD_RUN_TASK_INDEX": "0"}
    ended = run(**environ)
    assert (ended.code, "--report" in ended.err) == (2, True)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_a_huge_line_neither_fills_the_memory_nor_counts_as_a_row(paths: Paths, tmp_path: Path) -> None:
    """64 MB without a line break, read back whole: its checksum is checked, and little of it is held."""
    both(paths, day(1), data=b'{"user_id":"' + b"x" * 64_000_000 + b'"}\n' + GOOD)
    migration = paths.migration
    words = ["verify", "--source", migration.source.uri, "--destination", migration.destination.uri]
    words += ["--no-record", "--grace", "0", "--contents", "all", "--report", "r"]
    program = (
        "import re, sys; from backfill_job.__main__ import main; code = main(sys.argv[1:]); "
        "print(re.search(r'VmHWM:\\s+([0-9]+) kB', open('/proc/self/status').read())[1]); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "STORAGE_EMULATOR_HOST": paths.server.url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, without_log(done.stderr)) == (0, "")
    content = report_in(tmp_path / "r")["contents"]
    assert content["source_problems"]["line_too_long"]["lines"] == 1
    assert int(done.stdout.splitlines()[-1]) < 150 * 1024


def test_a_mistyped_year_does_not_make_a_line_for_every_day_until_then(
    paths: Paths, run: Callable[..., Ended], tmp_path: Path
) -> None:
    """It is named, counted, and certified; the calendar is of the days that belong together."""
    both(paths, day(1), day(2), "qpi_answers_92240101/user_id_1.jsonl")
    ended = run("--report", str(tmp_path / "r"))
    assert ended.code == 0
    assert "9224-01-01: in the future; 1 object" in ended.out
    report = report_in(tmp_path / "r")
    assert [each["day"] for each in report["days"]] == ["2024-01-01", "2024-01-02"]
    assert report["undated"]["source"]["objects"] == 1
    certificate = report_in(tmp_path / "r", "certificate.json")
    assert list(certificate["data"]["days"]) == ["2024-01-01", "2024-01-02", "9224-01-01"]


def test_nothing_compared_is_never_equal(paths: Paths, run: Callable[..., Ended], tmp_path: Path) -> None:
    """All excluded: exit code 1, never clean. Empty paths that the operator expects: exit code 0, in words of their own."""
    both(paths, day(1), day(2))
    everything = run("--exclude", "*", "--report", str(tmp_path / "r"))
    assert everything.code == 1
    assert "nothing was compared: all is excluded (2 names)" in everything.out
    assert "equal" not in everything.out.splitlines()[-1]
    report = report_in(tmp_path / "r")
    assert (report["clean"], report["exit_code"]) == (False, 1)
    assert "Nothing was compared" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert run("--exclude", "*", "--allow-empty").code == 1
    for name in (day(1), day(2)):
        for side in ("source", "destination"):
            paths.delete(name, side=side)
    assert "holds no objects" in run().err
    empty = run("--allow-empty", "--report", str(tmp_path / "r"))
    assert empty.code == 0
    assert "nothing was compared: there is no object on either side (as --allow-empty permits)" in empty.out
    assert report_in(tmp_path / "r")["clean"] is False


def test_after_a_deletion_an_empty_legacy_path_is_not_called_a_typo(
    paths: Paths, run: Callable[..., Ended]
) -> None:
    """The phase says why it is empty."""
    paths.put(day(1), GOOD, side="destination")
    paths.begin(Phase.DELETED)
    ended = run()
    assert ended.code == 2
    assert "holds no objects, because the phase is deleted" in ended.err
    assert "typo" not in ended.err
    assert (
        "The phase is deleted: 1 name at the new path only, as a deletion leaves it."
        in run("--allow-empty").out
    )


def test_two_verifications_that_begin_in_one_second_leave_a_certificate_each(
    paths: Paths, run: Callable[..., Ended], gateway: Gateway
) -> None:
    """A run's name is its own, so that neither replaces what the other one leaves."""
    both(paths, day(1))
    moment = datetime.now(UTC)
    assert [run(now=moment).code for _ in range(2)] == [0, 0]
    names = {each.run for each in read_state(gateway, paths.migration).runs}
    at = paths.migration.own_ref("certificates", "x")
    left = paths.client.list_blobs(at.bucket, prefix=at.name.removesuffix("x"))
    assert len(names) == 2
    assert {f"{name}.json" for name in names} == {blob.name.rpartition("/")[2] for blob in left}
