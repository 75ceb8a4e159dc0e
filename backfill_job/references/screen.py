"""A scan on a screen: what blocks, file by file, with the exact change; then what does not, in numbers.

Only the command uses it: what a person reads is apart from what the command does.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from backfill_job.references.findings import CodePlace, Finding, ScanResult
from backfill_job.references.patch import Proposal
from backfill_job.references.sites import gone_sites, sites_of
from backfill_job.references.targets import FindingKind
from shared.state import State
from shared.text import counted, shown

__all__ = ["nothing_read", "recorded_readers", "references_report"]

ROWS = 10
"""Places in documentation and comments that are shown; the rest is counted."""


def references_report(result: ScanResult, proposal: Proposal, written: str = "") -> Iterator[str]:
    """Lay out a scan's result as lines.

    Args:
        written: Where the patch was written; empty for nowhere.
    """
    for migration in result.migrations:
        yield f"from  {shown(migration.source.uri)}"
        yield f"to    {shown(migration.destination.uri)}"
    for path, found in groupby(result.blocking, key=lambda finding: finding.path):
        yield ""
        yield shown(path.as_posix())
        for finding in found:
            yield from _finding(finding, proposal)
    for error in result.errors:
        yield ""
        yield f"CANNOT READ {shown(error.path.as_posix())}: {shown(error.message)}"
    yield from _apart(result)
    yield ""
    yield from _summary(result, proposal, written)


def nothing_read(result: ScanResult) -> str:
    """In which paths there was no code to read; empty for none."""
    if not result.without_code:
        return ""
    where = ", ".join(shown(path.as_posix()) for path in result.without_code)
    return f"no code was read in {where} ({counted(result.files, 'file')}{result.left_out})"


def recorded_readers(result: ScanResult, state: State, verdict: str) -> Iterator[str]:
    """What the record says of the consumers: each reader of the legacy path, and how it stands now."""
    gone = {site.name for site in gone_sites(result, state)}
    legacy = {site.name for site in sites_of(result, FindingKind.LEGACY)}
    yield ""
    yield f"On record: {counted(len(state.sites), 'place')} that read the legacy path."
    for name in sorted(state.sites):
        now = "GONE: not seen on the new path" if name in gone else "on the new path"
        yield f"  {shown(name)}  {'still reads it' if name in legacy else now}"
    for site in sites_of(result, FindingKind.ELSEWHERE):
        yield f"  {shown(site.name)}  reads {shown(site.reads)}"
    yield verdict


def _finding(finding: Finding, proposal: Proposal) -> Iterator[str]:
    where = f"{finding.line}:{finding.column}" if finding.line else "-"
    note = f"  ({shown(finding.note)})" if finding.note else ""
    yield f"  {where:<9}{finding.kind.value.upper():<11}{shown(finding.expression)}"
    yield f"           resolves to {_resolved(finding)}{note}"
    if finding.variables:
        names = ", ".join(finding.variables)
        yield f"           where it is deployed, {shown(names)} decides; --env-file FILE gives the value"
    for change in proposal.changes.get(finding, ()):
        yield f"           {shown(change.path.as_posix())}:{change.line}"
        yield f"           - {shown(change.before.strip())}"
        yield from (f"           + {shown(line)}" for line in change.after.strip().splitlines())
    if finding in proposal.refusals:
        yield f"           left to you: {shown(proposal.refusals[finding])}"


def _resolved(finding: Finding) -> str:
    buckets = finding.buckets or ("?",)
    places = [f"gs://{bucket}/{prefix}" for bucket in buckets for prefix in finding.prefixes]
    labels = f" [{', '.join(finding.labels)}]" if finding.labels else ""
    return shown(" or ".join(places)) + labels


def _apart(result: ScanResult) -> Iterator[str]:
    stale = {FindingKind.LEGACY, FindingKind.MIXED, FindingKind.UNRESOLVED}
    apart = [one for one in result.findings if one.place is not CodePlace.CODE and one.kind in stale]
    reviewed = [one for one in result.findings if one.reviewed]
    accepted = [one for one in result.findings if one.accepted]
    yield from _listed("Documentation and comments that name the old path, or may; they do not block", apart)
    yield from _listed("Reviewed by a person, as written beside them", reviewed)
    yield from _listed("Accepted by a person, on record: they read elsewhere", accepted)


def _listed(heading: str, findings: Sequence[Finding]) -> Iterator[str]:
    if not findings:
        return
    yield ""
    yield f"{heading}: {counted(len(findings), 'place')}"
    for finding in findings[:ROWS]:
        said = finding.reviewed or finding.accepted
        why = f"  ({shown(said)})" if said else ""
        yield f"  {shown(finding.path.as_posix())}:{finding.line}  {shown(finding.expression)}{why}"
    if len(findings) > ROWS:
        yield f"  … and {len(findings) - ROWS:,} more"


def _summary(result: ScanResult, proposal: Proposal, written: str) -> Iterator[str]:
    counts = ", ".join(f"{count:,} {kind.value}" for kind, count in result.counts.items())
    yield f"{counted(result.files, 'file')} scanned{result.left_out}; in code: {counts}."
    if written:
        yield written
    if result.clean:
        if result.counts[FindingKind.MIGRATED]:
            yield "Clean: no code reads the legacy path or mixes the two."
        else:
            yield "Nothing blocks here, but nothing reads the new path either: the consumer may be gone, or is elsewhere."
        return
    unread = f", and {counted(len(result.errors), 'path')} could not be read" if result.errors else ""
    yield f"BLOCKED by {counted(len(result.blocking), 'place')}{unread}. The legacy prefix must stay."
    if proposal.changes and not written:
        can = counted(len(proposal.changes), "place")
        yield f"{can} can be changed: --patch FILE writes the changes for `git apply`."
    if proposal.refusals:
        left = counted(len(proposal.refusals), "place")
        yield f"{left} left to you; for one that is not a path write `references: reviewed REASON` beside it."
