"""The verdict in one line, and its tone. Pure.

The page never sounds better than the evidence. It calls nothing good that was not compared, is not settled, contradicts
itself, or is old.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from shared.phase import DELETION_BEGUN, Phase
from shared.report.wording import PHASE_WORDS, VERDICT_WORDS
from shared.state import ComparisonRecord, State
from shared.text import age, counted, minute_text
from shared.verification import OF_NAMES, Level, Verdict, Verification

__all__ = [
    "FRESH",
    "Headline",
    "Tone",
    "headline",
    "later_comparison",
    "legacy_objects_again",
    "status_headline",
    "undone_since",
    "unknown_headline",
]

FRESH = timedelta(hours=24)
"""A verification older than this is called old: the writer has written a day's objects since."""


class Tone(Enum):
    """How good the news is. Each tone has its own shape, colour and word."""

    GOOD = "good"
    ATTENTION = "attention"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict in a few words; the reasons are what it rests on or what prevents a better one, one sentence each."""

    tone: Tone
    title: str
    reasons: tuple[str, ...] = ()


def headline(verification: Verification) -> Headline:
    """Judge a verification by itself."""
    counts = verification.counts
    numbers = {
        "missing": counts[Verdict.MISSING],
        "differing": counts[Verdict.CONTENT_DIFFERS] + counts[Verdict.METADATA_DIFFERS],
        "extra": counts[Verdict.EXTRA],
        "in flight": counts[Verdict.IN_FLIGHT],
        "erased since": verification.too_many_erased,
    }
    apart = [f"{number:,} {what}" for what, number in numbers.items() if number]
    contradictions = _contradictions(verification)
    if contradictions:
        return Headline(Tone.BAD, "This report contradicts itself", contradictions)
    if apart == [f"{counts[Verdict.IN_FLIGHT]:,} in flight"]:
        return Headline(Tone.ATTENTION, f"Not proven equal yet: {apart[0]}")
    if apart:
        return Headline(Tone.BAD, f"Not equal: {', '.join(apart)}")
    if not verification.compared:
        excluded = counts[Verdict.EXCLUDED]
        why = f"All is excluded: {counted(excluded, 'name')} on either side. Are the patterns right?"
        why = why if excluded else "There is no object on either side. Are the paths right?"
        return Headline(Tone.ATTENTION, "Nothing was compared", (why,))
    reservations = _reservations(verification)
    if reservations:
        return Headline(Tone.ATTENTION, "Equal, but something needs a look", reservations)
    warnings = sum(remark.level is Level.WARNING for remark in verification.remarks)
    reasons = (f"{counted(warnings, 'warning')} below.",) if warnings else ()
    return Headline(Tone.GOOD, "Equal: nothing missing, nothing differs", reasons)


def status_headline(state: State, verification: Verification | None, now: datetime) -> Headline:
    """Judge the migration by its newest comparison on record and its latest verification, None if there was none."""
    if not state.begun:
        return Headline(
            Tone.UNKNOWN,
            "Not begun",
            ("There is no record of this migration. If it was under way, its record is lost: restore it.",),
        )
    if state.phase in DELETION_BEGUN:
        return _after_deletion(state, verification)
    newest = later_comparison(state, verification)
    if newest is not None:
        found = _by_comparison(newest, state, verification)
        ended = next(entry.at for entry in reversed(state.history) if entry.comparison == newest)
        doubts = _doubts(state, ended, now, before=not state.in_this_phase(newest))
    elif verification is not None:
        found = headline(verification)
        before = not state.ran_in_this_phase(verification.run, verification.started)
        doubts = _doubts(state, verification.finished, now, before=before)
    else:
        why = "No command has compared the two paths on record; nothing is known of them."
        return Headline(Tone.UNKNOWN, "Never verified", (why,))
    if not doubts:
        return found
    if found.tone is Tone.GOOD:
        return Headline(Tone.ATTENTION, "Equal when it was last verified", (*doubts, *found.reasons))
    return Headline(found.tone, found.title, (*found.reasons, *doubts))


def later_comparison(state: State, verification: Verification | None) -> ComparisonRecord | None:
    """The newest comparison on record, where it is not that of the latest verification; else None."""
    newest = state.newest_comparison
    if newest is None or verification is None or newest.file_sha256 is None:
        return newest
    same = newest.run == verification.run and newest.equal is (
        verification.unsettled == 0 and verification.compared > 0
    )
    return None if same else newest


def _by_comparison(newest: ComparisonRecord, state: State, verification: Verification | None) -> Headline:
    """Judge a comparison that left no report."""
    only_extra = newest.wrong == newest.extra and state.phase is Phase.CUT_OVER
    if newest.wrong and not only_extra:
        return Headline(Tone.BAD, f"Not equal: {counted(newest.wrong, 'name')}", (f"{newest.said}.",))
    if newest.wrong:
        why = "After the cutover these are new exports, which the reverse mirror has not brought back yet."
        title = f"Only the new path has {counted(newest.wrong, 'object')}"
        return Headline(Tone.ATTENTION, title, (f"{newest.said}.", why))
    if not newest.compared:
        why = f"{newest.said}: no object on either side, or all left out. Are the paths and --exclude right?"
        return Headline(Tone.ATTENTION, "Nothing was compared", (why,))
    beside = () if verification is None else _beside_the_names(verification)
    if beside:
        return Headline(Tone.ATTENTION, "Equal, but something needs a look", (f"{newest.said}.", *beside))
    return Headline(Tone.GOOD, "Equal: nothing missing, nothing differs", (f"{newest.said}.",))


def unknown_headline(what: Sequence[str]) -> Headline:
    """Say what could not be read, and that nothing is known."""
    return Headline(Tone.UNKNOWN, "Unknown: not everything could be read", tuple(what))


def _contradictions(verification: Verification) -> tuple[str, ...]:
    """Days and totals are counted at different places, so that a mistake in counting shows."""
    by_day: Counter[Verdict] = Counter()
    for day in (*verification.days, verification.undated):
        by_day.update(day.verdicts)
    return tuple(
        f"The days add up to {by_day[verdict]:,} {VERDICT_WORDS[verdict]}, the total says {total:,}: "
        "a fault of the program. Do not rely on this report."
        for verdict, total in verification.counts.items()
        # What is left out is not looked at, so it need not be given a day.
        if verdict is not Verdict.EXCLUDED and by_day[verdict] != total
    )


def _beside_the_names(verification: Verification, of_names: frozenset[str] = OF_NAMES) -> tuple[str, ...]:
    """What a verification found beside how the names compare; without remarks of these kinds, which follow from that."""
    found = []
    critical = sum(
        remark.level is Level.CRITICAL and remark.kind not in of_names for remark in verification.remarks
    )
    if critical:
        found.append(f"{counted(critical, 'critical remark')} below.")
    contents = verification.contents
    if contents is not None and contents.migration_problems:
        found.append("Reading the files found problems that only the destination has.")
    return tuple(found)


def _reservations(verification: Verification) -> tuple[str, ...]:
    found = [*_beside_the_names(verification, of_names=frozenset())]
    erased = verification.counts.get(Verdict.ERASED, 0)
    if verification.totals.source.digest != verification.totals.destination.digest and not erased:
        found.append(
            "The two listings' digests differ, although every name was found equal when looked at again: "
            "objects changed meanwhile. Verify again."
        )
    if verification.exit_code and not found:
        found.append(f"The command ended with exit code {verification.exit_code}; its summary says why.")
    return tuple(found)


def _doubts(state: State, verified: datetime, now: datetime, *, before: bool) -> tuple[str, ...]:
    """What speaks against relying on a comparison; `before` says that it began before the phase did."""
    found = []
    if before and state.since is not None:
        found.append(
            f"It was verified before the phase became “{PHASE_WORDS[state.phase].lower()}” "
            f"({minute_text(state.since)})."
        )
    if now - verified > FRESH:
        found.append(f"It was verified {age(verified, now)}; much was written since.")
    if state.runs and state.runs[-1].exit_code and state.runs[-1].finished > verified:
        last = state.runs[-1]
        found.append(f"A later run of {last.command} ended with exit code {last.exit_code}.")
    return tuple(found)


def legacy_objects_again(state: State) -> int:
    """How many objects the newest comparison since the phase ``deleted`` found at the legacy path; 0 where there is none."""
    newest = state.newest_comparison
    if state.phase is not Phase.DELETED or newest is None or not state.in_this_phase(newest):
        return 0
    return newest.compared - newest.extra


def undone_since(state: State) -> bool:
    """Whether an undo ended since the deletion did."""
    undone, deleted = state.last_undo, state.since
    return state.phase is Phase.DELETED and undone is not None and deleted is not None and undone > deleted


def _there_again(state: State) -> tuple[str, ...]:
    if objects := legacy_objects_again(state):
        there = f"Since then {counted(objects, 'object')} came to the legacy path again"
        return (f"{there}: by an undo, or by a writer.",)
    return (
        ("Since then an undo ran: the latest runs say what it brought back.",) if undone_since(state) else ()
    )


def _after_deletion(state: State, verification: Verification | None) -> Headline:
    """During and after the deletion the sides differ on purpose; only what was found before it counts."""
    title = f"The legacy path is {'deleted' if state.phase is Phase.DELETED else 'being deleted'}"
    compared = state.comparison_before_deletion
    if compared is not None and compared.compared > compared.extra:
        beside = () if verification is None else _beside_the_names(verification)
        if compared.wrong > compared.extra:
            return _not_all_equal(
                state, title, (f"Before it: {compared.said}.", *_there_again(state), *beside)
            )
        objects = counted(compared.compared - compared.extra, "legacy object")
        reason = f"Before it, {compared.command} compared {objects}: all were equal at the new path."
        again = _there_again(state)
        tone = Tone.ATTENTION if beside or again else Tone.GOOD
        return Headline(tone, title, (reason, *again, *beside))
    if verification is None:
        return Headline(Tone.UNKNOWN, title, ("No verification is on record.",))
    if state.since is None or verification.started >= state.since:
        why = "The verification below was made after the deletion began, so the sides differ on purpose."
        return Headline(Tone.UNKNOWN, title, (why,))
    before, extra = headline(verification), verification.counts[Verdict.EXTRA]
    reason = f"Before it, the verification found: {before.title.lower()}."
    if before.tone is not Tone.BAD or _contradictions(verification):
        return Headline(before.tone, title, (reason, *before.reasons))
    if verification.unsettled == extra < verification.compared:
        beside = _beside_the_names(verification)
        reason = f"Before it, the verification found every legacy object equal; {counted(extra, 'object')} only at the new path."
        return Headline(Tone.ATTENTION if beside else Tone.GOOD, title, (reason, *beside))
    return _not_all_equal(state, title, (reason, *before.reasons))


def _not_all_equal(state: State, title: str, reasons: tuple[str, ...]) -> Headline:
    """The last comparison before the deletion found differences. The deletion itself compares again, and deletes only what is equal."""
    if state.phase is Phase.DELETING:
        return Headline(Tone.BAD, title, reasons)
    why = "The deletion compared again by itself. It deleted only versions that it found equal at the new path, and left all others."
    return Headline(Tone.ATTENTION, title, (*reasons, why))
