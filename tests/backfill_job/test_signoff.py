"""The command ``signoff``, as its user meets it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from testing_commands import Ended, run_command, where
from testing_paths import Paths, json_lines

from backfill_job.commands import COMMANDS, signoff
from shared.gateway import Gateway
from shared.phase import Phase, state_ref
from shared.record import read_state, state_from_head, update
from shared.state import Signatory, SignOff, State
from shared.state_changes import Stamp, with_phase

ROOT = Path(__file__).parent.parent.parent
START = datetime(2025, 3, 1, 8, 30, tzinfo=UTC)


@pytest.fixture
def sign(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs the command on the test's own pair of prefixes."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)

    def run(
        *arguments: str, destination: str = "", minutes: int = 0, terminal: bool = False, **environ: str
    ) -> Ended:
        now = START + timedelta(minutes=minutes)
        words = (*arguments, *where(paths), *(("--destination", destination) if destination else ()))
        typed = "" if terminal else None
        return run_command("signoff", *words, typed=typed, now=lambda: now, environ=environ)

    return run


def timeless(text: str) -> str:
    """A screen with ``AT`` for each time: Cloud Storage's time counts, whatever this machine's clock says."""
    return re.sub(r"20[0-9]{2}-[0-9-]+(?: [0-9:]+ UTC|T[0-9:.]+Z)", "AT", text)


def state_text(paths: Paths) -> bytes | None:
    at = state_ref(paths.migration)
    blob = paths.client.bucket(at.bucket).get_blob(at.name)
    return None if blob is None else bytes(blob.download_as_bytes())


def state_of(paths: Paths) -> State:
    text = state_text(paths)
    return State.initial(paths.migration) if text is None else state_from_head(text, paths.migration)


def test_a_sign_off_is_recorded_and_the_table_shows_what_is_missing(
    paths: Paths, sign: Callable[..., Ended]
) -> None:
    """``signoff data --by Ada --note …``."""
    ended = sign("data", "--by", "Ada", "--note", "a week compared")
    assert (ended.code, ended.err) == (0, "")
    assert [line.rstrip() for line in timeless(ended.out).splitlines() if "─" not in line] == [
        "Recorded, by Ada: sign-off data: a week compared",
        f"{paths.migration.source.uri} to {paths.migration.destination.uri}, phase dual_write",
        "",
        "sign-off      by        at                     note",
        "qpi-team      MISSING",
        "development   MISSING",
        "operations    MISSING",
        "data          Ada       AT   a week compared",
        "",
        "Missing for the cutover: qpi-team, development, operations.",
        f"Next: python -m backfill_job signoff qpi-team {' '.join(where(paths))} --by NAME",
    ]
    state = state_of(paths)
    begun, entry = state.history
    assert state.signoffs == (SignOff(Signatory.DATA, "Ada", entry.at, "a week compared"),)
    assert (entry.by, entry.what) == ("Ada", "sign-off data: a week compared")
    assert begun.at <= entry.at
    assert re.fullmatch("[0-9a-f]{32}", entry.change)


def test_everybody_s_sign_off_is_said(sign: Callable[..., Ended]) -> None:
    """Nothing is missing any more."""
    for name in ("qpi-team", "development", "operations"):
        assert "Missing for the cutover" in sign(name, "--by", "Ada").out
    *_, verdict, following = sign("data", "--by", "Bob").out.splitlines()
    assert verdict == "Everybody has signed off."
    assert following.startswith("Next: python -m backfill_job status --source ")


def test_signing_twice_counts_once_and_a_withdrawal_takes_it_back(
    paths: Paths, sign: Callable[..., Ended]
) -> None:
    """The history keeps all three."""
    sign("data", "--by", "Ada")
    again = sign("data", "--by", "Ada", minutes=5)
    assert again.code == 0
    assert "sign-off data again, the one of AT stands" in timeless(again.out)
    assert len(state_of(paths).signoffs) == 1
    back = sign("data", "--by", "Ada", "--withdraw", "--note", "two days are missing", minutes=9)
    assert back.code == 0
    assert "Missing for the cutover: qpi-team, development, operations, data." in back.out
    assert [timeless(entry.what) for entry in state_of(paths).history[1:]] == [
        "sign-off data",
        "sign-off data again, the one of AT stands",
        "sign-off data of AT withdrawn: two days are missing",
    ]


def test_a_name_that_looks_like_markup_is_shown_as_it_is(sign: Callable[..., Ended]) -> None:
    """And a long note is shown whole."""
    note = "word " * 60 + "[red]end[/red]"
    ended = sign("data", "--by", "[b]日本[/b]", "--note", note, terminal=True)
    assert "[b]日本[/b]" in ended.out.splitlines()[0]
    assert "[b]日本[/b]" in next(line for line in ended.out.splitlines() if line.startswith("data "))
    assert ended.out.count("word") == 120
    assert "[red]end[/red]" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", ""], "the name of who it is has 0 characters; 1 to 200 are wanted"),
        (["--by", "   "], "the name of who it is has 0 characters"),
        (["--by", "x" * 201], "the name of who it is has 201 characters"),
        (["--by", "Ada\nBob"], "the name of who it is holds the character U+000A; one line"),
        (["--by", "\x1b[2J"], "holds the character U+001B"),
        (["--by", "Ada\udcff"], "holds the character U+DCFF"),
        (["--by", "Ada", "--note", "x" * 1001], "the note has 1,001 characters; 0 to 1,000 are wanted"),
        (["--by", "Ada", "--note", "a\u202eb"], "the note holds the character U+202E"),
        (["--by", "Ada", "--withdraw"], "Ada has not signed off data, so there is nothing to withdraw"),
    ],
    ids=range(9),
)
def test_what_cannot_be_taken_is_one_line_and_exit_code_2(
    paths: Paths, sign: Callable[..., Ended], arguments: list[str], said: str
) -> None:
    """Nothing is recorded."""
    before = state_text(paths)
    ended = sign("data", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("signoff: ")
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert state_text(paths) == before


@pytest.mark.parametrize("name", ["marketing", "DATA", "", "data "])
def test_an_unknown_name_is_answered_with_the_known_ones(
    sign: Callable[..., Ended], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Exit code 2, before anything is asked of Cloud Storage."""
    with pytest.raises(SystemExit) as ended:
        sign(name, "--by", "Ada")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert all(known in said for known in ("qpi-team", "development", "operations", "data"))


def test_who_signs_must_be_said(sign: Callable[..., Ended], capsys: pytest.CaptureFixture[str]) -> None:
    """There is no default: the account in use may be a shared one."""
    with pytest.raises(SystemExit) as ended:
        sign("data")
    assert ended.value.code == 2
    assert "--by" in capsys.readouterr().err


def test_after_the_cutover_there_is_nothing_to_sign(
    paths: Paths, gateway: Gateway, sign: Callable[..., Ended]
) -> None:
    """And after a rollback it has to be signed anew."""

    def to(phase: Phase, change: str) -> None:
        update(gateway, paths.migration, lambda state: with_phase(state, phase, Stamp(change, "Eve", START)))

    sign("data", "--by", "Ada")
    to(Phase.CUT_OVER, "1")
    ended = sign("operations", "--by", "Ada")
    assert ended.code == 2
    assert "in phase cut_over since 2025-03-01T08:30:00Z; sign-offs are for a cutover" in ended.err
    to(Phase.ROLLED_BACK, "2")
    ended = sign("operations", "--by", "Ada")
    assert ended.code == 0
    assert "Missing for the cutover: qpi-team, development, data." in ended.out


def test_a_bucket_that_is_not_there_is_exit_code_2(sign: Callable[..., Ended]) -> None:
    """A mistyped destination must not look like a state that nobody has written yet."""
    ended = sign("data", "--by", "Ada", destination="gs://no-such-bucket-here/qpi_exports/")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "signoff: gs://no-such-bucket-here: no such bucket (" + ended.err.partition("(")[2]


@pytest.mark.parametrize("method", ["storage.objects.download", "storage.objects.insert"])
def test_a_missing_permission_is_exit_code_2(paths: Paths, sign: Callable[..., Ended], method: str) -> None:
    """To read the state, or to write it."""
    before = state_text(paths)
    paths.server.set_faults(rules=[{"method": method, "count": None, "status": 403}])
    ended = sign("data", "--by", "Ada")
    assert (ended.code, ended.out) == (2, "")
    assert "state.json: permission denied" in ended.err
    paths.server.clear_faults()
    assert state_text(paths) == before


@pytest.mark.parametrize("text", ["", "[]", '{"phase": "cut_over"}'])
def test_a_damaged_state_is_exit_code_1_and_left_alone(
    paths: Paths, sign: Callable[..., Ended], text: str
) -> None:
    """One line that says what is wrong and what to do."""
    at = state_ref(paths.migration)
    paths.client.bucket(at.bucket).blob(at.name).upload_from_string(text)
    ended = sign("data", "--by", "Ada")
    assert (ended.code, ended.out) == (1, "")
    assert "not a migration's state" in ended.err
    assert "restore the version before" in ended.err
    assert ended.err.count("\n") == 1
    assert state_text(paths) == text.encode()


def test_a_sign_off_whose_answer_is_lost_is_recorded_once(paths: Paths, sign: Callable[..., Ended]) -> None:
    """The client repeats the write, which fails its condition; the command sees that it is its own."""
    paths.server.set_faults(rules=[{"method": "storage.objects.insert", "count": 1, "status": "reset_after"}])
    assert sign("data", "--by", "Ada").code == 0
    assert len(state_of(paths).history) == 2


def test_many_sign_at_once_and_nobody_s_sign_off_is_lost(paths: Paths, sign: Callable[..., Ended]) -> None:
    """Eight people, four signatories, one object."""
    names = [name.value for name in Signatory] * 2
    with ThreadPoolExecutor(len(names)) as pool:
        ended = list(pool.map(lambda turn: sign(names[turn], "--by", f"person-{turn}"), range(len(names))))
    assert [one.code for one in ended] == [0] * len(names)
    state = state_of(paths)
    assert sorted((signoff.name.value, signoff.by) for signoff in state.signoffs) == sorted(
        (name, f"person-{turn}") for turn, name in enumerate(names)
    )
    assert len(state.history) == 1 + len(names)


def test_nothing_else_of_the_state_changes(
    paths: Paths, gateway: Gateway, sign: Callable[..., Ended]
) -> None:
    """The prefixes are not touched either."""
    sign("operations", "--by", "Bob")
    before = state_of(paths)
    paths.server.reset_stats()
    sign("data", "--by", "Ada")
    methods = {"storage.objects.download", "storage.objects.insert", "storage.objects.list"}
    assert set(paths.server.stats()["methods"]) == methods
    after = read_state(gateway, paths.migration)
    assert replace(after, signoffs=after.signoffs[:1], history=after.history[:2]) == before


def test_in_a_cloud_run_job_stdout_is_one_json_line(sign: Callable[..., Ended]) -> None:
    """Cloud Logging takes everything else for text."""
    (line,) = json_lines(sign("data", "--by", "Ada", "--note", "ok", CLOUD_RUN_JOB="migration").out)
    assert {key: line[key] for key in ("event", "phase", "what", "by", "env")} == {
        "event": "state_changed",
        "phase": "dual_write",
        "what": "sign-off data: ok",
        "by": "Ada",
        "env": "custom",
    }


def test_the_command_is_one_of_the_operator_s(paths: Paths) -> None:
    """``python -m backfill_job signoff``, as a process."""
    assert COMMANDS["signoff"] == signoff.__name__
    command = [sys.executable, "-m", "backfill_job", "signoff", "data", "--by", "Ada"]
    command += ["--source", paths.migration.source.uri, "--destination", paths.migration.destination.uri]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={**os.environ, "STORAGE_EMULATOR_HOST": paths.server.url},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Recorded, by Ada: sign-off data" in done.stdout
    assert json.loads(state_text(paths) or b"")["signoffs"][0]["by"] == "Ada"


def test_before_a_migration_has_begun_there_is_nothing_to_sign(
    paths: Paths, sign: Callable[..., Ended]
) -> None:
    """Nothing was recorded, for certain."""
    paths.forget()
    ended = sign("data", "--by", "Ada")
    assert (ended.code, ended.out) == (2, "")
    assert "there is no record of this migration" in ended.err
