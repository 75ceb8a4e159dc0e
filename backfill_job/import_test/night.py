"""A whole night of the consumer, played on both paths: presence of its day, what it needs upstream, the load, the append.

A run looks for an object of its own day before it loads the day before. Where it finds none, it ends green and loads nothing, and no
later run loads that day. So a night is lost although every object is on both paths. The branch of a past night depends on what lay
there when the run began. An object lies there since its live version was written on the legacy path; a copy's own time says nothing.
So a night whose early objects were all overwritten later looks emptier than it was.

A module of its own because the command only chooses nights and shows them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Any

from backfill_job.consumer import Consumer
from backfill_job.import_test.compare import ImportDay, PathLoad
from backfill_job.import_test.day import read_folder
from shared.migration import Location, Migration
from shared.objects import parse_time
from shared.store import ListingStore
from shared.text import counted, listed, minute_text

__all__ = ["Branch", "Night", "appended", "conclusion", "nights_before", "play"]

_KEPT = 8
"""Listings kept: two paths, two folders, and the night before."""


class Branch(Enum):
    """What a run does on a path, before the load itself can fail."""

    LOADS = "loads"
    EMPTY = "Empty"
    UPSTREAM = "upstream fails"
    NO_FILE = "load fails"

    @property
    def loads(self) -> bool:
        """Whether it comes to its load with a file."""
        return self is Branch.LOADS


@dataclass(frozen=True, slots=True)
class NightSide:
    """A night on one path.

    Attributes:
        files: Files of the loaded day that lay there when the run began.
        first: When the first object of the presence folder was written; None where there is none, or the run does not look.
        missing: The upstream globs that matched nothing.
    """

    branch: Branch
    files: int
    first: datetime | None
    missing: tuple[str, ...] = ()

    @property
    def lost(self) -> bool:
        """Whether the run leaves files of its day unloaded."""
        return self.files > 0 and not self.branch.loads

    def to_json(self) -> dict[str, Any]:
        """The side for a report."""
        return {
            "branch": self.branch.value,
            "files": self.files,
            "first_of_its_day": self.first and self.first.isoformat(),
            "missing_upstream": list(self.missing),
            "lost": self.lost,
        }


@dataclass(frozen=True, slots=True)
class Night:
    """A run on both paths.

    Attributes:
        day: The day that it loads.
    """

    run_date: date
    day: date
    legacy: NightSide
    new: NightSide

    @property
    def differs(self) -> bool:
        """Whether the two paths take different branches."""
        return self.legacy.branch is not self.new.branch

    @property
    def lost(self) -> bool:
        """Whether the night is lost on either path."""
        return self.legacy.lost or self.new.lost

    @property
    def sentence(self) -> str:
        """The night as a person reads it."""
        both = [f"{name} path: {_said(side)}" for name, side in (("legacy", self.legacy), ("new", self.new))]
        return f"run of {self.run_date}, which loads {self.day}: {'; '.join(both)}"

    def to_json(self) -> dict[str, Any]:
        """The night for a report."""
        return {
            "run_date": self.run_date.isoformat(),
            "day": self.day.isoformat(),
            "differs": self.differs,
            "legacy": self.legacy.to_json(),
            "new": self.new.to_json(),
            "sentence": self.sentence,
        }


def _said(side: NightSide) -> str:
    files = counted(side.files, "file")
    lost = f"; {files} LOST" if side.files else ""
    match side.branch:
        case Branch.LOADS:
            return f"loads {files}"
        case Branch.EMPTY:
            first = "" if side.first is None else f" before {minute_text(side.first)}"
            return f"nothing of its day{first}, so it ends green and loads nothing{lost}"
        case Branch.UPSTREAM:
            return f"{listed(side.missing, 3)} matches nothing, so nothing is loaded{lost}"
        case Branch.NO_FILE:
            return "the load finds no file and fails"


class Player:
    """Plays nights; keeps the listings that the next one needs, too."""

    def __init__(self, migration: Migration, store: ListingStore, consumer: Consumer) -> None:
        self._migration, self._store, self._consumer = migration, store, consumer
        self._read = lru_cache(_KEPT)(self._times)

    def play(self, run_date: date, *, at: datetime | None = None) -> Night:
        """Play the run of a date; `at` is when it begins, None for now, with everything that lies there."""
        day = self._consumer.day_of_run(run_date)
        legacy, new = (
            self._side(path, run_date, day, at)
            for path in (self._migration.source, self._migration.destination)
        )
        return Night(run_date, day, legacy, new)

    def _side(self, path: Location, run_date: date, day: date, at: datetime | None) -> NightSide:
        files = len(_by(self._read(path, self._consumer.loaded_glob(day)), at))
        folder = self._consumer.presence_folder(run_date)
        there = self._read(path, f"{folder}*") if folder else {}
        first = min(there.values(), default=None)
        missing = tuple(self._missing(path, run_date, at))
        if folder and not _by(there, at):
            return NightSide(Branch.EMPTY, files, first)
        if missing:
            return NightSide(Branch.UPSTREAM, files, first, missing)
        return NightSide(Branch.LOADS if files else Branch.NO_FILE, files, first)

    def _missing(self, path: Location, run_date: date, at: datetime | None) -> Iterator[str]:
        for bucket, glob in self._consumer.upstream_globs(run_date):
            found = self._read(path, glob) if bucket is None else self._times_in(bucket, glob)
            if not _by(found, at):
                yield f"{(bucket or path).uri}{glob}"

    def _times(self, path: Location, glob: str) -> Mapping[str, datetime]:
        """When each file of a glob was written: on the legacy path, where that has it."""
        ours = self._times_in(path, glob)
        source = self._migration.source
        if path == source or not ours:
            return ours
        written = self._read(source, glob)
        return {name: written.get(name, moment) for name, moment in ours.items()}

    def _times_in(self, path: Location, glob: str) -> Mapping[str, datetime]:
        folder = read_folder(self._store, path, glob)
        return {name: parse_time(state.created) for name, state in folder.files.items()}


def play(run_date: date, migration: Migration, store: ListingStore, consumer: Consumer) -> Night:
    """Play the run of a date with what lies on both paths now."""
    return Player(migration, store, consumer).play(run_date)


def nights_before(
    run_date: date, number: int, migration: Migration, store: ListingStore, consumer: Consumer
) -> Iterator[Night]:
    """Play the nights before a date, the oldest first, each with what lay there when its run began.

    Raises:
        StorageError: A listing failed.
    """
    player = Player(migration, store, consumer)
    for count in range(number, 0, -1):
        past = run_date - timedelta(days=count)
        began, _ = consumer.night_of(consumer.day_of_run(past))
        yield player.play(past, at=began)


def appended(night: Night, tested: ImportDay) -> tuple[int | None, int | None]:
    """Rows that the run appends from each path; None where its load fails."""

    def rows(side: NightSide, load: PathLoad) -> int | None:
        if not side.branch.loads:
            return None if side.branch is Branch.NO_FILE else 0
        return None if load.loaded is None else load.loaded.rows

    return rows(night.legacy, tested.legacy), rows(night.new, tested.new)


def conclusion(nights: list[Night]) -> str:
    """What the past nights say, in one sentence."""
    if not nights:
        return "no past night was played"
    found = {"with different branches": [f"{night.run_date}" for night in nights if night.differs]}
    for name in ("legacy", "new"):
        found[f"lost on the {name} path"] = [f"{night.day}" for night in nights if getattr(night, name).lost]
    said = (f"{len(days):,} {what}{f' ({listed(days, 5)})' if days else ''}" for what, days in found.items())
    return f"{counted(len(nights), 'past night')}: {'; '.join(said)}"


def _by(times: Mapping[str, datetime], at: datetime | None) -> list[str]:
    return [name for name, moment in times.items() if at is None or moment <= at]
