"""The command ``rollback``: make the legacy path the source of truth again, without losing what was written since.

``python -m backfill_job rollback --env E --by WHO``. It copies from the new path what the legacy path lacks: the later write
wins, and each copy is proven. Then it changes the phase, waits until every mirror must have seen the change, and copies what
was written meanwhile. ``--dry-run`` shows what it would copy back. Run again, it repeats the last part, for writers who
switch back late.
"""

import argparse
from collections.abc import Sequence

from backfill_job.copying.catch_up import BRINGS_BACK_IN, CatchUp, catch_up, reversed_run, say_not_done
from backfill_job.copying.on_record import begin_comparison
from backfill_job.copying.options import add_pace_arguments
from backfill_job.dry_run.analyse import analyse
from backfill_job.dry_run.estimate import estimate, work_of
from backfill_job.dry_run.plan import PlanStep
from backfill_job.dry_run.screen import render
from backfill_job.run.arguments import add_by_argument, add_session_arguments
from backfill_job.run.command import Command, ExitCode, ProcessIO, add_migration_arguments, migration_from
from backfill_job.run.ending import command_line, same_command, say_end
from backfill_job.run.open_run import opened, say_overlaps
from backfill_job.run.phase_change import (
    NotFinished,
    PhaseAfter,
    change_phase,
    phase_after,
    phase_changed,
    source_of_truth,
    wait_until_seen,
)
from backfill_job.run.questions import confirm_by_typing
from backfill_job.run.run import Run
from shared.errors import UsageError
from shared.migration import Migration
from shared.phase import Phase
from shared.state import State
from shared.text import counted, listed, minute_text, shown
from shared.verification import Verdict

__all__ = ["COMMAND"]

NAME = "rollback"

EXAMPLES = """
examples:
  python -m backfill_job rollback --env prod --dry-run             what would be copied back; changes nothing
  python -m backfill_job rollback --env prod --refresh             copy what the reverse mirror missed; no rollback
  python -m backfill_job rollback --env prod --by "Ada Lovelace"   go back, after a typed confirmation
  python -m backfill_job rollback --env prod --by "Ada Lovelace"   again, once the last writer has switched back

exit codes:
  0  the legacy path has everything that was written on the new one; and is the source of truth, except with --refresh
  1  something is left to do; the last line says what, and which phase it is
  2  could not start: arguments, bucket, permission, phase, or not confirmed
"""

MAX_NAMES_SHOWN = 20

OBJECTS_PER_SECOND = 500.0
"""`shared.replicate` copies the objects one by one on threads, which is slower than the bulk lane."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_migration_arguments(parser)
    mode = parser.add_argument_group("what is done")
    which = mode.add_mutually_exclusive_group()
    which.add_argument(
        "--dry-run", action="store_true", help="a rehearsal: show what would be copied back, change nothing"
    )
    which.add_argument(
        "--refresh",
        action="store_true",
        help="only bring the legacy path up to date, as a sweep does for what the reverse mirror missed; the new path stays "
        "the source of truth",
    )
    add_by_argument(mode, "who decides")
    mode.add_argument("--yes", action="store_true", help="do not ask; needed without a terminal")
    add_pace_arguments(parser)
    add_session_arguments(parser, in_parts=False)


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    if not arguments.dry_run and not arguments.refresh:
        _check_arguments(arguments, io)
    migration = migration_from(arguments)
    mode = f"{NAME} rehearsal" if arguments.dry_run else NAME
    changes = not arguments.dry_run
    with opened(NAME, arguments, io, migration=migration, mode=mode, changes_objects=changes) as run:
        state = run.state()
        if state.phase not in BRINGS_BACK_IN:
            raise UsageError(_no_way_back(state, migration))
        if arguments.dry_run:
            return _rehearse(run, () if arguments.by else ("--by", "NAME"))
        if arguments.refresh:
            return _refresh(run, arguments, state)
        return _roll_back(run, arguments, state)


def _check_arguments(arguments: argparse.Namespace, io: ProcessIO) -> None:
    if not arguments.by:
        raise UsageError("say who decides: --by WHO (or --dry-run for a rehearsal)")
    if not arguments.yes and not io.stdin.isatty():
        raise UsageError("rollback asks before it changes anything, and there is no terminal; add --yes")


def _no_way_back(state: State, migration: Migration) -> str:
    if state.phase is Phase.DUAL_WRITE:
        return (
            "there was no cutover, so there is nothing to roll back; the legacy path is the source of truth"
        )
    return (
        f"the migration is in phase {state.phase.value}: the legacy path is being deleted or gone; "
        f"`{command_line(migration, 'undo')}` restores what was deleted"
    )


def _rehearse(run: Run, by: tuple[str, ...]) -> ExitCode:
    back = reversed_run(run)
    findings = analyse(back)
    costs = estimate(work_of(findings, len(run.ranges)), speed=OBJECTS_PER_SECOND)
    title = "Rehearsal of a rollback: nothing is changed."
    run.console.show(render(findings, costs, back.migration, title=title))
    run.write("rollback-plan.json", {"findings": findings.to_json(), "estimate": costs.to_json()})
    alone = findings.steps[PlanStep.EXTRA].objects
    if alone:
        run.say(_only_legacy(run, alone))
    say_overlaps(run)
    return say_end(run, "\nREADY. Nothing was changed.", same_command(run, NAME, *by), good=True)


def _only_legacy(run: Run, objects: int, names: Sequence[str] = ()) -> str:
    """What a rollback means for the objects that only the legacy path has."""
    such = f": {listed(map(shown, names), MAX_NAMES_SHOWN)}" if names else ""
    was, comes = ("It was", "it comes") if objects == 1 else ("They were", "they come")
    return (
        f"{counted(objects, 'object')} only at {shown(run.migration.source.uri)}{such}. {was} deleted at the new path, or never "
        f"came there. After a rollback the legacy path decides, so {comes} to the new path again. What must stay erased, "
        "delete on both paths."
    )


def _refresh(run: Run, arguments: argparse.Namespace, state: State) -> ExitCode:
    """Sweep the way back. It asks no question, because the later write wins, and it keeps each replaced version."""
    caught_up, after = _bring_back(run, arguments, state.phase, BRINGS_BACK_IN)
    caught_up.record(run, after.name, "the legacy path")
    done = caught_up.done and after.same
    if after.same and not done:
        run.say(*caught_up.proof.what_to_do())
    command = same_command(run, NAME) if after.same and not done else command_line(run.migration, "status")
    return say_end(run, after.line(caught_up.brought), command, good=done)


def _roll_back(run: Run, arguments: argparse.Namespace, state: State) -> ExitCode:
    migration = run.migration
    if not arguments.yes:
        confirm_by_typing(
            run,
            f"ROLL BACK {migration.label}",
            source_of_truth(
                migration.source, migration.destination, mirror=not state.without_mirror, again=" again"
            ),
        )
    if state.phase is Phase.CUT_OVER:
        run.say("Bringing the legacy path up to date …")
        caught_up, after = _bring_back(run, arguments, Phase.CUT_OVER, frozenset({Phase.CUT_OVER}))
        _say_only_legacy(run, caught_up)
        if not (after.same and caught_up.done):
            caught_up.record(run, after.name, "the legacy path")
            return say_not_done(
                run, caught_up, after, "NOT rolled back.", "NOT rolled back: the phase is still cut_over."
            )
        run.say(caught_up.summary)
        state = _changed(run, arguments, caught_up)
        run.say(f"The phase is {state.phase.value}. The sign-offs are void: the next cutover needs new ones.")
    elif state.since is not None:
        run.say(
            f"Already rolled back, since {minute_text(state.since)}. Bringing back what late writers wrote …"
        )
    only = frozenset({Phase.ROLLED_BACK})
    with phase_changed(run, only):
        wait_until_seen(run)
        caught_up, after = _bring_back(run, arguments, Phase.ROLLED_BACK, only)
        caught_up.record(run, after.name, "the legacy path")
        if not (after.same and caught_up.done):
            return say_not_done(run, caught_up, after, "NOT FINISHED.", "NOT FINISHED.")
    run.say(*_next_steps(migration, mirror=not state.without_mirror))
    verdict = f"ROLLED BACK: {shown(migration.source.uri)} is the source of truth again."
    return say_end(run, verdict, same_command(run, NAME), good=True)


def _say_only_legacy(run: Run, caught_up: CatchUp) -> None:
    """Name what the new path does not have: the rollback brings it back there."""
    found = caught_up.proof.verification
    if found is not None and found.counts[Verdict.EXTRA]:
        names = [each.name for each in found.differences if each.verdict is Verdict.EXTRA]
        run.say(_only_legacy(run, found.counts[Verdict.EXTRA], names))


def _bring_back(
    run: Run, arguments: argparse.Namespace, began: Phase, allowed: frozenset[Phase]
) -> tuple[CatchUp, PhaseAfter]:
    """Copy what the legacy path lacks, as long as the phase allows it. Reads the phase again after that."""
    caught_up = catch_up(
        reversed_run(run),
        arguments,
        allowed,
        begin_comparison(run),
        settled_before=run.phases.first_cutover(),
    )
    return caught_up, phase_after(run, began)


def _changed(run: Run, arguments: argparse.Namespace, caught_up: CatchUp) -> State:
    """Change the phase after the first pass.

    Raises:
        NotFinished: Another command changed the phase meanwhile, and the pass had copied something.
        UsageError: The same, and the pass had copied nothing.
    """
    try:
        return change_phase(run, Phase.ROLLED_BACK, arguments.by)
    except UsageError as error:
        if not caught_up.copied:
            raise
        raise NotFinished(f"NOT rolled back: {error}. Before that, {caught_up.brought}") from error


def _next_steps(migration: Migration, *, mirror: bool) -> list[str]:
    source, destination = shown(migration.source.uri), shown(migration.destination.uri)
    consumers = ["", "What to do now:", f"  1. Consumers: go back to {source}, now."]
    if not mirror:
        return [
            *consumers,
            (
                f"  2. The writer: let it write to {source}. No mirror runs, so nothing brings what it writes to {destination}; "
                "if it wrote there meanwhile, run this same command again."
            ),
            "  3. Before the next cutover: `migrate --execute`, `verify`, and every sign-off anew.",
        ]
    return [
        *consumers,
        (
            f"  2. The writer's team: go back to {source}, now. Until all have, what is new on {destination} still arrives; "
            "what they overwrite there is logged (mirror_conflict) and waits for step 3."
        ),
        "  3. When the last writer is back: run this same command again. It copies what late writers overwrote.",
        f"  4. The mirror goes on: {destination} follows, so that the next cutover needs no new backfill.",
        "  5. Before the next cutover: `verify`, and every sign-off anew.",
    ]


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run)
