"""A deletion from the first look to the last line: what follows what, and what stops it.

::

    dry run    verify and check ─▶ show
    deletion   verify and check ─▶ show ─▶ refuse? ─▶ confirm ─▶ manifest, read back ─▶ phase `deleting` ─▶ wait ─▶ delete
    resumption find the manifest ─▶ does the state name it? ─▶ check ─▶ confirm ────────────────────────▶ wait ─▶ delete

Every way waits until each mirror and job must have seen the phase. So a copy that began before it cannot bring back what is
deleted. A resumption waits, too, because the process that changed the phase may have been killed before its wait was over.

Tasks do not prepare. One process does everything up to the phase: the one with ``--prepare``, or the one with ``--tasks N``. Then
the tasks resume. So there is one verification, one manifest and one confirmation, and the tasks do not wait for each other.

Only the command imports it. It is a module of its own because the command has the arguments, and this the order of the steps.
"""

import argparse
import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from backfill_job.checks import Check, blocking, show_lines
from backfill_job.consumer import consumer_of, named_consumer
from backfill_job.copying.on_record import begin_comparison
from backfill_job.copying.options import governor_from
from backfill_job.deletion.manifest_store import (
    FoundManifest,
    LinesFile,
    cloud_ref,
    find_manifest,
    manifest_name,
)
from backfill_job.deletion.phases import GOES_ON_IN, begin_deletion
from backfill_job.deletion.prepare import (
    IN_ANOTHER_PHASE,
    DeletionRequest,
    Prepared,
    resumption_checks,
    run_checks,
    write_manifest,
)
from backfill_job.deletion.run import (
    REPORT,
    SUBCOMMAND,
    composed_lines,
    run_deletion,
    settled_before,
)
from backfill_job.deletion.screen import blocking_line, deletion_overview
from backfill_job.references.scan import Checkouts
from backfill_job.run.arguments import overrides_from
from backfill_job.run.command import ExitCode, ProcessIO, migration_from
from backfill_job.run.ending import command_line, same_command, say_end
from backfill_job.run.local_tasks import run_as_tasks, without_options
from backfill_job.run.open_run import opened, say_overlaps
from backfill_job.run.phase_change import phase_changed, wait_until_seen
from backfill_job.run.questions import confirm_by_typing, confirm_by_yes
from backfill_job.run.run import Run
from backfill_job.run.settings import Settings
from shared.errors import UsageError
from shared.events_log import Event
from shared.migration import Migration
from shared.phase import Phase
from shared.state import State
from shared.state_changes import MAX_WHO
from shared.text import counted, shown

__all__ = ["OF_THE_MANIFEST", "Consent", "delete"]

OF_THE_MANIFEST = {"--anew": 0, "--erased": 1}
"""Options, with the number of their values, that say what the manifest holds. Tasks resume from the manifest, without them."""

NOT_CONFIRMED = "not confirmed; nothing was deleted"


@dataclass(frozen=True, slots=True)
class Consent:
    """What confirms the deletion without a terminal: ``--confirm-text`` and ``--expect-objects``; None where absent."""

    text: str | None = None
    objects: int | None = None

    @property
    def said(self) -> bool:
        """Whether either is there."""
        return self.text is not None or self.objects is not None

    def check(self, wanted: str) -> None:
        """Reject an incomplete confirmation, or another text than the migration's, before any work is done.

        Raises:
            UsageError: The confirmation is not complete and right.
        """
        if self.text is None or self.objects is None:
            raise UsageError(
                f"{NOT_CONFIRMED}: without a terminal both --confirm-text {wanted} and --expect-objects N are "
                "wanted; the dry run shows N"
            )
        if self.text != wanted:
            raise UsageError(f"{NOT_CONFIRMED}: --confirm-text must be {wanted}")


def delete(command: str, arguments: argparse.Namespace, io: ProcessIO, settings: Settings) -> int:
    """Show what would be deleted, or delete it. Gives the exit code.

    Raises:
        UsageError: It was not confirmed or could not start: nothing was deleted.
        MigrationError: Something stopped it; the error says how to go on.
    """
    try:
        return _delete(command, arguments, io, settings)
    except _Blocked:
        return ExitCode.CANNOT_START


def _delete(command: str, arguments: argparse.Namespace, io: ProcessIO, settings: Settings) -> int:
    migration, named = migration_from(arguments), named_consumer(arguments)
    apart = arguments.tasks > 1 and settings.task_count == 1
    # A deletion that goes on may find nothing left. Before tasks of this machine, this process only prepares.
    ours = argparse.Namespace(**vars(arguments))
    ours.allow_empty = bool(arguments.allow_empty or arguments.resume)
    ours.tasks = 1 if apart else arguments.tasks
    mode = "delete" if arguments.confirm_delete else "dry-run"
    request = _request(arguments, io)
    with opened(
        command,
        ours,
        io,
        migration=migration,
        mode=mode,
        changes_objects=arguments.confirm_delete,
        in_tasks=True,
    ) as run:
        state = run.state()
        if not arguments.resume:
            request = replace(request, consumer=consumer_of(named, migration, run.gateway))
        if not arguments.confirm_delete:
            return _dry_run(run, state, request, details=arguments.details)
        found = (
            _resumed(run, arguments, state, request)
            if arguments.resume
            else _begun(run, arguments, state, request)
        )
        if arguments.prepare:
            return _only_prepared(run, found)
        if not apart:
            with _going_on(run, found):
                governor = governor_from(arguments, settings.task_count)
                return run_deletion(
                    run,
                    found,
                    governor,
                    in_flight=arguments.in_flight,
                    by=request.by,
                    unfinished=_unfinished(run, found),
                )
        unfinished = _unfinished(run, found)
    return _in_tasks(arguments, io, found, unfinished)


def _dry_run(run: Run, state: State, request: DeletionRequest, *, details: bool) -> ExitCode:
    anew = state.phase in GOES_ON_IN
    prepared = run_checks(run, state, replace(request, anew=request.anew or anew))
    _show(run, prepared, "Dry run: nothing is deleted.", details=details)
    run.write("deletion-plan.json", prepared.to_json())
    for begun in state.manifests[-1:] if state.phase is Phase.DELETING else ():
        at = shown(cloud_ref(run.migration, begun.name).uri)
        run.say(f"\nA deletion was begun with the manifest {at}: go on with --confirm-delete --resume {at}")
    say_overlaps(run)
    if state.phase is Phase.DELETED:
        run.say(
            "\nThe last deletion is complete: its manifest cannot delete what is at the legacy path again."
        )
    if _said_blocked(run, state, prepared.checks):
        return ExitCode.NOT_RIGHT
    objects = prepared.found.equal
    options = ["--confirm-delete", *(["--anew"] if anew and not request.anew else [])]
    if not run.io.stdin.isatty():
        options += _consent_words(run.migration, objects)
    verdict = f"READY: {counted(objects, 'object')} would be deleted. Nothing was deleted."
    say_end(run, verdict, same_command(run, SUBCOMMAND, *options), good=True)
    return ExitCode.DONE


def _begun(run: Run, arguments: argparse.Namespace, state: State, request: DeletionRequest) -> FoundManifest:
    """Verify, check, confirm, write the manifest, and record that the deletion begins.

    Raises:
        UsageError: Refused, or not confirmed; nothing was changed.
    """
    _refuse_wrong_phase(run, state, request)
    name = manifest_name(run.migration.label, run.started)
    folder = arguments.manifest_dir or (Path(tempfile.gettempdir()) if run.settings.cloud_run_job else Path())
    with ExitStack() as stack:
        lines = LinesFile(folder / f"{name}l")
        stack.callback(lines.discard)
        begun = begin_comparison(run)
        prepared = run_checks(run, state, request, lines)
        begun.ended(prepared.found.on_record(begun))
        _show(run, prepared, "Before anything is deleted:", details=arguments.details)
        _refuse_blocked(run, state, prepared.checks)
        consent = Consent(arguments.confirm_text, arguments.expect_objects)
        _confirm(run, consent, objects=prepared.found.equal, critical=prepared.found.critical)
        manifest, sha256 = write_manifest(run, name, lines, prepared, request.by)
    found = FoundManifest(manifest, sha256, cloud_ref(run.migration, name).uri, None)
    objects = counted(manifest.objects, "object")
    run.say(f"manifest: {shown(found.place)} and {folder / name}, {objects}, SHA-256 {sha256}")
    begin_deletion(run, manifest, sha256, anew=request.anew)
    with _going_on(run, found):
        wait_until_seen(run)
    return found


def _resumed(
    run: Run, arguments: argparse.Namespace, state: State, request: DeletionRequest
) -> FoundManifest:
    """Find the manifest that a deletion was begun with, and have the deletion confirmed again."""
    found = find_manifest(run.gateway, arguments.resume)
    _refuse_foreign(found, run.migration)
    known = {begun.name: begun.sha256 for begun in state.manifests}
    if known.get(found.manifest.name) != found.sha256:
        changed = (
            "was changed since"
            if found.manifest.name in known
            else "belongs to none of this migration's deletions"
        )
        _refuse(
            run,
            f"the manifest {shown(found.place)} {changed}: the state knows {', '.join(known) or 'none'}; "
            "use the copy that the state names, or begin again with --anew",
        )
    if run.settings.task_count == 1:
        checks = resumption_checks(run, state, found.manifest, request)
        show_lines(run.console, checks)
        _refuse_blocked(run, state, checks)
    else:  # the preparation ran the checks; every task looks at each line's two sides
        _refuse_wrong_phase(run, state, replace(request, anew=True))
    _confirm(
        run,
        Consent(arguments.confirm_text, arguments.expect_objects),
        objects=found.manifest.objects,
        critical=found.manifest.critical,
        settled=partial(settled_before, run, found),
    )
    with _going_on(run, found):
        wait_until_seen(run)
    return found


def _confirm(
    run: Run,
    consent: Consent,
    *,
    objects: int,
    critical: int,
    settled: Callable[[], int] = lambda: 0,
) -> None:
    """Have the operator confirm the deletion: a text typed, then yes or no; or both options of the command line.

    Args:
        consent: What the command line says; where it says anything, no question is asked.
        objects: Objects in the manifest.
        critical: Objects that the consumer's file calls critical.
        settled: Gives the number of lines that earlier runs have settled; called only before a question.
    """
    if consent.said or not run.io.stdin.isatty():
        consent.check(run.migration.deletion_text)
        if consent.objects != objects:
            raise UsageError(
                f"{NOT_CONFIRMED}: --expect-objects says {consent.objects:,}, there are {objects:,}; look at the dry run again"
            )
        return
    migration = run.migration
    before = f" ({done:,} of them are settled already)" if (done := settled()) else ""
    question = (
        f"WARNING: this deletes {counted(objects, 'object')}{before}, {critical:,} of them critical, "
        f"from {shown(migration.source.uri)}."
    )
    confirm_by_typing(run, migration.deletion_text, question)
    now = f"Environment {migration.label}: delete {counted(objects, 'object')} now?"
    confirm_by_yes(run, now, in_full=True)


def _refuse_wrong_phase(run: Run, state: State, request: DeletionRequest) -> None:
    """Refuse because of the phase, before anything is listed."""
    if state.phase is Phase.DELETED and not request.anew:
        _refuse(
            run,
            "the phase is deleted: the last deletion is complete. What is at the legacy path again, or came later, wants --anew",
        )
    if state.phase in GOES_ON_IN and not request.anew:
        manifests = state.manifests
        at = cloud_ref(run.migration, manifests[-1].name).uri if manifests else "MANIFEST"
        _refuse(
            run,
            f"the phase is {state.phase.value}: a deletion was begun. Go on with --resume {shown(at)}, or with --anew for "
            "what it left",
        )
    if state.phase not in GOES_ON_IN and request.anew:
        _refuse(run, f"the phase is {state.phase.value}: {IN_ANOTHER_PHASE[state.phase]}")


def _refuse_foreign(found: FoundManifest, migration: Migration) -> None:
    theirs = found.manifest.migration
    if (theirs.source, theirs.destination) != (migration.source, migration.destination):
        raise UsageError(
            f"refused; nothing was deleted: the manifest {shown(found.place)} is about {shown(theirs.source.uri)} and "
            f"{shown(theirs.destination.uri)}, not about {shown(migration.source.uri)} and {shown(migration.destination.uri)}"
        )


def _refuse(run: Run, why: str) -> NoReturn:
    run.log.emit(Event.DELETION_REFUSED, error=why)
    raise UsageError(f"refused; nothing was deleted: {why}")


class _Blocked(UsageError):
    """Checks block the deletion. The screen says which, and what to do."""


def _refuse_blocked(run: Run, state: State, checks: Sequence[Check]) -> None:
    """Refuse where a check blocks."""
    if not _said_blocked(run, state, checks):
        return
    why = blocking_line(checks)
    run.log.emit(Event.DELETION_REFUSED, error=why)
    raise (UsageError if run.console.silent else _Blocked)(f"refused; nothing was deleted: {why}")


def _said_blocked(run: Run, state: State, checks: Sequence[Check]) -> bool:
    """Whether a check blocks; then the last lines of the screen."""
    blocked = len(blocking(checks))
    if blocked:
        verdict = f"BLOCKED by {counted(blocked, 'check')}. Nothing was deleted."
        if state.phase.before_cutover:  # where nothing that this command shows helps
            say_end(run, verdict, command_line(run.migration, "status"), good=False)
        else:
            say_end(run, verdict, same_command(run, SUBCOMMAND), good=False, fix_first=True)
    return bool(blocked)


def _only_prepared(run: Run, found: FoundManifest) -> ExitCode:
    say_end(run, "PREPARED. Nothing is deleted yet.", _resuming(run, found, alone=True), good=True)
    return ExitCode.DONE


def _in_tasks(
    arguments: argparse.Namespace, io: ProcessIO, found: FoundManifest, unfinished: tuple[str, ...]
) -> int:
    """Start tasks on this machine that delete what was confirmed in this process."""
    # Where an argument is there twice, the last one counts.
    more = ("--resume", found.place, *_consent_words(found.manifest.migration, found.manifest.objects))
    return run_as_tasks(
        SUBCOMMAND,
        arguments,
        replace(io, words=(*without_options(io.words, OF_THE_MANIFEST), *more)),
        report=REPORT,
        show=partial(composed_lines, unfinished=unfinished, billing_project=arguments.billing_project),
    )


def _going_on(run: Run, found: FoundManifest) -> AbstractContextManager[None]:
    """Add to every error of the block that the deletion was begun, and how it goes on."""
    return phase_changed(
        run,
        (Phase.DELETING, Phase.DELETED),
        f"what was deleted stays deleted. Go on: {_resuming(run, found)}",
    )


def _resuming(run: Run, found: FoundManifest, *, alone: bool = False) -> str:
    """The command that goes on with a manifest; without a terminal, or where tasks run it alone, it has the confirmation, too."""
    options = ["--confirm-delete", "--resume", found.place]
    if alone or not run.io.stdin.isatty():
        options += _consent_words(run.migration, found.manifest.objects)
    return command_line(run.migration, SUBCOMMAND, *options)


def _consent_words(migration: Migration, objects: int) -> tuple[str, ...]:
    return "--confirm-text", migration.deletion_text, "--expect-objects", str(objects)


def _unfinished(run: Run, found: FoundManifest) -> tuple[str, ...]:
    """The commands after a deletion that has left something: the one that goes on, and the dry run."""
    return _resuming(run, found), command_line(run.migration, SUBCOMMAND)


def _request(arguments: argparse.Namespace, io: ProcessIO) -> DeletionRequest:
    environ = io.environ
    account = environ.get("CLOUD_RUN_JOB") or environ.get("USER") or environ.get("LOGNAME") or "unknown"
    return DeletionRequest(
        arguments.soak_days,
        Checkouts(tuple(arguments.repo), tuple(arguments.skip), arguments.env_file),
        (arguments.by or account).strip()[:MAX_WHO],
        overrides_from(arguments),
        arguments.anew,
        _names_in(arguments.erased),
        audit_log=arguments.audit_log,
    )


def _names_in(file: Path | None) -> frozenset[str]:
    """The names in a list, one a line, below the prefix.

    Raises:
        UsageError: It cannot be read, or names nothing.
    """
    if file is None:
        return frozenset()
    where = f"--erased: {shown(str(file))}"
    try:
        names = frozenset(filter(None, re.split("[\r\n]+", file.read_text(encoding="utf-8-sig"))))
    except OSError as error:
        raise UsageError(f"{where} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"{where} is not a text in UTF-8") from error
    if not names:
        raise UsageError(f"{where} holds no name: one below the prefix a line, as `verify` shows it")
    if address := next((name for name in sorted(names) if name.startswith("gs://")), ""):
        raise UsageError(f"{where} holds the address {shown(address)}: leave out the bucket and the prefix")
    return names


def _show(run: Run, prepared: Prepared, title: str, *, details: bool) -> None:
    found, net = prepared.found, prepared.net
    run.console.print(deletion_overview(found, net, run.migration, title=title, details=details))
    show_lines(run.console, prepared.checks, briefly=not details)
