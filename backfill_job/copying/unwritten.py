"""Proof that no program wrote to either path between two moments: two looks at all names, with the generation of each side.

A cutover without a mirror rests on it. What is written behind its pass would stay on the legacy path, because no event brings it.
It is a module of its own because it looks without comparing on record, and copies nothing.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256

import uvloop

from backfill_job.copying.diff import Verdict, diff
from backfill_job.copying.progress import counting
from backfill_job.run.run import Run, open_api

__all__ = ["Look", "look_at_both"]

_MODULUS = 2**256


@dataclass(slots=True)
class Look:
    """Both paths at one moment.

    Attributes:
        names: Names on either side that the migration does not leave out.
        digest: Of every name with the generation and metageneration of each side, whatever the order of the listing.
        legacy: The same of the legacy path's names and versions alone.
        unequal: Names whose contents are not the same on both sides.
        example: The first of the unequal names; empty where there is none.
        newest: The name of the newest object on either side, and when it was written; empty where there is none.
    """

    names: int = 0
    digest: int = 0
    legacy: int = 0
    unequal: int = 0
    example: str = ""
    newest: tuple[str, str] = ("", "")


def look_at_both(run: Run) -> Look:
    """List both paths.

    Raises:
        StorageError: A listing is incomplete, so nothing is proven.
        Interrupted: A stop was requested.
    """
    with counting(run.console, "looking", total=None) as add:
        return uvloop.run(_look(run, add))


async def _look(run: Run, add: Callable[[int], None]) -> Look:
    found = Look()
    async with open_api(run) as api, aclosing(diff(api, run.migration, run.ranges)) as parts:
        async for part in parts:
            run.stop.check()
            lines = [*part]
            add(len(lines))
            for relative, verdict, *sides, _ in lines:
                if verdict is Verdict.EXCLUDED:
                    continue
                found.names += 1
                versions = [state and (state.generation, state.metageneration) for state in sides]
                found.digest = (found.digest + _line(relative, versions)) % _MODULUS
                if sides[0] is not None:
                    found.legacy = (found.legacy + _line(relative, versions[:1])) % _MODULUS
                if verdict not in {Verdict.EQUAL, Verdict.METADATA_DIFFERS}:
                    found.unequal += 1
                    found.example = found.example or relative
                created = max(state.created for state in sides if state is not None)
                found.newest = max(found.newest, (created, relative))
    return found


def _line(relative: str, versions: Sequence[object]) -> int:
    return int.from_bytes(sha256(f"{relative}\0{versions}".encode()).digest())
