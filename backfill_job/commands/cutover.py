"""The command ``cutover``: make the new path the one whose word counts.

``python -m backfill_job cutover --env E --by WHO``. The gate first; then the phase, after a typed confirmation; then it waits
until every mirror must have seen it, and brings over what was written on the legacy path up to then. Only after that may
writers use the new path, and its last lines say so. Given again it does the last part again: for late writers.
"""

import argparse
from datetime import datetime

from backfill_job.commands.gate import add_gate_arguments, gate_options
from backfill_job.copying.catch_up import Handover, bring_over
from backfill_job.copying.lane import Limits
from backfill_job.copying.options import CopyOptions, add_pace_arguments, governor_from
from backfill_job.copying.progress import showing_progress
from backfill_job.gate.verdict import run_gate
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

NAME = "cutover"

EXAMPLES = """
examples:
  python -m backfill_job cutover --env prod --by "Ada Lovelace" --repo ../airflow-dags --canary
  python -m backfill_job cutover --env prod --by "Ada Lovelace"      again, once the last writer has switched

exit codes:
  0  the new path counts; everything written on the legacy path until now is there
  1  NO-GO, and nothing was changed; or the phase was changed and something is left to do: the last line says which
  2  could not start: arguments, bucket, permission, phase, or not confirmed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_migration_arguments(parser)
    mode = parser.add_argument_group("what is done")
    mode.add_argument("--by", required=True, metavar="WHO", help=f"who decides, up to {MAX_WHO} characters")
    mode.add_argument("--yes", action="store_true", help="do not ask; needed without a terminal")
    add_gate_arguments(parser)
    add_pace_arguments(parser)
    add_session_arguments(parser, in_parts=False)


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    if not arguments.yes and not io.stdin.isatty():
        raise UsageError("cutover asks before it changes the phase, and there is no terminal; add --yes")
    migration = migration_from(arguments)
    with opened(NAME, arguments, io, migration=migration, mode=NAME) as run:
        state = run.state()
        if state.phase is Phase.CUT_OVER:
            run.say(f"Already cut over, since {_since(state)}. Bringing over what late writers wrote …")
        elif not _go(run, arguments, state):
            return ExitCode.NOT_RIGHT
        else:
            state = change_phase(run, Phase.CUT_OVER, arguments.by, _require_signoffs)
            run.say(f"The phase is {state.phase.value}, since {_since(state)}.")
        with phase_changed(Phase.CUT_OVER):
            return _finish(run, arguments, state)


def _go(run: Run, arguments: argparse.Namespace, state: State) -> bool:
    """Ask the gate and the operator; True when both say yes.

    Raises:
        UsageError: The operator says no, or the phase allows no cutover.
    """
    if not state.phase.before_cutover:
        raise UsageError(f"the migration is in phase {state.phase.value}; there is no cutover from there")
    gate = run_gate(run, gate_options(arguments))
    gate.show(run.console)
    if not gate.go:
        run.say("\nNO-GO: nothing was changed.")
        return False
    if not arguments.yes:
        migration = run.migration
        confirm_by_typing(
            run,
            f"CUT OVER {migration.label}",
            f"From now on {shown(migration.destination.uri)} counts, and {shown(migration.source.uri)} follows it.",
        )
    return True


def _require_signoffs(state: State) -> None:
    missing = ", ".join(name.value for name in state.missing_signoffs)
    if missing:
        raise UsageError(f"a sign-off was taken back meanwhile; missing: {missing}. Nothing was changed")


def _finish(run: Run, arguments: argparse.Namespace, state: State) -> ExitCode:
    wait_until_seen(run)
    with showing_progress(run.console, run.log, total=None) as progress:
        means = CopyOptions(Limits(in_flight=arguments.in_flight), governor_from(arguments, 1), progress)
        handover = bring_over(run, means)
    exit_code = ExitCode.DONE if handover.done else ExitCode.NOT_RIGHT
    run.write("cutover.json", {"phase": state.phase.value, "handover": handover.to_json()})
    run.log.emit(Event.HANDED_OVER, phase=state.phase.value, **handover.figures())
    for line in (*_told(handover), *(_next_steps(run.migration) if handover.done else ())):
        run.say(line)
    return exit_code


def _told(handover: Handover) -> list[str]:
    lines = [handover.summary]
    if handover.later_writes:
        lines += [f"  later on the new path: {shown(name)}" for name in handover.later[:20]]
    if not handover.done:
        lines.append(
            "NOT FINISHED: no writer may switch yet. Mend what the log says, and give the same command again."
        )
    return lines


def _next_steps(migration: Migration) -> list[str]:
    source, destination = shown(migration.source.uri), shown(migration.destination.uri)
    again = "python -m backfill_job"
    return [
        "",
        "What to do now:",
        f"  1. Consumers: merge the change that reads {destination} (`{again} references PATH --patch FILE` writes it).",
        f"  2. The writer's team: switch to {destination}, now. Until all have, what is new on {source} still arrives;",
        "     what they overwrite there is logged (mirror_conflict) and waits for step 3.",
        "  3. When the last writer has switched: give this same command again. It brings over what late writers overwrote.",
        "  4. Watch: `verify` every day, the mirrors' dashboard, the consumer's row counts.",
        "  5. Should anything be wrong: `rollback`. New writes are mirrored back, so that it loses nothing.",
        f"  6. After days of quiet: `delete` removes {source}, by manifest, and only what was proven.",
    ]


def _since(state: State) -> str:
    return utc_text(state.since) if isinstance(state.since, datetime) else "its beginning"


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run)
