"""What to do next: one function for every page and screen, from the phase, the latest verification and the state. Pure.

Every command that it prints runs in the phase in which it is printed; a test runs each of them.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.env_file import deployed_name
from shared.green_days import GREEN_DAYS, green_days
from shared.migration import DEFAULT_EXCLUDES, UNNAMED, Environment, Location, Migration, qpi_exports
from shared.phase import Phase
from shared.report.figures import counted
from shared.report.headline import FRESH, later_comparison, legacy_objects_again, undone_since
from shared.state import ComparisonRecord, State
from shared.verification import OF_NAMES, Level, Verdict, Verification

__all__ = ["CommandTarget", "NextStep", "next_command", "next_steps", "shown_command", "target_of"]


_OF_CONSUMER = frozenset({"import-test", "loaded", "gate", "cutover", "delete"})
"""The commands that take ``--consumer``."""


@dataclass(frozen=True, slots=True)
class NextStep:
    """One thing to do.

    Attributes:
        text: What and why.
        command: What to type; empty when no command helps.
        in_trouble: Whether only a person who misses something, or wants to go back, types it.
    """

    text: str
    command: str = ""
    in_trouble: bool = False


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """The arguments that tell a command which migration is meant; the paths as ``gs://bucket/prefix/``.

    Attributes:
        env: The migration's label.
        consumer: The file that describes the consumer; empty without one.
        billing_project: The project that pays for the requests; empty without one.
    """

    env: str
    source: str
    destination: str
    excludes: tuple[str, ...] = DEFAULT_EXCLUDES
    consumer: str = ""
    billing_project: str = ""

    @staticmethod
    def of(migration: Migration) -> "CommandTarget":
        """The arguments that name a migration."""
        source, destination = migration.source.uri, migration.destination.uri
        return CommandTarget(
            migration.label,
            source,
            destination,
            migration.excludes,
            billing_project=migration.billing_project,
        )

    def command(self, name: str, *options: str, subject: str = "") -> str:
        """A command line that can be pasted into a shell.

        Args:
            name: The command.
            options: What follows the arguments about the migration.
            subject: What comes before them.

        Returns:
            The line; empty when an argument has an invisible character: the line would look like another command.
        """
        consumer = ["--consumer", self.consumer] if self.consumer and name in _OF_CONSUMER else []
        return shown_command(name, *filter(None, [subject]), *self._arguments(), *consumer, *options)

    def deployed(self, part: str) -> str:
        """The name of a deployed part; empty for a pair that is not the preset's."""
        return deployed_name(part, self.env) if self._paths()[0] == "--env" else ""

    def _arguments(self) -> list[str]:
        arguments = self._paths()
        extra = self.excludes
        if extra[: len(DEFAULT_EXCLUDES)] == DEFAULT_EXCLUDES:
            extra = extra[len(DEFAULT_EXCLUDES) :]
        else:
            arguments.append("--no-default-excludes")
        for pattern in extra:
            # argparse reads a pattern that begins with a dash as an option.
            arguments += [f"--exclude={pattern}"] if pattern.startswith("-") else ["--exclude", pattern]
        return [*arguments, *(("--billing-project", self.billing_project) if self.billing_project else ())]

    def _paths(self) -> list[str]:
        for environment in Environment:
            preset = qpi_exports(environment)
            if (self.env, self.source, self.destination) == (
                environment.value,
                preset.source.uri,
                preset.destination.uri,
            ):
                return ["--env", self.env]
        named = self.env not in {UNNAMED, *(environment.value for environment in Environment)}
        name = ["--name", self.env] if named else []
        return ["--source", self.source, "--destination", self.destination, *name]


def shown_command(*words: str) -> str:
    """A command line that can be pasted; empty when a word has an invisible character."""
    line = ["python", "-m", "backfill_job", *words]
    return shlex.join(line) if all(map(str.isprintable, line)) else ""


def target_of(verification: Verification) -> CommandTarget:
    """Which migration a verification is about."""
    return CommandTarget(
        verification.env, verification.source, verification.destination, verification.excludes
    )


def next_steps(
    phase: Phase | None,
    verification: Verification | None,
    target: CommandTarget,
    *,
    state: State | None = None,
    now: datetime | None = None,
) -> tuple[NextStep, ...]:
    """What follows from where the migration stands.

    Args:
        phase: Of the migration; None where it is not known. Then no step depends on it.
        verification: The latest; None if there was none.
        target: Which migration.
        state: The migration's state; None for what follows from the verification alone, in its own report.
        now: The current time, with the state: an old verification has to be repeated.
    """
    if state is not None and not state.begun:
        return (
            NextStep(
                "See what would be copied. The last line is the execution, which begins the migration.",
                target.command("migrate"),
            ),
            NextStep(
                "Where a mirror is deployed before the first execution, begin now. The deployment does it by itself.",
                target.command("begin", "--by", "NAME"),
            ),
        )
    if phase is Phase.DELETING or phase is Phase.DELETED:
        return tuple(_steps_of(phase, state, target, now)) if state is not None else ()
    steps: list[NextStep] = []
    newest = None if state is None else later_comparison(state, verification)
    if state is not None and newest is not None and now is not None:
        steps += _after_comparison(newest, verification, target, state=state, now=now)
    elif verification is None:
        steps.append(NextStep("Compare the two paths. It changes nothing.", target.command("verify")))
    else:
        steps += _repairs(verification, target, phase, state)
        if not verification.compared:
            steps.append(
                NextStep(
                    "Check the two paths in the command; it compared nothing.", target.command("migrate")
                )
            )
        elif (
            verification.clean
            and state is not None
            and now is not None
            and _is_outdated(verification, state, now)
        ):
            steps.append(
                NextStep("Verify again: the latest verification is out of date.", target.command("verify"))
            )
        steps += _concerns(verification)
        if state is None and verification.clean and verification.compared and phase in _BEFORE_CUTOVER:
            steps.append(
                NextStep(
                    "Before the cutover, the gate says what is still missing for it.", target.command("gate")
                )
            )
    if state is not None and phase is not None:
        named = {step.command for step in steps if step.command}  # no command is named twice
        steps += [step for step in _steps_of(phase, state, target, now) if step.command not in named]
        seen = verification is not None and verification.lag is not None and verification.lag.objects
        if phase in _BEFORE_CUTOVER and not seen and not state.without_mirror:
            steps.append(
                NextStep(
                    "If no mirror is deployed, because the writer is paused: cut over with this instead.",
                    _cutover(target, "the writer is paused"),
                )
            )
    return tuple(steps)


def next_command(steps: Sequence[NextStep], verification: Verification | None, target: CommandTarget) -> str:
    """The one command to type next; where a person must act first, the verification that then shows it.

    A way back, for when something goes wrong, is never the next command. Where there is nothing else, it is `status`.

    Args:
        steps: What `next_steps` gives.
        verification: The latest; None if there was none.
        target: Which migration.
    """
    if steps and not steps[0].command and verification is not None and verification.exit_code:
        return target.command("verify")
    usual = (step.command for step in steps if step.command and not step.in_trouble)
    return next(usual, target.command("status"))


def _after_comparison(
    newest: ComparisonRecord,
    verification: Verification | None,
    target: CommandTarget,
    *,
    state: State,
    now: datetime,
) -> list[NextStep]:
    """What follows where another command has compared the names since the latest verification."""
    why = ""
    if newest.wrong:
        why = f"Verify: it names what differs ({counted(newest.wrong, 'name')})."
    elif not newest.compared:
        return [
            NextStep("Check the two paths in the command; it compared nothing.", target.command("migrate"))
        ]
    elif now - newest.began > FRESH or not state.in_this_phase(newest):
        why = "Verify again: the latest comparison is out of date."
    steps = [NextStep(why, target.command("verify"))] if why else []
    # What the names showed then, the newer comparison of the names replaces.
    return steps + ([] if verification is None else _concerns(verification, replaced=OF_NAMES))


_BEFORE_CUTOVER = frozenset({Phase.DUAL_WRITE, Phase.ROLLED_BACK})


def _is_outdated(verification: Verification, state: State, now: datetime) -> bool:
    in_this_phase = state.ran_in_this_phase(verification.run, verification.started)
    return now - verification.finished > FRESH or not in_this_phase


def _cutover(target: CommandTarget, without_mirror: str) -> str:
    """The cutover; with the reason, where no mirror runs."""
    why = ("--no-mirror", "--reason", without_mirror) if without_mirror else ()
    return target.command("cutover", "--by", "NAME", *why)


def _repairs(
    verification: Verification, target: CommandTarget, phase: Phase | None, state: State | None
) -> list[NextStep]:
    """How to make the two sides equal, in this phase."""
    counts = verification.counts
    missing = counts[Verdict.MISSING]
    differing = counts[Verdict.CONTENT_DIFFERS] + counts[Verdict.METADATA_DIFFERS]
    steps: list[NextStep] = []
    if missing or differing:
        steps.append(_copies(missing, differing, target, phase, state))
    elif counts[Verdict.IN_FLIGHT]:
        steps.append(
            NextStep(
                f"Verify again in a minute: {counted(counts[Verdict.IN_FLIGHT], 'object')} changed while this run "
                "compared. If they are then missing or differ, is the mirror running?",
                target.command("verify"),
            )
        )
    if counts[Verdict.EXTRA]:
        steps.append(_extra(counts[Verdict.EXTRA], target, phase))
    return steps


def _copies(
    missing: int, differing: int, target: CommandTarget, phase: Phase | None, state: State | None
) -> NextStep:
    what = " and ".join(
        text
        for text in (
            counted(missing, "missing object") if missing else "",
            counted(differing, "differing object") if differing else "",
        )
        if text
    )
    if phase is Phase.CUT_OVER:
        return NextStep(
            f"Run the cutover command again. It brings over what late writers wrote on the legacy path, among the {what}. "
            "It leaves each object whose later write is on the new path.",
            _cutover(target, "" if state is None else state.without_mirror),
        )
    if phase is None:
        return NextStep(
            f"The status says which command settles the {what} in the migration's present phase.",
            target.command("status"),
        )
    return NextStep(
        f"Run the migration again. It copies the {what}, looks at both sides again before it writes, and verifies at its end.",
        target.command("migrate", "--execute"),
    )


def _extra(extra: int, target: CommandTarget, phase: Phase | None) -> NextStep:
    objects = counted(extra, "object")
    if phase is Phase.CUT_OVER:
        return NextStep(
            f"Bring {objects} back that only the new path has. After the cutover they are new exports, which the reverse "
            "mirror has not brought back yet; without them a rollback would lose them.",
            target.command("rollback", "--refresh"),
        )
    if phase is None:
        return NextStep(
            f"Only the destination has {objects}. The status says what that means in the migration's present phase.",
            target.command("status"),
        )
    return NextStep(
        f"Find out who wrote what only the destination has ({objects}): the consumer would load it. Move it away, or "
        "exclude it by name. Nothing here deletes it."
    )


def _concerns(verification: Verification, replaced: frozenset[str] = frozenset()) -> list[NextStep]:
    """What a person has to check, but for the remarks of the `replaced` kinds."""
    steps = []
    if any(each.level is Level.CRITICAL and each.kind not in replaced for each in verification.remarks):
        steps.append(
            NextStep("Resolve every critical remark of the verification with the owner of the data.")
        )
    contents = verification.contents
    if contents is not None and contents.migration_problems:
        steps.append(
            NextStep(
                "Look into the problems that only the destination's files have, under Contents. A copy never "
                "causes them: another program wrote there."
            )
        )
    if contents is not None and any(problem.error for problem in contents.source_problems.values()):
        steps.append(
            NextStep(
                "Tell the writer's team of the files that the import would refuse, under Contents. They are so at the "
                "source; the migration keeps them as they are."
            )
        )
    if (
        verification.lag is not None
        and verification.lag.p99_s is not None
        and verification.lag.p99_s > verification.grace_s
    ):
        steps.append(
            NextStep(
                "Look at the mirror's log: one in a hundred objects took longer to arrive than a verification waits. "
                "The sweeper may have brought them instead of the mirror."
            )
        )
    return steps


def _dual_write(state: State, target: CommandTarget, _: datetime) -> list[NextStep]:
    unsigned = [name.value for name in state.missing_signoffs]
    steps = []
    if unsigned:
        steps.append(
            NextStep(
                f"Sign-offs still missing for the cutover: {', '.join(unsigned)}.",
                target.command("signoff", "--by", "NAME", subject=unsigned[0]),
            )
        )
    steps.append(
        NextStep(
            "Cut over. The command makes the evidence that is missing. Then the gate says GO or NO-GO, and NO-GO changes nothing.",
            _cutover(target, state.without_mirror),
        )
    )
    return steps


def _cut_over(state: State, target: CommandTarget, now: datetime) -> list[NextStep]:
    days = green_days(state, now).in_a_row
    daily = NextStep(
        f"Verify once a day, by a schedule or by hand. The deletion asks for {GREEN_DAYS} green days in a row, and there are {days}.",
        target.command("verify"),
    )
    return [
        *([daily] if days < GREEN_DAYS else []),
        NextStep(
            "If the consumer fails on the new path, go back: nothing is lost. This rehearses it, and changes nothing.",
            target.command("rollback", "--dry-run"),
            in_trouble=True,
        ),
        NextStep(
            "When the legacy path is no longer needed, see what its deletion would do. This changes nothing.",
            target.command("delete"),
        ),
    ]


def _rolled_back(state: State, target: CommandTarget, now: datetime) -> list[NextStep]:
    return [
        NextStep(
            "Find and mend what made the rollback necessary; the next cutover needs its sign-offs anew."
        ),
        *_dual_write(state, target, now),
    ]


def _deleting(state: State, target: CommandTarget, _: datetime) -> list[NextStep]:
    return [
        NextStep(
            "If no deletion is running, it was interrupted: this command goes on where it was.",
            target.command("delete", "--confirm-delete", "--resume", manifest),
        )
        for manifest in _manifests(state)[-1:]
    ]


def _deleted(state: State, target: CommandTarget, _: datetime) -> list[NextStep]:
    again = NextStep(
        "The legacy path has objects again. See what a further deletion would take. This changes nothing.",
        target.command("delete"),
    )
    return [
        *([again] if legacy_objects_again(state) or undone_since(state) else []),
        *(
            NextStep(
                "If something is missed, the manifest's objects can be brought back: this says which, and until when.",
                shown_command("undo", manifest),
                in_trouble=True,
            )
            for manifest in _manifests(state)
        ),
    ]


def _manifests(state: State) -> list[str]:
    """Where the manifests of this migration's deletions lie, oldest first."""
    migration = Migration(Location.parse(state.source), Location.parse(state.destination))
    return [migration.own_ref("deletions", begun.name).uri for begun in state.manifests]


def _steps_of(phase: Phase, state: State, target: CommandTarget, now: datetime | None) -> list[NextStep]:
    return _PHASE_STEPS[phase](state, target, now or state.history[-1].at)


_PHASE_STEPS: dict[Phase, Callable[[State, CommandTarget, datetime], list[NextStep]]] = {
    Phase.DUAL_WRITE: _dual_write,
    Phase.CUT_OVER: _cut_over,
    Phase.ROLLED_BACK: _rolled_back,
    Phase.DELETING: _deleting,
    Phase.DELETED: _deleted,
}
