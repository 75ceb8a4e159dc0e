"""The manifest's two files: written before anything is deleted, on this machine and beside the new path, and read back.

Lines come while the verification runs, so memory does not grow with them. A file has its name only when it is whole and on
the disk; an object is created on condition that nothing has its name. Whether a write whose answer was lost was ours is
found out by reading: what counts is what is there, byte for byte.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from heapq import merge
from pathlib import Path
from typing import BinaryIO, Protocol

import orjson

from backfill_job.async_api import AsyncApi, encoded
from backfill_job.deletion.manifest import ChunkIndex, Line, Manifest, line_row
from backfill_job.deletion.manifest_reading import chunk_lines, read_manifest
from shared.decision import ABSENT
from shared.errors import CannotWrite, ConditionFailed, UsageError
from shared.gateway import Gateway
from shared.migration import Location, Migration
from shared.objects import ObjectRef

__all__ = [
    "CloudLines",
    "LinesFile",
    "LinesSource",
    "LocalLines",
    "NotReadBack",
    "cloud_ref",
    "find_manifest",
    "manifest_name",
    "prove_written",
    "read_lines",
    "upload",
    "write_head",
]

FOLDER = "deletions"
"""Among the migration's own objects: where manifests lie."""

PIECE = 1024 * 1024
READS_AT_ONCE = 16


class NotReadBack(CannotWrite):
    """A manifest that was written is not what is there. Nothing was deleted."""


class LinesSource(Protocol):
    """Where a manifest's lines are read from."""

    async def part(self, offset: int, length: int) -> bytes:
        """Read so many bytes from an offset on.

        Raises:
            MigrationError: They cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalLines:
    """Lines in a file of this machine."""

    path: Path

    async def part(self, offset: int, length: int) -> bytes:
        """See `LinesSource.part`."""
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class CloudLines:
    """Lines in an object: always of the one generation."""

    api: AsyncApi
    at: ObjectRef
    generation: int

    async def part(self, offset: int, length: int) -> bytes:
        """See `LinesSource.part`."""
        path = f"/b/{encoded(self.at.bucket)}/o/{encoded(self.at.name)}?generation={self.generation}"
        return await self.api.media(path, self.at.uri, first=offset, size=length, whole=False)


def manifest_name(label: str, moment: datetime) -> str:
    """The head's file name: ``qpi_exports_deletion_manifest_{env}_{timestamp}.json``, in UTC, to the millisecond."""
    timestamp = f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03}Z"
    return f"qpi_exports_deletion_manifest_{label}_{timestamp}.json"


def cloud_ref(migration: Migration, name: str) -> ObjectRef:
    """Where one of a manifest's files lies in Cloud Storage: among the migration's own objects."""
    return migration.own_ref(FOLDER, name)


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
        cloud = await _cloud_lines(api, gateway, lines_at, manifest.length)
    except UsageError as error:
        raise NotReadBack(f"{error}; nothing was deleted") from error
    for lines in (LocalLines(folder / manifest.lines_name), cloud):
        await _prove_lines(manifest, lines)
    if (folder / manifest.lines_name).stat().st_size != manifest.length:
        raise NotReadBack(f"{folder / manifest.lines_name} has more than the manifest's lines")
    return cloud


async def read_lines(source: LinesSource, manifest: Manifest, number: int) -> list[Line]:
    """Read a chunk, and prove that it is the manifest's.

    Raises:
        UsageError: It is not.
        StorageError: It could not be read.
    """
    chunk = manifest.chunks[number]
    return chunk_lines(manifest, number, await source.part(chunk.offset, chunk.length))


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest that was given by its place.

    Attributes:
        manifest: Its head.
        sha256: The head's.
        place: Where it lies.
        folder: The folder of this machine it lies in; None for Cloud Storage.
    """

    manifest: Manifest
    sha256: str
    place: str
    folder: Path | None

    async def lines(self, api: AsyncApi, gateway: Gateway) -> LinesSource:
        """Where its lines are.

        Raises:
            UsageError: They are not where they belong.
        """
        if self.folder is None:
            head = _object_at(self.place)
            lines_at = ObjectRef(head.bucket, f"{head.name}l")
            return await _cloud_lines(api, gateway, lines_at, self.manifest.length)
        path = self.folder / self.manifest.lines_name
        if not path.is_file():
            raise UsageError(
                f"{path} is not there; a manifest is two files. The other copy lies at "
                f"{cloud_ref(self.manifest.migration, self.manifest.name).uri}"
            )
        return LocalLines(path)


def find_manifest(gateway: Gateway, place: str) -> Found:
    """Read a manifest's head from a file or an object.

    Args:
        gateway: Reads objects.
        place: A path, or ``gs://bucket/name``.

    Raises:
        UsageError: There is none, or it is damaged or foreign.
        StorageError: It could not be read.
    """
    if place.endswith(".jsonl"):
        place = place.removesuffix("l")
    if not place.startswith("gs://"):
        path = Path(place)
        try:
            contents = path.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read the manifest {place}: {error.strerror}") from error
        return Found(read_manifest(contents, place), sha256(contents).hexdigest(), place, path.parent)
    found = gateway.read(_object_at(place))
    if found is None:
        raise UsageError(f"there is no manifest {place}")
    return Found(read_manifest(found, place), sha256(found).hexdigest(), place, None)


async def _cloud_lines(api: AsyncApi, gateway: Gateway, at: ObjectRef, length: int) -> CloudLines:
    """The lines in Cloud Storage, of one generation.

    Raises:
        UsageError: They are not there, or are not as long as the head says.
        StorageError: It is not known.
    """
    there = await asyncio.to_thread(gateway.look, at)
    if there is None or there.size != length:
        size = "nothing" if there is None else f"{there.size:,} bytes"
        raise UsageError(f"{at.uri} holds {size}, where the manifest has {length:,} bytes of lines")
    return CloudLines(api, at, there.generation)


def _object_at(place: str) -> ObjectRef:
    """Read ``gs://bucket/name``.

    Raises:
        UsageError: It names no bucket or no object.
    """
    bucket, _, name = place.removeprefix("gs://").partition("/")
    if not name:
        raise UsageError(f"there is no manifest {place}")
    return ObjectRef(Location(bucket, "").bucket, name)


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
