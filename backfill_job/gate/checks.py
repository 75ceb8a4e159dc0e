"""What each check of the gate makes of its evidence. Pure.

A check passes, fails, or was not run; only what passes does not stand in the way. What a check cannot know it does not
assume: evidence that is missing, old, damaged, or another migration's is never a pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from backfill_job.gate.check import SHOWN, Check, Limits, ago, failed, hours, not_run, passed, typed
from backfill_job.gate.import_record import ImportRecord
from backfill_job.wording import counted, listed
from shared.migration import DEFAULT_EXCLUDES
from shared.report.advice import Target
from shared.report.headline import Tone, headline
from shared.state import State, utc_text
from shared.verification import Level, Remark, Verdict, Verification

__all__ = [
    "LATE_WRITES",
    "Presence",
    "import_test_check",
    "late_writes_check",
    "phase_check",
    "presence_check",
    "signoffs_check",
    "verification_check",
]

LATE_WRITES = "late_writes"
"""The kind of a verification's remark about writes on the legacy path after the cutover."""


@dataclass(frozen=True, slots=True)
class Presence:
    """What a day's folder holds.

    Attributes:
        folder: ``gs://bucket/…/qpi_answers_YYYYMMDD/``.
        objects: How many objects were seen until one could be loaded; 0 only when there is none.
        loadable: Whether one of them is taken by the glob of the consumer's load.
    """

    folder: str
    objects: int
    loadable: bool


def phase_check(state: State) -> Check:
    """From this phase a cutover is possible."""
    since = "" if state.since is None else f" since {utc_text(state.since)}"
    if state.phase.before_cutover:
        return passed("phase", f"{state.phase.value}{since}")
    return failed(
        "phase",
        f"{state.phase.value}{since}",
        "there is no cutover ahead; `status` says where the migration stands",
    )


def verification_check(
    found: Verification | None, target: Target, since: datetime | None, now: datetime, limits: Limits
) -> Check:
    """The latest verification is of everything, of this phase, clean, and fresh.

    Args:
        found: It; None when there is none. Of these two paths, as its reader has seen to.
        target: The migration; what it leaves out counts, too.
        since: When its phase began; None where it is the first one.
        now: The current time.
        limits: How old it may be.
    """
    name, again = "verification", typed(target, "verify")
    if found is None:
        return not_run(name, "there is no verification on record", again)
    age = now - found.finished
    said = f"{found.summary} ({ago(age)})"
    if set(found.excludes) != set(target.excludes):
        return failed(
            name,
            f"{said}: it left out {_quoted(found.excludes)}, the migration leaves out {_quoted(target.excludes)}",
            again,
        )
    if found.certificate is None or not found.compared:
        return failed(name, f"{said}: it was not of everything", again)
    grave = [remark.text for remark in found.remarks if _is_grave(remark)]
    wrong = "" if found.clean and not found.exit_code else _wrong(found)
    if grave or wrong:
        what = "; ".join(filter(None, [wrong, *grave[:1]]))
        steps = [f"settle {counted(len(grave), 'grave remark')} of its report"] if grave else []
        steps += [typed(target, "migrate", "--execute")] if _copyable(found) else []
        return failed(name, f"{said}: {what}", ", then ".join([*steps, again]))
    if not timedelta() <= age <= limits.max_age:
        return failed(name, f"{said}: not of the last {hours(limits.max_age)}", again)
    if since is not None and found.started < since:
        return failed(name, f"{said}: begun before this phase, which began {utc_text(since)}", again)
    told = headline(found)
    if told.tone is not Tone.GOOD:  # what its own page does not call well, for whatever reason
        return failed(name, f"{said}: {' '.join((told.title + '.', *told.reasons))}", again)
    return passed(name, f"{found.counts[Verdict.EQUAL]:,} names equal, {ago(age)}")


def import_test_check(found: ImportRecord | None, target: Target, now: datetime, limits: Limits) -> Check:
    """The import gives the same from both paths, for each of the last days."""
    name = "import test"
    # The import test leaves nothing out: the consumer does not.
    everything = replace(target, excludes=DEFAULT_EXCLUDES)
    again = typed(everything, "import-test", "--last", str(limits.import_days))
    if found is None:
        return not_run(name, "there is no import test on record", again)
    if (found.legacy, found.new) != (target.source, target.destination):
        return failed(name, f"it is of another migration: {found.legacy} to {found.new}", again)
    wrong = [one.day.isoformat() for one in found.days if not one.passed]
    if wrong:
        days = counted(len(found.days), "day")
        return failed(name, f"{len(wrong):,} of {days} not equal: {listed(wrong, SHOWN)}", again)
    if not found.passed:
        return failed(name, f"it did not come to its end: {found.error or 'days are missing'}", again)
    tested = {one.day: one for one in found.days}
    wanted = [now.date() - timedelta(days=number) for number in range(limits.import_days, 0, -1)]
    missing = [day.isoformat() for day in wanted if day not in tested]
    if missing:
        return failed(name, f"not tested: {listed(missing, SHOWN)}", again)
    early = [day.isoformat() for day in wanted if tested[day].tested < _end_of(day)]
    if early:
        return failed(name, f"tested before the day had ended (UTC): {listed(early, SHOWN)}", again)
    age = now - found.finished
    if not timedelta() <= age <= limits.max_age:
        return failed(name, f"made {ago(age)}: not of the last {hours(limits.max_age)}", again)
    empty = sum(tested[day].empty for day in wanted)
    if empty == len(wanted):
        return failed(
            name, f"none of the last {counted(len(wanted), 'day')} has an object on either path", again
        )
    without = f"; {empty:,} of them without an object on either path, as was allowed" if empty else ""
    return passed(name, f"{counted(len(wanted), 'day')} equal up to {wanted[-1]}{without}, {ago(age)}")


def presence_check(new: Presence, legacy: Presence) -> Check:
    """The DAG's presence check would be true on the new path, and its load would find a file."""
    name = "presence"
    if new.loadable:
        return passed(name, f"{new.folder} holds objects that the load takes")
    if new.objects:
        return failed(
            name,
            f"{new.folder} holds {counted(new.objects, 'object')} and no *.jsonl: the presence check is true, the load fails",
            "find out who wrote what lies there; look at the mirror",
        )
    if legacy.objects:
        return failed(
            name,
            f"{new.folder} is empty, and the legacy path's is not: the DAG would take its Empty branch, and end green",
            "look at the mirror; migrate --execute brings what it missed",
        )
    return failed(
        name,
        f"{new.folder} is empty, as on the legacy path: nobody has written today (UTC) yet; "
        "the DAG would take its Empty branch, and end green",
        "wait for today's first upload, then give the same command again",
    )


def signoffs_check(state: State, target: Target) -> Check:
    """Everybody has consented to this cutover."""
    missing = [name.value for name in state.missing_signoffs]
    if missing:
        command = typed(target, "signoff", "--by", "WHO", subject=missing[0])
        return failed("sign-offs", f"missing: {', '.join(missing)}", command)
    given = ", ".join(f"{signoff.name.value} by {signoff.by}" for signoff in state.signoffs)
    return passed("sign-offs", given)


def late_writes_check(found: Verification | None, state: State, target: Target) -> Check:
    """After the cutover: nobody writes on the legacy path any more, as far as the latest verification saw."""
    name, again = "late writes", typed(target, "verify")
    if found is None or state.since is None or found.started < state.since:
        return not_run(name, "nobody has verified since the cutover", again)
    late = [remark.text for remark in found.remarks if remark.kind == LATE_WRITES]
    if late:
        return failed(
            name, late[0], f"switch whoever wrote them; then {typed(target, 'cutover', '--by', 'WHO')}"
        )
    return passed(name, f"none on the legacy path up to {utc_text(found.started)}")


def _wrong(found: Verification) -> str:
    unsettled = [
        f"{count:,} {verdict.value.replace('_', ' ')}"
        for verdict, count in found.counts.items()
        if count and not verdict.settled
    ]
    first = listed((repr(one.name) for one in found.differences), SHOWN)
    if unsettled:
        return ", ".join(unsettled) + (f", such as {first}" if first else "")
    return "" if any(map(_is_grave, found.remarks)) else f"exit code {found.exit_code}, its report says why"


def _is_grave(remark: Remark) -> bool:
    return remark.level is Level.CRITICAL or remark.kind == LATE_WRITES


def _copyable(found: Verification) -> bool:
    """Whether the migration, run again, would mend something of it."""
    counts = found.counts
    return any(
        counts[verdict] for verdict in (Verdict.MISSING, Verdict.CONTENT_DIFFERS, Verdict.METADATA_DIFFERS)
    )


def _quoted(patterns: Sequence[str]) -> str:
    return ", ".join(map(repr, patterns)) or "nothing"


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)
