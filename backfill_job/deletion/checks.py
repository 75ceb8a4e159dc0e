"""What must hold before anything is deleted. Pure, but for the scan of the consumers' code.

===============  =====================================================================  ===================
check            passes when                                                            may be overridden
===============  =====================================================================  ===================
phase            the state says ``cut_over`` (``deleting`` where a deletion goes on)    never
soak             the cutover is ``--soak-days`` ago                                     with a reason
late-writes      the last write at the legacy path is ``--soak-days`` ago               with a reason
verification     this very run found every legacy object equal at the new path          never
references       the consumers' code (``--repo``) reads the new path, and only that     with a reason
sign-offs        all four teams have signed off                                         with a reason
===============  =====================================================================  ===================

A late write starts the soaking again: its writer still uses the legacy path. The reverse mirror's copies of what was written at
the new path are not late writes.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from backfill_job.checks import Check, failed, passed, phase_check, signoffs_check
from backfill_job.deletion.survey import BLOCKING, Survey
from backfill_job.late_writes import LateWrites
from shared.migration import Migration
from shared.objects import parse_time
from shared.phase import Phase
from shared.state import State, utc_text
from shared.text import counted, duration, listed, shown

__all__ = [
    "OVERRIDABLE",
    "deletion_phase_check",
    "deletion_signoffs_check",
    "late_writes_check",
    "marked",
    "soak_check",
    "verification_check",
]

OVERRIDABLE = ("soak", "late-writes", "references", "sign-offs")
"""The names that ``--override`` takes."""

_IN_ANOTHER_PHASE = {
    Phase.DUAL_WRITE: "the legacy path is still the source of truth: gate and cutover first, then let it soak",
    Phase.ROLLED_BACK: "the legacy path is the source of truth again: the next cutover first, then let it soak",
    Phase.CUT_OVER: "no deletion was begun; leave --resume and --anew out",
    Phase.DELETING: "a deletion was begun; go on with --resume, or with --anew for what it left",
    Phase.DELETED: "everything was deleted; --anew for what came later, or undo brings it back",
}


def marked(checks: Collection[Check]) -> tuple[Check, ...]:
    """The checks, each with whether a person may override it."""
    return tuple(replace(check, overridable=check.name in OVERRIDABLE) for check in checks)


def deletion_phase_check(state: State, wanted: Collection[Phase]) -> Check:
    """The phase must be the one in which a deletion begins, or goes on."""
    return phase_check(state, wanted, lambda phase: _IN_ANOTHER_PHASE[phase])


def deletion_signoffs_check(state: State) -> Check:
    """All four teams must have signed off; after the cutover that can only be overridden."""
    return signoffs_check(
        state,
        lambda _: (
            "sign-offs are given before a cutover: ask who is missing, and override with their word as the reason"
        ),
    )


def soak_check(cutover: datetime | None, soak: timedelta, now: datetime) -> Check:
    """The cutover must be long enough ago."""
    name = "soak"
    if cutover is None:
        return failed(name, "there was no cutover", "cut over first")
    age = now - cutover
    evidence = f"cut over {utc_text(cutover)}, {duration(max(0.0, age.total_seconds()))} ago"
    if age >= soak:
        return passed(name, evidence)
    return failed(name, evidence, f"wait until {utc_text(cutover + soak)}, or choose --soak-days")


def late_writes_check(late: LateWrites, soak: timedelta, now: datetime) -> Check:
    """The last write at the legacy path must be as long ago as it is to soak."""
    name = "late-writes"
    if not late.newest:
        return passed(name, "no write there since the cutover")
    newest = parse_time(late.newest)
    if late.objects:
        what, names = counted(late.objects, "object"), listed(map(shown, late.names), 3)
        evidence = f"{what} written there since the cutover, last at {late.newest}: {names}"
    else:
        evidence = f"the mirror saw a write there at {late.newest}"
    if now - newest >= soak:
        return passed(name, evidence)
    return failed(
        name,
        evidence,
        f"find the writer and switch it to the new path; it has soaked by {utc_text(newest + soak)} unless there is another "
        "write",
    )


def verification_check(found: Survey, migration: Migration) -> Check:
    """Every legacy object that was to be migrated must have been found equal, in this very run."""
    name, counts = "verification", found.compared.counts
    wrong = ", ".join(
        f"{counts[verdict]:,} {verdict.value.replace('_', ' ')}" for verdict in BLOCKING if counts[verdict]
    )
    if wrong:
        names = listed(map(str, found.compared.differences), 3)
        return failed(
            name,
            f"{found.equal:,} equal; NOT EQUAL: {wrong}: {names}",
            "`verify` shows all of them. Bring the newer version over, then run this command again: `cutover` again where the "
            "legacy path has it, `rollback --refresh` where the new path has it (both before the deletion; else gcloud storage cp)",
        )
    if not found.equal:
        return failed(
            name,
            "there is nothing to delete",
            f"look whether {shown(migration.source.uri)} is the path that is meant",
        )
    return passed(
        name, f"{counted(found.equal, 'legacy object')} compared in this run, all equal at the new path"
    )
