"""Any pair of prefixes, from the dry run to the deletion and back: with a consumer of its own, and without any."""

import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from testing_commands import Commands, Ended, run_command, where
from testing_gate import CONSUMER, ROW, WRITER, everybody_signs, grant_access
from testing_paths import Paths

from demo.function import running_function
from shared.partitions import answers_folder
from shared.phase import Phase
from shared.state import Signatory

YEAR = datetime.now(UTC).year
PARQUET = """
name = "billing"
critical = ["*.parquet"]
critical_is = "the invoices"
[load]
glob = "{YYYY}/*.parquet"
format = "parquet"
key = "customer"
"""
COLD = """
name = "archive"
critical = ["*.tar"]
critical_is = "the only copies"
[load]
format = "none"
reason = "nothing reads the archive; it is kept for the auditors"
"""
NOW = ("--by", "Ada", "--yes", "--ungoverned")


def parquet(folder: Path, *rows: tuple[str, int]) -> bytes:
    file = folder / "rows.parquet"
    values = ", ".join(f"('{customer}', {amount})" for customer, amount in rows)
    duckdb.sql(f"COPY (SELECT * FROM (VALUES {values}) AS t(customer, amount)) TO '{file}' (FORMAT parquet)")  # noqa: S608 -- the test's own values
    return file.read_bytes()


def test_parquet_by_year_with_a_consumer_of_its_own(paths: Paths, commands: Commands) -> None:
    """Dry run, execution, verification, import test, gate, cutover, deletion and undo; each knows the pair by its name."""
    file = commands.folder / "billing.toml"
    file.write_text(PARQUET)
    paths.forget()
    for year in (YEAR - 1, YEAR):
        paths.put(
            f"{year}/part-0001.parquet",
            parquet(commands.folder, ("a", year), ("b", 2), ("a", 3)),
            side="source",
        )
    paths.put("README.txt", b"about")
    named = ("--name", "billing")
    of_consumer = (*named, "--consumer", str(file))

    assert commands.run("migrate", *named).code == 0
    begun = run_command("begin", *where(paths), *named, "--by", "Ada")
    assert begun.code == 0, begun.err
    with running_function(paths.server.url, paths.migration, commands.folder / "mirror.log") as function:
        subscriber = paths.server.add_subscriber(
            function.url, types=["finalized"], bucket=paths.migration.source.bucket
        )
        commands.pauses = commands.mirrors_work
        assert commands.run("migrate", *named, "--execute", "--yes").code == 0
        assert commands.run("verify", *named).code == 0
        tested = commands.run("import-test", *of_consumer, "--last", "7")
        assert tested.code == 0, tested.out + tested.err
        everybody_signs(commands)
        ready = mirrored(paths, commands)
        grant_access(paths)
        ready = (*ready, "--writer", WRITER, "--reader", CONSUMER)
        gate = commands.run("gate", *of_consumer, *ready)
        assert gate.code == 0, gate.out
        assert "\nN/A      presence: " in gate.out, "it makes no presence check"
        ended = commands.run("cutover", *of_consumer, *ready, *NOW)
        assert ended.code == 0, ended.out + ended.err
        paths.server.remove_subscriber(subscriber)
        function.kill()

    delete = (*of_consumer, "--override", "sign-offs", "--reason", "x", "--by", "Ada", "--soak-days", "0")
    repo = ready[:2]
    plan = commands.run("delete", *delete, *repo)
    assert plan.code == 0, plan.out + plan.err
    assert "2 PARQUET objects" in plan.out
    assert "the invoices" in plan.out
    assert "--confirm-text DELETE_BILLING --expect-objects 3" in plan.out
    done = commands.run(
        *(
            "delete",
            *delete,
            *repo,
            "--manifest-dir",
            str(commands.folder),
            "--confirm-delete",
            "--ungoverned",
        ),
        *("--confirm-text", "DELETE_BILLING", "--expect-objects", "3"),
    )
    assert done.code == 0, done.out + done.err
    assert paths.names(side="source") == []
    assert {run.run.partition("-")[0] for run in commands.state.runs} == {"billing"}
    (manifest,) = commands.folder.glob("qpi_exports_deletion_manifest_billing_*.json")
    logs = ("--log-dir", str(commands.folder / "logs"), "--ungoverned")
    back = run_command("undo", str(manifest), "--execute", "--yes", *logs)
    assert back.code == 0, back.out + back.err
    assert len(paths.names(side="source")) == 3


def mirrored(paths: Paths, commands: Commands) -> tuple[str, ...]:
    """The gate's arguments where a mirror runs."""
    checkout = commands.folder / "checkout"
    checkout.mkdir()
    (checkout / "config.py").write_text(f'PATH = "{paths.migration.destination.uri}"\n')
    letters = commands.folder / "letters.json"
    letters.write_text(paths.server.undelivered())
    slow = ("--lag-p50", "900", "--lag-p99", "900", "--lag-max", "900")
    return ("--repo", str(checkout), "--canary", "20", "--dead-letters", str(letters), *slow)


@pytest.fixture
def cold(paths: Paths, commands: Commands) -> tuple[str, ...]:
    """A prefix that nothing writes, mirrors or loads, copied and signed; gives the arguments."""
    file = commands.folder / "archive.toml"
    file.write_text(COLD)
    paths.put("2019/a.tar", b"a")
    paths.put("2019/b.tar", b"b")
    named = ("--name", "archive")
    assert commands.run("migrate", *named, "--execute", "--yes").code == 0
    assert commands.run("verify", *named).code == 0
    everybody_signs(commands)
    return (*named, "--consumer", str(file))


WHY = ("--no-mirror", "--reason", "nothing has written it since 2019")


def test_a_cold_prefix_without_mirror_and_consumer(
    paths: Paths, commands: Commands, cold: tuple[str, ...]
) -> None:
    """The gate says GO, the cutover is on record with its reason, and the deletion asks for the pair's own text."""
    refused = commands.run("gate", *cold)
    assert refused.code == 1, "no mirror, and no person who says so"
    gate = commands.run("gate", *cold, *WHY, "--by", "Ada")
    assert gate.code == 0, gate.out
    ended = commands.run("cutover", *cold, *WHY, *NOW)
    assert ended.code == 0, ended.out + ended.err
    entry = commands.state.decisions[-1]
    assert entry.what.endswith("; overridden mirror (nothing has written it since 2019)")
    assert "mirrored back" not in ended.out, "no mirror brings anything back"
    assert "still arrives" not in ended.out
    assert f"--consumer {cold[-1]}" in ended.out.splitlines()[-1]
    plan = commands.run("delete", *cold, "--soak-days", "0")
    assert plan.code == 0, plan.out + plan.err
    assert "the only copies" in plan.out
    assert "DELETE_ARCHIVE" in plan.out
    done = commands.run(
        *("delete", *cold, "--soak-days", "0", "--manifest-dir", str(commands.folder), "--confirm-delete"),
        *("--ungoverned", "--confirm-text", "DELETE_ARCHIVE", "--expect-objects", "2"),
    )
    assert done.code == 0, done.out + done.err
    assert paths.names(side="source") == []


def test_no_mirror_and_an_override_have_each_its_own_reason_on_record(
    paths: Paths, commands: Commands, cold: tuple[str, ...]
) -> None:
    """One --reason for both is refused, in one line that says how to write it."""
    paths.set_rules({"age": 3_650, "matchesPrefix": ["qpi_exports/"]})
    shared = commands.run("cutover", *cold, *WHY, *NOW, "--override", "path-lifecycle")
    assert (shared.code, shared.err.count("\n")) == (2, 1)
    assert "--override path-lifecycle=TEXT" in shared.err
    ended = commands.run("cutover", *cold, *WHY, *NOW, "--override", "path-lifecycle=kept for ten years")
    assert ended.code == 0, ended.out + ended.err
    said = commands.state.decisions[-1].what
    assert "overridden path-lifecycle (kept for ten years)" in said
    assert "mirror (nothing has written it since 2019)" in said


def test_two_scripts_and_one_cutover_lead_to_the_end_and_back(
    paths: Paths, commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer is paused. Each last line is the next command; a person adds who decides, why, and the answers."""
    monkeypatch.chdir(tmp_path)
    paths.forget()
    days = [datetime.now(UTC).date() - timedelta(days=number) for number in range(8)]
    names = sorted(f"{answers_folder(day)}user_id_7.jsonl" for day in days)
    for name in names:
        paths.put(name, ROW)
    grant_access(paths)
    checkout = tmp_path / "dags"
    checkout.mkdir()
    (checkout / "config.py").write_text(f'PATH = "{paths.migration.destination.uri}"\n')

    def follow(ended: Ended, *more: str, typed: str = "") -> Ended:
        last = ended.out.splitlines()[-1]
        assert last.startswith("Next: python -m backfill_job "), ended.out + ended.err
        name, *words = shlex.split(last)[4:]
        words = ["Ada" if word == "NAME" else word for word in words]
        following = run_command(name, *words, *more, typed=typed)
        assert following.code == 0, (name, words, following.out, following.err)
        return following

    plan = run_command("migrate", *where(paths), typed="")
    copied = follow(plan, typed="y\n")
    assert "Copy 8 objects?" in copied.out
    step = follow(copied)
    for _ in Signatory:
        step = follow(step)
        assert "Recorded, by Ada" in step.out
    status = follow(step)
    why = ("--no-mirror", "--reason", "the writer is paused", "--repo", str(checkout), "--reader", CONSUMER)
    cut = follow(status, *why, typed="CUT OVER custom\n")
    assert "import-test: done in" in cut.out
    would_go = follow(cut, "--soak-days", "0")
    gone = follow(would_go, typed="DELETE_QPI_EXPORTS\nyes\n")
    assert paths.names(side="source") == []
    can_return = follow(gone)
    back = follow(can_return, typed="yes\n")
    assert sorted(paths.names(side="source")) == names
    by_day = run_command("undo", *where(paths), "--day", f"{days[0]:%Y%m%d}", typed="")
    assert (by_day.code, by_day.out.count(f"{days[0]}: ")) == (0, 1)
    assert "The legacy path is deleted" in follow(back).out
    again = run_command("delete", *where(paths), "--soak-days", "0", "--repo", str(checkout), typed="")
    assert "READY: 8 objects would be deleted" in again.out


def test_a_late_write_is_copied_by_a_second_cutover_which_does_not_call_its_copy_a_write(
    paths: Paths, commands: Commands, cold: tuple[str, ...]
) -> None:
    """A write on the legacy path before the second run is copied, and it ends well at once; one during it does not."""
    assert commands.run("cutover", *cold, *WHY, *NOW).code == 0
    paths.put("2020/late.tar", b"late")
    again = commands.run("cutover", *cold, *WHY, *NOW)
    assert again.code == 0, again.out
    assert paths.read("2020/late.tar") == b"late"
    commands.pauses = lambda _: paths.put("2020/later.tar", b"later") and None
    ended = commands.run("cutover", *cold, *WHY, *NOW)
    assert ended.code == 1
    assert "NOT FINISHED: somebody wrote while this command ran; the newest is 2020/later.tar" in ended.out


def test_status_proposes_the_cutover_without_a_mirror(
    paths: Paths, commands: Commands, cold: tuple[str, ...]
) -> None:
    """Beside the usual one where no mirror was seen to bring anything; with the reason on record, instead of it."""
    proposed = "cutover .* --by NAME --no-mirror --reason '{}'\n"
    named = (*where(paths), *cold[:2])
    assert re.search(proposed.format("the writer is paused"), run_command("status", *named).out)
    assert commands.run("cutover", *cold, *WHY, *NOW).code == 0
    assert commands.run("rollback", *cold[:2], *NOW).code == 0
    everybody_signs(commands)
    out = run_command("status", *named).out
    assert re.search(proposed.format(WHY[-1]), out)
    assert "the writer is paused" not in out


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_write_before_the_change_of_the_phase_refuses_it(
    paths: Paths, commands: Commands, cold: tuple[str, ...], side: str
) -> None:
    """Nothing was changed; no event would ever bring that object."""
    commands.pauses = lambda _: paths.put("2019/b.tar", b"later", side=side) and None
    ended = commands.run("cutover", *cold, *WHY, *NOW)
    assert (ended.code, commands.state.phase) == (2, Phase.DUAL_WRITE), ended.out
    assert "somebody wrote while this command ran" in ended.err
    assert "2019/b.tar" in ended.err


def test_a_write_while_the_phase_changes_is_not_finished(
    paths: Paths, commands: Commands, cold: tuple[str, ...]
) -> None:
    """Exit code 1: the writer was not paused."""
    waits: list[float] = []

    def write(seconds: float) -> None:
        waits.append(seconds)
        if seconds > 1:
            paths.put("2020/new.tar", b"new")

    commands.pauses = write
    ended = commands.run("cutover", *cold, *WHY, *NOW)
    assert (ended.code, commands.state.phase) == (1, Phase.CUT_OVER), ended.out
    assert "NOT FINISHED: somebody wrote while the phase changed; the newest is 2020/new.tar" in ended.out


@pytest.mark.parametrize(
    "more", [("--no-mirror",), ("--no-mirror", "--reason", "x"), (*WHY, "--by", "Ada", "--canary")]
)
def test_no_mirror_without_a_reason_and_a_name_cannot_start(
    commands: Commands, more: tuple[str, ...]
) -> None:
    """One line, exit code 2; and a canary contradicts it."""
    ended = commands.run("gate", *more)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "--no-mirror" in ended.err


def test_an_undescribed_path_is_not_applicable_and_says_how_to_describe_it(
    paths: Paths, commands: Commands
) -> None:
    """Import test and presence; the consumers' code is still asked for, and everything is critical."""
    paths.put("2019/a.parquet", b"a", side="source")
    ended = commands.run("gate", "--no-record")
    assert "\nN/A      import test: " in ended.out
    assert "\nN/A      presence: " in ended.out
    assert "\nNOT RUN  references: " in ended.out
    assert "--consumer FILE" in ended.out
    assert where(paths)[0] == "--source"
