"""The command ``erasure``: find every place where a name still exists, and erase a person's data.

``python -m backfill_job erasure --env E NAME…``. The default only looks. ``--execute --by WHO`` records the erasure, so that nothing
brings the names back, and deletes their versions on both paths, each by its generation. Soft-deleted versions go by themselves.
It writes no log file, because a log would name the person's data for longer than the data exist.
"""

import argparse
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass

import uvloop

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
from backfill_job.run.local_tasks import without_options
from backfill_job.run.logs import LogFormat, logging_to
from backfill_job.run.overlaps import refuse_overlaps
from backfill_job.run.phase_change import MARGIN_SECONDS, NotFinished
from backfill_job.run.settings import Settings
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
    billing_project: str

    def _api(self) -> AsyncApi:
        return AsyncApi(
            server_time=self.gateway.server_time,
            billing_project=self.billing_project,
            **way_from(self.io.environ),
        )

    def matching(self, glob: str) -> frozenset[str]:
        """The names that match."""

        async def found() -> frozenset[str]:
            async with self._api() as api:
                return await matching(api, self.migration, glob)

        return uvloop.run(found())

    def traces(self, names: Iterable[str], state: State | None = None) -> Traces:
        """Where the names are; with the state also what names them."""

        async def found() -> Traces:
            async with self._api() as api:
                return await traces_of(api, self.migration, names, state)

        return uvloop.run(found())


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    migration = migration_from(arguments)
    _check_arguments(arguments)
    named = frozenset(_name(word, migration) for word in arguments.names)
    with closing(Gateway(billing_project=arguments.billing_project)) as gateway:
        state = changeable(read_record(gateway, migration), migration)
        if arguments.execute:
            refuse_overlaps(migration, gateway, io.environ, billing_project=arguments.billing_project)
        looking = _Looking(migration, gateway, io, arguments.billing_project)
        matched = _matched(arguments, looking)
        names = named | matched
        if len(names) > MOST_NAMES:
            raise UsageError(
                f"{counted(len(names), 'name')}; one erasure takes at most {MOST_NAMES:,}, because it is about a person"
            )
        found = looking.traces(names, state)
        known = PhaseReader(gateway, migration, io.clock.monotonic).erasures(reverse=False)
        _refuse_unknown(names, found, known)
        screen = _Screen(io, migration, state, (names, matched), as_json=arguments.json)
        if not arguments.execute:
            screen.looked(found)
            return ExitCode.DONE
        done = _erased(arguments.by, looking, found, known, screen.say)
        screen.erased(done, found)
        return ExitCode.DONE if done.done else ExitCode.NOT_RIGHT


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
    say: Callable[[str], None],
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
        stamp = Stamp(uuid.uuid4().hex, by, gateway.server_time.now())
        state = update(gateway, migration, lambda before: erased(before, stamp, erasure))
        _log(state, stamp, looking)

    def wait() -> None:
        seconds = CACHE_SECONDS + MARGIN_SECONDS
        say(waiting(seconds, looking.io.clock, "On record; every mirror must have seen it"))
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
    io = looking.io
    in_cloud_run = bool(Settings.from_environ(io.environ).cloud_run_job)
    with logging_to(io.stdout, LogFormat.JSON) if in_cloud_run else nullcontext():
        EventLog({"env": looking.migration.label}).emit(
            Event.STATE_CHANGED, phase=state.phase.value, what=entry.what, by=entry.by
        )


class _Screen:
    """Shows what was found and done, as a table or as one JSON line."""

    def __init__(
        self,
        io: ProcessIO,
        migration: Migration,
        state: State,
        names: Sequence[frozenset[str]],
        *,
        as_json: bool,
    ) -> None:
        self._count, self._matched = map(len, names)
        self._console, self._file = io.console(), io.stdout
        self._as_json = as_json
        self._migration, self._words = migration, io.words
        self._facts = {
            "source": migration.source.uri,
            "destination": migration.destination.uri,
            "phase": state.phase.value,
            "names": sorted(names[0]),
            "matched": self._matched,
        }

    def say(self, text: str) -> None:
        """Print a line without wrapping; nothing where the result is JSON."""
        if not self._as_json:
            self._console.print(text, markup=False, soft_wrap=True)

    def looked(self, found: Traces) -> None:
        """The result of a look."""
        if self._as_json:
            return self._print({**_facts(found), "executed": False})
        self._show([*found.data, *found.texts])
        going = [each for each in found.data if each.held is not Held.SOFT_DELETED]
        staying = _staying(found)
        self.say(
            f"{counted(self._count, 'name')}: {_some(len(going), 'version')} can be deleted"
            + (f"; what stays: {staying}." if staying else ", and nothing else stays.")
        )
        self._say_only_named(found)
        self._notes(found)
        self.say("Nothing was changed.")
        typed = {word.partition("=")[0] for word in self._words}
        by = () if "--by" in typed else ("--by", "NAME")
        expected = ("--expect-names", str(self._matched)) if self._matched else ()
        words = without_options(self._words, {"--expect-names": 1})
        erase = shown_command(NAME, *words, "--execute", *by, *expected)
        return self.say(next_line(erase) if going else self._next(good=True))

    def erased(self, done: Erased, before: Traces) -> None:
        """The result of an erasure; the texts are those of the look before it."""
        left = Traces(done.left.data, before.texts, before.unread, before.elsewhere)
        if self._as_json:
            refused = [{"object": at.uri, "error": why} for (at, _), why in done.refused.items()]
            return self._print(
                {
                    **_facts(left),
                    "executed": True,
                    "removed": [
                        {"object": at.uri, "generation": str(generation)}
                        for at, generation in sorted(done.removed, key=lambda each: (each[0].uri, each[1]))
                    ],
                    "written_later": [each.to_json() for each in done.later],
                    "not_deleted": refused,
                    "done": done.done,
                }
            )
        if left.data or left.texts:
            self._show([*left.data, *left.texts])
        self.say(f"Deleted: {_some(len(done.removed), 'version')}.")
        for each in done.later:
            self.say(
                f"NOT ERASED: {shown(each.at.uri)} was written at {minute_text(parse_time(each.state.created))}, after the erasure began. Stop its writer, "
                "or run the command again if it is to go, too"
            )
        for (at, _), why in done.refused.items():
            self.say(f"NOT DELETED: {shown(at.uri)}: {shown(why)}")
        self._say_only_named(before)
        self._notes(left)
        staying = _staying(left)
        all_gone = f"Nothing is left but {staying}." if staying else "Nothing is left."
        self.say(all_gone if done.done else "Something is LEFT that should be gone; see above.")
        return self.say(self._next(good=done.done))

    def _next(self, *, good: bool) -> str:
        return next_of(self._migration, NAME, self._words, good=good)

    def _say_only_named(self, found: Traces) -> None:
        """Name what has no version: a word of a report looks like a name there."""
        only = sorted({each.name for each in found.texts} - {each.name for each in found.data})
        if only:
            verb = "has" if len(only) == 1 else "have"
            self.say(
                f"{counted(len(only), 'name')} {verb} no version anywhere, and only reports have the text: "
                f"{listed(map(shown, only), 3)}. It was erased before, or is not the name of an object."
            )

    def _show(self, traces: Sequence[Trace]) -> None:
        for line in _lines(traces):
            self.say(line)

    def _notes(self, found: Traces) -> None:
        if any(each.held is Held.SOFT_DELETED for each in found.data):
            self.say(
                "Soft-deleted versions go by themselves at the time above. No request can delete them before."
            )
        if found.texts:
            self.say(
                "What only names it holds none of its data, and is part of the migration's record. It stays."
            )
        for each in found.unread:
            self.say(f"NOT READ: {shown(each)}")
        if found.elsewhere:
            self.say(
                f"Reports in folders of other machines may name it: {listed(map(shown, found.elsewhere), 3)}"
            )
        self.say(NOT_READ)

    def _print(self, content: dict[str, object]) -> None:
        self._file.write(json.dumps({**self._facts, **content}, ensure_ascii=False) + "\n")


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
