"""The command ``gate``: may the cutover take place? One table, GO or NO-GO, each line with its evidence.

``python -m backfill_job gate --env E --repo PATH --canary``. It changes nothing except the canary, which it removes again. A
check that cannot run counts as NO-GO. The command ``cutover`` takes the same arguments.
"""

import argparse
from datetime import timedelta
from pathlib import Path

from backfill_job.consumer import add_consumer_argument, named_consumer
from backfill_job.gate.checks import LagLimits
from backfill_job.gate.evidence import GateOptions
from backfill_job.gate.verdict import OVERRIDABLE, run_gate
from backfill_job.import_test.day import MAX_DAYS
from backfill_job.import_test.results import REPORT_NAME
from backfill_job.references.scan import Checkouts
from backfill_job.run.arguments import (
    add_by_argument,
    add_canary_argument,
    add_checkout_arguments,
    add_override_arguments,
    add_session_arguments,
    day,
    is_there,
    members,
    overrides_from,
    report_place,
    seconds,
    up_to,
)
from backfill_job.run.command import (
    Command,
    ExitCode,
    ProcessIO,
    add_audit_log_argument,
    add_migration_arguments,
    migration_from,
)
from backfill_job.run.ending import same_command, say_end
from backfill_job.run.open_run import opened
from shared.errors import UsageError

__all__ = ["COMMAND", "add_gate_arguments", "gate_options"]

NAME = "gate"

EXAMPLES = """
examples:
  python -m backfill_job gate --env prod --repo ../airflow-dags --canary --dead-letters dead-letters.json

exit codes:
  0  GO
  1  NO-GO: a check failed or could not be run; the table says which, and what to do
  2  could not start: arguments, bucket, permission
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_migration_arguments(parser)
    add_gate_arguments(parser)
    add_by_argument(parser, "who overrides a check")
    add_session_arguments(parser, in_parts=False)


def add_gate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what the gate looks at; read them with `gate_options`."""
    usual = LagLimits()
    gate = parser.add_argument_group("what the gate looks at")
    gate.add_argument(
        "--repo",
        action="extend",
        nargs="+",
        type=_checkout,
        default=[],
        metavar="PATH",
        help="checkouts of the consumers' changed code",
    )
    add_checkout_arguments(gate)
    add_canary_argument(gate)
    gate.add_argument(
        "--no-mirror",
        action="store_true",
        help="the writer is paused and no mirror runs: its checks are not applicable; wants --reason and --by. The cutover then "
        "refuses if any object was written since it began",
    )
    add_consumer_argument(gate)
    gate.add_argument(
        "--loaded-table",
        dest="table",
        metavar="PROJECT.DATASET.TABLE",
        help="the consumer's own table, with which `loaded` must have compared the path (default: load.table of its file)",
    )
    add_audit_log_argument(gate)
    gate.add_argument(
        "--dead-letters",
        type=Path,
        metavar="FILE",
        help="Cloud Monitoring's count of undelivered messages (docs/deploy.md), or messages that were pulled",
    )
    gate.add_argument(
        "--import-test",
        type=report_place,
        metavar="DIR|gs://…/",
        help=f"the place of {REPORT_NAME} (default: beside the migration's state, where `import-test` leaves it)",
    )
    gate.add_argument(
        "--today", type=day, metavar="YYYY-MM-DD", help="the day of the presence check (default: today, UTC)"
    )
    for option, does in (("--writer", "writes"), ("--reader", "reads")):
        gate.add_argument(
            option,
            action="extend",
            type=members,
            default=[],
            metavar="MEMBER",
            help=f"who {does} the exports: serviceAccount:…",
        )
    gate.add_argument("--no-record", action="store_true", help="leave no result beside the migration's state")
    add_override_arguments(gate, OVERRIDABLE, "gate.json, and at a cutover into the state")
    limits = parser.add_argument_group("what is good enough")
    limits.add_argument(
        "--max-age",
        type=seconds,
        default=usual.max_age,
        metavar="SECONDS",
        help="the greatest age of a verification, an import test, a look at the dead letters (default 21600, six hours)",
    )
    for which, limit in (("p50", usual.lag_p50), ("p99", usual.lag_p99), ("max", usual.lag_max)):
        limits.add_argument(
            f"--lag-{which}",
            type=seconds,
            default=timedelta(seconds=limit),
            metavar="SECONDS",
            help=f"the mirror's lag, {which} (default {limit:g})",
        )
    limits.add_argument(
        "--import-days",
        type=up_to(MAX_DAYS),
        default=usual.import_days,
        metavar="N",
        help=f"days up to yesterday that the import test must cover (default {usual.import_days})",
    )


def gate_options(arguments: argparse.Namespace) -> GateOptions:
    """Read what the gate looks at.

    Raises:
        UsageError: As in `overrides_from` and `named_consumer`.
    """
    overrides = overrides_from(arguments)
    if arguments.no_mirror and (arguments.canary is not None or arguments.dead_letters is not None):
        raise UsageError("--no-mirror says that no mirror runs: leave out --canary and --dead-letters")
    return GateOptions(
        checkouts=Checkouts(tuple(arguments.repo), tuple(arguments.skip), arguments.env_file),
        canary=None if arguments.canary is None else arguments.canary.total_seconds(),
        dead_letters=arguments.dead_letters,
        import_test=arguments.import_test,
        limits=LagLimits(
            max_age=arguments.max_age,
            lag_p50=arguments.lag_p50.total_seconds(),
            lag_p99=arguments.lag_p99.total_seconds(),
            lag_max=arguments.lag_max.total_seconds(),
            import_days=arguments.import_days,
        ),
        today=arguments.today,
        record=not arguments.no_record,
        writer=tuple(arguments.writer),
        reader=tuple(arguments.reader),
        overrides=overrides,
        by=arguments.by or "",
        consumer=named_consumer(arguments),
        table=arguments.table or "",
        audit_log=arguments.audit_log,
        no_mirror=arguments.reason if arguments.no_mirror else "",
        consumer_file="" if arguments.consumer is None else str(arguments.consumer),
    )


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    migration, options = migration_from(arguments), gate_options(arguments)
    with opened(NAME, arguments, io, migration=migration, mode=NAME, changes_objects=False) as run:
        result = run_gate(run, options)
        result.show(run.console)
        if result.go:
            by = () if arguments.by else ("--by", "NAME")
            say_end(run, result.summary, same_command(run, "cutover", *by), good=True)
        else:
            say_end(run, result.summary, same_command(run, NAME), good=False, fix_first=True)
        return ExitCode.DONE if result.go else ExitCode.NOT_RIGHT


def _checkout(text: str) -> Path:
    path = Path(text)
    if not is_there(path):
        raise argparse.ArgumentTypeError(f"{text} does not exist; name a checkout of the consumers' code")
    return path


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run)
