"""The command ``import-test``: run the nightly import from the new path, and compare it with the legacy path's.

For each day it takes the DAG's steps on both paths: the presence check, then the load with the exact schema into a temporary
table. Instead of appending to the real table, it compares the two. It changes nothing except temporary tables.
"""

import argparse
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

from backfill_job.consumer import Consumer, add_consumer_paths, loading_consumer
from backfill_job.copying.progress import counting
from backfill_job.import_test.day import MAX_DAYS, Engine, chosen_days, one_day, try_day
from backfill_job.import_test.engines import READERS, chosen_engine
from backfill_job.import_test.night import Nights, conclusion, play_nights
from backfill_job.import_test.results import KIND, REPORT_NAME, Results, details, table_of
from backfill_job.run.arguments import directory, seconds, up_to
from backfill_job.run.clock import Clock
from backfill_job.run.command import (
    Command,
    ExitCode,
    ProcessIO,
    add_billing_argument,
    migration_from,
)
from backfill_job.run.ending import of_consumer, say_verdict
from backfill_job.run.late_console import LateConsole
from backfill_job.run.reports import ReportDirectory, json_bytes, record_latest
from backfill_job.run.stopping import Stop, stopping_on_signals, until_stopped
from shared.errors import MigrationError, StorageError, UsageError
from shared.gateway import Gateway
from shared.migration import Migration

__all__ = ["COMMAND"]

NIGHT_NAME = "import-night.json"

START_PATIENCE = 10.0
"""Seconds of retries after transient faults at the start, because an operator is waiting."""

EXAMPLES = """
examples:
  python -m backfill_job import-test --env dev --date 2024-01-31
  python -m backfill_job import-test --env prod --last 7 --dataset my-project.scratch --location EU --report reports/prod
  python -m backfill_job import-test --env prod --run-date 2024-02-01    a whole night

exit codes:
  0  every day gives the same from both paths
  1  a day does not, or could not be compared; the last lines say which and why
  2  could not start: arguments, bucket, permission, engine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_billing_argument(add_consumer_paths(parser, "which paths"))
    days = parser.add_argument_group("which days")
    days.add_argument(
        "--date", action="append", default=[], metavar="YYYY-MM-DD", help="a day; may be repeated"
    )
    days.add_argument(
        "--from", dest="first", metavar="YYYY-MM-DD", help="the first of several days; with --to"
    )
    days.add_argument("--to", dest="last", metavar="YYYY-MM-DD", help="the last of several days; with --from")
    days.add_argument("--last", dest="last_days", metavar="N", help="the N days up to yesterday, UTC")
    days.add_argument(
        "--run-date",
        metavar="YYYY-MM-DD",
        help="instead of days: play the whole run of this date on both paths",
    )
    days.add_argument(
        "--nights",
        type=up_to(MAX_DAYS),
        default=30,
        metavar="N",
        help="with --run-date: how many nights before it (default 30)",
    )
    days.add_argument(
        "--allow-empty",
        action="store_true",
        help="a day without a single object on either path is not an error",
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--engine",
        choices=["duckdb", "bigquery"],
        help="where the rows are loaded: bigquery (the default with --dataset), or duckdb in this process",
    )
    how.add_argument(
        "--dataset",
        metavar="PROJECT.DATASET",
        help="where bigquery makes its temporary tables; they are deleted at the end, and expire after 24 hours",
    )
    how.add_argument(
        "--location",
        metavar="LOCATION",
        help="where BigQuery's jobs run, such as EU: that of dataset and buckets",
    )
    how.add_argument(
        "--grace",
        metavar="SECONDS",
        default="60",
        help="how long after it was written an object may take to arrive on the other path (default 60)",
    )
    out = parser.add_argument_group("what it leaves")
    out.add_argument("--report", type=directory, metavar="DIR", help=f"write {REPORT_NAME}")
    out.add_argument(
        "--no-record", action="store_true", help="leave no result beside the migration's state, for the gate"
    )


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    now = io.clock.now
    migration, consumer = migration_from(arguments), loading_consumer(arguments)
    grace = _seconds(arguments.grace)
    run_date = None if arguments.run_date is None else one_day(arguments.run_date, "--run-date")
    dates = [*arguments.date]
    if run_date is not None:
        if dates or (arguments.first, arguments.last, arguments.last_days) != (None, None, None):
            raise UsageError("--run-date plays one run: without --date, --from, --to and --last")
        dates = [consumer.day_of_run(run_date).isoformat().replace("-", "")]
    days = chosen_days(dates, arguments.first, arguments.last, arguments.last_days, today=now().date())
    started = now()
    name = io.run_name(migration)
    with stopping_on_signals() as stop:
        clock = until_stopped(io.clock, stop)
        engine_name, engine_of = chosen_engine(arguments, io, consumer, name=name, clock=clock, stop=stop)
        report = None if arguments.report is None else ReportDirectory(arguments.report)
        results = Results(
            name, engine_name, migration, days, arguments.allow_empty, started, consumer=consumer.identity
        )
        console = io.console()
        with closing(Gateway(connections=READERS, billing_project=migration.billing_project)) as gateway:
            _check_start(gateway, migration)
            clock = until_stopped(replace(io.clock, now=gateway.server_time.now), stop)
            with engine_of(gateway) as engine:
                error = _try_days(
                    results, gateway, engine, consumer, grace=grace, clock=clock, stop=stop, console=console
                )
            content = json_bytes(results.to_json(clock.now(), error))
            if run_date is not None and error is None:
                found = play_nights(run_date, arguments.nights, results, gateway, consumer)
                _show_night(found, results, console)
                if report is not None:
                    report.write(NIGHT_NAME, json_bytes(found.to_json(results)))
                return ExitCode.DONE if found.right else ExitCode.NOT_RIGHT
            if not arguments.no_record and run_date is None:
                record_latest(gateway, migration, REPORT_NAME, content)
    if results.days:
        console.show(table_of(results.days))
    console.say(*details(results.days))
    if report is not None:
        report.write(REPORT_NAME, content)
        console.say(f"report: {report.place}/{REPORT_NAME}")
    if error is not None:
        raise error
    good = not results.wrong
    say_verdict(console, results.conclusion(), good=good)
    console.say(of_consumer(migration, KIND, io.words, good=good))
    return ExitCode.DONE if good else ExitCode.NOT_RIGHT


def _show_night(found: Nights, results: Results, console: LateConsole) -> None:
    console.say(f"The {found.night.sentence}.")
    if found.night.legacy.branch.loads and found.night.new.branch.loads:
        console.show(table_of(results.days))
        console.say(*details(results.days))
    legacy, new = ("the load fails" if each is None else f"{each:,}" for each in found.rows)
    console.say(f"Rows appended: {legacy} from the legacy path, {new} from the new path.")
    console.say(*(f"  {each.sentence}" for each in found.before if each.differs or each.lost))
    console.say(f"{conclusion(found.before)}.")
    if not found.night.legacy.files + found.night.new.files:
        console.say(f"Neither path has a file of {found.night.day}: nothing was compared.")


def _try_days(
    results: Results,
    gateway: Gateway,
    engine: Engine,
    consumer: Consumer,
    *,
    grace: timedelta,
    clock: Clock,
    stop: Stop,
    console: LateConsole,
) -> MigrationError | None:
    """Test day by day. An error ends the run, but the report still has the days before it."""
    try:
        with counting(console, "days", total=len(results.asked)) as add:
            for day in results.asked:
                results.days.append(
                    try_day(day, results.migration, gateway, engine, consumer, grace=grace, clock=clock)
                )
                add(1)
                stop.check()
    except MigrationError as error:
        return error
    return None


def _check_start(gateway: Gateway, migration: Migration) -> None:
    for location in (migration.source, migration.destination):
        try:
            gateway.check_bucket(location.bucket, location.prefix, patience=START_PATIENCE)
        except StorageError as error:
            raise UsageError(f"cannot start: {error}") from error


def _seconds(text: str) -> timedelta:
    try:
        return seconds(text)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--grace {error}") from error


COMMAND = Command(KIND, __doc__, EXAMPLES, add_arguments, _run)
