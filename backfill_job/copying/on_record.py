"""Comparisons on record: every full comparison of both paths is in the history of the migration's state.

A command records that its comparison begins, before it lists anything, and what the comparison found when it has ended. So the
newest finished comparison is known, whichever command made it, and one that did not finish is known, too. A comparison of a
part (``--since``) is not recorded.

Tasks share one comparison: each records its beginning before it lists, and the first of them counts. The task that combines
the reports records the end.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from backfill_job.copying.compare import Compared
from backfill_job.copying.result import RunResult
from backfill_job.run.run import Run
from shared.errors import PermissionDenied, PhaseUnknown, StorageError, UsageError
from shared.events_log import Event
from shared.record import update
from shared.state import ComparisonRecord, DayPart, EntryKind, State
from shared.state_changes import compared, comparing, under_way, with_run
from shared.verification import Verdict

__all__ = ["OnRecord", "begin_comparison"]


@dataclass(frozen=True, slots=True)
class OnRecord:
    """A comparison that has begun on record, by the change with this id. The run is in the migration's own direction."""

    run: Run
    change: str

    def found(self, compared: Compared, *, back: bool = False) -> ComparisonRecord:
        """What the record says of a comparison; `back` for one from the new path to the legacy path."""
        counts, run = compared.counts, self.run
        erased = counts[Verdict.ERASED]
        wrong = sum(compared.wrong.values())
        if back and Verdict.ERASED not in compared.wrong:
            wrong += erased  # they lie on the new path alone, and the next cutover would bring them back
        return ComparisonRecord(
            self.change,
            run.name,
            run.command,
            compared.began,
            compared=compared.looked_at - erased,
            wrong=wrong,
            extra=counts[Verdict.MISSING if back else Verdict.EXTRA],
            excludes=run.migration.excludes,
            erased=erased,
            crc_alone=compared.crc_alone,
        )

    def ended(
        self,
        found: ComparisonRecord,
        also: Callable[[State], State] = lambda state: state,
        day: Callable[[State], Iterable[DayPart]] = lambda _: (),
    ) -> State:
        """Record what the comparison found; gives the state that has it.

        Args:
            also: A further change, made with it.
            day: How it found the parts of its day, by the state as it is then.

        Raises:
            StorageError: It may or may not be on record.
        """
        run, stamp = self.run, self.run.stamp()
        return update(run.store, run.migration, lambda state: also(compared(state, stamp, found, day(state))))

    def ended_with(
        self, result: RunResult, *, back: bool = False, exit_code: int | None = None, summary: str = ""
    ) -> RunResult:
        """Record what a copy found in the end, and the run. Where that fails, the result says that it stopped; nothing is silent.

        Args:
            back: Whether it went from the new path to the legacy path.
            exit_code: Of the run; None for the result's own.
            summary: Of the run; empty for the result's own.
        """
        if result.stopped or result.verification is None:
            return result
        run = self.run
        code = int(result.exit_code) if exit_code is None else exit_code
        record = run.run_record(code, summary or result.summary)
        try:
            self.ended(self.found(result.verification, back=back), lambda state: with_run(state, record))
        except StorageError as error:
            why = f"the comparison could not be recorded ({error})"
            self.run.log.emit(Event.RUN_STOPPED, error=why)
            return replace(result, stopped=why, stopped_by=error.cause)
        alone = self.run.settings.task_count == 1
        return replace(result, operations=self.run.operations.total()) if alone else result


def begin_comparison(run: Run) -> OnRecord:
    """Record that a full comparison begins. Called before the first listing that it may judge.

    Raises:
        UsageError: This account may not record it, or there is no whole record. Nothing was compared.
        StorageError: It may or may not be on record.
    """
    stamp, name, shared = run.stamp(), run.name, run.settings.task_count > 1
    try:
        state = update(run.store, run.migration, lambda state: comparing(state, stamp, name, shared=shared))
    except (PermissionDenied, PhaseUnknown) as error:
        raise UsageError(f"cannot start: the comparison could not be recorded: {error}") from error
    begun = next(
        (
            entry
            for entry in state.history
            if entry.kind is EntryKind.COMPARING and entry.change == stamp.change
        ),
        None,
    ) or under_way(state, run.command, name)
    if begun is None:
        raise UsageError(
            f"cannot start: another execution has the name {name}, too; run the same command again"
        )
    return OnRecord(run, begun.change)
