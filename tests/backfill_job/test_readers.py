"""``readers``: who uses the legacy path by the audit log, on the screen, on record, at the gate and before the deletion."""

import json
import shlex
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from google_apis import Apis, serving
from testing_commands import Commands, Ended, run_command
from testing_paths import Paths

from backfill_job.checks import readers_check
from backfill_job.readers import accounts
from backfill_job.readers.accounts import Accounts, own_accounts
from backfill_job.readers.entries import items_of
from demo.data import AIRFLOW, JOB, PERSON, PROJECT, Audit, a_fortnight, written
from shared.errors import UsageError
from shared.migration import Environment, qpi_exports
from shared.phase import Phase
from shared.report.next_steps import CommandTarget
from shared.state import EntryKind, PrincipalUse, ReadersRecord, SeenPrincipal, State
from shared.state_changes import MAX_PRINCIPAL, MAX_PRINCIPALS, Stamp, begun, readers_seen, with_phase

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
DEV = qpi_exports(Environment.DEV)
AUDIT = Audit(DEV)

TABLE = """\
who used gs://data-bucket-dev/QPI_exports/ since 2026-11-14 12:00 UTC, by the entries in entries.json

NOT OURS
  reports@example-bi-dev.iam.gserviceaccount.com for bob@example.com
    wrote          1  last 2026-11-28 07:00 UTC  x/
    storage.objects.create; with no name of a program
  airflow@example-composer-dev.iam.gserviceaccount.com
    bucket        14  last 2026-11-27 12:00 UTC
    read          42  last 2026-11-27 12:00 UTC  qpi_answers_20261114/ … qpi_answers_20261127/ (14)
    storage.objects.list, storage.objects.get; with apache-airflow/2.9.1 gcloud-python/2.16.0
  bqcx-442188550395-jujw@gcp-sa-bigquery-condel.iam.gserviceaccount.com for analyst@example.com
    read           1  last 2026-11-26 12:00 UTC  qpi_answers_20240101.jsonl
    storage.objects.get; with no name of a program
  ada@example.com
    bucket         1  last 2026-11-25 12:00 UTC
    read           1  last 2026-11-25 12:00 UTC  qpi_questions_20240101.csv
    storage.objects.list, storage.objects.get; with apitools Python/3.6.8 gsutil/4.67 (darwin) analytics/enabled interactive/True command/cp g
  deleted:serviceAccount:old-loader@example-app-dev.iam.gserviceaccount.com?uid=123456789012345678901  (a deleted account)
    read           1 (1 refused)  last 2026-11-19 12:00 UTC  old/
    storage.objects.get; with no name of a program

ONLY THE BUCKET
  dataflow@example-app-dev.iam.gserviceaccount.com
    bucket         1  last 2026-11-28 10:00 UTC
    storage.objects.list; with Google-Cloud-Scheduler

OURS
  qpi-exports-backfill-dev@data-platform-dev.iam.gserviceaccount.com  (backfill)
    bucket        57  last 2026-11-28 12:00 UTC
    read          14  last 2026-11-27 12:00 UTC  qpi_answers_20261114/ … qpi_answers_20261127/ (14)
    storage.objects.list, storage.objects.get; with qpi-exports

134 entries read, 1 of other buckets.
Proven: the log was on from 2026-11-14 12:00 UTC to 2026-11-28 12:00 UTC, by reads and listings of the bucket without a hole of more than 25 hours.
The longest time without one: 6 h 00 min, to 2026-11-14 18:00 UTC. A log that was off in it, and a reader then, are not seen.
The log has no entry for reads of public objects, for what a lifecycle rule deletes, and for members that its setting exempts.
A listing's entry names the bucket and not the prefix, so it never blocks. Changes of managed folders are in another log.

5 foreign principals on the legacy path: reports@example-bi-dev.iam.gserviceaccount.com for bob@example.com, \
airflow@example-composer-dev.iam.gserviceaccount.com, \
bqcx-442188550395-jujw@gcp-sa-bigquery-condel.iam.gserviceaccount.com for analyst@example.com … and 2 more.
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder; no storage and no API is there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offline(file: str, *words: str) -> Ended:
    """The command about the preset of dev, at noon, with a file."""
    where = ("--env", "dev", "--log-file", file, "--audit-log", PROJECT)
    return run_command("readers", *where, *words, now=lambda: NOON)


def lines(*entries: dict[str, Any] | str) -> str:
    return "".join(one if isinstance(one, str) else f"{json.dumps(one)}\n" for one in entries)


def test_seven_principals_as_a_table_and_as_json(folder: Path) -> None:
    """Ours are named as ours, a listing stands apart, and whoever acted for another principal is another one."""
    written(folder / "entries.json", a_fortnight(AUDIT, NOON))
    ended = offline("entries.json")
    following = f"Next: python -m backfill_job readers --env dev --log-file entries.json --audit-log {PROJECT} --record\n"
    assert (ended.code, ended.err, ended.out) == (1, "", TABLE + following)

    (folder / "entries.jsonl").write_text(lines(*a_fortnight(AUDIT, NOON)))
    said = json.loads(offline("entries.jsonl", "--json").out)
    assert (said["clean"], said["proven"]["from"]) == (False, "2026-11-14T12:00:00Z")
    rows = {row["principal"]: row for row in said["principals"]}
    assert len(rows) == 7
    assert (rows[JOB]["own"], rows[AIRFLOW]["own"]) == ("backfill", "")
    assert rows[AIRFLOW]["uses"][1] == {
        "use": "read",
        "count": 42,
        "refused": 0,
        "last": "2026-11-27T12:00:00Z",
    }


def found(*entries: dict[str, Any] | str, days: int = 14) -> Accounts:
    own = own_accounts("dev", PROJECT, ())
    return Accounts(DEV, own, NOON - timedelta(days=days), NOON).add_all(entries)


def hours(*ago: float, principal: str = JOB) -> list[dict[str, Any]]:
    """Listings of the bucket so many hours before noon."""
    return [AUDIT.entry(NOON - timedelta(hours=each), principal) for each in ago]


@pytest.mark.parametrize(
    ("entries", "proven"),
    [
        ([], None),
        (hours(48, 24, 0), (48, 0)),
        (hours(0, 24, 48), (48, 0)),
        (hours(60, 24, 0), (24, 0)),
        (hours(72, 48), (72, 48)),
        (hours(24 * 15), None),
        (hours(2, principal="ada@example.com"), (2, 2)),
        ([AUDIT.entry(NOON, JOB, "a", method="create")], None),
        ([AUDIT.entry(NOON, JOB, bucket="another")], None),
        ([AUDIT.entry(NOON - timedelta(hours=3), JOB, "../elsewhere")], (3, 3)),
    ],
)
def test_only_the_time_counts_in_which_the_log_is_proven_to_be_on(
    entries: list[dict[str, Any]], proven: tuple[int, int] | None
) -> None:
    """By reads and listings of that bucket, in any order, up to the newest hole; a write proves nothing about reads."""
    covered = found(*entries).covered
    assert (covered and tuple((NOON - at) / timedelta(hours=1) for at in covered)) == proven


@pytest.mark.parametrize(
    ("ago", "hole"),
    [
        ((), None),
        ((3,), None),
        ((9, 8, 3, 2, 0), (8, 3)),
        ((60, 24, 2, 0), (24, 2)),
        ((24 * 15, 4, 0), (4, 0)),
    ],
)
def test_how_long_the_log_may_have_been_off_is_said_exactly(
    ago: tuple[float, ...], hole: tuple[float, float] | None
) -> None:
    """Only between two entries that prove it: the longest such time, within the proven one."""
    seen = found(*hours(*ago)).hole
    assert (seen and tuple((NOON - at) / timedelta(hours=1) for at in seen)) == hole


def test_a_log_that_is_off_or_short_is_said_with_the_setting_and_its_cost(folder: Path) -> None:
    """An empty answer says nothing then; each command that is printed is one of gcloud's own."""
    (folder / "empty").write_text("")
    ended = offline("empty")
    assert (ended.code, "NOTHING PROVES THAT THE LOG IS ON" in ended.out) == (1, True)
    assert "nothing is known" in ended.out.splitlines()[-2].lower()
    assert ended.out.splitlines()[-1].startswith("Next, when that is fixed: python -m backfill_job readers ")
    (folder / "short").write_text(lines(*hours(30, 6, 0)))
    short = offline("short")
    assert (short.code, "That is less than asked, from 2026-11-14 12:00 UTC" in short.out) == (0, True)
    assert (
        short.out.splitlines()[-2]
        == "No foreign principal from 2026-11-27 06:00 UTC to 2026-11-28 12:00 UTC."
    )
    for out in (ended.out, short.out):
        commands = [shlex.split(line) for line in out.splitlines() if line.startswith("  gcloud ")]
        assert [words[:4] for words in commands] == [
            ["gcloud", "projects", "get-iam-policy", PROJECT],
            ["gcloud", "projects", "set-iam-policy", PROJECT],
            ["gcloud", "logging", "sinks", "update"],
        ]
        assert "$0.50 per GiB" in out
        assert "roles/logging.privateLogViewer" in out


HALF = lines(*hours(0))[:60] + "\n"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (lines("not json\n", *hours(24, 0)), 1, "1 NOT READABLE"),
        (lines(*hours(24, 0), HALF), 1, "1 NOT READABLE"),
        (lines("\n\n", *hours(24, 0), "\n"), 0, "No foreign principal"),
        (
            lines('{"timestamp": "2026-11-28T10:00:00Z", "textPayload": "x"}\n', *hours(0)),
            1,
            "1 of other buckets",
        ),
        (lines({**hours(0)[0], "timestamp": "yesterday"}), 1, "1 NOT READABLE"),
        (lines({**hours(0)[0], "protoPayload": {"methodName": "storage.objects.get"}}), 1, "1 NOT READABLE"),
        (  # a request for an object, whose name is not there
            json.dumps(hours(0)).replace("objects.list", "objects.get"),
            1,
            "1 NOT READABLE",
        ),
        (lines("[" * 100_000), 2, "the array is damaged or ends early"),
        (json.dumps(hours(24, 0))[:-9], 2, "the array is damaged or ends early"),
        (json.dumps(hours(24)) + json.dumps(hours(0)), 0, "2 entries read"),
        (json.dumps(hours(24)) + "x", 2, "the array is damaged or ends early"),
        (lines("\ufeff", *hours(24, 0)), 0, "2 entries read"),
        (lines(*hours(0)), 1, "less than a day is proven"),
        (lines(AUDIT.entry(NOON, "", "a")), 1, "(not named by the log)"),
        (lines(AUDIT.entry(NOON, "a\u202eb\x1b[2J", "a")), 1, r"a\u202eb\x1b[2J"),
        (lines(AUDIT.entry(NOON, "a", "b" * 9_000, agent="c" * 9_000)), 1, "b" * 300 + "\n"),
        (lines(AUDIT.entry(NOON, "x" * 5_000, "a")), 1, "x" * (MAX_PRINCIPAL - 17) + "…"),
    ],
)
def test_hostile_lines_are_counted_and_shown_or_end_with_one_line(
    folder: Path, text: str, code: int, said: str
) -> None:
    """What cannot be read may hide a reader, so it is never clean, and is not recorded."""
    (folder / "log").write_text(text)
    ended = offline("log")
    assert (ended.code, said in (ended.out if code < 2 else ended.err)) == (code, True), ended
    assert len(ended.err.splitlines()) == (code == 2)
    assert all(line.isprintable() for line in ended.out.splitlines())


BUCKET = "projects/_/buckets/data-bucket-dev"


@pytest.mark.parametrize(
    ("method", "of", "use"),
    [
        ("storage.objects.getIamPolicy", "/objects/QPI_exports/a", "read a"),
        ("storage.objects.restore", "/objects/QPI_exports/x/a", "write x/"),
        ("storage.objects.bulkRestore", "", "write "),
        ("storage.objects.get", "/objects/elsewhere/a", "elsewhere"),
        ("storage.multipartUploads.create", "/objects/QPI_exports/x/a", "write x/"),
        ("storage.multipartUploads.listParts", "/objects/QPI_exports/x/a", "read x/"),
        ("storage.multipartUploads.list", "", "the bucket"),
        ("storage.managedFolders.get", "/managedFolders/QPI_exports/x/", "read x/"),
        ("storage.managedFolders.getIamPolicy", "/managedFolders/QPI_exports", "read "),
        ("storage.managedFolders.delete", "/managedFolders/QPI_exports/x", "write x/"),
        ("storage.managedFolders.get", "/managedFolders/elsewhere/", "elsewhere"),
        ("storage.managedFolders.list", "", "the bucket"),
        ("storage.folders.rename", "/folders/QPI_exports/x/", "write x/"),
        ("storage.buckets.get", "", "the bucket"),
        ("storage.buckets.getIamPolicy", "", "the bucket"),
        ("storage.getIamPermissions", "", "the bucket"),
        ("storage.anywhereCaches.get", "/anywhereCaches/europe-west1-b", "the bucket"),
        ("storage.objects.get", "/anywhereCaches/a", None),
        ("storage.objects.get", "", None),
    ],
)
def test_no_form_of_an_entry_hides_who_it_is(method: str, of: str, use: str | None) -> None:
    """By "Cloud Audit Logs with Cloud Storage" and the resource names of its API: each is a use, the bucket's, or not readable."""
    entry = AUDIT.entry(NOON, "ada@example.com", "a")
    entry["protoPayload"] |= {"methodName": method, "resourceName": BUCKET + of}
    seen = found(entry)
    rows = [
        "the bucket" if kind is None else f"{kind.value} {''.join(row.parts)}"
        for row in seen.rows.values()
        for kind in row.uses
    ]
    assert (seen.unreadable, seen.elsewhere, seen.other) == (use is None, use == "elsewhere", 0)
    assert rows == ([] if use in {None, "elsewhere"} else [use])


def test_what_is_not_a_file_is_one_line(folder: Path) -> None:
    """Exit code 2, as without any log."""
    for ended, said in (
        (offline("nothing"), "No such file"),
        (offline("."), "directory"),
        (run_command("readers", "--env", "dev"), "say which log: --audit-log PROJECT"),
        (run_command("readers", "--env", "dev", "--acknowledge", "x"), "belong together"),
        (
            run_command(
                *("readers", "--env", "dev", "--log-file", "nothing"),
                environ={"CLOUD_RUN_TASK_COUNT": "2", "CLOUD_RUN_EXECUTION": "x"},
            ),
            "one task reads the log",
        ),
    ):
        assert (ended.code, said in ended.err, len(ended.err.splitlines())) == (2, True, 1)


def test_two_principals_never_look_alike() -> None:
    """A name that a person acknowledges is of one principal, whatever it holds and however long it is."""
    names = ["a", "a ", " a", "a\u200b", "a\\u200b", "y" * 400, "y" * 401, "", "user:a:b"]
    rows = found(*(AUDIT.entry(NOON, name, "x") for name in names)).rows
    assert len(rows) == len(names)
    assert all(name.isprintable() and name.strip() == name and len(name) <= MAX_PRINCIPAL for name in rows)


def test_more_principals_than_a_person_reads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of strangers must not fill the memory."""
    monkeypatch.setattr(accounts, "MOST_ROWS", 2)
    entries = [AUDIT.entry(NOON, name, "x") for name in ("a", "b", "a", "c")]
    assert len(found(*entries[:3]).rows) == 2
    with pytest.raises(UsageError, match="more than 2 principals"):
        found(*entries)


@pytest.mark.parametrize(("entries", "array"), [(100_000, False), (20_000, True)], ids=["lines", "array"])
def test_memory_does_not_grow_with_the_log(tmp_path: Path, entries: int, *, array: bool) -> None:
    """Many lines, or one array; each is read, and every fiftieth counted, because tracing is slow."""
    one = json.dumps(AUDIT.entry(NOON, AIRFLOW, "qpi_answers_20261128/user_id_1.jsonl"))
    file = tmp_path / "log"
    with file.open("w") as out:
        out.write("[" if array else "")
        out.writelines(repeat(f"{one}{',' if array else ''}\n", entries - 1))
        out.write(f"{one}{']' if array else ''}")
    tracemalloc.start()
    items = (item for number, item in enumerate(items_of(file)) if not number % 50)
    accounts = Accounts(DEV, {}, NOON - timedelta(days=1), NOON).add_all(items)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (accounts.rows[AIRFLOW].parts, accounts.read) == ({"qpi_answers_20261128/"}, entries // 50)
    assert peak < 8 * 1024 * 1024


# --- Cloud Logging ------------------------------------------------------------------------------------------------


@pytest.fixture
def apis() -> Iterator[tuple[Apis, str]]:
    served = Apis(entries=a_fortnight(AUDIT, NOON), page=40)
    with serving(served) as address:
        yield served, address


def online(address: str, **more: Any) -> Ended:
    where = ("--env", "dev", "--audit-log", PROJECT)
    return run_command("readers", *where, now=lambda: NOON, environ={"QPI_EXPORTS_APIS": address}, **more)


def test_cloud_logging_is_read_page_by_page(apis: tuple[Apis, str]) -> None:
    """The same table; of our own accounts only listings are asked for, and a busy service is asked again."""
    served, address = apis
    served.busy = 2
    pauses: list[float] = []
    ended = online(address, sleep=pauses.append)
    table = TABLE.replace("the entries in entries.json", f"the audit log of {PROJECT}")
    assert (ended.code, ended.out.rpartition("Next: ")[0], pauses) == (1, table, [2.0, 5.0])
    asked = [json.loads(body) for _, body in served.asked if body]
    assert [one.get("pageToken") for one in asked] == [None, None, None, "40", "80", "120"]
    wanted = asked[0]["filter"]
    assert 'resource.labels.bucket_name="data-bucket-dev"' in wanted
    assert 'timestamp>="2026-11-14T12:00:00.000Z"' in wanted
    assert 'log_id("cloudaudit.googleapis.com/data_access")' in wanted
    assert JOB in wanted.splitlines()[-1]


@pytest.mark.parametrize(
    ("status", "said"),
    [(403, "the account needs roles/logging.privateLogViewer"), (500, "answers 500"), (404, "answers 404")],
)
def test_a_service_that_refuses_is_one_line(apis: tuple[Apis, str], status: int, said: str) -> None:
    """Exit code 2: a half log is not an answer."""
    apis[0].refused = status
    ended = online(apis[1])
    assert (ended.code, said in ended.err, len(ended.err.splitlines()), ended.out) == (2, True, 1, "")


# --- on record ----------------------------------------------------------------------------------------------------

OWN = ("--own", f"serviceAccount:{JOB}")


class Recorded:
    """The command about a test's own pair, with a log that reaches up to now; and what gate and deletion make of it."""

    def __init__(self, paths: Paths, commands: Commands, folder: Path) -> None:
        self.commands, self.audit, self.folder = commands, Audit(paths.migration), folder
        self.where = (
            *("--source", paths.migration.source.uri),
            *("--destination", paths.migration.destination.uri),
        )
        self.now = datetime.now(UTC)

    def record(self, *entries: dict[str, Any], days: float = 9, ends: float = 0, **environ: str) -> Ended:
        """Record what a log says that was on from so many days ago to so many days ago."""
        begins, ended = (self.now - timedelta(days=ago) for ago in (days, ends))
        log = written(self.folder / "log", [*self.audit.sweeps(begins, ended), *entries])
        return self.run("--log-file", str(log), "--record", *OWN, environ=environ)

    def run(self, *words: str, environ: dict[str, str] | None = None) -> Ended:
        return run_command("readers", *self.where, *words, environ=environ or {})

    def read(self, principal: str, ago: timedelta) -> dict[str, Any]:
        return self.audit.entry(self.now - ago, principal, "a")

    def check(self, command: str, *words: str) -> tuple[str, str]:
        """The standing of the check, and what it says."""
        report = self.folder / command
        self.commands.run(command, "--report", str(report), *words)
        file = report / {"gate": "gate.json", "delete": "deletion-plan.json"}[command]
        checks = json.loads(file.read_text())["checks"]
        (one,) = (each for each in checks if each["name"] == "readers")
        return one["standing"], f"{one['evidence']}; {one.get('next_step', '')}"


@pytest.fixture
def recorded(paths: Paths, commands: Commands, tmp_path: Path) -> Recorded:
    paths.put("a")
    return Recorded(paths, commands, tmp_path)


def test_the_gate_wants_each_principal_acknowledged_by_name(recorded: Recorded) -> None:
    """FAIL names it and the command; the acknowledgement makes it PASS, and no other name does."""
    ended = recorded.record(
        recorded.read(AIRFLOW, timedelta(hours=9)), recorded.read(PERSON, timedelta(days=3))
    )
    assert (ended.code, "FAIL     readers: 2 principals" in ended.out) == (1, True)
    standing, said = recorded.check("gate")
    assert standing == "FAIL"
    assert f"{AIRFLOW} (read 1, last " in said
    assert f"--acknowledge {AIRFLOW} --by NAME" in said
    assert (
        f"to be acknowledged: {AIRFLOW}, {PERSON}" in recorded.run("--acknowledge", "ada", "--by", "Bob").err
    )
    for name in (AIRFLOW, PERSON):
        ended = recorded.run("--acknowledge", name, "--by", "Bob", "--reason", "switches")
    assert ended.code == 0
    entry = recorded.commands.state.history[-1]
    assert (entry.kind, entry.by, entry.principal, entry.note) == (
        EntryKind.READER_ACKNOWLEDGED,
        "Bob",
        PERSON,
        "switches",
    )
    standing, said = recorded.check("gate")
    assert (standing, f"but those acknowledged: {AIRFLOW} (by Bob), {PERSON} (by Bob)" in said) == (
        "PASS",
        True,
    )
    status = run_command("status", *recorded.where).out
    assert "who else uses the legacy path: PASS, audit log from" in status
    assert f"no foreign principal but those acknowledged: {AIRFLOW} (by Bob), {PERSON} (by Bob)" in status


@pytest.mark.parametrize(
    ("days", "words", "standing", "said"),
    [
        ((), (), "NOT APPLICABLE", "nothing says that the legacy bucket's audit log is on"),
        ((), ("--audit-log", "p"), "NOT RUN", "--record --audit-log p --days 14"),
        ((9, 0), (), "PASS", "no foreign principal"),
        ((9, 2), (), "NOT RUN", "nothing is proven of the last day"),
        ((0, 0), (), "NOT RUN", "less than a day is proven"),
    ],
)
def test_without_a_look_of_the_last_day_the_gate_says_what_is_missing(
    recorded: Recorded, days: tuple[int, ...], words: tuple[str, ...], standing: str, said: str
) -> None:
    """A setting says that there is a log; a look on record is judged in any case."""
    if days:
        recorded.record(days=days[0], ends=days[1])
    found = recorded.check("gate", *words)
    assert (found[0], said in found[1]) == (standing, True), found
    why = ("--override", "readers", "--reason", "the log was switched off", "--by", "Ada")
    blocks = standing == "NOT RUN"
    assert recorded.check("gate", *words, *why)[0] == ("OVERRIDDEN" if blocks else standing)


def test_what_cannot_be_trusted_is_not_recorded(recorded: Recorded) -> None:
    """A damaged line, a log that is not proven to be on, too many principals, no migration: one line, exit code 2."""
    before = len(recorded.commands.state.history)
    log = recorded.folder / "log"
    for text, said in (
        (lines(recorded.audit.entry(recorded.now, JOB), HALF), "1 of 2 entries cannot be read"),
        ("", "nothing proves that Data Access logs are on"),
        (
            lines(*(recorded.read(f"p{number}", timedelta()) for number in range(MAX_PRINCIPALS + 1))),
            f"more than {MAX_PRINCIPALS} principals",
        ),
    ):
        log.write_text(text)
        ended = recorded.run("--log-file", str(log), "--record")
        assert (ended.code, said in ended.err, len(ended.err.splitlines())) == (2, True, 1), ended
    assert len(recorded.commands.state.history) == before


def test_the_deletion_refuses_while_others_use_the_legacy_path(recorded: Recorded) -> None:
    """Who was acknowledged before the cutover is asked for again after it; a person may override the check, on record."""
    recorded.record(recorded.read(AIRFLOW, timedelta(hours=9)))
    recorded.run("--acknowledge", AIRFLOW, "--by", "Bob")
    recorded.commands.go(Phase.CUT_OVER)
    for words in (
        (),
        ("--audit-log", "p"),
        ("--soak-days", "0"),
    ):  # a look of before the cutover is on record
        assert recorded.check("delete", *words)[0] == "NOT RUN", words
    soon = timedelta(minutes=-5)
    before_the_cutover = recorded.read(PERSON, timedelta(days=2))
    ended = recorded.record(before_the_cutover)
    status = run_command("status", *recorded.where).out
    assert "legacy path: NOT RUN, audit log from" in status, (
        "as the deletion has it, and no use of before the cutover counts"
    )
    assert (
        "nothing is proven of the time from" in ended.words,
        PERSON in ended.out.partition("NOT RUN")[2],
    ) == (
        True,
        False,
    )
    assert "to be acknowledged: none" in recorded.run("--acknowledge", PERSON, "--by", "Bob").err
    ended = recorded.record(recorded.read(AIRFLOW, soon), before_the_cutover)
    assert ended.code == 1
    assert f"to be acknowledged: {AIRFLOW}\n" in recorded.run("--acknowledge", PERSON, "--by", "Bob").err
    standing, said = recorded.check("delete")
    assert (standing, f"1 principal used the legacy path and is not acknowledged: {AIRFLOW}" in said) == (
        "FAIL",
        True,
    )
    assert "legacy path: FAIL, 1 principal used" in run_command("status", *recorded.where).out
    why = ("--override", "readers", "--reason", "moves on Monday", "--by", "Ada")
    assert recorded.check("delete", *why)[0] == "OVERRIDDEN"
    recorded.run("--acknowledge", AIRFLOW, "--by", "Bob")
    assert recorded.check("delete")[0] == "PASS"


def test_whom_an_operator_calls_the_migration_s_own_is_on_record(recorded: Recorded) -> None:
    """The look then shows no foreign principal, so the history and the check's evidence say whom it left out."""
    log = written(
        recorded.folder / "log",
        [
            *recorded.audit.sweeps(recorded.now - timedelta(days=9), recorded.now),
            recorded.read(PERSON, timedelta(days=2)),
        ],
    )
    recorded.run("--log-file", str(log), "--record", *OWN, "--own", f"user:{PERSON}")
    said = f"left out as the migration's own: serviceAccount:{JOB}, user:{PERSON}"
    assert recorded.commands.state.history[-1].what.endswith(
        f"0 foreign principals on the legacy path; {said}"
    )
    standing, evidence = recorded.check("gate")
    assert (standing, said in evidence) == ("PASS", True), evidence


@pytest.mark.parametrize(
    ("proven", "seen", "standing", "said"),
    [
        (8, None, "PASS", "no foreign principal"),
        (8, 7.5, "PASS", "no foreign principal"),
        (8, 6, "FAIL", f"{AIRFLOW} (write 3, last 2026-11-22 12:00 UTC)"),
        (3, None, "NOT RUN", "nothing is proven of the time from 2026-11-21 12:00 UTC on"),
        (3, 2, "FAIL", AIRFLOW),
    ],
)
def test_the_deletion_looks_at_the_whole_soak(
    proven: int, seen: float | None, standing: str, said: str
) -> None:
    """Three weeks after the cutover, with a soak of seven days."""
    days = [NOON - timedelta(days=ago) for ago in (20, proven, seen or 0)]
    used = () if seen is None else (SeenPrincipal(AIRFLOW, PrincipalUse.WRITE, 3, days[2]),)
    state = begun(State.initial(DEV), Phase.DUAL_WRITE, Stamp("begun", "Ada", days[0]))
    state = with_phase(state, Phase.CUT_OVER, Stamp("cut over", "Ada", days[0]))
    state = readers_seen(state, Stamp("look", "readers", NOON), ReadersRecord(days[1], days[1], NOON, used))
    check = readers_check(state, CommandTarget.of(DEV), NOON, audit_log="", soak=timedelta(days=7))
    assert (check.standing.value, said in check.evidence) == (standing, True), check


@pytest.mark.parametrize("cut_over", [False, True])
def test_in_the_job_the_alert_s_line_comes_after_the_cutover_only(
    recorded: Recorded, *, cut_over: bool
) -> None:
    """One line of severity ERROR for each principal and use; nothing else but events is on stdout."""
    recorded.commands.go(*([Phase.CUT_OVER] if cut_over else []))
    soon = timedelta(minutes=-5)
    ended = recorded.record(
        recorded.read(AIRFLOW, soon), recorded.read(PERSON, timedelta(days=2)), CLOUD_RUN_JOB="j"
    )
    events = [json.loads(line) for line in ended.out.splitlines()]
    rang = [(event["severity"], event["principal"]) for event in events if event["event"] == "old_path_read"]
    assert (ended.code, rang) == (1, [("ERROR", AIRFLOW)] if cut_over else [])
    assert [event["clean"] for event in events if event["event"] == "readers_checked"] == [False]
