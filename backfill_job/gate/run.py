"""Runs the gate: gathers the evidence for every check, one after the other. A check that breaks stops no other."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date
from itertools import islice
from pathlib import Path
from typing import TypeVar

import uvloop

from backfill_job.gate.canary import Flight, canary_name, fly, removal
from backfill_job.gate.check import Check, Limits, failed, not_run, passed
from backfill_job.gate.checks import (
    Presence,
    import_test_check,
    late_writes_check,
    phase_check,
    presence_check,
    signoffs_check,
    verification_check,
)
from backfill_job.gate.dead_letters import dead_letters_check, read_dead_letters
from backfill_job.gate.import_record import read_import_record
from backfill_job.gate.mirror_checks import alive_check, lag_check
from backfill_job.gate.references_check import references_check
from backfill_job.gate.result import FORMAT, GateResult
from backfill_job.gate.verification_record import read_verification_record
from backfill_job.import_test.command import REPORT_NAME
from backfill_job.job import open_api
from backfill_job.reports import json_bytes
from backfill_job.session import Session, reports_at
from backfill_job.verify.case_siblings import case_siblings
from backfill_job.wording import listed
from shared.errors import Interrupted, MigrationError, StorageError
from shared.events_log import Event
from shared.migration import Location
from shared.objects import ObjectState
from shared.partitions import answers_folder
from shared.report.advice import Target
from shared.state import State, read_state
from shared.verification import Verification, latest_verification_ref

__all__ = ["FORMAT", "GateOptions", "GateResult", "run_gate"]

_Value = TypeVar("_Value")

_HELP_OUT = "see the error: account, bucket or network need mending; then give the same command again"
_MEND = "mend what the error names; then give the same command again"


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What the gate looks at, and what is good enough.

    Attributes:
        repos: Checkouts of the consumers' code.
        canary: Seconds a canary may take; None for none.
        dead_letters: What `gcloud pubsub subscriptions pull … --format=json` printed, as a file.
        import_test: Where the import test's report lies; None for where `import-test` leaves it.
        limits: What is good enough.
        today: The day of the presence check; None for today, UTC.
        record: Whether the result is left beside the state.
    """

    repos: tuple[Path, ...] = ()
    canary: float | None = None
    dead_letters: Path | None = None
    import_test: Path | Location | None = None
    limits: Limits = field(default_factory=Limits)
    today: date | None = None
    record: bool = True


def run_gate(session: Session, options: GateOptions) -> GateResult:
    """Run every check, and leave ``gate.json``.

    Args:
        session: Of which migration.
        options: What to look at.

    Returns:
        What it came to. That it could not be left beside the state is a check that failed.

    Raises:
        Interrupted: Somebody stopped it; there is no verdict.
        MigrationError: The report could not be written; there is no verdict on record.
    """
    job = session.job
    result = GateResult(tuple(_Gate(session, options).checks()))

    def content() -> dict[str, object]:
        return {
            **session.identity(),
            "finished": job.clock.now().isoformat(timespec="milliseconds"),
            "limits": {**options.limits.to_json(), "canary": options.canary},
            **result.to_json(),
        }

    if options.record:
        at = job.migration.own_ref("latest", "gate.json")
        try:
            job.gateway.put(at, json_bytes(content()))
        except StorageError as error:
            step = "whoever cuts over must be able to write there; to look only: --no-record"
            result = GateResult((*result.checks, not_run("record", str(error), step)))
    session.write("gate.json", content())
    job.log.emit(Event.GATE_CHECKED, go=result.go, failing=[check.name for check in result.failing])
    return result


class _Gate:
    """One run of the gate: the evidence is gathered here, and judged by pure functions."""

    def __init__(self, session: Session, options: GateOptions) -> None:
        self._session = session
        self._options = options
        self._job = session.job
        self._migration = session.job.migration
        self._now = session.job.clock.now().astimezone(UTC)
        migration = self._migration
        self._target = Target(
            migration.label, migration.source.uri, migration.destination.uri, migration.excludes
        )

    def checks(self) -> Iterator[Check]:
        """Every check, in the order of the table."""
        limits, now, target = self._options.limits, self._now, self._target
        state = _known(lambda: read_state(self._job.gateway, self._migration))
        found = _known(self._verification)
        verification = None if isinstance(found, MigrationError) else found
        lag = None if verification is None else verification.lag
        canary, arrived = self._canary(state)

        yield _judged("phase", state, phase_check)
        since = None if isinstance(state, MigrationError) else state.since
        yield _judged(
            "verification", found, lambda seen: verification_check(seen, target, since, now, limits)
        )
        if isinstance(state, State) and not state.phase.before_cutover:
            yield late_writes_check(verification, state, target)
        yield lag_check(lag, arrived, limits)
        yield alive_check(lag, canary, arrived, now, limits)
        yield canary or not_run(
            "canary", "not asked for", "add --canary: it writes one object and removes it again"
        )
        yield self._attempt("dead letters", self._dead_letters)
        yield self._attempt("references", lambda: references_check(self._options.repos, self._migration))
        yield self._attempt("import test", self._import_test)
        yield self._attempt("presence", self._presence)
        yield self._attempt("mixed prefix", self._mixed_prefix)
        yield _judged("sign-offs", state, lambda seen: signoffs_check(seen, target))

    def _attempt(self, name: str, check: Callable[[], Check]) -> Check:
        self._job.stop.check()
        found = _known(check)
        return _judged(name, found, lambda done: done)

    def _verification(self) -> Verification | None:
        at = latest_verification_ref(self._migration)
        contents = self._job.gateway.read(at)
        return None if contents is None else read_verification_record(contents, at.uri, self._target)

    def _canary(self, state: State | MigrationError) -> tuple[Check | None, float | None]:
        """Fly the canary, where one is asked for and means something; gives the seconds it took, too."""
        name, limit = "canary", self._options.canary
        if limit is None:
            return None, None
        if isinstance(state, MigrationError):
            return not_run(
                name, "the phase is not known, so nobody knows what the mirror would do", _HELP_OUT
            ), None
        if not state.phase.before_cutover:
            why = f"in phase {state.phase.value} it would be taken for a late writer's"
            return not_run(name, why, "leave out --canary: there is no cutover ahead"), None
        job = self._job
        relative = canary_name(job.log.context["run"], secrets.token_hex(4))
        if self._migration.is_excluded(relative):
            why = f"{relative} is left out of the migration (--exclude), so it can never arrive"
            return not_run(
                name, why, "give --exclude patterns that do not match it, here and to the mirror"
            ), None
        uri = self._migration.source_ref(relative).uri
        # Said before it is written: whatever ends this process, somebody can read what to remove.
        job.log.emit(Event.CANARY_WRITTEN, object=uri)
        self._session.say(f"Canary: {uri}; it is removed again.\n")
        pause = self._session.surroundings.clock.sleep
        flight = fly(job.gateway, self._migration, relative, limit=limit, clock=job.clock, pause=pause)
        return _flown(flight, limit), flight.arrived

    def _dead_letters(self) -> Check:
        file = self._options.dead_letters
        found = None if file is None else read_dead_letters(file)
        return dead_letters_check(found, self._now, self._options.limits)

    def _import_test(self) -> Check:
        place, gateway = self._options.import_test, self._job.gateway
        if place is None:
            at = self._migration.own_ref("latest", REPORT_NAME)
            where, contents = at.uri, gateway.read(at)
        else:
            reports = reports_at(place, self._job.store, self._migration)
            where = f"--import-test {place.uri if isinstance(place, Location) else place}: {REPORT_NAME}"
            contents = None if reports is None else reports.read(REPORT_NAME)
        record = None if contents is None else read_import_record(contents, where)
        return import_test_check(record, self._target, self._now, self._options.limits)

    def _presence(self) -> Check:
        folder = answers_folder(self._options.today or self._now.date())
        migration = self._migration
        new, legacy = (self._seen_in(path, folder) for path in (migration.destination, migration.source))
        return presence_check(new, legacy)

    def _seen_in(self, path: Location, folder: str) -> Presence:
        objects = 0
        for state in self._listed(Location(path.bucket, path.prefix + folder)):
            objects += 1
            if state.name.endswith(".jsonl"):
                return Presence(path.uri + folder, objects, loadable=True)
        return Presence(path.uri + folder, objects, loadable=False)

    def _mixed_prefix(self) -> Check:
        job = self._job

        async def siblings() -> tuple[Location, ...]:
            async with open_api(job) as api:
                return await case_siblings(api, job.migration.destination)

        found = [sibling for sibling in uvloop.run(siblings()) if sibling != job.migration.source]
        if not found:
            return passed("mixed prefix", f"nothing but {self._target.destination}, in any case")
        first = [f"{sibling.uri} ({self._example(sibling)})" for sibling in found]
        return failed(
            "mixed prefix",
            f"objects under the destination's name in another case, where no reader looks: {listed(first, 3)}",
            "find out who writes there, and have it switched; copy what the destination lacks; then move the rest out of that prefix",
        )

    def _example(self, place: Location) -> str:
        name = next((state.name for state in islice(self._listed(place), 1)), "")
        return f"such as {name!r}" if name else "empty by now"

    def _listed(self, place: Location) -> Iterator[ObjectState]:
        for page in self._job.gateway.list_pages(place.bucket, place.prefix):
            yield from page.objects


def _known(gather: Callable[[], _Value]) -> _Value | MigrationError:
    """What was asked for, or why it cannot be had."""
    try:
        return gather()
    except Interrupted:
        raise
    except MigrationError as error:
        return error


def _judged(name: str, found: _Value | MigrationError, judge: Callable[[_Value], Check]) -> Check:
    """The judgement of evidence; of none, that it could not be had."""
    if isinstance(found, MigrationError):
        return not_run(name, str(found), _HELP_OUT if isinstance(found, StorageError) else _MEND)
    return judge(found)


def _flown(flight: Flight, limit: float) -> Check:
    name = "canary"
    if flight.left:
        arrived = (
            "it did not arrive" if flight.arrived is None else f"it arrived after {flight.arrived:.1f} s"
        )
        why = f"{arrived}, and could not be removed: {flight.why_left}"
        return failed(name, why, removal(flight.left))
    if flight.problem:
        return not_run(name, f"{flight.problem} (nothing is left of it)", _HELP_OUT)
    if flight.arrived is None:
        return failed(
            name,
            f"{flight.uri} had not arrived after {limit:g} s; it was removed",
            "look at the mirror: is it deployed, is its trigger on, what does its log say",
        )
    return passed(name, f"arrived after {flight.arrived:.1f} s; removed on both paths")
