"""What each check of the gate makes of its evidence. Pure.

Evidence that is missing, old, damaged, or another migration's never passes: what a check cannot know it does not assume.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from backfill_job.checks import SHOWN, Check, Standing, failed, not_run, passed, phase_check, signoffs_check
from backfill_job.gate.dead_letters import DeadLetters
from backfill_job.gate.import_record import ImportRecord
from shared.migration import DEFAULT_EXCLUDES
from shared.phase import Phase
from shared.report.headline import Tone, headline
from shared.report.next_steps import Target
from shared.state import State, utc_text
from shared.text import counted, listed
from shared.verification import Lag, Level, Remark, Verdict, Verification

__all__ = [
    "LATE_WRITES",
    "Limits",
    "Presence",
    "alive_check",
    "dead_letters_check",
    "gate_phase_check",
    "gate_signoffs_check",
    "import_test_check",
    "lag_check",
    "late_writes_check",
    "presence_check",
    "verification_check",
]

LATE_WRITES = "late_writes"
"""The kind of a verification's remark about writes on the legacy path after the cutover."""


LOOK = (
    "gcloud pubsub subscriptions pull DEAD_LETTER_SUBSCRIPTION --limit=100 --format=json > FILE, "
    "then --dead-letters FILE"
)

_LOOK_AT_THE_MIRROR = "look at the mirror's log and its instances"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still good enough.

    Attributes:
        max_age: Of a verification, an import test, a look at the dead letters.
        lag_p50: Seconds within which half of the copies must have arrived.
        lag_p99: Seconds for 99 in 100.
        lag_max: Seconds for all.
        import_days: Days up to yesterday that the import test must cover.
    """

    max_age: timedelta = timedelta(hours=6)
    lag_p50: float = 5.0
    lag_p99: float = 60.0
    lag_max: float = 300.0
    import_days: int = 7

    def to_json(self) -> dict[str, float]:
        """For a report; times in seconds."""
        return {**asdict(self), "max_age": self.max_age.total_seconds()}


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


def gate_phase_check(state: State) -> Check:
    """A cutover must be possible from this phase."""
    return phase_check(
        state,
        [phase for phase in Phase if phase.before_cutover],
        lambda _: "there is no cutover ahead; `status` says where the migration stands",
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
    name, again = "verification", _typed(target, "verify")
    if found is None:
        return not_run(name, "there is no verification on record", again)
    age = now - found.finished
    said = f"{found.summary} ({_ago(age)})"
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
        steps += [_typed(target, "migrate", "--execute")] if _copyable(found) else []
        return failed(name, f"{said}: {what}", ", then ".join([*steps, again]))
    if not timedelta() <= age <= limits.max_age:
        return failed(name, f"{said}: not of the last {_hours(limits.max_age)}", again)
    if since is not None and found.started < since:
        return failed(name, f"{said}: begun before this phase, which began {utc_text(since)}", again)
    told = headline(found)
    if told.tone is not Tone.GOOD:  # what its own page does not call well, for whatever reason
        return failed(name, f"{said}: {' '.join((told.title + '.', *told.reasons))}", again)
    return passed(name, f"{found.counts[Verdict.EQUAL]:,} names equal, {_ago(age)}")


def import_test_check(found: ImportRecord | None, target: Target, now: datetime, limits: Limits) -> Check:
    """The import gives the same from both paths, for each of the last days."""
    name = "import test"
    # The import test leaves nothing out: the consumer does not.
    everything = replace(target, excludes=DEFAULT_EXCLUDES)
    again = _typed(everything, "import-test", "--last", str(limits.import_days))
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
        return failed(name, f"made {_ago(age)}: not of the last {_hours(limits.max_age)}", again)
    empty = sum(tested[day].empty for day in wanted)
    if empty == len(wanted):
        return failed(
            name, f"none of the last {counted(len(wanted), 'day')} has an object on either path", again
        )
    without = f"; {empty:,} of them without an object on either path, as was allowed" if empty else ""
    return passed(name, f"{counted(len(wanted), 'day')} equal up to {wanted[-1]}{without}, {_ago(age)}")


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


def gate_signoffs_check(state: State, target: Target) -> Check:
    """All four teams must have signed off this cutover."""
    return signoffs_check(state, lambda missing: _typed(target, "signoff", "--by", "WHO", subject=missing))


def late_writes_check(found: Verification | None, state: State, target: Target) -> Check:
    """After the cutover: nobody writes on the legacy path any more, as far as the latest verification saw."""
    name, again = "late writes", _typed(target, "verify")
    if found is None or state.since is None or found.started < state.since:
        return not_run(name, "nobody has verified since the cutover", again)
    late = [remark.text for remark in found.remarks if remark.kind == LATE_WRITES]
    if late:
        return failed(
            name, late[0], f"switch whoever wrote them; then {_typed(target, 'cutover', '--by', 'WHO')}"
        )
    return passed(name, f"none on the legacy path up to {utc_text(found.started)}")


def dead_letters_check(found: DeadLetters | None, now: datetime, limits: Limits) -> Check:
    """Nothing was given up, as far as somebody saw a short time ago. Pure."""
    if found is None:
        return not_run("dead letters", "nobody has looked", LOOK)
    if found.messages:
        about = f", about {listed(found.objects, SHOWN)}" if found.objects else ""
        return failed(
            "dead letters",
            f"at least {counted(found.messages, 'event')} given up by the trigger{about}",
            "migrate --execute brings what they were about; then acknowledge them (pull with --auto-ack), and look again",
        )
    seen = f"at {found.seen:%Y-%m-%d %H:%M}Z"
    if not timedelta() <= now - found.seen <= limits.max_age:
        return failed("dead letters", f"none {seen}: not of the last {_hours(limits.max_age)}", LOOK)
    return passed("dead letters", f"none {seen}")


def lag_check(lag: Lag | None, arrived: float | None, limits: Limits) -> Check:
    """The mirror's copies arrive in time.

    Args:
        lag: What the latest verification saw; None without one.
        arrived: Seconds that the canary took; None where it did not arrive, or none was asked for. It counts when the
            verification saw nobody write.
        limits: How long copies may take.
    """
    name = "mirror lag"
    if lag is None:
        return not_run(name, "no verification has measured it", "as for the verification")
    since = f"since {lag.since:%Y-%m-%d %H:%M}Z"
    if not lag.objects and arrived is not None:
        said = f"nobody wrote {since}; the canary took {arrived:.1f} s"
        if arrived <= limits.lag_p50:
            return passed(name, said)
        return failed(name, f"{said}, over {limits.lag_p50:g} s", _LOOK_AT_THE_MIRROR)
    if not lag.objects or lag.p50_s is None or lag.p99_s is None or lag.max_s is None:
        return not_run(
            name,
            f"the latest verification saw no object written {since}, the time from which it measured",
            "add --canary; or verify with --mirror-since and a time since which the mirror runs and somebody has written",
        )
    said = f"p50 {lag.p50_s:g} s, p99 {lag.p99_s:g} s, max {lag.max_s:g} s over {counted(lag.objects, 'object')} {since}"
    over = [
        f"{which} over {limit:g} s"
        for which, seconds, limit in (
            ("p50", lag.p50_s, limits.lag_p50),
            ("p99", lag.p99_s, limits.lag_p99),
            ("max", lag.max_s, limits.lag_max),
        )
        if not 0 <= seconds <= limit
    ]
    if over:
        return failed(
            name,
            f"{said}: {', '.join(over)}",
            f"{_LOOK_AT_THE_MIRROR}; objects that the backfill brought count, too: verify with --mirror-since and a later time",
        )
    return passed(name, said)


def alive_check(
    lag: Lag | None, canary: Check | None, arrived: float | None, now: datetime, limits: Limits
) -> Check:
    """The mirror brings what is written now.

    Args:
        lag: What the latest verification saw.
        canary: What became of the canary; None where none was asked for.
        arrived: Seconds that it took; None where it did not arrive.
        now: The current time.
        limits: What counts as lately.
    """
    name = "mirror alive"
    if arrived is not None:
        return passed(name, "the canary arrived")
    if canary is not None and canary.standing is Standing.FAIL:
        return failed(name, "the canary did not arrive", canary.next_step)
    if lag is not None and lag.objects and now - lag.since <= limits.max_age:
        return passed(name, f"{counted(lag.objects, 'object')} arrived since {lag.since:%H:%M}Z")
    if canary is not None:
        return not_run(name, "the canary could not be flown", canary.next_step)
    return not_run(name, "nothing that was written lately has been seen to arrive", "add --canary")


def _typed(target: Target, command: str, *options: str, subject: str = "") -> str:
    """A command to type; its name where it cannot be shown as it has to be typed."""
    return (
        target.command(command, *options, subject=subject) or f"`{command}`, with this migration's arguments"
    )


def _ago(age: timedelta) -> str:
    """How long ago, as a person says it."""
    minutes = age.total_seconds() / 60
    if minutes < 0:
        return "in the future"
    return f"{minutes:.0f} minutes ago" if minutes < 120 else f"{minutes / 60:.0f} hours ago"  # noqa: PLR2004


def _hours(age: timedelta) -> str:
    """A length of time in hours, as a person says it."""
    return f"{age.total_seconds() / 3600:g} hours"


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
