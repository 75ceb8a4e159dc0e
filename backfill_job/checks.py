"""Checks: what was looked at, how it stands, on which evidence, and what to do. For the gate, the deletion and `smoke`.

A check passes only on evidence. What is missing, old, damaged or unreadable is FAIL or NOT RUN, and both block.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from backfill_job.references.scan import scan
from backfill_job.references.targets import Kind
from shared.errors import Interrupted, MigrationError, StorageError
from shared.migration import Migration
from shared.phase import Phase
from shared.state import State, utc_text
from shared.text import counted, listed, shown

__all__ = [
    "SHOWN",
    "Check",
    "Override",
    "Standing",
    "attempted",
    "blocking",
    "failed",
    "not_run",
    "overridden",
    "passed",
    "phase_check",
    "references_check",
    "show",
    "signoffs_check",
    "unavailable",
]

_Found = TypeVar("_Found")

SHOWN = 3
"""Examples named in a line of evidence."""


class Standing(Enum):
    """How a check stands."""

    PASS = "PASS"  # noqa: S105 -- not a password
    FAIL = "FAIL"
    NOT_RUN = "NOT RUN"
    NOT_APPLICABLE = "NOT APPLICABLE"
    OVERRIDDEN = "OVERRIDDEN"


@dataclass(frozen=True, slots=True)
class Override:
    """A check that a person chose to override.

    Attributes:
        check: Its name.
        reason: Why.
        by: Who.
        evidence: What the check said.
    """

    check: str
    reason: str
    by: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table.

    Attributes:
        name: What was checked.
        standing: How it stands.
        evidence: What was seen, or why nothing was.
        next_step: What to do; advice where it passed; empty where there is nothing to do.
        overridable: Whether a person may override it where it blocks.
        override: Who overrode it, and why; None where nobody did.
    """

    name: str
    standing: Standing
    evidence: str
    next_step: str = ""
    overridable: bool = False
    override: Override | None = None

    @property
    def passed(self) -> bool:
        """Whether what it asks for holds."""
        return self.standing is Standing.PASS

    @property
    def blocks(self) -> bool:
        """Whether it stands in the way."""
        return self.standing in {Standing.FAIL, Standing.NOT_RUN}

    def to_json(self) -> dict[str, Any]:
        """For a report."""
        content = {
            "name": self.name,
            "standing": self.standing.value,
            "evidence": self.evidence,
            "next_step": self.next_step,
        }
        return content if self.override is None else {**content, "override": asdict(self.override)}


def passed(name: str, evidence: str, next_step: str = "") -> Check:
    """A check that passed."""
    return Check(name, Standing.PASS, evidence, next_step)


def failed(name: str, evidence: str, next_step: str) -> Check:
    """A check that failed."""
    return Check(name, Standing.FAIL, evidence, next_step)


def not_run(name: str, why: str, next_step: str) -> Check:
    """A check that could not be run."""
    return Check(name, Standing.NOT_RUN, why, next_step)


def attempted(name: str, check: Callable[[], _Found]) -> _Found | Check:
    """Run a check that gathers its own evidence; an error becomes NOT RUN, and stops no other check.

    Raises:
        Interrupted: Somebody stopped the command; there is no verdict.
    """
    try:
        return check()
    except Interrupted:
        raise
    except MigrationError as error:
        return unavailable(name, error)


def unavailable(name: str, error: MigrationError) -> Check:
    """A check whose evidence could not be had."""
    mend = (
        "see the error: account, bucket or network need mending"
        if isinstance(error, StorageError)
        else "mend what the error names"
    )
    return not_run(name, str(error), f"{mend}; then run the same command again")


def blocking(checks: Iterable[Check]) -> tuple[Check, ...]:
    """The checks that stand in the way: those that failed, and those that could not be run."""
    return tuple(check for check in checks if check.blocks)


def overridden(checks: Iterable[Check], reasons: Mapping[str, str], by: str) -> tuple[Check, ...]:
    """Override the blocking checks that a person named; a check that cannot be overridden still blocks.

    Args:
        checks: All checks.
        reasons: Why, by the check's name; a check that passed is left as it is.
        by: Who.
    """
    return tuple(
        replace(
            check,
            standing=Standing.OVERRIDDEN,
            override=Override(check.name, reasons[check.name], by, check.evidence),
        )
        if check.blocks and check.overridable and check.name in reasons
        else check
        for check in checks
    )


def show(console: Console, checks: Sequence[Check]) -> None:
    """Print the table, then what to do, a line a check, to be copied."""
    table = Table(
        Column("check", no_wrap=True),
        Column("", no_wrap=True),
        Column("evidence", overflow="fold"),
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        header_style="",
    )
    for check in checks:
        evidence = shown(check.evidence)
        if check.override is not None:
            evidence += f"\nby {shown(check.override.by)}: {shown(check.override.reason)}"
        style = "bold" if check.blocks else ""
        table.add_row(Text(check.name), Text(check.standing.value, style=style), Text(evidence))
    console.print(table)
    console.print()
    steps = [check for check in checks if check.next_step and check.override is None]
    if steps:
        console.print("What to do:")
    for check in steps:
        way_round = f' (or --override {check.name} --reason "..." --by WHO)' if check.overridable else ""
        console.print(f"  {check.name}: {shown(check.next_step)}{way_round}", markup=False, soft_wrap=True)


def phase_check(state: State, wanted: Collection[Phase], next_step: Callable[[Phase], str]) -> Check:
    """The migration must be in one of the wanted phases.

    Args:
        state: The migration's state.
        wanted: The phases in which the command may go on.
        next_step: What to do in another one.
    """
    since = "" if state.since is None else f" since {utc_text(state.since)}"
    evidence = f"{state.phase.value}{since}"
    if state.phase in wanted:
        return passed("phase", evidence)
    return failed("phase", evidence, next_step(state.phase))


def references_check(repos: Sequence[Path], migration: Migration) -> Check:
    """The consumers' code must read the new path, and nothing else.

    A checkout that never names the new path proves nothing: it is another one, or it lacks the change.

    Args:
        repos: The checkouts.
        migration: What is looked for.

    Raises:
        UsageError: A path does not exist, or the migration cannot be looked for.
    """
    name = "references"
    if not repos:
        return not_run(
            name, "no checkout of the consumers was named", "add --repo PATH, with the change prepared"
        )
    result = scan(repos, [migration])
    where = f"{counted(result.files, 'file')} of {', '.join(map(str, repos))}"
    problems = [f"{one.path}:{one.line} ({one.kind.value})" for one in result.blocking]
    problems += [f"{error.path} ({error.message})" for error in result.errors]
    if problems or not result.clean:
        return failed(
            name,
            f"{counted(len(problems), 'place')} in the way: {listed(problems, SHOWN)}",
            "python -m backfill_job references PATH shows them all; --patch FILE writes the change for git apply",
        )
    reading = result.counts[Kind.MIGRATED]
    if not reading:
        return failed(
            name,
            f"nothing in {where} names {migration.destination.uri}: clean, and perhaps not the consumers' code",
            "name the checkout of the consumers, with the change prepared",
        )
    return passed(name, f"clean; {counted(reading, 'place')} on the new path in {where}")


def signoffs_check(state: State, next_step: Callable[[str], str]) -> Check:
    """All four teams must have signed off.

    Args:
        state: The migration's state.
        next_step: What to do, given the first team that is missing.
    """
    name = "sign-offs"
    missing = [signatory.value for signatory in state.missing_signoffs]
    if missing:
        return failed(name, f"missing: {', '.join(missing)}", next_step(missing[0]))
    return passed(name, ", ".join(f"{signoff.name.value} by {signoff.by}" for signoff in state.signoffs))
