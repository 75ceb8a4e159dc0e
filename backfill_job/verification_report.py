"""``verification.json``: everything that a verification showed, in the form that the report page and the gate read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from backfill_job.contents.result import Side
from backfill_job.remarks import Level, Remark
from backfill_job.run.clock import time_text
from backfill_job.tallies import DayTally, Tallies
from backfill_job.verdict import Verdict
from backfill_job.verify_result import VerifyResult
from shared.report.reading import FORMAT

__all__ = ["is_clean", "verification_report"]

_WORST_FIRST = (
    (Verdict.MISSING, "missing"),
    (Verdict.CONTENT_DIFFERS, "differing"),
    (Verdict.METADATA_DIFFERS, "differing"),
    (Verdict.EXTRA, "differing"),
    (Verdict.IN_FLIGHT, "in_flight"),
)


def is_clean(result: VerifyResult, remarks: Sequence[Remark]) -> bool:
    """Whether both paths hold the same: every name equal, nothing critical, and nothing broken on the way."""
    critical = any(remark.level is Level.CRITICAL for remark in remarks)
    broken = result.contents is not None and bool(result.contents.errors(Side.MIGRATION))
    return result.verification.clean and not critical and not broken


def verification_report(
    identity: Mapping[str, Any],
    result: VerifyResult,
    remarks: Sequence[Remark],
    *,
    finished: datetime,
    grace: timedelta,
    narrowed: str = "",
) -> dict[str, Any]:
    """Put the report together.

    Args:
        identity: Which run it is of.
        result: What was compared.
        remarks: What else there is to know.
        finished: When it ended.
        grace: How long a changed object was given to arrive.
        narrowed: What was left out on request, in words; empty for nothing.

    Returns:
        The report's content; without a certificate, which is made of it.
    """
    verification, tallies = result.verification, result.tallies
    days, undated = _days(tallies)
    total = tallies.total()
    clean = is_clean(result, remarks)
    return {
        "format": FORMAT,
        **identity,
        "finished": time_text(finished),
        "grace_s": grace.total_seconds(),
        "exit_code": 0 if clean else 1,
        "clean": clean,
        "summary": result.summary + (f" ({narrowed})" if narrowed else ""),
        "narrowed": narrowed or None,
        "counts": {verdict.value: verification.counts[verdict] for verdict in Verdict},
        "totals": {"source": total.source.to_json(), "destination": total.destination.to_json()},
        "days": days,
        "undated": _day(undated),
        "remarks": [remark.to_json() for remark in remarks],
        "not_kept": _not_kept(tallies),
        "metadata_differences": dict(tallies.metadata_differences.most_common()),
        "lag": tallies.lag.figures(),
        "contents": None if result.contents is None else result.contents.to_json(),
        "differences": [finding.to_json() for finding in verification.findings],
        "differences_total": sum(verification.wrong.values()),
        "certificate": None,
    }


MAX_GAP = timedelta(days=400)
"""A stretch without objects after which days no longer belong together: a mistyped year must not make a million lines."""


def _days(tallies: Tallies) -> tuple[list[dict[str, Any]], DayTally]:
    """A line for every day from the first to the last, and what has no line.

    Where days lie further apart than `MAX_GAP`, those around the most objects have lines; the others are counted with what
    has no day, and `backfill_job.remarks` names them by their gap.
    """
    stretches: list[list[date]] = []
    for day in sorted(filter(None, tallies.days)):
        if not stretches or day - stretches[-1][-1] > MAX_GAP:
            stretches.append([])
        stretches[-1].append(day)
    main = max(
        stretches, key=lambda days: sum(tallies.days[day].verdicts.total() for day in days), default=[]
    )
    rest = tallies.days.get(None, DayTally())
    for stretch in stretches:
        if stretch is not main:
            rest = sum((tallies.days[day] for day in stretch), rest)
    lines = (
        []
        if not main
        else [main[0] + timedelta(days=number) for number in range((main[-1] - main[0]).days + 1)]
    )
    return [{"day": day.isoformat(), **_day(tallies.days.get(day, DayTally()))} for day in lines], rest


def _day(tally: DayTally) -> dict[str, Any]:
    return {**tally.to_json(), "verdict": _verdict(tally.verdicts)}


def _verdict(verdicts: Counter[str]) -> str:
    if not verdicts.total():
        return "absent"
    return next((word for verdict, word in _WORST_FIRST if verdicts[verdict.value]), "equal")


def _not_kept(tallies: Tallies) -> list[dict[str, str]]:
    """What a server-side copy cannot keep (Cloud Storage reference, "Objects: rewrite"), and how it stands here."""
    held = (
        f"{tallies.held:,} source objects are under a hold or a retention time; their copies are not, unless the "
        "destination bucket says so. They cannot be deleted at the source before it ends."
        if tallies.held
        else "No source object is under a hold or a retention time."
    )
    return [
        {
            "what": "creation time",
            "text": "A copy was created when it was copied. The day of an export is in its name, not in its times.",
        },
        {
            "what": "generation",
            "text": "A copy has a generation of its own; reports give both, so that each pair can be found again.",
        },
        {
            "what": "access control lists",
            "text": "A copy gets the destination bucket's default. Who may read it is the new bucket's policy.",
        },
        {
            "what": "storage class",
            "text": "A copy gets the destination bucket's default class. It changes prices, not contents.",
        },
        {"what": "holds and retention", "text": held},
    ]
