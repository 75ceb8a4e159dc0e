"""The table of the checks, overrides, and the checks that the gate, the deletion and `smoke` share; `check` has one check.

A check passes only on evidence. Where evidence is missing, old, damaged or unreadable, it is FAIL or NOT RUN, and both block.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from backfill_job.check import (
    SHOWN,
    Check,
    Override,
    Standing,
    failed,
    not_run,
    passed,
    unavailable,
)
from backfill_job.references.findings import ScanResult
from backfill_job.references.sites import gone_sites, with_accepted
from backfill_job.references.targets import FindingKind
from backfill_job.run.late_console import COMMAND_IN_TEXT, WIDEST, LateConsole, wrapped
from shared.errors import Interrupted, MigrationError
from shared.events_log import Event, EventLog
from shared.phase import Phase
from shared.report.next_steps import CommandTarget
from shared.state import (
    FEWEST_NAMES,
    NAMES,
    Overridden,
    SeenPrincipal,
    State,
    foreign_readers,
    too_few,
)
from shared.state import EntryKind as HistoryKind
from shared.text import counted, listed, minute_text, shown, without_names

__all__ = [
    "DAY",
    "SHOWN",
    "Check",
    "Override",
    "Standing",
    "attempted",
    "blocking",
    "failed",
    "known",
    "log_overrides",
    "marked",
    "names_check",
    "not_applicable",
    "not_run",
    "on_record",
    "overridden",
    "overrides_of",
    "passed",
    "phase_check",
    "readers_check",
    "references_check",
    "show_lines",
    "signoffs_check",
    "tally",
    "unavailable",
]

_Found = TypeVar("_Found")


def not_applicable(name: str, why: str) -> Check:
    """A check that has no object here, for a reason that a person or a file gives."""
    return Check(name, Standing.NOT_APPLICABLE, why)


def attempted(name: str, check: Callable[[], _Found]) -> _Found | Check:
    """Run a check that gathers its own evidence. An error becomes NOT RUN, and does not stop the other checks.

    Raises:
        Interrupted: A signal stopped the command, so there is no verdict.
    """
    found = known(check)
    return unavailable(name, found) if isinstance(found, MigrationError) else found


def known(gather: Callable[[], _Found]) -> _Found | MigrationError:
    """Gather evidence; gives the error where that fails.

    Raises:
        Interrupted: A signal stopped the command, so there is no verdict.
    """
    try:
        return gather()
    except Interrupted:
        raise
    except MigrationError as error:
        return error


def blocking(checks: Iterable[Check]) -> tuple[Check, ...]:
    """The checks that block: those that failed, and those that could not run."""
    return tuple(check for check in checks if check.blocks)


def marked(checks: Iterable[Check], names: Collection[str]) -> tuple[Check, ...]:
    """Say of each check whether a person may override it: those with these names."""
    return tuple(replace(check, overridable=check.name in names) for check in checks)


def overridden(checks: Iterable[Check], reasons: Mapping[str, str], by: str) -> tuple[Check, ...]:
    """Override the blocking checks that a person names. A check that is not overridable still blocks.

    Args:
        reasons: The person's reason, by the check's name; a check that passed stays as it is.
    """
    return tuple(
        replace(
            check,
            standing=Standing.OVERRIDDEN,
            override=Override(check.name, reasons[check.name], by, check.evidence),
        )
        if check.blocks and check.overridable and check.name in reasons
        else check
        for check in checks
    )


def overrides_of(checks: Iterable[Check]) -> tuple[Override, ...]:
    """The overrides among the checks."""
    return tuple(check.override for check in checks if check.override is not None)


def on_record(overrides: Iterable[Override]) -> tuple[Overridden, ...]:
    """The overrides as the state's history keeps them, with the change that they allowed."""
    return tuple(Overridden(each.check, each.reason) for each in overrides)


def log_overrides(log: EventLog, overrides: Iterable[Override]) -> None:
    """Write a line of the log for each override."""
    for each in overrides:
        log.emit(
            Event.CHECK_PASSED_OVER,
            check=each.check,
            reason=each.reason,
            by=each.by,
            evidence=each.evidence,
        )


def show_lines(console: LateConsole, checks: Iterable[Check], *, briefly: bool = False) -> None:
    """Print a paragraph for each check, for 80 columns: first what blocks, then what has advice, then the rest.

    What to do stands under its check. A command in it has an unbroken line of its own, so that it can be pasted. Where a check
    blocks, one line names those that passed. With `briefly` one line counts them where none blocks, and names those that are
    not applicable. Checks that say the same share a paragraph; with `briefly` also those with the same advice.
    """
    width = min(console.width, WIDEST)
    found = sorted(checks, key=lambda one: (not one.blocks, not _advises(one), one.passed))
    blocks = any(one.blocks for one in found)
    brief = [one.name for one in found if one.passed and not one.next_step and (blocks or briefly)]
    aside = [one.name for one in found if one.standing is Standing.NOT_APPLICABLE and not one.next_step]
    aside = aside if briefly and not blocks else []
    for check in _together([one for one in found if one.name not in {*brief, *aside}], briefly=briefly):
        mark, style = _MARKS[check.standing], "bold red"
        if not check.blocks:
            mark, style = ("ADVICE", "yellow") if _advises(check) else (mark, "")
        said = f"{check.name}: {check.evidence}"
        if check.override is not None:
            said += f"\nby {check.override.by}: {check.override.reason}"
        for line in said.split("\n"):
            console.say(_wrapped(shown(line), width, mark), style=style)
            mark = ""
        console.say(*_step_lines(check, width), style="bold" if check.blocks else "")
    if brief:
        left_out = f"; not applicable: {', '.join(aside)}" if aside else ""
        said = ", ".join(brief) if blocks else f"{counted(len(brief), 'check')}{left_out} (--details)"
        console.say(_wrapped(said, width, _MARKS[Standing.PASS]))


def _together(checks: Iterable[Check], *, briefly: bool) -> Iterator[Check]:
    """Make one of those that say the same. One that a person may override has a line of its own with its name, so it stays alone."""
    groups: defaultdict[tuple[Standing, str, str, str], list[Check]] = defaultdict(list)
    for one in checks:
        alone = one.name if not one.next_step or one.overridable or one.override is not None else ""
        evidence = "" if briefly and _advises(one) and not one.blocks else one.evidence
        groups[one.standing, one.next_step, evidence, alone].append(one)
    for first, *others in groups.values():
        evidence = first.evidence
        if any(one.evidence != evidence for one in others):
            evidence = "--details says what was found"
        yield replace(first, name=", ".join(one.name for one in (first, *others)), evidence=evidence)


def _advises(check: Check) -> bool:
    return bool(check.next_step) and check.override is None


def _step_lines(check: Check, width: int) -> Iterator[str]:
    """What to do about a check that is not overridden."""
    if check.override is not None:
        return
    for number, part in enumerate(COMMAND_IN_TEXT.split(shown(check.next_step))):
        text = part.strip(" ,:;")
        if text:
            yield f"{'':{MARGIN}}{part}" if number % 2 else _wrapped(text, width)
    if check.blocks and check.overridable:
        yield f'{"":{MARGIN}}or --override {check.name}="..." --by WHO'


def tally(checks: Iterable[Check]) -> str:
    """How many checks passed, failed, and did not run. Those that are not applicable do not count."""
    counts = Counter(check.standing for check in checks)
    total = counts.total() - counts[Standing.NOT_APPLICABLE]
    said = f"{counts[Standing.PASS]:,} of {total:,} passed"
    words = {Standing.FAIL: "failed", Standing.NOT_RUN: "not run", Standing.OVERRIDDEN: "overridden"}
    return ", ".join([said, *(f"{counts[each]:,} {word}" for each, word in words.items() if counts[each])])


MARGIN = 9
_MARKS = {standing: standing.value for standing in Standing}
_MARKS |= {Standing.NOT_APPLICABLE: "N/A", Standing.OVERRIDDEN: "OVERRIDE"}


def _wrapped(text: str, width: int, mark: str = "") -> str:
    return wrapped(text.strip(" "), width, first=f"{mark:{MARGIN}}", margin=" " * MARGIN)


def phase_check(state: State, wanted: Collection[Phase], next_step: Callable[[Phase], str]) -> Check:
    """The migration must be in one of the wanted phases; `next_step` says what to do in another one."""
    since = "" if state.since is None else f" since {minute_text(state.since)}"
    evidence = f"{state.phase.value}{since}"
    if state.phase in wanted:
        return passed("phase", evidence)
    return failed("phase", evidence, next_step(state.phase))


def references_check(result: ScanResult | None, state: State) -> Check:
    """The consumers' code must read the new path, and no other; each recorded reader of the legacy path must be there.

    A checkout that never names the new path proves nothing: it is the wrong one, or it lacks the change. A reader that is gone
    proves nothing either: a person accepts it by name.

    Args:
        result: What a scan of the consumers' checkouts found; None where none was named.
    """
    name = "references"
    if result is None:
        return not_run(
            name, "no checkout of the consumers was named", "add --repo PATH, with the change prepared"
        )
    result = with_accepted(result, state)
    where = f"{counted(result.files, 'file')} of {', '.join(map(str, result.paths))}{result.left_out}"
    problems = [f"{one.path}:{one.line} ({one.kind.value})" for one in result.blocking]
    problems += [f"{error.path} ({error.message})" for error in result.errors]
    if problems:
        return failed(
            name,
            f"{counted(len(problems), 'place')} in the way: {listed(problems, SHOWN)}",
            "`python -m backfill_job references PATH` shows them all; --patch FILE writes the change for git apply",
        )
    if result.without_code:
        empty = ", ".join(map(str, result.without_code))
        return not_run(
            name,
            f"no code was read in {empty}: not a verdict ({where})",
            "name the checkout of the consumers",
        )
    accept = "`references PATH --record --accept {} --reason … --by WHO`"
    if gone := [shown(site.name) for site in gone_sites(result, state)]:
        return failed(
            name,
            f"{counted(len(gone), 'recorded reader')} of the legacy path not seen on the new one in {where}: {listed(gone, SHOWN)}",
            f"find out what reads in its place; a person who knows accepts it: {accept.format('NAME')}",
        )
    reading, entry = result.counts[FindingKind.MIGRATED], state.acceptance(None)
    recorded = any(each.kind is HistoryKind.SITES_SEEN for each in state.history)
    if not reading and not recorded and entry is None:
        return failed(
            name,
            f"nothing in {where} names {state.destination}: clean, and perhaps not the consumers' code; no reader of the legacy "
            "path was ever recorded",
            f"name the checkout of the consumers, with the change prepared; where there is no consumer: {accept.format('NONE')}",
        )
    said = f"clean; {counted(reading, 'place')} on the new path in {where}"
    accepted = [shown(f"{one.path}:{one.line} ({one.accepted})") for one in result.findings if one.accepted]
    if state.sites:
        said += f"; {counted(len(state.sites), 'recorded reader')} on it"
    said += f"; accepted: {listed(accepted, SHOWN)}" if accepted else ""
    if not reading and not recorded and entry is not None:
        said += f"; no consumer, as {shown(entry.by)} accepts: {shown(entry.note)}"
    return passed(name, said)


def names_check(names: int, measure: int, left_out: Sequence[str] = ()) -> Check:
    """A listing must show nearly as many names as the comparison before: one that was cut short looks like a small path.

    Args:
        measure: How many the comparison before showed; 0 where there is none.
        left_out: Patterns of names that it leaves out, and an earlier comparison did not: it is about a part.
    """
    if left_out:
        return failed(
            NAMES,
            f"{counted(names, 'name')}, {without_names(left_out)}, which an earlier comparison had",
            "leave that --exclude out; if it is right so, override this check",
        )
    if not measure:
        return passed(NAMES, f"{counted(names, 'name')}; no comparison before this one is on record")
    evidence = f"{counted(names, 'name')}; the comparison before showed {measure:,}"
    if too_few(names, measure):
        return failed(
            NAMES,
            f"{evidence}: less than {FEWEST_NAMES} % of them",
            "find out what removed them on both paths (a lifecycle rule, a person); if it is right so, override this check",
        )
    return passed(NAMES, evidence)


DAY = timedelta(days=1)
"""How old the newest look at the audit log may be, and the shortest time that it must prove. Each nightly job runs once in it."""


def readers_check(
    state: State,
    target: CommandTarget,
    now: datetime,
    *,
    audit_log: str,
    log_file: str = "",
    soak: timedelta | None = None,
) -> Check:
    """Each principal that used the legacy path must be the migration's own, or acknowledged by a person.

    Only the record counts. A look at the audit log on record is judged in any case. Where there never was one, and nothing says
    that the log is on, the check is not applicable. A look of an earlier phase says that it can be looked at again.

    Args:
        audit_log: The project whose audit log has the entries of the legacy bucket; empty where none was named.
        log_file: The file with the entries that the operator uses instead; empty for none.
        soak: For the deletion: how long no other principal may have used the path, with the log proven to be on; a day at least.
            None for the gate, which takes what the newest look proves.
    """
    since = None if soak is None else max(now - max(soak, DAY), state.legacy_ended or now - max(soak, DAY))
    name, look = "readers", next(iter(state.readers), None)
    days = 14 if since is None else max(0, (now - since) // DAY) + 2
    file = ("--log-file", log_file) if log_file else ()
    project = ("--audit-log", audit_log or "PROJECT") if audit_log or not file else ()
    words = ("--record", *file, *project, "--days", str(days))
    again = target.command("readers", *words) or f"`readers {' '.join(words)}`"
    again = f"export the entries to {shown(log_file)} anew, then {again}" if log_file else again
    looks = [entry for entry in state.history if entry.readers is not None]
    if not looks and not audit_log:
        return not_applicable(
            name,
            "nothing says that the legacy bucket's audit log is on (--audit-log, AUDIT_LOG), so it is not known who else uses the path",
        )
    if look is None:
        return not_run(
            name, "no look at the audit log is on record since the source of truth last changed", again
        )
    counts_from = max(since or look.begins, state.legacy_ended or look.begins)
    found = foreign_readers(state, counts_from)
    if found:
        names = list(dict.fromkeys(each.name for each in found))
        acknowledge = ("--acknowledge", names[0], "--by", "NAME")
        accept = target.command("readers", *acknowledge) or "`readers --acknowledge NAME --by WHO`"
        return failed(
            name,
            f"{counted(len(names), 'principal')} used the legacy path and {'is' if len(names) == 1 else 'are'} not acknowledged: "
            f"{listed(map(_used, found), SHOWN)}",
            f"switch what reads or writes there to the new path; a person who knows why it may stay acknowledges it by name: {accept}",
        )
    proven = f"audit log from {minute_text(look.begins)} to {minute_text(look.ends)}"
    if now - look.ends > DAY:
        return not_run(name, f"{proven}: nothing is proven of the last day", again)
    if since is None and look.ends - look.begins < DAY:
        return not_run(name, f"{proven}: less than a day is proven, so a nightly job may be missing", again)
    if found is None:
        return not_run(
            name, f"{proven}: nothing is proven of the time from {minute_text(counts_from)} on", again
        )
    known = [f"{shown(each)} (by {shown(entry.by)})" for each, entry in state.acknowledged.items()]
    own = dict.fromkeys(shown(entry.note) for entry in looks if entry.note and entry.readers in state.readers)
    return passed(
        name,
        f"{proven}: no foreign principal"
        + (f" but those acknowledged: {listed(known, 3)}" if known else "")
        + "".join(f"; {note}" for note in own),
    )


def _used(one: SeenPrincipal) -> str:
    return f"{shown(one.name)} ({one.use.value} {one.count:,}, last {minute_text(one.last)})"


def signoffs_check(state: State, next_step: Callable[[str], str]) -> Check:
    """All four teams must have signed off; `next_step` says what to do about the first missing team."""
    name = "sign-offs"
    missing = [signatory.value for signatory in state.missing_signoffs]
    if missing:
        return failed(name, f"missing: {', '.join(missing)}", next_step(missing[0]))
    return passed(name, ", ".join(f"{signoff.name.value} by {signoff.by}" for signoff in state.signoffs))
