"""Reads ``verification.json`` and ``state.json`` for the pages: whole and strictly, or not at all.

A file that is damaged, of another form, or contradicts itself on what matters is refused with one line: half a page about
a verification is worse than none.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, TypeVar

from shared.errors import UsageError
from shared.phase import Phase
from shared.report.facts import (
    Certificate,
    Contents,
    Day,
    DayState,
    Example,
    HistoryEntry,
    Lag,
    LagBucket,
    Level,
    NameDifference,
    NameVerdict,
    NotKept,
    Problem,
    Remark,
    Run,
    Side,
    SideFacts,
    SignOff,
    State,
    Verification,
)
from shared.report.fields import Fields

__all__ = ["FORMAT", "read_state", "read_verification", "require_migration"]

FORMAT = "qpi-exports-migration/verification/1"
"""What a verification's ``format`` says."""

EXIT_CODES = frozenset({0, 1, 2})

_Value = TypeVar("_Value")


class _Severity(Enum):
    ERROR = "error"
    NOT_JUDGED = "not_judged"
    WARNING = "warning"


def read_verification(content: Mapping[str, Any]) -> Verification:
    """Read a verification's report file.

    Args:
        content: The file, parsed.

    Returns:
        What it says.

    Raises:
        UsageError: It is damaged, something else, or contradicts itself.
    """
    fields = Fields.of(content, "the verification")
    if content.get("format") != FORMAT:
        raise fields.wrong("format", f"{FORMAT!r}, which this program reads,")
    try:
        found = _verification(fields)
        _check(found)
    except UsageError as error:
        raise UsageError(f"{error}; the file is damaged: run verify again") from error
    return found


def read_state(content: Mapping[str, Any]) -> State:
    """Read the migration's state.

    Args:
        content: The state object's contents, parsed.

    Returns:
        What it says.

    Raises:
        UsageError: It is damaged or something else.
    """
    fields = Fields.of(content, "the state")
    return State(
        phase=fields.choice("phase", Phase),
        since=fields.optional("since", fields.moment),
        signoffs=tuple(
            SignOff(one.text("name"), one.text("by"), one.moment("at"), one.text("note"))
            for one in fields.each("signoffs")
        ),
        runs=tuple(map(_run, fields.each("runs"))),
        history=tuple(
            HistoryEntry(one.moment("at"), one.text("what"), one.text("by")) for one in fields.each("history")
        ),
    )


def require_migration(content: Mapping[str, Any], what: str, source: str, destination: str) -> None:
    """Refuse another migration's file.

    Args:
        content: The file, parsed. One that does not say whose it is passes.
        what: What it is, for the error.
        source: This migration's source, ``gs://bucket/prefix/``.
        destination: This migration's destination.

    Raises:
        UsageError: It is another migration's.
    """
    fields = Fields.of(content, what)
    for key, ours in (("source", source), ("destination", destination)):
        if content.get(key, ours) != ours:
            raise fields.wrong(key, f"this migration's, {ours},")


def _verification(fields: Fields) -> Verification:
    totals = fields.inner("totals")
    return Verification(
        run=fields.text("run"),
        env=fields.text("env"),
        source=fields.text("source"),
        destination=fields.text("destination"),
        excludes=fields.texts("excludes"),
        started=fields.moment("started"),
        finished=fields.moment("finished"),
        grace=fields.number("grace_s"),
        tasks=fields.count("tasks"),
        exit_code=fields.count("exit_code"),
        clean=fields.flag("clean"),
        summary=fields.text("summary"),
        counts=_all_verdicts(fields.inner("counts")),
        source_total=_side(totals.inner("source")),
        destination_total=_side(totals.inner("destination")),
        days=tuple(_day(one, dated=True) for one in fields.each("days")),
        undated=_day(fields.inner("undated"), dated=False),
        remarks=tuple(map(_remark, fields.each("remarks"))),
        not_kept=tuple(NotKept(one.text("what"), one.text("text")) for one in fields.each("not_kept")),
        metadata_differences=_counts(fields.inner("metadata_differences")),
        lag=_optional(fields, "lag", _lag),
        contents=_optional(fields, "contents", _contents),
        differences=tuple(map(_difference, fields.each("differences"))),
        differences_total=fields.count("differences_total"),
        certificate=_optional(fields, "certificate", _certificate),
    )


def _check(found: Verification) -> None:
    """Refuse a verification that contradicts itself on what a reader would rely on."""
    unsettled = sum(count for verdict, count in found.counts.items() if not verdict.settled)
    # A critical remark beside clean names is the headline's business: it is shown, and never called well.
    if found.clean is not (unsettled == 0) and (found.clean or not _spoilt(found)):
        raise UsageError(
            f"the verification contradicts itself: clean is {str(found.clean).lower()}, "
            f"and {unsettled:,} names are not equal"
        )
    if found.exit_code not in EXIT_CODES or (found.exit_code == 0 and not found.clean):
        raise UsageError(
            f"the verification contradicts itself: exit_code is {found.exit_code}, "
            f"and clean is {str(found.clean).lower()}"
        )
    if len(found.differences) > found.differences_total:
        raise UsageError("the verification contradicts itself: more differences than differences_total")
    for before, after in zip(found.days, found.days[1:], strict=False):
        if before.day is None or after.day is None or after.day - before.day != timedelta(days=1):
            raise UsageError(f"the verification: days: {after.day} does not follow {before.day}")
    for day in (*found.days, found.undated):
        _check_day(day)


def _spoilt(found: Verification) -> bool:
    """Whether something else than the names stands in the way of a clean verification."""
    broken = found.contents is not None and any(
        problem.error for problem in found.contents.migration_problems
    )
    return broken or any(remark.level is Level.CRITICAL for remark in found.remarks)


def _check_day(day: Day) -> None:
    which = "what belongs to no day" if day.day is None else day.day.isoformat()
    unsettled = any(count and not verdict.settled for verdict, count in day.verdicts.items())
    if day.state is DayState.EQUAL and unsettled:
        raise UsageError(f"the verification contradicts itself: {which} is called equal, and is not")
    if day.state is DayState.ABSENT and (unsettled or day.source.objects or day.destination.objects):
        raise UsageError(f"the verification contradicts itself: {which} is called absent, and has objects")


def _optional(fields: Fields, key: str, read: Callable[[Fields], _Value]) -> _Value | None:
    return fields.optional(key, lambda name: read(fields.inner(name)))


def _side(fields: Fields) -> Side:
    return Side(
        fields.count("objects"),
        fields.count("bytes"),
        fields.count("jsonl"),
        fields.count("empty_jsonl"),
        fields.hexadecimal("digest"),
    )


def _day(fields: Fields, *, dated: bool) -> Day:
    return Day(
        fields.day("day") if dated else None,
        _side(fields.inner("source")),
        _side(fields.inner("destination")),
        _some_verdicts(fields.inner("verdicts")),
        fields.choice("verdict", DayState),
    )


def _counts(fields: Fields) -> dict[str, int]:
    return {key: fields.count(key) for key in fields.keys()}  # noqa: SIM118 -- Fields is no mapping


def _some_verdicts(fields: Fields) -> dict[NameVerdict, int]:
    known = {verdict.value: verdict for verdict in NameVerdict}
    counts = _counts(fields)
    for key in counts:
        if key not in known:
            raise fields.wrong(key, f"one of {', '.join(known)}")
    return {known[key]: count for key, count in counts.items()}


def _all_verdicts(fields: Fields) -> dict[NameVerdict, int]:
    counts = _some_verdicts(fields)
    for verdict in NameVerdict:
        if verdict not in counts:
            raise fields.wrong(verdict.value, "a count")
    return counts


def _remark(fields: Fields) -> Remark:
    return Remark(
        fields.choice("level", Level),
        fields.text("kind"),
        fields.optional("day", fields.day),
        fields.text("text"),
    )


def _lag(fields: Fields) -> Lag:
    buckets = tuple(
        LagBucket(one.optional("up_to_s", one.number), one.count("objects")) for one in fields.each("buckets")
    )
    bounds = [bucket.up_to for bucket in buckets]
    closed = [bound for bound in bounds if bound is not None]
    if sorted(set(closed)) != closed or min(closed, default=1.0) <= 0 or None in bounds[:-1]:
        raise fields.wrong("buckets", "a list with rising bounds above 0, null only as the last,")
    return Lag(
        since=fields.moment("since"),
        objects=fields.count("objects"),
        buckets=buckets,
        p50=fields.optional("p50_s", fields.number),
        p90=fields.optional("p90_s", fields.number),
        p99=fields.optional("p99_s", fields.number),
        max=fields.optional("max_s", fields.number),
        negative=fields.count("negative"),
    )


def _contents(fields: Fields) -> Contents:
    return Contents(
        mode=fields.text("mode"),
        objects=fields.count("objects"),
        rows=fields.count("rows"),
        bytes=fields.count("bytes"),
        changed=fields.count("changed"),
        objects_per_second=fields.optional("objects_per_s", fields.number),
        source_problems=_problems(fields.inner("source_problems")),
        migration_problems=_problems(fields.inner("migration_problems")),
        examples=tuple(map(_example, fields.each("examples"))),
    )


def _problems(fields: Fields) -> tuple[Problem, ...]:
    return tuple(_problem(kind, fields.inner(kind)) for kind in fields.keys())  # noqa: SIM118 -- as above


def _problem(kind: str, fields: Fields) -> Problem:
    severity = fields.choice("severity", _Severity)
    return Problem(
        kind,
        fields.count("objects"),
        fields.count("lines"),
        error=severity is _Severity.ERROR,
        judged=severity is not _Severity.NOT_JUDGED,
    )


def _example(fields: Fields) -> Example:
    return Example(
        fields.text("name"),
        fields.text("side"),
        fields.optional("line", fields.count),
        fields.text("kind"),
        fields.text("detail"),
    )


def _difference(fields: Fields) -> NameDifference:
    return NameDifference(
        fields.text("name"),
        fields.choice("verdict", NameVerdict),
        fields.texts("differences"),
        _optional(fields, "source", _facts),
        _optional(fields, "destination", _facts),
    )


def _facts(fields: Fields) -> SideFacts:
    return SideFacts(
        fields.text("generation"),
        fields.count("size"),
        fields.optional("crc32c", fields.text),
        fields.optional("md5", fields.text),
        fields.text("created"),
        fields.text("updated"),
    )


def _certificate(fields: Fields) -> Certificate:
    return Certificate(fields.hexadecimal("sha256"), fields.hexadecimal("data_sha256"))


def _run(fields: Fields) -> Run:
    return Run(
        fields.text("run"),
        fields.text("command"),
        fields.moment("finished"),
        fields.whole("exit_code"),
        fields.text("summary"),
        fields.optional("report", fields.text),
    )
