"""The changes of the migration's state, and the safe way to write one while others write too.

The changes are pure functions: `with_phase`, `sign_off`, `withdraw`, `with_run`. `update` alone writes them to the state
object:

- *No change is lost.* `update` reads the state with its generation and applies a pure function. It writes on condition
  that the generation is still the same. If it is not, `update` applies the function again, to the newer state.
- *No change is made twice.* A write whose answer was lost fails its own repetition. By then another program may have written
  on top of it. So `update` checks whether the newer state holds what its own write added. That works because the
  history only grows, and each entry carries the id of its change.
- *Every decision stays on record.* `update` refuses a function that removes anything from the history. It also refuses one
  that changes the state without a new entry in the history or in the runs.

Phases::

    dual_write ──▶ cut_over ──▶ deleting ──▶ deleted
                    │   ▲
                    ▼   │
                 rolled_back
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from shared.decision import ABSENT
from shared.errors import ConditionFailed, Contended, PhaseUnknown, UsageError
from shared.migration import Migration
from shared.phase import Phase, state_ref
from shared.state import SHA256, UNFIT, HistoryEntry, RunRecord, Signatory, SignOff, State, utc_text
from shared.store import ContentsStore

__all__ = [
    "MAX_NOTE",
    "MAX_RUNS",
    "MAX_WHO",
    "TRIES",
    "Begun",
    "Stamp",
    "begun_manifests",
    "sign_off",
    "update",
    "with_phase",
    "with_run",
    "withdraw",
]

MAX_WHO = 200
"""Longest name of a person, in characters."""

MAX_NOTE = 1_000
"""Longest note, and longest text of a run, in characters."""

MAX_RUNS = 200
"""The state keeps so many runs, so that a sweeper on a schedule does not make it grow without end."""

TRIES = 30
"""An update gives up after so many attempts. At each of them another program's change was faster."""

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


def update(
    store: ContentsStore, migration: Migration, change: Callable[[State], State], *, tries: int = TRIES
) -> State:
    """Change the state so that no change is lost and none is made twice.

    Args:
        change: Returns the new state, or the same state if there is nothing to change. It must be pure: `update`
            applies it again after each faster change. It checks all that must hold at the moment of the change.

    Returns:
        A state that holds the change; other programs may have changed it since.

    Raises:
        UsageError: `change` raised it: the change does not fit the present state. Nothing is written.
        PhaseUnknown: The state is damaged, or was deleted meanwhile. Nothing is written.
        Contended: Another program was faster at each attempt.
        StorageError: The state could not be read or written. Without an answer, it may have been written.
        ValueError: `change` breaks a rule above; a fault of the program.
    """
    at = state_ref(migration)
    before = after = None
    for number in range(tries + 1):
        found = store.read_version(at)
        if found is None and after is not None:
            # The failed condition shows that there was an object. A write now would start the state from nothing.
            raise PhaseUnknown(
                at.uri, "it was deleted while it was changed; restore it (soft delete or versioning keeps it)"
            )
        generation = ABSENT if found is None else found[0]
        now = State.initial(migration) if found is None else State.from_json(found[1], migration)
        if before is not None and after is not None and _holds(now, before, after):
            return now
        if number == tries:  # the last read only checks our own last write, whose answer may be lost
            break
        before, after = now, change(now)
        if after == before:
            return after
        _check_kept(before, after)
        try:
            store.write(at, after.to_json(), if_generation=generation)
        except ConditionFailed:
            continue
        return after
    raise Contended(at.uri, f"others changed it during each of {tries} tries; run the same command again")


def with_phase(state: State, phase: Phase, stamp: Stamp) -> State:
    """Move to another phase. A rollback voids the sign-offs: they were for the cutover that it reverses.

    Returns:
        The new state; the same one if it is in that phase already.

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
    stamp = _checked(stamp)
    what = f"phase {state.phase.value} to {phase.value}"
    signoffs = state.signoffs
    if phase is Phase.ROLLED_BACK and signoffs:
        given = ", ".join(f"{signoff.name.value} by {signoff.by}" for signoff in signoffs)
        what += f"; to be signed anew: {given}"
        signoffs = ()
    return replace(_noted(state, stamp, what), phase=phase, since=stamp.at, signoffs=signoffs)


def sign_off(state: State, name: Signatory, stamp: Stamp, note: str = "") -> State:
    """Record one person's consent to the next cutover. Several persons may sign for one signatory.

    A person's second sign-off for the same signatory changes only the history.

    Args:
        stamp: The person who signs makes the change.

    Raises:
        UsageError: The phase has no cutover ahead, or the person's name or the note is not one line of plain text.
    """
    stamp, note = _checked(stamp), _line("the note", note, MAX_NOTE)
    _require_cutover_ahead(state)
    earlier = _signoff_of(state, name, stamp.by)
    if earlier is not None:
        what = f"sign-off {name.value} again, the one of {utc_text(earlier.at)} stands"
        return _noted(state, stamp, _with_note(what, note))
    signoff = SignOff(name, stamp.by, stamp.at, note)
    noted = _noted(state, stamp, _with_note(f"sign-off {name.value}", note))
    return replace(noted, signoffs=(*state.signoffs, signoff))


def withdraw(state: State, name: Signatory, stamp: Stamp, note: str = "") -> State:
    """Withdraw a person's sign-off. The history keeps both.

    Args:
        stamp: The person who signed makes the change.

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
    what = f"sign-off {name.value} of {utc_text(earlier.at)} withdrawn"
    noted = _noted(state, stamp, _with_note(what, note))
    return replace(noted, signoffs=tuple(signoff for signoff in state.signoffs if signoff is not earlier))


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


def _holds(now: State, before: State, after: State) -> bool:
    """Tell whether the present state has what a write added to `before`."""
    entries, runs = set(after.history) - set(before.history), set(after.runs) - set(before.runs)
    return entries <= set(now.history) and runs <= set(now.runs)


def _check_kept(before: State, after: State) -> None:
    if after.history[: len(before.history)] != before.history:
        raise ValueError("a change must keep the state's history")
    if after.history == before.history and set(after.runs) <= set(before.runs):
        raise ValueError("a change must leave an entry in the state's history, or a run")
    if len({entry.change for entry in after.history}) < len(after.history):
        raise ValueError("each change needs an id of its own")


def _noted(state: State, stamp: Stamp, what: str) -> State:
    return replace(state, history=(*state.history, HistoryEntry(stamp.at, stamp.by, what, stamp.change)))


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
        raise UsageError(f"{what} has {len(text)} characters; {least} to {most} are wanted")
    return text


def _fit(text: str) -> str:
    """Turn a program's text into one printable line; marks show what is missing."""
    text = UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= MAX_NOTE else text[: MAX_NOTE - 1] + "…"


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC)


def _with_note(what: str, note: str) -> str:
    return f"{what}: {note}" if note else what


def _signoff_of(state: State, name: Signatory, by: str) -> SignOff | None:
    return next((signoff for signoff in state.signoffs if (signoff.name, signoff.by) == (name, by)), None)


def _require_cutover_ahead(state: State) -> None:
    if Phase.CUT_OVER not in _NEXT[state.phase]:
        raise UsageError(
            f"the migration is in phase {_standing(state)}; sign-offs are for a cutover, and it has taken place"
        )


def _standing(state: State) -> str:
    return state.phase.value if state.since is None else f"{state.phase.value} since {utc_text(state.since)}"


_BEGUN = re.compile(
    r"(?:phase cut_over to deleting|deletion goes on); manifest (\S+\.json) sha256 ([0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Begun:
    """A manifest that a deletion began with: its head's file name and SHA-256."""

    name: str
    sha256: str


def begun_manifests(state: State) -> tuple[Begun, ...]:
    """The manifests that deletions began with, oldest first: `backfill_job.deletion.phases` writes these entries."""
    matches = (_BEGUN.match(entry.what) for entry in state.history)
    return tuple(Begun(match[1], match[2]) for match in matches if match)
