"""The command ``smoke``: is this project fit for the migration? Run it first, before any copy.

It asks Cloud Storage for the permissions of the account in use, and checks the buckets' settings. With ``--canary`` it writes
one object to see its copy arrive. It changes nothing except the canary, which it removes again.

Each part's account must ask for itself. A job does with ``gcloud run jobs execute JOB --args=smoke,--env=E,--part=PART``.
"""

import argparse
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

from backfill_job.bucket_settings import bucket_checks
from backfill_job.checks import Check, Standing, blocking, failed, passed, show
from backfill_job.gate.canary import canary_name, fly, removal
from backfill_job.rights import RIGHTS, Area, Part, location_of
from backfill_job.run.arguments import add_canary_argument
from backfill_job.run.clock import Clock
from backfill_job.run.command import (
    BEFORE_ANYTHING,
    Command,
    ExitCode,
    ProcessIO,
    add_migration_arguments,
    migration_from,
)
from backfill_job.run.settings import Settings
from backfill_job.run.stopping import Stop, stopping_on_signals, until_stopped
from shared.errors import Cause, PermissionDenied, StorageError, UsageError
from shared.gateway import Gateway
from shared.migration import Location, Migration
from shared.record import read_record
from shared.text import counted

__all__ = ["ASKED", "COMMAND", "rights_checks"]

NAME = "smoke"
WIDTH = 110
REQUESTER_PAYS = "requester pays"
"""The end of a check's name."""

ASKED = (
    "storage.buckets.delete",
    "storage.buckets.get",
    "storage.buckets.getIamPolicy",
    "storage.buckets.setIamPolicy",
    "storage.buckets.update",
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.restore",
    "storage.objects.setIamPolicy",
    "storage.objects.update",
)
"""The permissions to ask about: those that some part needs, and those that no part should hold."""

OF_OBJECTS = tuple(
    name for name in ASKED if name.startswith("storage.objects.") and not name.endswith(".list")
)
"""The permissions that an account can hold on an object."""

_READERS = (Part.OPERATOR, Part.DELETION)
"""The parts that read both buckets' settings: the gate and the deletion check them."""

AROUND = {Area.CANARY: Area.LEGACY_PATH, Area.REHEARSAL: Area.RECORDS, Area.MARKS: Area.OWN}
"""Areas that lie within another area; a permission on the outer one holds in the inner one, too."""

EXAMPLES = """
examples:
  python -m backfill_job smoke --env dev            the operator's rights, and both buckets
  python -m backfill_job smoke --env dev --canary   the same, and one object sent through the mirror
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
        choices=[part.value for part in Part],
        default=Part.OPERATOR.value,
        help="the part whose rights the account in use should have (default: operator)",
    )
    add_canary_argument(parser)
    parser.add_argument(
        "--json", action="store_true", help="the result as one JSON line (the default in a job)"
    )


def rights_checks(part: Part, held: Mapping[Area, frozenset[str] | str]) -> Iterator[Check]:
    """Compare the permissions that an account holds with those that its part needs.

    Args:
        part: The account's part.
        held: By area, the permissions that the account holds there, or why they are unknown.
    """
    for area in (one for one in Area if one in held):
        name, has, around = f"rights on {area.value}", held[area], (area, AROUND.get(area))
        rights = [right for right in RIGHTS if right.part is part and right.area in around]
        needs = {permission for right in rights for permission in right.role.permissions}
        if isinstance(has, str):
            if any(right.area is area for right in rights):
                unknown, step = f"not known: {has}", "the canary and the first execution will show it"
                yield Check(name, Standing.NOT_APPLICABLE, unknown, step)
            continue
        missing, more = sorted(needs - has), sorted(has - needs)
        if missing:
            step = f"`python -m deploy --env ENV project` grants them; is this the account of the part {part.value}?"
            yield failed(name, f"missing: {', '.join(missing)}", step)
        elif more:
            seen = f"more than the part {part.value} needs: {', '.join(more)}"
            yield passed(name, seen, "take it away, or use the part's own account")
        else:
            yield passed(name, ", ".join(sorted(needs)) or "none, as it should be")


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    in_a_job = bool(Settings.from_environ(io.environ).cloud_run_job)
    migration, part = migration_from(arguments), Part(arguments.part)
    with (
        stopping_on_signals(io.stopping) as stop,
        closing(Gateway(retry_deadline=30.0, billing_project=arguments.billing_project)) as gateway,
    ):
        checks = [
            *rights_checks(part, _held(gateway, migration)),
            *_with_payer(_bucket_checks(gateway, migration, part), arguments.billing_project),
        ]
        if arguments.canary is not None:
            checks.append(_canary(gateway, migration, arguments.canary.total_seconds(), io.clock, stop))
    if arguments.json or in_a_job:
        print(json.dumps(_content(part, checks)), file=io.stdout)
    else:
        _show(checks, io)
    return ExitCode.NOT_RIGHT if blocking(checks) else ExitCode.DONE


def _held(gateway: Gateway, migration: Migration) -> dict[Area, frozenset[str] | str]:
    """The permissions of the account in use in every area."""
    held: dict[Area, frozenset[str] | str] = {}
    for area in Area:
        at = location_of(area, migration)
        if area.is_bucket:
            # No part needs more on the whole bucket than listing; a permission there holds on every object.
            held[area] = gateway.permitted(at.bucket, "", ASKED)
        else:
            within = tuple(
                location_of(one, migration).prefix for one, outer in AROUND.items() if outer is area
            )
            held[area] = _held_on_objects(gateway, at, within)
    return held


def _held_on_objects(gateway: Gateway, at: Location, within: tuple[str, ...]) -> frozenset[str] | str:
    """The permissions on the objects of a prefix, from one object that lies in none of the inner areas."""
    try:
        for page in gateway.list_pages(at.bucket, at.prefix):
            for state in page.objects:
                if not state.name.startswith(within):
                    return gateway.permitted(at.bucket, state.name, OF_OBJECTS)
    except StorageError as error:
        return str(error)
    return f"there is no object under {at.uri} yet"


def _bucket_checks(gateway: Gateway, migration: Migration, part: Part) -> Iterator[Check]:
    try:
        legacy, new = (gateway.bucket_resource(at.bucket) for at in (migration.source, migration.destination))
    except PermissionDenied as error:
        if part in _READERS:
            yield failed("buckets", str(error), f"the {part.value} reads both buckets' configuration")
        return
    yield from bucket_checks(legacy, new, migration)


def _with_payer(checks: Iterable[Check], project: str) -> Iterator[Check]:
    """The checks; requester pays is in order where a project that pays is named."""
    for check in checks:
        if not check.blocks or not check.name.endswith(REQUESTER_PAYS):
            yield check
        elif project:
            yield passed(check.name, f"on: {project} pays")
        else:
            yield failed(check.name, "on, and no project that pays is named", Cause.PAYER.fix)


def _canary(gateway: Gateway, migration: Migration, limit: float, clock: Clock, stop: Stop) -> Check:
    record = read_record(gateway, migration)
    if not record.exists:
        why = "not sent: no migration has begun, and the mirror does nothing before that"
        return Check(
            "canary",
            Standing.NOT_APPLICABLE,
            why,
            "python -m backfill_job begin --by WHO, then the same command again",
        )
    state = record.state
    if not state.phase.before_cutover:
        why = f"not sent: in phase {state.phase.value} it would be taken for a late writer's"
        return Check("canary", Standing.NOT_APPLICABLE, why)
    relative = canary_name(NAME, secrets.token_hex(4))
    if migration.is_excluded(relative):
        raise UsageError(f"--exclude leaves out the canary {relative}; it could never arrive")
    stop.check()
    waiting = until_stopped(clock, stop)
    flight = fly(gateway, migration, relative, limit=limit, clock=waiting, pause=clock.sleep)
    if flight.left:
        return failed("canary", f"could not be removed: {flight.why_left}", removal(flight.left))
    if flight.problem:
        return failed("canary", flight.problem, "fix what the error names, then run the same command again")
    if flight.arrived is None:
        step = "is the mirror deployed, has its trigger the bucket's location, may the trigger's account call it? See its log"
        return failed("canary", f"{flight.uri} had not arrived after {limit:g} s; it was removed", step)
    seen = f"arrived after {flight.arrived:.1f} s, removed on both paths: writer, event, mirror and both buckets work together"
    return passed("canary", seen)


def _verdict(checks: list[Check]) -> str:
    bad, advice = len(blocking(checks)), sum(bool(check.next_step) for check in checks if not check.blocks)
    if bad:
        return f"NOT FIT: {counted(bad, 'check')} did not pass"
    return f"FIT; {counted(advice, 'check')} with advice" if advice else "FIT"


def _content(part: Part, checks: list[Check]) -> dict[str, Any]:
    fit = not blocking(checks)
    return {
        "severity": "INFO" if fit else "ERROR",
        "message": f"{NAME} of {part.value}: {_verdict(checks)}",
        "fit": fit,
        "checks": [check.to_json() for check in checks],
    }


def _show(checks: list[Check], io: ProcessIO) -> None:
    console = io.console(WIDTH)
    show(console, checks)
    console.print(f"\n{_verdict(checks)}", markup=False)


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run, cannot_start=BEFORE_ANYTHING)
