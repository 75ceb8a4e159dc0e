"""A day's test: the DAG's three steps on both paths, again as long as the folders do not stand still.

1. Presence: is there any object in the day's folder?
2. Load: what the glob takes, with the exact schema, into a table that goes away by itself.
3. Instead of appending to the real table: count, fingerprint, compare.

A listing is not a snapshot and today's folder is being written. So both folders are listed before and after the loads; only
when they show the same versions is it known what was loaded. And where the paths differ in something that was written a
moment ago, the mirror is given its time before that counts.
"""

from datetime import date, timedelta
from typing import Protocol

from backfill_job.clock import Clock
from backfill_job.import_test.comparison import ImportDay, Load, Loaded, NotLoadable, Verdict, compare
from backfill_job.import_test.folders import Folder, changed_since, name_differences, read_folder, unchanged
from shared.migration import Migration
from shared.partitions import answers_folder
from shared.store import ListingStore

__all__ = ["ATTEMPTS", "Engine", "try_day"]

ATTEMPTS = 4
"""After so many it is called in flight."""

PAUSE_SECONDS = 5.0


class Engine(Protocol):
    """Where rows are loaded and counted."""

    def load(self, folder: Folder, table: str) -> Loaded | NotLoadable:
        """Load the files of a folder with the exact schema into a table that goes away, and sum the rows up.

        Args:
            folder: What to load; at least one file.
            table: A name for the table, new for each load: letters, digits and underscores.

        Returns:
            The sums; or why BigQuery refuses such a load, or would.

        Raises:
            MigrationError: Neither is known.
        """
        ...


def try_day(
    day: date,
    migration: Migration,
    store: ListingStore,
    engine: Engine,
    *,
    grace: timedelta,
    clock: Clock,
) -> ImportDay:
    """Test the import of one day. Changes nothing but temporary tables.

    Args:
        day: Which day.
        migration: Its source is the legacy path, its destination the new one.
        store: Lists both.
        engine: Loads both.
        grace: How long after it was written an object may take to arrive on the other path before it counts as a
            difference.
        clock: The time and the waiting.

    Returns:
        The result.

    Raises:
        MigrationError: A listing or a load failed: there is no verdict.
    """
    for attempt in range(1, ATTEMPTS + 1):
        if attempt > 1:
            clock.sleep(PAUSE_SECONDS)
        before = _folders(store, migration, day)
        legacy, new = (
            _load(engine, folder, f"{side}_{answers_folder(day).strip('/')}_{attempt}")
            for side, folder in zip(("legacy", "new"), before, strict=True)
        )
        after = _folders(store, migration, day)
        verdict = compare(legacy, new)
        still = all(map(unchanged, before, after))
        if still and (verdict is Verdict.EQUAL or not changed_since(*after, clock.now() - grace)):
            break
    else:
        verdict = Verdict.IN_FLIGHT
    return ImportDay(day, verdict, legacy, new, name_differences(*before), attempt, clock.now())


def _folders(store: ListingStore, migration: Migration, day: date) -> tuple[Folder, Folder]:
    return read_folder(store, migration.source, day), read_folder(store, migration.destination, day)


def _load(engine: Engine, folder: Folder, table: str) -> Load:
    objects, files = len(folder.objects), len(folder.files)
    if not objects:
        return Load(objects, files, None)
    if not files:
        return Load(
            objects,
            files,
            NotLoadable(f"nothing in the folder matches {folder.glob}; the load would find no file"),
        )
    return Load(objects, files, engine.load(folder, table))
