"""The command ``status``: show where the migration stands, from its state and its latest verification. Changes nothing."""

import argparse
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from socket import create_server

import uvloop
from werkzeug.serving import make_server

from backfill_job.checks import readers_check
from backfill_job.commands.signoff import signoffs_line, signoffs_table
from backfill_job.run.arguments import from_one
from backfill_job.run.command import Command, ExitCode, ProcessIO, add_migration_arguments, migration_from
from backfill_job.run.ending import next_line, say_verdict
from backfill_job.run.late_console import LateConsole
from backfill_job.run.late_gateway import LateGateway
from backfill_job.run.operator_values import in_force
from backfill_job.run.stopping import stopping_on_signals
from backfill_job.verify.case_siblings import MIXED, mixed_prefixes
from backfill_job.verify.day_warnings import remark_lines
from shared.errors import Interrupted, StorageError, UsageError
from shared.gateway import Gateway
from shared.green_days import GREEN_DAYS, KEY, green_days
from shared.migration import Migration
from shared.operations import OperationsCounter
from shared.phase import Phase
from shared.report.headline import Tone, later_comparison
from shared.report.loading import Status, Unreadable, read_status
from shared.report.next_steps import CommandTarget, NextStep
from shared.report.page import next_of_status, steps_of_status, verdict_of_status
from shared.report.web import create_app
from shared.state import State
from shared.text import minute_text
from shared.verification import OF_NAMES, Remark

__all__ = ["COMMAND", "green_lines"]

NAME = "status"

PATIENCE_SECONDS = 15.0
"""Seconds of retries for one request, because an operator is waiting."""

RUNS_SHOWN = 8
CHANGES_SHOWN = 10
HOST = "127.0.0.1"
"""Only this machine. For other readers there is the deployed function, with its own permissions."""

MAX_PORT = 65535

EXAMPLES = """
examples:
  python -m backfill_job status --env dev           phase, sign-offs, latest verification, runs, changes, what to do
  python -m backfill_job status --env dev --serve   the same and the latest report as a page on this machine

exit codes:
  0  shown
  1  something could not be read; the screen says what
  2  could not start: arguments, credentials, the port is taken
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_migration_arguments(parser)
    parser.add_argument("--serve", action="store_true", help=f"serve the page on {HOST} until Ctrl-C")
    parser.add_argument(
        "--port", type=from_one, default=8765, metavar="N", help="with --serve (default 8765)"
    )


def _run(arguments: argparse.Namespace, io: ProcessIO) -> int:
    migration = migration_from(arguments)
    with closing(
        Gateway(retry_deadline=PATIENCE_SECONDS, billing_project=arguments.billing_project)
    ) as gateway:
        if arguments.serve:
            return _serve(migration, gateway, arguments.port, io)
        return _show(migration, gateway, io, in_force(arguments.env))


def _show(migration: Migration, gateway: Gateway, io: ProcessIO, settings: str) -> ExitCode:
    now = io.clock.now()
    data, mixed = _with_mixed(read_status(gateway, migration, now), migration, gateway, io)
    console = io.console()
    verdict = verdict_of_status(data, now)
    console.print(f"{migration.source.uri} → {migration.destination.uri}", markup=False, soft_wrap=True)
    for line in (*verdict.reasons, *(f"cannot be read: {why}" for why in data.unreadable)):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if data.known_state is not None:
        _show_state(data.known_state, console)
        for line in (
            *_comparison_lines(data.known_state),
            *_readers_lines(data.known_state, CommandTarget.of(migration), now),
            *green_lines(data.known_state, gateway.server_time.now()),
        ):
            console.print(line, markup=False, soft_wrap=True)
    for line in (
        *_verification_lines(data, mixed),
        *filter(None, [_loaded_line(data)]),
        *_step_lines(steps_of_status(data, now, terminal=io.stdin.isatty())),
        "",
        *filter(None, [settings]),
    ):
        console.print(line, markup=False, soft_wrap=True)
    say_verdict(console, verdict.title, good=verdict.tone is Tone.GOOD)
    command = next_of_status(data, now, terminal=io.stdin.isatty())
    line = next_line(command, fix_first=bool(data.unreadable)) if command else "Next: nothing to do now."
    console.print(line, markup=False, soft_wrap=True)
    readable = not (data.unreadable or isinstance(data.loaded, Unreadable))
    return ExitCode.DONE if readable else ExitCode.NOT_RIGHT


def _with_mixed(
    data: Status, migration: Migration, gateway: Gateway, io: ProcessIO
) -> tuple[Status, list[Remark]]:
    """Look now for the destination's name in another case: this takes the place of what the latest verification found of it."""
    found = data.known_verification
    store = LateGateway(io.environ, 1, OperationsCounter(), gateway.server_time, migration.billing_project)

    async def look() -> list[Remark]:
        async with store.fast(1, patience=PATIENCE_SECONDS) as api:
            return await mixed_prefixes(api, migration)

    try:
        mixed = [] if data.unreadable else uvloop.run(look())
    except StorageError as error:
        return replace(data, verification=Unreadable(str(error))), []
    if found is None:
        return data, mixed
    remarks = (*mixed, *(each for each in found.remarks if each.kind != MIXED))
    return replace(data, verification=replace(found, remarks=remarks)), mixed


_LOADED = "\nlatest comparison with the consumer's table"


def _loaded_line(status: Status) -> str:
    """What `loaded` found last; empty where it never ran."""
    found = status.loaded
    if isinstance(found, Unreadable):
        return f"{_LOADED} cannot be read: {found.why}"
    return f"{_LOADED} {found.table}, {minute_text(found.finished)}: {found.summary}" if found else ""


def _show_state(state: State, console: LateConsole) -> None:
    if not state.begun:
        console.print("\nphase: none; the migration has not begun", markup=False)
        return
    since = f" since {minute_text(state.since)}" if state.since else ""
    console.print(f"\nphase: {state.phase.value}{since}", markup=False)
    console.print(signoffs_table(state))
    console.print(signoffs_line(state), markup=False, soft_wrap=True)
    for title, lines in (("runs", _runs(state)), ("changes", _changes(state))):
        shown = [*lines]
        if shown:
            console.print(f"\nlatest {title}:", markup=False)
        for line in shown:
            console.print(f"  {line}", markup=False, soft_wrap=True)


def _runs(state: State) -> Iterator[str]:
    for record in state.runs[-RUNS_SHOWN:][::-1]:
        yield f"{minute_text(record.finished)} {record.command} ended with {record.exit_code}: {record.summary}"


def _changes(state: State) -> Iterator[str]:
    for entry in state.decisions[-CHANGES_SHOWN:][::-1]:
        yield f"{minute_text(entry.at)} {entry.by}: {entry.what}"


def _comparison_lines(state: State) -> Iterator[str]:
    newest, unfinished = state.newest_comparison, state.unfinished_comparison
    if newest is not None:
        yield f"\nlatest comparison, begun {minute_text(newest.began)}: {newest.said}"
    if unfinished is not None:
        yield f"not ended: the comparison by {unfinished.by} (run {unfinished.run}), begun {minute_text(unfinished.at)}"


def _readers_lines(state: State, target: CommandTarget, now: datetime) -> Iterator[str]:
    """What the gate or, after the cutover, the deletion makes of the looks at the audit log; nothing where there is none."""
    if state.readers:
        soak = None if state.phase.before_cutover else timedelta(days=GREEN_DAYS)
        check = readers_check(state, target, now, audit_log="", soak=soak)
        yield f"who else uses the legacy path: {check.standing.value}, {check.evidence}"


def green_lines(state: State, now: datetime) -> Iterator[str]:
    """The days since the cutover, while they count for the deletion, and why the last one that was not green was not."""
    if state.phase is not Phase.CUT_OVER:
        return
    days = green_days(state, now)
    yield f"\n{days.said}"
    yield f"  {KEY}"
    why = next(
        (f"{each.day} {each.square.value}: {each.why}" for each in reversed(days.shown) if each.why), ""
    )
    yield from filter(None, [why and f"  {why}"])


def _verification_lines(status: Status, mixed: Sequence[Remark]) -> Iterator[str]:
    if status.verification is None:
        yield "\nlatest verification: none"
        yield from remark_lines(mixed)
    found, state = status.known_verification, status.known_state
    if found is None:
        return
    remarks = () if state is not None and state.phase is Phase.DELETED else found.remarks  # of what is gone
    if state is not None and later_comparison(state, found) is not None:
        remarks = tuple(each for each in remarks if each.kind not in OF_NAMES)
        if remarks:
            yield f"\nwhat was found beside the names (verification of {minute_text(found.finished)}):"
    else:
        yield f"\nlatest verification, {minute_text(found.finished)}: {found.summary}"
    yield from remark_lines(remarks)


def _step_lines(steps: Sequence[NextStep]) -> Iterator[str]:
    if steps:
        yield "\nwhat to do:"
    for step in steps:
        yield f"  {step.text}"
        yield from filter(None, [step.command and f"    {step.command}"])


def _serve(migration: Migration, gateway: Gateway, port: int, io: ProcessIO) -> ExitCode:
    """Serve the page until a signal stops it."""
    now = io.clock.now

    def load() -> Status:
        return read_status(gateway, migration, now())

    app = create_app(load, now=now, trusted_hosts=[HOST, "localhost"])
    if port > MAX_PORT:
        raise UsageError(f"--port {port}: the highest is {MAX_PORT}")
    try:
        socket = create_server((HOST, port))
    except OSError as error:
        raise UsageError(f"cannot serve on {HOST}:{port} ({error}); choose another --port") from error
    # One person at this machine reads the page; a line for each request would hide the errors.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    with socket, stopping_on_signals() as stop:
        server = make_server(HOST, port, app, threaded=True, fd=socket.fileno())
        print(f"http://{HOST}:{port}/ shows the status; Ctrl-C ends it", file=io.stdout, flush=True)
        try:
            with stop.raising():
                server.serve_forever()
        except Interrupted:
            return ExitCode.DONE
    return ExitCode.DONE


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run)
