"""The command ``status``: as text, and as a page."""

import html
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from testing_commands import Commands, Ended, run_command, where
from testing_paths import Paths

from backfill_job.commands import load
from local_gcs.waiting import HANGS
from shared.phase import Phase


@pytest.fixture
def run(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)

    def run(command: str, *arguments: str) -> Ended:
        quick = ("--log-dir", str(tmp_path), "--grace", "0") if command == "verify" else ()
        return run_command(command, *arguments, *where(paths), *quick)

    return run


def test_at_first_there_is_little_to_show(run: Callable[..., Ended]) -> None:
    """No state object, no verification: that is said, and is no error."""
    ended = run("status")
    assert (ended.code, ended.err) == (0, "")
    assert "phase: dual_write" in ended.out
    assert "latest verification: none" in ended.out
    *_, verdict, following = ended.out.splitlines()
    assert verdict == "Never verified"
    assert following.startswith("Next: python -m backfill_job verify --source ")


def test_a_migration_begins_with_the_dry_run(paths: Paths, run: Callable[..., Ended]) -> None:
    """As the README says; the execution begins it, and `begin` is for a mirror that is there before."""
    paths.forget()
    paths.put("a", side="source")
    ended = run("status")
    assert ended.out.splitlines()[-1].startswith("Next: python -m backfill_job migrate --source ")
    assert "Where a mirror is deployed before the first execution, begin now." in ended.out


def test_it_shows_what_was_signed_and_verified(paths: Paths, run: Callable[..., Ended]) -> None:
    """Whoever looks sees who did what, and the latest verdict."""
    paths.put("a")
    assert run("verify").code == 1
    assert run("signoff", "data", "--by", "Ada [bold]Lovelace[/bold]").code == 0
    out = run("status").out
    assert "Ada [bold]Lovelace[/bold]" in out
    assert "Missing for the cutover: qpi-team, development, operations." in out
    assert "verify ended with 1: 1 name compared; NOT EQUAL: 1 missing" in out


def test_an_older_verification_does_not_stand_beside_a_newer_comparison(
    paths: Paths, run: Callable[..., Ended], commands: Commands
) -> None:
    """Its count of the names is out of date; what only a verification looks at stays."""
    paths.put("qpi_answers_20240101/user_id_1.jsonl", b"")
    assert run("verify").code == 1
    assert "latest verification, " in run("status").out
    assert commands.run("migrate", "--execute", "--yes").code == 0
    out = run("status").out
    assert "both sides are equal" in out
    assert "latest verification" not in out
    assert "NOT EQUAL" not in out.partition("latest changes:")[2]
    heading, remark = out.partition("\nwhat was found beside the names (")[2].splitlines()[:2]
    assert heading.startswith("verification of ")
    assert "empty" in remark


def test_a_damaged_state_is_said(paths: Paths, run: Callable[..., Ended]) -> None:
    """Never read as "nothing there"."""
    paths.bucket("destination").blob("_migration/qpi_exports/state.json").upload_from_string(b"{")
    ended = run("status")
    assert ended.code == 1
    assert "cannot be read: gs://" in ended.out
    assert "phase:" not in ended.out


@pytest.mark.parametrize("name", ["state.json", "latest/verification.json"])
def test_an_ambiguous_object_is_said(name: str, paths: Paths, run: Callable[..., Ended]) -> None:
    """The mirrors refuse a state that names its phase twice; it is not shown as if all were well. Nor is a verification."""
    paths.put("a")
    assert run("verify").code == 1
    assert run("signoff", "data", "--by", "Ada").code == 0
    lying = paths.bucket("destination").blob(f"_migration/qpi_exports/{name}")
    lying.upload_from_string(
        lying.download_as_bytes().rstrip().removesuffix(b"}") + b', "source": "gs://x/"}'
    )
    ended = run("status")
    assert (ended.code, "'source' stands there twice" in ended.out) == (1, True)


def test_the_state_is_read_once(paths: Paths, run: Callable[..., Ended]) -> None:
    """What the verdict says and what is listed below it are of one moment."""
    assert run("signoff", "data", "--by", "Ada").code == 0
    paths.put("a")
    assert run("verify").code == 1
    paths.server.reset_stats()
    assert run("status").code == 0
    assert paths.requests("storage.objects.download") == 3  # the state, the verification, what `loaded` found


def test_a_bucket_that_is_not_there_is_said(paths: Paths, run: Callable[..., Ended]) -> None:
    """As something that could not be read, with exit code 1; the help promises nothing else."""
    paths.forget()
    paths.bucket("destination").delete()
    ended = run("status")
    assert (ended.code, "no such bucket" in ended.out) == (1, True)
    assert "2  could not start: arguments, credentials, the port is taken" in load("status").examples


def test_the_page_is_served_until_ctrl_c(paths: Paths, run: Callable[..., Ended], tmp_path: Path) -> None:
    """On this machine only, reading afresh for every request; the next command is the one of the screen."""
    paths.put("<script>alert(1)</script>")
    assert run("verify").code == 1
    *_, following = run("status").out.splitlines()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    migration = paths.migration
    line = [sys.executable, "-m", "backfill_job", "status", "--serve", "--port", str(port)]
    line += ["--source", migration.source.uri, "--destination", migration.destination.uri]
    with subprocess.Popen(
        line,
        env={**os.environ, "STORAGE_EMULATOR_HOST": paths.server.url},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "Ctrl-C ends it" in process.stdout.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=HANGS) as answer:
            page = answer.read().decode()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=HANGS)
    assert (process.returncode, err) == (0, "")
    assert "&lt;script&gt;alert(1)" in page
    (shown,) = re.findall('<code id="next-command">(.*?)</code>', page)
    assert f"Next: {html.unescape(re.sub('</?span.*?>', '', shown))}" == following
    assert "<script>alert(1)" not in page


def test_a_port_that_is_taken_is_one_line(run: Callable[..., Ended]) -> None:
    """Exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("status", "--serve", "--port", str(taken.getsockname()[1]))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "choose another --port" in ended.err
    assert run("status", "--serve", "--port", "99999").code == 2


def test_before_it_has_begun_there_is_no_phase(paths: Paths, run: Callable[..., Ended]) -> None:
    """Absence is not a phase; the command that begins is there to paste."""
    paths.forget()
    out = run("status").out
    assert "phase: none; the migration has not begun" in out
    assert "Missing for the cutover" not in out
    assert "python -m backfill_job begin --source gs://" in out


def test_after_the_cutover_it_says_what_was_and_what_to_do(paths: Paths, commands: Commands) -> None:
    """Every command that compared is a run; a sign-off that was not given is not missing for a cutover that took place."""
    paths.put("a/1")
    assert commands.run("migrate", "--execute", "--yes", "--ungoverned").code == 0
    commands.go(Phase.CUT_OVER)
    paths.put("a/1", b"by a late writer")
    assert commands.run("cutover", "--by", "Ada", "--yes", "--ungoverned").code == 0
    out = run_command("status", *where(paths)).out
    assert (
        "The cutover has taken place; it was not signed by: qpi-team, development, operations, data." in out
    )
    assert "MISSING" not in out
    runs = out.partition("latest runs:")[2].partition("latest changes:")[0]
    assert " cutover ended with 0: 1 object looked at, 1 brought over; proven name by name" in runs
    assert (
        " migrate_qpi_exports ended with 0: 1 object listed: 1 copied; verified: both sides are equal" in runs
    )
    assert "rollback --source gs://" in out.partition("what to do:")[2]
