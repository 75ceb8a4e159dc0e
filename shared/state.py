"""The migration's shared state: its phase, the sign-offs, the runs, and the history of changes.

Operators, jobs and the mirror share one JSON object in the new bucket (`shared.phase.state_ref`). This module has its
fields and its form; `shared.state_changes` has the changes.

The reader is strict, because the same program may write the state again. This program might have to act on an unknown
field, so it can neither drop the field nor keep it unread. So a new field is a new version of the form. An older program
refuses that version, and its mirror still reads the phase.
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
"""The version of the form."""

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


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change by a person.

    Attributes:
        at: Aware.
        by: The person.
        what: The change, as a person reads it.
        change: The id of the change, unique in the history.
    """

    at: _Moment
    by: _Line
    what: _Line
    change: _Line


@dataclass(frozen=True, slots=True)
class State:
    """The whole shared state.

    Attributes:
        source: ``gs://bucket/prefix/``.
        destination: ``gs://bucket/prefix/``.
        since: The start of the phase; aware. None in the first phase.
        signoffs: The consents to the next cutover, in the order given; after a cutover, to that one.
        runs: The newest runs, oldest first.
        history: People's decisions, from the beginning.
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
        """The state of a migration that has no state object yet."""
        return State(migration.source.uri, migration.destination.uri)

    @property
    def missing_signoffs(self) -> tuple[Signatory, ...]:
        """The signatories without a sign-off."""
        signed = {signoff.name for signoff in self.signoffs}
        return tuple(name for name in Signatory if name not in signed)

    @property
    def certified(self) -> RunRecord | None:
        """The newest run with a certificate."""
        return next((run for run in reversed(self.runs) if run.certificate_sha256), None)

    def content(self) -> dict[str, Any]:
        """The fields in their JSON form."""
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
        """The contents of the state object: readable for people, and the same bytes for the same state."""
        return (json.dumps(self.content(), ensure_ascii=False, indent=2) + "\n").encode()

    @staticmethod
    def from_json(contents: bytes, migration: Migration) -> "State":
        """Read what `to_json` wrote.

        Raises:
            PhaseUnknown: The state is damaged, another migration's, or a newer program's. The reader guesses nothing.
        """
        return State.from_content(state_content(contents, migration), migration)

    @staticmethod
    def from_content(content: Mapping[str, Any], migration: Migration) -> "State":
        """Read parsed contents, which name this migration.

        Raises:
            PhaseUnknown: As in `from_json`.
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


def read_state(store: ContentsStore, migration: Migration) -> State:
    """Read the whole state; the initial one if there is no state object yet.

    Raises:
        PhaseUnknown: As in `State.from_json`.
        StorageError: The state could not be read.
    """
    found = store.read_version(state_ref(migration))
    return State.initial(migration) if found is None else State.from_json(found[1], migration)


def utc_text(moment: datetime) -> str:
    """An aware time in the state's form: RFC 3339, UTC, ``Z``.

    Raises:
        ValueError: The time has no time zone.
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
