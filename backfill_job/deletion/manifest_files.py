"""The manifest's two files: written before anything is deleted, on this machine and beside the new path, and proven.

Lines come while the verification runs, so memory does not grow with them. A file has its name only when it is whole and on
the disk; an object is created on condition that nothing has its name. Whether a write whose answer was lost was ours is
found out by reading: what counts is what is there, byte for byte.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from hashlib import sha256
from heapq import merge
from pathlib import Path
from typing import BinaryIO

import orjson

from backfill_job.deletion.manifest import ChunkIndex, Line, Manifest, line_row
from backfill_job.deletion.manifest_places import (
    CloudLines,
    LinesSource,
    LocalLines,
    cloud_lines,
    cloud_ref,
    read_lines,
)
from shared.decision import ABSENT
from shared.errors import CannotWrite, ConditionFailed, UsageError
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi

__all__ = [
    "LinesFile",
    "NotReadBack",
    "manifest_name",
    "prove_written",
    "upload",
    "write_head",
]

PIECE = 1024 * 1024
READS_AT_ONCE = 16


class NotReadBack(CannotWrite):
    """A manifest that was written is not what is there. Nothing was deleted."""


def manifest_name(label: str, moment: datetime) -> str:
    """The head's file name: ``qpi_exports_deletion_manifest_{env}_{timestamp}.json``, in UTC, to the millisecond."""
    timestamp = f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03}Z"
    return f"qpi_exports_deletion_manifest_{label}_{timestamp}.json"


class LinesFile:
    """The lines while they are found: in order, and some late ones that needed a second look.

    Args:
        path: Where the file goes.

    Raises:
        UsageError: It cannot be written there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._partial = path.with_name(path.name + ".partial")
        self._late: list[tuple[str, bytes]] = []
        self._index = ChunkIndex()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self._partial.open("wb", buffering=PIECE)
        except OSError as error:
            raise UsageError(
                f"cannot write the manifest to {path}: {error.strerror}; choose --manifest-dir"
            ) from error

    def add(self, line: Line) -> None:
        """Append a line that comes after all before it.

        Raises:
            CannotWrite: The disk is full, say.
        """
        row = line_row(line)
        with _explained(self._partial):
            self._file.write(row)
        self._index.add(line.name, row)

    def add_late(self, line: Line) -> None:
        """Take a line in wherever it belongs."""
        self._late.append((line.name, line_row(line)))

    def finish(self) -> tuple[ChunkIndex, str]:
        """Put the lines in order under their name.

        Returns:
            Their chunks, and the SHA-256 of all of them.

        Raises:
            CannotWrite: The disk is full, say.
        """
        with _explained(self._partial):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if self._late:
                self._merge()
            self._partial.replace(self.path)
            _sync_folder(self.path.parent)
        return self._index, self._index.close()

    def discard(self) -> None:
        """Leave nothing; what has its name stays."""
        with suppress(OSError):
            self._file.close()
        self._partial.unlink(missing_ok=True)

    def _merge(self) -> None:
        other = self.path.with_name(self.path.name + ".merged")
        self._index = ChunkIndex()
        with self._partial.open("rb") as rows, other.open("wb") as merged:
            early = ((str(orjson.loads(row)["name"]), row) for row in rows)
            for name, row in merge(early, sorted(self._late)):
                merged.write(row)
                self._index.add(name, row)
            merged.flush()
            os.fsync(merged.fileno())
        other.replace(self._partial)


def write_head(manifest: Manifest, folder: Path) -> str:
    """Write the head beside its lines; gives its SHA-256.

    Raises:
        CannotWrite: The disk is full, say.
    """
    data = manifest.to_json()
    path = folder / manifest.name
    partial = path.with_name(path.name + ".partial")
    with _explained(path), partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(folder)
    return sha256(data).hexdigest()


def upload(gateway: Gateway, manifest: Manifest, folder: Path) -> None:
    """Copy both files beside the new path, the head last: a head without its lines is never there.

    Raises:
        StorageError: They may or may not be there.
    """
    migration = manifest.migration
    lines_at = cloud_ref(migration, manifest.lines_name)
    # Where something is there already, reading back tells whether it is ours.
    with (
        suppress(ConditionFailed),
        _explained(folder / manifest.lines_name),
        (folder / manifest.lines_name).open("rb") as file,
        gateway.writing(lines_at, content_type="application/x-ndjson", if_generation=ABSENT) as write,
    ):
        while piece := file.read(PIECE):
            write(piece)
    with suppress(ConditionFailed):
        gateway.write(cloud_ref(migration, manifest.name), manifest.to_json(), if_generation=ABSENT)


async def prove_written(api: AsyncApi, gateway: Gateway, manifest: Manifest, folder: Path) -> CloudLines:
    """Read both files back from both places, every byte.

    Args:
        api: For the lines.
        gateway: For the head.
        manifest: What must be there.
        folder: Where it must be on this machine.

    Returns:
        The lines in Cloud Storage, for the deletion to read.

    Raises:
        NotReadBack: Something else is there.
        StorageError: It could not be read.
    """
    head = manifest.to_json()
    try:
        local = (folder / manifest.name).read_bytes()
    except OSError as error:
        raise NotReadBack(f"{folder / manifest.name} cannot be read back: {error.strerror}") from error
    at = cloud_ref(manifest.migration, manifest.name)
    for place, found in ((str(folder / manifest.name), local), (at.uri, gateway.read(at))):
        if found != head:
            raise NotReadBack(f"{place} does not hold the manifest that was written; nothing was deleted")
    lines_at = cloud_ref(manifest.migration, manifest.lines_name)
    try:
        cloud = await cloud_lines(api, gateway, lines_at, manifest.length)
    except UsageError as error:
        raise NotReadBack(f"{error}; nothing was deleted") from error
    for lines in (LocalLines(folder / manifest.lines_name), cloud):
        await _prove_lines(manifest, lines)
    if (folder / manifest.lines_name).stat().st_size != manifest.length:
        raise NotReadBack(f"{folder / manifest.lines_name} has more than the manifest's lines")
    return cloud


async def _prove_lines(manifest: Manifest, lines: LinesSource) -> None:
    """Read every chunk; several at once."""
    numbers = iter(range(len(manifest.chunks)))

    async def prove() -> None:
        for number in numbers:
            await read_lines(lines, manifest, number)

    readers = [asyncio.create_task(prove()) for _ in range(READS_AT_ONCE)]
    try:
        await asyncio.gather(*readers)
    except UsageError as error:
        raise NotReadBack(f"{error}; nothing was deleted") from error
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror}; nothing was deleted") from error


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
