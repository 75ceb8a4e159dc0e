"""One line of the gate: a check, how it stands, and on what evidence; and what is still good enough."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from shared.report.advice import Target

__all__ = ["SHOWN", "Check", "Limits", "Standing", "ago", "failed", "hours", "not_run", "passed", "typed"]

SHOWN = 3
"""Examples named in a line of evidence."""


class Standing(Enum):
    """How a check stands."""

    PASS = "pass"  # noqa: S105 -- not a password
    FAIL = "FAIL"
    NOT_RUN = "NOT RUN"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the gate.

    Attributes:
        name: What was checked.
        standing: Whether it passed.
        evidence: What was seen, or why nothing was.
        next_step: What to do; empty where it passed.
    """

    name: str
    standing: Standing
    evidence: str
    next_step: str = ""

    def to_json(self) -> dict[str, Any]:
        """For a report."""
        return {**asdict(self), "standing": self.standing.value}


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still good enough.

    Attributes:
        max_age: Of a verification, an import test, a look at the dead letters.
        lag_p50: Seconds within which half of the copies must have arrived.
        lag_p99: Seconds for 99 in 100.
        lag_max: Seconds for all.
        import_days: Days up to yesterday that the import test must cover.
    """

    max_age: timedelta = timedelta(hours=6)
    lag_p50: float = 5.0
    lag_p99: float = 60.0
    lag_max: float = 300.0
    import_days: int = 7

    def to_json(self) -> dict[str, float]:
        """For a report; times in seconds."""
        return {**asdict(self), "max_age": self.max_age.total_seconds()}


def passed(name: str, evidence: str) -> Check:
    """A check that passed."""
    return Check(name, Standing.PASS, evidence)


def failed(name: str, evidence: str, next_step: str) -> Check:
    """A check that failed."""
    return Check(name, Standing.FAIL, evidence, next_step)


def not_run(name: str, why: str, next_step: str) -> Check:
    """A check that could not be run."""
    return Check(name, Standing.NOT_RUN, why, next_step)


def typed(target: Target, command: str, *options: str, subject: str = "") -> str:
    """A command to type; its name where it cannot be shown as it has to be typed."""
    return (
        target.command(command, *options, subject=subject) or f"`{command}`, with this migration's arguments"
    )


def ago(age: timedelta) -> str:
    """How long ago, as a person says it."""
    minutes = age.total_seconds() / 60
    if minutes < 0:
        return "in the future"
    return f"{minutes:.0f} minutes ago" if minutes < 120 else f"{minutes / 60:.0f} hours ago"  # noqa: PLR2004


def hours(age: timedelta) -> str:
    """A length of time in hours, as a person says it."""
    return f"{age.total_seconds() / 3600:g} hours"
