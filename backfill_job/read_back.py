"""One object read back: its stored bytes against the listing's size and checksum, its contents against the load's rules.

The bytes are read as they are stored, in pieces of one version (the generation is named), so an object that is
overwritten meanwhile is read as it was listed or not at all. What is gzip is unpacked as it comes. Nothing here grows
with the object: a piece, what it unpacks to step by step, and one unfinished line are all that is held.
"""

import asyncio
import zlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass

import google_crc32c

from backfill_job.async_api import AsyncApi, encoded
from backfill_job.jsonl import BOUNDS, Bounds, ContentsReport, LineChecker
from backfill_job.load_rules import ProblemKind
from shared.errors import BucketNotFound, ObjectNotFound
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

    With the values here, some 250 MiB at the worst, most of it for the users of four large objects and for one line at
    its bound, of nothing but empty lists, being parsed. Exports as they are take a tenth.

    Attributes:
        in_flight: Objects under way at once.
        large: Bytes beyond which an object counts as large; so does a packed one.
        large_in_flight: How many of those under way may be large.
        piece: Bytes that are read with one request.
        unpacked: Bytes that a packed object may unpack to; the rest is not judged.
        bounds: How much is held to check one object.
    """

    in_flight: int = 256
    large: int = 64 * KIB
    large_in_flight: int = 4
    piece: int = 4 * MIB
    unpacked: int = 4096 * MIB
    bounds: Bounds = BOUNDS

    def is_large(self, state: ObjectState) -> bool:
        """Whether an object is one of those of which few are read at once."""
        return state.size > self.large or state.metadata.content_encoding is not None


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Reading:
    """An object that was read to its end.

    Attributes:
        report: What its contents are like.
        size: Bytes read.
        proven: Whether they are those that the listing speaks of.
    """

    report: ContentsReport
    size: int
    proven: bool


async def read_back(
    api: AsyncApi, bucket: str, state: ObjectState, limits: Limits = LIMITS
) -> Reading | None:
    """Read an object's listed version and check it.

    Bytes that do not have the listed checksum are read once more, as they may have suffered on the way; then they are
    reported as `ProblemKind.NOT_AS_LISTED`.

    Args:
        api: Whom to ask.
        bucket: Where it lies.
        state: As it was listed.
        limits: How much is held.

    Returns:
        What was read; None when that version is no longer there.

    Raises:
        BucketNotFound: The bucket is not there: nothing can be said of the object.
        StorageError: It could not be read to its end.
    """
    try:
        reading = await _read(api, bucket, state, limits)
        return reading if reading.proven else await _read(api, bucket, state, limits)
    except ObjectNotFound:
        await _require_bucket(api, bucket)
        return None


async def _read(api: AsyncApi, bucket: str, state: ObjectState, limits: Limits) -> Reading:
    uri = ObjectRef(bucket, state.name).uri
    path = f"/b/{encoded(bucket)}/o/{encoded(state.name)}?generation={state.generation}"
    whole = state.size <= limits.piece
    contents = _Contents(state, limits)
    checksum = 0
    for first in range(0, state.size, limits.piece):
        size = min(limits.piece, state.size - first)
        data = await api.media(path, uri, first=first, size=size, whole=whole)
        checksum = google_crc32c.extend(checksum, data)
        for _ in contents.take(data):
            await asyncio.sleep(0)  # others have their turn between two steps
    proven = state.crc32c is None or b64encode(checksum.to_bytes(4, "big")).decode() == state.crc32c
    return Reading(contents.report(proven=proven), state.size, proven)


async def _require_bucket(api: AsyncApi, bucket: str) -> None:
    """Make sure that a 404 was about the object.

    Raises:
        BucketNotFound: It was about the bucket.
        StorageError: It is not known.
    """
    try:
        await api.request("GET", f"/b/{encoded(bucket)}/o?maxResults=1&fields=kind", f"gs://{bucket}")
    except ObjectNotFound as error:
        raise BucketNotFound(
            f"gs://{bucket}", error.detail.replace("no such object", "no such bucket", 1)
        ) from error


class _Contents:
    """An object's bytes on their way to the lines in them."""

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
        """Look at what it is. The bytes count, not the label: the load opens what it finds."""
        self._begun = True
        if data.startswith(GZIP):
            self._checker.note(
                ProblemKind.COMPRESSED, "gzip; one load cannot mix it with objects that are not"
            )
            self._unpacking = Unpacking(self._most)
        elif self._encoding not in {None, "identity"}:
            self._checker.note(
                ProblemKind.BAD_ENCODING, f"its content encoding is {self._encoding!r:.40}, and it is no gzip"
            )

    def report(self, *, proven: bool) -> ContentsReport:
        """What they are like."""
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
    """gzip data unpacked as they come, in steps of a bounded size. Pure.

    As gzip itself does, it takes several members one after the other, and zeros behind the last.

    Args:
        most: Bytes to unpack; then it stops.
        step: Bytes of a step.
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
        """Whether what came so far is whole members, without damage, and at least one."""
        return not self._damaged and not self._in_member and not self.stopped

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes.

        Yields:
            What they unpack to; nothing any more after damage or at the bound.
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
