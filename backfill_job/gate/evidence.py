"""Gathers the evidence of the gate's checks: once, and only when a check asks for it. `checks` decides what passes."""

import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date
from functools import cached_property, partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from backfill_job.checks import Check, failed, known, not_run, passed, unavailable
from backfill_job.consumer import Consumer, consumer_of, split_glob
from backfill_job.gate.canary import Flight, canary_name, fly, removal
from backfill_job.gate.checks import DayFolder, LagLimits
from backfill_job.gate.dead_letters import DeadLetters, read_dead_letters
from backfill_job.gate.import_record import ImportRecord, read_import_record
from backfill_job.import_test.results import REPORT_NAME
from backfill_job.references.findings import ScanResult
from backfill_job.references.scan import Checkouts
from backfill_job.references.sites import sites_of
from backfill_job.references.targets import FindingKind
from backfill_job.run.clock import waiting
from backfill_job.run.open_run import reports_at
from backfill_job.run.phase_change import update_state
from backfill_job.run.run import Run, open_api
from backfill_job.verify.case_siblings import case_siblings
from shared.errors import MigrationError, UsageError
from shared.events_log import Event
from shared.loaded import LoadedRecord, read_latest_loaded
from shared.migration import Location
from shared.objects import ObjectState
from shared.phase import Phase
from shared.record import read_state
from shared.report.next_steps import CommandTarget
from shared.state import State
from shared.state_changes import Stamp, sites_seen
from shared.text import minute_text
from shared.verification import Lag, Verification, latest_verification_ref, read_verification

__all__ = ["Evidence", "GateOptions", "read_verification_record", "require_on_record"]

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What the gate looks at, and the limits of what passes.

    Attributes:
        checkouts: Checkouts of the consumers' code.
        canary: Seconds that a canary may take; None for no canary.
        dead_letters: A file with the count of the dead letters, or with the messages (``gate.dead_letters``).
        import_test: The place of the import test's report; None for the place where `import-test` leaves it.
        today: The day of the presence check; None for today, UTC.
        record: Whether the gate records its result beside the state, and the readers of the legacy path in it.
        writer: The IAM members that write the exports; `reader` those that read them.
        overrides: Reasons for the checks to override, by the check's name.
        by: Who overrides them, and says that no mirror runs.
        consumer: What reads the path each night; None to find out whether it is the preset.
        consumer_file: The file that describes it, for the commands that the gate proposes; empty without one.
        table: The consumer's own table, with which `loaded` must have compared the path; empty for that of the consumer's file.
        audit_log: The project whose audit log has the entries of the legacy bucket; empty where none was named.
        no_mirror: Why no mirror runs, and who wrote last; empty where one runs.
        not_made: Why evidence could not be made just before the gate, by the check's name.
    """

    checkouts: Checkouts = field(default_factory=Checkouts)
    canary: float | None = None
    dead_letters: Path | None = None
    import_test: Path | Location | None = None
    limits: LagLimits = field(default_factory=LagLimits)
    today: date | None = None
    record: bool = True
    writer: tuple[str, ...] = ()
    reader: tuple[str, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    by: str = ""
    consumer: Consumer | None = None
    consumer_file: str = ""
    no_mirror: str = ""
    table: str = ""
    audit_log: str = ""
    not_made: Mapping[str, str] = field(default_factory=dict)


class Evidence:
    """What one run of the gate finds. An error is evidence, too: it says what is missing."""

    def __init__(self, run: Run, options: GateOptions) -> None:
        self._run = run
        self.options = options
        self.migration = run.migration
        self.now = run.now().astimezone(UTC)
        self.target = replace(CommandTarget.of(self.migration), consumer=options.consumer_file)

    @cached_property
    def consumer(self) -> Consumer:
        """What reads the path each night.

        Raises:
            StorageError: A listing failed, so it is not known whether the path has the preset's layout.
        """
        return consumer_of(self.options.consumer, self.migration, self._run.gateway)

    @cached_property
    def state(self) -> State | MigrationError:
        """The migration's state."""
        return self.known(lambda: read_state(self._run.gateway, self.migration))

    @property
    def phase(self) -> Phase | None:
        """The migration's phase; None where the state cannot be read."""
        return self.state.phase if isinstance(self.state, State) else None

    @cached_property
    def recorded(self) -> Verification | MigrationError | None:
        """The latest verification on record; None where there is none."""
        return self.known(self._verification)

    @property
    def verification(self) -> Verification | None:
        """The same; None also where it cannot be read."""
        return None if isinstance(self.recorded, MigrationError) else self.recorded

    @property
    def lag(self) -> Lag | None:
        """The mirror's lag as the latest verification measured it; None without one, or where `lag_doubt` speaks against it."""
        return None if self.verification is None or self.lag_doubt else self.verification.lag

    @property
    def lag_doubt(self) -> str:
        """Why the lag that the latest verification measured does not count; empty where it does, or where there is none."""
        found, state = self.verification, self.state
        if found is None or not isinstance(state, State):
            return ""
        if not state.ran_in_this_phase(found.run, found.started):
            return "the latest verification measured it before this phase"
        if self.now - found.finished > self.options.limits.max_age:
            return (
                f"the latest verification measured it at {minute_text(found.finished)}, which is too long ago"
            )
        return ""

    @cached_property
    def canary(self) -> Check | None:
        """The canary's check; None without --canary."""
        return self._flight[0]

    @property
    def arrived(self) -> float | None:
        """Seconds that the canary took; None without a canary, or where it did not arrive."""
        return self._flight[1]

    @cached_property
    def new_bucket(self) -> Mapping[str, Any] | MigrationError:
        """The new bucket's settings, as the JSON API shows them."""
        bucket = self.migration.destination.bucket
        return self.known(lambda: self._run.gateway.bucket_resource(bucket))

    @cached_property
    def policies(self) -> Mapping[str, Mapping[str, Any] | MigrationError]:
        """Each bucket's IAM policy, or why it cannot be read."""
        buckets = dict.fromkeys((self.migration.destination.bucket, self.migration.source.bucket))
        return {each: self.known(partial(self._run.gateway.bucket_policy, each)) for each in buckets}

    def with_sites(self, state: State, result: ScanResult) -> State:
        """Record the readers of the legacy path that a scan found, while both paths are live; gives the state with them.

        Raises:
            UsageError: There are too many.
            MigrationError: They could not be recorded.
        """
        run, sites = self._run, sites_of(result, FindingKind.LEGACY)
        stamp = Stamp(uuid.uuid4().hex, run.command, run.now())
        if not self.options.record or sites_seen(state, stamp, sites) is state:
            return state
        return update_state(run, lambda now: sites_seen(now, stamp, sites), stamp)

    def dead_letters(self) -> DeadLetters | None:
        """The dead letters that an operator counted or pulled; None without --dead-letters.

        Raises:
            UsageError: The file is neither.
        """
        file = self.options.dead_letters
        return None if file is None else read_dead_letters(file)

    def import_record(self) -> ImportRecord | None:
        """The import test on record, or in the place that --import-test names; None where there is none.

        Raises:
            UsageError, StorageError: It cannot be read.
        """
        place, gateway = self.options.import_test, self._run.gateway
        if place is None:
            at = self.migration.own_ref("latest", REPORT_NAME)
            where, contents = at.uri, gateway.read(at)
        else:
            reports = reports_at(place, self._run.store, self.migration)
            where = f"--import-test {place.uri if isinstance(place, Location) else place}: {REPORT_NAME}"
            contents = None if reports is None else reports.read(REPORT_NAME)
        return None if contents is None else read_import_record(contents, where)

    def loaded_record(self) -> LoadedRecord | None:
        """The latest comparison of the path with the consumer's table; None where there is none.

        Raises:
            UsageError, StorageError: It cannot be read.
        """
        return read_latest_loaded(self._run.gateway, self.migration)

    def presence(self) -> tuple[DayFolder, DayFolder]:
        """What the folder that a run of today, or of the day given with --today, looks into holds on the new and the legacy path.

        Raises:
            StorageError: A listing failed.
        """
        folder = self.consumer.presence_folder(self.options.today or self.now.date())
        migration = self.migration
        return self._seen_in(migration.destination, folder), self._seen_in(migration.source, folder)

    def _seen_in(self, path: Location, folder: str) -> DayFolder:
        objects, tail = 0, split_glob(self.consumer.load.glob)[2]
        for state in self._listed(Location(path.bucket, path.prefix + folder)):
            objects += 1
            if state.name.endswith(tail):
                return DayFolder(path.uri + folder, objects, loadable=True, tail=tail)
        return DayFolder(path.uri + folder, objects, loadable=False, tail=tail)

    def siblings(self) -> list[str]:
        """Folders under the destination's name in another case, each with an example of an object.

        Raises:
            StorageError: A listing failed.
        """
        run = self._run

        async def found() -> tuple[Location, ...]:
            async with open_api(run) as api:
                return await case_siblings(api, run.migration)

        return [f"{sibling.uri} ({self._example(sibling)})" for sibling in uvloop.run(found())]

    def known(self, gather: Callable[[], _Value]) -> _Value | MigrationError:
        """Gather something; gives the error where that fails.

        Raises:
            Interrupted: A signal stopped the gate, so there is no verdict.
        """
        self._run.stop.check()
        return known(gather)

    def _verification(self) -> Verification | None:
        if isinstance(self.state, MigrationError):
            raise self.state
        at = latest_verification_ref(self.migration)
        contents = self._run.gateway.read(at)
        require_on_record(contents, at.uri, self.state)
        return None if contents is None else read_verification_record(contents, at.uri, self.target)

    @cached_property
    def _flight(self) -> tuple[Check | None, float | None]:
        """Send the canary, where an operator asks for one and this phase allows it; gives the seconds it took, too."""
        name, limit, state = "canary", self.options.canary, self.state
        if limit is None:
            return None, None
        if isinstance(state, MigrationError):
            return unavailable(name, state), None
        if not state.phase.before_cutover:
            why = f"in phase {state.phase.value} it would be taken for a late writer's"
            return not_run(name, why, "leave out --canary: there is no cutover ahead"), None
        run = self._run
        relative = canary_name(run.log.context["run"], secrets.token_hex(4))
        if self.migration.is_excluded(relative):
            why = f"{relative} is left out of the migration (--exclude), so it can never arrive"
            return not_run(
                name, why, "use --exclude patterns that do not match it, here and for the mirror"
            ), None
        uri = self.migration.source_ref(relative).uri
        # The log names it before it exists, so that an operator can remove it even if this process is killed.
        run.log.emit(Event.CANARY_WRITTEN, object=uri)
        self._run.say(waiting(limit, run.clock, f"Canary {uri}, which is removed again") + " at most\n")
        pause = self._run.io.clock.sleep
        flight = fly(run.gateway, self.migration, relative, limit=limit, clock=run.clock, pause=pause)
        return _flown(flight, limit), flight.arrived

    def _example(self, place: Location) -> str:
        name = next((state.name for state in islice(self._listed(place), 1)), "")
        return f"such as {name!r}" if name else "empty by now"

    def _listed(self, place: Location) -> Iterator[ObjectState]:
        for page in self._run.gateway.list_pages(place.bucket, place.prefix):
            yield from page.objects


def require_on_record(contents: bytes | None, where: str, state: State) -> None:
    """Refuse a latest verification that is not the one of which the history has the SHA-256. Pure.

    Args:
        contents: The file's; None where it is absent.
        where: The file's name, for errors.
        state: The migration's.

    Raises:
        UsageError: It is another file, an older one, or is absent although one is on record.
    """
    newest = state.newest_verification
    if newest is None and contents is None:
        return
    if contents is None:
        raise UsageError(f"{where} is not there, although a verification is on record; run verify again")
    digest = sha256(contents).hexdigest()
    if newest is not None and newest.file_sha256 == digest:
        return
    older = next((each for each in state.comparisons if each.file_sha256 == digest), None)
    what = "changed since, or of no verification on record"
    if older is not None and newest is not None:
        what = f"that of {minute_text(older.began)}, and one of {minute_text(newest.began)} is on record"
    raise UsageError(f"{where}: it is not the latest verification on record: it is {what}; run verify again")


def read_verification_record(contents: bytes, where: str, target: CommandTarget) -> Verification:
    """Read ``verification.json`` as the gate accepts it: of this migration, and of all names. Pure.

    Args:
        where: The file's name, for errors.
        target: The migration it must be of.

    Raises:
        UsageError: It is damaged, contradicts itself, covers a part only, or is another migration's.
    """
    found = read_verification(contents, where)
    found.require_migration(target.source, target.destination, where)
    if found.narrowed is not None:
        raise UsageError(f"{where}: it covers a part only; run verify again, without --since")
    return found


def _flown(flight: Flight, limit: float) -> Check:
    name = "canary"
    if flight.left:
        arrived = (
            "it did not arrive" if flight.arrived is None else f"it arrived after {flight.arrived:.1f} s"
        )
        why = f"{arrived}, and could not be removed: {flight.why_left}"
        return failed(name, why, removal(flight.left))
    if flight.problem:
        return not_run(
            name,
            f"{flight.problem} (nothing is left of it)",
            "see the error: account, bucket or network need fixing; then run the same command again",
        )
    if flight.arrived is None:
        return failed(
            name,
            f"{flight.uri} had not arrived after {limit:g} s; it was removed",
            "look at the mirror: is it deployed, is its trigger on, what does its log say",
        )
    return passed(name, f"arrived after {flight.arrived:.1f} s; removed on both paths")
