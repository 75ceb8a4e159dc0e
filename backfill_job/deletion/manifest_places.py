"""Where a manifest's two files lie, on this machine or beside the new path: found by the head's place, and read chunk by chunk."""

import asyncio
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from backfill_job.deletion.manifest import Line, Manifest
from backfill_job.deletion.manifest_reading import chunk_lines, read_manifest
from shared.errors import UsageError
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi
from shared.migration import Location, Migration
from shared.objects import ObjectRef

__all__ = [
    "CloudLines",
    "Found",
    "LinesSource",
    "LocalLines",
    "cloud_lines",
    "cloud_ref",
    "find_manifest",
    "read_lines",
]

FOLDER = "deletions"
"""Among the migration's own objects: where manifests lie."""


def cloud_ref(migration: Migration, name: str) -> ObjectRef:
    """Where one of a manifest's files lies in Cloud Storage: among the migration's own objects."""
    return migration.own_ref(FOLDER, name)


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
        return await self.api.read_range(self.at, self.generation, first=offset, size=length)


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
            return await cloud_lines(api, gateway, lines_at, self.manifest.length)
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


async def read_lines(source: LinesSource, manifest: Manifest, number: int) -> list[Line]:
    """Read a chunk, and prove that it is the manifest's.

    Raises:
        UsageError: It is not.
        StorageError: It could not be read.
    """
    chunk = manifest.chunks[number]
    return chunk_lines(manifest, number, await source.part(chunk.offset, chunk.length))


async def cloud_lines(api: AsyncApi, gateway: Gateway, at: ObjectRef, length: int) -> CloudLines:
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
