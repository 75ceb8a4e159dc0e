"""The gate: every check in the order of the table, and the verdict. It says GO only if no check blocks."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from backfill_job.access import needs_of
from backfill_job.bucket_settings import PATH_LIFECYCLE, RECORD_LIFECYCLE, lifecycle_checks
from backfill_job.checks import (
    Check,
    blocking,
    failed,
    known,
    log_overrides,
    marked,
    not_applicable,
    not_run,
    overridden,
    overrides_of,
    passed,
    readers_check,
    references_check,
    show_lines,
    tally,
    unavailable,
)
from backfill_job.copying.progress import counting
from backfill_job.gate.checks import (
    ACCESS,
    access_check,
    alive_check,
    comparison_check,
    dead_letters_check,
    gate_names_check,
    gate_phase_check,
    gate_signoffs_check,
    import_test_check,
    lag_check,
    loaded_check,
    no_late_writes_check,
    presence_check,
)
from backfill_job.gate.evidence import Evidence, GateOptions
from backfill_job.rights import Area
from backfill_job.run.late_console import LateConsole
from backfill_job.run.reports import json_bytes
from backfill_job.run.run import Run
from shared.errors import MigrationError, PhaseUnknown, StorageError, UsageError
from shared.events_log import Event
from shared.phase import DELETION_BEGUN
from shared.state import NAMES, State
from shared.text import listed

__all__ = ["FORMAT", "GATE_CHECKS", "OVERRIDABLE", "GateCheck", "GateResult", "run_gate"]

OVERRIDABLE = (NAMES, "readers", ACCESS, PATH_LIFECYCLE)
"""The names that ``--override`` takes."""

OF_THE_MIRROR = frozenset({"mirror lag", "mirror alive", "canary", "dead letters"})
"""The checks that are not applicable where a person says that no mirror runs (``--no-mirror``)."""

FORMAT = "qpi-exports-migration/gate/1"


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One check of the gate.

    Attributes:
        name: Its name in the table, in docs/commands.md and in decision 19.
        needs: The permissions that the operator's account needs, and where. ``rights.py`` grants them.
        run: Decides the check from the evidence; gives None where the check does not apply in this phase. Raises `MigrationError`
            where the evidence cannot be read.
    """

    name: str
    needs: tuple[tuple[Area, str], ...]
    run: Callable[[Evidence], Check | None]


_GET_OWN = (Area.OWN, "storage.objects.get")
_GET_NEW_BUCKET = (Area.NEW_BUCKET, "storage.buckets.get")
_POLICIES = tuple((area, "storage.buckets.getIamPolicy") for area in (Area.LEGACY_BUCKET, Area.NEW_BUCKET))
_LIST = ((Area.LEGACY_BUCKET, "storage.objects.list"), (Area.NEW_BUCKET, "storage.objects.list"))
_CANARY = (
    (Area.CANARY, "storage.objects.create"),
    (Area.CANARY, "storage.objects.delete"),
    (Area.NEW_PATH, "storage.objects.get"),
    (Area.NEW_PATH, "storage.objects.delete"),
)


def _without_evidence(name: str, error: MigrationError, evidence: Evidence) -> Check:
    """A check whose evidence cannot be read; where that is the state, `begin` mends it or says what to restore."""
    begin = evidence.target.command("begin", "--by", "NAME")
    if not isinstance(error, PhaseUnknown) or not begin:
        return unavailable(name, error)
    fix = f"begin it, mend its record, or learn what to restore: {begin}; then run the same command again"
    return not_run(name, str(error), fix)


def _verification(evidence: Evidence) -> Check:
    state, found = evidence.known_state, evidence.recorded
    if isinstance(found, UsageError):
        again = evidence.target.command("verify") if state.phase.before_cutover else ""
        return not_run("verification", str(found), again or "`status` says where the migration stands")
    if isinstance(found, MigrationError):
        raise found
    return comparison_check(state, found, evidence.target, evidence.now, evidence.options.limits)


def _late_writes(evidence: Evidence) -> Check | None:
    state = evidence.state
    if not isinstance(state, State) or state.phase.before_cutover:
        return None
    return no_late_writes_check(evidence.verification, state, evidence.target)


def _lag(evidence: Evidence) -> Check:
    again = evidence.target.command("verify") or "run `verify`"
    limits, doubt = evidence.options.limits, evidence.lag_doubt
    check = lag_check(evidence.lag, evidence.arrived, limits, again=again, doubt=doubt)
    return _before_cutover_only(check, evidence)


def _before_cutover_only(check: Check, evidence: Evidence) -> Check:
    """A check whose next step makes sense only where a cutover is ahead."""
    phase = evidence.phase
    if not check.blocks or phase is None or phase.before_cutover:
        return check
    return replace(check, next_step="nothing: there is no cutover ahead")


def _alive(evidence: Evidence) -> Check:
    check = alive_check(
        evidence.lag, evidence.canary, evidence.arrived, evidence.now, evidence.options.limits
    )
    return _before_cutover_only(check, evidence)


def _canary(evidence: Evidence) -> Check:
    step = "add --canary: it writes one object and removes it again"
    return evidence.canary or _before_cutover_only(not_run("canary", "not asked for", step), evidence)


def _dead_letters(evidence: Evidence) -> Check:
    return dead_letters_check(
        evidence.dead_letters(),
        evidence.target,
        evidence.now,
        evidence.options.limits,
        phase=evidence.phase,
        without_mirror=evidence.without_mirror,
    )


def _references(evidence: Evidence) -> Check:
    consumer, checkouts = evidence.options.consumer, evidence.options.checkouts
    if consumer is not None and consumer.nothing_loads and not checkouts.paths:
        return not_applicable("references", consumer.not_loaded)
    state, result = evidence.known_state, checkouts.scan(evidence.migration)
    return references_check(result, state if result is None else evidence.with_sites(state, result))


def _readers(evidence: Evidence) -> Check:
    audit_log = evidence.options.audit_log
    return readers_check(evidence.known_state, evidence.target, evidence.now, audit_log=audit_log)


def _import_test(evidence: Evidence) -> Check:
    consumer, limits = evidence.consumer, evidence.options.limits
    found = None if consumer.nothing_loads else evidence.import_record()
    if consumer.not_loaded and found is None:
        return not_applicable("import test", consumer.not_loaded)
    return import_test_check(found, evidence.target, evidence.now, limits, consumer=consumer.identity)


def _loaded(evidence: Evidence) -> Check:
    consumer = evidence.consumer
    found = None if consumer.nothing_loads else evidence.loaded_record()
    if consumer.not_loaded and found is None:
        return not_applicable("loaded", consumer.not_loaded)
    return loaded_check(
        found,
        evidence.target,
        evidence.now,
        evidence.options.limits,
        consumer=consumer,
        table=evidence.options.table or consumer.load.table,
        phase=evidence.phase,
    )


def _presence(evidence: Evidence) -> Check:
    consumer = evidence.consumer
    if consumer.presence is None:
        why = consumer.not_loaded or f"{consumer.name} loads without looking for a folder first"
        return not_applicable("presence", why)
    new, legacy = evidence.presence()
    return presence_check(
        new,
        legacy,
        evidence.target,
        phase=evidence.phase,
        without_mirror=evidence.without_mirror,
        paused=bool(evidence.options.no_mirror),
    )


def _mixed_prefix(evidence: Evidence) -> Check:
    name, found = "mixed prefix", evidence.siblings()
    if not found:
        return passed(name, f"nothing but {evidence.target.destination}, in any case")
    return failed(
        name,
        f"objects under the destination's name in another case, where no reader looks: {listed(found, 3)}",
        "find out who writes there, and switch that program to the right name; copy what the destination lacks; then move the rest out of that prefix",
    )


def _access(evidence: Evidence) -> Check:
    options, until_deletion = evidence.options, evidence.phase not in DELETION_BEGUN
    needs = {
        "writer": (options.writer, needs_of(evidence.migration, consumer=False)),
        "reader": (options.reader, needs_of(evidence.migration, consumer=True, legacy=until_deletion)),
    }
    consumer = options.consumer
    if options.no_mirror and not options.writer:
        del needs["writer"]
    if consumer is not None and consumer.nothing_loads and not options.reader:
        del needs["reader"]
    if not needs:
        return not_applicable(ACCESS, "nothing writes and nothing loads this path")
    return access_check(needs, evidence.policies)


def _lifecycle(name: str, evidence: Evidence) -> Check:
    (check,) = (
        each for each in lifecycle_checks(evidence.new_bucket, evidence.migration) if each.name == name
    )
    return check


GATE_CHECKS = (
    GateCheck("phase", (_GET_OWN,), lambda evidence: gate_phase_check(evidence.known_state)),
    GateCheck("verification", (_GET_OWN,), _verification),
    GateCheck(NAMES, (_GET_OWN,), lambda evidence: gate_names_check(evidence.known_state, evidence.target)),
    GateCheck("late writes", (_GET_OWN,), _late_writes),
    GateCheck("mirror lag", (_GET_OWN,), _lag),
    GateCheck("mirror alive", (_GET_OWN, *_CANARY), _alive),
    GateCheck("canary", _CANARY, _canary),
    GateCheck("dead letters", (), _dead_letters),
    GateCheck("references", (_GET_OWN,), _references),
    GateCheck("readers", (_GET_OWN,), _readers),
    GateCheck("import test", (_GET_OWN, *_LIST), _import_test),
    GateCheck("loaded", (_GET_OWN,), _loaded),
    GateCheck("presence", _LIST, _presence),
    GateCheck("mixed prefix", (_LIST[1],), _mixed_prefix),
    GateCheck(ACCESS, _POLICIES, _access),
    GateCheck(
        "sign-offs", (_GET_OWN,), lambda evidence: gate_signoffs_check(evidence.known_state, evidence.target)
    ),
    GateCheck(RECORD_LIFECYCLE, (_GET_NEW_BUCKET,), partial(_lifecycle, RECORD_LIFECYCLE)),
    GateCheck(PATH_LIFECYCLE, (_GET_NEW_BUCKET,), partial(_lifecycle, PATH_LIFECYCLE)),
)
"""Every check, in the order of the table. To add one, add it here, to docs/commands.md and to decision 19."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """The result of the gate: every check, in the order of the table."""

    checks: tuple[Check, ...]

    @property
    def go(self) -> bool:
        """Whether no check blocks."""
        return bool(self.checks) and not blocking(self.checks)

    @property
    def verdict(self) -> str:
        """``GO`` or ``NO-GO``."""
        return "GO" if self.go else "NO-GO"

    @property
    def summary(self) -> str:
        """The verdict and its figures, in one line."""
        return f"{self.verdict}: {tally(self.checks)}."

    def show(self, console: LateConsole) -> None:
        """Print every check; under one that blocks, what to do."""
        show_lines(console, self.checks)
        console.say("")

    def to_json(self) -> dict[str, Any]:
        """The result for a report."""
        return {
            "format": FORMAT,
            "verdict": self.verdict,
            "go": self.go,
            "exit_code": int(not self.go),
            "failing": [check.name for check in blocking(self.checks)],
            "checks": [check.to_json() for check in self.checks],
        }


def run_gate(run: Run, options: GateOptions) -> GateResult:
    """Run every check, and write ``gate.json``.

    Returns:
        The result. If the record beside the state cannot be written, the result has a check "record" that blocks.

    Raises:
        Interrupted: A signal stopped it, so there is no verdict.
        MigrationError: The report cannot be written, so there is no verdict on record.
    """
    evidence = Evidence(run, options)
    found: list[Check | None] = []
    with counting(run.console, "checks", total=len(GATE_CHECKS)) as add:
        for each in GATE_CHECKS:
            found.append(_run(run, each, evidence))
            add(1)
    checks = marked((check for check in found if check is not None), OVERRIDABLE)
    result = GateResult(overridden(checks, options.overrides, options.by))

    def content() -> dict[str, object]:
        return {
            **run.identity(),
            "finished": run.clock.now().isoformat(timespec="milliseconds"),
            "limits": {**options.limits.to_json(), "canary": options.canary},
            **result.to_json(),
        }

    if options.record:
        at = run.migration.own_ref("latest", "gate.json")
        try:
            run.gateway.put(at, json_bytes(content()))
        except StorageError as error:
            step = "the account that cuts over must be able to write there; to look only: --no-record"
            result = GateResult((*result.checks, not_run("record", str(error), step)))
    run.write("gate.json", content())
    log_overrides(run.log, overrides_of(result.checks))
    run.log.emit(Event.GATE_CHECKED, go=result.go, failing=[check.name for check in blocking(result.checks)])
    return result


def _run(run: Run, each: GateCheck, evidence: Evidence) -> Check | None:
    run.stop.check()
    options = evidence.options
    if options.no_mirror and each.name in OF_THE_MIRROR:
        return not_applicable(each.name, f"no mirror runs: {options.no_mirror} (says {options.by})")
    found, why = known(partial(each.run, evidence)), options.not_made.get(each.name)
    check = _without_evidence(each.name, found, evidence) if isinstance(found, MigrationError) else found
    if check is None or not check.blocks or not why:
        return check
    return replace(check, evidence=f"{check.evidence}; it could not be made here: {why}")
