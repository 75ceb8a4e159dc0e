"""A migration: one prefix, another prefix, and the names below them.

Any pair of locations can be migrated; QPI exports are the preset (`qpi_exports`). Names map byte for byte: what follows
the source prefix follows the destination prefix.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from fnmatch import translate
from functools import lru_cache
from hashlib import sha256

from shared.errors import UsageError
from shared.objects import ObjectRef

__all__ = [
    "DEFAULT_EXCLUDES",
    "LATE_WRITES",
    "MAX_NAME_BYTES",
    "OWN_FOLDER",
    "PRESET_NAME",
    "UNNAMED",
    "Environment",
    "Location",
    "Migration",
    "matches_any",
    "qpi_exports",
]

DEFAULT_EXCLUDES = (".DS_Store",)
"""Left behind by default: files that a Mac's Finder creates in folders, never an export."""

OWN_FOLDER = "_migration/"
"""The folder of a bucket in which migrations keep their own objects. Nothing in it is ever data."""

LATE_WRITES = "late-writes"
"""The folder of the marks of late writes, among the migration's own objects. It stands here so that the deployment can import it
without a library."""

MAX_NAME_BYTES = 1024
"""Longest object name, in UTF-8 bytes (Cloud Storage documentation, "About objects": object name requirements)."""

UNNAMED = "custom"
"""The label of a pair without a name."""

PRESET_NAME = "qpi_exports"
"""The name of the preset's pair in what an operator types to delete it, in every environment."""

_Match = Callable[[str], re.Match[str] | None]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")

_CLASS = re.compile(r"\[!?+\]?+[^]]*+\]")
"""``[…]`` of a shell pattern, as `fnmatch` reads it: a first ``]`` belongs to the characters."""


class Environment(Enum):
    """The team's environments; each has its own pair of buckets."""

    DEV = "dev"
    STG = "stg"
    PROD = "prod"


@dataclass(frozen=True, slots=True)
class Location:
    """A prefix in a bucket.

    Attributes:
        prefix: Ends in ``/``; empty for the whole bucket.

    Raises:
        UsageError: The bucket's name is impossible, or the prefix does not end in ``/``.
    """

    bucket: str
    prefix: str

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.bucket):
            raise UsageError(f"{self.bucket!r} is not a bucket name (gs://BUCKET/PREFIX/ is wanted)")
        if self.prefix and not self.prefix.endswith("/"):
            raise UsageError(
                f"{self.uri}: a prefix ends in '/', or it would also take its siblings; write {self.uri}/"
            )
        if any(character in self.prefix for character in "\r\n"):
            raise UsageError(f"{self.uri!r}: no object name holds a line break")
        _encoded(self.prefix)

    @staticmethod
    def parse(uri: str) -> "Location":
        """Read ``gs://bucket/prefix/``. Raises `UsageError` where the text has another form."""
        scheme, _, rest = uri.partition("://")
        bucket, slash, prefix = rest.partition("/")
        if scheme != "gs" or not bucket or not slash:
            raise UsageError(
                f"{uri!r} is not a Cloud Storage prefix: gs://BUCKET/PREFIX/ is wanted, with its final '/'"
            )
        return Location(bucket, prefix)

    @property
    def uri(self) -> str:
        """``gs://bucket/prefix/``."""
        return f"gs://{self.bucket}/{self.prefix}"

    def contains(self, other: "Location") -> bool:
        """Tell whether every object of `other` is also one of this location's."""
        return self.bucket == other.bucket and other.prefix.startswith(self.prefix)

    def overlaps(self, other: "Location") -> bool:
        """Tell whether an object can belong to both locations."""
        return self.contains(other) or other.contains(self)


@dataclass(frozen=True, slots=True)
class Migration:
    """A source to copy to a destination, and the names to leave behind.

    Attributes:
        excludes: Shell patterns (``*``, ``?``, ``[…]``) of names below the prefix to leave behind. A pattern without
            ``/`` also matches the last part of a name.
        label: Short name for log files, reports and the typed confirmation: the environment, the pair's ``--name``, or
            ``custom``.
        home: The new path, beside which the migration's own objects lie; None for the destination. Set by `reversed`.
        billing_project: Pays for the requests to a requester-pays bucket; empty for none. It does not tell two migrations apart.

    Raises:
        UsageError: One location lies within the other (copies would be copied again). Or the destination is a whole
            bucket (the migration's own state in ``_migration/`` must lie outside it). Or a location lies in
            ``_migration/``, where migrations keep their own objects. Or no name can match a pattern.
    """

    source: Location
    destination: Location
    excludes: tuple[str, ...] = DEFAULT_EXCLUDES
    label: str = UNNAMED
    home: Location | None = None
    scratch: bool = False
    billing_project: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for location in () if self.scratch else (self.source, self.destination):
            if location.prefix.startswith(OWN_FOLDER):
                raise UsageError(
                    f"{location.uri} lies in {OWN_FOLDER}, where migrations keep their own objects, "
                    "such as their phase; nothing there is data: choose another prefix"
                )
        if self.source.overlaps(self.destination):
            raise UsageError(
                f"{self.source.uri} and {self.destination.uri} are the same or lie within each other: "
                "copies would be copied again; choose another destination"
            )
        if not self._home.prefix:
            raise UsageError(
                f"{self._home.uri} is a whole bucket; name a prefix in it, such as {self._home.uri}data/"
            )
        _exclusion(self.excludes)

    @property
    def _home(self) -> Location:
        return self.home or self.destination

    @property
    def deletion_text(self) -> str:
        """What an operator types before the legacy path is deleted: ``DELETE_QPI_EXPORTS``, or ``DELETE_`` and the pair's name.

        A pair without a name has that of the last folder of its legacy path.
        """
        name = self.label
        if name in {environment.value for environment in Environment}:
            name = PRESET_NAME
        elif name == UNNAMED:
            name = self.source.prefix.rstrip("/").rpartition("/")[2] or self.source.bucket
        return "DELETE_" + re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").upper()

    def reversed(self) -> "Migration":
        """The way back: the destination becomes the source. The migration's own objects stay where they are."""
        return replace(self, source=self.destination, destination=self.source, home=self._home)

    @property
    def is_reversed(self) -> bool:
        """Whether it goes from the new path to the legacy path."""
        return self._home == self.source

    def rehearsal(self, folder: str) -> "Migration":
        """The same migration with a scratch folder of the legacy bucket in the place of the legacy path. It excludes nothing."""
        return replace(self, source=Location(self.source.bucket, folder), excludes=(), scratch=True)

    def relative(self, name: str) -> str:
        """What follows the source prefix in a source object's name.

        Raises:
            ValueError: The name is not under the source prefix.
        """
        if not name.startswith(self.source.prefix):
            raise ValueError(f"{name!r} is not under {self.source.uri}")
        return name[len(self.source.prefix) :]

    def source_ref(self, relative: str) -> ObjectRef:
        """The source object of a name below the prefix."""
        return ObjectRef(self.source.bucket, self.source.prefix + relative)

    def destination_ref(self, relative: str) -> ObjectRef:
        """The destination object of a name below the prefix. Raises `UsageError` as in `destination_name`."""
        return ObjectRef(self.destination.bucket, self.destination_name(relative))

    def destination_name(self, relative: str) -> str:
        """The complete name of the destination object of a name below the prefix.

        Raises:
            UsageError: The name would be longer than Cloud Storage accepts.
        """
        name = self.destination.prefix + relative
        length = len(name) if name.isascii() else len(_encoded(name))
        if length > MAX_NAME_BYTES:
            raise UsageError(
                f"{self.source_ref(relative).uri}: its name at the destination would have {length} bytes, "
                f"{MAX_NAME_BYTES} are allowed; choose a shorter destination prefix or exclude it"
            )
        return name

    def own_ref(self, *parts: str) -> ObjectRef:
        """One of the migration's own objects, such as its state: beside the new path's prefix, never under it."""
        return ObjectRef(self._home.bucket, OWN_FOLDER + "/".join((self._home.prefix.rstrip("/"), *parts)))

    def kept_ref(self, relative: str, generation: int) -> ObjectRef:
        """The copy of a version that a later write replaces, on either path: one of the migration's own objects."""
        at = self.own_ref("replaced", relative, str(generation))
        if len(_encoded(at.name)) <= MAX_NAME_BYTES:
            return at
        return self.own_ref("replaced", sha256(_encoded(relative)).hexdigest(), str(generation))

    def is_own(self, relative: str) -> bool:
        """Tell whether a name below the prefixes is, on either side, one of the objects that migrations keep for themselves.

        It is where one of the two paths is a whole bucket and the name lies in ``_migration/``. Such an object is never
        data: copied from there, it would become data of the other path; copied to there, it would replace a record.
        """
        return relative.startswith(OWN_FOLDER) and not (self.source.prefix and self.destination.prefix)

    def is_excluded(self, relative: str) -> bool:
        """Tell whether the migration leaves a name below the prefix behind: as `excludes` says, or because of `is_own`."""
        return self.is_own(relative) or matches_any(self.excludes, relative)


def matches_any(patterns: tuple[str, ...], relative: str) -> bool:
    """Tell whether a name below the prefix matches one of the patterns, by the rules of `Migration.excludes`.

    Raises:
        UsageError: No name can match a pattern, so it is a mistake.
    """
    whole, last_part = _exclusion(patterns)
    if last_part is not None and last_part(relative.rpartition("/")[2]):
        return True
    return whole is not None and whole(relative) is not None


def qpi_exports(environment: Environment, excludes: tuple[str, ...] = DEFAULT_EXCLUDES) -> Migration:
    """The QPI preset: the legacy and the new path of one environment. The case of the prefix changes."""
    return Migration(
        Location(f"data-bucket-{environment.value}", "QPI_exports/"),
        Location(f"de-bigquery-data-export-{environment.value}", "qpi_exports/"),
        excludes,
        environment.value,
    )


@lru_cache(16)
def _exclusion(patterns: tuple[str, ...]) -> tuple[_Match | None, _Match | None]:
    """The patterns as one test of a whole name, and one of its last part; None for a test that matches nothing."""
    for pattern in patterns:
        _check_pattern(pattern)
    return _any_of(patterns), _any_of(tuple(pattern for pattern in patterns if "/" not in pattern))


def _check_pattern(pattern: str) -> None:
    """Refuse a pattern that leaves out nothing although a person meant something by it."""
    if not pattern:
        raise UsageError("a pattern is empty, so it matches no name; leave it out")
    if "[" in _CLASS.sub("", pattern):
        raise UsageError(
            f"the pattern {pattern!r} has a '[' without its ']'; for the character itself write '[[]'"
        )
    if any(character in pattern for character in "\r\n"):
        raise UsageError(f"the pattern {pattern!r} matches no name: no object name holds a line break")
    _encoded(pattern)


def _any_of(patterns: tuple[str, ...]) -> _Match | None:
    return re.compile("|".join(translate(pattern) for pattern in patterns)).match if patterns else None


def _encoded(name: str) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name!r} is not valid Unicode, which object names are") from None
