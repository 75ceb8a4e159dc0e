"""The command ``references``: find the code that still reads the legacy path, or mixes new bucket and old prefix.

It changes nothing: ``--patch`` writes the changes as a diff for ``git apply``.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from backfill_job.references.findings import Finding, ScanResult
from backfill_job.references.patch import Proposal, checkout_of, propose, unified_diff
from backfill_job.references.scan import scan
from backfill_job.references.screen import nothing_read, report
from backfill_job.run.command import Command, ExitCode, ProcessIO
from backfill_job.run.reports import ReportDirectory, json_bytes
from shared.errors import UsageError
from shared.migration import Environment, Location, Migration, qpi_exports
from shared.text import counted

__all__ = ["COMMAND"]

NAME = "references"

EXAMPLES = """
examples:
  python -m backfill_job references ../airflow-dags                  all three QPI environments
  python -m backfill_job references . --env prod --json refs.json    one of them, with every finding in a file
  python -m backfill_job references . --patch refs.patch             the changes, for `git apply refs.patch`

classes:
  legacy      reads the old path
  mixed       new bucket with the old prefix or its case, or old bucket with the new prefix: reads nothing, silently
  unresolved  names the prefix, and its bucket could not be read: look at it
  migrated    reads the new path
  other       the name alone: another bucket, a longer name, a name in the code

exit codes:
  0  clean: nothing blocks the deletion of the legacy prefix
  1  something blocks: legacy, mixed, unresolved, or a file that could not be read
  2  no verdict: nothing in a path could be read as code; a path that does not exist, or the arguments
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
        help="write the smallest correct changes as a diff for `git apply`",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every finding")
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out files and folders whose name or path matches; may be repeated; the report names them",
    )
    what = parser.add_argument_group("what is looked for (default: all QPI environments)")
    what.add_argument(
        "--env", choices=[environment.value for environment in Environment], help="one QPI environment"
    )
    what.add_argument("--source", metavar="gs://BUCKET/PREFIX/", help="the old path, instead of the preset's")
    what.add_argument("--destination", metavar="gs://BUCKET/PREFIX/", help="the new path")


def _run(arguments: argparse.Namespace, io: ProcessIO) -> int:
    paths, skip = list(arguments.paths), list(arguments.skip)
    result = scan(paths, _migrations(arguments), skip=skip)
    if result.without_code and not result.blocking and not result.errors:
        raise UsageError(f"{nothing_read(result)}: not a verdict; name the checkout of the consumers' code")
    proposal = propose(result, skip=skip)
    written = "" if arguments.patch is None else _write_patch(arguments.patch, proposal)
    _say(report(result, proposal, written), io)
    if arguments.json is not None:
        _write(arguments.json, _json(result, proposal))
    return ExitCode.DONE if result.clean else ExitCode.NOT_RIGHT


def _migrations(arguments: argparse.Namespace) -> list[Migration]:
    source = None if arguments.source is None else Location.parse(arguments.source)
    destination = None if arguments.destination is None else Location.parse(arguments.destination)
    if arguments.env is not None:
        preset = qpi_exports(Environment(arguments.env))
        return [Migration(source or preset.source, destination or preset.destination, label=preset.label)]
    if source is None and destination is None:
        return [qpi_exports(environment) for environment in Environment]
    if source is None or destination is None:
        raise UsageError("--source and --destination belong together, unless --env gives the other one")
    return [Migration(source, destination)]


def _say(lines: Iterable[str], io: ProcessIO) -> None:
    for line in lines:
        io.stdout.write(line + "\n")


def _write_patch(path: Path, proposal: Proposal) -> str:
    top = checkout_of(proposal.contents, Path())
    diff = unified_diff(proposal.contents, top)
    _write_at(path, diff)
    places = counted(len(proposal.changes), "place")
    return f"Wrote changes of {places} to {path}: `git apply {path.absolute()}` in {top}."


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
