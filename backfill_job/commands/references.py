"""The command ``references``: find the code that still reads the legacy path, or mixes new bucket and old prefix.

It changes nothing: ``--patch`` writes the changes as a diff for ``git apply``. Only ``--record`` reads and writes the migration's
record. It notes which places read the legacy path. The gate and the deletion then ask for each of them.
"""

import argparse
import shlex
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

from backfill_job.checks import references_check
from backfill_job.references.findings import Finding, ScanResult
from backfill_job.references.patch import Proposal, checkout_of, propose, unified_diff
from backfill_job.references.scan import read_settings, scan
from backfill_job.references.screen import nothing_read, recorded_readers, references_report
from backfill_job.references.sites import gone_sites, sites_of, with_accepted
from backfill_job.references.targets import FindingKind
from backfill_job.run.arguments import add_by_argument, add_checkout_arguments
from backfill_job.run.command import Command, ExitCode, ProcessIO, add_billing_argument, refuse_two_pairs
from backfill_job.run.ending import next_line, next_of
from backfill_job.run.local_tasks import without_options
from backfill_job.run.reports import ReportDirectory, json_bytes
from shared.errors import UsageError
from shared.gateway import Gateway
from shared.migration import Environment, Location, Migration, qpi_exports
from shared.record import require_begun, update
from shared.report.next_steps import shown_command
from shared.state import Site, State
from shared.state_changes import Stamp, sites_accepted, sites_seen
from shared.text import counted, listed, shown

__all__ = ["COMMAND"]

NAME = "references"

PATIENCE_SECONDS = 30.0
"""Seconds of retries for one request to the record; recording again is safe."""

EXAMPLES = """
examples:
  python -m backfill_job references ../airflow-dags                  all three QPI environments
  python -m backfill_job references . --env prod --json refs.json    one of them, with every finding in a file
  python -m backfill_job references . --patch refs.patch             the changes, for `git apply refs.patch`
  python -m backfill_job references . --env prod --record

classes:
  legacy      reads the old path
  mixed       new bucket with the old prefix or its case, or old bucket with the new prefix: reads nothing, silently
  unresolved  names the prefix, and its bucket could not be read: look at it
  elsewhere   a known name in a bucket that is neither, or a known layout at another place: a person accepts it by name
  migrated    reads the new path
  other       the name alone: another environment's bucket, a longer name, a name in the code

exit codes:
  0  clean: nothing blocks the deletion of the legacy prefix
  1  something blocks or could not be read; --record: or a recorded reader is gone
  2  no verdict: no code, a path that does not exist, or the arguments
"""


class _FixIsGone(argparse.Action):
    """Refuses ``--fix``, which wrote the changes itself until it was removed."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """End with one line and exit code 2."""
        parser.error("--fix was removed: use --patch FILE, look at the change, then `git apply FILE`")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a file or folder of consumer code"
    )
    parser.add_argument("--fix", action=_FixIsGone, nargs=0, help=argparse.SUPPRESS)
    parser.add_argument(
        "--patch",
        type=Path,
        metavar="FILE",
        help="write the changes as a diff for `git apply`",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every finding")
    add_checkout_arguments(parser)
    record = parser.add_argument_group("what is recorded (for one migration; needs credentials)")
    record.add_argument(
        "--record",
        action="store_true",
        help="note who reads the legacy path, and ask for each on record",
    )
    record.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="NAME",
        help="accept a place, FILE:SCOPE:OPERATION, that reads elsewhere, or that is on record and gone; NONE: there is no "
        "consumer; may be repeated",
    )
    record.add_argument("--reason", default="", metavar="TEXT", help="why it is accepted")
    add_by_argument(record, "who accepts it", default="")
    add_billing_argument(record)
    what = parser.add_argument_group("what is looked for (default: all QPI environments)")
    what.add_argument(
        "--env", choices=[environment.value for environment in Environment], help="one QPI environment"
    )
    what.add_argument("--source", metavar="gs://BUCKET/PREFIX/", help="the old path, without --env")
    what.add_argument("--destination", metavar="gs://BUCKET/PREFIX/", help="the new path")


def _run(arguments: argparse.Namespace, io: ProcessIO) -> int:
    accepts = (bool(arguments.accept), bool(arguments.reason), bool(arguments.by))
    if any(accepts) and not (all(accepts) and arguments.record):
        raise UsageError("--accept NAME, --reason and --by belong together, and to --record")
    paths, skip = list(arguments.paths), list(arguments.skip)
    migrations = _migrations(arguments)
    result = scan(paths, migrations, skip=skip, settings=read_settings(arguments.env_file))
    if result.without_code and not result.blocking and not result.errors:
        raise UsageError(f"{nothing_read(result)}: not a verdict; name the checkout of the consumers' code")
    state = _recorded(arguments, result, migrations) if arguments.record else None
    result = result if state is None else with_accepted(result, state)
    proposal = propose(result, skip=skip)
    written = "" if arguments.patch is None else _write_patch(arguments.patch, proposal)
    _say(references_report(result, proposal, written), io)
    if arguments.json is not None:
        _write(arguments.json, _json(result, proposal))
    good = result.clean
    if state is not None:
        check = references_check(result, state)
        _say(recorded_readers(result, state, check.evidence), io)
        good = check.passed
    patch = bool(proposal.changes) and not written
    _say([_next(migrations, io, good=good, patch=patch)], io)
    return ExitCode.DONE if good else ExitCode.NOT_RIGHT


def _next(migrations: Sequence[Migration], io: ProcessIO, *, good: bool, patch: bool) -> str:
    """The last line: the patch where one can be made, the record where no migration is named, else as usual."""
    words = without_options(io.words, {"--patch": 1})
    if not good and patch:
        return next_line(shown_command(NAME, *words, "--patch", "references.patch"))
    if good and len(migrations) > 1:
        return next_line(shown_command(NAME, *words, "--env", "prod", "--record"))
    return next_of(migrations[0], NAME, words, good=good)


def _recorded(arguments: argparse.Namespace, result: ScanResult, migrations: Sequence[Migration]) -> State:
    """Record who reads the legacy path, and what a person accepts; gives the state.

    Raises:
        UsageError: It is not one migration, or a name is not one that can be accepted.
        StorageError: It may or may not be recorded.
    """
    if len(migrations) != 1:
        raise UsageError("--record is for one migration: --env, or --source and --destination")
    (migration,) = migrations
    with closing(
        Gateway(retry_deadline=PATIENCE_SECONDS, billing_project=arguments.billing_project)
    ) as gateway:
        require_begun(gateway, migration)
        now = gateway.server_time.now()
        seen, accepted = Stamp.new(NAME, now), Stamp.new(arguments.by, now)

        def change(before: State) -> State:
            state = sites_seen(before, seen, sites_of(result, FindingKind.LEGACY))
            if not arguments.accept:
                return state
            sites = _named(arguments.accept, result, state)
            return sites_accepted(state, accepted, sites, arguments.reason)

        return update(gateway, migration, change)


def _named(names: Sequence[str], result: ScanResult, state: State) -> list[Site]:
    """The places that a person accepts by name.

    Raises:
        UsageError: A name is of no such place.
    """
    if "NONE" in names:
        if len(names) > 1 or state.sites or result.counts[FindingKind.MIGRATED]:
            raise UsageError(
                "--accept NONE says that there is no consumer; one is on record, or reads the new path"
            )
        return []
    elsewhere = sites_of(result, FindingKind.ELSEWHERE)
    open_ones = [*elsewhere, *gone_sites(result, state)]
    unknown = sorted(set(names) - {site.name for site in open_ones})
    if unknown:
        there = listed([shown(site.name) for site in open_ones], 10) if open_ones else "nothing"
        raise UsageError(
            f"--accept {shown(unknown[0])}: there is no such place to accept; to be accepted: {there}"
        )
    return [site for site in open_ones if site.name in names]


def _migrations(arguments: argparse.Namespace) -> list[Migration]:
    refuse_two_pairs(arguments)
    if arguments.env is not None:
        return [qpi_exports(Environment(arguments.env))]
    source = None if arguments.source is None else Location.parse(arguments.source)
    destination = None if arguments.destination is None else Location.parse(arguments.destination)
    if source is None and destination is None:
        return [qpi_exports(environment) for environment in Environment]
    if source is None or destination is None:
        raise UsageError("--source and --destination belong together")
    return [Migration(source, destination)]


def _say(lines: Iterable[str], io: ProcessIO) -> None:
    for line in lines:
        io.stdout.write(line + "\n")


def _write_patch(path: Path, proposal: Proposal) -> str:
    top = checkout_of(proposal.contents, Path())
    diff = unified_diff(proposal.contents, top)
    _write_at(path, diff)
    places = counted(len(proposal.changes), "place")
    apply = shlex.join(["git", "-C", str(top.resolve()), "apply", str(path.resolve())])
    return f"Wrote the changes of {places} to {path}. They are made by: {apply}"


def _write(path: Path, content: dict[str, Any]) -> None:
    if path.exists() and not path.is_file():
        # A device or a pipe is written to, never replaced by a file.
        _write_at(path, json_bytes(content))
    else:
        ReportDirectory(path.parent).write(path.name, json_bytes(content))


def _write_at(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def _json(result: ScanResult, proposal: Proposal) -> dict[str, Any]:
    def with_change(finding: Finding) -> dict[str, Any]:
        changes = [change.to_json() for change in proposal.changes.get(finding, ())]
        return {**finding.to_json(), "changes": changes, "advice": proposal.refusals.get(finding, "")}

    return {**result.to_json(), "findings": [with_change(finding) for finding in result.findings]}


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run)
