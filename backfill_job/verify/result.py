"""What a verification compared: one task's part, or all tasks of an execution together; and the verification it makes.

Only ``verify`` imports it. It is a module of its own because it is pure, and a command is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from msgspec import to_builtins

from backfill_job.contents.check import merged_contents
from backfill_job.copying.compare import Compared
from backfill_job.verify.day_counts import DayCounts
from shared.json_io import convert
from shared.objects import parse_time
from shared.operations import Operations
from shared.text import counted
from shared.verification import (
    FORMAT,
    ContentsFound,
    DayTotals,
    Level,
    NotKept,
    Remark,
    Sides,
    Verdict,
    Verification,
)

__all__ = ["VerifyResult", "verification"]

MAX_GAP = timedelta(days=400)
"""A stretch without objects after which days no longer belong together: a mistyped year must not make a million lines."""


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What was compared; `contents` is None where the objects were not read."""

    compared: Compared
    counts: DayCounts
    contents: ContentsFound | None
    operations: Operations

    @property
    def summary(self) -> str:
        """The verdicts in one sentence."""
        if self.compared.nothing:
            return self.compared.said
        separator = ":" if self.compared.clean else ";"
        return f"{counted(self.compared.looked_at, 'name')} compared{separator} {self.compared.said}"

    def to_json(self) -> dict[str, Any]:
        """Everything, to be merged with the other tasks' results."""
        return {
            "verification": self.compared.to_json(),
            "tallies": self.counts.to_json(),
            "contents": to_builtins(self.contents),
            "operations": asdict(self.operations),
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "VerifyResult":
        """Read what `to_json` gave. Raises one of `OTHER_FORM` for something else."""
        contents, counts = content["contents"], DayCounts.from_json(content["tallies"])
        parse_time(counts.lag.since)  # a verification always measures the lag
        return VerifyResult(
            Compared.from_json(content["verification"]),
            counts,
            None if contents is None else convert(ContentsFound, contents),
            Operations(**content["operations"]),
        )

    @staticmethod
    def merged(parts: Sequence["VerifyResult"]) -> "VerifyResult":
        """The tasks of one execution put together."""
        return VerifyResult(
            Compared.merged(part.compared for part in parts),
            DayCounts.merged([part.counts for part in parts]),
            merged_contents([part.contents for part in parts if part.contents is not None]),
            sum((part.operations for part in parts), Operations()),
        )


def verification(
    identity: Mapping[str, Any],
    result: VerifyResult,
    remarks: Sequence[Remark],
    *,
    finished: datetime,
    grace: timedelta,
    narrowed: str = "",
    may_be_empty: bool = False,
) -> Verification:
    """Make the verification of what was compared.

    It is clean when something was compared, every name is equal, no remark is critical, and the copy broke no object's contents.

    Args:
        identity: Which run it is of; see `backfill_job.run.run.Run.identity`.
        finished: When it ended; aware.
        grace: How long a changed object had to arrive.
        narrowed: What was left out on request, in words; empty for nothing.
        may_be_empty: The operator expects that there may be nothing to compare. It is never clean, but may end with exit code 0.

    Returns:
        The verification, without a certificate, which is made of it.
    """
    compared, counts = result.compared, result.counts
    days, undated = _days(counts)
    total = counts.total()
    critical = any(remark.level is Level.CRITICAL for remark in remarks)
    broken = result.contents is not None and result.contents.broken
    right = compared.clean and not critical and not broken
    clean = right and not compared.nothing
    expected = right and may_be_empty and not compared.names
    note = narrowed or ("as --allow-empty permits" if expected else "")
    return Verification(
        format=FORMAT,
        run=identity["run"],
        env=identity["env"],
        source=identity["source"],
        destination=identity["destination"],
        excludes=tuple(identity["excludes"]),
        started=datetime.fromisoformat(identity["started"]),
        tasks=identity["tasks"],
        # As precise as the file: what is read back is equal.
        finished=finished.replace(microsecond=finished.microsecond // 1_000 * 1_000),
        grace_s=grace.total_seconds(),
        exit_code=0 if clean or expected else 1,
        clean=clean,
        summary=result.summary + (f" ({note})" if note else ""),
        narrowed=narrowed or None,
        counts={verdict: compared.counts[verdict] for verdict in Verdict},
        totals=Sides(total.source, total.destination),
        days=days,
        undated=undated,
        remarks=tuple(remarks),
        not_kept=_not_kept(counts),
        metadata_differences=dict(counts.metadata_differences.most_common()),
        lag=counts.lag.lag(),
        contents=result.contents,
        differences=compared.differences,
        differences_total=sum(compared.wrong.values()),
        certificate=None,
    )


def _days(counts: DayCounts) -> tuple[tuple[DayTotals, ...], DayTotals]:
    """A line for every day from the first to the last, and the counts that have no line.

    Where days are further apart than `MAX_GAP`, the stretch with the most objects has lines. The others are counted with
    what has no day, and `backfill_job.verify.day_warnings` names them by their gap.
    """
    stretches: list[list[date]] = []
    for day in sorted(filter(None, counts.days)):
        if not stretches or day - stretches[-1][-1] > MAX_GAP:
            stretches.append([])
        stretches[-1].append(day)
    main = max(
        stretches, key=lambda days: sum(sum(counts.days[day].verdicts.values()) for day in days), default=[]
    )
    rest = counts.day(None)
    for stretch in stretches:
        if stretch is not main:
            rest = sum((counts.days[day] for day in stretch), rest)
    lines = (
        [main[0] + timedelta(days=number) for number in range((main[-1] - main[0]).days + 1)] if main else []
    )
    return tuple(map(counts.day, lines)), rest


def _not_kept(counts: DayCounts) -> tuple[NotKept, ...]:
    """What a server-side copy does not keep, or the comparison leaves out, and how it stands here.

    It names everything in `shared.objects.LEFT_OUT` (Cloud Storage reference, "Objects: rewrite").
    """
    one = counts.held == 1
    held = (
        f"{counted(counts.held, 'source object')} {'is' if one else 'are'} under a hold or a retention time; "
        f"{'its copy is' if one else 'their copies are'} not, unless the destination bucket says so. "
        f"{'It' if one else 'They'} cannot be deleted at the source before it ends."
        if counts.held
        else "No source object is under a hold or a retention time."
    )
    lost = {
        "creation time": "A copy was created when it was copied. The day of an export is in its name, not in its times.",
        "generation": "A copy has a generation of its own; reports give both, so that each pair can be found again.",
        "access control lists": "A copy gets the destination bucket's default. Who may read it is the new bucket's policy.",
        "storage class": "A copy gets the destination bucket's default class. It changes prices, not contents.",
        "holds and retention": held,
        "encryption keys": "A copy is encrypted as the destination bucket says. Its contents are the same.",
        "custom metadata of Google's own tools": "Keys that begin with goog-reserved- or x-goog-reserved- are copied, and not "
        "compared: a copy by gcloud storage rsync has others.",
        "extended data of object contexts": "The keys and values of object contexts are copied and compared. Extended data "
        "(a preview feature) is not compared.",
    }
    return tuple(NotKept(what, text) for what, text in lost.items())
