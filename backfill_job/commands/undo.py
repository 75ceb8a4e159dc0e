"""The command ``undo``: bring back what a deletion took, from its manifest.

``python -m backfill_job undo --env E --day D``. It finds the manifest in the migration's record. The default is the dry run. It
says of every day what soft delete still holds and until when, and what the new path has. ``--execute`` restores or copies back, and never overwrites an object.
``undo --rehearse --env E`` tries both ways beforehand, with one object in a scratch prefix.
"""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import uvloop

from backfill_job.checks import Check
from backfill_job.copying.options import add_pace_arguments, governor_from
from backfill_job.copying.progress import counting
from backfill_job.deletion.manifest_store import FoundManifest, cloud_ref, find_manifest
from backfill_job.deletion.phases import GOES_ON_IN
from backfill_job.run.arguments import add_log_arguments, day, report_place
from backfill_job.run.command import (
    BEFORE_ANYTHING,
    Command,
    ExitCode,
    ProcessIO,
    add_migration_arguments,
    migration_from,
    refuse_two_pairs,
)
from backfill_job.run.ending import command_line, same_command, say_end
from backfill_job.run.open_run import opened
from backfill_job.run.phase_change import phase_after
from backfill_job.run.questions import confirm_by_yes
from backfill_job.run.reports import Lines
from backfill_job.run.run import Run, open_api
from backfill_job.undo.options import RestoreOption
from backfill_job.undo.rehearsal import Rehearsed, rehearse
from backfill_job.undo.restore import Restored, RestorePlan, Undo, UndoOutcome, UndoResult
from backfill_job.undo.screen import day_lines, end_lines, phase_meaning, plan_table, verdict
from shared.authority import InPhases
from shared.decision import Authority
from shared.errors import MigrationError, UsageError
from shared.events_log import Event
from shared.gateway import Gateway
from shared.migration import matches_any
from shared.partitions import classify
from shared.phase import Phase, state_ref
from shared.record import read_state, update
from shared.state import State
from shared.state_changes import with_run
from shared.text import counted, shown

__all__ = ["COMMAND"]

NAME = "undo"

EXAMPLES = """
examples:
  python -m backfill_job undo --env prod                     what can be brought back
  python -m backfill_job undo --env prod --day 2024-01-31    of one day
  python -m backfill_job undo --env prod --day 2024-01-31 --execute
  python -m backfill_job undo MANIFEST --execute
  python -m backfill_job undo --rehearse --env prod          before a deletion

exit codes:
  0  dry run: everything is there or can be brought back; --execute: everything is there, looked at afterwards
  1  something is not, or cannot be; the last lines say what
  2  could not start: arguments, manifest, bucket, permission
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "manifest",
        nargs="?",
        metavar="MANIFEST",
        help="the manifest's file or gs:// name (default: on record)",
    )
    mode = parser.add_argument_group("what is done")
    which = mode.add_mutually_exclusive_group()
    which.add_argument(
        "--dry-run", action="store_true", help="say what can be brought back, change nothing (the default)"
    )
    which.add_argument("--execute", action="store_true", help="bring it back")
    which.add_argument(
        "--rehearse",
        action="store_true",
        help="without a manifest: delete and bring back one sample object in a scratch prefix of the legacy bucket",
    )
    mode.add_argument(
        "--yes", action="store_true", help="with --execute: do not ask; needed without a terminal"
    )
    mode.add_argument(
        "--include-erased",
        action="store_true",
        help="also bring back what was deleted at the new path since a proven comparison; else it is named and left",
    )
    mode.add_argument("--day", type=day, metavar="YYYY-MM-DD", help="only what has this day in its name")
    mode.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="GLOB",
        help="only names below the prefix that match this shell pattern; without '/' it also matches the last part of a "
        "name; may be repeated",
    )
    add_migration_arguments(parser)
    add_pace_arguments(parser)
    out = parser.add_argument_group("what it leaves")
    out.add_argument(
        "--report", type=report_place, metavar="DIR|gs://…/", help="where reports go; see docs/commands.md"
    )
    add_log_arguments(parser)
    # An undo is for a legacy path that may be empty.
    parser.set_defaults(tasks=1, since=None, grace=timedelta(), allow_empty=True)


def _run(arguments: argparse.Namespace, io: ProcessIO) -> int:
    if arguments.rehearse:
        if arguments.manifest or arguments.only or arguments.day:
            raise UsageError(
                "--rehearse takes no manifest, no --only and no --day: it is for before the deletion"
            )
        migration = migration_from(arguments)
        with opened(NAME, arguments, io, migration=migration, mode="rehearsal", changes_objects=False) as run:
            return _rehearse(run)
    if arguments.execute and not arguments.yes and not io.stdin.isatty():
        raise UsageError("--execute asks before it writes, and there is no terminal to ask on; add --yes")
    if not arguments.manifest and arguments.env is None and arguments.source is None:
        raise UsageError("say which deletion: --env E, or MANIFEST; or --rehearse --env E before a deletion")
    refuse_two_pairs(arguments)
    with closing(Gateway(billing_project=arguments.billing_project)) as gateway:
        found = find_manifest(gateway, arguments.manifest or _of_the_state(gateway, arguments))
    _refuse_foreign(arguments, found)
    mode = "execute" if arguments.execute else "dry-run"
    with opened(
        NAME,
        arguments,
        io,
        migration=replace(found.manifest.migration, billing_project=arguments.billing_project),
        mode=mode,
        changes_objects=arguments.execute,
    ) as run:
        state = run.state()
        _warn_of_unknown(run, found, state)
        return _undo(run, arguments, found, state.phase)


def _refuse_foreign(arguments: argparse.Namespace, found: FoundManifest) -> None:
    """Arguments that name a migration, too, must name the manifest's."""
    if arguments.env is None and arguments.source is None and arguments.destination is None:
        return
    asked, theirs = migration_from(arguments), found.manifest.migration
    if (asked.source, asked.destination) != (theirs.source, theirs.destination):
        raise UsageError(
            f"the manifest {shown(found.place)} is about {shown(theirs.source.uri)} and {shown(theirs.destination.uri)}, "
            "not about what the arguments name"
        )


def _warn_of_unknown(run: Run, found: FoundManifest, state: State) -> None:
    if found.sha256 not in {begun.sha256 for begun in state.manifests}:
        run.say("WARNING: no deletion of this migration was begun with this very manifest.")


def _rehearse(run: Run) -> ExitCode:
    steps: list[Check] = []

    def tell(step: Check) -> None:
        steps.append(step)
        detail = f": {shown(step.evidence)}" if step.evidence else ""
        run.say(f"  {step.standing.value} {step.name}{detail}")

    async def run_it() -> Rehearsed:
        async with open_api(run) as api:
            token = str(run.log.context["run"])
            return await rehearse(api, run.gateway, run.migration, token, tell)

    run.say("Rehearsal of an undo, with one object in a scratch prefix:")
    rehearsed = uvloop.run(run_it())
    run.write("rehearsal.json", {"works": rehearsed.works, "steps": [step.to_json() for step in steps]})
    if rehearsed.left:
        run.say(f"The scratch copy is LEFT: {shown(rehearsed.left)}")
    else:
        run.say("The scratch copy was removed.")
    if not rehearsed.works:
        said = "An undo would NOT work; mend what failed before anything is deleted."
    elif not all(step.passed for step in steps):
        said = "An undo would work in one of two ways only; consider mending the other."
    else:
        said = "An undo would work, in both ways."
    good = rehearsed.works and not rehearsed.left
    again = command_line(run.migration, "status") if good else same_command(run, NAME)
    say_end(run, said, again, good=good, fix_first=not good)
    return ExitCode.DONE if good else ExitCode.NOT_RIGHT


def _undo(run: Run, arguments: argparse.Namespace, found: FoundManifest, phase: Phase) -> ExitCode:
    clock = run.io.clock
    if arguments.execute and not arguments.yes:
        _ask(run, arguments, found, phase)
    began = clock.now()
    execute = arguments.execute
    with run.object_lines() as lines, _counting(run, found, execute=execute) as add:
        report = _reporting(run, lines, add)
        plan, result = uvloop.run(_planned_or_done(run, arguments, found, phase, report, execute=execute))
    if not plan.selected:
        raise UsageError("--only and --day select no name in the manifest")
    run.console.print(plan_table(plan))
    for text in [*day_lines(plan), *end_lines(plan, result)]:
        run.say(text)
    right = plan.possible if result is None else result.done
    code = ExitCode.DONE if right else ExitCode.NOT_RIGHT
    content: dict[str, Any] = {
        "manifest": found.place,
        "manifest_sha256": found.sha256,
        "only": arguments.only,
        "exit_code": int(code),
        "outlook": plan.to_json(),
        "undone": None if result is None else result.to_json(),
    }
    run.write("undo.json", content)
    if result is not None:
        run.log.emit(
            Event.UNDO_FINISHED,
            exit_code=int(code),
            summary=f"{result.there:,} of {counted(plan.selected, 'object')} there",
            manifest=found.place,
            selected=plan.selected,
            there=result.there,
            brought_back=result.counts.done,
            not_there=result.not_there,
            elapsed_s=round((clock.now() - began).total_seconds(), 3),
        )
        for text in phase_meaning(phase_after(run, phase), result, run.migration):
            run.say(text)
        _record(run, int(code), verdict(plan, result))
    say_end(run, verdict(plan, result), _next(run, plan, result), good=right)
    return code


def _ask(run: Run, arguments: argparse.Namespace, found: FoundManifest, phase: Phase) -> None:
    """Show what can be brought back, and ask.

    Raises:
        UsageError: The operator says no.
    """
    with _counting(run, found, execute=False) as add:
        plan, _ = uvloop.run(_planned_or_done(run, arguments, found, phase, lambda *_: add(1), execute=False))
    if plan.counts.done:
        run.console.print(plan_table(plan))
        objects, legacy = counted(plan.counts.done, "object"), shown(run.migration.source.uri)
        confirm_by_yes(run, f"Bring {objects} back to {legacy}? What is there now is not overwritten.")


def _counting(
    run: Run, found: FoundManifest, *, execute: bool
) -> AbstractContextManager[Callable[..., None]]:
    doing = "bringing back" if execute else "looking"
    return counting(run.console, doing, total=found.manifest.objects)


def _record(run: Run, code: int, summary: str) -> None:
    """Put the run on record, for `status` and a later deletion; what came back does not depend on it."""
    record = run.run_record(code, summary)
    try:
        update(run.store, run.migration, lambda state: with_run(state, record))
    except MigrationError as error:
        run.say(f"WARNING: this undo is not on record, so `status` does not show it: {error}")


def _next(run: Run, plan: RestorePlan, result: UndoResult | None) -> str:
    """What to type next."""
    if result is None and plan.counts.done:
        return same_command(run, NAME, "--execute")
    if result is not None and not result.done:
        return same_command(run, NAME)
    return command_line(run.migration, "status")


async def _planned_or_done(
    run: Run,
    arguments: argparse.Namespace,
    found: FoundManifest,
    phase: Phase,
    report: Callable[[RestoreOption, Restored | None, bool], None],
    *,
    execute: bool,
) -> tuple[RestorePlan, UndoResult | None]:
    # Where no deletion was begun, only the phase in which a person decided on the undo allows it.
    allowed = GOES_ON_IN if phase in GOES_ON_IN else frozenset({phase})
    async with open_api(run, arguments.in_flight) as api:
        undo = Undo(
            api,
            found.manifest,
            await found.lines(api, run.gateway),
            partial(_wanted, tuple(arguments.only), arguments.day),
            run.stop,
            report,
            InPhases(run.phases, allowed, Authority.DESTINATION, state_ref(run.migration).uri),
            arguments.include_erased,
        )
        if not execute:
            return await undo.plan(), None
        return await undo.execute(governor_from(arguments, 1), arguments.in_flight)


def _reporting(
    run: Run, file: Lines | None, add: Callable[..., None]
) -> Callable[[RestoreOption, Restored | None, bool], None]:
    """Counts every line, and puts it into the report, and into the log where the object could not be brought back."""
    migration, log = run.migration, run.log

    def report(option: RestoreOption, restored: Restored | None, there: bool) -> None:
        line = option.line
        add(1, 0 if restored is None else line.size)
        detail = option.because if restored is None else restored.detail
        if file is not None:
            file.write(
                {
                    "name": line.name,
                    "generation": str(line.generation),
                    "way": option.way.value,
                    "soft_deleted_until": option.until or None,
                    "same_at_new_path": option.same_at_new_path,
                    **({} if restored is None else {"outcome": restored.outcome.value}),
                    "there": there,
                    **({"detail": detail} if detail else {}),
                }
            )
        if not there and restored is not None and restored.outcome is UndoOutcome.ERASED:
            log.emit(
                Event.OBJECT_ERASED,
                object=migration.source_ref(line.name).uri,
                source_generation=line.generation,
            )
        elif restored is not None and not there:
            log.emit(
                Event.OBJECT_NOT_RESTORED,
                object=migration.source_ref(line.name).uri,
                outcome=restored.outcome.value,
                error=detail,
                source_generation=line.generation,
            )

    return report


def _wanted(globs: tuple[str, ...], day: date | None, name: str) -> bool:
    """Select a name by the rules of ``--exclude``, and by its day."""
    return (not globs or matches_any(globs, name)) and day in {None, classify(name, 1).day}


def _of_the_state(gateway: Gateway, arguments: argparse.Namespace) -> str:
    """Where the manifest lies that a deletion of this migration began with; with ``--day``, the one that took that day.

    Raises:
        UsageError: None did, or several did.
        StorageError: The state or a manifest could not be read.
    """
    migration, day = migration_from(arguments), arguments.day
    places = [cloud_ref(migration, begun.name).uri for begun in read_state(gateway, migration).manifests]
    if not places:
        raise UsageError("no deletion of this migration was begun, so there is nothing to bring back")
    took = [each for each in places if day is None or _took(find_manifest(gateway, each), day)]
    if not took:
        raise UsageError(f"no deletion of this migration took an object of {day}")
    if len(took) > 1:
        raise UsageError(
            f"{counted(len(took), 'deletion')} took it: name one of their manifests: {', '.join(map(shown, took))}"
        )
    return took[0]


def _took(found: FoundManifest, day: date) -> bool:
    """Whether a manifest's figures name a day; a manifest without figures may have it."""
    days = found.manifest.facts.get("days")
    return day.isoformat() in days if isinstance(days, dict) else True


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run, cannot_start=BEFORE_ANYTHING)
