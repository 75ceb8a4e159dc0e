"""The command ``signoff``: record that a team agrees to the cutover, or withdraw that.

``python -m backfill_job signoff NAME --by WHO``. The migration's state object holds the sign-offs, and the cutover reads them
there. A rollback voids them. The command ``status`` shows the same table.
"""

import argparse
import uuid
from contextlib import closing, nullcontext

from rich import box
from rich.table import Column, Table
from rich.text import Text

from backfill_job.run.arguments import add_by_argument
from backfill_job.run.command import (
    BEFORE_ANYTHING,
    Command,
    ExitCode,
    ProcessIO,
    add_migration_arguments,
    migration_from,
)
from backfill_job.run.ending import next_line
from backfill_job.run.logs import LogFormat, logging_to
from backfill_job.run.settings import Settings
from shared.events_log import Event, EventLog
from shared.gateway import Gateway
from shared.migration import Migration
from shared.record import require_begun, update
from shared.report.next_steps import CommandTarget
from shared.state import HistoryEntry, Signatory, State
from shared.state_changes import MAX_NOTE, Stamp, sign_off, withdraw
from shared.text import minute_text

__all__ = ["COMMAND", "signoffs_line", "signoffs_table"]

NAME = "signoff"

PATIENCE_SECONDS = 30.0
"""Seconds of retries for one request; signing off again is safe."""

EXAMPLES = """
examples:
  python -m backfill_job signoff data --by "Ada Lovelace" --env prod
  python -m backfill_job signoff data --by "Ada Lovelace" --env prod --note "row counts of a week compared"
  python -m backfill_job signoff data --by "Ada Lovelace" --env prod --withdraw --note "two days are missing"

exit codes:
  0  recorded; the table shows who has signed off
  1  not certainly recorded: no answer, or the state is damaged. Running the same command again is safe
  2  not recorded: arguments, bucket, permission, or the phase allows no cutover
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    names = [name.value for name in Signatory]
    parser.add_argument("name", metavar="NAME", choices=names, help=f"who signs off: {', '.join(names)}")
    add_by_argument(parser, "the person", required=True)
    parser.add_argument(
        "--note", default="", metavar="TEXT", help=f"what there is to say, in up to {MAX_NOTE:,} characters"
    )
    parser.add_argument("--withdraw", action="store_true", help="take this person's sign-off back")
    add_migration_arguments(parser)


def signoffs_table(state: State) -> Table:
    """A table of the sign-offs, given and missing, for a console."""
    table = Table(
        Column("sign-off", no_wrap=True),
        Column("by", overflow="fold"),
        Column("at", no_wrap=True),
        Column("note", overflow="fold"),
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        header_style="",
    )
    for name in Signatory:
        given = [signoff for signoff in state.signoffs if signoff.name is name]
        for signoff in given:
            _add(table, name.value, signoff.by, minute_text(signoff.at), signoff.note)
        if not given:
            _add(table, name.value, "MISSING" if state.phase.before_cutover else "not given", "", "")
    return table


def signoffs_line(state: State) -> str:
    """The missing sign-offs in one sentence."""
    missing = ", ".join(name.value for name in state.missing_signoffs)
    if missing and not state.phase.before_cutover:
        return f"The cutover has taken place; it was not signed by: {missing}."
    return f"Missing for the cutover: {missing}." if missing else "Everybody has signed off."


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    in_cloud_run = bool(Settings.from_environ(io.environ).cloud_run_job)
    migration = migration_from(arguments)
    with closing(
        Gateway(retry_deadline=PATIENCE_SECONDS, billing_project=arguments.billing_project)
    ) as gateway:
        state, entry = _change(arguments, gateway, migration)
    with logging_to(io.stdout, LogFormat.JSON) if in_cloud_run else nullcontext():
        EventLog({"env": migration.label}).emit(
            Event.STATE_CHANGED, phase=state.phase.value, what=entry.what, by=entry.by
        )
    if not in_cloud_run:  # where every line on stdout is an event
        _show(state, entry, migration, io)
    return ExitCode.DONE


def _change(
    arguments: argparse.Namespace, gateway: Gateway, migration: Migration
) -> tuple[State, HistoryEntry]:
    """Make the change; gives the new state, and the change's entry in its history."""
    name, note = Signatory(arguments.name), arguments.note
    act = withdraw if arguments.withdraw else sign_off
    require_begun(gateway, migration)
    stamp = Stamp(uuid.uuid4().hex, arguments.by, gateway.server_time.now())
    state = update(gateway, migration, lambda before: act(before, name, stamp, note))
    return state, next(entry for entry in state.history if entry.change == stamp.change)


def _show(state: State, entry: HistoryEntry, migration: Migration, io: ProcessIO) -> None:
    console = io.console()
    console.print(f"Recorded, by {entry.by}: {entry.what}", markup=False, soft_wrap=True)
    console.print(
        f"{state.source} to {state.destination}, phase {state.phase.value}", soft_wrap=True, markup=False
    )
    console.print()
    console.print(signoffs_table(state))
    console.print()
    console.print(signoffs_line(state), soft_wrap=True, markup=False)
    missing = state.missing_signoffs if state.phase.before_cutover else ()
    target = CommandTarget.of(migration)
    following = (
        target.command("signoff", "--by", "NAME", subject=missing[0].value)
        if missing
        else target.command("status")
    )
    console.print(next_line(following or "status"), soft_wrap=True, markup=False)


def _add(table: Table, *cells: str) -> None:
    table.add_row(*map(Text, cells))


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run, cannot_start=BEFORE_ANYTHING)
