"""Every command that an advice prints runs in the phase in which it is printed."""

import re
import shlex
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import report_samples as samples
from testing_commands import Commands, run_command, where
from testing_deletion import Scene, day
from testing_paths import Paths

from backfill_job.commands import PROGRAMS
from shared.gateway import Gateway
from shared.phase import Phase
from shared.report.next_steps import CommandTarget, next_command, next_steps
from shared.verification import Verification

NOTHING = None
FILES: dict[str, dict[str, object] | None] = {
    "none": NOTHING,
    "clean": samples.clean(3),
    "missing": samples.verification(samples.days(date(2024, 1, 1), 1, {date(2024, 1, 1): "missing"})),
    "differing": samples.verification(samples.days(date(2024, 1, 1), 1, {date(2024, 1, 1): "differing"})),
    "in flight": samples.verification(samples.days(date(2024, 1, 1), 1, {date(2024, 1, 1): "in_flight"})),
    "extra": samples.verification(samples.days(date(2024, 1, 1), 1), extra=1),
}


@pytest.fixture
def scene(paths: Paths, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    return Scene(paths, Commands(paths, tmp_path, gateway), tmp_path)


def dual_write(scene: Scene) -> None:
    scene.both(day(1))


def cut_over(scene: Scene) -> None:
    scene.both(day(1))
    scene.cut_over()


def rolled_back(scene: Scene) -> None:
    cut_over(scene)
    scene.commands.go(Phase.ROLLED_BACK)


def deleting(scene: Scene) -> None:
    scene.both(day(1), day(2))
    scene.soak()
    scene.paths.server.set_faults(rules=[{"method": "storage.objects.delete", "count": None, "status": 403}])
    scene.delete(2)
    scene.paths.server.set_faults()


def deleted(scene: Scene) -> None:
    scene.both(day(1))
    scene.soak()
    scene.delete(1)


MAKES = {
    Phase.DUAL_WRITE: dual_write,
    Phase.CUT_OVER: cut_over,
    Phase.ROLLED_BACK: rolled_back,
    Phase.DELETING: deleting,
    Phase.DELETED: deleted,
}


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.value)
def test_every_command_that_is_printed_runs_in_its_phase(scene: Scene, phase: Phase) -> None:
    """Whatever the latest verification found: from the status with the state, from a report without it."""
    make: Callable[[Scene], None] = MAKES[phase]
    make(scene)
    state = scene.commands.state
    assert state.phase is phase
    migration = scene.paths.migration
    target = CommandTarget(
        migration.label, migration.source.uri, migration.destination.uri, migration.excludes
    )
    now = datetime.now(UTC)
    lines: set[str] = set()
    for file in FILES.values():
        found: Verification | None = None if file is None else samples.read(file)
        for known in (state, None):
            steps = next_steps(phase, found, target, state=known, now=now)
            lines |= {step.command for step in steps if step.command}
    assert lines
    for line in sorted(lines):
        _, _, _, name, *words = shlex.split(line)
        words = ["Ada Lovelace" if word == "NAME" else word for word in words]
        ended = (
            run_command(name, *words, "--log-dir", str(scene.folder), typed="DELETE_QPI_EXPORTS\nyes\n")
            if (name not in {"signoff", "status"})
            else run_command(name, *words)
        )
        assert ended.code != 2, (line, ended.err)


def answers_of_the_night() -> list[tuple[Phase, str]]:
    """The commands in the runbook's first three answers, each with the phase that is written beside it."""
    text = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()
    part = text[text.index("### Verification says missing") : text.index("\n## 0. ")]
    found = []
    for line in "".join(re.findall(r"(?ms)^```\n(.*?)^```", part)).splitlines():
        command, _, when = line.partition("#")
        phases = {"before the cutover": Phase.DUAL_WRITE, "after the cutover": Phase.CUT_OVER}
        found.append((phases.get(re.split("[:,]", when.strip())[0], Phase.DELETED), command.strip()))
    return found


@pytest.mark.parametrize(("phase", "line"), answers_of_the_night())
def test_the_runbook_s_answers_of_the_night_run_in_their_phase(scene: Scene, phase: Phase, line: str) -> None:
    """As they are printed, for a test's own pair and day."""
    MAKES[phase](scene)
    program, *words = shlex.split(line.removeprefix("python -m backfill_job "))
    at = words.index("--env")
    words[at : at + 2] = where(scene.paths)
    words = ["20240101" if word == "2026-11-22" else word for word in words]
    log = ("--log-dir", str(scene.folder))
    ended = run_command(PROGRAMS.get(program, program), *words, *log, typed="yes\n")
    assert ended.code == 0, (line, ended.out, ended.err)


def test_the_runbook_answers_all_three_phases() -> None:
    """Else the test above would be content with less."""
    assert [phase for phase, _ in answers_of_the_night()] == [
        Phase.DUAL_WRITE, Phase.CUT_OVER, Phase.DUAL_WRITE, Phase.CUT_OVER, Phase.CUT_OVER, Phase.DELETED, Phase.DELETED,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("phase", "file", "command"),
    [
        (Phase.DUAL_WRITE, "none", "verify"),
        (Phase.DUAL_WRITE, "missing", "migrate"),
        (Phase.DUAL_WRITE, "extra", "verify"),  # a person must move it away first
        (Phase.CUT_OVER, "missing", "cutover"),
        (None, "clean", "status"),
    ],
)
def test_one_command_is_next(phase: Phase | None, file: str, command: str) -> None:
    """The first that is not for trouble; where a person must act first, the verification that shows it."""
    target = CommandTarget("dev", samples.SOURCE, samples.DESTINATION)
    content = FILES[file]
    found = None if content is None else samples.read(content)
    line = next_command(next_steps(phase, found, target), found, target)
    assert line.split()[3] == command


def test_what_is_for_trouble_is_never_next(scene: Scene) -> None:
    """After the cutover it is the deletion, and not the rollback; after the deletion nothing."""
    cut_over(scene)
    target = CommandTarget.of(scene.paths.migration)
    trouble, usual = next_steps(
        Phase.CUT_OVER, samples.read(FILES["clean"] or {}), target, state=scene.commands.state
    )[-2:]
    assert (trouble.in_trouble, usual.in_trouble) == (True, False)
    assert next_command([trouble, usual], None, target) == usual.command
    assert next_command([trouble], None, target) == target.command("status")


def test_after_the_cutover_no_advice_runs_the_migration_or_moves_exports_away() -> None:
    """It would not overwrite, and what only the new path has is what writers wrote there."""
    target = CommandTarget("dev", samples.SOURCE, samples.DESTINATION)
    for file in FILES.values():
        found = None if file is None else samples.read(file)
        for step in next_steps(Phase.CUT_OVER, found, target):
            assert "migrate" not in step.command
            assert "Move it away" not in step.text


def test_without_a_phase_no_command_depends_on_it() -> None:
    """A report whose phase is not known sends to the status, which knows it."""
    target = CommandTarget("dev", samples.SOURCE, samples.DESTINATION)
    commands = {
        step.command.split()[3]
        for file in FILES.values()
        for step in next_steps(None, None if file is None else samples.read(file), target)
        if step.command
    }
    assert commands <= {"verify", "status", "migrate"}
