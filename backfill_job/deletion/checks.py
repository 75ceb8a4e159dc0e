"""What must hold before anything is deleted; each check with its evidence and with what to do where it fails. Pure.

===============  =====================================================================  ==============
check            holds when                                                             may be passed
===============  =====================================================================  ==============
phase            the state says ``cut_over`` (``deleting`` where a deletion goes on)    never
soak             the cutover is ``--soak-days`` ago                                     with a reason
late-writes      nobody wrote at the legacy path within the last ``--soak-days``        with a reason
verification     this very run found every legacy object equal at the new path          never
references       no consumer's code reads the legacy path any more (``--repo``)         with a reason
sign-offs        everybody has signed                                                   with a reason
===============  =====================================================================  ==============

A late write begins the soaking anew: whoever wrote it was still using the legacy path. The reverse mirror's copies of what was
written at the new path are no late writes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from backfill_job.deletion.manifest import Override
from backfill_job.deletion.survey import BLOCKING, Survey
from backfill_job.late_writes import LateWrites
from backfill_job.wording import counted, duration, listed, shown
from shared.errors import UsageError
from shared.migration import Migration
from shared.objects import parse_time
from shared.phase import Phase
from shared.state import State, utc_text

__all__ = [
    "Check",
    "CheckName",
    "ReferencesScan",
    "late_writes_check",
    "passed_over",
    "phase_check",
    "references_check",
    "signoffs_check",
    "soak_check",
    "verification_check",
]


class CheckName(Enum):
    """The checks, under the names that ``--override`` takes."""

    PHASE = "phase"
    SOAK = "soak"
    LATE_WRITES = "late-writes"
    VERIFICATION = "verification"
    REFERENCES = "references"
    SIGNOFFS = "sign-offs"

    @property
    def can_be_passed(self) -> bool:
        """Whether somebody may choose to go on all the same."""
        return self not in {CheckName.PHASE, CheckName.VERIFICATION}


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: Which.
        passed: Whether it holds.
        evidence: What was found.
        to_do: What to do where it does not hold.
        override: Who passed over it, and why.
    """

    name: CheckName
    passed: bool
    evidence: str
    to_do: str = ""
    override: Override | None = None

    @property
    def refuses(self) -> bool:
        """Whether it stands in a deletion's way."""
        return not self.passed and self.override is None

    def to_json(self) -> dict[str, Any]:
        """The check for a report."""
        return {
            "check": self.name.value,
            "passed": self.passed,
            "refuses": self.refuses,
            "evidence": self.evidence,
            "to_do": self.to_do,
        }


class ScanFound(Protocol):
    """What a scan of consumers' code found."""

    @property
    def clean(self) -> bool:
        """Whether nothing blocks: no finding, and nothing that could not be read."""
        ...

    @property
    def blocking(self) -> Sequence[object]:
        """The findings that block."""
        ...

    @property
    def errors(self) -> Sequence[object]:
        """What could not be read."""
        ...

    @property
    def files(self) -> int:
        """How many files were read."""
        ...


ReferencesScan = Callable[[Sequence[Path], Sequence[Migration]], ScanFound]
"""Finds what still refers to the legacy path; raises `UsageError` where a path is not there."""


def phase_check(state: State, wanted: Collection[Phase]) -> Check:
    """The phase must be the one that a deletion begins, or goes on, in."""
    since = "" if state.since is None else f" since {utc_text(state.since)}"
    evidence = f"{state.phase.value}{since}"
    if state.phase in wanted:
        return Check(CheckName.PHASE, passed=True, evidence=evidence)
    to_do = {
        Phase.DUAL_WRITE: "the legacy path still counts: gate and cutover first, then let it soak",
        Phase.ROLLED_BACK: "the legacy path counts again: the next cutover first, then let it soak",
        Phase.CUT_OVER: "no deletion was begun; leave --resume and --anew out",
        Phase.DELETING: "a deletion was begun; go on with --resume, or with --anew for what it left",
        Phase.DELETED: "everything was deleted; --anew for what came later, or undo brings it back",
    }[state.phase]
    return Check(CheckName.PHASE, passed=False, evidence=evidence, to_do=to_do)


def soak_check(cutover: datetime | None, soak: timedelta, now: datetime) -> Check:
    """The cutover must be long enough ago."""
    if cutover is None:
        return Check(CheckName.SOAK, passed=False, evidence="there was no cutover", to_do="cut over first")
    age = now - cutover
    evidence = f"cut over {utc_text(cutover)}, {duration(max(0.0, age.total_seconds()))} ago"
    if age >= soak:
        return Check(CheckName.SOAK, passed=True, evidence=evidence)
    to_do = f"wait until {utc_text(cutover + soak)}, or choose --soak-days"
    return Check(CheckName.SOAK, passed=False, evidence=evidence, to_do=to_do)


def late_writes_check(late: LateWrites, soak: timedelta, now: datetime) -> Check:
    """Nobody may have written at the legacy path for as long as it is to soak."""
    if not late.newest:
        return Check(CheckName.LATE_WRITES, passed=True, evidence="nobody wrote there since the cutover")
    newest = parse_time(late.newest)
    if late.objects:
        what, names = counted(late.objects, "object"), listed(map(shown, late.names), 3)
        evidence = f"{what} written there since the cutover, last at {late.newest}: {names}"
    else:
        evidence = f"the mirror saw a write there at {late.newest}"
    if now - newest >= soak:
        return Check(CheckName.LATE_WRITES, passed=True, evidence=evidence)
    return Check(
        CheckName.LATE_WRITES,
        passed=False,
        evidence=evidence,
        to_do=f"find the writer and switch it to the new path; it has soaked by {utc_text(newest + soak)} if nobody "
        "writes there again",
    )


def verification_check(found: Survey, migration: Migration) -> Check:
    """Every legacy object that was to be migrated must have been found equal, in this very run."""
    counts = found.compared.counts
    wrong = ", ".join(
        f"{counts[verdict]:,} {verdict.value.replace('_', ' ')}" for verdict in BLOCKING if counts[verdict]
    )
    if wrong:
        names = listed(map(str, found.compared.differences), 3)
        return Check(
            CheckName.VERIFICATION,
            passed=False,
            evidence=f"{found.equal:,} equal; NOT EQUAL: {wrong}: {names}",
            to_do="`verify` shows all of them. Bring the newer version over, then give this command again: `cutover` again where the "
            "legacy path has it, `rollback --refresh` where the new path has it (both before the deletion; else gcloud storage cp)",
        )
    if not found.equal:
        return Check(
            CheckName.VERIFICATION,
            passed=False,
            evidence="there is nothing to delete",
            to_do=f"look whether {shown(migration.source.uri)} is the path that is meant",
        )
    return Check(
        CheckName.VERIFICATION,
        passed=True,
        evidence=f"{counted(found.equal, 'legacy object')} compared in this run, all equal at the new path",
    )


def references_check(repos: Sequence[Path], migration: Migration, scan: ReferencesScan | None) -> Check:
    """No consumer's code may read the legacy path any more.

    Args:
        repos: Checkouts of the consumers' code.
        migration: What is looked for.
        scan: Looks; None where it is not installed.
    """
    name = CheckName.REFERENCES
    if not repos:
        to_do = "name a checkout of the consumers' code with --repo PATH"
        return Check(name, passed=False, evidence="no code was looked at", to_do=to_do)
    if scan is None:
        to_do = "install a version that has the command `references`"
        return Check(name, passed=False, evidence="this installation cannot scan code", to_do=to_do)
    try:
        found = scan(repos, [migration])
    except UsageError as error:
        return Check(name, passed=False, evidence=str(error), to_do="name folders that are there")
    evidence = f"{counted(found.files, 'file')} read"
    if found.clean:
        if not found.files:
            return Check(name, passed=False, evidence=evidence, to_do="name a checkout that holds code")
        return Check(name, passed=True, evidence=f"{evidence}, none refers to the legacy path")
    return Check(
        name,
        passed=False,
        evidence=f"{evidence}; {counted(len(found.blocking), 'finding')} in the way, "
        f"{counted(len(found.errors), 'file')} unreadable",
        to_do="python -m backfill_job references PATH shows each with its change",
    )


def signoffs_check(state: State) -> Check:
    """Everybody must have signed."""
    missing = ", ".join(name.value for name in state.missing_signoffs)
    if not missing:
        signed = ", ".join(sorted({signoff.name.value for signoff in state.signoffs}))
        return Check(CheckName.SIGNOFFS, passed=True, evidence=signed)
    return Check(
        CheckName.SIGNOFFS,
        passed=False,
        evidence=f"missing: {missing}",
        to_do="sign-offs are given before a cutover; ask whoever is missing, and override with their word as the reason",
    )


def passed_over(checks: Sequence[Check], overrides: Mapping[CheckName, str], by: str) -> tuple[Check, ...]:
    """Pass over the failed checks that somebody chose to.

    Args:
        checks: All checks.
        overrides: Reason by check; of checks that hold no use is made.
        by: Who.
    """
    return tuple(
        replace(check, override=Override(check.name.value, overrides[check.name], by, check.evidence))
        if not check.passed and check.name in overrides and check.name.can_be_passed
        else check
        for check in checks
    )
