"""Compares by their bytes the pairs of objects whose checksums prove nothing, once for each pair of generations.

Two objects of one size and one crc32c may differ: a crc32c has 32 bits, and a writer can construct two alike. A composite object
has no md5. Then a copy that is older than its source may be a copy of an older version
(`shared.objects.proves`). While the source wins, such an object is copied again. Elsewhere nothing may be copied for it, so
both sides are read.

Pairs that are found equal are recorded beside the migration's state, as ``proofs/<run>-<id>.json``. These objects are only ever
added. A generation never changes its contents, so a pair on record is not read again. Memory holds about 150 bytes for each pair.
"""

import asyncio
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Annotated, Final, Literal

import orjson
from msgspec import Meta, to_builtins

from backfill_job.copying.diff import DiffLine
from backfill_job.run.run import Run
from backfill_job.run.workers import work
from shared.authority import AuthoritySource, current_authority
from shared.decision import Authority
from shared.errors import ConditionFailed, ObjectNotFound, UsageError
from shared.gcs.api import AsyncApi
from shared.json_io import decode
from shared.objects import Difference, ObjectRef, ObjectState
from shared.verification import Verdict

__all__ = ["AT_ONCE", "PIECE", "ByBytes"]

FORMAT: Final = "qpi-exports-migration/proofs/1"

FOLDER = "proofs"

AT_ONCE = 64
"""Pairs under way at once. With `PIECE` this bounds the memory to 128 MiB."""

PIECE = 1024 * 1024
"""Bytes of one request."""

PAIRS = 10_000
"""Pairs in one object of the record; a run that is killed reads at most as many again."""

_UNPROVEN = (Difference.CRC32C_ALONE,)

_Generation = Annotated[str, Meta(pattern=r"^[0-9]{1,20}\Z")]
_Pair = tuple[str, _Generation, _Generation]


@dataclass(frozen=True, slots=True)
class _Proofs:
    """An object of the record. A pair is a name with its legacy and its new generation, whose bytes are the same."""

    format: Literal["qpi-exports-migration/proofs/1"]
    run: str
    legacy: str
    new: str
    pairs: tuple[_Pair, ...]


class ByBytes:
    """Settles the lines of a diff whose checksums prove nothing.

    Args:
        authority: Where the source wins, such lines stay as they are: a copy settles them. None: it compares them in any phase.
        record: Whether to record what is found equal. Without it, nothing is written.

    Attributes:
        compared: Pairs whose bytes this run has read.
    """

    def __init__(self, run: Run, authority: AuthoritySource | None, *, record: bool) -> None:
        self._run = run
        migration = run.migration
        self._migration = migration
        self._back = migration.home == migration.source
        sides = (migration.source.uri, migration.destination.uri)
        self._legacy, self._new = sides[::-1] if self._back else sides
        self._authority = authority
        self._record = record
        self._equal: set[bytes] | None = None
        self._differing: set[bytes] = set()
        self._unrecorded: list[_Pair] = []
        self.compared = 0

    async def settled(self, api: AsyncApi, lines: list[DiffLine]) -> list[DiffLine]:
        """Compare the unproven lines among some lines, and say of each whether it is equal; gives all in their order.

        A line whose object changed after the listing stays unproven.

        Raises:
            UsageError: The record of proofs is damaged.
            Interrupted: A stop was requested.
            StorageError: Something could not be read or recorded: nothing is known.
        """
        unproven = [number for number, line in enumerate(lines) if line.differing == _UNPROVEN]
        if not unproven:
            return lines
        if self._authority is not None and await current_authority(self._authority) is Authority.SOURCE:
            return lines  # they are copied again
        if self._equal is None:
            self._equal = await asyncio.to_thread(self._recorded)
        todo = [lines[number] for number in unproven if self._key_of(lines[number]) not in self._equal]
        await work(todo, partial(self._compare, api), workers=min(AT_ONCE, len(todo)), stop=self._run.stop)
        if len(self._unrecorded) >= PAIRS:
            await self.flush()
        whole = list(lines)
        for number in unproven:
            whole[number] = self.known(lines[number])
        return whole

    def known(self, line: DiffLine) -> DiffLine:
        """An unproven line as the bytes say, if this pair was compared; every other line as it is. Any thread may ask."""
        if line.differing != _UNPROVEN or self._equal is None:
            return line
        key = self._key_of(line)
        if key in self._equal:
            return line._replace(verdict=Verdict.EQUAL, differing=())
        return line._replace(differing=(Difference.BYTES,)) if key in self._differing else line

    async def flush(self) -> None:
        """Record what was found equal since the last call. Raises `StorageError`; then it may or may not be on record."""
        pairs, self._unrecorded = self._unrecorded, []
        if not pairs or not self._record:
            return
        run = self._run.name
        proofs = _Proofs(FORMAT, run, self._legacy, self._new, tuple(pairs))
        at = self._migration.own_ref(FOLDER, f"{run}-{uuid.uuid4().hex}.json")
        with suppress(ConditionFailed):  # our own write, whose answer was lost: no other run takes this name
            await asyncio.to_thread(
                self._run.store.write, at, orjson.dumps(to_builtins(proofs)), if_generation=0
            )

    def _recorded(self) -> set[bytes]:
        """The pairs on record."""
        gateway, folder = self._run.store, self._migration.own_ref(FOLDER, "")
        found: set[bytes] = set()
        for page in gateway.list_pages(folder.bucket, folder.name):
            for state in page.objects:
                at = ObjectRef(folder.bucket, state.name)
                contents = gateway.read(at)
                try:
                    proofs = decode(_Proofs, b"" if contents is None else contents, at.uri)
                except UsageError as error:
                    raise UsageError(f"{error}; remove it: its pairs are then compared again") from error
                if (proofs.legacy, proofs.new) != (self._legacy, self._new):
                    raise UsageError(f"{at.uri} is about {proofs.legacy} and {proofs.new}; remove it")
                found.update(_key(name, legacy, new) for name, legacy, new in proofs.pairs)
        return found

    async def _compare(self, api: AsyncApi, line: DiffLine) -> None:
        """Read both sides of a line, piece by piece, as they are stored."""
        ours, theirs = line.source, line.destination
        assert ours is not None and theirs is not None and self._equal is not None  # noqa: S101, PT018 -- it is unproven
        sides = ((self._migration.source.bucket, ours), (self._migration.destination.bucket, theirs))
        whole = ours.size <= PIECE
        self.compared += 1
        for first in range(0, ours.size, PIECE):
            size = min(PIECE, ours.size - first)
            try:
                one, other = [
                    await api.read_range(
                        ObjectRef(bucket, state.name), state.generation, first=first, size=size, whole=whole
                    )
                    for bucket, state in sides
                ]
            except ObjectNotFound:  # that version is not live any more: a later look decides
                return
            if one != other:
                self._differing.add(self._key_of(line))
                return
        self._equal.add(self._key_of(line))
        if self._record:
            self._unrecorded.append(self._pair_of(line))

    def _pair_of(self, line: DiffLine) -> _Pair:
        sides = (_generation(line.source), _generation(line.destination))
        return line.relative, *(sides[::-1] if self._back else sides)

    def _key_of(self, line: DiffLine) -> bytes:
        return _key(*self._pair_of(line))


def _generation(state: ObjectState | None) -> str:
    return "" if state is None else str(state.generation)


def _key(*pair: str) -> bytes:
    return blake2b("\0".join(pair).encode(), digest_size=16).digest()
