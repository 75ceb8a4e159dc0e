"""The consumers' code, scanned: nothing in it reads the legacy path or mixes the two, and something reads the new path."""

from collections.abc import Sequence
from pathlib import Path

from backfill_job.gate.check import SHOWN, Check, failed, not_run, passed
from backfill_job.references.scan import scan
from backfill_job.references.targets import Kind
from backfill_job.wording import counted, listed
from shared.migration import Migration

__all__ = ["references_check"]

NAME = "references"


def references_check(repos: Sequence[Path], migration: Migration) -> Check:
    """Scan the checkouts, with the change prepared that is merged after the cutover.

    A checkout that never names the new path is clean too, and says nothing: it is another one, or lacks the change.

    Args:
        repos: The checkouts.
        migration: What is looked for.

    Returns:
        The check.

    Raises:
        UsageError: A path does not exist, or the migration cannot be looked for.
    """
    if not repos:
        return not_run(
            NAME, "no checkout of the consumers was named", "add --repo PATH, with the change prepared"
        )
    result = scan(repos, [migration])
    where = f"{counted(result.files, 'file')} of {', '.join(map(str, repos))}"
    problems = [f"{one.path}:{one.line} ({one.kind.value})" for one in result.blocking]
    problems += [f"{error.path} ({error.message})" for error in result.errors]
    if problems or not result.clean:
        return failed(
            NAME,
            f"{counted(len(problems), 'place')} in the way: {listed(problems, SHOWN)}",
            "python -m backfill_job references PATH shows them all; --patch FILE writes what can be changed, for git apply",
        )
    reading = result.counts[Kind.MIGRATED]
    if not reading:
        return failed(
            NAME,
            f"nothing in {where} names {migration.destination.uri}: clean, and perhaps not the consumers' code",
            "name the checkout of the consumers, with the change prepared",
        )
    return passed(NAME, f"clean; {counted(reading, 'place')} on the new path in {where}")
