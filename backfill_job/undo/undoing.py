"""An undo, chunk after chunk of the manifest: what can be done, then what was, then whether it is there.

What counts is the last look: the legacy path is listed again, and a line is *there* only when its object is found to be
the same as the manifest says, contents and metadata.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from backfill_job.copying.governor import WriteGovernor
from backfill_job.deletion.manifest import Line, Manifest
from backfill_job.deletion.manifest_places import LinesSource, read_lines
from backfill_job.run.stopping import Stop
from backfill_job.undo.looking import legacy_now, look, prospects
from backfill_job.undo.prospects import Prospect, Way
from backfill_job.undo.restoring import Restored, Restorer, UndoOutcome
from shared.gcs.api import AsyncApi, Pacing
from shared.objects import is_later, same
from shared.text import shown

__all__ = ["Outlook", "Undo", "Undone"]

MAX_NAMES = 1_000
"""Names kept in memory of what cannot be brought back; all are counted, and all are in the report's lines."""


@dataclass(slots=True)
class Outlook:
    """What can be brought back.

    Attributes:
        ways: Lines by what can be done.
        sizes: Bytes by what can be done.
        same_at_new_path: Lines whose object the new path has just so.
        first_until: When soft delete lets the first of them go; empty for none.
        last_until: When it lets the last of them go.
        no_shelf: Why soft-deleted objects cannot be listed; empty where they can.
        hopeless: Some of the lines that nothing can be done about.
    """

    ways: Counter[Way] = field(default_factory=Counter)
    sizes: Counter[Way] = field(default_factory=Counter)
    same_at_new_path: int = 0
    first_until: str = ""
    last_until: str = ""
    no_shelf: str = ""
    hopeless: list[str] = field(default_factory=list)

    def add(self, each: Prospect) -> None:
        """Count a line."""
        self.ways[each.way] += 1
        self.sizes[each.way] += each.line.size
        self.same_at_new_path += each.same_at_new_path
        if each.way is Way.SOFT_DELETE and each.until:
            if not self.first_until or is_later(self.first_until, each.until):
                self.first_until = each.until
            if not self.last_until or is_later(each.until, self.last_until):
                self.last_until = each.until
        if each.because and len(self.hopeless) < MAX_NAMES:
            self.hopeless.append(f"{each.way.value} {shown(each.line.name)}: {each.because}")

    @property
    def selected(self) -> int:
        """Lines looked at."""
        return self.ways.total()

    @property
    def possible(self) -> bool:
        """Whether everything is there or can be brought back."""
        return not self.ways[Way.LOST] and not self.ways[Way.OCCUPIED]

    def to_json(self) -> dict[str, Any]:
        """The outlook for a report."""
        return {
            "selected": self.selected,
            "ways": {way.value: self.ways[way] for way in Way},
            "bytes": {way.value: self.sizes[way] for way in Way},
            "same_at_new_path": self.same_at_new_path,
            "first_until": self.first_until or None,
            "last_until": self.last_until or None,
            "no_soft_delete": self.no_shelf or None,
            "hopeless": self.hopeless,
        }


@dataclass(slots=True)
class Undone:
    """What was brought back.

    Attributes:
        outcomes: Lines by what became of them.
        there: Lines whose object the last look found to be the same.
        not_there: The others.
        names: Some of those, as a person reads them.
    """

    outcomes: Counter[UndoOutcome] = field(default_factory=Counter)
    there: int = 0
    not_there: int = 0
    names: list[str] = field(default_factory=list)

    @property
    def brought_back(self) -> int:
        """Objects that this run restored or copied back."""
        return self.outcomes[UndoOutcome.RESTORED] + self.outcomes[UndoOutcome.COPIED_BACK]

    def to_json(self) -> dict[str, Any]:
        """What was done, for a report."""
        return {
            "outcomes": {outcome.value: self.outcomes[outcome] for outcome in UndoOutcome},
            "there": self.there,
            "not_there": self.not_there,
            "names": self.names,
        }


@dataclass(slots=True)
class Undo:
    """One undo.

    Attributes:
        api: Whom to ask.
        manifest: What was deleted.
        lines: Where its lines are read.
        wanted: Tells which names are meant.
        stop: Whether somebody asked to stop.
        report: Told each prospect, and what became of it: a restoration, or None, and whether it is there.
    """

    api: AsyncApi
    manifest: Manifest
    lines: LinesSource
    wanted: Callable[[str], bool]
    stop: Stop
    report: Callable[[Prospect, Restored | None, bool], None]

    async def outlook(self) -> Outlook:
        """Say what can be brought back. Changes nothing.

        Raises:
            UsageError: The manifest was changed.
            StorageError: It could not be found out.
        """
        found = Outlook()
        for number in range(len(self.manifest.chunks)):
            for each in await self._prospects(number, found):
                found.add(each)
                self.report(each, None, each.way is Way.THERE)
        return found

    async def execute(self, governor: WriteGovernor, in_flight: int) -> tuple[Outlook, Undone]:
        """Bring back what can be, and look.

        Args:
            governor: Says when the next object may be written.
            in_flight: Objects under way at once.

        Returns:
            What could be done, and what was.

        Raises:
            Interrupted: Somebody stopped it; what was brought back stays.
            UsageError: The manifest was changed.
            StorageError: A listing failed; what was brought back stays.
        """
        outlook, undone = Outlook(), Undone()
        async with _pacing(governor) as pacing:
            restorer = Restorer(self.api, self.manifest.migration, pacing)
            for number in range(len(self.manifest.chunks)):
                some = await self._prospects(number, outlook)
                for each in some:
                    outlook.add(each)
                if some:
                    await self._bring_back(number, some, restorer, undone, in_flight)
        return outlook, undone

    async def _prospects(self, number: int, outlook: Outlook) -> list[Prospect]:
        self.stop.check()
        lines = await read_lines(self.lines, self.manifest, number)
        wanted = [line for line in lines if self.wanted(line.name)]
        if not wanted:
            return []
        now = await look(self.api, self.manifest.migration, wanted, self.manifest.following(number))
        outlook.no_shelf = outlook.no_shelf or now.no_shelf
        return prospects(wanted, now)

    async def _bring_back(
        self, number: int, some: Sequence[Prospect], restorer: Restorer, undone: Undone, in_flight: int
    ) -> None:
        places = asyncio.Semaphore(in_flight)

        async def act(each: Prospect) -> Restored:
            async with places:
                return await restorer.bring_back(each)

        done = await asyncio.gather(*map(act, some))
        lines: list[Line] = [each.line for each in some]
        legacy = await legacy_now(self.api, self.manifest.migration, lines, self.manifest.following(number))
        for result in done:
            line = result.prospect.line
            found = legacy.get(line.name)
            there = found is not None and same(line.state, found)
            undone.outcomes[result.outcome] += 1
            undone.there += there
            undone.not_there += not there
            if not there and len(undone.names) < MAX_NAMES:
                why = result.detail or "it was brought back, and is gone or changed again"
                undone.names.append(f"{result.outcome.value.replace('_', ' ')} {shown(line.name)}: {why}")
            self.report(result.prospect, result, there)


@asynccontextmanager
async def _pacing(governor: WriteGovernor) -> AsyncIterator[Pacing]:
    """The governor's slots, given out one after the other."""
    turn = asyncio.Lock()

    async def admit() -> None:
        async with turn:
            wait = governor.reserve()
            if wait > 0:
                await asyncio.sleep(wait)

    yield Pacing(admit, governor.throttled)
