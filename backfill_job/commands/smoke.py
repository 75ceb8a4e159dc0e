"""The command ``smoke``: is this project fit for the migration? Run it first, before any copy.

It asks Cloud Storage for the permissions of the account in use, and checks the buckets' settings. With ``--canary`` it writes
one object to see its copy arrive, and with ``--observe`` it looks for that in logs and metrics. With ``--wire`` it writes some 60
objects into a scratch folder, and asks of Cloud Storage everything that the code relies on (`backfill_job.smoke`). It changes
nothing else, and removes what it wrote.

Each part's account must be asked about itself. A job does so with ``gcloud run jobs execute qpi-exports-backfill-E --args=smoke,--env=E,--part=backfill``,
and a person who may impersonate the accounts with ``--part all --impersonate``.
"""

import argparse
import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from requests import Session

from backfill_job.bucket_settings import REQUESTER_PAYS, Resource, bucket_checks
from backfill_job.checks import (
    SHOWN,
    Check,
    Standing,
    attempted,
    blocking,
    failed,
    not_run,
    passed,
    show_lines,
)
from backfill_job.gate.canary import Flight, canary_name, fly, removal
from backfill_job.rights import Area, Part, Role, location_of
from backfill_job.run.arguments import add_canary_argument, seconds
from backfill_job.run.clock import Clock
from backfill_job.run.command import (
    BEFORE_ANYTHING,
    Command,
    ExitCode,
    ProcessIO,
    add_migration_arguments,
    migration_from,
)
from backfill_job.run.ending import command_line, next_line, say_verdict
from backfill_job.run.google_apis import Apis, session
from backfill_job.run.settings import Settings
from backfill_job.run.stopping import Stop, stopping_on_signals, until_stopped
from backfill_job.smoke.clients import impersonated
from backfill_job.smoke.held import held_permissions, rights_checks
from backfill_job.smoke.observe import SCOPES, Observer
from backfill_job.smoke.trial import TrialConnection, try_wire
from shared.env_file import deployed_name
from shared.errors import Cause, PermissionDenied, UsageError
from shared.gateway import Gateway
from shared.migration import Location, Migration
from shared.record import read_record
from shared.report.next_steps import shown_command
from shared.text import counted, listed

__all__ = ["COMMAND"]

NAME = "smoke"
WIDTH = 80
EVERY_PART = "all"
"""The end of a check's name."""

_READERS = (Part.OPERATOR, Part.DELETION)
"""The parts that read both buckets' settings: the gate and the deletion check them."""

EXAMPLES = """
examples:
  python -m backfill_job smoke --env dev            the operator's rights, and both buckets
  python -m backfill_job smoke --env dev --wire     the same, and what the code relies on; some 60 objects for 3 minutes
  python -m backfill_job smoke --env dev --canary --observe --project P   one object through mirror, log and metric
  python -m backfill_job smoke --env dev --part all --impersonate 'qpi-exports-{part}-dev@P.iam.gserviceaccount.com'
  gcloud run jobs execute qpi-exports-backfill-dev --region=R --tasks=1 --wait --args=smoke,--env=dev,--part=backfill

exit codes:
  0  fit; the table shows advice
  1  something is missing or stands in the way; the table says what to do; or stopped
  2  could not start: arguments, bucket, credentials
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_migration_arguments(parser)
    parser.add_argument(
        "--part",
        choices=[*(part.value for part in Part), EVERY_PART],
        default=Part.OPERATOR.value,
        help="the part whose rights the account in use should have (default: operator); all: with --impersonate",
    )
    parser.add_argument(
        "--impersonate",
        default="",
        metavar="ACCOUNT",
        help="ask as this service account; {part} in it stands for the part's name. Takes "
        "roles/iam.serviceAccountTokenCreator on it",
    )
    add_canary_argument(parser)
    parser.add_argument(
        "--observe",
        nargs="?",
        type=seconds,
        const=timedelta(seconds=300),
        metavar="SECONDS",
        help="with --canary: wait so long (default 300) for its line in Cloud Logging, and for a point of the metric",
    )
    parser.add_argument(
        "--project", metavar="PROJECT", help="with --observe: the project with the logs and metrics"
    )
    parser.add_argument(
        "--wire",
        nargs="?",
        type=Path,
        const=Path("wire.json"),
        metavar="FILE",
        help="write, ask and remove some 60 objects; every answer goes into FILE (default wire.json), without contents",
    )
    parser.add_argument("--details", action="store_true", help="show each check with what was found")
    parser.add_argument(
        "--json", action="store_true", help="the result as one JSON line (the default in a job)"
    )


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    in_a_job = bool(Settings.from_environ(io.environ).cloud_run_job)
    migration = migration_from(arguments)
    _refuse_combinations(arguments)
    with stopping_on_signals(io.stopping) as stop:
        if arguments.part == EVERY_PART:
            checks = [check for part in Part for check in _part_checks(part, migration, arguments, io)]
        else:
            checks = _checks(Part(arguments.part), migration, arguments, io, stop)
    if arguments.json or in_a_job:
        print(json.dumps(_content(arguments.part, checks)), file=io.stdout)
    else:
        console = io.console(WIDTH)
        show_lines(console, checks, briefly=not arguments.details)
        fit = not blocking(checks)
        say_verdict(console, f"\n{_verdict(checks)}.", good=fit)
        again = shown_command(NAME, *io.words) or NAME
        line = next_line(command_line(migration, "migrate") if fit else again, fix_first=not fit)
        console.print(line, markup=False, soft_wrap=True)
    return ExitCode.NOT_RIGHT if blocking(checks) else ExitCode.DONE


def _refuse_combinations(arguments: argparse.Namespace) -> None:
    """Refuse arguments that say nothing together.

    Raises:
        UsageError: As it says.
    """
    alone = arguments.canary is None and arguments.wire is None
    if arguments.part == EVERY_PART and "{part}" not in arguments.impersonate:
        raise UsageError(
            "--part all asks as each part's account: add --impersonate 'ACCOUNT with {part} in it'"
        )
    if arguments.part == EVERY_PART and not alone:
        raise UsageError("--canary and --wire run in one account: name one --part")
    if arguments.wire is not None and arguments.impersonate:
        raise UsageError("--wire asks in the environment's account; leave out --impersonate")
    if arguments.observe is not None and arguments.canary is None:
        raise UsageError("--observe looks for the canary: add --canary")
    if arguments.observe is not None and not arguments.project:
        raise UsageError("--observe: name the project with the logs and metrics, with --project")


def _gateway(part: Part, arguments: argparse.Namespace, io: ProcessIO) -> Gateway:
    account = arguments.impersonate.replace("{part}", part.value)
    return Gateway(
        retry_deadline=30.0,
        billing_project=arguments.billing_project,
        credentials=impersonated(account, io.environ) if account else None,
    )


def _part_checks(
    part: Part, migration: Migration, arguments: argparse.Namespace, io: ProcessIO
) -> Iterator[Check]:
    """The checks of one part's rights, with its name; an account that cannot be used is NOT RUN, and the others go on."""

    def asked() -> list[Check]:
        with closing(_gateway(part, arguments, io)) as gateway:
            return [*rights_checks(part, *held_permissions(gateway, migration))]

    found = attempted("account", asked)
    for check in [found] if isinstance(found, Check) else found:
        yield Check(f"{part.value}: {check.name}", check.standing, check.evidence, check.next_step)


def _checks(
    part: Part, migration: Migration, arguments: argparse.Namespace, io: ProcessIO, stop: Stop
) -> list[Check]:
    with closing(_gateway(part, arguments, io)) as gateway:
        buckets = _buckets(gateway, migration)
        held, tried = held_permissions(gateway, migration)
        checks = [
            *rights_checks(part, held, tried),
            *_with_payer(_bucket_checks(buckets, migration, part), arguments.billing_project),
        ]
        if arguments.wire is not None:
            lacking = _lacking(held[Area.SMOKE])
            checks += lacking or _earlier(gateway, location_of(Area.SMOKE, migration))
            checks += () if lacking else _wire(buckets, migration, arguments, io, stop)
        if arguments.canary is not None:
            checks += _canary(gateway, migration, arguments, io, stop)
    return checks


def _buckets(gateway: Gateway, migration: Migration) -> tuple[Resource, Resource] | PermissionDenied:
    try:
        return gateway.bucket_resource(migration.source.bucket), gateway.bucket_resource(
            migration.destination.bucket
        )
    except PermissionDenied as error:
        return error


def _bucket_checks(
    buckets: tuple[Resource, Resource] | PermissionDenied, migration: Migration, part: Part
) -> Iterator[Check]:
    if not isinstance(buckets, PermissionDenied):
        yield from bucket_checks(*buckets, migration)
    elif part in _READERS:
        yield failed("buckets", str(buckets), f"the {part.value} reads both buckets' configuration")


def _with_payer(checks: Iterable[Check], project: str) -> Iterator[Check]:
    """The checks; requester pays is in order where a project that pays is named."""
    for check in checks:
        if not check.blocks or not check.name.endswith(REQUESTER_PAYS):
            yield check
        elif project:
            yield passed(check.name, f"on: {project} pays")
        else:
            yield failed(check.name, "on, and no project that pays is named", Cause.PAYER.fix)


def _wire(
    buckets: tuple[Resource, Resource] | PermissionDenied,
    migration: Migration,
    arguments: argparse.Namespace,
    io: ProcessIO,
    stop: Stop,
) -> Iterator[Check]:
    if isinstance(buckets, PermissionDenied):
        yield not_run("wire", f"nothing was written: {buckets}", "run it in the operator's account")
        return
    _, new = buckets
    if new.get("retentionPolicy") or new.get("defaultEventBasedHold"):
        why = "nothing was written: a retention policy or a hold of the new bucket would keep it"
        yield not_run("wire", why, "see the check of retention and holds")
        return
    settings = _settings(new)
    about = {"at": io.clock.now().isoformat(), "bucket": settings}
    file: Path = arguments.wire
    _write(file, {"version": 1, **about})  # so that a file that cannot be written is known before
    at = location_of(Area.SMOKE, migration)
    folder = Location(at.bucket, f"{at.prefix}{secrets.token_hex(8)}/")
    way = TrialConnection(io.environ, arguments.billing_project)
    versioned = bool((settings["versioning"] or {}).get("enabled"))
    if io.stdout.isatty():
        print(f"wire: up to three minutes, in {folder.uri}, which is removed again", file=io.stderr)
    trial = try_wire(way, folder, soft_delete=bool(settings["softDelete"]), versioned=versioned, stop=stop)
    _write(file, trial.to_json(about))
    yield from trial.checks()
    yield passed("wire: file", f"{counted(len(trial.exchanges.noted), 'answer')} in {file}")


def _lacking(held: frozenset[str] | str) -> list[Check]:
    """The reason not to ask anything: every row that lacks a right would look like a deviation of Cloud Storage."""
    missing = () if isinstance(held, str) else sorted({*Role.TRY.permissions} - held)
    if not missing:
        return []
    seen = f"nothing was written: the account lacks {', '.join(missing)} in the smoke test's folder"
    return [not_run("wire", seen, "run it in the operator's account; see the check of its rights")]


def _earlier(gateway: Gateway, at: Location) -> Iterator[Check]:
    """What a run left that was killed: a process that gets no signal removes nothing."""
    names = [state.name for page in gateway.list_pages(at.bucket, at.prefix) for state in page.objects]
    if names:
        folders = sorted({name.removeprefix(at.prefix).partition("/")[0] for name in names})
        seen = f"{counted(len(names), 'object')} of a run that was killed, or that runs now: {listed(folders, SHOWN)}"
        step = f"gcloud storage rm --recursive '{at.uri}{folders[0]}/' --impersonate-service-account=ACCOUNT"
        yield passed("wire: earlier runs", seen, step)


def _settings(bucket: Resource) -> dict[str, Any]:
    """The settings of a bucket on which its answers may depend; not its name."""
    kept = ("location", "locationType", "storageClass", "hierarchicalNamespace", "autoclass", "versioning")
    soft_delete = int((bucket.get("softDeletePolicy") or {}).get("retentionDurationSeconds") or 0)
    return {**{name: bucket.get(name) for name in kept}, "softDelete": soft_delete}


def _write(file: Path, content: dict[str, Any]) -> None:
    """Write a JSON file.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from error


def _canary(
    gateway: Gateway, migration: Migration, arguments: argparse.Namespace, io: ProcessIO, stop: Stop
) -> Iterator[Check]:
    record = read_record(gateway, migration)
    if not record.exists:
        why = "not sent: no migration has begun, and the mirror does nothing before that"
        step = "python -m backfill_job begin --by WHO, then the same command again"
        yield Check("canary", Standing.NOT_APPLICABLE, why, step)
        return
    phase = record.state.phase
    if not phase.before_cutover:
        why = f"not sent: in phase {phase.value} it would be taken for a late writer's"
        yield Check("canary", Standing.NOT_APPLICABLE, why)
        return
    relative = canary_name(NAME, secrets.token_hex(4))
    if migration.is_excluded(relative):
        raise UsageError(f"--exclude leaves out the canary {relative}; it could never arrive")
    stop.check()
    waiting, since, limit = until_stopped(io.clock, stop), io.clock.now(), arguments.canary.total_seconds()
    flight = fly(gateway, migration, relative, limit=limit, clock=waiting, pause=io.clock.sleep)
    yield _flown(flight, limit)
    if arguments.observe is not None and flight.arrived is not None:
        with closing(session(io.environ, *SCOPES)) as opened:
            observer = _observer(opened, migration, arguments, io, waiting)
            # This machine's clock may be ahead of the canary's.
            yield from observer.checks(flight.uri, since - timedelta(minutes=5))


def _flown(flight: Flight, limit: float) -> Check:
    if flight.left:
        return failed("canary", f"could not be removed: {flight.why_left}", removal(flight.left))
    if flight.problem:
        return failed("canary", flight.problem, "fix what the error names, then run the same command again")
    if flight.arrived is None:
        step = "is the mirror deployed, has its trigger the bucket's location, may the trigger's account call it? See its log"
        return failed("canary", f"{flight.uri} had not arrived after {limit:g} s; it was removed", step)
    seen = f"arrived after {flight.arrived:.1f} s, removed on both paths: writer, event, mirror and both buckets work together"
    return passed("canary", seen)


def _observer(
    opened: Session, migration: Migration, arguments: argparse.Namespace, io: ProcessIO, waiting: Clock
) -> Observer:
    service = deployed_name(Part.MIRROR.value, migration.label)
    limit = arguments.observe.total_seconds()
    return Observer(Apis(opened, io.environ), arguments.project, service, waiting, limit)


def _verdict(checks: list[Check]) -> str:
    bad, advice = len(blocking(checks)), sum(bool(check.next_step) for check in checks if not check.blocks)
    if bad:
        return f"NOT FIT: {counted(bad, 'check')} did not pass"
    return f"FIT; {counted(advice, 'check')} with advice" if advice else "FIT"


def _content(part: str, checks: list[Check]) -> dict[str, Any]:
    fit = not blocking(checks)
    return {
        "severity": "INFO" if fit else "ERROR",
        "message": f"{NAME} of {part}: {_verdict(checks)}",
        "fit": fit,
        "checks": [check.to_json() for check in checks],
    }


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run, cannot_start=BEFORE_ANYTHING)
