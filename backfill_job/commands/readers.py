"""The command ``readers``: show who still reads or writes the legacy path, by Cloud Audit Logs.

It changes nothing: it reads the log, from Cloud Logging or from an exported file, and shows each principal. Only ``--record`` and
``--acknowledge`` write the migration's record, for the gate and the deletion.
"""

import argparse
import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, nullcontext
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from backfill_job.checks import Check, readers_check, show_lines
from backfill_job.readers.accounts import Accounts, own_accounts
from backfill_job.readers.cloud_logging import SCOPE, items_from, log_filter
from backfill_job.readers.entries import items_of
from backfill_job.readers.screen import readers_report, readers_summary
from backfill_job.run.arguments import add_by_argument, members, up_to
from backfill_job.run.command import (
    BEFORE_ANYTHING,
    Command,
    ExitCode,
    ProcessIO,
    add_audit_log_argument,
    add_migration_arguments,
    migration_from,
)
from backfill_job.run.ending import next_line, next_of, say_verdict
from backfill_job.run.google_apis import Apis, Unanswered, session
from backfill_job.run.logs import LogFormat, logging_to
from backfill_job.run.settings import Settings
from backfill_job.run.stopping import Stop, stopping_on_signals, until_stopped
from shared.errors import UsageError
from shared.events_log import Event, EventLog
from shared.gateway import Gateway
from shared.migration import Migration
from shared.record import require_begun, update
from shared.report.next_steps import CommandTarget, shown_command
from shared.state import State, foreign_readers
from shared.state_changes import Stamp, reader_acknowledged, readers_seen
from shared.text import counted, minute_text

__all__ = ["COMMAND"]

NAME = "readers"

PATIENCE_SECONDS = 30.0
"""Seconds of retries for one request to the record; recording again is safe."""

MOST_DAYS = 400

ROLE = "roles/logging.privateLogViewer"

EXAMPLES = """
examples:
  python -m backfill_job readers --env prod --audit-log my-project            the last 14 days
  python -m backfill_job readers --env prod --audit-log my-project --record   the same, for the gate and the deletion
  python -m backfill_job readers --env prod --log-file entries.json           gcloud logging read --format=json > entries.json
  python -m backfill_job readers --env prod --acknowledge dag@p.iam.gserviceaccount.com --by Ada

exit codes:
  0  no foreign principal used the legacy path in the proven time; on record: or each is acknowledged
  1  one did, or nothing proves that the log is on, or a part of it could not be read
  2  could not start: arguments, file, permission; nothing was recorded
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_migration_arguments(parser)
    log = parser.add_argument_group("which log")
    add_audit_log_argument(log)
    log.add_argument(
        "--log-file", type=Path, metavar="FILE", help="its entries as JSON, instead of Cloud Logging"
    )
    log.add_argument(
        "--days", type=up_to(MOST_DAYS), default=14, metavar="N", help="the last N days (default 14)"
    )
    log.add_argument(
        "--own",
        action="extend",
        type=members,
        default=[],
        metavar="MEMBER",
        help="a further account of the migration: serviceAccount:…; those of --env are known",
    )
    log.add_argument("--json", action="store_true", help="the result as JSON")
    record = parser.add_argument_group("what is recorded")
    record.add_argument("--record", action="store_true", help="record what was found")
    record.add_argument(
        "--acknowledge",
        action="append",
        default=[],
        metavar="PRINCIPAL",
        help="this recorded principal may stay until the source of truth changes; may be repeated",
    )
    record.add_argument("--reason", default="", metavar="TEXT", help="why")
    add_by_argument(record, "who", default="")


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    migration = migration_from(arguments)
    reads = arguments.record or not arguments.acknowledge
    if bool(arguments.acknowledge) != bool(arguments.by) or (arguments.reason and not arguments.by):
        raise UsageError("--acknowledge and --by belong together, and --reason to both")
    if reads and arguments.log_file is None and not arguments.audit_log:
        raise UsageError(
            "say which log: --audit-log PROJECT (or AUDIT_LOG in deploy/ENV.env), or --log-file FILE"
        )
    settings = Settings.from_environ(io.environ)
    in_cloud_run = bool(settings.cloud_run_job)
    if settings.task_count > 1:
        raise UsageError("one task reads the log; run it with --tasks=1")
    with (
        logging_to(io.stdout, LogFormat.JSON) if in_cloud_run else nullcontext(),
        stopping_on_signals(io.stopping) as stop,
    ):
        found = _found(arguments, migration, io, stop) if reads else None
        state = _recorded(arguments, migration, found) if arguments.record or arguments.acknowledge else None
        check = None if state is None else _check(arguments, migration, state, io)
        good = found is not None and found.clean if check is None else check.passed
        said = check.evidence if check is not None else "" if found is None else readers_summary(found)
        if in_cloud_run:  # where alerts read the lines; an operator sees the screen and the exit code
            _log(EventLog({"run": io.run_name(migration), "env": migration.label}), state, said, good=good)
        elif arguments.json:
            content = {} if found is None else found.to_json()
            print(json.dumps({**content, "summary": said, "clean": good}, indent=2), file=io.stdout)
        else:
            _show(arguments, found, check, io)
            record = check is None and found is not None and bool(found.covered)
            following = (
                next_line(shown_command(NAME, *io.words, "--record"))
                if record
                else next_of(migration, NAME, io.words, good=good)
            )
            io.console().print(following, markup=False, soft_wrap=True)
    return ExitCode.DONE if good else ExitCode.NOT_RIGHT


def _show(arguments: argparse.Namespace, found: Accounts | None, check: Check | None, io: ProcessIO) -> None:
    console = io.console()
    if found is not None:
        for line in readers_report(found, _origin(arguments), arguments.audit_log):
            console.print(line, markup=False, soft_wrap=True)
        console.print("")
    if check is not None:
        show_lines(console, [check])
    elif found is not None:
        said = readers_summary(found)
        say_verdict(console, f"{said[:1].upper()}{said[1:]}.", good=found.clean)


def _origin(arguments: argparse.Namespace) -> str:
    if arguments.log_file is not None:
        return f"the entries in {arguments.log_file}"
    return f"the audit log of {arguments.audit_log}"


def _found(arguments: argparse.Namespace, migration: Migration, io: ProcessIO, stop: Stop) -> Accounts:
    """What the log says.

    Raises:
        UsageError: It cannot be read, or the account may not read it.
        Unanswered: The service did not answer.
    """
    now, project = io.clock.now(), arguments.audit_log
    since = (now - timedelta(days=arguments.days)).replace(microsecond=0)
    own = own_accounts(arguments.env or "", project, arguments.own)
    accounts = Accounts(migration, own, since, now)
    if arguments.log_file is not None:
        return accounts.add_all(_stoppable(items_of(arguments.log_file), stop))
    wanted = log_filter(migration.source.bucket, since, own)
    with closing(session(io.environ, SCOPE)) as opened:
        items = items_from(Apis(opened, io.environ), project, wanted, until_stopped(io.clock, stop))
        try:
            return accounts.add_all(_stoppable(items, stop))
        except Unanswered as error:
            if error.status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                raise
            raise UsageError(f"{error}; the account needs {ROLE} on project {project}") from error


def _stoppable(items: Iterable[Any], stop: Stop) -> Iterator[Any]:
    for item in items:
        stop.check()
        yield item


def _recorded(arguments: argparse.Namespace, migration: Migration, found: Accounts | None) -> State:
    """Record what was found, and whom a person acknowledges; gives the state.

    Raises:
        UsageError: There is nothing to record or to acknowledge, or no migration has begun.
        StorageError: It may or may not be recorded.
    """
    look = found.record() if found is not None and arguments.record else None
    with closing(
        Gateway(retry_deadline=PATIENCE_SECONDS, billing_project=arguments.billing_project)
    ) as gateway:
        require_begun(gateway, migration)
        now = gateway.server_time.now()
        seen = Stamp(uuid.uuid4().hex, NAME, now)
        known = [(name, Stamp(uuid.uuid4().hex, arguments.by, now)) for name in arguments.acknowledge]

        def change(state: State) -> State:
            state = state if look is None else readers_seen(state, seen, look, arguments.own)
            for name, stamp in known:
                state = reader_acknowledged(state, stamp, name, arguments.reason)
            return state

        return update(gateway, migration, change)


def _check(arguments: argparse.Namespace, migration: Migration, state: State, io: ProcessIO) -> Check:
    """What the gate makes of the record."""
    return readers_check(state, CommandTarget.of(migration), io.clock.now(), audit_log=arguments.audit_log)


def _log(log: EventLog, state: State | None, verdict: str, *, good: bool) -> None:
    """What alerts read. Only the record tells the phase: before the cutover the legacy path is used by right."""
    log.emit(Event.READERS_CHECKED, clean=good, summary=verdict)
    if state is None or state.since is None or state.phase.before_cutover or not state.readers:
        return
    for each in foreign_readers(state, max(state.since, state.readers[0].begins)) or ():
        said = f"{each.use.value} {counted(each.count, 'time')}, last {minute_text(each.last)}"
        log.emit(Event.OLD_PATH_READ, principal=each.name, summary=said)


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run, cannot_start=(*BEFORE_ANYTHING, Unanswered))
