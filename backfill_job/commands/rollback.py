"""The command ``rollback``: make the legacy path the one whose word counts again, without losing what was written since.

``python -m backfill_job rollback --env E --by WHO``. It brings the legacy path up to date from the new one, where the later write
counts and every object is proven; then it changes the phase, waits until every mirror must have seen it, and brings over
what was written meanwhile. ``--dry-run`` shows what would be copied back. Given again it does the last part again: for writers
who switch back late.
"""

import argparse

from backfill_job.copying.catch_up import Handover, bring_over, reversed_run
from backfill_job.copying.lane import Limits
from backfill_job.copying.options import CopyOptions, add_pace_arguments, governor_from
from backfill_job.copying.progress import showing_progress
from backfill_job.dry_run.analyse import analyse
from backfill_job.dry_run.estimate import estimate, work_of
from backfill_job.dry_run.screen import render
from backfill_job.run.arguments import add_session_arguments
from backfill_job.run.command import Command, ExitCode, ProcessIO, add_migration_arguments, migration_from
from backfill_job.run.open_run import opened
from backfill_job.run.phase_change import change_phase, phase_changed, wait_until_seen
from backfill_job.run.questions import confirm_by_typing
from backfill_job.run.run import Run
from shared.errors import UsageError
from shared.events_log import Event
from shared.migration import Migration
from shared.phase import Phase
from shared.state import State, utc_text
from shared.state_changes import MAX_WHO
from shared.text import shown

__all__ = ["COMMAND"]

NAME = "rollback"

EXAMPLES = """
examples:
  python -m backfill_job rollback --env prod --dry-run             what would be copied back; changes nothing
  python -m backfill_job rollback --env prod --refresh             copy what the reverse mirror missed; no rollback
  python -m backfill_job rollback --env prod --by "Ada Lovelace"   go back, after a typed confirmation
  python -m backfill_job rollback --env prod --by "Ada Lovelace"   again, once the last writer has switched back

exit codes:
  0  the legacy path has everything that was written on the new one; and counts, but for --refresh
  1  something is left to do; the last line says what, and which phase it is
  2  could not start: arguments, bucket, permission, phase, or not confirmed
"""

OBJECTS_PER_SECOND = 500.0
"""What is copied one by one, by `shared.replicate` on threads, is slower than the bulk lane."""


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
        help="only bring the legacy path up to date, as a sweep does for what the reverse mirror missed; the new path goes on "
        "to count",
    )
    mode.add_argument("--by", metavar="WHO", help=f"who decides, up to {MAX_WHO} characters")
    mode.add_argument("--yes", action="store_true", help="do not ask; needed without a terminal")
    add_pace_arguments(parser)
    add_session_arguments(parser, in_parts=False)


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    if not arguments.dry_run and not arguments.refresh:
        _check_arguments(arguments, io)
    migration = migration_from(arguments)
    mode = f"{NAME} rehearsal" if arguments.dry_run else NAME
    with opened(NAME, arguments, io, migration=migration, mode=mode) as run:
        state = run.state()
        if state.phase not in {Phase.CUT_OVER, Phase.ROLLED_BACK}:
            raise UsageError(_no_way_back(state))
        if arguments.dry_run:
            return _rehearse(run)
        if arguments.refresh:
            return _refresh(run, arguments, state)
        return _roll_back(run, arguments, state)


def _check_arguments(arguments: argparse.Namespace, io: ProcessIO) -> None:
    if not arguments.by:
        raise UsageError("say who decides: --by WHO (or --dry-run for a rehearsal)")
    if not arguments.yes and not io.stdin.isatty():
        raise UsageError("rollback asks before it changes anything, and there is no terminal; add --yes")


def _no_way_back(state: State) -> str:
    if state.phase is Phase.DUAL_WRITE:
        return "there was no cutover, so there is nothing to roll back; the legacy path counts"
    return (
        f"the migration is in phase {state.phase.value}: the legacy path is being deleted or gone; "
        "`undo MANIFEST` restores what was deleted"
    )


def _rehearse(run: Run) -> ExitCode:
    back = reversed_run(run)
    findings = analyse(back)
    costs = estimate(work_of(findings, len(run.ranges)), speed=OBJECTS_PER_SECOND)
    title = "Rehearsal of a rollback: nothing is changed."
    run.console.print(render(findings, costs, back.migration, title=title))
    run.write("rollback-plan.json", {"findings": findings.to_json(), "estimate": costs.to_json()})
    run.say("\nNothing was changed. To go back: the same command with --by WHO, without --dry-run.")
    return ExitCode.DONE


def _refresh(run: Run, arguments: argparse.Namespace, state: State) -> ExitCode:
    """Sweep the way back. Nobody is asked: the later write counts, and what is replaced is kept."""
    handover = _bring_back(run, arguments)
    _leave(run, state.phase, handover)
    run.say(f"The phase is {state.phase.value}, as before.")
    return ExitCode.DONE if handover.done else ExitCode.NOT_RIGHT


def _roll_back(run: Run, arguments: argparse.Namespace, state: State) -> ExitCode:
    migration = run.migration
    if not arguments.yes:
        confirm_by_typing(
            run,
            f"ROLL BACK {migration.label}",
            f"From now on {shown(migration.source.uri)} counts again, and {shown(migration.destination.uri)} follows it.",
        )
    if state.phase is Phase.CUT_OVER:
        run.say("Bringing the legacy path up to date …")
        handover = _bring_back(run, arguments)
        if not handover.done:
            _leave(run, state.phase, handover)
            run.say(
                "NOT rolled back: the phase is still cut_over. Mend what the log says, and try again.",
            )
            return ExitCode.NOT_RIGHT
        run.say(handover.summary)
        state = change_phase(run, Phase.ROLLED_BACK, arguments.by)
        run.say(
            f"The phase is {state.phase.value}. The sign-offs are void: the next cutover needs new ones.",
        )
    elif state.since is not None:
        run.say(
            f"Already rolled back, since {utc_text(state.since)}. Bringing back what late writers wrote …",
        )
    with phase_changed(Phase.ROLLED_BACK):
        wait_until_seen(run)
        return _finish(run, arguments)


def _finish(run: Run, arguments: argparse.Namespace) -> ExitCode:
    handover = _bring_back(run, arguments)
    _leave(run, Phase.ROLLED_BACK, handover)
    if not handover.done:
        run.say("NOT FINISHED: mend what the log says, and give the same command again.")
        return ExitCode.NOT_RIGHT
    for line in _next_steps(run.migration):
        run.say(line)
    return ExitCode.DONE


def _bring_back(run: Run, arguments: argparse.Namespace) -> Handover:
    with showing_progress(run.console, run.log, total=None) as progress:
        means = CopyOptions(Limits(in_flight=arguments.in_flight), governor_from(arguments, 1), progress)
        return bring_over(reversed_run(run), means)


def _leave(run: Run, phase: Phase, handover: Handover) -> None:
    run.write("rollback.json", {"phase": phase.value, "handover": handover.to_json()})
    run.log.emit(Event.HANDED_OVER, phase=phase.value, **handover.figures())
    run.say(handover.summary)
    for name in handover.later[:20]:
        run.say(f"  later on the legacy path: {shown(name)}")


def _next_steps(migration: Migration) -> list[str]:
    source, destination = shown(migration.source.uri), shown(migration.destination.uri)
    return [
        "",
        "What to do now:",
        f"  1. Consumers: go back to {source}, now.",
        f"  2. The writer's team: go back to {source}, now. Until all have, what is new on {destination} still arrives;",
        "     what they overwrite there is logged (mirror_conflict) and waits for step 3.",
        "  3. When the last writer is back: give this same command again. It brings over what late writers overwrote.",
        f"  4. The mirror goes on: {destination} follows, so that the next cutover needs no new backfill.",
        "  5. Before the next cutover: `verify`, and every sign-off anew.",
    ]


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run)
