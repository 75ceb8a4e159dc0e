"""Reads one object back: its stored bytes against the listing's size and checksum, its contents against the load's rules.

The bytes are read as they are stored, in pieces of the listed generation: an object that is overwritten meanwhile is read
as it was listed, or not at all. gzip is decompressed as it arrives. Memory does not grow with the object: one piece, one
step of decompression and one unfinished line are all that is held.
"""

import asyncio
import zlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass

import google_crc32c

from backfill_job.jsonl import BOUNDS, Bounds, ContentsReport, LineChecker
from backfill_job.load_rules import ProblemKind
from shared.errors import ObjectNotFound
from shared.gcs.api import AsyncApi
from shared.objects import ObjectRef, ObjectState

__all__ = ["LIMITS", "Limits", "Reading", "Unpacking", "read_back"]

KIB = 1024
MIB = 1024 * KIB
GZIP = b"\x1f\x8b"
GZIP_WINDOW = 31
"""zlib's ``wbits`` for a gzip header and the largest window."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read at once, and held for it.

    With these values, about 250 MiB in the worst case. Most of it is for the users of four large objects, and for parsing
    one line of the greatest length that holds only empty lists. Usual exports take a tenth of that.

    Attributes:
        in_flight: Objects under way at once.
        large: Bytes beyond which an object counts as large. A compressed one always does.
        large_in_flight: How many of those under way may be large.
        piece: Bytes that are read with one request.
        unpacked: Bytes to which a compressed object may decompress; the rest is not judged.
        bounds: How much is held to check one object.
    """

    in_flight: int = 256
    large: int = 64 * KIB
    large_in_flight: int = 4
    piece: int = 4 * MIB
    unpacked: int = 4096 * MIB
    bounds: Bounds = BOUNDS

    def is_large(self, state: ObjectState) -> bool:
        """Whether only a few objects such as this one are read at once."""
        return state.size > self.large or state.metadata.content_encoding is not None


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Reading:
    """An object that was read to its end.

    Attributes:
        report: What its contents are like.
        size: Bytes read.
        proven: The bytes have the listed checksum.
    """

    report: ContentsReport
    size: int
    proven: bool


async def read_back(
    api: AsyncApi, bucket: str, state: ObjectState, limits: Limits = LIMITS
) -> Reading | None:
    """Read an object's listed version and check it.

    Bytes without the listed checksum are read once more, because they may have been damaged on the way. After that they
    are reported as `ProblemKind.NOT_AS_LISTED`.

    Returns:
        None when that version is not there any more.

    Raises:
        BucketNotFound: The bucket is missing, so the object's fate is not known.
        StorageError: It could not be read to its end.
    """
    try:
        reading = await _read(api, bucket, state, limits)
        return reading if reading.proven else await _read(api, bucket, state, limits)
    except ObjectNotFound:
        return None


async def _read(api: AsyncApi, bucket: str, state: ObjectState, limits: Limits) -> Reading:
    at = ObjectRef(bucket, state.name)
    whole = state.size <= limits.piece
    contents = _Contents(state, limits)
    checksum = 0
    for first in range(0, state.size, limits.piece):
        size = min(limits.piece, state.size - first)
        data = await api.read_range(at, state.generation, first=first, size=size, whole=whole)
        checksum = google_crc32c.extend(checksum, data)
        for _ in contents.take(data):
            await asyncio.sleep(0)  # lets other tasks run between two steps
    proven = state.crc32c is None or b64encode(checksum.to_bytes(4, "big")).decode() == state.crc32c
    return Reading(contents.report(proven=proven), state.size, proven)


class _Contents:
    """Passes an object's bytes on to the check of its lines."""

    def __init__(self, state: ObjectState, limits: Limits) -> None:
        self._checker = LineChecker(limits.bounds)
        self._encoding = state.metadata.content_encoding
        self._most = limits.unpacked
        self._unpacking: Unpacking | None = None
        self._begun = False

    def take(self, data: bytes) -> Iterator[None]:
        """Take the next bytes, step by step."""
        if not self._begun:
            self._begin(data)
        if self._unpacking is None:
            self._checker.feed(data)
            return
        for unpacked in self._unpacking.unpack(data):
            self._checker.feed(unpacked)
            yield

    def _begin(self, data: bytes) -> None:
        """Find out the format. The bytes decide, not the metadata: BigQuery's load does the same."""
        self._begun = True
        if data.startswith(GZIP):
            self._checker.note(
                ProblemKind.COMPRESSED, "gzip; one load cannot mix it with objects that are not"
            )
            self._unpacking = Unpacking(self._most)
        elif self._encoding not in {None, "identity"}:
            self._checker.note(
                ProblemKind.BAD_ENCODING,
                f"its content encoding is {self._encoding!r:.40}, and it is not gzip",
            )

    def report(self, *, proven: bool) -> ContentsReport:
        """The result, after the last bytes."""
        complete = self._unpacking is None or self._unpacking.complete
        if self._unpacking is not None:
            if self._unpacking.stopped:
                self._checker.note(
                    ProblemKind.TOO_LARGE, f"unpacks to more than the {self._most:,} bytes that are judged"
                )
            elif not complete:
                self._checker.note(ProblemKind.BAD_ENCODING, "its gzip data are damaged or cut off")
        if not proven:
            self._checker.note(ProblemKind.NOT_AS_LISTED, "the bytes read do not have the listed checksum")
        return self._checker.close(complete=complete)


class Unpacking:
    """Decompresses gzip data as they arrive: at most `most` bytes, in steps of at most `step` bytes. Pure.

    As gzip itself does, it takes several members one after the other, and zeros after the last.
    """

    def __init__(self, most: int, step: int = MIB) -> None:
        self._room = most
        self._step = step
        self._member = zlib.decompressobj(wbits=GZIP_WINDOW)
        self._in_member = False
        self._damaged = False
        self.stopped = False

    @property
    def complete(self) -> bool:
        """Whether the data so far are complete members without damage."""
        return not self._damaged and not self._in_member and not self.stopped

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes.

        Yields:
            The decompressed bytes; nothing after damage or beyond the bound.
        """
        while data and not self._damaged and not self.stopped:
            if not self._in_member:
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._member = zlib.decompressobj(wbits=GZIP_WINDOW)
                self._in_member = True
            try:
                unpacked = self._member.decompress(data, min(self._step, self._room + 1))
            except zlib.error:
                self._damaged = True
                return
            self._room -= len(unpacked)
            self.stopped = self._room < 0
            data = self._member.unconsumed_tail
            if self._member.eof:
                data = self._member.unused_data
                self._in_member = False
            yield unpacked
