"""Decides each check of the gate from its evidence. Pure.

Evidence that is missing, old, damaged or of another migration never passes: a check assumes nothing that it does not know.
Every step that a check proposes runs in the phase in which it proposes it (`_bring_over`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from typing import Any

from backfill_job.access import Need, access
from backfill_job.checks import (
    SHOWN,
    Check,
    Standing,
    failed,
    names_check,
    not_applicable,
    not_run,
    passed,
    phase_check,
    signoffs_check,
    unavailable,
)
from backfill_job.consumer import Consumer
from backfill_job.gate.dead_letters import DeadLetters
from backfill_job.gate.import_record import ImportRecord
from shared.env_file import deployed_name
from shared.errors import MigrationError
from shared.loaded import LoadedRecord
from shared.migration import DEFAULT_EXCLUDES
from shared.phase import DELETION_BEGUN, Phase
from shared.report.headline import Tone, headline
from shared.report.next_steps import CommandTarget, cutover_command
from shared.state import NAMES, State
from shared.text import counted, listed, minute_text
from shared.verification import OF_NAMES, Lag, Level, Remark, Verdict, Verification, said_of_counts

__all__ = [
    "ACCESS",
    "LATE_WRITES",
    "DayFolder",
    "LagLimits",
    "access_check",
    "alive_check",
    "comparison_check",
    "dead_letters_check",
    "gate_names_check",
    "gate_phase_check",
    "gate_signoffs_check",
    "import_test_check",
    "lag_check",
    "latest_verification_check",
    "loaded_check",
    "no_late_writes_check",
    "presence_check",
]

LATE_WRITES = "late_writes"
"""The kind of a verification's remark about writes on the legacy path after the cutover."""

_LOOK_AT_THE_MIRROR = "look at the mirror's log and its instances"


ACCESS = "access"

_GRANT = "the owner of the bucket grants it (docs/runbook.md, step 5); where the account has it in another way, it tries both paths before you override this"


@dataclass(frozen=True, slots=True)
class LagLimits:
    """The limits of what passes.

    Attributes:
        max_age: The greatest age of a verification, an import test and a look at the dead letters.
        lag_p50: Seconds within which half of the copies must arrive.
        lag_p99: Seconds within which 99 of 100 copies must arrive.
        lag_max: Seconds within which all copies must arrive.
        import_days: Days up to yesterday that the import test must cover.
    """

    max_age: timedelta = timedelta(hours=6)
    lag_p50: float = 5.0
    lag_p99: float = 60.0
    lag_max: float = 300.0
    import_days: int = 7

    def to_json(self) -> dict[str, float]:
        """The limits for a report; times in seconds."""
        return {**asdict(self), "max_age": self.max_age.total_seconds()}


@dataclass(frozen=True, slots=True)
class DayFolder:
    """What a day's folder holds.

    Attributes:
        folder: ``gs://bucket/…/qpi_answers_YYYYMMDD/``.
        objects: Objects listed up to the first loadable one; 0 only when the folder is empty.
        loadable: Whether the glob of the consumer's load takes one of them.
        tail: What the names end in that it takes.
    """

    folder: str
    objects: int
    loadable: bool
    tail: str = ".jsonl"


def gate_phase_check(state: State) -> Check:
    """The phase must allow a cutover."""
    return phase_check(
        state,
        [phase for phase in Phase if phase.before_cutover],
        lambda _: "there is no cutover ahead; `status` says where the migration stands",
    )


def comparison_check(
    state: State, found: Verification | None, target: CommandTarget, now: datetime, limits: LagLimits
) -> Check:
    """The newest full comparison that has ended must be equal, of this phase, and recent, whichever command made it.

    Args:
        state: Its history has the comparisons.
        found: The latest verification; its reader has made sure that it is the one on record.
        target: The migration, and what it excludes.
        now: The current time.
        limits: How old the comparison may be.
    """
    name, newest = "verification", state.newest_comparison
    again = _SEE_STATUS if state.phase in DELETION_BEGUN else _typed(target, "verify")
    if newest is None:
        return not_run(name, f"no comparison of the two paths is on record{_unfinished(state)}", again)
    of_newest = found is not None and newest.file_sha256 is not None
    check: Check | None = None
    if of_newest:
        check = latest_verification_check(
            found, target, now, limits, phase=state.phase, without_mirror=state.without_mirror
        )
    elif found is not None:
        check = _other_findings(found, again)
    if check is None or check.passed:
        check = _recorded_check(state, target, now, limits) or check
    check = check or passed(name, f"{newest.said}, {_ago(now - newest.began)}")
    return replace(check, evidence=check.evidence + _unfinished(state))


def _recorded_check(state: State, target: CommandTarget, now: datetime, limits: LagLimits) -> Check | None:
    """What prevents the newest comparison on record from passing; None for nothing."""
    newest = state.newest_comparison
    if newest is None:
        return None
    again = _SEE_STATUS if state.phase in DELETION_BEGUN else _typed(target, "verify")
    name, age = "verification", now - newest.began
    said = f"{newest.said} ({_ago(age)})"
    if set(newest.excludes) != set(target.excludes):
        left_out = (
            f"it left out {_quoted(newest.excludes)}, the migration leaves out {_quoted(target.excludes)}"
        )
        return failed(name, f"{said}: {left_out}", again)
    if newest.wrong:
        bring = _bring_over(target, state.phase, state.without_mirror) if newest.wrong > newest.extra else ""
        return failed(name, said, ", then ".join(filter(None, [bring, again])))
    if not newest.equal:
        return failed(name, f"{said}: it did not cover everything", again)
    if not timedelta() <= age <= limits.max_age:
        return failed(name, f"{said}: not of the last {_hours(limits.max_age)}", again)
    if not state.in_this_phase(newest):
        since = "" if state.since is None else f", which began {minute_text(state.since)}"
        return failed(name, f"{said}: it began before this phase{since}", again)
    return None


def _other_findings(found: Verification, again: str) -> Check | None:
    """What the latest verification found beside the names, where another command has compared the names since."""
    grave = [remark.text for remark in found.remarks if _is_grave(remark) and remark.kind not in OF_NAMES]
    if found.contents is not None and found.contents.migration_problems:
        grave.append("reading the files found problems that only the destination has")
    if not grave:
        return None
    step = f"resolve {counted(len(grave), 'critical finding')} of its report, then {again}"
    return failed("verification", f"{found.summary}: {grave[0]}", step)


def _unfinished(state: State) -> str:
    """Names a comparison that began later and has not ended; empty where there is none."""
    entry = state.unfinished_comparison
    if entry is None:
        return ""
    return (
        f"; a later comparison, by {entry.by} (run {entry.run}, begun {minute_text(entry.at)}), has not ended"
    )


def gate_names_check(state: State, target: CommandTarget) -> Check:
    """The newest comparison must show nearly as many names as the one before."""
    newest = state.newest_comparison
    if newest is None:
        return not_run(NAMES, "no comparison of the two paths is on record", _typed(target, "verify"))
    return names_check(
        newest.compared,
        state.names_before(newest, target.excludes),
        state.left_out_since(newest, target.excludes),
    )


def latest_verification_check(
    found: Verification | None,
    target: CommandTarget,
    now: datetime,
    limits: LagLimits,
    *,
    phase: Phase | None,
    without_mirror: str = "",
) -> Check:
    """The latest verification must cover everything, be clean, and recent. Whether it is of this phase, the history says.

    Args:
        found: The latest; None when there is none. Its reader has made sure that it is of these two paths.
        target: The migration, and what it excludes.
        now: The current time.
        limits: How old it may be.
        phase: The phase, on which the proposed steps depend; None where it cannot be read.
        without_mirror: Why no mirror runs; empty where one does.
    """
    name, again = "verification", _typed(target, "verify")
    if phase in DELETION_BEGUN:
        again = _SEE_STATUS
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
        return failed(name, f"{said}: it did not cover everything", again)
    grave = [remark.text for remark in found.remarks if _is_grave(remark)]
    wrong = "" if found.clean and not found.exit_code else _wrong(found)
    if grave or wrong:
        what = "; ".join(filter(None, [wrong, *grave[:1]]))
        steps = [f"resolve {counted(len(grave), 'critical finding')} of its report"] if grave else []
        bring = _bring_over(target, phase, without_mirror)
        steps += [bring] if bring and _copyable(found) else []
        return failed(name, f"{said}: {what}", ", then ".join([*steps, again]))
    if not timedelta() <= age <= limits.max_age:
        return failed(name, f"{said}: not of the last {_hours(limits.max_age)}", again)
    told = headline(found)
    if told.tone is not Tone.GOOD:  # its own page names a reason that no check above covers
        return failed(name, f"{said}: {' '.join((told.title + '.', *told.reasons))}", again)
    return passed(name, f"{counted(found.counts[Verdict.EQUAL], 'name')} equal, {_ago(age)}")


def import_test_check(
    found: ImportRecord | None, target: CommandTarget, now: datetime, limits: LagLimits, *, consumer: str = ""
) -> Check:
    """The import test must find both paths equal for each of the last days, as this consumer (its identity) loads them."""
    name = "import test"
    # The consumer excludes nothing, so the import test does not either.
    everything = replace(target, excludes=DEFAULT_EXCLUDES)
    again = _typed(everything, "import-test", "--last", str(limits.import_days))
    if found is None:
        return not_run(name, "there is no import test on record", again)
    if (found.legacy, found.new) != (target.source, target.destination):
        return failed(name, f"it is of another migration: {found.legacy} to {found.new}", again)
    if consumer and found.consumer and found.consumer != consumer:
        return failed(
            name, f"it tried the import of {found.consumer}, and this consumer is {consumer}", again
        )
    if wrong := _wrong_days(name, found, again):
        return wrong
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
        none = (
            f"none of the last {counted(len(wanted), 'day')} has an"
            if len(wanted) > 1
            else "the last day has no"
        )
        return failed(name, f"{none} object on either path", again)
    without = (
        f"; {empty:,} of them without an object on either path, as --allow-empty permits" if empty else ""
    )
    return passed(name, f"{counted(len(wanted), 'day')} equal up to {wanted[-1]}{without}, {_ago(age)}")


def _wrong_days(name: str, found: ImportRecord, again: str) -> Check | None:
    """The check where a day did not pass; None where each did."""
    wrong = [one for one in found.days if not one.passed]
    of = f"{len(wrong):,} of {counted(len(found.days), 'day')}"
    days = listed([one.day.isoformat() for one in wrong], SHOWN)
    if not all(one.empty for one in wrong):
        return failed(name, f"{of} not equal: {days}", again)
    # Where no day has an object, nothing was tested, and nothing can be permitted.
    advice = f"if that is right: {again} --allow-empty" if len(wrong) < len(found.days) else again
    return failed(name, f"{of} without an object on either path: {days}", advice) if wrong else None


def loaded_check(
    found: LoadedRecord | None,
    target: CommandTarget,
    now: datetime,
    limits: LagLimits,
    *,
    consumer: Consumer,
    table: str,
    phase: Phase | None,
) -> Check:
    """Each of the last days must be in the consumer's own table, once.

    Args:
        found: The latest comparison on record; None where there is none.
        table: The consumer's table; empty where no file and no argument names one.
    """
    name, options = "loaded", ["--last", str(limits.import_days), *(("--table", table) if table else ())]
    again = _typed(replace(target, excludes=DEFAULT_EXCLUDES), "loaded", *options)
    if found is None and table:
        return not_run(name, f"no comparison of the path with {table} is on record", again)
    if found is None:
        why = "the consumer's table is not named (--loaded-table, load.table of its file), so it is not known what was loaded"
        return not_applicable(name, why)
    if (found.legacy, found.new, found.consumer) != (target.source, target.destination, consumer.identity):
        return failed(name, f"it is of {found.consumer}, {found.legacy} to {found.new}", again)
    before = phase is None or phase.before_cutover
    if found.path != (target.source if before else target.destination):
        return failed(name, f"it compared {found.path}, which is not the source of truth", again)
    if table and table not in {found.table, found.table.rpartition(": ")[2]}:
        return failed(name, f"it compared {found.table}, and the consumer's table is {table}", again)
    if not found.passed:
        loads = "find out why the import loaded less; `loaded` prints the commands that load what is missing; then "
        return failed(name, found.summary, loads + again)
    there = {day.day for day in found.days}
    yesterday = now.date() - timedelta(days=1)
    due = [yesterday - timedelta(days=number) for number in range(limits.import_days)]
    missing = [
        day.isoformat() for day in due if day not in there and consumer.night_of(day)[1] <= found.started
    ]
    if missing:
        return failed(name, f"not compared: {listed(missing, SHOWN)}", again)
    age = now - found.finished
    if not timedelta() <= age <= limits.max_age:
        return failed(name, f"made {_ago(age)}: not of the last {_hours(limits.max_age)}", again)
    return passed(name, f"{found.summary}, in {found.table}, {_ago(age)}")


def presence_check(
    new: DayFolder,
    legacy: DayFolder,
    target: CommandTarget,
    *,
    phase: Phase | None,
    without_mirror: str = "",
    paused: bool = False,
) -> Check:
    """The DAG's presence check must be true on the new path, and its load must find a file.

    A paused writer uploads nothing to either path: then both may be empty.
    """
    name = "presence"
    if new.loadable:
        return passed(name, f"{new.folder} holds objects that the load takes")
    if new.objects:
        return failed(
            name,
            f"{new.folder} holds {counted(new.objects, 'object')} and no *{new.tail}: the presence check is true, the load fails",
            "find out who wrote what lies there; look at the mirror",
        )
    if legacy.objects:
        return failed(
            name,
            f"{new.folder} is empty, and the legacy path's is not: the DAG would take its Empty branch, and end green",
            _and_bring_over("look at the mirror", "what it missed", target, phase, without_mirror),
        )
    if paused:
        return passed(name, f"{new.folder} is empty, as on the legacy path: the writer is paused")
    return failed(
        name,
        f"{new.folder} is empty, as on the legacy path: the writer has not uploaded today (UTC); "
        "the DAG would take its Empty branch, and end green",
        "wait for today's first upload, then run the same command again",
    )


def access_check(
    needs: Mapping[str, tuple[Sequence[str], Sequence[Need]]],
    policies: Mapping[str, Mapping[str, Any] | MigrationError],
) -> Check:
    """The writer and the consumer must have access to the paths that they use after the cutover. Only policies prove it.

    Args:
        needs: By role, the members and what they need.
        policies: Each bucket's policy, or why it cannot be read.
    """
    unnamed = [role for role, (members, _) in needs.items() if not members]
    if unnamed:
        options = " and ".join(f"--{role}" for role in unnamed)
        said = f"not named: {', '.join(f'the {role}' for role in unnamed)}"
        return not_run(ACCESS, said, f"add {options}, as deploy/ENV.env names them")
    proven, doubts = [], []
    for role, (members, wanted) in needs.items():
        for member, need in product(members, wanted):
            policy = policies[need.at.bucket]
            if isinstance(policy, MigrationError):
                return unavailable(ACCESS, policy)
            found = access(member, need, policy)
            if found.missing:
                lacks = ", ".join(permission.removeprefix("storage.") for permission in found.missing)
                why = "; ".join(found.unsure) or "no binding of the bucket names it"
                doubts.append(f"{role} {member}: {lacks} on {need.at.uri} is not proven ({why})")
            else:
                proven.append(f"the {role} may {need.what} {need.at.uri}")
    if doubts:
        return not_run(ACCESS, "; ".join(doubts), _GRANT)
    return passed(ACCESS, "; ".join(proven))


def gate_signoffs_check(state: State, target: CommandTarget) -> Check:
    """All four teams must have signed off this cutover."""
    return signoffs_check(state, lambda missing: _typed(target, "signoff", "--by", "NAME", subject=missing))


def no_late_writes_check(found: Verification | None, state: State, target: CommandTarget) -> Check:
    """After the cutover the latest verification must find no new writes on the legacy path."""
    name, again = "late writes", _typed(target, "verify")
    if found is None or state.since is None or not state.ran_in_this_phase(found.run, found.started):
        return not_run(name, "there is no verification since the cutover", again)
    late = [remark.text for remark in found.remarks if remark.kind == LATE_WRITES]
    if late:
        return failed(
            name,
            late[0],
            _and_bring_over(
                "switch the writers to the new path",
                "what they wrote",
                target,
                state.phase,
                state.without_mirror,
            ),
        )
    return passed(name, f"none on the legacy path up to {minute_text(found.started)}")


def dead_letters_check(
    found: DeadLetters | None,
    target: CommandTarget,
    now: datetime,
    limits: LagLimits,
    *,
    phase: Phase | None,
    without_mirror: str = "",
) -> Check:
    """A recent count of the dead letters must be 0; `now` is by this machine's clock, as a file's time is."""
    subscription = target.deployed("dead-letters")
    look = (
        f"read num_undelivered_messages of {subscription or 'the dead-letter subscription'} from Cloud Monitoring into FILE, "
        "then --dead-letters FILE; docs/deploy.md has the command"
    )
    if found is None:
        return not_run("dead letters", "no look at them was given", look)
    deployed = [name for name in found.subscriptions if name.startswith(deployed_name("dead-letters", ""))]
    if subscription and deployed and subscription not in deployed:
        return not_run("dead letters", f"the count is of {listed(deployed, SHOWN)}", look)
    if found.messages:
        about = f", about {listed(found.objects, SHOWN)}" if found.objects else ""
        least = "" if found.counted else "at least "
        pull = subscription and f"gcloud pubsub subscriptions pull {subscription} --limit=100 --auto-ack"
        return failed(
            "dead letters",
            f"{least}{counted(found.messages, 'event')} given up by the trigger{about}",
            f"{_and_bring_over('', 'their objects', target, phase, without_mirror)}; "
            f"then acknowledge them ({pull or 'pull with --auto-ack'}), and look again",
        )
    if not found.counted:
        return not_run("dead letters", "an empty pull proves nothing: messages may wait all the same", look)
    seen = f"at {minute_text(found.seen)}"
    if not timedelta() <= now - found.seen <= limits.max_age:
        return failed("dead letters", f"none {seen}: not of the last {_hours(limits.max_age)}", look)
    return passed("dead letters", f"none {seen}")


def lag_check(
    lag: Lag | None, arrived: float | None, limits: LagLimits, *, again: str = "run `verify`", doubt: str = ""
) -> Check:
    """The mirror's copies must arrive in time.

    Args:
        lag: What the latest verification measured; None without one.
        arrived: Seconds that the canary took; None without a canary, or where it did not arrive. It counts when the
            verification saw no writes.
        limits: How long copies may take.
        again: The command that measures it.
        doubt: Why what the latest verification measured does not count.
    """
    name = "mirror lag"
    if lag is None:
        why = doubt or "no verification has measured it"
        return not_run(name, why, f"measure it: {again}")
    since = f"since {minute_text(lag.since)}"
    if not lag.objects and arrived is not None:
        said = f"no writes {since}; the canary took {arrived:.1f} s"
        if arrived <= limits.lag_p50:
            return passed(name, said)
        return failed(name, f"{said}, over {limits.lag_p50:g} s", _LOOK_AT_THE_MIRROR)
    if not lag.objects or lag.p50_s is None or lag.p99_s is None or lag.max_s is None:
        return not_run(
            name,
            f"the latest verification saw no object written {since}, the time from which it measured",
            "add --canary; or verify with --mirror-since and a time since which the mirror runs and objects were written",
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
            f"{_LOOK_AT_THE_MIRROR}; objects that the backfill copied count, too: verify with --mirror-since and a later time",
        )
    return passed(name, said)


def alive_check(
    lag: Lag | None, canary: Check | None, arrived: float | None, now: datetime, limits: LagLimits
) -> Check:
    """The mirror must bring what is written now.

    Args:
        lag: What the latest verification measured.
        canary: The canary's check; None without a canary.
        arrived: Seconds that the canary took; None where it did not arrive.
        now: The current time.
        limits: The greatest age of the verification's measurement.
    """
    name = "mirror alive"
    if arrived is not None:
        return passed(name, "the canary arrived")
    if canary is not None and canary.standing is Standing.FAIL:
        return failed(name, "the canary did not arrive", canary.next_step)
    if lag is not None and lag.objects and now - lag.since <= limits.max_age:
        return passed(name, f"{counted(lag.objects, 'object')} arrived since {minute_text(lag.since)}")
    if canary is not None:
        return not_run(name, "the canary could not be sent", canary.next_step)
    return not_run(name, "no recently written object is known to have arrived", "add --canary")


_SEE_STATUS = "`status` says where the migration stands"


def _bring_over(target: CommandTarget, phase: Phase | None, without_mirror: str) -> str:
    """The command that copies what the new path lacks, in this phase; empty where there is none, or the phase is unknown.

    After the cutover the new path wins, so `migrate` replaces nothing there, but `cutover` copies each later write.
    """
    if phase is None or phase in DELETION_BEGUN:
        return ""
    if phase.before_cutover:
        return _typed(target, "migrate", "--execute")
    return cutover_command(target, without_mirror) or _typed(target, "cutover")


def _and_bring_over(
    first: str, what: str, target: CommandTarget, phase: Phase | None, without_mirror: str
) -> str:
    """A step, and the command that then copies something, where this phase has one."""
    command = _bring_over(target, phase, without_mirror)
    steps = [first] if first else []
    return "; ".join([*steps, f"copy {what}: {command}"] if command else [*steps, _SEE_STATUS])


def _typed(target: CommandTarget, command: str, *options: str, subject: str = "") -> str:
    """A command to paste into a shell; only its name where an argument is not printable."""
    return (
        target.command(command, *options, subject=subject) or f"`{command}`, with this migration's arguments"
    )


def _ago(age: timedelta) -> str:
    """An age in words."""
    minutes = age.total_seconds() / 60
    if minutes < 0:
        return "in the future"
    if round(minutes) == 0:
        return "just now"
    ago = (minutes, "minute") if minutes < 120 else (minutes / 60, "hour")  # noqa: PLR2004
    return f"{counted(round(ago[0]), ago[1])} ago"


def _hours(age: timedelta) -> str:
    """A length of time in hours."""
    return counted(age.total_seconds() / 3600, "hour")


def _wrong(found: Verification) -> str:
    unsettled = said_of_counts(
        {verdict: count for verdict, count in found.counts.items() if not verdict.settled}
    )
    first = listed((repr(one.name) for one in found.differences), SHOWN)
    if unsettled:
        return unsettled + (f", such as {first}" if first else "")
    return "" if any(map(_is_grave, found.remarks)) else f"exit code {found.exit_code}, its report says why"


def _is_grave(remark: Remark) -> bool:
    return remark.level is Level.CRITICAL or remark.kind == LATE_WRITES


def _copyable(found: Verification) -> bool:
    """Whether copying again can repair some of the differences."""
    counts = found.counts
    return any(
        counts[verdict] for verdict in (Verdict.MISSING, Verdict.CONTENT_DIFFERS, Verdict.METADATA_DIFFERS)
    )


def _quoted(patterns: Sequence[str]) -> str:
    return ", ".join(map(repr, patterns)) or "nothing"


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)
