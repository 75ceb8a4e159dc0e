"""A day's folder as the DAG sees it: what is in it, what its load takes, and whether it changed meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain, islice

from backfill_job.import_test.comparison import NameDifferences
from backfill_job.wording import shown
from shared.migration import Location
from shared.objects import CONTENT_DIFFERENCES, ObjectState, differences, parse_time
from shared.partitions import answers_folder
from shared.store import ListingStore

__all__ = ["Folder", "changed_since", "name_differences", "read_folder", "unchanged"]

MAX_EXAMPLES = 20

_LOADED = ".jsonl"
"""What the glob's names end in. Case counts, and the asterisk also takes what lies in a subfolder (BigQuery documentation,
"Wildcard support for Cloud Storage URIs": ``fed-samples/*.csv`` selects files of the folder and any subfolders)."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What a day's folder held when it was listed.

    Attributes:
        location: The folder.
        objects: Its objects, by name below it. A day's names fit in memory; a prefix's would not.
    """

    location: Location
    objects: Mapping[str, ObjectState]

    @property
    def glob(self) -> str:
        """What the DAG's load names: ``gs://bucket/…/qpi_answers_YYYYMMDD/*.jsonl``."""
        return f"{self.location.uri}*{_LOADED}"

    @property
    def files(self) -> dict[str, ObjectState]:
        """The objects that the glob takes, by name below the folder, in the listing's order."""
        return {name: state for name, state in self.objects.items() if name.endswith(_LOADED)}


def read_folder(store: ListingStore, path: Location, day: date) -> Folder:
    """List a day's folder on one path.

    Args:
        store: Whom to ask.
        path: The path, legacy or new.
        day: Which day.

    Returns:
        What it holds; nothing only when the listing was complete and empty.

    Raises:
        StorageError: The listing failed: nothing is known about the folder.
    """
    location = Location(path.bucket, path.prefix + answers_folder(day))
    skip = len(location.prefix)
    pages = store.list_pages(location.bucket, location.prefix)
    return Folder(location, {state.name[skip:]: state for page in pages for state in page.objects})


def unchanged(before: Folder, after: Folder) -> bool:
    """Tell whether two listings of a folder show the same versions: then these were also there in between.

    A generation is never used twice, so that a version that is live at two moments was live all the time.
    """
    return _versions(before) == _versions(after)


def name_differences(legacy: Folder, new: Folder) -> NameDifferences:
    """Say which of the loaded files the two listings disagree about, by name and contents."""
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


def changed_since(legacy: Folder, new: Folder, moment: datetime) -> bool:
    """Tell whether anything the two listings disagree about was written after a moment, on either path."""
    for name in legacy.objects.keys() | new.objects.keys():
        one, other = legacy.objects.get(name), new.objects.get(name)
        if one is not None and other is not None and not _differ(one, other):
            continue
        if any(state is not None and _written(state) > moment for state in (one, other)):
            return True
    return False


def _versions(folder: Folder) -> dict[str, int]:
    return {name: state.generation for name, state in folder.objects.items()}


def _differ(one: ObjectState, other: ObjectState) -> bool:
    return not CONTENT_DIFFERENCES.isdisjoint(differences(one, other))


def _written(state: ObjectState) -> datetime:
    return parse_time(state.created)
