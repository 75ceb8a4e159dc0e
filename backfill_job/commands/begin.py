"""The command ``begin``: begin a migration on record, adopt an older one, or mend its record.

``python -m backfill_job begin --env E --by WHO``. The mirror and every command that overwrites or deletes need the record: without
it they do nothing. The first ``migrate --execute`` begins the migration by itself. This command is for a mirror that is deployed
before that; the deployment runs it. Run again, it says that the record is whole.
"""

import argparse
from contextlib import closing

from backfill_job.run.arguments import add_by_argument
from backfill_job.run.command import (
    BEFORE_ANYTHING,
    Command,
    ExitCode,
    ProcessIO,
    add_migration_arguments,
    migration_from,
)
from backfill_job.run.ending import command_line, next_line
from backfill_job.run.overlaps import refuse_overlaps
from shared.errors import PhaseUnknown
from shared.events_log import Event, EventLog
from shared.gateway import Gateway
from shared.migration import Migration
from shared.phase import Phase
from shared.record import Begin, begin
from shared.state import State
from shared.state_changes import Stamp
from shared.text import minute_text

__all__ = ["COMMAND"]

NAME = "begin"

PATIENCE_SECONDS = 30.0
"""Seconds of retries for one request; beginning again is safe."""

SAID = {
    Begin.BEGUN: "Begun",
    Begin.ADOPTED: "Adopted, from version 1 of the record",
    Begin.MENDED: "Mended: what was lost is written again",
    Begin.AS_IT_WAS: "Nothing to do: the record is whole",
}

EXAMPLES = """
examples:
  python -m backfill_job begin --env dev --by "Ada Lovelace"                    only before a mirror is deployed
  python -m backfill_job begin --env dev --by "Ada Lovelace" --phase cut_over   the whole record was lost after the cutover

exit codes:
  0  the record is whole, and says which phase holds
  1  not certainly: no answer. Running the same command again is safe
  2  nothing was written: arguments, bucket, permission, or the record contradicts itself; the line says what to restore
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_by_argument(parser, "who begins it", required=True)
    parser.add_argument(
        "--phase",
        choices=[phase.value for phase in Phase],
        help="the phase that holds, where the record or its head is lost, or where objects are at the new path already",
    )
    add_migration_arguments(parser)


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    migration = migration_from(arguments)
    phase = None if arguments.phase is None else Phase(arguments.phase)
    with (
        io.lines_of_a_job(),
        closing(
            Gateway(retry_deadline=PATIENCE_SECONDS, billing_project=migration.billing_project)
        ) as gateway,
    ):
        for side in (migration.source, migration.destination):
            gateway.check_bucket(side.bucket, side.prefix)
        refuse_overlaps(migration, gateway, io.environ)
        stamp = Stamp.new(arguments.by, gateway.server_time.now())
        done, state = begin(gateway, migration, stamp, phase)
        refuse_overlaps(migration, gateway, io.environ)  # another pair may have begun at the same moment
        if done is not Begin.AS_IT_WAS:
            what = f"{SAID[done]}: {state.history[-1].what}"
            EventLog({"env": migration.label}).emit(
                Event.STATE_CHANGED, phase=state.phase.value, what=what, by=arguments.by
            )
    if not io.in_a_job:
        _show(migration, state, done, io)
    return ExitCode.DONE


def _show(migration: Migration, state: State, done: Begin, io: ProcessIO) -> None:
    since = "" if state.since is None else f" since {minute_text(state.since)}"
    following = "migrate" if state.phase.before_cutover and not state.comparisons else "status"
    io.console().say(
        f"{SAID[done]}.",
        f"{state.source} to {state.destination}: phase {state.phase.value}{since}",
        next_line(command_line(migration, following)),
    )


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run, cannot_start=(*BEFORE_ANYTHING, PhaseUnknown))
