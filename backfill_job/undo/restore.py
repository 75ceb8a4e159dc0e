"""Brings objects back, chunk after chunk of the manifest: what can be done, then what was done, then whether it is there.

Each object takes one conditional request. Both kinds of request say that the legacy name must be absent (``ifGenerationMatch=0``), so
whatever was written there since stays. A restoration names the soft-deleted generation. A copy from the new path says that
this still is the generation seen equal to the manifest's checksums. Where the answer was lost, the repetition fails its condition;
then the legacy object is looked at.

An undo belongs to certain phases, and it reads the phase before each request. In any other phase it brings nothing more back.

The last look decides. The legacy path is listed again, and a line is *there* only when its object is what the manifest
says, contents and metadata.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Any

from backfill_job.copying.counts import Counting, Counts
from backfill_job.copying.governor import WriteGovernor
from backfill_job.copying.lane import Pace, concerns_all
from backfill_job.deletion.manifest import Manifest, ManifestLine
from backfill_job.deletion.manifest_store import LinesSource, read_lines
from backfill_job.run.failures import Failures
from backfill_job.run.phase_change import NotFinished
from backfill_job.run.stopping import Stop
from backfill_job.run.workers import work
from backfill_job.undo.options import RestoreOption, RestoreWay, live, restore_options
from shared.authority import AuthoritySource, current_authority
from shared.decision import ABSENT, was_erased
from shared.errors import Cause, ConditionFailed, MigrationError, ObjectNotFound, StorageError
from shared.gcs.api import AsyncApi, Pacing
from shared.migration import Migration
from shared.objects import ObjectState, is_later, same
from shared.partitions import classify
from shared.text import shown
from shared.verification import too_many_erased

__all__ = ["RestorePlan", "Restored", "Restorer", "Undo", "UndoOutcome", "UndoResult"]

MAX_NAMES = 1_000
"""Names kept in memory of what cannot be brought back; all are counted, and all are in the report's lines."""


class UndoOutcome(Enum):
    """What became of a line."""

    THERE = "there"
    RESTORED = "restored"
    COPIED_BACK = "copied_back"
    ERASED = "erased"
    OCCUPIED = "occupied"
    LOST = "lost"
    FAILED = "failed"


UNDO = Counting(
    UndoOutcome,
    frozenset({UndoOutcome.RESTORED, UndoOutcome.COPIED_BACK}),
    frozenset({UndoOutcome.OCCUPIED, UndoOutcome.LOST, UndoOutcome.FAILED}),
    listed="selected",
)
"""How an undo counts what it did."""

PLAN = Counting(
    RestoreWay,
    frozenset({RestoreWay.SOFT_DELETE, RestoreWay.NEW_PATH}),
    frozenset({RestoreWay.OCCUPIED, RestoreWay.LOST}),
    listed="selected",
)
"""How an undo counts what can be done."""

_NOTHING_TO_DO = {
    RestoreWay.THERE: UndoOutcome.THERE,
    RestoreWay.ERASED: UndoOutcome.ERASED,
    RestoreWay.OCCUPIED: UndoOutcome.OCCUPIED,
    RestoreWay.LOST: UndoOutcome.LOST,
}


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a line; `detail` and `cause` say why it is not there."""

    option: RestoreOption
    outcome: UndoOutcome
    detail: str = ""
    cause: Cause | None = None


class Restorer:
    """Brings back what a manifest of one migration names. Belongs to one event loop.

    Args:
        authority: Raises where the phase does not allow it; None where no phase matters, in a scratch prefix.

    Attributes:
        error: Why the rest is not tried: a missing permission or bucket, or the phase; None as long as nothing stops it.
        asked: Whether a request was sent that may have brought something back.
    """

    def __init__(
        self, api: AsyncApi, migration: Migration, pacing: Pacing, authority: AuthoritySource | None
    ) -> None:
        self._api = api
        self._migration = migration
        self._pacing = pacing
        self._authority = authority
        self.error: StorageError | None = None
        self.asked = False

    async def bring_back(self, option: RestoreOption) -> Restored:
        """Do what can be done about a line. A failure of Cloud Storage is a result, and never raised."""
        outcome = _NOTHING_TO_DO.get(option.way)
        if outcome is not None:
            return Restored(option, outcome, option.because)
        if self.error is not None:
            return Restored(option, UndoOutcome.FAILED, str(self.error), self.error.cause)
        try:
            if await self._is_erased(option.line):
                return Restored(option, UndoOutcome.ERASED, "it was erased by name meanwhile")
            return await self._brought_back(option)
        except StorageError as error:
            if concerns_all(error):
                self.error = error
            return Restored(option, UndoOutcome.FAILED, str(error), error.cause)

    async def _brought_back(self, option: RestoreOption) -> Restored:
        await self._pacing.admit()
        line = option.line
        ways = {UndoOutcome.RESTORED: self._restore, UndoOutcome.COPIED_BACK: self._copy_back}
        if option.way is RestoreWay.NEW_PATH:
            del ways[UndoOutcome.RESTORED]
        elif not option.same_at_new_path:
            del ways[UndoOutcome.COPIED_BACK]
        problem: StorageError | None = None
        for outcome, act in ways.items():
            await self._before_request()
            try:
                made = await act(option)
            except ConditionFailed as error:
                # Another writer was faster; or this is a repetition after the first answer was lost.
                found = await self._api.look(self._migration.source_ref(line.name))
                if found is not None:
                    if same(line.state, found):
                        return Restored(option, outcome)
                    return Restored(
                        option,
                        UndoOutcome.OCCUPIED,
                        "somebody wrote there meanwhile; it is not overwritten",
                    )
                problem = error
            except ObjectNotFound as error:
                problem = error  # soft delete or the new path has lost it meanwhile
            else:
                if same(line.state, made):
                    return Restored(option, outcome)
                why = "what came back is not what the manifest says"
                return Restored(option, UndoOutcome.FAILED, why, Cause.NOT_PROVEN)
        why = f"it changed since it was looked at ({problem})"
        return Restored(option, UndoOutcome.FAILED, why, Cause.CHANGED)

    async def _before_request(self) -> None:
        """Check that the phase allows it."""
        if self._authority is not None:
            await current_authority(self._authority)
        self.asked = True

    async def _is_erased(self, line: ManifestLine) -> bool:
        """Whether it was erased by name since it was looked at."""
        if self._authority is None:
            return False
        known = await asyncio.to_thread(self._authority.erasures)
        return was_erased(line.state, None, known.on_record(line.name))

    async def _restore(self, option: RestoreOption) -> ObjectState:
        line = option.line
        return await self._api.restore(self._migration.source_ref(line.name), line.generation, self._pacing)

    async def _copy_back(self, option: RestoreOption) -> ObjectState:
        """Copy from the new path. A large or distant copy takes several calls, each under the same conditions."""
        line, there = option.line, option.new_path
        legacy = self._migration.source_ref(line.name)
        if there is None:
            raise ObjectNotFound(legacy.uri, "the new path has none")
        return await self._api.copy(
            self._migration.destination_ref(line.name),
            legacy,
            if_source=there.generation,
            if_destination=ABSENT,
            pacing=self._pacing,
        )


@dataclass(slots=True)
class RestorePlan:
    """What can be brought back.

    Attributes:
        sizes: Bytes by what can be done.
        same_at_new_path: Lines whose object is the same at the new path.
        first_until: RFC 3339 time at which soft delete releases the first of them; empty where it holds none.
        last_until: The same for the last of them.
        soft_delete_unavailable: Why soft-deleted objects cannot be listed; empty where they can.
        as_listed: Erased lines that a person named for the deletion (``--erased``).
        hopeless: Some of the lines that nothing can be done about.
        days: For each day by the names, lines by what can be done; None for names without a day.
        until: For each day, the time at which soft delete releases the first of them.
    """

    counts: Counts[RestoreWay] = field(default_factory=lambda: Counts(PLAN))
    sizes: Counter[RestoreWay] = field(default_factory=Counter)
    same_at_new_path: int = 0
    first_until: str = ""
    last_until: str = ""
    soft_delete_unavailable: str = ""
    as_listed: int = 0
    hopeless: list[str] = field(default_factory=list)
    days: dict[date | None, Counter[RestoreWay]] = field(default_factory=dict)
    until: dict[date | None, str] = field(default_factory=dict)

    def add(self, each: RestoreOption) -> None:
        """Count a line."""
        self.counts.add(each.way)
        self.sizes[each.way] += each.line.size
        self.same_at_new_path += each.same_at_new_path
        self.as_listed += _erased_as_listed(each)
        day = classify(each.line.name, each.line.size).day
        self.days.setdefault(day, Counter())[each.way] += 1
        if each.way is RestoreWay.SOFT_DELETE and each.until:
            if day not in self.until or is_later(self.until[day], each.until):
                self.until[day] = each.until
            if not self.first_until or is_later(self.first_until, each.until):
                self.first_until = each.until
            if not self.last_until or is_later(each.until, self.last_until):
                self.last_until = each.until
        if each.because and len(self.hopeless) < MAX_NAMES:
            self.hopeless.append(f"{each.way.value} {shown(each.line.name)}: {each.because}")

    @property
    def selected(self) -> int:
        """Lines that the operator selected."""
        return self.counts.listed

    @property
    def possible(self) -> bool:
        """Whether everything is there or can be brought back, but for what a person listed and a few that were erased."""
        erased = self.counts.by_outcome[RestoreWay.ERASED] - self.as_listed
        return self.counts.clean and not too_many_erased(erased, self.selected)

    def to_json(self) -> dict[str, Any]:
        """The plan for a report."""
        return {
            "selected": self.selected,
            "ways": self.counts.outcomes_json(),
            "bytes": {way.value: self.sizes[way] for way in RestoreWay},
            "same_at_new_path": self.same_at_new_path,
            "first_until": self.first_until or None,
            "last_until": self.last_until or None,
            "no_soft_delete": self.soft_delete_unavailable or None,
            "hopeless": self.hopeless,
        }


@dataclass(slots=True)
class UndoResult:
    """What was brought back.

    Attributes:
        there: Lines whose object the last look found to be the same.
        left: Lines whose object is not there because it was erased.
        as_listed: Those of them that a person named for the deletion (``--erased``).
        names: Some of the other lines, as a person reads them.
    """

    counts: Counts[UndoOutcome] = field(default_factory=lambda: Counts(UNDO))
    there: int = 0
    left: int = 0
    as_listed: int = 0
    names: list[str] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)

    @property
    def not_there(self) -> int:
        """Selected lines whose object the last look did not find to be the same, without the erased ones."""
        return self.counts.listed - self.there - self.left

    @property
    def done(self) -> bool:
        """Whether every selected object is there but for what a person listed and a few that were erased, and all are counted."""
        many = too_many_erased(self.left - self.as_listed, self.counts.listed)
        return self.counts.holds and not self.not_there and not many

    def to_json(self) -> dict[str, Any]:
        """What was done, for a report."""
        return {
            "outcomes": self.counts.outcomes_json(),
            "there": self.there,
            "not_there": self.not_there,
            **({"erased": self.left} if self.left else {}),
            "names": self.names,
            **(
                {"failures": [each.to_json() for each in failures]}
                if (failures := self.failures.all())
                else {}
            ),
        }


@dataclass(slots=True)
class Undo:
    """One undo.

    Attributes:
        report: Gets each option, what was done (None in a dry run), and whether the object is there.
        authority: Raises `PhaseChanged` where the phase does not allow an undo; read before each request. It also tells what
            was erased.
        include_erased: Whether what was erased is brought back, too.
    """

    api: AsyncApi
    manifest: Manifest
    lines: LinesSource
    wanted: Callable[[str], bool]
    stop: Stop
    report: Callable[[RestoreOption, Restored | None, bool], None]
    authority: AuthoritySource
    include_erased: bool = False

    async def plan(self) -> RestorePlan:
        """Find what can be brought back. Changes nothing.

        Raises:
            UsageError: The manifest was changed.
            StorageError: A listing failed.
        """
        found = RestorePlan()
        for number in range(len(self.manifest.chunks)):
            for each in await self._options(number, found):
                found.add(each)
                self.report(each, None, each.way is RestoreWay.THERE)
        return found

    async def execute(self, governor: WriteGovernor, in_flight: int) -> tuple[RestorePlan, UndoResult]:
        """Bring back what can be brought back, and look.

        Raises:
            NotFinished: Something stopped it after a request was sent; what was brought back stays.
            Interrupted: The operator stopped it before that.
            UsageError: The manifest was changed, before that.
            StorageError: A listing failed, before that.
        """
        plan, result = RestorePlan(), UndoResult()
        pace = Pace(governor)
        pacing = Pacing(pace.slot, pace.throttled)
        restorer = Restorer(self.api, self.manifest.migration, pacing, self.authority)
        try:
            for number in range(len(self.manifest.chunks)):
                some = await self._options(number, plan)
                for each in some:
                    plan.add(each)
                if some:
                    await self._bring_back(number, some, restorer, result, in_flight)
        except MigrationError as error:
            if restorer.asked:
                raise NotFinished(
                    f"{error}. What was brought back stays; run the same command again"
                ) from error
            raise
        return plan, result

    async def _options(self, number: int, plan: RestorePlan) -> list[RestoreOption]:
        self.stop.check()
        lines = await read_lines(self.lines, self.manifest, number)
        wanted = [line for line in lines if self.wanted(line.name)]
        if not wanted:
            return []
        plan.counts.list(len(wanted))
        options, unavailable = await restore_options(
            self.api,
            self.manifest.migration,
            wanted,
            self.manifest.following(number),
            authority=self.authority,
            include_erased=self.include_erased,
        )
        plan.soft_delete_unavailable = plan.soft_delete_unavailable or unavailable
        return options

    async def _bring_back(
        self,
        number: int,
        some: Sequence[RestoreOption],
        restorer: Restorer,
        result: UndoResult,
        in_flight: int,
    ) -> None:
        done: dict[str, Restored] = {}

        async def act(each: RestoreOption) -> None:
            done[each.line.name] = await restorer.bring_back(each)

        result.counts.list(len(some))
        await work(some, act, workers=min(in_flight, len(some)))
        lines = [each.line for each in some]
        legacy = await live(self.api, self.manifest.migration.source, lines, self.manifest.following(number))
        for line in lines:
            restored = done[line.name]
            found = legacy.get(line.name)
            there = found is not None and same(line.state, found)
            result.counts.add(restored.outcome)
            if restored.cause is not None:
                result.failures.note(line.name, restored.cause, restored.detail)
            result.there += there
            left = not there and restored.outcome is UndoOutcome.ERASED
            result.left += left
            result.as_listed += left and _erased_as_listed(restored.option)
            if not there and len(result.names) < MAX_NAMES:
                why = restored.detail or "it was brought back, and is gone or changed again"
                result.names.append(f"{restored.outcome.value.replace('_', ' ')} {shown(line.name)}: {why}")
            self.report(restored.option, restored, there)


def _erased_as_listed(option: RestoreOption) -> bool:
    """Whether it was erased, and the deletion took it because a person listed it."""
    return option.way is RestoreWay.ERASED and option.line.destination_generation == ABSENT
