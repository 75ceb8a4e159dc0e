"""What a scan finds, and what of it blocks."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from backfill_job.references.targets import FindingKind, NamedMigration, Targets
from backfill_job.references.texts import Position, SourceText, Text, readable
from shared.migration import Migration
from shared.text import counted, listed, shown

__all__ = [
    "ELSEWHERE",
    "LONGEST",
    "CodePlace",
    "Finding",
    "Resolution",
    "ScanError",
    "ScanResult",
    "unread",
    "worst",
]

SCHEMA = "references/1"

ELSEWHERE = "a known name in a place that is neither path"
"""Why a finding of that class is one."""

LONGEST = 200
"""Characters of an expression, or of a line, that are shown."""


class CodePlace(Enum):
    """Where in a file it stands. Only code blocks."""

    CODE = "code"
    COMMENT = "comment"
    DOCUMENTATION = "documentation"


@dataclass(frozen=True, slots=True)
class Resolution:
    """One way a place in the code can come out.

    Attributes:
        bucket: The bucket's name; None when none was found.
        prefix: The prefix as it is spelled, without its final slash.
    """

    kind: FindingKind
    bucket: Text | None
    prefix: Text
    targets: tuple[NamedMigration, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that names a prefix.

    Attributes:
        offset: Where in the decoded file, in characters.
        line: From 1, as the column is; 0 where a file has no lines.
        expression: What stands there, on one line.
        kind: The worst of what it can be.
        note: Why it is what it is, where that is not plain.
        reviewed: Why a person says that it is not a reference, as written beside it.
        shares_bucket: Whether other objects are named with the same bucket, or may be.
        shares_prefix: Whether the same prefix may be used with other buckets.
        together: Where the call, dict, block or line begins that it is a part of.
        scope: The functions and classes around it; empty at the top of a file.
        operation: What it does there: ``presence``, ``load``, ``list``, or ``read`` where that cannot be told.
        accepted: Why it does not block although it reads elsewhere, and who says so.
    """

    path: Path
    offset: int
    line: int
    column: int
    expression: str
    kind: FindingKind
    place: CodePlace
    resolutions: tuple[Resolution, ...]
    note: str = ""
    reviewed: str = ""
    shares_bucket: bool = False
    shares_prefix: bool = False
    together: int = -1
    scope: str = ""
    operation: str = "read"
    accepted: str = ""

    @staticmethod
    def at(
        source: SourceText,
        offset: int,
        shown: str,
        ways: Iterable[Resolution],
        *,
        place: CodePlace,
        note: str,
    ) -> "Finding":
        """A finding at an offset of a file."""
        resolutions = tuple(dict.fromkeys(ways))
        line, column = source.line_of(offset), source.column_of(offset)
        kind = worst(resolutions)
        return Finding(source.path, offset, line, column, shown, kind, place, resolutions, note)

    @property
    def blocks(self) -> bool:
        """Whether the legacy prefix must not be deleted while this stands."""
        if self.place is not CodePlace.CODE or self.reviewed or self.accepted:
            return False
        return self.kind not in {FindingKind.MIGRATED, FindingKind.OTHER}

    @property
    def buckets(self) -> tuple[str, ...]:
        """The buckets it resolves to, with ``{…}`` for what is not known; empty when none was found."""
        found = {resolution.bucket.chars for resolution in self.resolutions if resolution.bucket is not None}
        return tuple(sorted(map(readable, found)))

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefixes it resolves to, as they are spelled."""
        return tuple(sorted({readable(resolution.prefix.chars) + "/" for resolution in self.resolutions}))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the migrations that it concerns."""
        concerned = [one for one in self.resolutions if one.kind is self.kind]
        return tuple(dict.fromkeys(target.migration.label for one in concerned for target in one.targets))

    @property
    def variables(self) -> tuple[str, ...]:
        """The settings from outside of the code that decide its bucket or its prefix where it is deployed."""
        return tuple(sorted({name for text in self.texts() for name in text.deciding}))

    def evidence(self) -> frozenset[Position]:
        """Every name it was read through, and every character it is made of."""
        return frozenset(mark for text in self.texts() for mark in text.evidence())

    def texts(self) -> list[Text]:
        """Every bucket and every prefix that it resolves to."""
        texts = (text for one in self.resolutions for text in (one.bucket, one.prefix))
        return [text for text in texts if text is not None]

    def to_json(self) -> dict[str, Any]:
        """The finding for a report."""
        return {
            "path": self.path.as_posix(),
            "line": self.line,
            "column": self.column,
            "expression": self.expression,
            "class": self.kind.value,
            "place": self.place.value,
            "blocks": self.blocks,
            "buckets": list(self.buckets),
            "prefixes": list(self.prefixes),
            "migrations": list(self.labels),
            "note": self.note,
            "reviewed": self.reviewed,
            "variables": list(self.variables),
            "scope": self.scope,
            "operation": self.operation,
            "accepted": self.accepted,
        }


@dataclass(frozen=True, slots=True)
class ScanError:
    """A file or folder that could not be read: its content is unknown, so it blocks."""

    path: Path
    message: str

    def to_json(self) -> dict[str, str]:
        """The error for a report."""
        return {"path": self.path.as_posix(), "message": self.message}


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a scan found.

    Attributes:
        skipped: Files and folders that were left out: as asked, and virtual environments.
        findings: In the order of paths and lines.
        code: How many of the files can read objects.
        without_code: The paths in which there is not one such file.
        settings: The values of settings from outside of the code that were given, by name.
    """

    paths: tuple[Path, ...]
    migrations: tuple[Migration, ...]
    files: int
    skipped: tuple[Path, ...]
    findings: tuple[Finding, ...]
    errors: tuple[ScanError, ...]
    code: int
    without_code: tuple[Path, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """The findings that block."""
        return tuple(finding for finding in self.findings if finding.blocks)

    @property
    def clean(self) -> bool:
        """Whether nothing blocks: there are no such findings, everything could be read, and there was code to read."""
        return not self.blocking and not self.errors and not self.without_code

    @property
    def left_out(self) -> str:
        """What was left out, to follow the number of files; empty for nothing."""
        paths = (shown(path.as_posix()) for path in self.skipped)
        return f", {counted(len(self.skipped), 'path')} left out: {listed(paths, 3)}" if self.skipped else ""

    @property
    def counts(self) -> dict[FindingKind, int]:
        """Findings in code by class; every class is there. Reviewed findings are not counted."""
        found = Counter(
            finding.kind
            for finding in self.findings
            if finding.place is CodePlace.CODE and not finding.reviewed
        )
        return {kind: found[kind] for kind in FindingKind}

    def to_json(self) -> dict[str, Any]:
        """The result for a report, and for the cutover's gate."""
        migrations = [
            {"label": one.label, "source": one.source.uri, "destination": one.destination.uri}
            for one in self.migrations
        ]
        return {
            "schema": SCHEMA,
            "clean": self.clean,
            "paths": [path.as_posix() for path in self.paths],
            "migrations": migrations,
            "files": self.files,
            "code": self.code,
            "skipped": [path.as_posix() for path in self.skipped],
            "counts": {kind.value: count for kind, count in self.counts.items()},
            "blocking": len(self.blocking),
            "findings": [finding.to_json() for finding in self.findings],
            "errors": [error.to_json() for error in self.errors],
        }


def worst(resolutions: Sequence[Resolution]) -> FindingKind:
    """The worst class of several."""
    return min((resolution.kind for resolution in resolutions), key=lambda kind: kind.rank)


def unread(resolutions: Sequence[Resolution], targets: Targets) -> str:
    """What could not be read, where a place is unresolved."""
    whole = all(one.bucket is not None and targets.may_be_bucket(one.bucket.chars) for one in resolutions)
    return f"the {'folder' if whole else 'bucket'} could not be read"
