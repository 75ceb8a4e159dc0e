"""Marks of late writes: after the cutover, the mirror leaves a note for each minute with a write at the legacy path.

The data alone shows a late write only for a while. The mirror copies a late writer's new object to the new path. Then the
reverse mirror copies the equal object back once more, as it must with an older equal copy (``docs/decisions/0009``). From
then on the legacy version looks like a copy of a write at the new path. So a check that the legacy path is quiet also
reads the marks.

The marks lie beside the migration's state: one for each minute in which a write happened, named after it, created once and
never changed. A busy late writer costs one small object a minute, and one failed condition for every other write.
"""

import json
from contextlib import suppress
from datetime import UTC

from shared.errors import ConditionFailed, StorageError
from shared.json_io import parse_json
from shared.migration import LATE_WRITES, Migration
from shared.objects import ObjectRef, ObjectState, is_later, parse_time
from shared.store import ContentsStore, RecordStore

__all__ = ["mark_late_write", "newest_late_mark"]


def mark_late_write(store: ContentsStore, migration: Migration, relative: str, written: ObjectState) -> None:
    """Leave a note of a write at the legacy path, unless its minute already has one.

    Args:
        migration: The migration, in its own direction.
        relative: The object's name below the prefix.

    Raises:
        StorageError: The note may or may not have been written; mark the write again.
    """
    minute = f"{parse_time(written.created).astimezone(UTC):%Y%m%dT%H%M}Z"
    at = migration.own_ref(LATE_WRITES, f"{minute}.json")
    note = {"object": relative, "generation": str(written.generation), "created": written.created}
    with suppress(ConditionFailed):
        store.write(at, json.dumps(note).encode(), if_generation=0)


def newest_late_mark(store: RecordStore, migration: Migration, since: str) -> str:
    """Find the newest write at the legacy path that the mirror marked.

    Args:
        migration: The migration, in its own direction.
        since: The cutover, as an RFC 3339 time; a write before it is not late.

    Returns:
        The time of the write in the newest mark, RFC 3339; empty if there was none since. A minute has only one mark, so
        the last write of that minute may be later.

    Raises:
        StorageError: The marks could not be read, or one is not a mark. The answer is unknown then.
    """
    folder = migration.own_ref(LATE_WRITES, "")
    newest = ""
    for page in store.list_pages(folder.bucket, folder.name):
        newest = max(newest, *(each.name for each in page.objects))
    if not newest:
        return ""
    at = ObjectRef(folder.bucket, newest)
    contents = store.read(at)
    try:
        created = str(parse_json(contents or b"")["created"])
        parse_time(created)
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            at.uri, "is not a mark of a late write; nothing else belongs there. Look at it, and remove it"
        ) from error
    return created if is_later(created, since) else ""
