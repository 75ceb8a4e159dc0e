"""The analysis of a dry run: lists and compares both sides, and plans and counts each name. Changes nothing."""

import asyncio
from contextlib import aclosing, suppress
from typing import Any

import uvloop

from backfill_job.copying.diff import diff
from backfill_job.copying.lane import object_record
from backfill_job.dry_run.inventory import Inventory
from backfill_job.dry_run.plan import PlanLine, plan
from backfill_job.run.reports import Lines
from backfill_job.run.run import Run, open_api, refuse_empty, tune_gc
from shared.authority import current_authority
from shared.errors import PermissionDenied
from shared.events_log import Event
from shared.gcs.api import AsyncApi
from shared.phase import state_ref

__all__ = ["analyse"]

BUCKET_FIELDS = (
    "name,location,locationType,storageClass,iamConfiguration,billing,retentionPolicy,defaultEventBasedHold,encryption,"
    "lifecycle,softDeletePolicy,versioning,autoclass,hierarchicalNamespace"
)
"""The settings that `backfill_job.bucket_settings` judges."""


def analyse(run: Run, lines: Lines | None = None) -> Inventory:
    """Compare both sides, and count what an execution would do.

    Args:
        lines: ``objects.jsonl``; None where the run leaves none.

    Raises:
        UsageError: The source is empty, and the run does not allow that.
        Interrupted: A signal stopped it.
        StorageError: A listing failed, so there is no analysis.
    """
    tune_gc()
    findings = Inventory(today=run.clock.now().date())
    uvloop.run(_analyse(run, findings, lines))
    if not findings.source.objects:
        refuse_empty(run)
    steps = {step.value: count.objects for step, count in findings.steps.items()}
    run.log.emit(Event.PLAN_MADE, objects=findings.source.objects, bytes=findings.source.bytes, **steps)
    return findings


async def _request_seconds(run: Run, api: AsyncApi) -> float:
    """How long a request takes: the faster of two, because the first one connects."""
    took = []
    for _ in range(2):
        began = run.io.clock.monotonic()
        await api.look(state_ref(run.migration))
        took.append(run.io.clock.monotonic() - began)
    return min(took)


async def _buckets(run: Run, api: AsyncApi) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The settings of both buckets; None where this account may not read them, which is not an error."""
    sides = run.migration.source, run.migration.destination
    with suppress(PermissionDenied):
        return tuple(await asyncio.gather(*(api.bucket(side.bucket, BUCKET_FIELDS) for side in sides)))  # type: ignore[return-value]  # two
    return None


async def _analyse(run: Run, findings: Inventory, lines: Lines | None) -> None:
    async with open_api(run) as api, aclosing(diff(api, run.migration, run.ranges)) as parts:
        findings.request_seconds = await _request_seconds(run, api)
        findings.buckets = await _buckets(run, api)
        async for part in parts:
            run.stop.check()
            authority = await current_authority(run.authority)
            erasures = await asyncio.to_thread(run.authority.erasures)
            for line in plan(part, run.migration, authority, erasures):
                findings.add(line)
                if lines is not None:
                    lines.write(_plan_record(line))


def _plan_record(line: PlanLine) -> dict[str, Any]:
    return {
        **object_record(line.relative, line.step.value, line.source, line.destination),
        **({"because": [difference.value for difference in line.because]} if line.because else {}),
        **({"note": line.note} if line.note else {}),
    }
