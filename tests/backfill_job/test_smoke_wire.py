"""``smoke --wire``: nothing is found on `local_gcs`, every seeded deviation is, and nothing is left behind."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from deviating_storage import DEVIATIONS, Deviation, deviating
from testing_commands import Ended, run_command, where
from testing_paths import Paths

from backfill_job.run.stopping import Stop
from backfill_job.smoke import trial
from backfill_job.smoke.clients import Exchanges
from backfill_job.smoke.probes import Asked, Bench
from backfill_job.smoke.trial import RELIANCES, TrialGroup
from shared.migration import Location

NEEDS = (
    ("rewrite-", "rewrite-new"),
    ("bounds", "every-name"),
    ("range-gzip", "gzip"),
    ("soft-deleted", "soft-overwritten"),
    ("restore", "soft-overwritten"),
    ("restore", "soft-deleted"),
)
"""Rows, by how their keys begin, and the row whose objects they use."""


@pytest.fixture
def run_wire(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs the command, at this address or at the server's own."""

    def run(*arguments: str, url: str = paths.server.url, **more: Any) -> Ended:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        return run_command("smoke", *where(paths), "--wire", str(tmp_path / "wire.json"), *arguments, **more)

    return run


def left(paths: Paths) -> list[str]:
    """What is there in the scratch folder, of any version."""
    folder = paths.migration.own_ref("smoke", "").name
    return [blob.name for blob in paths.bucket("destination").list_blobs(prefix=folder, versions=True)]


def test_nothing_is_found_and_nothing_is_left(
    paths: Paths, run_wire: Callable[..., Ended], tmp_path: Path
) -> None:
    """Every row is asked and answered as the table has it. The file has each answer, and no name, token or content."""
    ended = run_wire("--details")
    assert (ended.code, ended.err) == (0, "")
    said = json.loads((tmp_path / "wire.json").read_text())
    assert [row for row in said["rows"] if row["deviates"]] == []
    assert {row["key"] for row in said["rows"]} == {row.key for row in RELIANCES}
    both = {row["key"] for row in said["rows"] if row["client"] == "fast client"}
    assert {"bounds", "rewrite-there", "batch", "restore", "range-gzip", "token-renewed"} <= both
    assert left(paths) == []
    text = (tmp_path / "wire.json").read_text()
    for secret in (paths.migration.destination.bucket, "_migration/", "user_id", "Bearer", "spoilt"):
        assert secret not in text, secret
    for group in TrialGroup:
        assert f"PASS     wire: {group.value}:"[:80] in ended.out.replace("\n         ", " ")
    assert max(map(len, ended.out.splitlines())) <= 80 + len(str(tmp_path))


def test_no_form_of_an_account_is_noted() -> None:
    """As an address, or as an identifier of a workload identity pool."""
    exchanges = Exchanges("bucket", "folder/")
    said = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/me does not have access; a.b@c.iam.gserviceaccount.com does not"
    assert exchanges.redacted(said) == "ACCOUNT does not have access; ACCOUNT does not"


def asked_only(keys: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask some rows only, and those whose objects they need, so that a deviation is found in a second."""
    every = Bench.questions
    needed = {"described"} | {need for key in keys for row, need in NEEDS if key.startswith(row)}

    def some(bench: Bench) -> Iterator[Asked]:
        return (one for one in every(bench) if one.key in keys | needed)

    monkeypatch.setattr(Bench, "questions", some)
    if "token-renewed" not in keys:
        monkeypatch.setattr(trial, "_tokens", lambda *_: ())


@pytest.mark.parametrize("deviation", DEVIATIONS.values(), ids=DEVIATIONS)
def test_a_deviation_is_found(paths: Paths, deviation: Deviation, monkeypatch: pytest.MonkeyPatch) -> None:
    """By each client that is asked, in the rows that are about it; and all the same everything is removed."""
    asked_only(set(deviation.rows), monkeypatch)
    at = paths.migration.own_ref("smoke", "x", "")
    with deviating(paths.server.url, deviation) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        way = trial.TrialConnection({"STORAGE_EMULATOR_HOST": url}, "")
        found = trial.try_wire(
            way, Location(at.bucket, at.name), soft_delete=True, versioned=False, stop=Stop()
        )
    for key in deviation.rows:
        answers = [answer for answer in found.answers if answer.row.key == key]
        assert answers
        assert [answer.error for answer in answers if "could not be made" in answer.error] == []
        assert [str(answer) for answer in answers if not answer.deviates] == []
    assert (found.left, left(paths)) == ([], [])


def test_a_deviation_on_the_screen(
    paths: Paths, run_wire: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1; what was answered, what was expected, and where the code relies on it."""
    asked_only({"rewrite-there"}, monkeypatch)
    with deviating(paths.server.url, DEVIATIONS["412 without a reason"]) as url:
        ended = run_wire(url=url)
    text = " ".join(ended.out.split())
    assert ended.code == 1
    assert "FAIL wire: rewrites: " in text
    assert "rewrite-there, fast client: 412 Refused (" in text
    assert "expected: 412 ConditionFailed" in text
    assert "relies on this in shared/replicate.py, backfill_job/copying/lane.py" in text


def test_a_folder_that_cannot_be_removed_is_said(
    paths: Paths, run_wire: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each object, why, and one command for all of them."""
    asked_only({"gzip"}, monkeypatch)
    prefix = paths.migration.own_ref("smoke", "").name
    # The first one is tried by the check of the account's rights.
    rule = {
        "method": "storage.objects.delete",
        "name_prefix": prefix,
        "skip": 1,
        "count": None,
        "status": 403,
    }
    paths.server.set_faults(rules=[rule])
    ended = run_wire()
    paths.server.clear_faults()
    names = left(paths)
    assert ended.code == 1
    folder = names[0].rpartition("/")[0]
    assert (
        f"\n         gcloud storage rm --recursive 'gs://{paths.migration.destination.bucket}/" in ended.out
    )
    assert f"{folder.split('/')[3]}/gzip: permission denied" in ended.out.replace("\n         ", " ")
    assert any(name.endswith("/gzip") for name in names)


@pytest.mark.parametrize("method", ["insert", "restore"])
def test_without_its_rights_nothing_is_asked(
    paths: Paths, run_wire: Callable[..., Ended], tmp_path: Path, method: str
) -> None:
    """Each row that lacks a right would look like a deviation of Cloud Storage, to be sent to the authors."""
    paths.server.set_faults(rules=[{"method": f"storage.objects.{method}", "count": None, "status": 403}])
    ended = run_wire()
    text = " ".join(ended.out.split())
    assert (ended.code, (tmp_path / "wire.json").exists()) == (1, False)
    right = {"insert": "create"}.get(method, method)
    assert (
        f"NOT RUN wire: nothing was written: the account lacks storage.objects.{right} in the smoke" in text
    )
    assert "send wire.json" not in text


def test_what_a_killed_run_left_is_said_and_stays(
    paths: Paths, run_wire: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a run that goes on now. The line has the command that removes it."""
    asked_only({"gzip"}, monkeypatch)
    killed = paths.migration.own_ref("smoke", "0123abcd/empty")
    paths.bucket("destination").blob(killed.name).upload_from_string(b"")
    ended = run_wire()
    text = " ".join(ended.out.split())
    assert ended.code == 0
    assert "wire: earlier runs: 1 object of a run that was killed, or that runs now: 0123abcd" in text
    assert f"gcloud storage rm --recursive '{killed.uri.removesuffix('empty')}'" in text.replace(
        "/ 0123", "/0123"
    )
    assert left(paths) == [killed.name]


@pytest.mark.parametrize("by", ["a signal", "a defect"])
def test_after_a_failure_everything_is_removed(
    paths: Paths, run_wire: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Ctrl-C in the middle: one line, and nothing is left; nor after a defect of ours."""
    every = Bench.questions

    def broken(bench: Bench) -> Iterator[Asked]:
        yield next(iter(every(bench)))
        if by == "a defect":
            raise ZeroDivisionError
        signal.raise_signal(signal.SIGINT)
        yield next(iter(every(bench)))

    monkeypatch.setattr(Bench, "questions", broken)
    if by == "a defect":
        with pytest.raises(ZeroDivisionError):
            run_wire()
    else:
        ended = run_wire()
        assert (ended.code, ended.err) == (1, "smoke: stopped by SIGINT before its end\n")
    assert paths.server.stats()["methods"]["storage.objects.insert"]["by_status"]["200"] > 0
    assert left(paths) == []


@pytest.mark.parametrize("setting", ["no soft delete", "versions"])
def test_what_the_bucket_does_not_have_is_not_asked(
    paths: Paths, run_wire: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """That is said; it is not a deviation. Noncurrent versions are removed as well."""
    asked_only({"soft-deleted", "restore", "range-gone"}, monkeypatch)
    bucket = paths.client.get_bucket(paths.migration.destination.bucket)
    if setting == "versions":
        bucket.versioning_enabled = True
    else:
        bucket.soft_delete_policy.retention_duration_seconds = 0
    bucket.patch()
    ended = run_wire("--details")
    assert ended.code == 0
    assert "N/A      wire: soft delete: the new bucket has no soft delete, or keeps versions" in ended.out
    assert left(paths) == []


def test_where_objects_would_stay_none_is_written(
    paths: Paths, run_wire: Callable[..., Ended], tmp_path: Path
) -> None:
    """A retention policy of the new bucket, or a file that cannot be written."""
    assert run_wire("--wire", str(tmp_path / "no folder" / "wire.json")).code == 2
    bucket = paths.client.get_bucket(paths.migration.destination.bucket)
    bucket.retention_period = 60
    bucket.patch()
    ended = run_wire()
    assert (ended.code, "NOT RUN  wire: nothing was written" in ended.out) == (1, True)
    assert left(paths) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--part=all",), "--part all asks as each part's account: add --impersonate"),
        (("--part=all", "--impersonate=a@p.iam"), "--part all asks as each part's account"),
        (("--part=all", "--impersonate={part}@p.iam", "--canary"), "run in one account: name one --part"),
        (("--part=all", "--impersonate={part}@p.iam"), "run in one account: name one --part"),
        (("--impersonate=a@p.iam",), "--wire asks in the environment's account; leave out --impersonate"),
        (("--observe", "--project=p"), "--observe looks for the canary: add --canary"),
        (("--observe", "--canary"), "name the project with the logs and metrics, with --project"),
    ],
    ids=range(7),
)
def test_arguments_that_say_nothing_together(
    run_wire: Callable[..., Ended], arguments: tuple[str, ...], said: str
) -> None:
    """One line and exit code 2, before anything is asked."""
    ended = run_wire(*arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert said in ended.err
