"""What may become of the migration's state, and how it is changed while others change it too.

What may become of it are pure functions: the phases' ways (`with_phase`), consent given and taken back (`sign_off`,
`withdraw`), runs (`with_run`). `update` is the one door through which they reach the state object:

- *Nobody's change is lost.* The state is read with its generation, changed by a pure function, and written on condition
  that the generation is still the same. If it is not, the function is applied again, to the newer state.
- *No change is made twice.* A write whose answer was lost fails its own repetition, and by then somebody else may have
  written on top of it. So the newer state is asked whether it holds what our write added: the history is never cut, and
  each of its entries carries the id of its change.
- *What was decided stays on record.* `update` refuses a function that takes anything out of the history, or that changes
  the state without adding to its history or its runs.

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
"""How many runs are kept, so that a sweeper on a schedule does not make the state grow for ever."""

TRIES = 30
"""How often an update starts before it gives up. Every time but the last somebody else's change went through."""

_NEXT = {
    Phase.DUAL_WRITE: (Phase.CUT_OVER,),
    Phase.CUT_OVER: (Phase.ROLLED_BACK, Phase.DELETING),
    Phase.ROLLED_BACK: (Phase.CUT_OVER,),
    Phase.DELETING: (Phase.DELETED,),
    Phase.DELETED: (),
}


@dataclass(frozen=True, slots=True)
class Stamp:
    """One change: which, whose, and when.

    Attributes:
        change: An id that no other change has.
        by: Who changes the state.
        at: When; aware.
    """

    change: str
    by: str
    at: datetime


def update(
    store: ContentsStore, migration: Migration, change: Callable[[State], State], *, tries: int = TRIES
) -> State:
    """Change the state so that nobody's change is lost and none is made twice.

    Args:
        store: Where it lies.
        migration: Whose state.
        change: Gives the state as it should be, or the same if there is nothing to change. Pure: it is applied anew
            whenever somebody else was faster. What must hold when the change is made belongs into it.
        tries: How often to start before giving up.

    Returns:
        The state that holds the change; somebody may have changed it since.

    Raises:
        UsageError: Whatever `change` raises: it cannot be applied to the state that is there. Nothing is written.
        PhaseUnknown: The state is damaged, or was deleted meanwhile. Nothing is written.
        Contended: Somebody else was faster every time.
        StorageError: It could not be read or written. If no answer came, it may have been written.
        ValueError: `change` does not keep to what it must; a fault of the program.
    """
    at = state_ref(migration)
    before = after = None
    for number in range(tries + 1):
        found = store.read_version(at)
        if found is None and after is not None:
            # A condition that failed means that there was an object; and from nothing it would begin anew.
            raise PhaseUnknown(
                at.uri, "it was deleted while it was changed; restore it (soft delete or versioning keeps it)"
            )
        generation = ABSENT if found is None else found[0]
        now = State.initial(migration) if found is None else State.from_json(found[1], migration)
        if before is not None and after is not None and _holds(now, before, after):
            return now
        if number == tries:  # the last look was only for our own last write, whose answer may have been lost
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
    raise Contended(at.uri, f"others changed it during each of {tries} tries; give the same command again")


def with_phase(state: State, phase: Phase, stamp: Stamp) -> State:
    """Move the migration on. A rollback voids the sign-offs: they were for the cutover that is taken back.

    Args:
        state: The state.
        phase: Where to.
        stamp: The change.

    Returns:
        The new state; the same one if it is in that phase already.

    Raises:
        UsageError: No way leads there.
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

    A person's second sign-off for the same changes nothing but the history.

    Args:
        state: The state.
        name: For whom.
        stamp: The change; the person is who makes it.
        note: What the person has to say.

    Returns:
        The new state.

    Raises:
        UsageError: There is no cutover ahead, or the person's name or the note cannot be taken.
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
    """Take a person's sign-off back. The history keeps both.

    Args:
        state: The state.
        name: For whom it was given.
        stamp: The change; the person is who makes it.
        note: What the person has to say.

    Returns:
        The new state.

    Raises:
        UsageError: There is no such sign-off, or no cutover ahead.
    """
    stamp, note = _checked(stamp), _line("the note", note, MAX_NOTE)
    _require_cutover_ahead(state)
    earlier = _signoff_of(state, name, stamp.by)
    if earlier is None:
        signed = ", ".join(signoff.by for signoff in state.signoffs if signoff.name is name) or "nobody"
        raise UsageError(
            f"{stamp.by} has not signed off {name.value}, so there is nothing to withdraw; signed by: {signed}"
        )
    what = f"sign-off {name.value} of {utc_text(earlier.at)} withdrawn"
    noted = _noted(state, stamp, _with_note(what, note))
    return replace(noted, signoffs=tuple(signoff for signoff in state.signoffs if signoff is not earlier))


def with_run(state: State, record: RunRecord) -> State:
    """Record a run.

    The newest `MAX_RUNS` are kept. The newest one with a certificate is always among them: a gate asks for it, however
    many sweeps there were since.

    Args:
        state: The state.
        record: The run. Its texts are made fit for one line each, since they may quote names of objects.

    Returns:
        The new state; the same one if the record is there already.

    Raises:
        ValueError: The certificate is no SHA-256, or the time has no time zone.
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
        raise ValueError(f"{record.certificate_sha256!r} is no SHA-256 in hexadecimal digits")
    if record in state.runs:
        return state
    grown = replace(state, runs=(*state.runs, record))
    excess = max(0, len(grown.runs) - MAX_RUNS)
    dropped = [run for run in grown.runs if run is not grown.certified][:excess]
    return replace(grown, runs=tuple(run for run in grown.runs if run not in dropped))


def _holds(now: State, before: State, after: State) -> bool:
    """Tell whether what a write added to `before` is in the state as it is now."""
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
    """Take a person's text as it was meant, or say why not."""
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
    """Make a program's text fit for one line; what is lost is marked."""
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
