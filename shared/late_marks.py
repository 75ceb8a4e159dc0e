"""Marks of late writes: after the cutover, the mirror that sees a write at the legacy path leaves a note of it.

The data alone does not tell for long. A late writer's new object is copied to the new path; the reverse mirror then copies the
equal object back once more, as it must with an older equal copy (``docs/decisions/0009``); and from then on the legacy version
looks like a copy of something that was written at the new path. So who waits for the legacy path to fall quiet also asks the marks.

They lie beside the migration's state: one for each minute in which somebody wrote, named by it, created once and never changed. A
busy late writer costs one small object a minute, and a condition that fails for every other write.
"""

import json
from contextlib import suppress
from datetime import UTC

from shared.errors import ConditionFailed, StorageError
from shared.json_io import parse_json
from shared.migration import Migration
from shared.objects import ObjectRef, ObjectState, is_later, parse_time
from shared.store import ContentsStore, ListingStore

__all__ = ["mark_late_write", "newest_late_mark"]

FOLDER = "late-writes"


def mark_late_write(store: ContentsStore, migration: Migration, relative: str, written: ObjectState) -> None:
    """Leave a note that somebody wrote at the legacy path, unless its minute has one.

    Args:
        store: Where the migration's own objects live.
        migration: The migration, in its own direction.
        relative: The object's name below the prefix.
        written: The version that was written.

    Raises:
        StorageError: It may or may not have been written; mark it again.
    """
    at = migration.own_ref(FOLDER, f"{_minute(written)}.json")
    note = {"object": relative, "generation": str(written.generation), "created": written.created}
    with suppress(ConditionFailed):
        store.write(at, json.dumps(note).encode(), if_generation=0)


def newest_late_mark(store: ListingStore, contents: ContentsStore, migration: Migration, since: str) -> str:
    """Find out when somebody last wrote at the legacy path, by the mirror's word; to the minute.

    Args:
        store: Lists the marks.
        contents: Reads the newest.
        migration: The migration, in its own direction.
        since: The cutover, as an RFC 3339 time; what was written before it is no late write.

    Returns:
        When the write was that the newest mark tells of, as an RFC 3339 time; empty for none since.

    Raises:
        StorageError: The marks could not be read, or one is none; nothing is known then.
    """
    folder = migration.own_ref(FOLDER, "")
    newest = ""
    for page in store.list_pages(folder.bucket, folder.name):
        newest = max(newest, *(each.name for each in page.objects))
    if not newest:
        return ""
    at = ObjectRef(folder.bucket, newest)
    read = contents.read_version(at)
    try:
        created = str(parse_json((read or (0, b""))[1])["created"])
        parse_time(created)
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            at.uri, "is not a mark of a late write; nothing else belongs there. Look at it, and remove it"
        ) from error
    return created if is_later(created, since) else ""


def _minute(written: ObjectState) -> str:
    return f"{parse_time(written.created).astimezone(UTC):%Y%m%dT%H%M}Z"
