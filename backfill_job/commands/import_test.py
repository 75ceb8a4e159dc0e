"""The command ``import-test``: run the nightly import from the new path, and compare it with the legacy path's.

For each day it takes the DAG's steps on both paths: the presence check, then the load with the exact schema into a temporary
table. Instead of appending to the real table, it compares the two. It changes nothing except temporary tables.
"""

import argparse
import secrets
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

from rich.console import Console

from backfill_job.import_test.day import Engine, chosen_days, try_day
from backfill_job.import_test.engines import READERS, chosen_engine
from backfill_job.import_test.results import KIND, REPORT_NAME, Results, details, table_of
from backfill_job.run.arguments import directory, seconds
from backfill_job.run.clock import Clock
from backfill_job.run.command import Command, ExitCode, ProcessIO, add_billing_argument, migration_from
from backfill_job.run.reports import ReportDirectory, json_bytes
from backfill_job.run.stopping import Stop, stopping_on_signals, until_stopped
from shared.errors import MigrationError, PermissionDenied, StorageError, UsageError
from shared.gateway import Gateway
from shared.migration import Environment, Migration

__all__ = ["COMMAND"]

START_PATIENCE = 10.0
"""Seconds of retries after transient faults at the start, because an operator is waiting."""

EXAMPLES = """
examples:
  python -m backfill_job import-test --env dev --date 20240131
  python -m backfill_job import-test --env prod --last 7 --dataset my-project.scratch --location EU --report reports/prod
  python -m backfill_job import-test --env stg --from 20240101 --to 20240131 --engine duckdb

exit codes:
  0  every day gives the same from both paths
  1  a day does not, or could not be compared; the last lines say which and why
  2  could not start: arguments, bucket, permission, engine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    # The DAG has no excludes.
    parser.set_defaults(exclude=[], no_default_excludes=True)
    what = parser.add_argument_group("which paths")
    what.add_argument(
        "--env",
        choices=[environment.value for environment in Environment],
        help="the QPI preset: gs://data-bucket-ENV/QPI_exports/ and gs://de-bigquery-data-export-ENV/qpi_exports/",
    )
    what.add_argument("--source", metavar="gs://BUCKET/PREFIX/", help="instead of the preset's legacy path")
    what.add_argument("--destination", metavar="gs://BUCKET/PREFIX/", help="instead of the preset's new path")
    add_billing_argument(what)
    days = parser.add_argument_group("which days")
    days.add_argument(
        "--date", action="append", default=[], metavar="YYYYMMDD", help="a day; may be repeated"
    )
    days.add_argument("--from", dest="first", metavar="YYYYMMDD", help="the first of several days; with --to")
    days.add_argument("--to", dest="last", metavar="YYYYMMDD", help="the last of several days; with --from")
    days.add_argument("--last", dest="last_days", metavar="N", help="the N days up to yesterday, UTC")
    days.add_argument(
        "--allow-empty",
        action="store_true",
        help="a day without a single object on either path is not an error",
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--engine",
        choices=["duckdb", "bigquery"],
        help="where the rows are loaded: bigquery as the DAG does (the default with --dataset), or duckdb in this process",
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
    migration = migration_from(arguments)
    grace = _seconds(arguments.grace)
    days = chosen_days(
        arguments.date, arguments.first, arguments.last, arguments.last_days, today=now().date()
    )
    started = now()
    name = f"{migration.label}-{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    with stopping_on_signals() as stop:
        clock = until_stopped(io.clock, stop)
        engine_name, engine_of = chosen_engine(arguments, io, name, clock, stop)
        report = None if arguments.report is None else ReportDirectory(arguments.report)
        results = Results(name, engine_name, migration, days, arguments.allow_empty, started)
        console = io.console().rich()
        with closing(Gateway(connections=READERS, billing_project=arguments.billing_project)) as gateway:
            _check_start(gateway, migration)
            clock = until_stopped(replace(io.clock, now=gateway.server_time.now), stop)
            with engine_of(gateway) as engine:
                error = _try_days(
                    results, gateway, engine, grace=grace, clock=clock, stop=stop, console=console
                )
            content = json_bytes(results.to_json(clock.now(), error))
            if not arguments.no_record:
                _record(gateway, migration, content)
    if results.days:
        console.print(table_of(results.days))
    for line in details(results.days):
        console.print(line, markup=False, soft_wrap=True)
    if report is not None:
        report.write(REPORT_NAME, content)
        path = f"{report.place}/{REPORT_NAME}"
        console.print(f"report: {path}", markup=False, soft_wrap=True)
    if error is not None:
        raise error
    console.print(results.conclusion(), soft_wrap=True)
    return ExitCode.NOT_RIGHT if results.wrong else ExitCode.DONE


def _try_days(
    results: Results,
    gateway: Gateway,
    engine: Engine,
    *,
    grace: timedelta,
    clock: Clock,
    stop: Stop,
    console: Console,
) -> MigrationError | None:
    """Test day by day. An error ends the run, but the report still has the days before it."""
    try:
        with console.status("") as status:
            for day in results.asked:
                status.update(f"{day} ({len(results.days) + 1} of {len(results.asked)})")
                results.days.append(
                    try_day(day, results.migration, gateway, engine, grace=grace, clock=clock)
                )
                stop.check()
    except MigrationError as error:
        return error
    return None


def _record(gateway: Gateway, migration: Migration, content: bytes) -> None:
    """Write the result where the gate looks for it.

    Raises:
        StorageError: It could not be written.
    """
    try:
        gateway.put(migration.own_ref("latest", REPORT_NAME), content)
    except PermissionDenied as error:
        raise PermissionDenied(
            error.uri, f"the result could not be recorded ({error.detail}). To compare only: --no-record"
        ) from error


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
