"""One object read as it is stored: its bytes against the listed size and checksum, its contents against the load's rules.

The bytes come in pieces of one version (the generation is named). An object that is overwritten meanwhile is read as it
was listed or not at all. gzip is unpacked piece by piece. Memory does not grow with the object: a piece, one step of
what it unpacks to, and one unfinished line are held.
"""

import asyncio
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import google_crc32c

from backfill_job.contents.lines import BOUNDS, Bounds, ContentsReport, LineChecker
from backfill_job.contents.rows import ProblemKind, Row
from shared.errors import ObjectNotFound
from shared.gcs.api import AsyncApi
from shared.objects import ObjectRef, ObjectState
from shared.text import counted

__all__ = ["LIMITS", "ObjectRead", "ReadLimits", "StoredBytes", "Unpacking", "read_back"]

KIB = 1024
MIB = 1024 * KIB
GZIP = b"\x1f\x8b"
GZIP_WINDOW = 31
"""zlib's ``wbits`` for a gzip header and the largest window."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much is read at once, and held for it.

    With these values a check takes about 250 MiB at the worst. Most of it is for the users of four large objects, and for
    parsing one line of the longest kind that contains only empty lists. Real exports take a tenth.

    Attributes:
        in_flight: Objects under way at once.
        large: Bytes beyond which an object counts as large. A packed object always counts as large.
        large_in_flight: Large objects under way at once.
        piece: Bytes of one request.
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
        """Whether only a few objects such as this are read at once."""
        return state.size > self.large or state.metadata.content_encoding is not None


LIMITS = ReadLimits()


@dataclass(frozen=True, slots=True)
class ObjectRead:
    """An object that was read to its end.

    Attributes:
        proven: Whether the bytes have the listed checksum.
    """

    report: ContentsReport
    size: int
    proven: bool


async def read_back(
    api: AsyncApi, bucket: str, state: ObjectState, limits: ReadLimits = LIMITS
) -> ObjectRead | None:
    """Read an object's listed version and check it.

    Bytes without the listed checksum are read once more, because they may have been damaged on the way. If they still
    do not have it, the report says `ProblemKind.NOT_AS_LISTED`.

    Returns:
        What was read; None when that version is no longer there.

    Raises:
        BucketNotFound: The bucket does not exist: nothing can be said of the object.
        StorageError: It could not be read to its end.
    """
    try:
        reading = await _read(api, bucket, state, limits)
        return reading if reading.proven else await _read(api, bucket, state, limits)
    except ObjectNotFound:
        return None


async def _read(api: AsyncApi, bucket: str, state: ObjectState, limits: ReadLimits) -> ObjectRead:
    at = ObjectRef(bucket, state.name)
    whole = state.size <= limits.piece
    contents = StoredBytes(state, limits)
    checksum = 0
    for first in range(0, state.size, limits.piece):
        size = min(limits.piece, state.size - first)
        data = await api.read_range(at, state.generation, first=first, size=size, whole=whole)
        checksum = google_crc32c.extend(checksum, data)
        for _ in contents.take(data):
            await asyncio.sleep(0)  # other workers have their turn between two steps
    proven = state.crc32c is None or b64encode(checksum.to_bytes(4, "big")).decode() == state.crc32c
    return ObjectRead(contents.report(proven=proven), state.size, proven)


class StoredBytes:
    """An object's stored bytes on their way to the lines in them.

    Args:
        state: As it was listed; its content encoding matters.
        take_row: Called with each row that loads; None where only the problems matter.
    """

    def __init__(
        self, state: ObjectState, limits: ReadLimits = LIMITS, take_row: Callable[[Row], object] | None = None
    ) -> None:
        self._checker = LineChecker(limits.bounds, take_row)
        self._encoding = state.metadata.content_encoding
        self._most = limits.unpacked
        self._unpacking: Unpacking | None = None
        self._begun = False

    @property
    def packed(self) -> bool:
        """Whether the bytes that came are gzip."""
        return self._unpacking is not None

    def take(self, data: bytes) -> Iterator[None]:
        """Take the next bytes, step by step."""
        if data and not self._begun:
            self._begin(data)
        if self._unpacking is None:
            self._checker.feed(data)
            return
        for unpacked in self._unpacking.unpack(data):
            self._checker.feed(unpacked)
            yield

    def _begin(self, data: bytes) -> None:
        """Find out what it is. The bytes count and not the label: a load recognizes gzip when it opens a file."""
        self._begun = True
        if data.startswith(GZIP):
            why = "gzip; one load cannot mix it with objects that are not"
            self._checker.note(ProblemKind.COMPRESSED, why)
            self._unpacking = Unpacking(self._most)
        elif self._encoding == "gzip":
            self._checker.note(ProblemKind.BAD_ENCODING, "labelled gzip and is not")
        elif self._encoding not in {None, "", "identity"}:
            self._checker.note(ProblemKind.OTHER_ENCODING, f"labelled {self._encoding!r:.40}")

    def report(self, *, proven: bool = True) -> ContentsReport:
        """What is in the object; `proven` says whether the bytes have the listed checksum."""
        complete = self._unpacking is None or self._unpacking.complete
        if self._unpacking is not None:
            if self._unpacking.stopped:
                why = f"unpacks to more than the {counted(self._most, 'byte')} that are judged"
                self._checker.note(ProblemKind.TOO_LARGE, why)
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
        """Whether what came so far is at least one whole member, without damage."""
        return not self._damaged and not self._in_member and not self.stopped

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes.

        Yields:
            What they unpack to; nothing more after damage or at the bound.
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
