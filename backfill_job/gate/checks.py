"""What each check of the gate makes of its evidence. Pure.

A check passes, fails, or was not run; only what passes does not stand in the way. What a check cannot know it does not
assume: evidence that is missing, old, damaged, or another migration's is never a pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any

from shared.phase import Phase
from shared.report.advice import Target
from shared.report.facts import Lag, Level, NameVerdict, Verification
from shared.state import State

__all__ = [
    "Check",
    "Limits",
    "Standing",
    "alive_check",
    "import_test_check",
    "lag_check",
    "phase_check",
    "presence_check",
    "signoffs_check",
    "verification_check",
]

SHOWN = 3
"""Examples named in a line of evidence."""


class Standing(Enum):
    """How a check stands."""

    PASS = "pass"  # noqa: S105 -- not a password
    FAIL = "FAIL"
    NOT_RUN = "NOT RUN"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the gate.

    Attributes:
        name: What was checked.
        standing: Whether it passed.
        evidence: What was seen, or why nothing was.
        next_step: What to do; empty where it passed.
    """

    name: str
    standing: Standing
    evidence: str
    next_step: str = ""

    def to_json(self) -> dict[str, Any]:
        """For a report."""
        return {**asdict(self), "standing": self.standing.value}


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


def passed(name: str, evidence: str) -> Check:
    """A check that passed."""
    return Check(name, Standing.PASS, evidence)


def failed(name: str, evidence: str, next_step: str) -> Check:
    """A check that failed."""
    return Check(name, Standing.FAIL, evidence, next_step)


def not_run(name: str, why: str, next_step: str) -> Check:
    """A check that could not be run."""
    return Check(name, Standing.NOT_RUN, why, next_step)


def phase_check(state: State) -> Check:
    """From this phase a cutover is possible."""
    if state.phase in {Phase.DUAL_WRITE, Phase.ROLLED_BACK}:
        return passed("phase", state.phase.value)
    return failed(
        "phase", state.phase.value, "there is no cutover ahead; `status` says where the migration stands"
    )


def verification_check(found: Verification | None, target: Target, now: datetime, limits: Limits) -> Check:
    """The latest verification is of everything, clean, and fresh."""
    name, again = "verification", target.command("verify")
    if found is None:
        return not_run(name, "there is no verification on record", again)
    age = now - found.finished
    said = f"{found.summary} ({_ago(age)})"
    if found.certificate is None or not found.compared:
        return failed(name, f"{said}: it was not of everything", again)
    grave = [
        remark.text
        for remark in found.remarks
        if remark.level is Level.CRITICAL or remark.kind == "late_writes"
    ]
    if grave:
        return failed(name, f"{said}: {grave[0]}", "settle that, then " + again)
    if not found.clean or found.exit_code:
        wrong = ", ".join(
            f"{count:,} {verdict.value.replace('_', ' ')}"
            for verdict, count in found.counts.items()
            if count and not verdict.settled
        )
        first = [one.name for one in found.differences[:SHOWN]]
        return failed(
            name,
            f"{said}: {wrong or 'exit code ' + str(found.exit_code)}"
            + (f", such as {', '.join(map(repr, first))}" if first else ""),
            f"{target.command('migrate', '--execute')}, then {again}",
        )
    if not timedelta() <= age <= limits.max_age:
        return failed(name, f"{said}: older than {_hours(limits.max_age)}", again)
    return passed(name, f"{found.counts[NameVerdict.EQUAL]:,} names equal, {_ago(age)}")


def lag_check(lag: Lag | None, limits: Limits) -> Check:
    """The mirror's copies arrive in time."""
    name = "mirror lag"
    if lag is None or not lag.objects or lag.p50 is None or lag.p99 is None or lag.max is None:
        return not_run(
            name,
            "the latest verification saw no object that was written while the mirror ran",
            "verify --mirror-since TIME with a time since which the mirror runs and the writer has written",
        )
    said = f"p50 {lag.p50:g} s, p99 {lag.p99:g} s, max {lag.max:g} s over {lag.objects:,} objects since {lag.since:%Y-%m-%d %H:%M}Z"
    over = [
        f"{which} over {limit:g} s"
        for which, seconds, limit in (
            ("p50", lag.p50, limits.lag_p50),
            ("p99", lag.p99, limits.lag_p99),
            ("max", lag.max, limits.lag_max),
        )
        if seconds > limit
    ]
    if over:
        return failed(
            name,
            f"{said}: {', '.join(over)}",
            "look at the mirror's log and instances; objects that the backfill brought count, too: "
            "verify --mirror-since a later time",
        )
    return passed(name, said)


def alive_check(
    lag: Lag | None, finished: datetime | None, canary: Check | None, now: datetime, limits: Limits
) -> Check:
    """The mirror brings what is written now."""
    name = "mirror alive"
    if canary is not None and canary.standing is Standing.PASS:
        return passed(name, "the canary arrived")
    if canary is not None:
        return failed(name, "the canary did not arrive", canary.next_step)
    recent = lag is not None and finished is not None and lag.objects and now - lag.since <= limits.max_age
    if recent and lag is not None:
        return passed(name, f"{lag.objects:,} objects arrived since {lag.since:%H:%M}Z")
    return not_run(name, "nobody wrote lately, and no canary was asked for", "add --canary")


def import_test_check(
    content: Mapping[str, Any] | None, target: Target, now: datetime, limits: Limits
) -> Check:
    """The import gives the same from both paths, for each of the last days."""
    name = "import test"
    again = target.command("import-test", "--last", str(limits.import_days))
    if content is None:
        return not_run(name, "there is no import test on record", again)
    try:
        ours = (content["legacy"], content["new"]) == (target.source, target.destination)
        finished = datetime.fromisoformat(content["finished"])
        days = {date.fromisoformat(day["day"]): bool(day["passed"]) for day in content["days"]}
        complete = content["complete"] is True and content["schema"] == 1
        age = now - finished
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return not_run(name, f"the import test's report is damaged ({error!r})", again)
    if not ours:
        return failed(name, f"it is of another migration: {content['legacy']} to {content['new']}", again)
    wanted = [now.date() - timedelta(days=number) for number in range(1, limits.import_days + 1)]
    wrong = [day.isoformat() for day in sorted(days) if not days[day]]
    if wrong:
        return failed(name, f"{len(wrong)} of {len(days)} days not equal: {_some(wrong)}", again)
    missing = [day.isoformat() for day in sorted(wanted) if day not in days]
    if missing or not complete:
        return failed(name, f"not tested: {_some(missing) or 'it did not come to its end'}", again)
    if not timedelta() <= age <= limits.max_age:
        return failed(name, f"made {_ago(age)}: older than {_hours(limits.max_age)}", again)
    return passed(name, f"{len(wanted)} days equal, up to {max(wanted)}, {_ago(age)}")


def presence_check(folder: str, objects_there: bool, objects_legacy: bool) -> Check:
    """The DAG's presence check would be true on the new path."""
    name = "presence"
    if objects_there:
        return passed(name, f"{folder} holds objects")
    if objects_legacy:
        return failed(
            name,
            f"{folder} is empty, and the legacy path's is not: the DAG would take its Empty branch, and end green",
            "look at the mirror; migrate --execute brings what it missed",
        )
    return failed(
        name,
        f"{folder} is empty, as on the legacy path: nobody has written today (UTC) yet",
        "wait for today's first upload, then give the same command again",
    )


def signoffs_check(state: State, target: Target) -> Check:
    """Everybody has consented to this cutover."""
    missing = [name.value for name in state.missing_signoffs]
    if missing:
        command = target.command("signoff", "--by", "WHO", subject=missing[0])
        return failed("sign-offs", f"missing: {', '.join(missing)}", command)
    given = ", ".join(f"{signoff.name.value} by {signoff.by}" for signoff in state.signoffs)
    return passed("sign-offs", given)


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _ago(age: timedelta) -> str:
    minutes = age.total_seconds() / 60
    if minutes < 0:
        return "in the future"
    return f"{minutes:.0f} minutes ago" if minutes < 120 else f"{minutes / 60:.0f} hours ago"  # noqa: PLR2004


def _hours(age: timedelta) -> str:
    return f"{age.total_seconds() / 3600:g} hours"
