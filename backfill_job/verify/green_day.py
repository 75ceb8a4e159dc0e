"""How a verification after the cutover finds the parts of its day; `shared.green_days` puts the days in a row. Pure.

The parts::

    ===============  ===================================  =====================================  ==================================
    part             green                                red                                    not applicable
    ===============  ===================================  =====================================  ==================================
    verified equal   every legacy object is equal at the  one differs or is missing              never
                     new path, in this verification
    mirror alive     what was written at the new path     older than `ON_ITS_WAY` and not there  cut over without a mirror; or
                     came back                                                                   nothing was written
    no late writer   no write at the legacy path          one, in the data or by a mark          never
    no foreign       the audit log shows only principals  another one read or wrote there        `readers` never looked
    reader           that a person acknowledged
    consumer loaded  `loaded` found every day loaded      a day missing, in part, or twice       `loaded` never ran
    ===============  ===================================  =====================================  ==================================

Everything else is *not known*, and so is evidence that was applicable on an earlier day and is absent now. A part measures since the last
verification of an earlier day, so that two on one day judge the same. The first day measures since the cutover.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from backfill_job.copying.compare import Compared
from backfill_job.verify.late_writes import BroughtBack, LateWrites, cutover_of
from shared.errors import MigrationError
from shared.green_days import EQUAL, day_of, judged_before, parts_before
from shared.loaded import LoadedRecord
from shared.objects import is_later, time_text
from shared.phase import Phase
from shared.state import DayPart, Light, State, foreign_readers, too_few
from shared.text import counted, listed, minute_text, shown
from shared.verification import Verdict, said_of_counts

__all__ = [
    "LATE",
    "LOADED",
    "MIRROR",
    "ON_ITS_WAY",
    "READER",
    "DayEvidence",
    "judge_day",
    "measured_since",
    "to_come_back",
]

MIRROR, LATE, READER, LOADED = "mirror alive", "no late writer", "no foreign reader", "consumer loaded"

ON_ITS_WAY = timedelta(minutes=5)
"""An object younger than this may still be on its way to the legacy path."""

LAST_DAYS = timedelta(days=3)
"""How long before its run the newest day may be that `loaded` compared: the import of the days after it may not have ended."""

NOT_EQUAL = (Verdict.MISSING, Verdict.CONTENT_DIFFERS, Verdict.METADATA_DIFFERS)


@dataclass(frozen=True, slots=True)
class DayEvidence:
    """What a verification has to judge its day by.

    Attributes:
        compared: Its verdicts on the names.
        late: Writes on the legacy path.
        back: Writes on the new path.
        loaded: What `loaded` found last; None where it never ran, and an error where that cannot be read.
        excludes: Shell patterns of the names that it left out.
    """

    compared: Compared
    late: LateWrites
    back: BroughtBack
    loaded: LoadedRecord | MigrationError | None
    excludes: tuple[str, ...]


def measured_since(state: State, now: datetime) -> datetime:
    """Since when a verification that begins now measures: since that of an earlier day, or since the cutover."""
    return judged_before(state, day_of(now)) or cutover_of(state) or now


def to_come_back(state: State, now: datetime) -> BroughtBack:
    """Begin to count the writes on the new path since the cutover, while the reverse mirror brings them back."""
    cutover = cutover_of(state)
    if state.phase is not Phase.CUT_OVER or cutover is None:
        return BroughtBack()
    since, until = measured_since(state, now), now - ON_ITS_WAY
    return BroughtBack(time_text(cutover), time_text(since), time_text(until))


def judge_day(seen: DayEvidence, state: State) -> tuple[DayPart, ...]:
    """Judge the day on which a verification's comparison began, by the record as it is now; the phase is ``cut_over``."""
    since = measured_since(state, seen.compared.began)
    before = parts_before(state, day_of(seen.compared.began))
    return tuple(
        DayPart(name, Light.NOT_KNOWN, f"it was there before, and now: {evidence}")
        if light is Light.NOT_APPLICABLE
        and name in before
        and name != MIRROR  # it shows itself by writes only
        else DayPart(name, light, evidence)
        for name, (light, evidence) in _parts(seen, state, since)
    )


def _parts(seen: DayEvidence, state: State, since: datetime) -> Iterator[tuple[str, tuple[Light, str]]]:
    yield EQUAL, _equal(seen.compared, seen.excludes, state)
    yield MIRROR, _mirror(seen.back, since, without=state.without_mirror)
    yield LATE, _late(seen.late, since)
    yield READER, _readers(state, seen.compared.began, since)
    yield LOADED, _loaded(seen.loaded, state, seen.compared.began, since)


def _equal(compared: Compared, excludes: tuple[str, ...], state: State) -> tuple[Light, str]:
    """As the gate's verification: of all the names that the comparisons before compared, and not of a listing that was cut short."""
    erased = [Verdict.ERASED] if Verdict.ERASED in compared.wrong else []
    said = said_of_counts({verdict: compared.counts[verdict] for verdict in (*NOT_EQUAL, *erased)})
    if said:
        names = listed(
            sorted(shown(each.name) for each in compared.differences if each.verdict in NOT_EQUAL), 3
        )
        return Light.RED, f"{said}{f': {names}' if names else ''}"
    if compared.counts[Verdict.IN_FLIGHT]:
        return Light.NOT_KNOWN, f"{counted(compared.counts[Verdict.IN_FLIGHT], 'name')} not settled"
    if not compared.counts[Verdict.EQUAL]:
        return Light.NOT_KNOWN, "nothing was compared"
    if left_out := state.left_out_since(None, excludes):
        return (
            Light.NOT_KNOWN,
            f"names like {listed(map(shown, left_out), 3)} were left out, and compared before",
        )
    found = compared.looked_at - compared.counts[Verdict.ERASED]
    if too_few(found, measure := state.names_before(None, excludes)):
        return Light.NOT_KNOWN, f"{counted(found, 'name')} compared, and {measure:,} before"
    return Light.GREEN, f"{counted(compared.counts[Verdict.EQUAL], 'name')} equal"


def _mirror(back: BroughtBack, since: datetime, *, without: str) -> tuple[Light, str]:
    if without:
        return Light.NOT_APPLICABLE, f"cut over without a mirror: {without}"
    if not back.cutover:
        return Light.NOT_KNOWN, "a task began before the cutover"
    if back.waiting:
        minutes = ON_ITS_WAY.seconds // 60
        what = f"{counted(back.waiting, 'object')} written at the new path more than {minutes} minutes ago did not come back"
        return Light.RED, f"{what}, such as {shown(back.name)}"
    if back.back:
        return (
            Light.GREEN,
            f"{counted(back.back, 'object')} written at the new path since {minute_text(since)} came back",
        )
    return Light.NOT_APPLICABLE, f"nothing was written at the new path since {minute_text(since)}"


def _late(late: LateWrites, since: datetime) -> tuple[Light, str]:
    if not late.since:
        return Light.NOT_KNOWN, "a task began before the cutover"
    if late.newest and is_later(late.newest, time_text(since)):
        names = f", such as {shown(min(late.names))}" if late.names else ""
        return Light.RED, f"somebody wrote at the legacy path, last at {late.newest}{names}"
    return Light.GREEN, f"no write at the legacy path since {minute_text(since)}"


def _readers(state: State, began: datetime, since: datetime) -> tuple[Light, str]:
    """By the looks at the audit log since the cutover. A look ends before the verification that it counts for, so the next counts from there."""
    if not state.readers:
        return Light.NOT_APPLICABLE, "`readers` has not looked at the audit log since the cutover"
    ends = [look.ends for look in state.readers]
    if not _fresh(ends[0], began, since):
        return Light.NOT_KNOWN, _stale("readers", ends[0])
    counts_from = max((end for end in ends if end <= since), default=cutover_of(state) or since)
    found = foreign_readers(state, counts_from)
    if found is None:
        return (
            Light.NOT_KNOWN,
            f"the audit log is not proven to have been on since {minute_text(counts_from)}",
        )
    if found:
        said = (f"{shown(each.name)} ({each.use.value}, last at {minute_text(each.last)})" for each in found)
        return Light.RED, f"somebody used the legacy path: {listed(said, 3)}"
    return Light.GREEN, f"the audit log shows none from {minute_text(counts_from)} to {minute_text(ends[0])}"


def _fresh(ended: datetime, began: datetime, since: datetime) -> bool:
    """Whether evidence ended after the last day's verification, and today or yesterday."""
    return ended > since and day_of(ended) >= day_of(began) - timedelta(days=1)


def _stale(command: str, ended: datetime) -> str:
    return f"`{command}` ran last at {minute_text(ended)}; run it each day, then `verify`"


def _loaded(
    found: LoadedRecord | MigrationError | None, state: State, began: datetime, since: datetime
) -> tuple[Light, str]:
    """Only a comparison of the new path counts that ended since the last day's verification, today or yesterday."""
    if found is None:
        return Light.NOT_APPLICABLE, "`loaded` has left no result"
    if isinstance(found, MigrationError):
        return Light.NOT_KNOWN, f"what `loaded` left cannot be read: {found}"
    if (found.legacy, found.new, found.path) != (state.source, state.destination, state.destination):
        return Light.NOT_KNOWN, f"`loaded` compared {found.path} last, and not the new path"
    if not _fresh(found.finished, began, since):
        return Light.NOT_KNOWN, _stale("loaded", found.finished)
    newest = max((day.day for day in found.days), default=date.min)
    if newest < day_of(found.finished) - LAST_DAYS:
        return Light.NOT_KNOWN, f"`loaded` compared days up to {newest} only"
    if found.wrong:
        return Light.RED, found.summary
    return Light.GREEN if found.passed else Light.NOT_KNOWN, found.summary
