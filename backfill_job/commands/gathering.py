"""What `cutover` makes before its gate: evidence that is missing, too old, or of another phase.

It runs the operator's own commands in this process, with the arguments that a person would type. So each leaves the same records,
reports and log as by hand. Of their screens it shows the progress, and one line. What cannot be made here stays as it is. Then the
gate says why, and which command makes it.

It is a module of its own because it comes before the gate, and knows other commands.
"""

import argparse
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backfill_job.checks import Check, attempted
from backfill_job.commands import load
from backfill_job.gate.evidence import Evidence, GateOptions
from backfill_job.gate.verdict import GATE_CHECKS
from backfill_job.run.command import ProcessIO
from backfill_job.run.run import Run
from shared.command_line import OneLineParser
from shared.errors import Interrupted, MigrationError
from shared.migration import DEFAULT_EXCLUDES
from shared.state import State
from shared.text import duration

__all__ = ["gathered"]

CANARY_SECONDS = 60.0
"""How long the canary may take where the operator does not say it."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A command that makes the evidence of a check.

    Attributes:
        check: The check's name.
        command: The command's name.
        words: Its arguments; None where they cannot be written on a command line.
    """

    check: str
    command: str
    words: Sequence[str] | None


def gathered(run: Run, arguments: argparse.Namespace, options: GateOptions) -> GateOptions:
    """Make what the gate would miss.

    Args:
        run: The cutover's.
        arguments: The cutover's.
        options: What the gate looks at.

    Returns:
        The options with a canary where a mirror is expected, and with why some evidence could not be made.

    Raises:
        Interrupted: A signal stopped it.
    """
    not_made: dict[str, str] = {}
    evidence = Evidence(run, options)
    for each in _wanted(evidence, arguments):
        began = run.io.clock.now()
        why = _made(each, run.io)
        took = duration((run.io.clock.now() - began).total_seconds())
        run.say(f"{each.command}: {'NOT DONE, see below' if why else f'done in {took}'}")
        not_made |= {each.check: why} if why else {}
    if why := _no_look(evidence):
        run.say(f"readers: NOT LOOKED AT: {why}")
    canary = options.canary
    if canary is None and not options.no_mirror:
        canary = CANARY_SECONDS
    return replace(options, canary=canary, not_made=not_made)


def _wanted(evidence: Evidence, arguments: argparse.Namespace) -> Iterator[_Wanted]:
    """The commands that are to run, in their order."""
    options, target = evidence.options, evidence.target
    # Where no verification measured the mirror's lag, a new one does.
    no_lag = not options.no_mirror and evidence.lag is None
    if no_lag or _blocks("verification", evidence):
        session = _session(arguments)
        yield _Wanted("verification", "verify", _words(target.command("verify", *session)))
    # The consumer excludes nothing, so these two commands do not take what the migration excludes.
    everything, last = replace(target, excludes=DEFAULT_EXCLUDES), ("--last", str(options.limits.import_days))
    loads = not _nothing_loads(evidence)
    if loads and options.import_test is None and _blocks("import test", evidence):
        grace = ("--grace", f"{arguments.grace.total_seconds():g}")
        words = everything.command("import-test", *last, *grace, *_local_report(arguments, "import-test"))
        yield _Wanted("import test", "import-test", _words(words))
    if loads and _blocks("loaded", evidence):
        table = options.table or evidence.consumer.load.table
        named = ("--table", table) if table else ()
        words = everything.command("loaded", *last, *named, *_local_report(arguments, "loaded"))
        yield _Wanted("loaded", "loaded", _words(words))
    if not _no_look(evidence) and _blocks("readers", evidence):
        words = target.command("readers", "--record", "--audit-log", options.audit_log)
        yield _Wanted("readers", "readers", _words(words))


def _no_look(evidence: Evidence) -> str:
    """Why no look at the audit log can be made here; empty where one can."""
    state = evidence.state
    if not evidence.options.audit_log:
        return "no audit log is named (--audit-log, or AUDIT_LOG in deploy/ENV.env)"
    looks = [each for each in state.history if each.readers is not None] if isinstance(state, State) else []
    if not evidence.target.deployed("backfill") or any(each.note for each in looks):
        return (
            "only its operator knows which accounts are the migration's own: `readers --record --own MEMBER`"
        )
    return ""


def _nothing_loads(evidence: Evidence) -> bool:
    """Whether nothing loads the path, or it is not known whether something does."""
    found = attempted("consumer", lambda: evidence.consumer.not_loaded)
    return isinstance(found, Check) or bool(found)


def _blocks(name: str, evidence: Evidence) -> bool:
    """Whether a check of the gate would block with what is there now."""
    (check,) = (each for each in GATE_CHECKS if each.name == name)
    found = attempted(name, lambda: check.run(evidence))
    return found is not None and found.blocks


def _made(wanted: _Wanted, io: ProcessIO) -> str:
    """Run a command; gives why it could not do its work, empty where it did. What it found is on record."""
    if wanted.words is None:
        return "an argument has an invisible character"
    command, parser = load(wanted.command), OneLineParser(prog=wanted.command)
    command.add_arguments(parser)
    try:
        command.work(
            parser.parse_args(wanted.words), replace(io, words=tuple(wanted.words), only_progress=True)
        )
    except Interrupted:
        raise
    except MigrationError as error:
        return str(error)
    return ""


def _words(line: str) -> Sequence[str] | None:
    """The arguments of a command line, ``python -m backfill_job COMMAND …``."""
    return shlex.split(line)[4:] if line else None


def _session(arguments: argparse.Namespace) -> Iterator[str]:
    """The cutover's arguments that `verify` takes, too."""
    yield from ("--grace", f"{arguments.grace.total_seconds():g}")
    if arguments.allow_empty:
        yield "--allow-empty"
    for option, value in (("--log-dir", arguments.log_dir), ("--log-format", arguments.log_format)):
        if value is not None:
            yield from (option, str(value))
    if isinstance(arguments.report, Path):
        yield from _local_report(arguments, "verify")
    elif arguments.report is not None:
        yield from ("--report", f"{arguments.report.uri}verify/")


def _local_report(arguments: argparse.Namespace, name: str) -> tuple[str, ...]:
    """``--report`` with a folder of the command's own, where the cutover's reports go to this machine."""
    return ("--report", str(arguments.report / name)) if isinstance(arguments.report, Path) else ()
