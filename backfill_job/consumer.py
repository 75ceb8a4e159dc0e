"""The consumer: what reads the migrated path each night, written down once, in a file.

``consumers/qpi.toml`` is the preset of ``--env``; ``--consumer FILE`` names another file. Presence, import test, `loaded` and the
deletion's critical data come from it. It may say that nothing loads the path (``format = "none"``). Then those checks are not
applicable, and say why (`Consumer.not_loaded`). So they are where no file describes the consumer of a pair.

A pair of prefixes without a file has the preset only if one of its paths has a name of the preset's layout (`consumer_of`).
"""

import argparse
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from msgspec import Meta

from backfill_job.contents.rows import SCHEMA, Field
from backfill_job.run.command import add_name_argument
from shared.errors import UsageError
from shared.migration import Environment, Location, Migration, matches_any
from shared.store import ListingStore
from shared.text import shown

__all__ = [
    "Consumer",
    "Format",
    "Glob",
    "add_consumer_argument",
    "add_consumer_paths",
    "consumer_of",
    "loading_consumer",
    "named_consumer",
    "read_consumer",
]

PRESET = Path(__file__).parent.parent / "consumers" / "qpi.toml"

UNDESCRIBED = "undescribed"
"""The name of a consumer that no file describes."""

UTC_ZONE = "UTC"

_HOLES = {"YYYYMMDD": "%Y%m%d", "YYYY-MM-DD": "%Y-%m-%d", "YYYY": "%Y", "MM": "%m", "DD": "%d"}
_HOLE = re.compile(r"\{([^{}]*)\}")
_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+\Z"

_Text = Annotated[str, Meta(min_length=1, max_length=1_000, pattern=_LINE)]
_Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,38}\Z")]
_Days = Annotated[int, Meta(ge=-366, le=366)]


class Format(Enum):
    """The form of the files that the consumer loads."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    NONE = "none"


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file. A name that it does not know is an error, because a misspelt rule would not hold."""


class Nightly(_Table, frozen=True):
    """When a night's run begins, and when it must have ended, by the clocks of its time zone (a name such as ``Europe/Paris``)."""

    at: time = time()
    done: time = time(12)
    time_zone: str = UTC_ZONE


class Presence(_Table, frozen=True):
    """The folder in which the run wants an object, by a day relative to its own; without one it loads nothing."""

    folder: _Text
    day: _Days = 0


class Glob(_Table, frozen=True):
    """Objects by a day relative to the run's; below the migrated prefix, or anywhere with ``gs://``."""

    glob: _Text
    day: _Days = 0


class Column(_Table, frozen=True):
    """A column of the table, with BigQuery's names for its type and mode."""

    name: _Text
    type: _Text
    mode: Literal["NULLABLE", "REQUIRED", "REPEATED"] = "NULLABLE"
    fields: tuple["Column", ...] = ()


class Load(_Table, frozen=True):
    """What the run loads and appends.

    Attributes:
        reason: Why nothing is loaded, with `Format.NONE`.
        key: The column that names a person or thing; empty for none.
        time: The column by which the table is partitioned; empty for none.
        table: The consumer's table, ``PROJECT.DATASET.TABLE``; empty where it differs by environment.
        csv_header: Whether the first line of each CSV file has the names of the columns.
    """

    format: Format
    glob: str = ""
    day: _Days = -1
    reason: str = ""
    key: str = ""
    time: str = ""
    table: str = ""
    schema: tuple[Column, ...] = ()
    csv_header: bool = True


class Consumer(_Table, frozen=True):
    """A consumer as its file describes it.

    Attributes:
        critical: Shell patterns of names below the prefix, in any case: what a deletion calls critical.
        critical_is: What that is, for people.
        presence: None where the run loads without looking first.
        upstream: What the run needs before its load.
    """

    name: _Name
    load: Load
    critical: Annotated[tuple[_Text, ...], Meta(min_length=1)] = ("*",)
    critical_is: _Text = "the consumer's data"
    run: Nightly = Nightly()
    presence: Presence | None = None
    upstream: tuple[Glob, ...] = ()

    @property
    def not_loaded(self) -> str:
        """Why presence and import are not applicable; empty where the consumer loads something."""
        return self.load.reason if self.load.format is Format.NONE else ""

    @property
    def described(self) -> bool:
        """Whether a file describes it. What no file describes may still be read by somebody."""
        return self.name != UNDESCRIBED

    @property
    def nothing_loads(self) -> bool:
        """Whether a file says that nothing loads the path."""
        return self.described and self.load.format is Format.NONE

    @property
    def of_qpi(self) -> bool:
        """Whether each line is judged by the rules of `backfill_job.contents.rows`."""
        return self.load.format is Format.JSONL and self.load.schema == _columns(SCHEMA)

    @property
    def identity(self) -> str:
        """The name with a digest of everything in the file: two results are comparable only for one identity."""
        parts = msgspec.to_builtins(self)
        if self.run.time_zone == UTC_ZONE:  # as results have it from before there was another one
            del parts["run"]["time_zone"]
        content = msgspec.json.encode(parts, order="sorted")
        return f"{self.name} {sha256(content).hexdigest()[:12]}"

    @property
    def critical_kind(self) -> str:
        """What kind of object is critical, for people: the endings of the patterns, such as ``JSONL``."""
        endings = [pattern.removeprefix("*.") for pattern in self.critical]
        plain = all(
            end.isalnum() and f"*.{end}" == pattern
            for end, pattern in zip(endings, self.critical, strict=True)
        )
        return " or ".join(map(str.upper, endings)) if plain else "critical"

    def is_critical(self, relative: str) -> bool:
        """Whether a deletion calls this name below the prefix critical."""
        return matches_any(tuple(pattern.lower() for pattern in self.critical), relative.lower())

    def presence_folder(self, run_date: date) -> str:
        """The folder below the prefix in which the run of that date wants an object; empty where it does not look."""
        return "" if self.presence is None else _filled(self.presence.folder, run_date, self.presence.day)

    def loaded_glob(self, day: date) -> str:
        """What a run loads of a day, below the prefix."""
        return _filled(self.load.glob, day)

    def day_of_run(self, run_date: date) -> date:
        """The day that the run of a date loads."""
        return run_date + timedelta(days=self.load.day)

    def night_of(self, day: date) -> tuple[datetime, datetime]:
        """When the run that loads a day begins, and when it must have ended; UTC."""
        return self.run_on(day - timedelta(days=self.load.day))

    def run_on(self, run_date: date) -> tuple[datetime, datetime]:
        """When the run of a date begins, and when it must have ended; UTC."""
        at, done, zone = self.run.at, self.run.done, ZoneInfo(self.run.time_zone)
        last = run_date if done > at else run_date + timedelta(days=1)
        began, ended = datetime.combine(run_date, at, zone), datetime.combine(last, done, zone)
        return began.astimezone(UTC), ended.astimezone(UTC)

    def upstream_globs(self, run_date: date) -> Iterator[tuple[Location | None, str]]:
        """What a run needs before its load: a bucket with the rest of the name, or None with a name below the prefix."""
        for each in self.upstream:
            filled = _filled(each.glob, run_date, each.day)
            if filled.startswith("gs://"):
                bucket, _, rest = filled.removeprefix("gs://").partition("/")
                yield Location(bucket, ""), rest
            else:
                yield None, filled


def split_glob(glob: str) -> tuple[str, str, str]:
    """A glob's folder (up to the last ``/`` before its asterisk), and what a name in it begins and ends with."""
    before, _, tail = glob.partition("*")
    folder, slash, head = before.rpartition("/")
    return folder + slash, head, tail


def add_consumer_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--consumer FILE``; read it with `named_consumer` or `consumer_of`."""
    parser.add_argument(
        "--consumer",
        type=Path,
        metavar="FILE",
        help="what reads the path each night, as a file like consumers/qpi.toml (the preset of --env)",
    )


def add_consumer_paths(parser: argparse.ArgumentParser, title: str) -> argparse._ArgumentGroup:
    """Add the arguments that name two paths as their consumer sees them: without excludes. Gives their group."""
    parser.set_defaults(exclude=[], no_default_excludes=True)
    what = parser.add_argument_group(title)
    what.add_argument("--env", choices=[each.value for each in Environment], help="the QPI preset")
    what.add_argument("--source", metavar="gs://…/", help="instead of the preset's legacy path")
    what.add_argument("--destination", metavar="gs://…/", help="instead of the preset's new path")
    add_name_argument(what)
    add_consumer_argument(what)
    return what


def named_consumer(arguments: argparse.Namespace) -> Consumer | None:
    """The consumer of ``--consumer``, or the preset of ``--env``; None where neither is given.

    Raises:
        UsageError: The file cannot be read, or is not a consumer's.
    """
    if arguments.consumer is not None:
        return read_consumer(arguments.consumer)
    return read_consumer(PRESET) if arguments.env is not None else None


def loading_consumer(arguments: argparse.Namespace) -> Consumer:
    """The consumer of ``--consumer``, otherwise the preset: for a command that does what the consumer does.

    Raises:
        UsageError: As in `named_consumer`; or the consumer loads nothing.
    """
    found = named_consumer(arguments) or read_consumer(PRESET)
    if found.not_loaded:
        raise UsageError(f"not applicable: {found.not_loaded}")
    return found


def consumer_of(named: Consumer | None, migration: Migration, store: ListingStore) -> Consumer:
    """The consumer of a migration: the named one; or the preset where a path has its layout; or one that is not described.

    Raises:
        StorageError: A listing failed, so the layout is not known.
    """
    if named is not None:
        return named
    preset = read_consumer(PRESET)
    stem = preset.load.glob.partition("{")[0]
    for side in (migration.source, migration.destination):
        if any(page.objects for page in store.list_pages(side.bucket, side.prefix + stem)):
            return preset
    why = "no file describes what reads this path (--consumer FILE), and no name has the layout of consumers/qpi.toml"
    load = Load(Format.NONE, reason=why)
    return Consumer(
        UNDESCRIBED, load, critical_is="no consumer's file says what is critical, so everything is"
    )


def read_consumer(file: Path) -> Consumer:
    """Read a consumer's file, strictly.

    Raises:
        UsageError: It cannot be read, or is not a consumer's; one line that names the file and the place.
    """
    where = f"the consumer's file {shown(str(file))}"
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        found = msgspec.convert(content, Consumer)
    except OSError as error:
        raise UsageError(f"{where} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # also TOMLDecodeError, UnicodeDecodeError and msgspec's
        raise UsageError(f"{where}: {' '.join(str(error).split())[:300]}") from error
    wrong = next(_contradictions(found), None)
    if wrong is not None:
        raise UsageError(f"{where}: {wrong}")
    return found


def _contradictions(found: Consumer) -> Iterator[str]:
    if not found.described:
        yield f"name: {UNDESCRIBED} is the name of a consumer without a file"
    for which, at in (("at", found.run.at), ("done", found.run.done)):
        if at.tzinfo is not None:
            yield f"run.{which}: {at} has an offset; write a time of run.time_zone, such as 02:00:00"
    if found.run.time_zone not in available_timezones():
        yield f"run.time_zone: {found.run.time_zone} is not a time zone, such as UTC or Europe/Paris"
    yield from _of_load(found)
    yield from _of_template("load.glob", found.load.glob)
    for each in found.upstream:
        yield from _of_template("upstream.glob", each.glob.removeprefix("gs://"))
        if each.glob.startswith("gs://") and not each.glob.removeprefix("gs://").partition("/")[2]:
            yield f"upstream.glob: {each.glob} names no object of a bucket"
    if found.presence is not None:
        yield from _of_template("presence.folder", found.presence.folder)
        if not found.presence.folder.endswith("/") or "*" in found.presence.folder:
            yield "presence.folder does not end in '/', or has an asterisk"


def _of_load(found: Consumer) -> Iterator[str]:
    load = found.load
    if load.format is Format.NONE:
        if not load.reason:
            yield 'load.reason is missing: with format = "none" it says why nothing loads the path'
        if load.glob or found.presence is not None or found.upstream:
            yield 'with format = "none" there is no load.glob, no presence and no upstream'
    elif not load.glob:
        yield "load.glob is missing"
    elif load.reason:
        yield 'load.reason is for format = "none"'
    elif load.format is not Format.PARQUET and not load.schema:
        yield f"load.schema is missing: a {load.format.value} file does not have the types of its columns"
    yield from _of_columns(load.schema)
    columns = {column.name for column in load.schema}
    for name, column in (("load.key", load.key), ("load.time", load.time)):
        if columns and column and column not in columns:
            yield f"{name}: {column} is not a column of load.schema"


def _of_columns(columns: tuple[Column, ...]) -> Iterator[str]:
    names = [column.name.lower() for column in columns]
    for column in columns:
        if names.count(column.name.lower()) > 1:
            yield f"load.schema: {column.name} is there twice"
        yield from _of_columns(column.fields)


def _of_template(name: str, template: str) -> Iterator[str]:
    unknown = [hole for hole in _HOLE.findall(template) if hole not in _HOLES]
    if unknown:
        yield f"{name}: {{{unknown[0]}}} is none of {', '.join(f'{{{hole}}}' for hole in _HOLES)}"
    if {"{", "}"} & set(_HOLE.sub("", template)):
        yield f"{name}: {template} has a brace without its other one"
    if template.count("*") > 1:
        yield f"{name}: {template} has more than one asterisk"
    if template.startswith("/") or "://" in template:
        yield f"{name}: {template} is not a name below the migrated prefix"


def _filled(template: str, day: date, offset: int = 0) -> str:
    day += timedelta(days=offset)
    year = f"{day.year:04}"  # not strftime: %Y has no leading zeros everywhere
    return _HOLE.sub(lambda hole: day.strftime(_HOLES[hole[1]].replace("%Y", year)), template)


def _columns(fields: tuple[Field, ...]) -> tuple[Column, ...]:
    return tuple(
        Column(each.name, each.type.value, "REPEATED" if each.repeated else "NULLABLE", _columns(each.fields))
        for each in fields
    )
