"""A manifest's two files: written on this machine and beside the new path, read back, found again, and read chunk by chunk.

Both files are written and read back before anything is deleted. Lines come while the verification runs, so memory does not grow
with their number. A file gets its name only when it is complete and on the disk. An object is created on condition that
its name is free. Where the answer to a write was lost, reading back shows whether the write arrived: every byte is compared.
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

from backfill_job.deletion.manifest import (
    ChunkIndex,
    Manifest,
    ManifestLine,
    chunk_lines,
    line_row,
    read_manifest,
)
from backfill_job.run.workers import work
from shared.decision import ABSENT
from shared.errors import CannotWrite, ConditionFailed, UsageError
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi
from shared.migration import Location, Migration
from shared.objects import ObjectRef
from shared.text import counted

__all__ = [
    "CloudLines",
    "FoundManifest",
    "LinesFile",
    "LinesSource",
    "LocalLines",
    "NotReadBack",
    "cloud_lines",
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
    """What lies there is not the manifest that was written. Nothing was deleted."""


def manifest_name(label: str, moment: datetime) -> str:
    """The head's file name: ``qpi_exports_deletion_manifest_{env}_{timestamp}.json``, in UTC, to the millisecond."""
    timestamp = f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03}Z"
    return f"qpi_exports_deletion_manifest_{label}_{timestamp}.json"


def cloud_ref(migration: Migration, name: str) -> ObjectRef:
    """Where a file of a manifest lies in Cloud Storage."""
    return migration.own_ref(FOLDER, name)


class LinesSource(Protocol):
    """Where a manifest's lines are read from."""

    async def part(self, offset: int, length: int) -> bytes:
        """Read so many bytes from an offset on. Raises `MigrationError` where they cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class LocalLines:
    """Lines in a file."""

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
    """Lines in one generation of an object."""

    api: AsyncApi
    at: ObjectRef
    generation: int

    async def part(self, offset: int, length: int) -> bytes:
        """See `LinesSource.part`."""
        return await self.api.read_range(self.at, self.generation, first=offset, size=length)


@dataclass(frozen=True, slots=True)
class FoundManifest:
    """A manifest that was read from its place.

    Attributes:
        sha256: Of the head.
        folder: Its folder on this machine; None for Cloud Storage.
    """

    manifest: Manifest
    sha256: str
    place: str
    folder: Path | None

    async def lines(self, api: AsyncApi, gateway: Gateway) -> LinesSource:
        """Find its lines. Raises `UsageError` where they are not beside the head."""
        if self.folder is None:
            head = _object_at(self.place)
            lines_at = ObjectRef(head.bucket, f"{head.name}l")
            return await cloud_lines(api, gateway, lines_at, self.manifest.length)
        path = self.folder / self.manifest.lines_name
        if not path.is_file():
            raise UsageError(
                f"{path} is not there; a manifest is two files. The other copy lies at "
                f"{cloud_ref(self.manifest.migration, self.manifest.name).uri}"
            )
        return LocalLines(path)


def find_manifest(gateway: Gateway, place: str) -> FoundManifest:
    """Read a manifest's head from a file or an object.

    Args:
        place: A path, or ``gs://bucket/name``.

    Raises:
        UsageError: There is none, or it is damaged.
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
        return FoundManifest(read_manifest(contents, place), sha256(contents).hexdigest(), place, path.parent)
    found = gateway.read(_object_at(place))
    if found is None:
        raise UsageError(f"there is no manifest {place}")
    return FoundManifest(read_manifest(found, place), sha256(found).hexdigest(), place, None)


async def read_lines(source: LinesSource, manifest: Manifest, number: int) -> list[ManifestLine]:
    """Read a chunk, and prove that it is the manifest's.

    Raises:
        UsageError: It is another one.
        StorageError: It could not be read.
    """
    chunk = manifest.chunks[number]
    return chunk_lines(manifest, number, await source.part(chunk.offset, chunk.length))


async def cloud_lines(api: AsyncApi, gateway: Gateway, at: ObjectRef, length: int) -> CloudLines:
    """Find the lines in Cloud Storage, and keep to that generation.

    Raises:
        UsageError: They are absent, or not as long as the head says.
        StorageError: The look failed.
    """
    there = await asyncio.to_thread(gateway.look, at)
    if there is None or there.size != length:
        size = "nothing" if there is None else f"{counted(there.size, 'byte')}"
        raise UsageError(f"{at.uri} holds {size}, where the manifest has {counted(length, 'byte')} of lines")
    return CloudLines(api, at, there.generation)


def _object_at(place: str) -> ObjectRef:
    """Read ``gs://bucket/name``."""
    bucket, _, name = place.removeprefix("gs://").partition("/")
    if not name:
        raise UsageError(f"there is no manifest {place}")
    return ObjectRef(Location(bucket, "").bucket, name)


class LinesFile:
    """Writes the lines while they are found: in order, and some late ones that needed a second look.

    Raises:
        UsageError: `path` cannot be written.
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

    def add(self, line: ManifestLine) -> None:
        """Append a line whose name comes after all names before.

        Raises:
            CannotWrite: The disk is full, for example.
        """
        row = line_row(line)
        with _explained(self._partial):
            self._file.write(row)
        self._index.add(line.name, row)

    def add_late(self, line: ManifestLine) -> None:
        """Add a line that `finish` puts in its place."""
        self._late.append((line.name, line_row(line)))

    def finish(self) -> tuple[ChunkIndex, str]:
        """Complete the file and give it its name. Returns the chunks, and the SHA-256 of all lines.

        Raises:
            CannotWrite: The disk is full, for example.
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
        """Remove what is not complete; a complete file stays."""
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
    """Write the head beside its lines, and return its SHA-256.

    Raises:
        CannotWrite: The disk is full, for example.
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
    """Copy both files beside the new path. The head comes last, so a head never lies there without its lines.

    Raises:
        StorageError: The files may or may not be there.
    """
    migration = manifest.migration
    lines_at = cloud_ref(migration, manifest.lines_name)
    # Where an object has the name already, reading back shows whether it is ours.
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
    """Read every byte of both files back, from both places.

    Returns:
        The lines in Cloud Storage, for the deletion to read.

    Raises:
        NotReadBack: The files differ from what was written.
        StorageError: They could not be read.
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
    """Read every chunk, several at once."""

    async def prove(number: int) -> None:
        await read_lines(lines, manifest, number)

    try:
        await work(range(len(manifest.chunks)), prove, workers=READS_AT_ONCE)
    except UsageError as error:
        raise NotReadBack(f"{error}; nothing was deleted") from error


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror}; nothing was deleted") from error


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
