"""Every command that a deletion or an undo prints runs in the phase in which it is printed."""

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from testing_commands import Ended, run_command, where
from testing_deletion import Scene, day
from testing_paths import Paths

from shared.phase import Phase
from shared.record import update
from shared.state import Overridden
from shared.state_changes import Stamp, with_phase


def printed(ended: Ended) -> list[list[str]]:
    """The commands on a screen and in an error line, as words."""
    found = re.findall(r"python -m backfill_job ([^`\x22\n]+)", f"{ended.out}\n{ended.err}")
    return [shlex.split(line) for line in dict.fromkeys(found)]


def names(ended: Ended) -> list[str]:
    return [words[0] for words in printed(ended)]


def followed(scene: Scene, ended: Ended) -> Iterator[Ended]:
    """Run what was printed, on a terminal whose operator says yes where the command asks."""
    for command, *said in printed(ended):
        words = ["Ada" if word == "NAME" else word for word in said]
        plain = command in {"signoff", "status"}
        quick = () if plain or command == "undo" else ("--grace", "0")
        logs = () if plain else ("--log-dir", str(scene.folder / "logs"))
        after = run_command(command, *words, *quick, *logs, typed="yes\n")
        assert after.code in {0, 1}, (command, words, after.err)
        assert "refused" not in after.err, (command, words, after.err)
        yield after


def hold(paths: Paths, name: str, *, held: bool = True) -> None:
    blob = paths.bucket("source").blob("QPI_exports/" + name)
    blob.temporary_hold = held
    blob.patch()


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ((), ["verify", "migrate", "signoff", "status"]),
        ((Phase.CUT_OVER,), ["verify", "cutover", "rollback", "delete"]),
        ((Phase.CUT_OVER, Phase.ROLLED_BACK), ["verify", "migrate", "signoff", "status"]),
        ((Phase.CUT_OVER, Phase.DELETING), ["verify", "delete"]),
        ((Phase.CUT_OVER, Phase.DELETING, Phase.DELETED), ["verify", "delete"]),
    ],
    ids=["dual_write", "cut_over", "rolled_back", "deleting", "deleted"],
)
def test_a_dry_run_that_finds_a_difference_prints_what_the_phase_allows(
    scene: Scene, phases: tuple[Phase, ...], said: list[str]
) -> None:
    """Who brings the newer version over depends on the phase; once a deletion was begun no command of ours does."""
    scene.both(day(1))
    scene.paths.put(day(2), b"only here\n")
    scene.commands.go(*phases)
    ended = scene.run()
    assert (ended.code, names(ended)) == (1, said)
    assert ("gcloud storage cp" in ended.out) == (said == ["verify", "delete"])
    assert len([*followed(scene, ended)]) == len(said)


@pytest.mark.parametrize("command", ["gate", "delete", "status", "verify"])
def test_after_a_cutover_without_a_mirror_no_printed_cutover_wants_one(scene: Scene, command: str) -> None:
    """It would wait for a canary that no mirror brings over."""
    scene.both(day(1))
    why = (Overridden("mirror", "the writer is paused"),)
    stamp = Stamp("c", "Ada", datetime.now(UTC))
    migration = scene.paths.migration
    update(
        scene.commands.gateway,
        migration,
        lambda state: with_phase(state, Phase.CUT_OVER, stamp, overridden=why),
    )
    scene.paths.put(day(2), b"only here\n")
    quick = ("--grace", "0", "--log-dir", str(scene.folder / "logs"))
    run_command("verify", *where(scene.paths), *quick)
    ended = run_command(command, *where(scene.paths), *(() if command == "status" else quick))
    cutovers = [words for words in printed(ended) if words[0] == "cutover"]
    assert cutovers, ended.out
    for words in cutovers:
        assert words[words.index("--no-mirror") :] == ["--no-mirror", "--reason", "the writer is paused"]


def test_an_unfinished_deletion_prints_how_it_goes_on(scene: Scene) -> None:
    """The printed resumption finishes it; the printed dry run says how what is left would be deleted anew."""
    scene.both(day(1), day(2))
    scene.cut_over()
    hold(scene.paths, day(2))
    ended = scene.delete(2)
    assert (ended.code, scene.phase, names(ended)) == (1, Phase.DELETING, ["delete", "delete"])
    hold(scene.paths, day(2), held=False)
    dry_run, resumed = followed(scene, ended)
    assert (resumed.code, scene.phase) == (0, Phase.DELETED)
    assert "Dry run: nothing is deleted." in dry_run.out


def test_on_a_terminal_the_printed_resumption_asks_again(scene: Scene) -> None:
    """The confirmation is printed only for those who gave it on the command line."""
    scene.both(day(1), day(2))
    scene.cut_over()
    hold(scene.paths, day(2))
    words = ("--confirm-delete", "--soak-days", "0", "--ungoverned")
    ended = scene.run(*words, typed="DELETE_QPI_EXPORTS\nyes\n")
    assert ended.code == 1
    resume = printed(ended)[-1]
    assert resume[-2:] == ["--resume", scene.manifest_uri]
    hold(scene.paths, day(2), held=False)
    again = run_command(*resume, "--log-dir", str(scene.folder / "logs"), typed="DELETE_QPI_EXPORTS\nyes\n")
    assert (again.code, scene.phase) == (0, Phase.DELETED)


def test_an_error_after_the_beginning_prints_how_it_goes_on(scene: Scene) -> None:
    """The phase is deleting by then; the same command would be refused."""
    scene.both(day(1))
    scene.cut_over()
    scene.delete(1, "--prepare")
    name = scene.manifest_uri.partition("/_migration/qpi_exports/")[2]
    blob = scene.paths.bucket("destination").blob(scene.own(f"{name}l"))
    lines = blob.download_as_bytes()
    blob.upload_from_string(lines.replace(b"_2024", b"_2023"))
    ended = scene.resume(1)
    blob.upload_from_string(lines)
    assert (ended.code, names(ended)) == (1, ["delete"]), ended
    assert [after.code for after in followed(scene, ended)] == [0]
    assert scene.phase is Phase.DELETED


@pytest.mark.parametrize("anew", [(), ("--anew",)], ids=["plain", "anew"])
def test_a_dry_run_of_a_further_deletion_prints_what_deletes_it(scene: Scene, anew: tuple[str, ...]) -> None:
    """Where a deletion was begun, --confirm-delete alone is refused: --anew must be said, once."""
    scene.both(day(1), day(2))
    scene.cut_over()
    scene.commands.pauses = lambda _: scene.both(day(1), metadata={"late": "yes"}) and None
    assert scene.delete(2).code == 1
    scene.commands.pauses = lambda _: None
    dry_run = scene.run("--soak-days", "0", *anew)
    words = printed(dry_run)[-1]
    assert words.count("--anew") == 1
    ended = run_command(*words, "--ungoverned")
    assert (ended.code, scene.phase) == (0, Phase.DELETED), ended


def test_a_dry_run_of_a_deletion_that_was_begun_prints_how_it_goes_on(scene: Scene) -> None:
    """The whole command, which runs as it is printed: without a terminal it has the confirmation."""
    scene.both(day(1))
    scene.cut_over()
    assert scene.delete(1, "--prepare").code == 0
    dry_run = scene.run("--soak-days", "0")
    (resume,) = [words for words in printed(dry_run) if "--resume" in words]
    ended = run_command(*resume, "--log-dir", str(scene.folder / "logs"))
    assert (ended.code, scene.phase) == (0, Phase.DELETED), ended


@pytest.mark.parametrize("command", ["status", "verify"])
def test_without_a_terminal_the_resumption_has_the_confirmation_that_it_would_ask_for(
    scene: Scene, command: str
) -> None:
    """And on a terminal it asks: a confirmation that is pasted is not one."""
    scene.both(day(1), day(2))
    scene.cut_over()
    hold(scene.paths, day(2))
    assert scene.delete(2).code == 1
    hold(scene.paths, day(2), held=False)
    logs = ("--log-dir", str(scene.folder / "logs"))
    more = () if command == "status" else ("--grace", "0", *logs)
    words = (*where(scene.paths), *more)
    asked = printed(run_command(command, *words, typed=""))[-1]
    (resume, *_) = [each for each in printed(run_command(command, *words)) if "--resume" in each]
    assert [*asked, "--confirm-text", "DELETE_QPI_EXPORTS", "--expect-objects", "2"] == resume
    ended = run_command(*resume, *logs)
    assert (ended.code, scene.phase) == (0, Phase.DELETED), ended


def test_a_refused_deletion_prints_the_resumption_as_it_runs(scene: Scene) -> None:
    """The same command again would be refused again."""
    scene.both(day(1))
    scene.cut_over()
    assert scene.delete(1, "--prepare").code == 0
    refused = scene.delete(7)
    (words,) = printed(refused)
    ended = run_command(*words, "--log-dir", str(scene.folder / "logs"))
    assert (refused.code, ended.code, scene.phase) == (2, 0, Phase.DELETED), ended


def test_after_a_second_deletion_the_undo_names_its_manifest(scene: Scene) -> None:
    """After the first, the pair is enough; after the second, it would be asked which."""
    scene.both(day(1), day(2))
    scene.cut_over()
    first = printed(scene.delete(2))[-1]
    assert first == ["undo", *where(scene.paths)]
    scene.both(day(3))
    again = printed(scene.delete(1, "--anew"))[-1]
    assert again == ["undo", scene.manifest_uri]
    lines = [words for words in printed(run_command("status", *where(scene.paths))) if words[0] == "undo"]
    assert (len(lines), lines[-1]) == (2, again)
    for words in lines:
        assert run_command(*words, "--log-dir", str(scene.folder / "logs")).code == 0


def test_from_the_end_of_a_deletion_to_the_end_of_an_undo_each_printed_command_runs(
    scene: Scene, tmp_path: Path
) -> None:
    """The deletion prints the undo, its dry run prints the execution, and that prints a dry run of the deletion."""
    scene.both(day(1), day(2))
    scene.cut_over()
    ended = scene.delete(2)
    assert (ended.code, names(ended)) == (0, ["undo"])
    (dry_run,) = followed(scene, ended)
    assert (dry_run.code, names(dry_run)) == (0, ["undo"])
    only = scene.undo(scene.manifest_uri, "--only", "*_user_*", "--only", day(1))
    (words,) = printed(only)
    assert words[:6] == ["undo", scene.manifest_uri, "--only", "*_user_*", "--only", day(1)]
    assert words[-1] == "--execute"
    (done,) = followed(scene, dry_run)
    assert (done.code, names(done), len(scene.legacy())) == (0, ["status"], 2)
    look = scene.run("--soak-days", "0")
    assert "CRITICAL: 2 JSONL objects" in look.out


@pytest.mark.parametrize("number", [1, 2])
def test_after_an_undo_verify_leads_where_status_leads(scene: Scene, number: int) -> None:
    """Both say when a further deletion is for; neither offers the one that is complete."""
    scene.both(day(1), day(2))
    scene.cut_over()
    assert scene.delete(2).code == 0
    assert scene.undo("--execute", *where(scene.paths), "--day", f"2024010{number}").code == 0
    before = run_command("status", *where(scene.paths))
    quick = ("--grace", "0", "--log-dir", str(scene.folder / "logs"))
    verified = run_command("verify", *where(scene.paths), *quick)
    after = run_command("status", *where(scene.paths))
    last = [ended.out.splitlines()[-1] for ended in (before, verified, after)]
    assert last == [f"Next: python -m backfill_job delete {shlex.join(where(scene.paths))}"] * 3
    for shown in (before, after):
        assert "An undo ran. When what it brought back is no longer needed, see what a further" in shown.out


def test_a_printed_command_has_no_option_twice(scene: Scene) -> None:
    """What the operator typed for the look is replaced by what the dry run found."""
    scene.both(day(1), day(2))
    scene.cut_over()
    typed = ("--soak-days", "0", "--confirm-text", "DELETE_QPI_EXPORTS", "--expect-objects", "9")
    words = printed(scene.run(*typed))[-1]
    assert (words.count("--expect-objects"), words[-1]) == (1, "2")
    rehearsal = scene.commands.run("rollback", "--dry-run", "--by", "Ada")
    assert printed(rehearsal)[-1].count("--by") == 1
    erased = ("--by", "Ada", "--match", day(2), "--expect-names", "7")
    look = run_command("erasure", day(1), *where(scene.paths), *erased)
    words = printed(look)[-1]
    assert (words.count("--by"), words.count("--expect-names"), words[-1]) == (1, 1, "1")


def test_anew_before_a_deletion_was_begun_says_what_the_phase_wants(scene: Scene) -> None:
    """To leave --anew out helps after the cutover only."""
    scene.both(day(1))
    ended = scene.run(
        "--anew", "--confirm-delete", "--confirm-text", "DELETE_QPI_EXPORTS", "--expect-objects", "1"
    )
    assert (
        "the phase is dual_write: the legacy path is still the source of truth: gate and cutover first"
        in ended.err
    )
    scene.cut_over()
    ended = scene.delete(1, "--anew")
    assert (ended.code, "leave --resume and --anew out" in ended.err) == (2, True)


def test_every_printed_command_repeats_the_project_that_pays(scene: Scene) -> None:
    """Without it, the next command would be refused; what a person must mend comes before it."""
    scene.both(day(1), day(2))
    scene.cut_over()
    hold(scene.paths, day(2))
    ended = scene.delete(2, "--billing-project", "who-pays")
    assert [words[words.index("--billing-project") + 1] for words in printed(ended)] == ["who-pays"] * 2
    assert "1 object failed: a hold forbids it." in ended.out
    assert "Next, when that is fixed: python -m backfill_job delete" in ended.out
