"""The migration's shared state: its phase, who signed off, which runs there were, and who changed what.

Operators, jobs and the mirror share one JSON object in the new bucket (`shared.phase.state_ref`). This module has its fields
and its form; `shared.state_changes` has the changes.

The form is read strictly, because the reader may write it again. This program might have to act on an unknown field, so it
can neither drop the field nor keep it unread. So a new field is a new version of the form. An older program refuses that
version, and its mirror still reads the phase.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

from msgspec import Meta

from shared.errors import PhaseUnknown
from shared.json_io import Sha256, convert, shown_value
from shared.migration import Migration
from shared.phase import Phase, damaged, phase_in, state_content, state_ref
from shared.store import ContentsStore

__all__ = [
    "SHA256",
    "UNFIT",
    "VERSION",
    "HistoryEntry",
    "RunRecord",
    "SignOff",
    "Signatory",
    "State",
    "read_state",
    "utc_text",
]

VERSION = 1
"""Of the form."""

UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What no text of the state holds, so that each can be shown on one line as it is: control characters, line separators,
directional overrides (which make a text read otherwise than it is), surrogates."""

SHA256 = re.compile("[0-9a-f]{64}")

_Fit = UNFIT.pattern.replace("[", "^[^", 1) + r"*\Z"
_Moment = Annotated[datetime, Meta(tz=True)]
_Line = Annotated[str, Meta(min_length=1, pattern=_Fit)]
_MaybeEmpty = Annotated[str, Meta(pattern=_Fit)]


class Signatory(Enum):
    """Who has to sign off before the cutover."""

    QPI_TEAM = "qpi-team"
    DEVELOPMENT = "development"
    OPERATIONS = "operations"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class SignOff:
    """One person's consent to the cutover, on behalf of one signatory; the note may be empty."""

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
        report: Where its report is; None without one.
        certificate_sha256: Of the certificate of what it verified; None without one.
    """

    run: _MaybeEmpty
    command: _MaybeEmpty
    finished: _Moment
    exit_code: int
    summary: _MaybeEmpty
    report: _MaybeEmpty | None = None
    certificate_sha256: Sha256 | None = None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change that a person made.

    Attributes:
        what: What was changed, as a person reads it.
        change: The change's id, which no other entry has.
    """

    at: _Moment
    by: _Line
    what: _Line
    change: _Line


@dataclass(frozen=True, slots=True)
class State:
    """All that is shared.

    Attributes:
        source: ``gs://bucket/prefix/``.
        since: When the phase began; aware. None in the first phase.
        signoffs: The consents to the next cutover, in the order given; after a cutover, to that one.
        runs: The newest runs, oldest first.
        history: What people decided, from the beginning.
        version: Of the form.
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
        """The state of a migration of which nothing is written down yet."""
        return State(migration.source.uri, migration.destination.uri)

    @property
    def missing_signoffs(self) -> tuple[Signatory, ...]:
        """Who has not signed off."""
        signed = {signoff.name for signoff in self.signoffs}
        return tuple(name for name in Signatory if name not in signed)

    @property
    def certified(self) -> RunRecord | None:
        """The newest run that left a certificate."""
        return next((run for run in reversed(self.runs) if run.certificate_sha256), None)

    def content(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        return {
            "version": self.version,
            "source": self.source,
            "destination": self.destination,
            "phase": self.phase.value,
            "since": None if self.since is None else utc_text(self.since),
            "signoffs": _plain(self.signoffs),
            "runs": _plain(self.runs),
            "history": _plain(self.history),
        }

    def to_json(self) -> bytes:
        """The state as the contents of its object: for people too, and the same bytes for the same state."""
        return (json.dumps(self.content(), ensure_ascii=False, indent=2) + "\n").encode()

    @staticmethod
    def from_json(contents: bytes, migration: Migration) -> "State":
        """Read what `to_json` wrote.

        Raises:
            PhaseUnknown: It is damaged, another migration's, or a newer program's. Nothing in it is guessed.
        """
        return State.from_content(state_content(contents, migration), migration)

    @staticmethod
    def from_content(content: Mapping[str, Any], migration: Migration) -> "State":
        """Read what was parsed before.

        Args:
            content: The object's contents, which name this migration.
            migration: Whose state it is.

        Raises:
            PhaseUnknown: As `from_json`.
        """
        version = content.get("version")
        if type(version) is int and version > VERSION:  # type(): true is no number
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


def read_state(store: ContentsStore, migration: Migration) -> State:
    """Read the state, all of it.

    Returns:
        The state; the initial one when there is no state object yet.

    Raises:
        PhaseUnknown: It is not what it should be.
        StorageError: It could not be read.
    """
    found = store.read_version(state_ref(migration))
    return State.initial(migration) if found is None else State.from_json(found[1], migration)


def utc_text(moment: datetime) -> str:
    """An aware time as the state writes it: RFC 3339, UTC, ``Z``.

    Raises:
        ValueError: It has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _plain(records: Iterable[Any]) -> list[dict[str, Any]]:
    return [{key: _plain_value(value) for key, value in asdict(record).items()} for record in records]


def _plain_value(value: Any) -> Any:
    match value:
        case datetime():
            return utc_text(value)
        case Enum():
            return value.value
        case _:
            return value


def _state(content: Mapping[str, Any]) -> State:
    state = convert(State, content, State.content)
    if state.version != VERSION:
        raise ValueError(f"version is {shown_value(state.version)}")
    if (state.since is None) is not (state.phase is Phase.DUAL_WRITE):
        raise ValueError(f"phase is {state.phase.value}, and since is {shown_value(content['since'])}")
    if len({(signoff.name, signoff.by) for signoff in state.signoffs}) < len(state.signoffs):
        raise ValueError("signoffs: the same person twice for the same signatory")
    if len({entry.change for entry in state.history}) < len(state.history):
        raise ValueError("history: the same change twice")
    if len(set(state.runs)) < len(state.runs):
        raise ValueError("runs: the same run twice")
    return state
