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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, Any

from msgspec import Meta

from shared.erasures import DIGEST_LENGTH
from shared.errors import PhaseUnknown
from shared.json_io import Count, Sha256, convert, shown_value
from shared.migration import DEFAULT_EXCLUDES, Migration
from shared.phase import Phase, damaged, phase_in, state_ref
from shared.text import counted, listed, minute_text, without_names

__all__ = [
    "FEWEST_NAMES",
    "MIRROR",
    "NAMES",
    "SHA256",
    "UNFIT",
    "VERSION",
    "BegunDeletion",
    "ComparisonRecord",
    "DayPart",
    "EntryKind",
    "Erasure",
    "HistoryEntry",
    "Light",
    "Overridden",
    "PrincipalUse",
    "ReadersRecord",
    "RunRecord",
    "SeenPrincipal",
    "SignOff",
    "Signatory",
    "Site",
    "State",
    "check_folded",
    "foreign_readers",
    "too_few",
    "utc_text",
]

VERSION = 2
"""The version of the form. `shared.state_v1` reads version 1."""

UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that the state's texts must not have, so that a screen can show each text unchanged on one line. They are
control characters, line separators, directional overrides (which change the reading order), and surrogates."""

SHA256 = re.compile("[0-9a-f]{64}")

NAMES = "names"
"""The check that a listing still shows the names of earlier comparisons; an override of it on record sets a new measure."""

MIRROR = "mirror"
"""What a person overrides who cuts over without a mirror, because the writer is paused."""

FEWEST_NAMES = 90
"""Per cent of the names of the comparison before that a comparison must show, unless a person says that fewer are right."""

PRINCIPALS_SHOWN = 3
"""Principals that a sentence names."""

_Fit = UNFIT.pattern.replace("[", "^[^", 1) + r"*\Z"
_Moment = Annotated[datetime, Meta(tz=True)]
_Line = Annotated[str, Meta(min_length=1, pattern=_Fit)]
_MaybeEmpty = Annotated[str, Meta(pattern=_Fit)]
_Digest = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{{DIGEST_LENGTH}}}\Z")]


class Signatory(Enum):
    """A group that has to sign off before the cutover."""

    QPI_TEAM = "qpi-team"
    DEVELOPMENT = "development"
    OPERATIONS = "operations"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class SignOff:
    """One person's consent to the cutover, on behalf of one signatory; `at` is aware."""

    name: Signatory
    by: _Line
    at: _Moment
    note: _MaybeEmpty = ""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of a command.

    Attributes:
        finished: Aware.
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


class EntryKind(Enum):
    """What an entry of the history is about."""

    BEGUN = "begun"
    PHASE = "phase"
    SIGN_OFF = "sign_off"
    SIGNED_AGAIN = "signed_again"
    WITHDRAWN = "withdrawn"
    DELETION_GOES_ON = "deletion_goes_on"
    NOTE = "note"
    COMPARING = "comparing"
    COMPARED = "compared"
    SITES_SEEN = "sites_seen"
    SITES_ACCEPTED = "sites_accepted"
    ERASURE = "erasure"
    READERS_SEEN = "readers_seen"
    READER_ACKNOWLEDGED = "reader_acknowledged"


@dataclass(frozen=True, slots=True)
class BegunDeletion:
    """A manifest that a deletion began with, and the SHA-256 of its head."""

    name: _Line
    sha256: Sha256
    objects: Count


@dataclass(frozen=True, slots=True)
class Overridden:
    """A check that a person overrode, and why."""

    check: _Line
    reason: _Line


@dataclass(frozen=True, slots=True)
class Site:
    """A place in the consumers' code that reads a path.

    Attributes:
        file: Below the top of its checkout.
        scope: The functions and classes around it; empty at the top of the file.
        operation: ``presence``, ``load``, ``list``, or ``read``.
        reads: Where it reads; empty for the legacy path.
    """

    file: _Line
    scope: _MaybeEmpty
    operation: _Line
    reads: _MaybeEmpty = ""
    places: Count = 1

    @property
    def name(self) -> str:
        """What a person names it by: ``FILE:SCOPE:OPERATION``."""
        return f"{self.file}:{self.scope}:{self.operation}"


@dataclass(frozen=True, slots=True)
class Erasure:
    """Names that a person has erased.

    Attributes:
        before: What was created and last updated before this moment is erased; what was written later is not.
        names: Digests of the names below the prefix (`shared.erasures.name_digest`), and never the names.
    """

    before: _Moment
    names: tuple[_Digest, ...]


class PrincipalUse(Enum):
    """What a principal did with objects of the legacy path."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class SeenPrincipal:
    """A principal that the audit log shows on the legacy path, and that is not one of the migration's own accounts.

    Attributes:
        name: As the log names it, with those that it acted for; printable, and different for different principals.
        count: Requests of this use.
        last: The time of the newest one; aware.
    """

    name: _Line
    use: PrincipalUse
    count: Count
    last: _Moment


@dataclass(frozen=True, slots=True)
class ReadersRecord:
    """Who used the legacy path, by the audit log.

    Attributes:
        asked: From when on the log was read.
        begins: From when on the log is proven to have been on; not before `asked`.
        principals: Those that are not the migration's own. An empty tuple says something about that time alone.
    """

    asked: _Moment
    begins: _Moment
    ends: _Moment
    principals: tuple[SeenPrincipal, ...] = ()

    @property
    def said(self) -> str:
        """What it found, in words."""
        names = dict.fromkeys(each.name for each in self.principals)
        who = f": {listed(names, PRINCIPALS_SHOWN)}" if names else ""
        covers = f"from {minute_text(self.begins)} to {minute_text(self.ends)}"
        return f"audit log {covers}: {counted(len(names), 'foreign principal')} on the legacy path{who}"


class Light(Enum):
    """How a part of a day after the cutover stands."""

    GREEN = "green"
    RED = "red"
    NOT_KNOWN = "not_known"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class DayPart:
    """A part of a day after the cutover, as a verification found it."""

    name: _Line
    light: Light
    evidence: _Line


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """What a full comparison of both paths found.

    Attributes:
        begun: The id of the change that recorded its beginning.
        began: Cloud Storage's time before the listing that it judges; not later than the first request of that listing.
        compared: Names on either side, without the excluded ones.
        wrong: How many of them are not proven equal on both sides.
        extra: How many of the wrong ones only the new path has.
        data_sha256: Of what both sides hold, as a certificate states it; None where it was not computed.
        file_sha256: Of the verification's file; None for a command that leaves none.
        crc_alone: Names that are equal by crc32c alone, because a side has no md5.
        erased: Names that were erased on the side that decides what exists; they are not among the compared ones.
    """

    begun: _Line
    run: _MaybeEmpty
    command: _Line
    began: _Moment
    compared: Count
    wrong: Count
    extra: Count
    excludes: tuple[str, ...]
    data_sha256: Sha256 | None = None
    file_sha256: Sha256 | None = None
    crc_alone: Count = 0
    erased: Count = 0

    @property
    def equal(self) -> bool:
        """Whether it compared something, and found all of it equal on both sides."""
        return self.compared > 0 and not self.wrong

    @property
    def said(self) -> str:
        """What it found, in words."""
        if not self.compared and not self.wrong:
            left = f"; {self.erased:,} erased since" if self.erased else ""
            return f"{self.command} compared nothing{left}"
        found = "both sides are equal"
        if self.wrong:
            extra = f" ({self.extra:,} only at the new path)" if self.extra else ""
            found = f"NOT EQUAL: {self.wrong:,}{extra}"
        found += f"; {self.erased:,} erased since" if self.erased else ""
        left_out = tuple(each for each in self.excludes if each not in DEFAULT_EXCLUDES)
        found += f"; {without_names(left_out)}" if left_out else ""
        return f"{counted(self.compared, 'name')} compared by {self.command}: {found}"


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change by a person, or one comparison by a command.

    Fields that do not belong to its kind have their defaults, and are left out of the file.

    Attributes:
        at: Aware; Cloud Storage's time.
        by: The person; the command of a comparison.
        change: The id of the change, unique in the history.
        phase: The phase that holds after it.
        signatory: For whom the person signed.
        signed: When the sign-off was given that a later entry is about.
        void: The sign-offs that a rollback voided, as ``NAME by WHO``.
        before: The SHA-256 of the entry before, as its object holds it; empty for the first.
        run: The run whose comparison begins.
        sites: The consumers' places that were seen, or that a person accepts as they are now. A person who accepts none of
            them says that there is no consumer.
        principal: The one that a person acknowledges there, by its name.
        day: After the cutover, how a verification found the parts of its day (`shared.green_days`).
    """

    at: _Moment
    by: _Line
    change: _Line
    kind: EntryKind
    phase: Phase
    was: Phase | None = None
    signatory: Signatory | None = None
    signed: _Moment | None = None
    note: _MaybeEmpty = ""
    void: tuple[_Line, ...] = ()
    manifest: BegunDeletion | None = None
    overridden: tuple[Overridden, ...] = ()
    before: _MaybeEmpty = ""
    run: _MaybeEmpty = ""
    comparison: ComparisonRecord | None = None
    sites: tuple[Site, ...] = ()
    erasure: Erasure | None = None
    readers: ReadersRecord | None = None
    principal: _MaybeEmpty = ""
    day: tuple[DayPart, ...] = ()

    @property
    def what(self) -> str:
        """The change, as a person reads it."""
        if self.comparison is not None:
            return self.comparison.said
        if self.readers is not None:
            return "; ".join(filter(None, [self.readers.said, self.note]))
        if self.erasure is not None:
            return f"erasure of {counted(len(self.erasure.names), 'name')}"
        said = self._said
        if self.kind is EntryKind.NOTE:
            return said  # whole: a sentence of version 1
        if self.void:
            said += f"; to be signed anew: {', '.join(self.void)}"
        if self.manifest is not None:
            manifest = self.manifest
            said += f"; manifest {manifest.name} sha256 {manifest.sha256} of {counted(manifest.objects, 'object')}"
        if self.sites:
            said += f" {', '.join(site.name for site in self.sites)}"
        said += "".join(f"; overridden {each.check} ({each.reason})" for each in self.overridden)
        return f"{said}: {self.note}" if self.note else said

    @property
    def _said(self) -> str:  # noqa: C901 -- a table of cases
        """The change by its kind alone."""
        name = self.signatory.value if self.signatory else ""
        signed = utc_text(self.signed) if self.signed else ""
        match self.kind:
            case EntryKind.BEGUN:
                return f"migration begun in phase {self.phase.value}"
            case EntryKind.PHASE:
                return f"phase {self.was.value if self.was else ''} to {self.phase.value}"
            case EntryKind.SIGN_OFF:
                return f"sign-off {name}"
            case EntryKind.SIGNED_AGAIN:
                return f"sign-off {name} again, the one of {signed} stands"
            case EntryKind.WITHDRAWN:
                return f"sign-off {name} of {signed} withdrawn"
            case EntryKind.DELETION_GOES_ON:
                return "deletion goes on"
            case EntryKind.COMPARING:
                return f"comparison begun by run {self.run}"
            case EntryKind.COMPARED:
                return "comparison ended"
            case EntryKind.SITES_SEEN:
                return "places that read the legacy path:"
            case EntryKind.SITES_ACCEPTED:
                return "accepted" if self.sites else "accepted that no code reads either path"
            case EntryKind.READER_ACKNOWLEDGED:
                return f"acknowledged on the legacy path {self.principal}"
            case EntryKind.NOTE | EntryKind.ERASURE | EntryKind.READERS_SEEN:
                return self.note

    def content(self) -> dict[str, Any]:
        """The fields in their JSON form."""
        return _plain(self, leave_out_defaults=True)


@dataclass(frozen=True, slots=True)
class State:
    """The whole shared state.

    Attributes:
        source: ``gs://bucket/prefix/``.
        since: The start of the phase; aware. None where the migration has not begun.
        signoffs: The consents to the next cutover, in the order given; after a cutover, to that one.
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
            if entry.kind is EntryKind.BEGUN and since is None:
                since = entry.at
            phase = entry.phase
            if entry.kind is EntryKind.PHASE:
                since = entry.at
                signoffs = {} if phase is Phase.ROLLED_BACK else signoffs
            if entry.signatory is not None:
                key = (entry.signatory, entry.by)
                if entry.kind is EntryKind.SIGN_OFF:
                    signoffs[key] = SignOff(entry.signatory, entry.by, entry.at, entry.note)
                elif entry.kind is EntryKind.WITHDRAWN:
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
    def last_undo(self) -> datetime | None:
        """When the newest undo among the runs ended; None where there is none."""
        return next((run.finished for run in reversed(self.runs) if run.command == "undo"), None)

    @property
    def decisions(self) -> tuple[HistoryEntry, ...]:
        """People's entries of the history, oldest first."""
        commands = {EntryKind.COMPARING, EntryKind.COMPARED, EntryKind.SITES_SEEN, EntryKind.READERS_SEEN}
        return tuple(entry for entry in self.history if entry.kind not in commands)

    @property
    def sites(self) -> dict[str, Site]:
        """The places that read the legacy path when they were last seen, by name, without those that a person accepted since."""
        found: dict[str, Site] = {}
        for entry in self.history:
            for site in entry.sites:
                if entry.kind is EntryKind.SITES_SEEN:
                    found[site.name] = site
                elif not site.reads:
                    found.pop(site.name, None)
        return found

    def acceptance(self, site: Site | None) -> HistoryEntry | None:
        """The entry by which a person accepted a place that reads elsewhere; for None, that there is no consumer."""
        for entry in reversed(self.history):
            if entry.kind is not EntryKind.SITES_ACCEPTED:
                continue
            if site is None and not entry.sites:
                return entry
            same = [one for one in entry.sites if site and (one.name, one.reads) == (site.name, site.reads)]
            if site is not None and same:
                return entry if same[0].places >= site.places else None
        return None

    @property
    def readers(self) -> tuple[ReadersRecord, ...]:
        """Looks at the audit log since the source of truth last changed; the one that reaches furthest comes first."""
        found = [entry.readers for entry in self._since_truth if entry.readers is not None]
        return tuple(sorted(found, key=lambda each: each.ends, reverse=True))

    @property
    def acknowledged(self) -> dict[str, HistoryEntry]:
        """By name, the principals that a person acknowledged on the legacy path since the source of truth last changed."""
        acknowledged = EntryKind.READER_ACKNOWLEDGED
        return {entry.principal: entry for entry in self._since_truth if entry.kind is acknowledged}

    @property
    def _since_truth(self) -> tuple[HistoryEntry, ...]:
        """The entries after the last cutover or rollback: who may read the legacy path before a cutover may not after it."""
        changes = {Phase.CUT_OVER, Phase.ROLLED_BACK}
        last = self._last(lambda entry: entry.kind is EntryKind.PHASE and entry.phase in changes)
        return self.history[last + 1 :]

    def _last(self, fits: Callable[[HistoryEntry], bool]) -> int:
        """Where in the history the newest entry of some kind is; -1 for none."""
        return max((number for number, entry in enumerate(self.history) if fits(entry)), default=-1)

    @property
    def comparisons(self) -> tuple[ComparisonRecord, ...]:
        """The full comparisons that have ended, the one that began first before the others."""
        begun = self._begun
        found = [entry.comparison for entry in self.history if entry.comparison is not None]
        return tuple(sorted(found, key=lambda each: (each.began, begun.get(each.begun, -1))))

    @property
    def newest_comparison(self) -> ComparisonRecord | None:
        """The one that began last of those that have ended."""
        return self._newest(lambda _: True)

    def _newest(self, fits: Callable[[ComparisonRecord], bool]) -> ComparisonRecord | None:
        return next((each for each in reversed(self.comparisons) if fits(each)), None)

    @property
    def newest_verification(self) -> ComparisonRecord | None:
        """The newest comparison that left a verification's file."""
        return self._newest(lambda each: bool(each.file_sha256))

    @property
    def unfinished_comparison(self) -> HistoryEntry | None:
        """The newest comparison that began after `newest_comparison` and has not ended; None where there is none."""
        ended = {each.begun for each in self.comparisons}
        newest = self.newest_comparison
        after = -1 if newest is None else self._begun.get(newest.begun, -1)
        return next(
            (
                entry
                for entry in reversed(self.history[after + 1 :])
                if entry.kind is EntryKind.COMPARING and entry.change not in ended
            ),
            None,
        )

    @property
    def equal_since_phase(self) -> ComparisonRecord | None:
        """The newest comparison that began in the present phase and found both sides equal; None where there is none."""
        return self._newest(lambda each: each.equal and self.in_this_phase(each))

    @property
    def comparison_before_deletion(self) -> ComparisonRecord | None:
        """The newest comparison that began before the first deletion did; None where there is none, or no deletion."""
        began = next(
            (
                number
                for number, entry in enumerate(self.history)
                if entry.kind is EntryKind.PHASE and entry.phase is Phase.DELETING
            ),
            0,
        )
        begun = self._begun
        return self._newest(lambda each: begun.get(each.begun, began) < began)

    def in_this_phase(self, comparison: ComparisonRecord) -> bool:
        """Whether a comparison began after the phase did: by the order of the history, which needs no clock."""
        phase = self._last(lambda entry: entry.kind in {EntryKind.BEGUN, EntryKind.PHASE})
        return self._begun.get(comparison.begun, -1) > phase

    def ran_in_this_phase(self, run: str, started: datetime) -> bool:
        """Whether a run's verification began after the phase did. Where the history has none of it, its time decides.

        Args:
            started: When the run began, aware: Cloud Storage's clock in whole seconds, so that it may be up to a second early.
        """
        # Runs of one second have one name, but only verifications leave a file.
        found = self._newest(lambda each: each.file_sha256 is not None and each.run == run)
        if found is not None:
            return self.in_this_phase(found)
        return self.since is None or started >= self.since

    def names_before(self, comparison: ComparisonRecord | None, excludes: Sequence[str]) -> int:
        """How many names the comparisons before this one showed: the measure for a listing that shows fewer.

        An equal comparison sets the measure. One with less than `FEWEST_NAMES` per cent of it does not: else two listings in
        a row that are cut short would agree. A person's override on record makes the comparison before it the measure.

        Args:
            comparison: The one that is measured; None for one that is not on record.
            excludes: Only comparisons that left out the same count.
        """
        measure = last = 0
        for entry in self.history:
            found = entry.comparison
            if found is not None and found == comparison:
                break
            if found is not None and found.equal and set(found.excludes) == set(excludes):
                last = found.compared
                measure = measure if too_few(last, measure) else last
            if any(each.check == NAMES for each in entry.overridden):
                measure = last
        return measure

    def left_out_since(self, comparison: ComparisonRecord | None, excludes: Sequence[str]) -> tuple[str, ...]:
        """The patterns that an earlier comparison did not leave out: evidence with them is about a part of what was compared.

        Args:
            comparison: The one that is measured; None for one that is not on record.
            excludes: What it leaves out. A person's override on record makes it right.
        """
        new: set[str] = set()
        for entry in self.history:
            found = entry.comparison
            if found is not None and found == comparison:
                break
            if found is not None:
                new |= set(excludes).difference(found.excludes)
            if any(each.check == NAMES for each in entry.overridden):
                new.clear()
        return tuple(pattern for pattern in excludes if pattern in new)

    @property
    def _begun(self) -> dict[str, int]:
        """Where in the history each comparison began, by the id of that change."""
        return {
            entry.change: number
            for number, entry in enumerate(self.history)
            if entry.kind is EntryKind.COMPARING
        }

    @property
    def without_mirror(self) -> str:
        """Why no mirror runs, as the person said who cut over last; empty where one does."""
        number = self.cutover_entry
        overridden = () if number is None else self.history[number].overridden
        return next((each.reason for each in overridden if each.check == MIRROR), "")

    @property
    def cutover_entry(self) -> int | None:
        """Where in the history the last cutover is; None if there was none.

        The first entry tells of one where the migration began after its cutover. A later entry of that kind adopted it.
        """
        return next(
            (
                number
                for number, entry in reversed([*enumerate(self.history)])
                if entry.phase is Phase.CUT_OVER and (entry.kind is EntryKind.PHASE or number == 0)
            ),
            None,
        )

    @property
    def legacy_ended(self) -> datetime | None:
        """When the last cutover was, while the new path is the source of truth: until then others used the legacy path by right."""
        number = self.cutover_entry
        return None if number is None or self.phase.before_cutover else self.history[number].at

    @property
    def manifests(self) -> tuple[BegunDeletion, ...]:
        """The manifests that deletions began with, oldest first."""
        return tuple(entry.manifest for entry in self.history if entry.manifest is not None)

    def entry_bytes(self, entry: HistoryEntry) -> bytes:
        """The contents of an entry's object: the same bytes for the same entry of the same migration."""
        return _entry_bytes(self.source, self.destination, entry)

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


@lru_cache(10_000)
def _entry_bytes(source: str, destination: str, entry: HistoryEntry) -> bytes:
    """A command reads the record several times, and each read proves every entry by these bytes."""
    content = {"source": source, "destination": destination, **entry.content()}
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()


def too_few(names: int, measure: int) -> bool:
    """Whether a listing shows fewer names than `FEWEST_NAMES` per cent of the measure."""
    return names * 100 < measure * FEWEST_NAMES


def foreign_readers(state: State, since: datetime) -> tuple[SeenPrincipal, ...] | None:
    """The principals that used the legacy path since a moment, and that no person has acknowledged. Pure.

    Only looks at the audit log since the source of truth last changed count, and so do acknowledgements. After a cutover, what
    such a look saw of the time before it does not count.

    Args:
        since: Aware. The caller looks whether the newest look (`State.readers`) reaches far enough.

    Returns:
        Each principal and use once, as last seen. None where none was seen, and the looks do not prove the whole time
        from `since` to the end of the newest one.
    """
    since = max(since, state.legacy_ended or since)
    looks, known = state.readers, state.acknowledged
    seen: dict[tuple[str, PrincipalUse], SeenPrincipal] = {}
    for look in reversed(looks):
        seen |= {(each.name, each.use): each for each in look.principals if each.last >= since}
    found = tuple(each for each in seen.values() if each.name not in known)
    if found:
        return found
    if not looks or looks[0].ends <= since:
        return None
    begins = looks[0].begins
    for look in looks:
        begins = min(begins, look.begins) if look.ends >= begins else begins
    return found if begins <= since else None


def utc_text(moment: datetime) -> str:
    """An aware time in the state's form: RFC 3339, UTC, ``Z``. Raises `ValueError` where the time has no time zone."""
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
        if after.phase is not entry.phase and (
            after.kind is not EntryKind.PHASE or after.was is not entry.phase
        ):
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
