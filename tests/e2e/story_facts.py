"""What a run of the whole story leaves to be judged, as plain values; and what of it the consumer was due. Pure.

The guarantee that the consumer relies on. *Path that counts*: the one that its configuration names. *Handover*: a ``cutover`` or
``rollback`` that ended with 0, first or given again; from its end on its path counts. At any moment an import on the path that
counts is due, of every object, at least the newest version that was acknowledged

- on that very path before the import began: Cloud Storage is strongly consistent, and nothing older may ever go over it;
- on either path before the last handover *began*: it lists after its start, and brings over whatever the other path has later.

What a late writer writes on the other path after that start arrives with lag if it is new, and waits for the next handover
if it overwrites: there the import may see an older version, or none, and this is the lag that the runbook speaks of. Before
the first handover only the first clause holds, and it is enough: all write where the consumer reads.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

__all__ = [
    "Handover",
    "Happening",
    "Import",
    "Ledger",
    "LogLine",
    "Path",
    "Row",
    "Upload",
    "Version",
    "World",
    "checksum",
    "day_of",
    "due",
    "fingerprint",
]


class Path(Enum):
    """Which of the two."""

    LEGACY = "legacy"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Upload:
    """A version that was acknowledged to a writer.

    Attributes:
        path: Where it was written.
        checksum: Base64 MD5 of its contents, by which versions are told apart.
        row: The fingerprint of its one row; empty for what is no export of the day folders.
        at: When it was acknowledged.
        forgotten: By a writer whom nobody has switched, after the legacy path was given up.
    """

    path: Path
    checksum: str
    row: str
    at: datetime
    forgotten: bool = False


@dataclass(frozen=True, slots=True)
class Version:
    """A version that Cloud Storage has or had.

    Attributes:
        path: Where.
        generation: Its generation.
        checksum: As for `Upload`.
        created: When it was finalized.
        live: Whether it is the live one.
        gone: When it was replaced or deleted.
    """

    path: Path
    generation: int
    checksum: str
    created: datetime
    live: bool
    gone: datetime | None = None


@dataclass(frozen=True, slots=True)
class Import:
    """One run of the consumer.

    Attributes:
        day: Which day, as in the folder's name.
        path: Where its configuration pointed.
        began: Before its first request.
        seen: Checksums of what it loaded, by name below the prefix.
        appended: The night's run, whose rows are kept; else a look.
        empty: It took the "Empty" branch.
    """

    day: str
    path: Path
    began: datetime
    seen: Mapping[str, str]
    appended: bool
    empty: bool


Row = tuple[str, str, str]
"""Day, user and fingerprint of a row that the consumer keeps."""


@dataclass(frozen=True, slots=True)
class Handover:
    """A ``cutover`` or ``rollback`` that ended with 0.

    Attributes:
        path: Which path counts since.
        began: When its process was started.
        ended: When it had ended.
        later: Names of which it said that the other path holds a later write.
    """

    path: Path
    began: datetime
    ended: datetime
    later: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ledger:
    """The books that a run left.

    Attributes:
        where: The report.
        whole: What was listed, or taken.
        parts: What became of it.
    """

    where: str
    whole: int
    parts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the structured log, or what stands between such lines.

    Attributes:
        source: Who wrote it: ``forward``, ``reverse``, or the command.
        resource: The monitored resource's type that it would be written on.
        content: Its fields; None where it is no JSON.
        text: As it was written.
    """

    source: str
    resource: str
    content: Mapping[str, Any] | None
    text: str


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that was done: a kill, a command, a change of weather."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is judged. Names are below the prefixes.

    Attributes:
        uploads: Acknowledged versions by name, in their order.
        versions: What Cloud Storage had by name, on both paths.
        kept: Checksums kept under ``_migration/…/replaced`` by name.
        imports: The consumer's runs.
        rows: What it keeps.
        handovers: By time.
        ledgers: All books.
        certificates: What is wrong with each certificate, by where it lies; empty for nothing.
        lines: WARNING and above, and whatever is no line of the vocabulary.
        reported: Names that the product called a conflict, or different.
        manifest: What was to be deleted: checksum by name.
        not_there: Names that the undo could not bring back, by its report.
        deleting_since: When the deletion was begun; None where there was none.
        erased: Names of a person whose data were erased; no writer writes them again.
        happenings: By time.
    """

    uploads: Mapping[str, Sequence[Upload]]
    versions: Mapping[str, Sequence[Version]]
    kept: Mapping[str, frozenset[str]] = field(default_factory=dict)
    imports: Sequence[Import] = ()
    rows: Sequence[Row] = ()
    handovers: Sequence[Handover] = ()
    ledgers: Sequence[Ledger] = ()
    certificates: Mapping[str, str] = field(default_factory=dict)
    lines: Sequence[LogLine] = ()
    reported: frozenset[str] = frozenset()
    manifest: Mapping[str, str] = field(default_factory=dict)
    not_there: frozenset[str] = frozenset()
    deleting_since: datetime | None = None
    erased: frozenset[str] = frozenset()
    happenings: Sequence[Happening] = ()

    def live(self, name: str, path: Path) -> str:
        """The checksum of what is live; empty where nothing is."""
        return next(
            (each.checksum for each in self.versions.get(name, ()) if each.live and each.path is path), ""
        )


def due(uploads: Sequence[Upload], handovers: Sequence[Handover], path: Path, at: datetime) -> int:
    """What an import on the path that counts is due of one object, by the rule above.

    Args:
        uploads: The object's, in order.
        handovers: By time.
        path: The path that counts.
        at: When the import began.

    Returns:
        The number of the version in `uploads`; -1 where nothing is due.
    """
    last = next((each for each in reversed(handovers) if each.ended <= at), None)
    for number in range(len(uploads) - 1, -1, -1):
        upload = uploads[number]
        here = upload.path is path and upload.at < at
        brought = last is not None and last.path is path and upload.at < last.began
        if here or brought:
            return number
    return -1


def day_of(name: str) -> str:
    """The day, as in the folder's name; empty for what no day's import loads."""
    folder, _, file = name.partition("/")
    ours = folder.startswith("qpi_answers_") and file.endswith(".jsonl")
    return folder.removeprefix("qpi_answers_") if ours else ""


def checksum(data: bytes) -> str:
    """As Cloud Storage states it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def fingerprint(user: str, submitted: int, answers: str) -> str:
    """Of a row.

    Args:
        user: Its user_id.
        submitted: Microseconds since 1970.
        answers: Canonical JSON.
    """
    return hashlib.sha256(json.dumps([user, submitted, answers]).encode()).hexdigest()[:16]
