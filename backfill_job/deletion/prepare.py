"""Everything before the first deletion: compare both paths, run the checks, and write down what may be deleted.

The dry run and the deletion take the same way; the dry run ends after the checks::

    ===============  =====================================================================  ===================
    check            passes when                                                            may be overridden
    ===============  =====================================================================  ===================
    phase            the state says ``cut_over`` (``deleting`` where a deletion goes on)    never
    soak             the cutover is ``--soak-days`` ago, and the last so many days were     with a reason
                     green, in a row (`shared.green_days`)
    late-writes      the last write at the legacy path is ``--soak-days`` ago               with a reason
    verification     this very run found every legacy object equal at the new path          never
    names            the legacy path shows at least 90 % of the names of the comparison before  with a reason
    erased           few legacy objects were erased at the new path; those left stay        with a reason
    references       the consumers' code (``--repo``) reads the new path, and only that;    with a reason
                     each recorded reader of the legacy path reads the new one, or is accepted
    readers          by the audit log, no other principal used the legacy path within the    with a reason
                     soak; or each of them is acknowledged
    sign-offs        all four teams have signed off                                         with a reason
    record-lifecycle no lifecycle rule of the new bucket deletes below ``_migration/``      never
    path-lifecycle   no lifecycle rule of the new bucket deletes on the new path            with a reason
    ===============  =====================================================================  ===================

A late write starts the soak again, because its writer still uses the legacy path. The reverse mirror's copies of what was written
at the new path are not late writes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from backfill_job.bucket_settings import PATH_LIFECYCLE, SafetyNet, lifecycle_checks, safety_net
from backfill_job.checks import (
    Check,
    attempted,
    failed,
    known,
    log_overrides,
    marked,
    names_check,
    not_applicable,
    overridden,
    overrides_of,
    passed,
    phase_check,
    readers_check,
    references_check,
    signoffs_check,
)
from backfill_job.consumer import Consumer
from backfill_job.deletion.manifest import Manifest
from backfill_job.deletion.manifest_store import LinesFile, cloud_ref, prove_written, upload, write_head
from backfill_job.deletion.phases import BEGINS_IN, GOES_ON_IN
from backfill_job.deletion.survey import BLOCKING, Survey, survey
from backfill_job.references.scan import Checkouts
from backfill_job.run.ending import command_line
from backfill_job.run.late_gateway import ask
from backfill_job.run.run import Run, open_api
from backfill_job.verify.late_writes import LateWrites, cutover_of
from shared.events_log import Event
from shared.green_days import KEY, green_days
from shared.migration import Migration
from shared.objects import parse_time
from shared.phase import Phase
from shared.report.next_steps import CommandTarget, cutover_command
from shared.state import NAMES, State
from shared.text import counted, duration, listed, minute_text, shown
from shared.verification import Verdict, said_of_counts, said_of_many_erased, too_many_erased

__all__ = [
    "IN_ANOTHER_PHASE",
    "OVERRIDABLE",
    "DeletionRequest",
    "Prepared",
    "deletion_phase_check",
    "deletion_signoffs_check",
    "erased_checks",
    "late_writes_check",
    "resumption_checks",
    "run_checks",
    "soak_check",
    "verification_check",
    "write_manifest",
]

OVERRIDABLE = ("soak", "late-writes", NAMES, "erased", "references", "readers", "sign-offs", PATH_LIFECYCLE)
"""The names that ``--override`` takes."""

IN_ANOTHER_PHASE = {
    Phase.DUAL_WRITE: "the legacy path is still the source of truth: gate and cutover first, then let it soak",
    Phase.ROLLED_BACK: "the legacy path is the source of truth again: the next cutover first, then let it soak",
    Phase.CUT_OVER: "no deletion was begun; leave --resume and --anew out",
    Phase.DELETING: "a deletion was begun; go on with --resume, or with --anew for what it left",
    Phase.DELETED: "everything was deleted; --anew for what came later, or undo brings it back",
}
"""What to do in a phase in which the command is refused."""


@dataclass(frozen=True, slots=True)
class DeletionRequest:
    """What an operator asks for.

    Attributes:
        soak: How long the new path must have been the source of truth, without a late write and in green days.
        checkouts: Checkouts of the consumers' code.
        by: Who asks.
        overrides: Reasons for the checks to override, by the check's name.
        anew: Whether to delete what an earlier deletion has left.
        erased: Names of legacy objects that were erased at the new path, and that are to be deleted, too.
        consumer: What reads the path; None where it does not matter, as when a deletion goes on.
        audit_log: The project whose audit log has the entries of the legacy bucket; empty where none was named.
    """

    soak: timedelta
    checkouts: Checkouts
    by: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    anew: bool = False
    erased: frozenset[str] = frozenset()
    consumer: Consumer | None = None
    audit_log: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was found before a deletion.

    Attributes:
        found: What may be deleted.
        net: What would still hold deleted objects.
    """

    found: Survey
    checks: tuple[Check, ...]
    net: SafetyNet

    def to_json(self) -> dict[str, Any]:
        """Everything, for the manifest and for reports."""
        return {
            **self.found.facts(),
            "checks": [check.to_json() for check in self.checks],
            "safety_net": self.net.to_json(),
        }


def run_checks(run: Run, state: State, request: DeletionRequest, lines: LinesFile | None = None) -> Prepared:
    """Verify both paths in this run, and run every check. Changes nothing.

    Args:
        run: The run.
        state: The migration's.
        request: What the operator asks for.
        lines: Gets every line that may be deleted; None in a dry run.

    Raises:
        StorageError: There is no verdict.
        Interrupted: The operator stopped it.
    """
    cutover = cutover_of(state)
    known = state.newest_comparison
    found = survey(
        run,
        cutover=cutover,
        lines=lines,
        erased=request.erased,
        consumer=request.consumer,
        expected=None if known is None else known.compared,
    )
    now = run.clock.now()
    checks = [
        deletion_phase_check(state, GOES_ON_IN if request.anew else BEGINS_IN),
        soak_check(state, run.migration, request.soak, now),
        late_writes_check(found.late, request.soak, now, state.last_undo),
        verification_check(found, run.migration, state.phase, state.without_mirror),
        *_names(state, found, run.migration.excludes),
        *erased_checks(found),
        attempted("references", lambda: _references(request, run.migration, state)),
        _readers(run, state, request),
        deletion_signoffs_check(state, run.migration),
        *_lifecycle(run),
    ]
    net = ask(open_api(run), lambda api: safety_net(api, run.migration.source.bucket))
    return Prepared(found, overridden(marked(checks, OVERRIDABLE), request.overrides, request.by), net)


def resumption_checks(
    run: Run, state: State, manifest: Manifest, request: DeletionRequest
) -> tuple[Check, ...]:
    """The checks that are run again when a deletion goes on. What was overridden at its beginning stays overridden.

    Args:
        run: The run.
        state: The migration's.
        manifest: The one that the deletion was begun with.
        request: What the operator asks for.
    """
    checks = [
        deletion_phase_check(state, GOES_ON_IN),
        _readers(run, state, request),
        deletion_signoffs_check(state, run.migration),
        *_lifecycle(run),
    ]
    if request.checkouts.paths:
        scan = attempted("references", lambda: _references(request, manifest.migration, state))
        checks.append(scan)
    found = overridden(marked(checks, OVERRIDABLE), request.overrides, request.by)
    for each in manifest.overrides:
        found = overridden(found, {each.check: each.reason}, each.by)
    return found


def _references(request: DeletionRequest, migration: Migration, state: State) -> Check:
    """The check of the consumers' code; not applicable where a file says that nothing reads the path."""
    consumer, checkouts = request.consumer, request.checkouts
    if consumer is not None and consumer.nothing_loads and not checkouts.paths:
        return not_applicable("references", consumer.not_loaded)
    return references_check(checkouts.scan(migration), state)


def _readers(run: Run, state: State, request: DeletionRequest) -> Check:
    target, log = CommandTarget.of(run.migration), request.audit_log
    return readers_check(state, target, run.clock.now(), audit_log=log, soak=request.soak)


def _names(state: State, found: Survey, excludes: Sequence[str]) -> tuple[Check, ...]:
    """The check of the names; none after a deletion began, which takes names away on purpose."""
    if state.phase in GOES_ON_IN:
        return ()
    measure, left_out = state.names_before(None, excludes), state.left_out_since(None, excludes)
    return (names_check(found.names, measure, left_out),)


def erased_checks(found: Survey) -> tuple[Check, ...]:
    """A person may erase some objects at the new path. More are a rule or an accident. None where nothing was erased or named."""
    name, compared = "erased", found.compared
    unknown = sorted(found.named.difference(found.erased))
    total = compared.counts[Verdict.ERASED]
    too_many = too_many_erased(total, compared.looked_at)
    many = said_of_many_erased(total, compared.looked_at).rstrip(".") if too_many else ""
    if unknown:
        what = (
            f"{counted(len(unknown), 'object')} not erased at the new path: {listed(map(shown, unknown), 3)}"
        )
        erased = f". And {counted(total, 'legacy object')} erased since. {many}" if too_many else ""
        return (
            failed(
                name,
                f"--erased names {what}{erased}",
                "take these names out of the list; `verify` names what was erased",
            ),
        )
    if not total:
        return ()
    evidence = (
        f"{counted(total, 'legacy object')} erased since, at the new path: {listed(map(shown, compared.erased), 3)}; "
        f"{found.erased_left:,} left, {len(found.erased):,} named to be deleted"
    )
    if too_many:
        return (
            failed(
                name,
                f"{evidence}. {many}",
                "find out who or what deleted them there. `migrate --execute --include-erased` brings them back. If they were "
                "meant: `--override erased=TEXT --by WHO` leaves them here, and `--erased LIST` with it deletes those of "
                "the list, too",
            ),
        )
    return (passed(name, evidence),)


def _lifecycle(run: Run) -> tuple[Check, ...]:
    migration = run.migration
    bucket = migration.destination.bucket
    return lifecycle_checks(known(lambda: run.gateway.bucket_resource(bucket)), migration)


def write_manifest(
    run: Run, name: str, lines: LinesFile, prepared: Prepared, by: str
) -> tuple[Manifest, str]:
    """Write the manifest on this machine and beside the new path, and read both back, before anything else is changed.

    Args:
        run: The run.
        name: The head's file name.
        lines: What may be deleted.
        prepared: What else was found.
        by: Who wants the deletion.

    Returns:
        The manifest, and the SHA-256 of its head.

    Raises:
        CannotWrite: The files are not there byte for byte.
        StorageError: The files may or may not be there.
    """
    folder = lines.path.parent
    index, whole = lines.finish()
    manifest = Manifest(
        name=name,
        run=run.name,
        made=run.clock.now().isoformat(timespec="milliseconds"),
        by=by,
        migration=run.migration,
        objects=index.lines,
        size=prepared.found.size,
        critical=prepared.found.critical,
        length=index.length,
        sha256=whole,
        chunks=tuple(index.chunks),
        overrides=overrides_of(prepared.checks),
        facts=prepared.to_json(),
    )
    sha256 = write_head(manifest, folder)
    upload(run.gateway, manifest, folder)
    ask(open_api(run), lambda api: prove_written(api, run.gateway, manifest, folder))
    log_overrides(run.log, manifest.overrides)
    run.log.emit(
        Event.MANIFEST_WRITTEN,
        manifest=cloud_ref(manifest.migration, name).uri,
        sha256=sha256,
        objects=manifest.objects,
        bytes=manifest.size,
        critical=manifest.critical,
    )
    return manifest, sha256


def deletion_phase_check(state: State, wanted: Collection[Phase]) -> Check:
    """The phase must be the one in which a deletion begins, or goes on."""
    return phase_check(state, wanted, lambda phase: IN_ANOTHER_PHASE[phase])


def deletion_signoffs_check(state: State, migration: Migration) -> Check:
    """All four teams must have signed off; after the cutover a missing sign-off can only be overridden."""

    def missing_step(missing: str) -> str:
        if state.phase.before_cutover:
            return CommandTarget.of(migration).command("signoff", "--by", "NAME", subject=missing)
        return "sign-offs are given before a cutover: ask the team that is missing, and override with its answer as the reason"

    return signoffs_check(state, missing_step)


def _full_minute(moment: datetime) -> str:
    """The first full minute that is not before a moment."""
    return minute_text(moment + timedelta(minutes=1) - timedelta.resolution)


def soak_check(state: State, migration: Migration, soak: timedelta, now: datetime) -> Check:
    """The cutover must be long enough ago, and as many days as that must have been green, in a row, up to now."""
    name, cutover = "soak", cutover_of(state)
    if cutover is None:
        return failed(name, "there was no cutover", "cut over first")
    age, wanted = now - cutover, ceil(soak / timedelta(days=1))
    evidence = f"cut over {minute_text(cutover)}, {duration(max(0.0, age.total_seconds()))} ago"
    if not wanted:
        return passed(name, evidence)
    days = green_days(state, now)
    evidence += f"; {days.said}"
    if days.in_a_row < wanted:
        daily = f"a verification once a day records a day, by a schedule or by hand: {command_line(migration, 'verify')}; or "
        way = "run it with --soak-days 0, which wants neither green days nor a pause after a late write"
        ahead = state.phase is Phase.CUT_OVER
        return failed(name, f"{evidence}; wants {wanted} ({KEY})", f"{daily if ahead else ''}{way}")
    if age < soak:
        return failed(name, evidence, f"wait until {_full_minute(cutover + soak)}, or choose --soak-days")
    return passed(name, evidence)


def late_writes_check(
    late: LateWrites, soak: timedelta, now: datetime, undone: datetime | None = None
) -> Check:
    """The last write at the legacy path must be at least the soak time ago; `undone` is when the last undo ended."""
    name = "late-writes"
    if not late.newest:
        return passed(name, "no write there since the cutover")
    newest = parse_time(late.newest)
    by_undo = late.objects > 0 and undone is not None and newest <= undone
    if late.objects:
        what, names = counted(late.objects, "object"), listed(map(shown, late.names), 3)
        how = (
            "written there before `undo` ended, which writes there"
            if by_undo
            else "written there since the cutover"
        )
        evidence = f"{what} {how}, last at {minute_text(newest)}: {names}"
    else:
        evidence = f"the mirror saw a write there at {minute_text(newest)}"
    if now - newest >= soak:
        return passed(name, evidence)
    return failed(
        name,
        evidence,
        ("where `undo` did not write them, " if by_undo else "")
        + "find the writer and switch it to the new path; "
        + f"it has soaked by {_full_minute(newest + soak)} unless there is another write",
    )


def verification_check(found: Survey, migration: Migration, phase: Phase, without_mirror: str = "") -> Check:
    """Every legacy object that was to be migrated must have been found equal, in this very run."""
    name, counts = "verification", found.compared.counts
    wrong = said_of_counts({verdict: counts[verdict] for verdict in BLOCKING})
    if wrong:
        names = listed(map(str, found.compared.differences), 3)
        return failed(
            name,
            f"{found.equal:,} equal; NOT EQUAL: {wrong}: {names}",
            f"see all of them: {command_line(migration, 'verify')}; bring the newer version over, then run this command "
            f"again: {_brought_over(migration, phase, without_mirror)}",
        )
    if not found.equal:
        return failed(
            name,
            "there is nothing to delete",
            f"check that {shown(migration.source.uri)} is the path that you mean",
        )
    alone = found.compared.crc_alone
    by = f", {alone:,} of them by size and crc32c alone" if alone else ""
    return passed(
        name,
        f"{counted(found.equal - len(found.erased), 'legacy object')} compared in this run, all equal at the new path{by}",
    )


def _brought_over(migration: Migration, phase: Phase, without_mirror: str) -> str:
    """How the newer version of an object gets to the other path: the commands that the phase allows."""
    if phase is Phase.CUT_OVER:
        cutover = cutover_command(CommandTarget.of(migration), without_mirror)
        refresh = command_line(migration, "rollback", "--refresh")
        return f"where the legacy path has it, {cutover}; where the new path has it, {refresh}"
    if phase in GOES_ON_IN:
        return "for each object, gcloud storage cp FROM TO"
    return command_line(migration, "migrate", "--execute")
