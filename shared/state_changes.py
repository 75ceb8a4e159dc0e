"""The changes of the migration's state, as pure functions.

Each adds an entry to the history, or a run; the rest of the state follows from the history. `shared.record.update` alone writes
a change to the record.

Phases::

    dual_write ──▶ cut_over ──▶ deleting ──▶ deleted
                    │   ▲
                    ▼   │
                 rolled_back
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from shared.errors import UsageError
from shared.phase import Phase
from shared.state import (
    SHA256,
    UNFIT,
    ComparisonRecord,
    DayPart,
    EntryKind,
    Erasure,
    HistoryEntry,
    ReadersRecord,
    RunRecord,
    Signatory,
    SignOff,
    Site,
    State,
    utc_text,
)
from shared.text import counted, listed, shown

__all__ = [
    "MAX_NOTE",
    "MAX_PRINCIPAL",
    "MAX_PRINCIPALS",
    "MAX_RUNS",
    "MAX_SITES",
    "MAX_WHO",
    "Stamp",
    "begun",
    "compared",
    "comparing",
    "deletion_goes_on",
    "erased",
    "reader_acknowledged",
    "readers_seen",
    "sign_off",
    "sites_accepted",
    "sites_seen",
    "under_way",
    "with_phase",
    "with_run",
    "withdraw",
]

MAX_WHO = 200
"""Longest name of a person, in characters."""

MAX_NOTE = 1_000
"""Longest note, and longest text of a run, in characters."""

MAX_SITES = 100
"""Most places of the consumers' code on record, so that the state stays small."""

MAX_PRINCIPAL = 300
"""Longest name of a principal in an audit log, in characters."""

MAX_PRINCIPALS = 100
"""Most principals of one look at an audit log, for the same reason."""

MAX_RUNS = 200
"""The state keeps so many runs, so that a sweeper on a schedule does not make it grow without end."""

_NEXT = {
    Phase.DUAL_WRITE: (Phase.CUT_OVER,),
    Phase.CUT_OVER: (Phase.ROLLED_BACK, Phase.DELETING),
    Phase.ROLLED_BACK: (Phase.CUT_OVER,),
    Phase.DELETING: (Phase.DELETED,),
    Phase.DELETED: (),
}


@dataclass(frozen=True, slots=True)
class Stamp:
    """One change: its unique id, the person who makes it, and its time (aware)."""

    change: str
    by: str
    at: datetime


def begun(state: State, phase: Phase, stamp: Stamp, note: str = "") -> State:
    """Begin the migration, in its first phase or in the one that a person names for a record that was lost."""
    return _noted(replace(state, phase=phase), stamp, EntryKind.BEGUN, note=_line("the note", note, MAX_NOTE))


def with_phase(state: State, phase: Phase, stamp: Stamp, **details: Any) -> State:
    """Move to another phase; the same state if it is in that phase already. A rollback voids the sign-offs: they were for the cutover that it reverses.

    Args:
        details: Further fields of the entry: the manifest and the overridden checks of a deletion.

    Raises:
        UsageError: The phase cannot follow the present one.
    """
    if phase is state.phase:
        return state
    ways = _NEXT[state.phase]
    if phase not in ways:
        possible = " or ".join(way.value for way in ways) or "nothing"
        raise UsageError(
            f"the migration is in phase {_standing(state)}; {possible} can follow, not {phase.value}"
        )
    void: tuple[str, ...] = ()
    if phase is Phase.ROLLED_BACK:
        void = tuple(f"{signoff.name.value} by {signoff.by}" for signoff in state.signoffs)
    return _noted(replace(state, phase=phase), stamp, EntryKind.PHASE, was=state.phase, void=void, **details)


def deletion_goes_on(state: State, stamp: Stamp, **details: Any) -> State:
    """Note that a further manifest deletes what an earlier deletion left; `details` as in `with_phase`."""
    return _noted(state, stamp, EntryKind.DELETION_GOES_ON, **details)


def sign_off(state: State, name: Signatory, stamp: Stamp, note: str = "") -> State:
    """Record one person's consent to the next cutover. Several persons may sign for one signatory.

    A person's second sign-off for the same signatory changes only the history.

    Raises:
        UsageError: The phase has no cutover ahead, or the person's name or the note is not one line of plain text.
    """
    stamp, note = _checked(stamp), _line("the note", note, MAX_NOTE)
    _require_cutover_ahead(state)
    earlier = _signoff_of(state, name, stamp.by)
    if earlier is not None:
        return _noted(state, stamp, EntryKind.SIGNED_AGAIN, signatory=name, signed=earlier.at, note=note)
    return _noted(state, stamp, EntryKind.SIGN_OFF, signatory=name, note=note)


def withdraw(state: State, name: Signatory, stamp: Stamp, note: str = "") -> State:
    """Withdraw a person's sign-off. The history keeps both.

    Raises:
        UsageError: The person has not signed for this signatory, or the phase has no cutover ahead.
    """
    stamp, note = _checked(stamp), _line("the note", note, MAX_NOTE)
    _require_cutover_ahead(state)
    earlier = _signoff_of(state, name, stamp.by)
    if earlier is None:
        signed = ", ".join(signoff.by for signoff in state.signoffs if signoff.name is name) or "no one"
        raise UsageError(
            f"{stamp.by} has not signed off {name.value}, so there is nothing to withdraw; signed by: {signed}"
        )
    return _noted(state, stamp, EntryKind.WITHDRAWN, signatory=name, signed=earlier.at, note=note)


def comparing(state: State, stamp: Stamp, run: str, *, shared: bool = False) -> State:
    """Record that a full comparison begins. Where tasks share the run (`shared`), the first of them records it for all."""
    if shared and under_way(state, stamp.by, run) is not None:
        return state
    return _noted(state, stamp, EntryKind.COMPARING, run=_fit(run))


def under_way(state: State, by: str, run: str) -> HistoryEntry | None:
    """The comparison of a command's run that has begun and not ended."""
    ended = {each.begun for each in state.comparisons}
    return next(
        (
            entry
            for entry in reversed(state.history)
            if entry.kind is EntryKind.COMPARING
            and (entry.by, entry.run) == (by, _fit(run))
            and entry.change not in ended
        ),
        None,
    )


def compared(state: State, stamp: Stamp, found: ComparisonRecord, day: Iterable[DayPart] = ()) -> State:
    """Record what a full comparison found, and the parts of its day; the same state where another task has done so."""
    if any(each.begun == found.begun for each in state.comparisons):
        return state
    parts = tuple(replace(part, evidence=_fit(part.evidence)) for part in day)
    return _noted(state, stamp, EntryKind.COMPARED, comparison=replace(found, run=_fit(found.run)), day=parts)


def sites_seen(state: State, stamp: Stamp, sites: Iterable[Site]) -> State:
    """Record the places that read the legacy path and are not on record, or of which there are more now.

    Only while both paths are live; after a deletion has begun, the state stays the same.

    Raises:
        UsageError: There would be more than `MAX_SITES`.
    """
    known = state.sites
    new = tuple(one for one in sites if one.name not in known or known[one.name].places < one.places)
    if not new or Phase.DELETED in _NEXT[state.phase] or not _NEXT[state.phase]:
        return state
    if len(known.keys() | {one.name for one in new}) > MAX_SITES:
        raise UsageError(
            f"more than {MAX_SITES} places read the legacy path; name only the consumers' code, or leave out with --skip"
        )
    return _noted(state, stamp, EntryKind.SITES_SEEN, sites=new)


def sites_accepted(state: State, stamp: Stamp, sites: Iterable[Site], reason: str) -> State:
    """Record that a person accepts places as they are now; without any, that there is no consumer.

    Raises:
        UsageError: The reason or the person's name is not one line of plain text.
    """
    note = _line("the reason", reason, MAX_NOTE, least=1)
    return _noted(state, stamp, EntryKind.SITES_ACCEPTED, sites=tuple(sites), note=note)


def erased(state: State, stamp: Stamp, erasure: Erasure) -> State:
    """Record that a person erases names."""
    return _noted(state, stamp, EntryKind.ERASURE, erasure=erasure)


def readers_seen(state: State, stamp: Stamp, found: ReadersRecord, own: Iterable[str] = ()) -> State:
    """Record who used the legacy path, by the audit log; the command makes the change.

    Args:
        own: Whom the operator named as the migration's own, so that the look does not show them.

    Raises:
        UsageError: There are more than `MAX_PRINCIPALS`, or a name is not one line of plain text.
        ValueError: The time is not in its order.
    """
    if not found.asked <= found.begins <= found.ends:
        raise ValueError(f"the log was asked from {found.asked}, and proves {found.begins} to {found.ends}")
    if len({each.name for each in found.principals}) > MAX_PRINCIPALS:
        raise UsageError(
            f"more than {MAX_PRINCIPALS} principals used the legacy path; name those of the migration with --own"
        )
    for each in found.principals:
        if _line("the name of a principal", each.name, MAX_PRINCIPAL, least=1) != each.name:
            raise UsageError(f"the name of a principal, {shown(each.name)}, begins or ends with a space")
    named = ", ".join(sorted(set(own)))
    note = _fit(f"left out as the migration's own: {named}") if named else ""
    return _noted(state, stamp, EntryKind.READERS_SEEN, readers=found, note=note)


def reader_acknowledged(state: State, stamp: Stamp, principal: str, reason: str = "") -> State:
    """Record that a person acknowledges a principal on the legacy path, until the source of truth changes.

    Raises:
        UsageError: No look at the audit log since then has seen it, or a text is not one line of plain text. After a cutover,
            a use of before it is none: else an acknowledgement would hide a consumer that did not switch.
    """
    note, ended = _line("the reason", reason, MAX_NOTE), state.legacy_ended
    used = (each for look in state.readers for each in look.principals)
    seen = dict.fromkeys(each.name for each in used if ended is None or each.last >= ended)
    if principal not in seen:
        there = listed([name for name in seen if name not in state.acknowledged], 10) or "none"
        raise UsageError(
            f"--acknowledge {shown(principal)}: no such principal is on record in this phase; to be acknowledged: {there}"
        )
    return _noted(state, stamp, EntryKind.READER_ACKNOWLEDGED, principal=principal, note=note)


def with_run(state: State, record: RunRecord) -> State:
    """Record a run.

    The state keeps the newest `MAX_RUNS`. It always keeps the newest run with a certificate, which the gate needs
    after any number of sweeps.

    Args:
        record: The run. Its texts may quote names of objects, so each becomes one printable line.

    Returns:
        The new state; the same one if it has the record already.

    Raises:
        ValueError: The certificate is not a SHA-256, or the time has no time zone.
    """
    record = replace(
        record,
        run=_fit(record.run),
        command=_fit(record.command),
        finished=_utc(record.finished),
        summary=_fit(record.summary),
        report=None if record.report is None else _fit(record.report),
    )
    if record.certificate_sha256 is not None and not SHA256.fullmatch(record.certificate_sha256):
        raise ValueError(f"{record.certificate_sha256!r} is not a SHA-256 in hexadecimal digits")
    if record in state.runs:
        return state
    grown = replace(state, runs=(*state.runs, record))
    excess = max(0, len(grown.runs) - MAX_RUNS)
    dropped = [run for run in grown.runs if run is not grown.certified][:excess]
    return replace(grown, runs=tuple(run for run in grown.runs if run not in dropped))


def _noted(state: State, stamp: Stamp, kind: EntryKind, **details: Any) -> State:
    stamp = _checked(stamp)
    return state.with_entry(HistoryEntry(stamp.at, stamp.by, stamp.change, kind, state.phase, **details))


def _checked(stamp: Stamp) -> Stamp:
    change = _line("the change's id", stamp.change, MAX_WHO, least=1)
    return Stamp(change, _line("the name of who it is", stamp.by, MAX_WHO, least=1), _utc(stamp.at))


def _line(what: str, text: str, most: int, *, least: int = 0) -> str:
    """Check a person's text; only spaces at its ends are removed."""
    text = text.strip()
    unfit = UNFIT.search(text)
    if unfit:
        raise UsageError(
            f"{what} holds the character U+{ord(unfit[0]):04X}; one line of plain text is wanted"
        )
    if not least <= len(text) <= most:
        raise UsageError(f"{what} has {counted(len(text), 'character')}; {least} to {most:,} are wanted")
    return text


def _fit(text: str) -> str:
    """Turn a program's text into one printable line; marks show what is missing."""
    text = UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= MAX_NOTE else text[: MAX_NOTE - 1] + "…"


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC)


def _signoff_of(state: State, name: Signatory, by: str) -> SignOff | None:
    return next((signoff for signoff in state.signoffs if (signoff.name, signoff.by) == (name, by)), None)


def _require_cutover_ahead(state: State) -> None:
    if Phase.CUT_OVER not in _NEXT[state.phase]:
        raise UsageError(
            f"the migration is in phase {_standing(state)}; sign-offs are for a cutover, and it has taken place"
        )


def _standing(state: State) -> str:
    return state.phase.value if state.since is None else f"{state.phase.value} since {utc_text(state.since)}"
