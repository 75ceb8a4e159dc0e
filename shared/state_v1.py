"""Reads a head of version 1: the state of a migration that began before the history had objects of its own.

In version 1 the history was sentences. This module takes them apart once more, so that `shared.record.begin` can adopt the
migration. It is a module of its own because nothing else may read those sentences. It goes when the last migration of
version 1 has ended.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from shared.json_io import convert
from shared.phase import VERSION_1_CHANGE, Phase
from shared.state import (
    BegunDeletion,
    EntryKind,
    HistoryEntry,
    Overridden,
    RunRecord,
    Signatory,
    SignOff,
    State,
    check_folded,
)

__all__ = ["state_of_version_1"]

_MANIFEST = r"(?:; manifest (?P<name>\S+\.json) sha256 (?P<sha256>[0-9a-f]{64}) of (?P<objects>[0-9,]+) objects(?P<over>.*))?"
_TEAM = r"sign-off (?P<team>[a-z-]+)"
_NOTE = r"(?:: (?P<note>.+))?"

_SENTENCES = {
    EntryKind.PHASE: rf"{VERSION_1_CHANGE}(?:; to be signed anew: (?P<void>.+))?{_MANIFEST}",
    EntryKind.DELETION_GOES_ON: rf"deletion goes on{_MANIFEST}",
    EntryKind.SIGNED_AGAIN: rf"{_TEAM} again, the one of (?P<signed>\S+) stands{_NOTE}",
    EntryKind.WITHDRAWN: rf"{_TEAM} of (?P<signed>\S+) withdrawn{_NOTE}",
    EntryKind.SIGN_OFF: rf"{_TEAM}{_NOTE}",
}
"""The sentences that version 1 wrote, by the kind of entry that they tell of."""

_OVERRIDDEN = re.compile(r"; (?:overridden|passed\sover) (.+?) \((.*?)\)(?=; (?:overridden|passed\sover) |$)")
"""A check that a person overrode; the oldest programs had another word for it."""

_BETWEEN_VOID = re.compile(rf", (?=(?:{'|'.join(name.value for name in Signatory)}) by )")
"""What separates two void sign-offs; a person's name may have a comma, too."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One change by a person, as version 1 wrote it."""

    at: datetime
    by: str
    what: Annotated[str, Meta(min_length=1)]
    change: str


@dataclass(frozen=True, slots=True)
class _Version1:
    """The fields of version 1."""

    version: int
    source: str
    destination: str
    phase: Phase
    since: datetime | None
    signoffs: tuple[SignOff, ...]
    runs: tuple[RunRecord, ...]
    history: tuple[_Entry, ...]


def state_of_version_1(content: Mapping[str, Any]) -> State:
    """Read a head of version 1. Its entries get the digests of version 2.

    Raises:
        ValueError: It is damaged, or contradicts its own history.
    """
    try:
        return _state(convert(_Version1, content, None), content)
    except OverflowError as error:
        raise ValueError("a time is out of range") from error


def _state(old: _Version1, content: Mapping[str, Any]) -> State:
    if unknown := content.keys() - {field.name for field in fields(_Version1)}:
        raise ValueError(f"{min(unknown)} is an unknown field")
    state = State(old.source, old.destination, runs=old.runs, version=1)
    phase = Phase.DUAL_WRITE
    for sentence in old.history:
        entry = _entry(sentence, phase)
        phase = entry.phase
        state = state.with_entry(entry)
    if len({entry.change for entry in state.history}) < len(state.history):
        raise ValueError("history: the same change twice")
    check_folded(replace(state, phase=old.phase, since=old.since, signoffs=old.signoffs))
    convert(State, state.content(), State.content)  # so that it can be read again when it is adopted
    return state


def _entry(old: _Entry, phase: Phase) -> HistoryEntry:
    """An entry with fields; a sentence that no program wrote becomes a note."""
    for kind, pattern in _SENTENCES.items():
        found = re.fullmatch(pattern, old.what)
        if found:
            return _with_fields(HistoryEntry(old.at, old.by, old.change, kind, phase), found.groupdict())
    return HistoryEntry(old.at, old.by, old.change, EntryKind.NOTE, phase, note=old.what)


def _with_fields(entry: HistoryEntry, parts: Mapping[str, str | None]) -> HistoryEntry:
    if parts.get("to"):
        entry = replace(entry, was=Phase(parts["was"]), phase=Phase(parts["to"]))
    if parts.get("void"):
        entry = replace(entry, void=tuple(_BETWEEN_VOID.split(parts["void"] or "")))
    if parts.get("team"):
        entry = replace(entry, signatory=Signatory(parts["team"]), note=parts["note"] or "")
    if parts.get("signed"):
        entry = replace(entry, signed=datetime.fromisoformat(parts["signed"] or ""))
    if parts.get("name"):
        manifest = BegunDeletion(
            parts["name"] or "", parts["sha256"] or "", int((parts["objects"] or "").replace(",", ""))
        )
        over = tuple(Overridden(check, reason) for check, reason in _OVERRIDDEN.findall(parts["over"] or ""))
        entry = replace(entry, manifest=manifest, overridden=over)
    return entry
