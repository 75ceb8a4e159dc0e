"""The command ``verify``: compare both paths name by name, and certify what they hold. Copies nothing."""

import argparse
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any

import uvloop

from backfill_job.contents.check import ContentsScope, check_contents
from backfill_job.contents.reader import LIMITS as CONTENTS_LIMITS
from backfill_job.copying.by_bytes import ByBytes
from backfill_job.copying.compare import Compared, Comparison, log_comparison, log_erased, more_line
from backfill_job.copying.diff import DiffLine, diff
from backfill_job.copying.on_record import OnRecord, begin_comparison
from backfill_job.copying.progress import counting
from backfill_job.run.arguments import add_session_arguments, since
from backfill_job.run.command import Command, ExitCode, ProcessIO, add_migration_arguments, migration_from
from backfill_job.run.ending import command_line, say_end
from backfill_job.run.local_tasks import run_as_tasks
from backfill_job.run.open_run import opened
from backfill_job.run.reports import json_bytes, of_this_version
from backfill_job.run.run import Run, open_api, tune_gc
from backfill_job.run.settings import Settings
from backfill_job.run.since import begun_by, narrowed_to
from backfill_job.verify.case_siblings import mixed_prefixes_of
from backfill_job.verify.certificate import certify
from backfill_job.verify.day_counts import DayCounts, LagCounts
from backfill_job.verify.day_warnings import day_warnings, remark_lines
from backfill_job.verify.green_day import to_come_back
from backfill_job.verify.late_writes import cutover_of, late_since
from backfill_job.verify.recording import put_on_record
from backfill_job.verify.result import VerifyResult, verification
from shared.errors import UsageError
from shared.gcs.api import AsyncApi
from shared.objects import LEFT_OUT, time_text
from shared.phase import Phase
from shared.record import Record, RecordStanding, read_state
from shared.report.next_steps import CommandTarget, next_command, next_steps, without_terminal
from shared.report.page import render_report
from shared.state import State
from shared.text import counted, listed, shown
from shared.verification import (
    ContentsFound,
    Level,
    Remark,
    Verdict,
    Verification,
    said_of_many_erased,
)

__all__ = ["COMMAND"]

NAME = "verify"

REPORT = "verification.json"

MAX_SHOWN = 20

EXAMPLES = """
examples:
  python -m backfill_job verify --env dev                             names, checksums, metadata; certifies
  python -m backfill_job verify --env dev --report reports/dev        with report.html and certificate.json
  python -m backfill_job verify --env dev --contents sample:1         also reads one object in a hundred
  python -m backfill_job verify --env dev --contents all --tasks 4    reads everything, in four processes

exit codes:
  0  both paths are equal
  1  they are not, or this is not known; the last line says which
  2  could not start: arguments, bucket, permission
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_migration_arguments(parser)
    what = parser.add_argument_group("what is compared")
    what.add_argument(
        "--contents",
        type=_scope,
        default=ContentsScope.parse("none"),
        metavar="none|sample:P|all",
        help="also read JSONL objects and parse them as BigQuery would: none (the default), P percent, or all",
    )
    what.add_argument(
        "--mirror-since",
        type=since,
        metavar="TIMESTAMP|DURATION",
        help="since when the mirror runs: it measures the lags of objects written since (default 24h; the "
        "migration's begin or the end of the last full copy where that is later: what is older, a copy may have brought)",
    )
    what.add_argument(
        "--no-record",
        action="store_true",
        help="do not record the result in the migration's state; needs no permission to write",
    )
    add_session_arguments(parser)


def _run(arguments: argparse.Namespace, io: ProcessIO) -> int:
    settings = Settings.from_environ(io.environ)
    migration = migration_from(arguments)
    if arguments.tasks > 1 and settings.task_count == 1:
        return run_as_tasks(NAME, arguments, io, migration=migration, report=REPORT)
    with opened(
        NAME, arguments, io, migration=migration, mode=NAME, changes_objects=False, in_tasks=True
    ) as run:
        return _verify(run, arguments)


def _verify(run: Run, arguments: argparse.Namespace) -> ExitCode:
    if run.settings.task_count > 1 and run.reports is None:
        raise UsageError("several tasks put their results together in --report; add it")
    tune_gc()
    record = run.record()
    state = record.state
    begun = _begun(run, arguments, record)
    counts = DayCounts(
        LagCounts(time_text(_mirror_since(run, arguments, state))),
        late=late_since(run.store, run.migration, None if state.phase.before_cutover else cutover_of(state)),
        back=to_come_back(state, run.now()),
    )
    whole = record.standing is RecordStanding.WHOLE
    by_bytes = ByBytes(run, run.authority if whole else None, record=whole and not arguments.no_record)
    known = state.newest_comparison
    total = (
        None
        if known is None or arguments.since is not None or run.settings.task_count > 1
        else known.compared
    )
    with counting(run.console, "comparing", total=total) as add:
        result = uvloop.run(_compare(run, arguments.contents, counts, by_bytes, add))
    log_comparison(run.log, run.migration, result.compared)
    log_erased(run.log, run.migration, result.compared)
    if run.settings.task_count > 1:  # said before the part is there: the last task's lines come after it
        run.say("Compared; the last task sums up.")
    run.write("shard.json", result.to_json())
    if run.settings.task_count > 1:
        parts = run.all_parts("shard.json")
        if parts is None:
            return ExitCode.DONE if result.compared.clean else ExitCode.NOT_RIGHT
        result = _merged(parts)
    return _conclude(run, arguments, result, record, begun)


def _begun(run: Run, arguments: argparse.Namespace, record: Record) -> OnRecord | None:
    """Record that a comparison of all names begins; None for one that is not recorded.

    Raises:
        UsageError: This account may not record it.
    """
    if arguments.no_record or arguments.since is not None or record.standing is not RecordStanding.WHOLE:
        return None
    try:
        return begin_comparison(run)
    except UsageError as error:
        raise UsageError(f"{error}. To compare only: --no-record") from error


def _mirror_since(run: Run, arguments: argparse.Namespace, state: State) -> datetime:
    """Since when only the mirror can have brought an object: since the begin, and since the last full run that copies."""
    if arguments.mirror_since is not None:
        return begun_by("--mirror-since", arguments.mirror_since, run.started)
    day_ago = run.started - timedelta(days=1)
    copied = (each.finished for each in state.runs if each.command != NAME)
    return max([day_ago, *(entry.at for entry in state.history[:1]), *copied])


async def _compare(
    run: Run, scope: ContentsScope, counts: DayCounts, by_bytes: ByBytes, add: Callable[[int], None]
) -> VerifyResult:
    """List both sides, read the contents in scope, and look again at each name that differs; `add` counts the names."""
    comparison = Comparison(run.migration, run.served(), counts, known=by_bytes.known)
    contents: ContentsFound | None = None
    async with (
        open_api(run, CONTENTS_LIMITS.in_flight) as api,
        aclosing(_compared(run, api, comparison, by_bytes, add)) as parts,
    ):
        if scope.percent:
            contents = await check_contents(parts, api, run.migration, scope, stop=run.stop)
        else:
            async for _ in parts:
                pass
    await by_bytes.flush()
    compared = comparison.result(
        run.store,
        grace=run.grace,
        clock=run.clock,
        both_written=bool(counts.back.cutover),
        authority=run.authority,
        say=run.say,
    )
    return VerifyResult(compared, counts, contents, run.operations.total())


async def _compared(
    run: Run, api: AsyncApi, comparison: Comparison, by_bytes: ByBytes, add: Callable[[int], None]
) -> AsyncGenerator[Iterable[DiffLine], None]:
    """Yield the parts of the diff, after the comparison has read them, for the check of the contents."""
    async with aclosing(diff(api, run.migration, run.ranges)) as parts:
        async for part in parts:
            run.stop.check()
            lines = await by_bytes.settled(api, [*part])
            comparison.add(lines)
            add(len(lines))
            yield lines


def _merged(parts: Sequence[Mapping[str, Any]]) -> VerifyResult:
    with of_this_version("shard.json"):
        return VerifyResult.merged([VerifyResult.from_json(part) for part in parts])


def _conclude(
    run: Run, arguments: argparse.Namespace, result: VerifyResult, record: Record, begun: OnRecord | None
) -> ExitCode:
    """Make the verification from the comparison, certify it, and leave the reports."""
    narrowed = narrowed_to(arguments.since, run.started)
    remarks = [
        *_erased(result.compared),
        *mixed_prefixes_of(run),
        *day_warnings(result.counts, run.clock.now().date(), record.state.phase),
    ]
    found = verification(
        run.identity(),
        result,
        remarks,
        finished=run.clock.now(),
        grace=run.grace,
        narrowed=narrowed,
        may_be_empty=arguments.allow_empty or bool(narrowed),
    )
    certified = b""
    if not narrowed:
        found, certified = certify(found, run.migration, result.counts, result.compared.crc_alone)
    _leave(run, found, certified, record.state.phase)
    if begun is not None:
        put_on_record(run, found, certified, begun, result)
    elif certified and not arguments.no_record:
        run.say("not recorded: this migration has no record yet; `backfill_job begin` begins or adopts it")
    if record.state.phase is Phase.DELETED:
        run.say(_after_deletion(run, found))
    run.say(*_screen_lines(found), *filter(None, [result.compared.said_of_classes]))
    following = _next(run, found, record, recorded=begun is not None)
    again = following == command_line(run.migration, NAME)
    good = not found.exit_code
    return say_end(run, _verdict(found), following, good=good, fix_first=again and not good)


def _verdict(found: Verification) -> str:
    """What was found in one line, with the remarks that make it no success."""
    critical = sum(remark.level is Level.CRITICAL for remark in found.remarks)
    return f"{found.summary}; {counted(critical, 'critical remark')}" if critical else found.summary


def _next(run: Run, found: Verification, record: Record, *, recorded: bool) -> str:
    """The command that follows; what depends on the state, only where the state has this verification."""
    phase = record.state.phase if record.standing is RecordStanding.WHOLE else None
    state = read_state(run.store, run.migration) if recorded else None
    target = CommandTarget.of(run.migration)
    steps = next_steps(phase, found, target, state=state, now=run.clock.now())
    if not run.io.stdin.isatty():
        steps = without_terminal(steps)
    return next_command(steps, found, target) or command_line(run.migration, "status")


def _after_deletion(run: Run, found: Verification) -> str:
    """What a comparison means in the phase ``deleted``: an undo or a writer may have put objects back."""
    legacy, alone = found.totals.source.objects, found.counts[Verdict.EXTRA]
    them = "it" if alone == 1 else "them"
    left = f"{counted(alone, 'name')} at the new path only, as a deletion leaves {them}" if alone else ""
    if not legacy:
        return f"The phase is deleted: {left or 'nothing on either path'}."
    them = "it" if legacy == 1 else "them"
    there = f"{counted(legacy, 'object')} at {shown(run.migration.source.uri)} again: an undo or a writer put {them} there"
    return f"The phase is deleted: {'; '.join(filter(None, [left, there]))}. The new path decides; `delete` shows what a further deletion would take."


def _erased(compared: Compared) -> list[Remark]:
    """Name what was erased on the path that is the source of truth, and lies on the other path."""
    erased = compared.counts[Verdict.ERASED]
    if not erased:
        return []
    many = Verdict.ERASED in compared.wrong
    then = (
        f"{said_of_many_erased(erased, compared.looked_at)} `migrate --execute --include-erased` brings them back"
        if many
        else "They are not brought back; `migrate --execute --include-erased` would"
    )
    said = (
        f"{counted(erased, 'legacy object')} erased since, at the new path, after a proven comparison: "
        f"{listed(map(shown, compared.erased), MAX_SHOWN)}. {then}"
    )
    return [Remark(Level.CRITICAL if many else Level.NOTE, "erased", None, said)]


def _leave(run: Run, found: Verification, certified: bytes, phase: Phase) -> None:
    """Write the reports of the whole comparison, if there is a place for them; no certificate where it is empty."""
    if run.reports is None:
        return
    run.reports.write(REPORT, json_bytes(found.to_json()))
    if certified:
        run.reports.write("certificate.json", certified)
    page = render_report(found, phase)
    run.reports.write("report.html", page.encode(), content_type="text/html")
    if run.place is not None:
        run.say(f"report: {run.place}")


def _screen_lines(found: Verification) -> list[str]:
    """The lines for the operator before the summary."""
    lines = [f"  {difference}" for difference in found.differences[:MAX_SHOWN]]
    total = found.differences_total
    lines += [more_line(len(lines), total)] if total > len(lines) else []
    lines += remark_lines(found.remarks)
    lines += [] if found.contents is None else _contents_lines(found.contents)
    lines.append(f"  not compared: {', '.join(LEFT_OUT)}")
    if found.certificate is not None:
        lines.append(f"  certificate: data SHA-256 {found.certificate.data_sha256}")
    return lines


def _contents_lines(contents: ContentsFound) -> list[str]:
    lines = [
        f"  contents ({contents.mode}): {counted(contents.objects, 'object')}, {counted(contents.rows, 'row')} read"
    ]
    if not contents.objects:
        lines.append(
            "  contents: NOTHING was read: no JSONL object is there, or the sample took none; raise P, or use all"
        )
    for problems, said in (
        (contents.source_problems, "the source's own"),
        (contents.migration_problems, "THE MIGRATION'S"),
    ):
        lines += [
            f"  contents: {kind.replace('_', ' ')}{'' if problem.judged else ', not judged here,'} in {counted(problem.objects, 'object')} ({said})"
            for kind, problem in problems.items()
        ]
    return lines


def _scope(text: str) -> ContentsScope:
    try:
        return ContentsScope.parse(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run)
