"""The verification that a deletion rests on: this run compares both paths, and writes down every equal name.

The manifest gets the names that the comparison judged equal, with the facts that it judged. Nothing is listed again for the
manifest. A name that needs a second look is written down when that look finds it equal.

A name that was erased at the new path is counted and stays, until a person names it (``--erased``).

Names at the new path only are counted, and block no deletion. The legacy path does not have them, and since the cutover
writers add names to the new path. Names that were never migrated (``--exclude``) are counted, and stay.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import uvloop

from backfill_job.consumer import Consumer
from backfill_job.copying.by_bytes import AT_ONCE, ByBytes
from backfill_job.copying.compare import Compared, Comparison, log_comparison, log_erased
from backfill_job.copying.diff import DiffLine, Verdict, diff
from backfill_job.copying.on_record import OnRecord
from backfill_job.copying.progress import counting
from backfill_job.deletion.manifest import erased_line, line_of
from backfill_job.deletion.manifest_store import LinesFile
from backfill_job.run.run import Run, open_api, tune_gc
from backfill_job.verify.certificate import data_of
from backfill_job.verify.day_counts import DayCounts
from backfill_job.verify.late_writes import LateWrites, late_since
from shared.objects import ObjectState
from shared.partitions import ObjectKind, classify
from shared.state import ComparisonRecord

__all__ = ["BLOCKING", "Survey", "survey"]

NEVER = datetime.min.replace(tzinfo=UTC)
"""When a comparison began that was not made."""

BLOCKING = (Verdict.MISSING, Verdict.CONTENT_DIFFERS, Verdict.METADATA_DIFFERS, Verdict.IN_FLIGHT)
"""Verdicts about legacy objects that are not proven equal."""


@dataclass(slots=True)
class Survey:
    """What both paths hold, and what of it may be deleted.

    Attributes:
        counts: Both sides of every day; what was never migrated is in no figure.
        late: Writes on the legacy path after the cutover, on never migrated names, too.
        size: Their bytes together.
        consumer: What reads the path, which says what is critical; None where only the JSONL data are.
        critical: How many of them are critical.
        critical_size: Bytes of those.
        folders: Folders that hold objects proven equal.
        extra: Objects that only the new path has.
        left: Legacy objects that were never migrated, and stay.
        named: Names that a person wants deleted although they were erased at the new path.
        erased: Those of `named` that were erased, and are among `equal` and its figures.
        compared: The verdicts; extra names are not among them.
        data_sha256: Of what both sides hold, as a certificate states it.
    """

    counts: DayCounts
    late: LateWrites
    consumer: Consumer | None = None
    equal: int = 0
    size: int = 0
    critical: int = 0
    critical_size: int = 0
    kinds: Counter[ObjectKind] = field(default_factory=Counter)
    folders: set[str] = field(default_factory=set)
    extra: int = 0
    left: int = 0
    named: frozenset[str] = frozenset()
    erased: list[str] = field(default_factory=list)
    compared: Compared = field(default_factory=lambda: Compared(dict.fromkeys(Verdict, 0), (), NEVER))
    data_sha256: str = ""

    @property
    def clean(self) -> bool:
        """Whether there are legacy objects that were to be migrated, and all of them are proven equal."""
        return self.equal > 0 and not any(self.compared.counts[verdict] for verdict in BLOCKING)

    @property
    def names(self) -> int:
        """Legacy objects that were compared."""
        counts = self.compared.counts
        return self.compared.looked_at - counts[Verdict.EXTRA] - counts[Verdict.ERASED]

    def on_record(self, begun: OnRecord) -> ComparisonRecord:
        """What the record says of the comparison: names that only the new path has are wrong there, as in every other one."""
        found = begun.found(self.compared)
        return replace(
            found,
            compared=found.compared + self.extra,
            wrong=found.wrong + self.extra,
            extra=found.extra + self.extra,
            data_sha256=self.data_sha256,
        )

    @property
    def erased_left(self) -> int:
        """Legacy objects that were erased at the new path, and stay."""
        return self.compared.counts[Verdict.ERASED] - len(self.erased)

    def facts(self) -> dict[str, Any]:
        """What was found, for the manifest and for reports."""
        counts = self.compared.counts
        return {
            "objects": self.equal,
            "bytes": self.size,
            "critical_jsonl": {"objects": self.critical, "bytes": self.critical_size},
            "kinds": {kind.value: self.kinds[kind] for kind in ObjectKind if self.kinds[kind]},
            "folders": len(self.folders),
            "days": self._days(),
            "left_never_migrated": self.left,
            "new_path_only": self.extra,
            **self._erased_facts(),
            "held": self.counts.held,
            "verification": {
                "clean": self.clean,
                **{verdict.value: counts[verdict] for verdict in Verdict},
                "crc32c_alone": self.compared.crc_alone,
                "data_sha256": self.data_sha256,
            },
            "late_writes": {
                "since": self.late.since,
                "objects": self.late.objects,
                "newest": self.late.newest,
                "names": self.late.names,
            },
        }

    def _erased_facts(self) -> dict[str, Any]:
        if not self.compared.counts[Verdict.ERASED]:
            return {}
        return {
            "erased": {
                "left": self.erased_left,
                "named": self.erased,
                "names": list(self.compared.erased),
            }
        }

    def _days(self) -> Mapping[str, Any]:
        days = {
            (day.isoformat() if day else "undated"): count.source for day, count in self.counts.days.items()
        }
        return {
            day: {"objects": side.objects, "bytes": side.bytes, "jsonl": side.jsonl}
            for day, side in sorted(days.items())
            if side.objects
        }


class _Scribe:
    """Gets every name when it is judged for good, and writes it down."""

    def __init__(self, found: Survey, lines: LinesFile | None) -> None:
        self._found = found
        self._lines = lines
        self.listing = True

    def add(self, findings: Sequence[DiffLine]) -> None:
        """See `backfill_job.copying.compare.Listener`."""
        found = self._found
        found.counts.add(findings)
        for finding in findings:
            found.late.add(finding)
            if finding.verdict is Verdict.EQUAL and finding.source is not None:
                self._write(finding, finding.source)
            elif finding.verdict is Verdict.ERASED and finding.source is not None:
                if finding.relative in found.named:
                    found.erased.append(finding.relative)
                    self._write(finding, finding.source)
            elif finding.verdict is Verdict.EXCLUDED:
                found.left += finding.source is not None

    def _write(self, finding: DiffLine, source: ObjectState) -> None:
        found = self._found
        what = classify(finding.relative, source.size)
        found.equal += 1
        found.size += source.size
        found.kinds[what.kind] += 1
        consumer = found.consumer
        if what.critical if consumer is None else consumer.is_critical(finding.relative):
            found.critical += 1
            found.critical_size += source.size
        folder, slash, _ = finding.relative.rpartition("/")
        if slash:
            found.folders.add(folder)
        if self._lines is not None:
            erased = finding.verdict is Verdict.ERASED
            line = erased_line(finding.relative, source) if erased else line_of(finding)
            (self._lines.add if self.listing else self._lines.add_late)(line)


def survey(
    run: Run,
    *,
    cutover: datetime | None,
    lines: LinesFile | None = None,
    erased: frozenset[str] = frozenset(),
    consumer: Consumer | None = None,
    expected: int | None = None,
) -> Survey:
    """Compare both paths, and write down what may be deleted. Changes nothing.

    Args:
        run: What to work with; it is listed in the order of the names.
        cutover: When the new path became the source of truth; None if it has not.
        lines: Gets every name found equal; None where only figures are wanted.
        expected: Names that an earlier comparison showed, for the progress; None where there was none.

    Raises:
        StorageError: A listing or look failed: there is no verdict, and nothing may be deleted.
        Interrupted: An operator stopped it.
    """
    tune_gc()
    found = Survey(DayCounts(), late_since(run.store, run.migration, cutover), consumer, named=erased)
    scribe = _Scribe(found, lines)
    # A dry run changes nothing, so it does not record what it finds equal either.
    by_bytes = ByBytes(run, None, record=lines is not None)
    comparison = Comparison(run.migration, run.served(), scribe, known=by_bytes.known)
    with counting(run.console, "comparing", total=expected) as add:
        uvloop.run(_compare(run, found, comparison, by_bytes, add))
    scribe.listing = False
    found.compared = comparison.result(
        run.gateway,
        grace=run.grace,
        clock=run.clock,
        both_written=cutover is not None,
        authority=run.authority,
        say=run.say,
    )
    found.data_sha256 = data_of(run.migration, found.counts).sha256
    log_comparison(run.log, run.migration, found.compared)
    log_erased(run.log, run.migration, found.compared)
    return found


async def _compare(
    run: Run, found: Survey, comparison: Comparison, by_bytes: ByBytes, add: Callable[[int], None]
) -> None:
    # One range after the other: the manifest is in the order of the names.
    ranges = sorted(run.ranges, key=lambda each: each.start)
    async with open_api(run, AT_ONCE) as api, aclosing(diff(api, run.migration, ranges, at_once=1)) as parts:
        async for lines in parts:
            run.stop.check()
            findings = await by_bytes.settled(api, [*lines])
            add(len(findings))
            extra = [finding for finding in findings if finding.verdict is Verdict.EXTRA]
            found.extra += len(extra)
            found.counts.add(extra)
            comparison.add(
                [finding for finding in findings if finding.verdict is not Verdict.EXTRA]
                if extra
                else findings
            )
    await by_bytes.flush()
