"""The command ``erasure``: find every place where a name still exists, and erase a person's data.

``python -m backfill_job erasure --env E NAME…``. The default only looks. ``--execute --by WHO`` records the erasure, so that nothing
brings the names back, and deletes their versions on both paths, each by its generation. Soft-deleted versions go by themselves.
It writes no log file, because a log would name the person's data for longer than the data exist.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from backfill_job.deletion.erasing import Erased, Means, deleted_by, erase
from backfill_job.deletion.traces import Held, Trace, TracePlace, Traces, matching, traces_of
from backfill_job.run.arguments import add_by_argument, from_one
from backfill_job.run.clock import waiting
from backfill_job.run.command import (
    BEFORE_ANYTHING,
    Command,
    ExitCode,
    ProcessIO,
    add_migration_arguments,
    migration_from,
)
from backfill_job.run.ending import next_line, next_of
from backfill_job.run.late_console import LateConsole
from backfill_job.run.late_gateway import ask
from backfill_job.run.local_tasks import with_options
from backfill_job.run.overlaps import refuse_overlaps
from backfill_job.run.phase_change import MARGIN_SECONDS, NotFinished
from shared.erasures import Erasures
from shared.errors import PhaseUnknown, StorageError, UsageError
from shared.events_log import Event, EventLog
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi
from shared.gcs.json_client import way_from
from shared.migration import Migration
from shared.objects import parse_time
from shared.phase import CACHE_SECONDS, PhaseReader
from shared.record import changeable, read_record, update
from shared.report.next_steps import shown_command
from shared.state import UNFIT, Erasure, State
from shared.state_changes import MAX_WHO, Stamp, erased
from shared.text import byte_count, counted, listed, minute_text, shown

__all__ = ["COMMAND"]

NAME = "erasure"

WIDTH = 80

MOST_NAMES = 2_000
"""Names of one run: a person with an object on each day of five years. Each takes 45 bytes in the head, which every mirror reads."""

NOT_READ = "Not looked at: log files and Cloud Logging, the consumer's tables, exports, and backups."

EXAMPLES = """
examples:
  python -m backfill_job erasure --env dev qpi_answers_20260101/user_id_7.jsonl        where is it still? changes nothing
  python -m backfill_job erasure --env dev --match '*/user_id_7.jsonl'                 every object of one person
  python -m backfill_job erasure --env dev --match '*/user_id_7.jsonl' --execute --by "Ada Lovelace" --expect-names 12

exit codes:
  0  looked; with --execute: nothing is left that can be deleted
  1  something is left that should be gone, or an answer is missing; run the same command again
  2  nothing was changed: arguments, names that are not there, bucket, permission, or the phase is not known
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="below the prefix, or as gs:// address on either path"
    )
    parser.add_argument(
        "--match",
        metavar="GLOB",
        help="all names that match this shell pattern, which lists both paths; without '/' it also matches the last part of a "
        "name",
    )
    mode = parser.add_argument_group("what is done")
    mode.add_argument("--execute", action="store_true", help="record the erasure, and delete; wants --by")
    add_by_argument(mode, "who erases")
    mode.add_argument(
        "--expect-names",
        type=from_one,
        metavar="N",
        help="with --match and --execute: how many names match; the look shows it",
    )
    mode.add_argument("--json", action="store_true", help="the result as one JSON line on stdout")
    add_migration_arguments(parser)


@dataclass(frozen=True, slots=True)
class _Looking:
    """What a look takes."""

    migration: Migration
    gateway: Gateway
    io: ProcessIO

    def _api(self) -> AsyncApi:
        return AsyncApi(
            server_time=self.gateway.server_time,
            billing_project=self.migration.billing_project,
            **way_from(self.io.environ),
        )

    def matching(self, glob: str) -> frozenset[str]:
        """The names that match."""
        return ask(self._api(), lambda api: matching(api, self.migration, glob))

    def traces(self, names: Iterable[str], state: State | None = None) -> Traces:
        """Where the names are; with the state also what names them."""
        return ask(self._api(), lambda api: traces_of(api, self.migration, names, state))


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    migration = migration_from(arguments)
    _check_arguments(arguments)
    named = frozenset(_name(word, migration) for word in arguments.names)
    with closing(Gateway(billing_project=migration.billing_project)) as gateway:
        state = changeable(read_record(gateway, migration), migration)
        if arguments.execute:
            refuse_overlaps(migration, gateway, io.environ)
        looking = _Looking(migration, gateway, io)
        matched = _matched(arguments, looking)
        names = named | matched
        if len(names) > MOST_NAMES:
            raise UsageError(
                f"{counted(len(names), 'name')}; one erasure takes at most {MOST_NAMES:,}, because it is about a person"
            )
        found = looking.traces(names, state)
        known = PhaseReader(gateway, migration, io.clock.monotonic).erasures(reverse=False)
        _refuse_unknown(names, found, known)
        about = {
            "source": migration.source.uri,
            "destination": migration.destination.uri,
            "phase": state.phase.value,
            "names": sorted(names),
            "matched": len(matched),
        }
        console = LateConsole(io.stdout, WIDTH, quiet=arguments.json)
        if not arguments.execute:
            expected = ("--expect-names", str(len(matched))) if matched else ()
            typed = {word.partition("=")[0] for word in io.words}
            by = () if "--by" in typed else ("--by", "NAME")
            words = with_options(io.words, ("--execute", *by, *expected), {"--expect-names": 1})
            erase = shown_command(NAME, *words)
            status = next_of(migration, NAME, io.words, good=True)
            console.say(*_look_lines(found, len(names)), next_line(erase) if _going(found) else status)
            content = {**_facts(found), "executed": False}
            code = ExitCode.DONE
        else:
            done = _erased(arguments.by, looking, found, known, console)
            left = Traces(done.left.data, found.texts, found.unread, found.elsewhere)
            console.say(*_end_lines(done, found, left), next_of(migration, NAME, io.words, good=done.done))
            content = {**_facts(left), "executed": True, **_result(done)}
            code = ExitCode.DONE if done.done else ExitCode.NOT_RIGHT
        if arguments.json:
            io.stdout.write(json.dumps({**about, **content}, ensure_ascii=False) + "\n")
        return code


def _check_arguments(arguments: argparse.Namespace) -> None:
    if not arguments.names and arguments.match is None:
        raise UsageError("name what is to be found: erasure NAME…, or --match GLOB")
    if arguments.match == "":
        raise UsageError("--match wants a shell pattern, such as '*/user_id_7.jsonl'")
    if arguments.execute and not (arguments.by or "").strip():
        raise UsageError("--execute wants --by WHO: an erasure goes on record")
    if arguments.by is not None and (len(arguments.by) > MAX_WHO or UNFIT.search(arguments.by)):
        raise UsageError(f"--by wants one line of plain text, 1 to {MAX_WHO:,} characters")
    if arguments.execute and arguments.match is not None and arguments.expect_names is None:
        raise UsageError(
            "--match with --execute wants --expect-names N; the same command without --execute shows N"
        )


def _name(word: str, migration: Migration) -> str:
    """The name below the prefix that a word of the command line means.

    Raises:
        UsageError: It is not a name on either path.
    """
    name = word
    if word.startswith("gs://"):
        sides = (migration.source.uri, migration.destination.uri)
        name = next((word.removeprefix(side) for side in sides if word.startswith(side)), "")
        if not name:
            raise UsageError(f"{shown(word)} lies neither below {sides[0]} nor below {sides[1]}")
    if not name or UNFIT.search(name):
        raise UsageError(f"{shown(word)!r} is not the name of an object")
    if migration.is_own(name):
        raise UsageError(f"{shown(word)} is one of the migration's own objects, which are never data")
    return name


def _matched(arguments: argparse.Namespace, looking: _Looking) -> frozenset[str]:
    """The names that ``--match`` means; as many as the operator expects, where it is about an erasure."""
    if arguments.match is None:
        return frozenset()
    matched = looking.matching(arguments.match)
    if not matched:
        raise UsageError(
            f"--match {shown(arguments.match)} matches no name on either path; names are case-sensitive"
        )
    if arguments.execute and len(matched) != arguments.expect_names:
        raise UsageError(
            f"--match {shown(arguments.match)} matches {counted(len(matched), 'name')}, and --expect-names says "
            f"{arguments.expect_names:,}; look again without --execute"
        )
    return matched


def _refuse_unknown(names: frozenset[str], found: Traces, known: Erasures) -> None:
    """Refuse names of which there is no trace: they are more likely mistyped than gone.

    Raises:
        UsageError: There is such a name.
    """
    unknown = sorted(name for name in names.difference(found.names) if not known.named(name))
    if unknown:
        raise UsageError(
            f"{counted(len(unknown), 'name')} never there, or gone without a trace: {listed(map(shown, unknown), 3)}; "
            "names are case-sensitive, and begin below the prefix"
        )


def _erased(
    by: str,
    looking: _Looking,
    found: Traces,
    known: Erasures,
    console: LateConsole,
) -> Erased:
    """Record the erasure, wait, and delete.

    Raises:
        NotFinished: Something stopped it; the record may have been written.
    """
    migration, gateway = looking.migration, looking.gateway
    names = {each.name for each in found.data}
    if not names:
        return Erased(left=found)

    def record(erasure: Erasure) -> None:
        stamp = Stamp.new(by, gateway.server_time.now())
        state = update(gateway, migration, lambda before: erased(before, stamp, erasure))
        _log(state, stamp, looking)

    def wait() -> None:
        seconds = CACHE_SECONDS + MARGIN_SECONDS
        console.say(waiting(seconds, looking.io.clock, "On record; every mirror must have seen it"))
        looking.io.clock.sleep(seconds)

    phases = PhaseReader(gateway, migration, looking.io.clock.monotonic)
    means = Means(lambda: looking.traces(names), record, wait, phases.phase, deleted_by(gateway))
    try:
        return erase(Traces(found.data), known, means)
    except StorageError as error:
        raise NotFinished(
            f"{error}. What was recorded and deleted stays so; run the same command again"
        ) from error


def _log(state: State, stamp: Stamp, looking: _Looking) -> None:
    entry = next(each for each in state.history if each.change == stamp.change)
    with looking.io.lines_of_a_job():
        EventLog({"env": looking.migration.label}).emit(
            Event.STATE_CHANGED, phase=state.phase.value, what=entry.what, by=entry.by
        )


def _going(found: Traces) -> list[Trace]:
    """The versions that a request can delete."""
    return [each for each in found.data if each.held is not Held.SOFT_DELETED]


def _look_lines(found: Traces, names: int) -> Iterator[str]:
    """The result of a look."""
    yield from _lines([*found.data, *found.texts])
    going, staying = _some(len(_going(found)), "version"), _staying(found)
    yield f"{counted(names, 'name')}: {going} can be deleted" + (
        f"; what stays: {staying}." if staying else ", and nothing else stays."
    )
    yield from _only_named(found)
    yield from _notes(found)
    yield "Nothing was changed."


def _end_lines(done: Erased, before: Traces, left: Traces) -> Iterator[str]:
    """The result of an erasure."""
    if left.data or left.texts:
        yield from _lines([*left.data, *left.texts])
    yield f"Deleted: {_some(len(done.removed), 'version')}."
    for each in done.later:
        yield (
            f"NOT ERASED: {shown(each.at.uri)} was written at {minute_text(parse_time(each.state.created))}, after the erasure began. Stop its writer, "
            "or run the command again if it is to go, too"
        )
    for (at, _), why in done.refused.items():
        yield f"NOT DELETED: {shown(at.uri)}: {shown(why)}"
    yield from _only_named(before)
    yield from _notes(left)
    staying = _staying(left)
    all_gone = f"Nothing is left but {staying}." if staying else "Nothing is left."
    yield all_gone if done.done else "Something is LEFT that should be gone; see above."


def _only_named(found: Traces) -> Iterator[str]:
    """Name what has no version: a word of a report looks like a name there."""
    only = sorted({each.name for each in found.texts} - {each.name for each in found.data})
    if only:
        verb = "has" if len(only) == 1 else "have"
        yield (
            f"{counted(len(only), 'name')} {verb} no version anywhere, and only reports have the text: "
            f"{listed(map(shown, only), 3)}. It was erased before, or is not the name of an object."
        )


def _notes(found: Traces) -> Iterator[str]:
    if any(each.held is Held.SOFT_DELETED for each in found.data):
        yield "Soft-deleted versions go by themselves at the time above. No request can delete them before."
    if found.texts:
        yield "What only names it holds none of its data, and is part of the migration's record. It stays."
    for each in found.unread:
        yield f"NOT READ: {shown(each)}"
    if found.elsewhere:
        yield f"Reports in folders of other machines may name it: {listed(map(shown, found.elsewhere), 3)}"
    yield NOT_READ


def _result(done: Erased) -> dict[str, object]:
    """What an erasure did, for the JSON line."""
    return {
        "removed": [
            {"object": at.uri, "generation": str(generation)}
            for at, generation in sorted(done.removed, key=lambda each: (each[0].uri, each[1]))
        ],
        "written_later": [each.to_json() for each in done.later],
        "not_deleted": [{"object": at.uri, "error": why} for (at, _), why in done.refused.items()],
        "done": done.done,
    }


def _facts(found: Traces) -> dict[str, object]:
    return {
        "traces": [each.to_json() for each in (*found.data, *found.texts)],
        "not_read": found.unread,
        "reports_elsewhere": list(found.elsewhere),
    }


def _staying(found: Traces) -> str:
    """What no request deletes: soft-deleted versions, and what only names it; empty for nothing."""
    soft = [each for each in found.data if each.held is Held.SOFT_DELETED]
    until = max((each.until for each in soft), default="")
    objects = {each.at for each in found.texts}
    kept = f" (the last until {minute_text(parse_time(until))})" if until else ""
    names = "names" if len(objects) == 1 else "name"
    parts = {
        f"{counted(len(soft), 'soft-deleted version')}{kept}": soft,
        f"{counted(len(objects), 'object')} that only {names} it": objects,
    }
    return " and ".join(text for text, there in parts.items() if there)


def _some(number: int, noun: str) -> str:
    return counted(number, noun) if number else f"no {noun}"


def _lines(traces: Sequence[Trace]) -> Iterator[str]:
    """A line of 80 columns for each, and under it the whole address with its generation, as ``gcloud storage`` takes it."""
    yield _ROW.format("where", "what", "size", "since", "until").rstrip()
    for each in traces:
        held = "" if each.place is TracePlace.TEXT else each.held.value
        since, until = (minute_text(parse_time(at)) if at else "" for at in (each.state.created, each.until))
        yield _ROW.format(each.place.value, held, byte_count(each.state.size), since, until).rstrip()
        yield f"  {shown(each.at.uri)}#{each.state.generation}"


_ROW = "{:11}  {:12}  {:>9}  {:20}  {}"

COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run, cannot_start=(*BEFORE_ANYTHING, PhaseUnknown))
