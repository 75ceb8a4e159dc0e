"""One day's test: the consumer's three steps on both paths, repeated while the folders change. And which days are meant.

1. Presence: does the day's folder contain any object?
2. Load: the objects that the glob matches, with the exact schema, into a temporary table.
3. In place of the append to the real table: count, fingerprint, compare.

A listing is not a snapshot, and the writer still writes today's folder. So both folders are listed before and after the
loads: only if both listings show the same versions is it known what was loaded. If the paths differ in something that
was written a moment ago, the mirror gets its time before the difference counts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain, islice
from typing import Protocol

from backfill_job.consumer import Consumer, split_glob
from backfill_job.import_test.compare import (
    ImportDay,
    ImportVerdict,
    NameDifferences,
    NotLoadable,
    Outcome,
    PathLoad,
    compare_day,
)
from backfill_job.run.arguments import day_in
from backfill_job.run.clock import Clock
from shared.errors import UsageError
from shared.migration import Location, Migration
from shared.objects import CONTENT_DIFFERENCES, ObjectState, differences, parse_time
from shared.store import ListingStore
from shared.text import counted, shown

__all__ = ["ATTEMPTS", "MAX_DAYS", "Engine", "Folder", "chosen_days", "one_day", "read_folder", "try_day"]

ATTEMPTS = 4
"""After so many attempts the day is in flight."""

PAUSE_SECONDS = 5.0

MAX_EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Folder:
    """A day's folder as it was listed.

    Attributes:
        objects: By name below the folder. The names of one day fit in memory; those of a prefix would not.
        head: What the names that are loaded begin with.
        tail: What they end in. Case counts. The asterisk in between also matches objects in subfolders. (BigQuery documentation,
            "Wildcard support for Cloud Storage URIs": ``fed-samples/*.csv`` selects files of the folder and any subfolders.)
        wildcard: Whether there is an asterisk; otherwise `head` is the whole name.
    """

    location: Location
    objects: Mapping[str, ObjectState]
    head: str = ""
    tail: str = ".jsonl"
    wildcard: bool = True

    @property
    def glob(self) -> str:
        """What the consumer loads: ``gs://bucket/…/qpi_answers_YYYYMMDD/*.jsonl``."""
        return f"{self.location.uri}{self.head}{'*' if self.wildcard else ''}{self.tail}"

    @property
    def files(self) -> dict[str, ObjectState]:
        """The objects that the glob matches, by name below the folder, in the listing's order."""
        return {name: state for name, state in self.objects.items() if self.takes(name)}

    def takes(self, name: str) -> bool:
        """Whether the glob matches a name below the folder."""
        if not self.wildcard:
            return name == self.head
        fits = len(name) >= len(self.head) + len(self.tail)
        return fits and name.startswith(self.head) and name.endswith(self.tail)


class Engine(Protocol):
    """Loads rows and counts them."""

    def load(self, folder: Folder, table: str) -> Outcome:
        """Load the files of a folder with the exact schema into a temporary table, and sum up the rows.

        Args:
            folder: It has at least one file.
            table: A name for the table, new for each load: letters, digits and underscores.

        Raises:
            MigrationError: The outcome is not known.
        """
        ...


def try_day(
    day: date,
    migration: Migration,
    store: ListingStore,
    engine: Engine,
    consumer: Consumer,
    *,
    grace: timedelta,
    clock: Clock,
) -> ImportDay:
    """Test the import of one day. It changes nothing but temporary tables.

    Args:
        migration: Its source is the legacy path, its destination the new path.
        grace: How long an object may take to arrive on the other path before it counts as a difference.

    Raises:
        MigrationError: A listing or a load failed: there is no verdict.
    """
    for attempt in range(1, ATTEMPTS + 1):
        if attempt > 1:
            clock.sleep(PAUSE_SECONDS)
        before = _folders(store, migration, consumer, day)
        folder_name = re.sub(r"\W", "_", split_glob(consumer.loaded_glob(day))[0].strip("/"), flags=re.ASCII)
        legacy, new = (
            _load(engine, folder, f"{side}_{folder_name}_{attempt}")
            for side, folder in zip(("legacy", "new"), before, strict=True)
        )
        after = _folders(store, migration, consumer, day)
        verdict = compare_day(legacy, new)
        still = all(map(_unchanged, before, after))
        if still and (verdict is ImportVerdict.EQUAL or not _changed_since(*after, clock.now() - grace)):
            break
    else:
        verdict = ImportVerdict.IN_FLIGHT
    return ImportDay(day, verdict, legacy, new, _name_differences(*before), attempt, clock.now())


def _folders(
    store: ListingStore, migration: Migration, consumer: Consumer, day: date
) -> tuple[Folder, Folder]:
    glob = consumer.loaded_glob(day)
    return read_folder(store, migration.source, glob), read_folder(store, migration.destination, glob)


def _load(engine: Engine, folder: Folder, table: str) -> PathLoad:
    objects, files = len(folder.objects), len(folder.files)
    if not objects:
        return PathLoad(objects, files, None)
    if not files:
        why = f"nothing in the folder matches {folder.glob}; the load would find no file"
        return PathLoad(objects, files, NotLoadable(why))
    return PathLoad(objects, files, engine.load(folder, table))


def read_folder(store: ListingStore, path: Location, glob: str) -> Folder:
    """List the folder of a glob below one path. It is empty only if the listing was complete and empty.

    Raises:
        StorageError: The listing failed: nothing is known about the folder.
    """
    folder, head, tail = split_glob(glob)
    location = Location(path.bucket, path.prefix + folder)
    skip = len(location.prefix)
    pages = store.list_pages(location.bucket, location.prefix + head)
    objects = {state.name[skip:]: state for page in pages for state in page.objects}
    return Folder(location, objects, head, tail, wildcard="*" in glob)


def _unchanged(before: Folder, after: Folder) -> bool:
    """Whether two listings show the same versions. If so, these were live in between: no generation is used twice."""
    one, other = (
        {name: state.generation for name, state in folder.objects.items()} for folder in (before, after)
    )
    return one == other


def _name_differences(legacy: Folder, new: Folder) -> NameDifferences:
    """The loaded files that differ between the two listings, by name and contents."""
    ours, theirs = legacy.files, new.files
    missing = [name for name in ours if name not in theirs]
    extra = [name for name in theirs if name not in ours]
    differing = [name for name in ours if name in theirs and _differ(ours[name], theirs[name])]
    examples = chain(
        (f"missing {shown(name)}" for name in missing),
        (f"extra {shown(name)}" for name in extra),
        (f"different {shown(name)}" for name in differing),
    )
    return NameDifferences(len(missing), len(extra), len(differing), tuple(islice(examples, MAX_EXAMPLES)))


def _changed_since(legacy: Folder, new: Folder, moment: datetime) -> bool:
    """Whether anything that differs between the two listings was written after a moment, on either path."""
    for name in legacy.objects.keys() | new.objects.keys():
        one, other = legacy.objects.get(name), new.objects.get(name)
        if one is not None and other is not None and not _differ(one, other):
            continue
        if any(state is not None and parse_time(state.created) > moment for state in (one, other)):
            return True
    return False


def _differ(one: ObjectState, other: ObjectState) -> bool:
    return not CONTENT_DIFFERENCES.isdisjoint(differences(one, other))


# --- which days -----------------------------------------------------------------------------------------------

MAX_DAYS = 5_000
"""Days of one run: more than the export has, and fewer than a mistyped year would give."""

_ONE_DAY = timedelta(days=1)
_FIRST_YEAR, _BEHIND_YEARS = 100, 9_900
"""Years for which the days around a day are days, too."""

_DIGITS = len("YYYYMMDD")


def chosen_days(
    dates: Sequence[str], first: str | None, last: str | None, last_days: str | None, *, today: date
) -> tuple[date, ...]:
    """Read which days to test: ``--date``, ``--from`` and ``--to``, or ``--last``; None for one that is not given.

    Args:
        dates: ``YYYYMMDD`` each, in any order.
        last_days: It counts up to yesterday, because today is not complete.
        today: The current day, UTC.

    Returns:
        At least one day; in order, each once.

    Raises:
        UsageError: Not exactly one of the three ways is used, or its value is impossible.
    """
    by_range = first is not None or last is not None
    if bool(dates) + by_range + (last_days is not None) != 1:
        raise UsageError(
            "say which days: --date 2026-12-05 (may be repeated), or --from and --to, or --last N"
        )
    if dates:
        return tuple(sorted({one_day(text, "--date") for text in dates}))
    if last_days is not None:
        return _range(today - _number(last_days) * _ONE_DAY, today - _ONE_DAY)
    if first is None or last is None:
        raise UsageError("--from and --to belong together; for a single day there is --date")
    return _range(one_day(first, "--from"), one_day(last, "--to"))


def _range(first: date, last: date) -> tuple[date, ...]:
    number = (last - first).days + 1
    if number < 1:
        raise UsageError(f"--from {first} comes after --to {last}")
    if number > MAX_DAYS:
        raise UsageError(
            f"{counted(number, 'day')} from {first} to {last}; at most {MAX_DAYS:,} are tested at once"
        )
    return tuple(first + count * _ONE_DAY for count in range(number))


def one_day(text: str, option: str) -> date:
    """Read a day: ``2026-12-05``, or ``20261205`` as in the names.

    Raises:
        UsageError: It is not one.
    """
    found = day_in(text)
    if found is None or not _FIRST_YEAR <= found.year < _BEHIND_YEARS:
        raise UsageError(f"{option} {text!r} is not a day; write it as {option} 2024-01-31")
    return found


def _number(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else 0
    if not 1 <= number <= MAX_DAYS:
        raise UsageError(f"--last {text!r} is not a number of days from 1 to {MAX_DAYS:,}")
    return number
