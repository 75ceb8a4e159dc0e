"""Everything before the first deletion: look, check, and write down what may go.

The dry run and the deletion walk the same way; the dry run stops after the checks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop

from backfill_job.checks import Check, attempted, overridden, references_check
from backfill_job.deletion.checks import (
    deletion_phase_check,
    deletion_signoffs_check,
    late_writes_check,
    marked,
    soak_check,
    verification_check,
)
from backfill_job.deletion.manifest import Manifest
from backfill_job.deletion.manifest_files import LinesFile, prove_written, upload, write_head
from backfill_job.deletion.manifest_places import cloud_ref
from backfill_job.deletion.phases import BEGINS_IN, GOES_ON_IN
from backfill_job.deletion.safety_net import SafetyNet, safety_net
from backfill_job.deletion.survey import Survey, survey
from backfill_job.late_writes import cutover_of
from backfill_job.run.run import Run, open_api
from shared.events_log import Event
from shared.state import State

__all__ = ["Prepared", "Terms", "look_over", "resumption_checks", "write_manifest"]


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms somebody wants to delete.

    Attributes:
        soak: How long the new path must have been the one that counts, without a late write.
        repos: Checkouts of the consumers' code.
        by: Who.
        overrides: Checks to override, by name, with the reason.
        anew: Whether an earlier deletion left something, which this one is about.
    """

    soak: timedelta
    repos: tuple[Path, ...]
    by: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was found before a deletion.

    Attributes:
        found: What may be deleted.
        checks: What must hold.
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


def look_over(run: Run, state: State, terms: Terms, lines: LinesFile | None = None) -> Prepared:
    """Verify both paths in this run, and evaluate every check. Changes nothing.

    Args:
        run: The run.
        state: The migration's state.
        terms: What somebody wants.
        lines: Told every name that may be deleted; None in a dry run.

    Raises:
        StorageError: There is no verdict.
        Interrupted: Somebody stopped it.
    """
    cutover = cutover_of(state)
    found = survey(run, cutover=cutover, lines=lines)
    now = run.clock.now()
    checks = [
        deletion_phase_check(state, GOES_ON_IN if terms.anew else BEGINS_IN),
        soak_check(cutover, terms.soak, now),
        late_writes_check(found.late, terms.soak, now),
        verification_check(found, run.migration),
        attempted("references", lambda: references_check(terms.repos, run.migration)),
        deletion_signoffs_check(state),
    ]
    net = uvloop.run(_net(run))
    return Prepared(found, overridden(marked(checks), terms.overrides, terms.by), net)


def resumption_checks(state: State, manifest: Manifest, terms: Terms) -> tuple[Check, ...]:
    """The checks that make sense again when a deletion goes on: what was overridden then stays overridden.

    Args:
        state: The migration's state.
        manifest: What the deletion was begun with.
        terms: What somebody wants.
    """
    before = {each.check: each.reason for each in manifest.overrides}
    checks = [deletion_phase_check(state, GOES_ON_IN), deletion_signoffs_check(state)]
    if terms.repos:
        scan = attempted("references", lambda: references_check(terms.repos, manifest.migration))
        checks.append(scan)
    return overridden(marked(checks), {**before, **terms.overrides}, terms.by)


def write_manifest(
    run: Run, name: str, lines: LinesFile, prepared: Prepared, by: str
) -> tuple[Manifest, str]:
    """Write the manifest on this machine and beside the new path, and read both back. Before anything else is changed.

    Args:
        run: The run.
        name: The head's file name.
        lines: What may be deleted.
        prepared: What else was found.
        by: Who wants the deletion.

    Returns:
        The manifest, and its head's SHA-256.

    Raises:
        CannotWrite: It is not there, byte for byte.
        StorageError: It may or may not be there.
    """
    folder = lines.path.parent
    index, whole = lines.finish()
    manifest = Manifest(
        name=name,
        run=str(run.log.context["run"]),
        made=run.clock.now().isoformat(timespec="milliseconds"),
        by=by,
        migration=run.migration,
        objects=index.lines,
        size=prepared.found.size,
        critical=prepared.found.critical,
        length=index.length,
        sha256=whole,
        chunks=tuple(index.chunks),
        overrides=tuple(check.override for check in prepared.checks if check.override is not None),
        facts=prepared.to_json(),
    )
    sha256 = write_head(manifest, folder)
    upload(run.gateway, manifest, folder)
    uvloop.run(_read_back(run, manifest, folder))
    for check in prepared.checks:
        if check.override is not None:
            override = check.override
            run.log.emit(
                Event.CHECK_PASSED_OVER,
                check=override.check,
                reason=override.reason,
                by=override.by,
                evidence=override.evidence,
            )
    run.log.emit(
        Event.MANIFEST_WRITTEN,
        manifest=cloud_ref(manifest.migration, name).uri,
        sha256=sha256,
        objects=manifest.objects,
        bytes=manifest.size,
        critical=manifest.critical,
    )
    return manifest, sha256


async def _read_back(run: Run, manifest: Manifest, folder: Path) -> None:
    async with open_api(run) as api:
        await prove_written(api, run.gateway, manifest, folder)


async def _net(run: Run) -> SafetyNet:
    async with open_api(run) as api:
        return await safety_net(api, run.migration.source.bucket)
