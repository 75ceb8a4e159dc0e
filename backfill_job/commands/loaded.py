"""The command ``loaded``: compare the path with the consumer's own table, day by day.

Whether the paths are equal says nothing about the import: it may end green and empty. So this command looks into the table. For each
day of the path it says: loaded once, never, in part, or twice. It only reads, and gives the command that loads a day again.
"""

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

from backfill_job.consumer import Consumer, add_consumer_paths, loading_consumer
from backfill_job.import_test.compare import DEFINITION
from backfill_job.import_test.day import chosen_days, read_folder
from backfill_job.import_test.engines import READERS, bigquery_table, duckdb_table
from backfill_job.import_test.loaded import FoundDay, PathDay, TableEngine, loaded_day, loaded_table
from backfill_job.run.arguments import directory
from backfill_job.run.command import (
    Command,
    ExitCode,
    ProcessIO,
    add_billing_argument,
    migration_from,
)
from backfill_job.run.ending import of_consumer, say_verdict
from backfill_job.run.logs import LogFormat, logging_to
from backfill_job.run.reports import ReportDirectory, json_bytes, record_latest
from backfill_job.run.settings import Settings
from backfill_job.run.stopping import Stop, stopping_on_signals, until_stopped
from shared.errors import BucketNotFound, PermissionDenied, StorageError, UsageError
from shared.events_log import Event, EventLog
from shared.gateway import Gateway
from shared.loaded import RECORD_NAME, LoadedRecord, LoadedVerdict, calendar
from shared.migration import Location, Migration
from shared.record import RecordStanding, read_record
from shared.text import byte_count, counted, shown

__all__ = ["COMMAND"]

NAME = "loaded"

MOST_BYTES = 10 * 1024**3

EXAMPLES = """
examples:
  python -m backfill_job loaded --env prod --table my-project.warehouse.qpi_answers_v4
  python -m backfill_job loaded --env dev --database warehouse.duckdb --table qpi

exit codes:
  0  each day of the path that should be in the table is there, once
  1  a day is missing, in part or twice, or could not be judged; or there was nothing to compare
  2  could not start: arguments, bucket, table, permission, or the scan would be too large
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    what = add_consumer_paths(parser, "which path")
    what.add_argument(
        "--path",
        choices=["legacy", "new"],
        help="which of the two is compared (default: the source of truth in the migration's phase)",
    )
    add_billing_argument(what)
    table = parser.add_argument_group("which table")
    table.add_argument(
        "--table",
        metavar="PROJECT.DATASET.TABLE",
        help="the consumer's table, or a view of it",
    )
    table.add_argument("--database", type=Path, metavar="FILE", help="a DuckDB file, instead of BigQuery")
    table.add_argument("--location", metavar="LOCATION", help="where BigQuery's jobs run, such as EU")
    table.add_argument(
        "--partition",
        default="",
        metavar="COLUMN",
        help="the column by which the table is partitioned, if it is not the rows' time",
    )
    table.add_argument(
        "--maximum-bytes-billed",
        type=_bytes,
        default=MOST_BYTES,
        metavar="N",
        help="BigQuery refuses to bill more (default 10737418240, 10 GiB)",
    )
    days = parser.add_argument_group("which days")
    days.add_argument(
        "--from", dest="first", metavar="YYYY-MM-DD", help="the first of several days; with --to"
    )
    days.add_argument("--to", dest="last", metavar="YYYY-MM-DD", help="the last of several days; with --from")
    days.add_argument(
        "--last",
        dest="last_days",
        metavar="N",
        help="the last N days that must be loaded by now (default 30)",
    )
    out = parser.add_argument_group("what it leaves")
    out.add_argument("--report", type=directory, metavar="DIR", help=f"write {RECORD_NAME}")
    out.add_argument("--no-record", action="store_true", help="leave no result beside the migration's state")


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    migration, consumer = migration_from(arguments), loading_consumer(arguments)
    if not consumer.of_qpi:
        raise UsageError(
            f"loaded compares rows of the preset's schema; {consumer.name} has another format or schema"
        )
    started = io.clock.now()
    days = _days(arguments, consumer, started)
    run = io.run_name(migration)
    report = None if arguments.report is None else ReportDirectory(arguments.report)
    in_cloud_run = bool(Settings.from_environ(io.environ).cloud_run_job)
    with (
        logging_to(io.stdout, LogFormat.JSON) if in_cloud_run else nullcontext(),
        stopping_on_signals() as stop,
        closing(Gateway(connections=READERS, billing_project=arguments.billing_project)) as gateway,
    ):
        path = _path(arguments.path, gateway, migration)
        with _table(arguments, io, gateway, consumer, run=run, stop=stop) as table:
            there = _listed(gateway, path, consumer, days)
            beforehand = _beforehand(there, path, table)
            if not in_cloud_run:  # where every line on stdout is an event
                io.console().print(beforehand, markup=False, soft_wrap=True)
            found = table.compare(there)
            clock = until_stopped(replace(io.clock, now=gateway.server_time.now), stop)
            record = LoadedRecord(
                *(run, table.name, consumer.identity, migration.source.uri, migration.destination.uri),
                *(path.uri, table.table, started, clock.now()),
                days=tuple(loaded_day(day, found.get(day.day, NOTHING)) for day in there),
                passed=False,
                fingerprint_definition=DEFINITION,
            )
            record = replace(record, passed=record.right)
            again = {day.day: table.again(day) for day in there}
        content = json_bytes(record.to_json())
        if not arguments.no_record:
            record_latest(gateway, migration, RECORD_NAME, content)
        if report is not None:
            report.write(RECORD_NAME, content)
        if in_cloud_run:  # where alerts read the lines; an operator sees the screen and the exit code
            _log(EventLog({"run": run, "env": migration.label}), record)
    if not in_cloud_run:
        _show(record, again, migration, io)
    return ExitCode.DONE if record.passed else ExitCode.NOT_RIGHT


def _days(arguments: argparse.Namespace, consumer: Consumer, now: datetime) -> tuple[date, ...]:
    """The days to compare. Without --from and --to they end with the last one whose night must have ended."""
    due = now.date()
    while consumer.night_of(due)[1] > now:
        due -= timedelta(days=1)
    last_days = arguments.last_days
    if last_days is None and arguments.first is None and arguments.last is None:
        last_days = "30"
    days = chosen_days([], arguments.first, arguments.last, last_days, today=due + timedelta(days=1))
    globs = {consumer.loaded_glob(day) for day in days}
    if len(globs) < len(days):
        raise UsageError(
            f"load.glob of {consumer.name} names no single day, so no day can be told from another"
        )
    return days


def _path(wanted: str | None, gateway: Gateway, migration: Migration) -> Location:
    """The path to compare: the wanted one, or the source of truth, which is the legacy path before the migration begins.

    Raises:
        UsageError, StorageError: The phase is not known.
    """
    if wanted is not None:
        return migration.source if wanted == "legacy" else migration.destination
    try:
        record = read_record(gateway, migration)
    except (PermissionDenied, BucketNotFound) as error:
        raise UsageError(f"{error}; --path legacy or --path new needs no look at the phase") from error
    before = record.standing is RecordStanding.NONE or record.state.phase.before_cutover
    return migration.source if before else migration.destination


@contextmanager
def _table(
    arguments: argparse.Namespace,
    io: ProcessIO,
    gateway: Gateway,
    consumer: Consumer,
    *,
    run: str,
    stop: Stop,
) -> Iterator[TableEngine]:
    table = arguments.table or consumer.load.table
    if not table:
        raise UsageError(
            "say which table: --table PROJECT.DATASET.TABLE, or load.table in the consumer's file"
        )
    if arguments.database is not None:
        if arguments.location is not None or arguments.partition:
            raise UsageError("--location and --partition are for BigQuery, without --database")
        with duckdb_table(gateway, arguments.database, table, consumer, stop) as found:
            yield found
    else:
        with bigquery_table(arguments, io, table, run=run, stop=stop) as found:
            yield found


def _listed(gateway: Gateway, path: Location, consumer: Consumer, days: tuple[date, ...]) -> list[PathDay]:
    try:
        gateway.check_bucket(path.bucket, path.prefix)
    except StorageError as error:
        raise UsageError(f"cannot start: {error}") from error
    return [PathDay.of(day, read_folder(gateway, path, consumer.loaded_glob(day)), consumer) for day in days]


def _beforehand(days: list[PathDay], path: Location, table: TableEngine) -> str:
    """What will be read, before it is."""
    files = sum(len(day.folder.files) for day in days)
    size = byte_count(sum(day.size for day in days))
    of_path = f"Reads {counted(files, 'file')} of {shown(path.uri)} for {counted(len(days), 'day')}, {size}"
    scan = table.scanned(days)
    return f"{of_path}, and {table.table}{'' if scan is None else f', of which BigQuery scans {byte_count(scan)}'}."


def _log(log: EventLog, record: LoadedRecord) -> None:
    verdicts = [day.verdict for day in record.days]
    log.emit(
        Event.CONSUMER_LOADED,
        days=len(record.days),
        rows=sum(day.rows for day in record.days),
        never=verdicts.count(LoadedVerdict.NEVER),
        partly=verdicts.count(LoadedVerdict.PARTLY),
        twice=verdicts.count(LoadedVerdict.TWICE),
        clean=record.passed,
        summary=record.summary,
    )
    for day in record.never:
        log.emit(Event.CONSUMER_LOADED_NOTHING, day=day.day.isoformat(), rows=day.rows, summary=day.sentence)


def _show(record: LoadedRecord, again: dict[date, str], migration: Migration, io: ProcessIO) -> None:
    console = io.console()
    console.print(loaded_table(record.days))
    for line in calendar(record.days):
        console.print(line, markup=False, soft_wrap=True)
    wrong = record.wrong
    if wrong:
        console.print("\nWhat is not as it should be:", markup=False)
    for day in wrong:
        console.print(f"  {day.day} {shown(day.sentence)}", markup=False, soft_wrap=True)
        if day.verdict is LoadedVerdict.NEVER and day.table_only:
            look = "look first: the table has other rows of this day. Are they the same rows, with times of another zone, or other names?"
            console.print(f"    {look}", markup=False, soft_wrap=True)
        if day.verdict in {LoadedVerdict.NEVER, LoadedVerdict.PARTLY}:
            console.print(f"    load what is missing: {again[day.day]}", markup=False, soft_wrap=True)
    say_verdict(console, f"\n{record.summary[:1].upper()}{record.summary[1:]}.", good=record.passed)
    console.print(of_consumer(migration, NAME, io.words, good=record.passed), markup=False, soft_wrap=True)


def _bytes(text: str) -> int:
    """Read a number of bytes."""
    if not text.isdecimal() or len(text) > len(str(2**60)) or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes from 1")
    return int(text)


NOTHING = FoundDay()
"""What an engine says of a day without a row on either side: nothing."""

COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run)
