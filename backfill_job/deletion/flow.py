"""A deletion from the first look to the last line: what comes after what, and what stops it.

::

    dry run    look over (verify, check) ─▶ show
    deletion   look over ─▶ show ─▶ refuse? ─▶ confirm ─▶ manifest, read back ─▶ phase `deleting` ─▶ wait ─▶ delete
    resumption find the manifest ─▶ is it the state's? ─▶ check ─▶ confirm ────────────────────────▶ wait ─▶ delete

Of several tasks none prepares: one process does everything up to the phase (``--prepare``, or the one that was given
``--tasks N``), and the tasks resume. So there is one verification, one manifest and one consent, and tasks wait for nobody.
"""

import argparse
import tempfile
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from backfill_job.checks import show
from backfill_job.copying.options import governor_from
from backfill_job.deletion.carrying_out import (
    REPORT,
    SUBCOMMAND,
    Pace,
    carry_out,
    composed_lines,
    settled_before,
)
from backfill_job.deletion.confirmation import CONFIRM_TEXT, Consent, confirm
from backfill_job.deletion.manifest_files import LinesFile, manifest_name
from backfill_job.deletion.manifest_places import Found, cloud_ref, find_manifest
from backfill_job.deletion.phases import GOES_ON_IN, begin, begun_manifests
from backfill_job.deletion.preparation import (
    Prepared,
    Terms,
    look_over,
    resumption_checks,
    write_manifest,
)
from backfill_job.deletion.screen import overview, refusal
from backfill_job.run.command import ExitCode, ProcessIO, migration_from
from backfill_job.run.local_tasks import run_as_tasks
from backfill_job.run.open_run import opened
from backfill_job.run.phase_change import phase_changed, wait_until_seen
from backfill_job.run.run import Run
from backfill_job.run.settings import Settings
from shared.errors import UsageError
from shared.events_log import Event
from shared.migration import Migration
from shared.phase import Phase
from shared.state import State, read_state
from shared.state_changes import MAX_WHO
from shared.text import shown

__all__ = ["delete"]

FRESH = timedelta(minutes=1)
"""A phase that is older has been seen by every mirror, though clocks differ."""


def delete(command: str, arguments: argparse.Namespace, io: ProcessIO, settings: Settings) -> int:
    """Show what would be deleted, or delete it.

    Args:
        command: Its name, as in the names of its log files.
        arguments: The command's.
        io: What it reads from and writes to.
        settings: Which task of which execution this is.

    Returns:
        The exit code.

    Raises:
        UsageError: Refused, not confirmed, or it could not start: nothing was deleted.
        MigrationError: Something stopped it; the error says how to go on.
    """
    migration = migration_from(arguments)
    apart = arguments.tasks > 1 and settings.task_count == 1
    # What was begun may have left nothing; and of several processes this one only prepares.
    ours = argparse.Namespace(**vars(arguments))
    ours.allow_empty = bool(arguments.allow_empty or arguments.resume)
    ours.tasks = 1 if apart else arguments.tasks
    mode = "delete" if arguments.confirm_delete else "dry-run"
    with opened(command, ours, io, migration=migration, mode=mode, in_tasks=True) as run:
        state = read_state(run.gateway, migration)
        terms = _terms(arguments, io)
        if not arguments.confirm_delete:
            return _dry_run(run, state, terms)
        found = (
            _resumed(run, arguments, state, terms)
            if arguments.resume
            else _begun(run, arguments, state, terms)
        )
        if arguments.prepare:
            return _only_prepared(run, found)
        if not apart:
            with _going_on(found.place):
                return carry_out(run, found, _pace(arguments, settings), terms.by)
    return _in_tasks(arguments, io, found)


def _dry_run(run: Run, state: State, terms: Terms) -> ExitCode:
    prepared = look_over(run, state, replace(terms, anew=terms.anew or state.phase in GOES_ON_IN))
    _show(run, prepared, "Dry run: nothing is deleted.")
    run.write("deletion-plan.json", prepared.to_json())
    for begun in begun_manifests(state)[-1:]:
        at = cloud_ref(run.migration, begun.name).uri
        run.say(f"\nA deletion was begun with the manifest {shown(at)}: go on with --resume {shown(at)}")
    refused = refusal(prepared.checks)
    if refused:
        run.say("\nNothing was deleted. --confirm-delete would be REFUSED; see above what to do.")
        return ExitCode.NOT_RIGHT
    run.say(
        "\nNothing was deleted. To delete: the same command with --confirm-delete; without a terminal also "
        f"--confirm-text {CONFIRM_TEXT} --expect-objects {prepared.found.equal}",
    )
    return ExitCode.DONE


def _begun(run: Run, arguments: argparse.Namespace, state: State, terms: Terms) -> Found:
    """Verify, check, confirm, write the manifest, and write down that the deletion begins.

    Raises:
        UsageError: Refused, or not confirmed; nothing was changed.
    """
    _refuse_wrong_phase(run, state, terms)
    name = manifest_name(run.migration.label, run.started)
    folder = arguments.manifest_dir or (Path(tempfile.gettempdir()) if run.settings.cloud_run_job else Path())
    with ExitStack() as stack:
        lines = LinesFile(folder / f"{name}l")
        stack.callback(lines.discard)
        prepared = look_over(run, state, terms, lines)
        _show(run, prepared, "Before anything is deleted:")
        _refuse(run, refusal(prepared.checks))
        consent = Consent(arguments.confirm_text, arguments.expect_objects)
        confirm(run, consent, objects=prepared.found.equal, critical=prepared.found.critical)
        manifest, sha256 = write_manifest(run, name, lines, prepared, terms.by)
    at = cloud_ref(run.migration, name).uri
    run.say(f"manifest: {shown(at)} and {folder / name}, {manifest.objects:,} objects, SHA-256 {sha256}")
    begin(run, manifest, sha256, anew=terms.anew)
    with _going_on(at):
        wait_until_seen(run)
    return Found(manifest, sha256, at, None)


def _resumed(run: Run, arguments: argparse.Namespace, state: State, terms: Terms) -> Found:
    """Take up a manifest that a deletion was begun with, and have it confirmed again.

    Raises:
        UsageError: It is damaged or another deletion's, something refuses, or it was not confirmed.
    """
    found = find_manifest(run.gateway, arguments.resume)
    _refuse_foreign(found, run.migration)
    known = {begun.name: begun.sha256 for begun in begun_manifests(state)}
    if known.get(found.manifest.name) != found.sha256:
        changed = (
            "was changed since" if found.manifest.name in known else "is no deletion's of this migration"
        )
        _refuse(
            run,
            f"the manifest {shown(found.place)} {changed}: the state knows {', '.join(known) or 'none'}; "
            "use the copy that the state names, or begin anew",
        )
    if run.settings.task_count == 1:
        checks = resumption_checks(state, found.manifest, terms)
        show(run.console, checks)
        _refuse(run, refusal(checks))
    else:  # the whole was checked when it was begun; every task looks at each line's two sides
        _refuse_wrong_phase(run, state, replace(terms, anew=True))
    confirm(
        run,
        Consent(arguments.confirm_text, arguments.expect_objects),
        objects=found.manifest.objects,
        critical=found.manifest.critical,
        settled=partial(settled_before, run, found),
    )
    if state.since is None or run.clock.now() - state.since < FRESH:
        with _going_on(found.place):  # whoever began may have been killed before the mirrors had seen it
            wait_until_seen(run)
    return found


def _refuse_wrong_phase(run: Run, state: State, terms: Terms) -> None:
    """Refuse before anything is listed where the phase already does."""
    if state.phase in GOES_ON_IN and not terms.anew:
        manifests = begun_manifests(state)
        at = cloud_ref(run.migration, manifests[-1].name).uri if manifests else "MANIFEST"
        _refuse(
            run,
            f"the phase is {state.phase.value}: a deletion was begun. Go on with --resume {shown(at)}, or with --anew for "
            "what it left",
        )
    if state.phase not in GOES_ON_IN and terms.anew:
        _refuse(run, f"the phase is {state.phase.value}: no deletion was begun; leave --anew out")


def _refuse_foreign(found: Found, migration: Migration) -> None:
    theirs = found.manifest.migration
    if (theirs.source, theirs.destination) != (migration.source, migration.destination):
        raise UsageError(
            f"refused; nothing was deleted: the manifest {shown(found.place)} is about {shown(theirs.source.uri)} and "
            f"{shown(theirs.destination.uri)}, not about {shown(migration.source.uri)} and {shown(migration.destination.uri)}"
        )


def _refuse(run: Run, why: str) -> None:
    """Refuse, if there is a reason.

    Raises:
        UsageError: There is.
    """
    if why:
        run.log.emit(Event.DELETION_REFUSED, error=why)
        raise UsageError(f"refused; nothing was deleted: {why}")


def _only_prepared(run: Run, found: Found) -> ExitCode:
    run.say(
        f"Prepared; nothing is deleted yet. Now: --confirm-delete --resume {shown(found.place)} --confirm-text "
        f"{CONFIRM_TEXT} --expect-objects {found.manifest.objects}",
    )
    return ExitCode.DONE


def _in_tasks(arguments: argparse.Namespace, io: ProcessIO, found: Found) -> int:
    """Have several processes of this machine delete what was confirmed in this one."""
    # Of arguments given twice the last one counts.
    objects = str(found.manifest.objects)
    more = ("--resume", found.place, "--confirm-text", CONFIRM_TEXT, "--expect-objects", objects)
    kept = tuple(word for word in io.words if word != "--anew")
    return run_as_tasks(
        SUBCOMMAND,
        arguments,
        replace(io, words=(*kept, *more)),
        report=REPORT,
        show=composed_lines,
    )


def _going_on(place: str) -> AbstractContextManager[None]:
    """Say of whatever goes wrong in the block that the deletion was begun, and how it goes on."""
    return phase_changed(
        Phase.DELETING, f"what was deleted stays deleted. Go on: the same command with --resume {place}"
    )


def _terms(arguments: argparse.Namespace, io: ProcessIO) -> Terms:
    environ = io.environ
    account = environ.get("CLOUD_RUN_JOB") or environ.get("USER") or environ.get("LOGNAME") or "unknown"
    return Terms(
        arguments.soak_days,
        tuple(arguments.repo),
        (arguments.by or account).strip()[:MAX_WHO],
        dict.fromkeys(arguments.override, arguments.reason),
        arguments.anew,
    )


def _pace(arguments: argparse.Namespace, settings: Settings) -> Pace:
    return Pace(governor_from(arguments, settings.task_count), arguments.in_flight)


def _show(run: Run, prepared: Prepared, title: str) -> None:
    migration = run.migration
    run.console.print(overview(prepared.found, prepared.net, migration, title=title))
    show(run.console, prepared.checks)
