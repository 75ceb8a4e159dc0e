"""What to do next: the steps that follow from a verification and the phase, with the commands to type. Pure."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.migration import DEFAULT_EXCLUDES, Environment, qpi_exports
from shared.phase import Phase
from shared.report.figures import counted
from shared.report.headline import FRESH
from shared.state import State
from shared.verification import Level, Verdict, Verification

__all__ = ["Step", "Target", "report_steps", "status_steps", "target_of"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        text: What and why.
        command: What to type; empty when no command helps.
    """

    text: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """The arguments that tell a command which migration is meant; the paths as ``gs://bucket/prefix/``."""

    env: str
    source: str
    destination: str
    excludes: tuple[str, ...] = DEFAULT_EXCLUDES

    def command(self, name: str, *options: str, subject: str = "") -> str:
        """A command line that can be pasted into a shell.

        Args:
            name: The command.
            options: What follows the arguments about the migration.
            subject: What comes before them.

        Returns:
            The line; empty when an argument has an invisible character: the line would look like another command.
        """
        words = ["python", "-m", "backfill_job", name, *filter(None, [subject]), *self._arguments(), *options]
        return shlex.join(words) if all(map(str.isprintable, words)) else ""

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
        return arguments

    def _paths(self) -> list[str]:
        for environment in Environment:
            preset = qpi_exports(environment)
            if (self.env, self.source, self.destination) == (
                environment.value,
                preset.source.uri,
                preset.destination.uri,
            ):
                return ["--env", self.env]
        return ["--source", self.source, "--destination", self.destination]


def target_of(verification: Verification) -> Target:
    """Which migration a verification is about."""
    return Target(verification.env, verification.source, verification.destination, verification.excludes)


def report_steps(verification: Verification) -> tuple[Step, ...]:
    """What follows from a verification alone: a report does not know the phase."""
    target = target_of(verification)
    steps = [*_repairs(verification, target, Phase.DUAL_WRITE), *_concerns(verification)]
    if verification.clean and verification.compared:
        steps.append(
            Step("Before the cutover, the gate says what is still missing for it.", target.command("gate"))
        )
    if not verification.compared:
        steps.append(
            Step("Check the two paths in the command; it compared nothing.", target.command("migrate"))
        )
    return tuple(steps)


def status_steps(
    state: State, verification: Verification | None, target: Target, now: datetime
) -> tuple[Step, ...]:
    """What follows from the phase and the latest verification, None if there was none."""
    if state.phase in _AFTER_CUTOVER and state.phase is not Phase.CUT_OVER:
        return tuple(_PHASE_STEPS[state.phase](state, target))
    steps: list[Step] = []
    if verification is None:
        steps.append(Step("Compare the two paths. It changes nothing.", target.command("verify")))
    else:
        steps += _repairs(verification, target, state.phase)
        outdated = now - verification.finished > FRESH or (
            state.since is not None and verification.started < state.since
        )
        if verification.clean and (outdated or not verification.compared):
            steps.append(
                Step("Verify again: the latest verification is out of date.", target.command("verify"))
            )
        steps += _concerns(verification)
    return (*steps, *_PHASE_STEPS[state.phase](state, target))


_AFTER_CUTOVER = frozenset({Phase.CUT_OVER, Phase.DELETING, Phase.DELETED})


def _repairs(verification: Verification, target: Target, phase: Phase) -> list[Step]:
    """How to make the two sides equal."""
    counts = verification.counts
    missing = counts[Verdict.MISSING]
    differing = counts[Verdict.CONTENT_DIFFERS] + counts[Verdict.METADATA_DIFFERS]
    steps = []
    if differing and phase is Phase.CUT_OVER:
        steps.append(
            Step(
                f"Run the cutover command again: it brings over what late writers overwrote on the legacy path, among the "
                f"{counted(differing, 'differing name')}. Where the new path's write is the later one, it leaves it.",
                target.command("cutover", "--by", "NAME"),
            )
        )
        differing = 0
    elif differing and phase in _AFTER_CUTOVER:
        steps.append(
            Step(
                f"Resolve the differing names ({differing:,}) by hand: after the cutover nothing at the new path is "
                "overwritten. Both sides' facts are in the table below."
            )
        )
        differing = 0
    if missing or differing:
        what = " and ".join(
            text
            for text in (
                f"copies the {counted(missing, 'missing object')}" if missing else "",
                f"replaces the {counted(differing, 'differing one')}" if differing else "",
            )
            if text
        )
        steps.append(
            Step(
                f"Run the migration again. It {what}, looks at both sides again before it writes, and verifies at its end.",
                target.command("migrate", "--execute"),
            )
        )
    elif counts[Verdict.IN_FLIGHT]:
        steps.append(
            Step(
                f"Verify again in a minute: {counted(counts[Verdict.IN_FLIGHT], 'object')} changed while this run "
                "compared. If they are then missing or differ, is the mirror running?",
                target.command("verify"),
            )
        )
    if counts[Verdict.EXTRA]:
        steps.append(
            Step(
                f"Find out who wrote what only the destination has ({counted(counts[Verdict.EXTRA], 'object')}): the "
                "consumer would load it. Move it away, or exclude it by name. Nothing here deletes it."
            )
        )
    return steps


def _concerns(verification: Verification) -> list[Step]:
    """What a person has to check."""
    steps = []
    if any(remark.level is Level.CRITICAL for remark in verification.remarks):
        steps.append(Step("Resolve every critical remark below with the owner of the data."))
    contents = verification.contents
    if contents is not None and contents.migration_problems:
        steps.append(
            Step(
                "Look into the problems that only the destination's files have, under Contents. A copy never "
                "causes them: another program wrote there."
            )
        )
    if contents is not None and any(problem.error for problem in contents.source_problems.values()):
        steps.append(
            Step(
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
            Step(
                "Look at the mirror's log: one in a hundred objects took longer to arrive than a verification waits. "
                "The sweeper may have brought them instead of the mirror."
            )
        )
    return steps


def _dual_write(state: State, target: Target) -> list[Step]:
    unsigned = [name.value for name in state.missing_signoffs]
    steps = []
    if unsigned:
        steps.append(
            Step(
                f"Sign-offs still missing for the cutover: {', '.join(unsigned)}.",
                target.command("signoff", "--by", "NAME", subject=unsigned[0]),
            )
        )
    steps.append(
        Step(
            "The gate says GO or NO-GO for the cutover, each check with its evidence.", target.command("gate")
        )
    )
    return steps


def _cut_over(_: State, target: Target) -> list[Step]:
    return [
        Step(
            "If the consumer fails on the new path, go back: nothing is lost. This rehearses it, and changes nothing.",
            target.command("rollback", "--dry-run"),
        ),
        Step(
            "When the legacy path is no longer needed, see what its deletion would do. This changes nothing.",
            target.command("delete"),
        ),
    ]


def _rolled_back(state: State, target: Target) -> list[Step]:
    return [
        Step("Find and mend what made the rollback necessary; the next cutover needs its sign-offs anew."),
        *_dual_write(state, target),
    ]


def _deleting(_: State, target: Target) -> list[Step]:
    return [
        Step(
            "If no deletion is running, it was interrupted: the same command goes on where it was.",
            target.command("delete", "--confirm-delete"),
        )
    ]


def _deleted(_: State, target: Target) -> list[Step]:
    return [
        Step(
            "If something is missed, the manifest's objects can be brought back: this says which, and until when.",
            target.command("undo"),
        )
    ]


_PHASE_STEPS: dict[Phase, Callable[[State, Target], list[Step]]] = {
    Phase.DUAL_WRITE: _dual_write,
    Phase.CUT_OVER: _cut_over,
    Phase.ROLLED_BACK: _rolled_back,
    Phase.DELETING: _deleting,
    Phase.DELETED: _deleted,
}
