"""Runs the gate: gathers the evidence for every check, one after the other. A check that breaks stops no other."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import uvloop
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from backfill_job.case_siblings import case_siblings
from backfill_job.gate.canary import fly
from backfill_job.gate.checks import (
    Check,
    Limits,
    Standing,
    alive_check,
    failed,
    import_test_check,
    lag_check,
    not_run,
    passed,
    phase_check,
    presence_check,
    signoffs_check,
    verification_check,
)
from backfill_job.job import open_api
from backfill_job.references.scan import scan
from backfill_job.reports import json_bytes
from backfill_job.session import Session
from backfill_job.wording import counted, shown
from shared.errors import Interrupted, MigrationError, UsageError
from shared.events_log import Event
from shared.migration import Location, Migration
from shared.partitions import answers_folder
from shared.report.advice import Target
from shared.report.facts import Verification
from shared.report.loading import read_status
from shared.report.page import Unreadable
from shared.report.reading import read_verification
from shared.state import State, read_state

__all__ = ["FORMAT", "GateOptions", "GateResult", "run_gate"]

FORMAT = "qpi-exports-migration/gate/1"


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What the gate looks at, and what is good enough.

    Attributes:
        repos: Checkouts of the consumers' code.
        canary: Seconds a canary may take; None for none.
        dead_letters: What `gcloud pubsub subscriptions pull … --format=json` printed, as a file.
        limits: What is good enough.
        today: The day of the presence check; None for today, UTC.
        record: Whether the result is left beside the state.
    """

    repos: tuple[Path, ...] = ()
    canary: float | None = None
    dead_letters: Path | None = None
    limits: Limits = field(default_factory=Limits)
    today: date | None = None
    record: bool = True


@dataclass(frozen=True, slots=True)
class GateResult:
    """What the gate came to."""

    checks: tuple[Check, ...]

    @property
    def go(self) -> bool:
        """Whether every check passed."""
        return bool(self.checks) and all(check.standing is Standing.PASS for check in self.checks)

    def show(self, console: Console) -> None:
        """Print the table, and the next step for each line that did not pass."""
        table = Table(
            Column("check", no_wrap=True),
            Column("", no_wrap=True),
            Column("evidence", overflow="fold"),
            box=box.SIMPLE,
            show_edge=False,
            pad_edge=False,
            header_style="",
        )
        for check in self.checks:
            table.add_row(Text(check.name), Text(check.standing.value), Text(shown(check.evidence)))
        console.print(table)
        console.print()
        open_checks = [check for check in self.checks if check.standing is not Standing.PASS]
        if open_checks:
            console.print("What to do:")
        for check in open_checks:
            console.print(f"  {check.name}: {check.next_step}", markup=False, soft_wrap=True)
        verdict = "GO" if self.go else f"NO-GO: {counted(len(open_checks), 'check')} did not pass"
        console.print(f"\n{verdict}", markup=False)

    def to_json(self) -> dict[str, Any]:
        """For a report."""
        return {"format": FORMAT, "go": self.go, "checks": [check.to_json() for check in self.checks]}


def run_gate(session: Session, options: GateOptions) -> GateResult:
    """Run every check, and leave ``gate.json``.

    Args:
        session: Of which migration.
        options: What to look at.

    Returns:
        What it came to.

    Raises:
        Interrupted: Somebody stopped it; there is no verdict.
        StorageError: The result could not be left.
    """
    result = GateResult(tuple(_checks(session, options)))
    job = session.job
    content = {**session.identity(), "finished": job.clock.now().isoformat(), **result.to_json()}
    session.write("gate.json", content)
    if options.record:
        job.gateway.put(job.migration.own_ref("latest", "gate.json"), json_bytes(content))
    wrong = [check.name for check in result.checks if check.standing is not Standing.PASS]
    job.log.emit(Event.GATE_CHECKED, go=result.go, failing=wrong)
    return result


def _checks(session: Session, options: GateOptions) -> Iterator[Check]:
    job, limits = session.job, options.limits
    gateway, migration = job.gateway, job.migration
    target = Target(migration.label, migration.source.uri, migration.destination.uri, migration.excludes)
    now = job.clock.now().astimezone(UTC)
    help_out = "see the error; the account, the bucket, or the network needs mending"

    def attempt(name: str, check: Callable[[], Check]) -> Check:
        job.stop.check()
        try:
            return check()
        except Interrupted:
            raise
        except MigrationError as error:
            return not_run(name, str(error), help_out)

    def of_state(name: str, check: Callable[[State], Check]) -> Check:
        return attempt(name, lambda: check(read_state(gateway, migration)))

    yield of_state("phase", phase_check)
    found, problem = _latest_verification(session, now)
    if problem:
        yield not_run("verification", problem, target.command("verify"))
    else:
        yield verification_check(found, target, now, limits)
    lag = None if found is None else found.lag
    yield lag_check(lag, limits)
    canary = None
    if options.canary is not None:
        canary = attempt("canary", lambda: _canary(session, options.canary or 0.0))
    yield alive_check(lag, None if found is None else found.finished, canary, now, limits)
    yield canary or not_run(
        "canary", "not asked for", "add --canary: it writes one object and removes it again"
    )
    yield attempt("dead letters", lambda: _dead_letters(options.dead_letters, now, limits))
    yield attempt("references", lambda: _references(options.repos, migration))
    yield attempt("import test", lambda: _import_test(session, target, now, limits))
    yield attempt("presence", lambda: _presence(session, options.today or now.date()))
    yield attempt("mixed prefix", lambda: _mixed_prefix(session))
    yield of_state("sign-offs", lambda state: signoffs_check(state, target))


def _latest_verification(session: Session, now: datetime) -> tuple[Verification | None, str]:
    """The latest verification, or why it cannot be read."""
    content = read_status(session.job.gateway, session.job.migration, now).verification
    if isinstance(content, Unreadable):
        return None, content.why
    return (None if content is None else read_verification(content)), ""


def _canary(session: Session, limit: float) -> Check:
    job = session.job
    flight = fly(job.gateway, job.migration, session.job.log.context["run"], job.clock, limit)
    if flight.left:
        return failed("canary", f"it could not be removed: {', '.join(flight.left)}", "remove it by hand")
    if flight.arrived_after is None:
        return failed(
            "canary",
            f"{flight.name} had not arrived after {limit:g} seconds; it was removed",
            "look at the mirror: is it deployed, is its trigger on, what does its log say",
        )
    return passed("canary", f"arrived after {flight.arrived_after:.1f} seconds; removed on both paths")


def _dead_letters(file: Path | None, now: datetime, limits: Limits) -> Check:
    name = "dead letters"
    look = (
        "gcloud pubsub subscriptions pull DEAD_LETTER_SUBSCRIPTION --limit=1 --format=json > FILE, "
        "then --dead-letters FILE"
    )
    if file is None:
        return not_run(name, "nobody has looked", look)
    try:
        content = json.loads(file.read_text())
        taken = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except (OSError, ValueError) as error:
        raise UsageError(f"--dead-letters {file}: {error}") from error
    if not isinstance(content, list):
        raise UsageError(f"--dead-letters {file}: a JSON list is wanted, as gcloud prints it")
    if content:
        return failed(
            name,
            f"at least {counted(len(content), 'event')} given up by the trigger",
            "migrate --execute brings what they were about; then acknowledge them, and look again",
        )
    if now - taken > limits.max_age:
        return failed(name, f"{file} is of {taken:%Y-%m-%d %H:%M}Z, which is too old", look)
    return passed(name, f"none, at {taken:%Y-%m-%d %H:%M}Z")


def _references(repos: tuple[Path, ...], migration: Migration) -> Check:
    name = "references"
    if not repos:
        return not_run(
            name, "no checkout of the consumers was named", "add --repo PATH, with the change prepared"
        )
    result = scan(repos, [migration])
    blocking = [f"{finding.path}:{finding.line}" for finding in result.blocking]
    if blocking or not result.clean:
        problems = [*blocking, *(str(error.path) for error in result.errors)]
        return failed(
            name,
            f"{counted(len(problems), 'place')} in the way, such as {problems[0]}",
            "python -m backfill_job references PATH shows them all, and --fix changes what can be changed",
        )
    return passed(name, f"clean: {', '.join(str(repo) for repo in repos)}")


def _import_test(session: Session, target: Target, now: datetime, limits: Limits) -> Check:
    at = session.job.migration.own_ref("latest", "import-test.json")
    contents = session.job.gateway.read(at)
    try:
        content = None if contents is None else json.loads(contents)
    except ValueError as error:
        raise UsageError(f"{at.uri} is damaged ({error}): run import-test again") from error
    if content is not None and not isinstance(content, dict):
        raise UsageError(f"{at.uri} is damaged: run import-test again")
    return import_test_check(content, target, now, limits)


def _presence(session: Session, day: date) -> Check:
    migration, gateway = session.job.migration, session.job.gateway

    def holds(path: Location) -> bool:
        pages = gateway.list_pages(path.bucket, path.prefix + answers_folder(day))
        return any(True for page in islice(pages, 1) for _ in page.objects)

    there = migration.destination
    return presence_check(
        f"{there.uri}{answers_folder(day)}", holds(migration.destination), holds(migration.source)
    )


def _mixed_prefix(session: Session) -> Check:
    job = session.job

    async def siblings() -> tuple[Location, ...]:
        async with open_api(job) as api:
            return await case_siblings(api, job.migration.destination)

    found = [sibling.uri for sibling in uvloop.run(siblings()) if sibling != job.migration.source]
    if found:
        return failed(
            "mixed prefix",
            f"{', '.join(found)} holds objects: the destination's name in another case, where no reader looks",
            "find out who writes there, and copy what is missing",
        )
    return passed("mixed prefix", f"nothing but {job.migration.destination.uri}, in any case")
