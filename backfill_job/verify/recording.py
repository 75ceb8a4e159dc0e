"""Puts a verification of all names on record: its comparison, the run, how its day stands, its certificate and its file.

The history says first which file a comparison made. So a file that is not on record is never a verification under way. Only
``verify`` imports it. It is a module of its own because a command writes no record by itself.
"""

from dataclasses import replace
from datetime import UTC
from hashlib import sha256

from backfill_job.copying.on_record import OnRecord
from backfill_job.run.reports import json_bytes
from backfill_job.run.run import Run
from backfill_job.verify.green_day import DayEvidence, judge_day
from backfill_job.verify.result import VerifyResult
from shared.decision import ABSENT
from shared.errors import (
    ConditionFailed,
    Contended,
    MigrationError,
    PermissionDenied,
    StorageError,
    UsageError,
)
from shared.events_log import Event
from shared.green_days import SoakDay, Square, square_of
from shared.loaded import LoadedRecord, read_latest_loaded
from shared.phase import Phase
from shared.record import TRIES, read_state
from shared.state import ComparisonRecord, Light, RunRecord, State
from shared.state_changes import with_run
from shared.verification import Verification, latest_verification_ref

__all__ = ["put_on_record"]


def put_on_record(
    run: Run, found: Verification, certified: bytes, begun: OnRecord, result: VerifyResult
) -> None:
    """Record a verification where the gate and the status page read it, and say how its day stands.

    Args:
        certified: The certificate's contents.
        begun: The comparison that it made.
        result: What the comparison found.

    Raises:
        StorageError: The record may or may not be complete.
    """
    contents = json_bytes(found.to_json())
    ours = replace(
        begun.found(result.compared),
        data_sha256=None if found.certificate is None else found.certificate.data_sha256,
        file_sha256=sha256(contents).hexdigest(),
    )
    record = RunRecord(
        run=found.run,
        command=run.command,
        finished=found.finished,
        exit_code=found.exit_code,
        summary=found.summary,
        report=run.place,
        certificate_sha256=sha256(certified).hexdigest(),
    )
    try:
        run.gateway.put(run.migration.own_ref("certificates", f"{found.run}.json"), certified)
        loaded = _loaded(run) if result.counts.back.cutover else None
        seen = DayEvidence(
            result.compared, result.counts.late, result.counts.back, loaded, run.migration.excludes
        )
        state = begun.ended(
            ours,
            lambda state: with_run(state, record),
            lambda state: judge_day(seen, state) if state.phase is Phase.CUT_OVER else (),
        )
        _say_day(run, state, ours)
        _replace_latest(run, ours, contents)
    except PermissionDenied as error:
        raise PermissionDenied(
            error.uri,
            f"{found.summary}; but it could not be recorded ({error.detail}). To compare only: --no-record",
        ) from error


def _loaded(run: Run) -> LoadedRecord | MigrationError | None:
    """What `loaded` found last; None where it has left nothing."""
    try:
        return read_latest_loaded(run.gateway, run.migration)
    except (StorageError, UsageError) as error:
        return error


def _say_day(run: Run, state: State, ours: ComparisonRecord) -> None:
    """Say how the day of this verification stands, if it was recorded."""
    parts = next(
        (entry.day for entry in state.history if entry.comparison and entry.comparison.begun == ours.begun),
        (),
    )
    if not parts:
        return
    day, square = ours.began.astimezone(UTC).date(), square_of(parts)
    by_light = {light: [part.name for part in parts if part.light is light] for light in Light}
    said = "; ".join(
        f"{light.value.replace('_', ' ')}: {', '.join(names)}" for light, names in by_light.items() if names
    )
    why = SoakDay(day, square, parts).why
    run.say(f"Day {day}: {square.value} ({said})")
    if why:
        run.say(f"  {why}")
    green = square is Square.GREEN
    event = Event.DAY_GREEN if green else Event.DAY_NOT_GREEN
    run.log.emit(event, day=day.isoformat(), summary=said if green else why)


def _replace_latest(run: Run, ours: ComparisonRecord, contents: bytes) -> None:
    """Make this the latest verification, unless one that began later is there.

    Raises:
        Contended: Other verifications were faster at each attempt.
        StorageError: It could not be read or written.
    """
    at = latest_verification_ref(run.migration)
    for _ in range(TRIES):
        there = run.store.read_version(at)
        # After the file: what made the file is on record before it.
        state = read_state(run.store, run.migration)
        if there is not None and _began_later(state, sha256(there[1]).hexdigest(), ours):
            return
        try:
            run.store.write(at, contents, if_generation=ABSENT if there is None else there[0])
        except ConditionFailed:
            continue
        return
    raise Contended(at.uri, f"others changed it during each of {TRIES} tries; run the same command again")


def _began_later(state: State, file_sha256: str, ours: ComparisonRecord) -> bool:
    """Whether a file is that of a comparison on record that began after ours."""
    order = [each.begun for each in state.comparisons]
    after = state.comparisons[order.index(ours.begun) + 1 :] if ours.begun in order else ()
    return any(each.file_sha256 == file_sha256 for each in after)
