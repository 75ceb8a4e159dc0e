"""The migration's shared state: its phase, the sign-offs, the runs, and the history of changes.

Operators, jobs and the mirror share it as a record in the new bucket (`shared.phase` says where). This module has its fields
and its form, without storage. `shared.state_changes` has the changes, and `shared.record` reads and writes it.

The history is what counts: phase, beginning of the phase and sign-offs follow from it (`State.folded`), and a head that says
something else is refused. Each entry holds the SHA-256 of the entry before, so an entry cannot be changed or taken out unseen.

The reader is strict, because the same program may write the state again. This program might have to act on an unknown
field, so it can neither drop the field nor keep it unread. So a new field is a new version of the form. An older program
refuses that version, and its mirror still reads the phase.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, Any

from msgspec import Meta

from shared.errors import PhaseUnknown
from shared.json_io import Count, Sha256, convert, shown_value
from shared.migration import Migration
from shared.phase import Phase, damaged, phase_in, state_ref

__all__ = [
    "SHA256",
    "UNFIT",
    "VERSION",
    "Begun",
    "HistoryEntry",
    "Kind",
    "Overridden",
    "RunRecord",
    "SignOff",
    "Signatory",
    "State",
    "check_folded",
    "utc_text",
]

VERSION = 2
"""The version of the form. `shared.state_v1` reads version 1."""

UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that the state's texts must not have, so that a screen can show each text unchanged on one line. They are
control characters, line separators, directional overrides (which change the reading order), and surrogates."""

SHA256 = re.compile("[0-9a-f]{64}")

_Fit = UNFIT.pattern.replace("[", "^[^", 1) + r"*\Z"
_Moment = Annotated[datetime, Meta(tz=True)]
_Line = Annotated[str, Meta(min_length=1, pattern=_Fit)]
_MaybeEmpty = Annotated[str, Meta(pattern=_Fit)]


class Signatory(Enum):
    """A group that has to sign off before the cutover."""

    QPI_TEAM = "qpi-team"
    DEVELOPMENT = "development"
    OPERATIONS = "operations"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class SignOff:
    """One person's consent to the cutover, on behalf of one signatory.

    Attributes:
        by: The person.
        at: Aware.
        note: The person's comment; may be empty.
    """

    name: Signatory
    by: _Line
    at: _Moment
    note: _MaybeEmpty = ""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of a command.

    Attributes:
        run: Its name, as its log lines carry it.
        finished: Aware.
        summary: Its last line.
        report: The location of its report; None without one.
        certificate_sha256: The certificate of what it verified, as 64 hexadecimal digits; None without one.
    """

    run: _MaybeEmpty
    command: _MaybeEmpty
    finished: _Moment
    exit_code: int
    summary: _MaybeEmpty
    report: _MaybeEmpty | None = None
    certificate_sha256: Sha256 | None = None


class Kind(Enum):
    """What an entry of the history is about."""

    BEGUN = "begun"
    PHASE = "phase"
    SIGN_OFF = "sign_off"
    SIGNED_AGAIN = "signed_again"
    WITHDRAWN = "withdrawn"
    DELETION_GOES_ON = "deletion_goes_on"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Begun:
    """A manifest that a deletion began with.

    Attributes:
        name: The file name of its head.
        sha256: Of its head.
        objects: How many it names.
    """

    name: _Line
    sha256: Sha256
    objects: Count


@dataclass(frozen=True, slots=True)
class Overridden:
    """A check that a person overrode, and why."""

    check: _Line
    reason: _Line


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change by a person. Fields that do not belong to its kind have their defaults, and are left out of the file.

    Attributes:
        at: Aware; Cloud Storage's time.
        by: The person.
        change: The id of the change, unique in the history.
        kind: What it is about.
        phase: The phase that holds after it.
        was: The phase before a change of the phase.
        signatory: For whom the person signed.
        signed: When the sign-off was given that a later entry is about.
        note: The person's comment.
        void: The sign-offs that a rollback voided, as ``NAME by WHO``.
        manifest: What a deletion began with.
        overridden: The checks that the person overrode.
        before: The SHA-256 of the entry before, as its object holds it; empty for the first.
    """

    at: _Moment
    by: _Line
    change: _Line
    kind: Kind
    phase: Phase
    was: Phase | None = None
    signatory: Signatory | None = None
    signed: _Moment | None = None
    note: _MaybeEmpty = ""
    void: tuple[_Line, ...] = ()
    manifest: Begun | None = None
    overridden: tuple[Overridden, ...] = ()
    before: _MaybeEmpty = ""

    @property
    def what(self) -> str:
        """The change, as a person reads it."""
        name = self.signatory.value if self.signatory else ""
        signed = utc_text(self.signed) if self.signed else ""
        match self.kind:
            case Kind.BEGUN:
                said = f"migration begun in phase {self.phase.value}"
            case Kind.PHASE:
                said = f"phase {self.was.value if self.was else ''} to {self.phase.value}"
            case Kind.SIGN_OFF:
                said = f"sign-off {name}"
            case Kind.SIGNED_AGAIN:
                said = f"sign-off {name} again, the one of {signed} stands"
            case Kind.WITHDRAWN:
                said = f"sign-off {name} of {signed} withdrawn"
            case Kind.DELETION_GOES_ON:
                said = "deletion goes on"
            case Kind.NOTE:
                return self.note
        if self.void:
            said += f"; to be signed anew: {', '.join(self.void)}"
        if self.manifest is not None:
            manifest = self.manifest
            said += f"; manifest {manifest.name} sha256 {manifest.sha256} of {manifest.objects:,} objects"
        said += "".join(f"; overridden {each.check} ({each.reason})" for each in self.overridden)
        return f"{said}: {self.note}" if self.note else said

    def content(self) -> dict[str, Any]:
        """The fields in their JSON form."""
        return _plain(self, leave_out_defaults=True)


@dataclass(frozen=True, slots=True)
class State:
    """The whole shared state.

    Attributes:
        source: ``gs://bucket/prefix/``.
        destination: ``gs://bucket/prefix/``.
        since: The start of the phase; aware. None where the migration has not begun.
        signoffs: The consents to the next cutover, in the order given; after a cutover, to that one.
        runs: The newest runs, oldest first.
        history: People's decisions, from the beginning.
        version: Of the form in which it was read.
    """

    source: _Line
    destination: _Line
    phase: Phase = Phase.DUAL_WRITE
    since: _Moment | None = None
    signoffs: tuple[SignOff, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    version: int = VERSION

    @staticmethod
    def initial(migration: Migration) -> "State":
        """The state of a migration that has not begun."""
        return State(migration.source.uri, migration.destination.uri)

    def folded(self, history: Sequence[HistoryEntry]) -> "State":
        """The state with another history: phase, beginning and sign-offs as they follow from that history."""
        phase, since = Phase.DUAL_WRITE, None
        signoffs: dict[tuple[Signatory, str], SignOff] = {}
        for entry in history:
            if entry.kind is Kind.BEGUN and since is None:
                since = entry.at
            phase = entry.phase
            if entry.kind is Kind.PHASE:
                since = entry.at
                signoffs = {} if phase is Phase.ROLLED_BACK else signoffs
            if entry.signatory is not None:
                key = (entry.signatory, entry.by)
                if entry.kind is Kind.SIGN_OFF:
                    signoffs[key] = SignOff(entry.signatory, entry.by, entry.at, entry.note)
                elif entry.kind is Kind.WITHDRAWN:
                    signoffs.pop(key, None)
        return replace(
            self, phase=phase, since=since, signoffs=tuple(signoffs.values()), history=tuple(history)
        )

    def with_entry(self, entry: HistoryEntry) -> "State":
        """The state after one more entry, which gets the digest of the entry before."""
        before = sha256(self.entry_bytes(self.history[-1])).hexdigest() if self.history else ""
        return self.folded((*self.history, replace(entry, before=before)))

    @property
    def begun(self) -> bool:
        """Whether the migration has begun on record."""
        return bool(self.history) or self.version == 1

    @property
    def missing_signoffs(self) -> tuple[Signatory, ...]:
        """The signatories without a sign-off."""
        signed = {signoff.name for signoff in self.signoffs}
        return tuple(name for name in Signatory if name not in signed)

    @property
    def certified(self) -> RunRecord | None:
        """The newest run with a certificate."""
        return next((run for run in reversed(self.runs) if run.certificate_sha256), None)

    @property
    def manifests(self) -> tuple[Begun, ...]:
        """The manifests that deletions began with, oldest first."""
        return tuple(entry.manifest for entry in self.history if entry.manifest is not None)

    def entry_bytes(self, entry: HistoryEntry) -> bytes:
        """The contents of an entry's object: the same bytes for the same entry of the same migration."""
        content = {"source": self.source, "destination": self.destination, **entry.content()}
        return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()

    def content(self) -> dict[str, Any]:
        """The fields in their JSON form."""
        return {
            "version": VERSION,
            "source": self.source,
            "destination": self.destination,
            "phase": self.phase.value,
            "since": None if self.since is None else utc_text(self.since),
            "signoffs": [_plain(each) for each in self.signoffs],
            "runs": [_plain(each) for each in self.runs],
            "history": [each.content() for each in self.history],
        }

    def to_json(self) -> bytes:
        """The contents of the head: readable for people, and the same bytes for the same state."""
        return (json.dumps(self.content(), ensure_ascii=False, indent=2) + "\n").encode()

    @staticmethod
    def from_content(content: Mapping[str, Any], migration: Migration) -> "State":
        """Read parsed contents of version 2, which name this migration.

        Raises:
            PhaseUnknown: The state is damaged, a newer program's, or contradicts its own history.
        """
        version = content.get("version")
        if type(version) is int and version > VERSION:  # type(): true is not a number here
            raise PhaseUnknown(
                state_ref(migration).uri,
                f"written by a newer program (version {shown_value(version)} of its form, this one knows {VERSION}); "
                "use that one, or update this one",
            )
        phase_in(content, migration)
        try:
            return _state(content)
        except ValueError as error:
            raise damaged(migration, str(error)) from error


def utc_text(moment: datetime) -> str:
    """An aware time in the state's form: RFC 3339, UTC, ``Z``.

    Raises:
        ValueError: The time has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _plain(record: Any, *, leave_out_defaults: bool = False) -> dict[str, Any]:
    """A record's fields in their JSON form; without those that have their defaults, if wanted."""
    return {
        field.name: _plain_value(value)
        for field in fields(record)
        if (value := getattr(record, field.name)) != field.default
        or field.default is MISSING
        or not leave_out_defaults
    }


def _plain_value(value: Any) -> Any:
    match value:
        case datetime():
            return utc_text(value)
        case Enum():
            return value.value
        case tuple():
            return [_plain_value(each) for each in value]
        case _ if is_dataclass(value):
            return _plain(value)
        case _:
            return value


def _state(content: Mapping[str, Any]) -> State:
    state = convert(State, content, State.content)
    if not state.history:
        raise ValueError("history has no entries")
    if len({entry.change for entry in state.history}) < len(state.history):
        raise ValueError("history: the same change twice")
    if len(set(state.runs)) < len(state.runs):
        raise ValueError("runs: the same run twice")
    for number, (entry, after) in enumerate(pairwise(state.history), 2):
        if after.before != sha256(state.entry_bytes(entry)).hexdigest():
            raise ValueError(f"entry {number} of its history does not fit the entry before")
    if state.history[0].before:
        raise ValueError("entry 1 of its history names an entry before")
    check_folded(state)
    return state


def check_folded(state: State) -> None:
    """Check that a state says what follows from its history, and that only a change of the phase changes the phase.

    Raises:
        ValueError: It says something else.
    """
    for number, (entry, after) in enumerate(pairwise(state.history), 2):
        if after.phase is not entry.phase and (after.kind is not Kind.PHASE or after.was is not entry.phase):
            raise ValueError(
                f"entry {number} of its history sets a phase that does not follow the phase before"
            )
    told, folded = state, state.folded(state.history)
    if told.phase is not folded.phase:
        raise ValueError(f"phase is {told.phase.value}, and its own history ends in {folded.phase.value}")
    if told.since != folded.since:
        raise ValueError("since is not the time at which, by its own history, the phase began")
    if told.signoffs != folded.signoffs:
        raise ValueError("signoffs are not those of its own history")
