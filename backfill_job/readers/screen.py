"""The table on a screen, what it does not show, and how an owner switches the log on. Only the command uses it."""

import shlex
from collections.abc import Iterable, Iterator

from backfill_job.readers.accounts import LONGEST_HOLE, Accounts, Row
from shared.state import PrincipalUse
from shared.text import counted, duration, listed, minute_text, shown

__all__ = ["readers_report", "readers_summary", "setting"]

WORDS = {PrincipalUse.READ: "read", PrincipalUse.WRITE: "wrote", None: "bucket"}
PARTS_SHOWN = 2
AGENTS_SHOWN = 3
LONGEST_AGENT = 90

NOT_SHOWN = (
    "The log has no entry for reads of public objects, for what a lifecycle rule deletes, and for members that its setting exempts.",
    "A listing's entry names the bucket and not the prefix, so it never blocks. Changes of managed folders are in another log.",
)


def readers_report(found: Accounts, origin: str, project: str) -> Iterator[str]:
    """Lay out what a log says as lines.

    Args:
        origin: Where the entries are from.
        project: The project of the legacy bucket; empty where it is not known.
    """
    yield f"who used {shown(found.migration.source.uri)} since {minute_text(found.since)}, by {origin}"
    own = [row for row in found.rows.values() if row.own]
    yield from _section("NOT OURS", found.foreign)
    yield from _section("ONLY THE BUCKET", found.bucket_only)
    yield from _section("OURS", sorted(own, key=lambda row: row.own))
    yield ""
    yield from _counted(found)
    yield from _proven(found)
    yield from NOT_SHOWN
    if found.covered is None or found.covered[0] - found.since > LONGEST_HOLE:
        yield ""
        yield from setting(found.migration.source.bucket, project or "PROJECT")


def readers_summary(found: Accounts) -> str:
    """The result in one sentence."""
    rows, covered = found.foreign, found.covered
    if rows:
        return f"{counted(len(rows), 'foreign principal')} on the legacy path: {listed((row.name for row in rows), 3)}"
    if covered is None:
        return "nothing is known: nothing proves that the log is on"
    found_none = f"no foreign principal from {minute_text(covered[0])} to {minute_text(covered[1])}"
    return (
        found_none
        if found.proven
        else f"{found_none}: less than a day is proven, so a nightly job may be missing"
    )


def _section(title: str, rows: Iterable[Row]) -> Iterator[str]:
    for number, row in enumerate(rows):
        if not number:
            yield ""
            yield title
        label = f"  ({row.own})" if row.own else "  (a deleted account)" if row.deleted else ""
        yield f"  {row.name}{label}"
        for use, tally in row.uses.items():
            refused = f" ({tally.refused:,} refused)" if tally.refused else ""
            where = f"  {_parts(row)}" if use is not None else ""
            yield f"    {WORDS[use]:<7}{tally.count:>9,}{refused}  last {minute_text(tally.last)}{where}"
        agents = [agent[:LONGEST_AGENT] for agent in row.agents if agent]
        yield f"    {', '.join(row.methods)}; with {listed(agents, AGENTS_SHOWN) or 'no name of a program'}"


def _parts(row: Row) -> str:
    parts = sorted(row.parts)
    if len(parts) <= PARTS_SHOWN:
        return ", ".join(parts)
    return f"{parts[0]} … {parts[-1]} ({len(parts):,})"


def _counted(found: Accounts) -> Iterator[str]:
    rest = {
        "of other buckets": found.other,
        "outside the prefix": found.elsewhere,
        "at another time": found.outside,
        "NOT READABLE": found.unreadable,
    }
    said = "".join(f", {number:,} {what}" for what, number in rest.items() if number)
    yield f"{counted(found.read, 'entry')} read{said}."
    if not found.own:
        yield "None of the migration's own accounts is known: --audit-log PROJECT names those of --env, --own others."
    if found.unreadable:
        yield f"What cannot be read may hide a reader. The first: {shown(found.example)}"


def _proven(found: Accounts) -> Iterator[str]:
    covered, hours = found.covered, LONGEST_HOLE.total_seconds() / 3600
    if covered is None:
        yield (
            "NOTHING PROVES THAT THE LOG IS ON: it has no read and no listing of this bucket, so an empty answer says nothing. "
            "It is off, or the account lacks roles/logging.privateLogViewer: without it the entries are left out without an error."
        )
        return
    begins, ends = covered
    yield (
        f"Proven: the log was on from {minute_text(begins)} to {minute_text(ends)}, by reads and listings of the bucket without a hole "
        f"of more than {counted(hours, 'hour')}."
    )
    if found.hole is not None:
        off, on = found.hole
        yield (
            f"The longest time without one: {duration((on - off).total_seconds())}, to {minute_text(on)}. A log that was off in it, and a "
            "reader then, are not seen."
        )
    if begins - found.since > LONGEST_HOLE:
        yield f"That is less than asked, from {minute_text(found.since)}. An empty answer counts for the proven time alone."
    if not found.writes:
        yield "It has no write of anyone, so DATA_WRITE may be off. `verify` and the deletion see later writes by the objects themselves."


def setting(bucket: str, project: str) -> Iterator[str]:
    """How an owner switches the log on, and what it costs."""
    others = (
        f'resource.type="gcs_bucket" AND logName:"data_access" AND NOT resource.labels.bucket_name="{bucket}"'
    )
    configs = '"auditConfigs": [{"service": "storage.googleapis.com", "auditLogConfigs": [{"logType": "DATA_READ"}, {"logType": "DATA_WRITE"}]}]'
    exclusion = shlex.quote(f"--add-exclusion=name=other-buckets,filter={others}")
    yield "Data Access logs are set for a project, folder or organisation, never for a bucket. An owner switches them on:"
    yield f"  gcloud projects get-iam-policy {project} --format=json > policy.json"
    yield f"  add to policy.json: {configs}"
    yield f"  gcloud projects set-iam-policy {project} policy.json"
    yield "Other buckets are left out before they are stored and paid for:"
    yield f"  gcloud logging sinks update _Default --project={project} {exclusion}"
    yield (
        "Cost: an entry has about 1.5 KiB; 50 GiB a month of a project are free, then $0.50 per GiB. A copy of a million objects "
        "leaves a million entries. While it is on, downloads from storage.cloud.google.com in a browser can fail (403)."
    )
    yield "To read the log takes roles/logging.privateLogViewer on the project."
