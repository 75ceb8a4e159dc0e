"""The command ``cutover``: make the new path the source of truth.

``python -m backfill_job cutover --env E --by WHO``. It makes the evidence that the gate would miss (`gathering`), and runs the gate.
After a typed confirmation it changes the phase. Then it waits until every mirror must have seen the change, and copies what was
written on the legacy path up to then. Writers may use the new path only after that, and its last lines say so. Run again, it
repeats the last part, for late writers.

With ``--no-mirror`` the writer is paused, and no mirror would bring what it writes meanwhile. So the command looks at all names of
both paths at its beginning, before the change of the phase, and after the pass. If any object was written in between, it refuses, or
does not finish.

The first cutover's pass goes by the legacy path, because writers use the new path only after that cutover is reported. So a
different object that is older than the change of the phase is not a later write. The pass replaces and keeps it.
"""

import argparse
from datetime import datetime

from backfill_job.checks import Override, log_overrides, on_record, overrides_of
from backfill_job.commands.gate import add_gate_arguments, gate_options
from backfill_job.commands.gathering import gathered
from backfill_job.copying.catch_up import catch_up, say_not_done
from backfill_job.copying.on_record import begin_comparison
from backfill_job.copying.options import add_pace_arguments
from backfill_job.copying.unwritten import Look, look_at_both
from backfill_job.gate.evidence import GateOptions
from backfill_job.gate.verdict import GateResult, run_gate
from backfill_job.run.arguments import add_by_argument, add_session_arguments
from backfill_job.run.clock import waiting
from backfill_job.run.command import Command, ExitCode, ProcessIO, add_migration_arguments, migration_from
from backfill_job.run.ending import command_line, same_command, say_end
from backfill_job.run.open_run import opened
from backfill_job.run.phase_change import (
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
from shared.state import MIRROR, EntryKind, HistoryEntry, Overridden, State
from shared.text import counted, minute_text, shown

__all__ = ["COMMAND", "first_pass_open"]

NAME = "cutover"

ONLY_IN = frozenset({Phase.CUT_OVER})
"""The phase that allows the passes of a cutover."""

EXAMPLES = """
examples:
  python -m backfill_job cutover --env prod --by Ada --repo ../airflow-dags
  python -m backfill_job cutover --env prod --by Ada     again, after the writers
  python -m backfill_job cutover --env prod --by Ada --no-mirror --reason paused

exit codes:
  0  the new path is the source of truth, and has what was written until now
  1  NO-GO, nothing changed; or something is left to do: the last line says which
  2  could not start: arguments, bucket, permission, phase, or not confirmed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_migration_arguments(parser)
    mode = parser.add_argument_group("what is done")
    add_by_argument(mode, "who decides", required=True)
    mode.add_argument("--yes", action="store_true", help="do not ask; needed without a terminal")
    mode.add_argument(
        "--no-gather",
        action="store_true",
        help="make no evidence: the gate takes what `verify`, `import-test` and `loaded` have left, and no canary without --canary",
    )
    add_gate_arguments(parser)
    add_pace_arguments(parser)
    add_session_arguments(parser, in_parts=False)


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    if not arguments.yes and not io.stdin.isatty():
        raise UsageError("cutover asks before it changes the phase, and there is no terminal; add --yes")
    migration, options = migration_from(arguments), gate_options(arguments)
    with opened(NAME, arguments, io, migration=migration, mode=NAME, changes_objects=True) as run:
        state = run.state()
        again = state.phase is Phase.CUT_OVER
        if again:
            run.say(f"Already cut over, since {_since(state)}. Bringing over what late writers wrote …")
        else:
            _refuse_wrong_phase(state)
            before = look_at_both(run) if options.no_mirror else None
            if options.record and not arguments.no_gather:
                options = gathered(run, arguments, options)
            gate = _go(run, options, ask=not arguments.yes)
            if gate is None:
                return ExitCode.NOT_RIGHT
            overridden = on_record(overrides_of(gate.checks))
            if before is not None:
                overridden += (_unwritten(run, before, options),)
            state = change_phase(run, Phase.CUT_OVER, arguments.by, _require_signoffs, overridden=overridden)
            run.say(f"The phase is {state.phase.value}, since {_since(state)}.")
        with phase_changed(run, ONLY_IN):
            before = look_at_both(run) if options.no_mirror else None
            return _finish(run, arguments, state, before, again=again)


def _refuse_wrong_phase(state: State) -> None:
    if not state.phase.before_cutover:
        raise UsageError(f"the migration is in phase {state.phase.value}; there is no cutover from there")


def _go(run: Run, options: GateOptions, *, ask: bool) -> GateResult | None:
    """Ask the gate, and with `ask` the operator; gives the gate's result when they agree, and None when the gate does not.

    Raises:
        UsageError: The operator says no.
    """
    gate = run_gate(run, options)
    gate.show(run.console)
    if not gate.go:
        verdict = f"{gate.summary} Nothing was changed."
        say_end(run, verdict, same_command(run, NAME), good=False, fix_first=True)
        return None
    run.say(gate.summary)
    if ask:
        migration = run.migration
        confirm_by_typing(
            run,
            f"CUT OVER {migration.label}",
            source_of_truth(migration.destination, migration.source, mirror=not options.no_mirror),
        )
    return gate


def _unwritten(run: Run, before: Look, options: GateOptions) -> Overridden:
    """Require that no object was written since the look, on either path; gives what goes on record of it.

    Raises:
        UsageError: One was, or the paths are not equal. Nothing was changed.
    """
    seconds = run.grace.total_seconds()
    run.say(waiting(seconds, run.clock, "No object may be written now"))
    run.clock.sleep(seconds)
    now = look_at_both(run)
    if now.digest != before.digest:
        at, name = now.newest
        raise UsageError(
            f"somebody wrote while this command ran: {counted(before.names, 'name')} before, {now.names:,} now; the newest is {shown(name)}, "
            f"written {at}. Nothing was changed: pause the writer, run verify again, then this command"
        )
    if now.unequal:
        raise UsageError(
            f"{counted(now.unequal, 'name')} not equal on both paths, such as {shown(now.example)}. Nothing was changed: "
            "`migrate --execute` copies, then run this command again"
        )
    said = Override(MIRROR, options.no_mirror, options.by, "no mirror runs; no object was written meanwhile")
    log_overrides(run.log, [said])
    return on_record([said])[0]


def _require_signoffs(state: State) -> None:
    missing = ", ".join(name.value for name in state.missing_signoffs)
    if missing:
        raise UsageError(f"a sign-off was taken back meanwhile; missing: {missing}. Nothing was changed")


def first_pass_open(state: State) -> bool:
    """Tell whether this is a migration's first cutover, and its pass is not yet proven and recorded.

    Until then no acknowledged write of the new path is older than the change of the phase. A migration that began on record
    in a later phase may have had a cutover before, so its later writes count.
    """
    cutovers = [n for n, entry in enumerate(state.history) if _begins_cutover(entry)]
    if state.phase is not Phase.CUT_OVER or len(cutovers) != 1:
        return False
    before = state.history[: cutovers[0]]
    first = bool(before) and all(entry.phase is Phase.DUAL_WRITE for entry in before)
    return first and state.equal_since_phase is None


def _begins_cutover(entry: HistoryEntry) -> bool:
    return entry.kind is EntryKind.PHASE and entry.phase is Phase.CUT_OVER


def _finish(
    run: Run, arguments: argparse.Namespace, state: State, before: Look | None, *, again: bool
) -> ExitCode:
    wait_until_seen(run)
    settled_before = state.since if first_pass_open(state) else None
    caught_up = catch_up(run, arguments, ONLY_IN, begin_comparison(run), settled_before=settled_before)
    after = phase_after(run, Phase.CUT_OVER)
    caught_up.record(run, after.name, "the new path")
    if not (after.same and caught_up.done):
        now, yet = (f"NOT FINISHED: no writer may switch {when}." for when in ("now", "yet"))
        return say_not_done(run, caught_up, after, now, yet)
    if before is not None and not _still_unwritten(run, before, again=again):
        return ExitCode.NOT_RIGHT
    run.say(*_next_steps(run.migration, mirror=before is None))
    verdict = f"CUT OVER: {shown(run.migration.destination.uri)} is the source of truth."
    # Without a mirror the writer is paused, so that no late writer is waited for.
    following = same_command(run, NAME) if before is None else _deletion(run, arguments)
    return say_end(run, verdict, following, good=True)


def _deletion(run: Run, arguments: argparse.Namespace) -> str:
    """The dry run of the deletion, which looks at the checkouts and the consumer that this command was given."""
    typed = {word.partition("=")[0] for word in run.io.words}
    repos = [str(each) for each in arguments.repo] if "--repo" in typed else []
    options = [word for repo in repos for word in ("--repo", repo)]
    options += ["--consumer", str(arguments.consumer)] if "--consumer" in typed else []
    return command_line(run.migration, "delete", *options)


def _still_unwritten(run: Run, before: Look, *, again: bool) -> bool:
    """Whether no object was written during the pass; says so where one was.

    The run that changes the phase has nothing to copy where the writer is paused. A later one copies what was late, and the new path
    has its writers by then. So then only the legacy path must be as it was.
    """
    now = look_at_both(run)
    if (now.legacy == before.legacy) if again else (now.digest == before.digest):
        return True
    at, name = now.newest
    run.say(
        "No mirror runs, so find that writer and pause it; then run the same command again. `rollback` goes back."
    )
    when = "this command ran" if again else "the phase changed"
    verdict = f"NOT FINISHED: somebody wrote while {when}; the newest is {shown(name)}, written {at}."
    say_end(run, verdict, same_command(run, NAME), good=False, fix_first=True)
    return False


def _next_steps(migration: Migration, *, mirror: bool) -> list[str]:
    source, destination = shown(migration.source.uri), shown(migration.destination.uri)
    again = "python -m backfill_job"
    consumers = [
        "",
        "What to do now:",
        f"  1. Consumers: merge the change that reads {destination} (`{again} references PATH --patch FILE` writes it).",
    ]
    if not mirror:
        return [
            *consumers,
            (
                f"  2. The writer: let it write to {destination}, and start it again. No mirror runs, so nothing brings what it "
                f"writes to {source}; run this same command again if it did."
            ),
            "  3. Should anything be wrong: `rollback`. It copies back what was written meanwhile.",
            f"  4. `verify` every day. After days of quiet, `delete` removes {source}, by manifest, and only what was proven.",
        ]
    return [
        *consumers,
        (
            f"  2. The writer's team: switch to {destination}, now. Until all have, what is new on {source} still arrives; "
            "what they overwrite there is logged (mirror_conflict) and waits for step 3."
        ),
        "  3. When the last writer has switched: run this same command again. It copies what late writers overwrote.",
        "  4. Watch: `verify` every day, the mirrors' dashboard, the consumer's row counts.",
        "  5. Should anything be wrong: `rollback`. New writes are mirrored back, so that it loses nothing.",
        f"  6. After days of quiet: `delete` removes {source}, by manifest, and only what was proven.",
    ]


def _since(state: State) -> str:
    return minute_text(state.since) if isinstance(state.since, datetime) else "its beginning"


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run)
