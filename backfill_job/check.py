"""A check: its name, how it stands, the evidence, and what to do.

A module of its own because ``python -m deploy --env E check`` runs on a Python without packages, and `checks` prints with one.
"""

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from shared.errors import MigrationError, PhaseUnknown, StorageError

__all__ = ["SHOWN", "Check", "Override", "Standing", "failed", "not_run", "passed", "unavailable"]

SHOWN = 3
"""The number of examples in a line of evidence."""


class Standing(Enum):
    """How a check stands."""

    PASS = "PASS"  # noqa: S105 -- not a password
    FAIL = "FAIL"
    NOT_RUN = "NOT RUN"
    NOT_APPLICABLE = "NOT APPLICABLE"
    OVERRIDDEN = "OVERRIDDEN"


@dataclass(frozen=True, slots=True)
class Override:
    """A check that a person chose to override."""

    check: str
    reason: str
    by: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table.

    Attributes:
        evidence: What the check found, or why it could not look.
        next_step: What to do; advice where it passed; empty where there is nothing to do.
        overridable: Whether a person may override it where it blocks.
        override: Who overrode it, and why; None where no person did.
    """

    name: str
    standing: Standing
    evidence: str
    next_step: str = ""
    overridable: bool = False
    override: Override | None = None

    @property
    def passed(self) -> bool:
        """Whether the condition holds."""
        return self.standing is Standing.PASS

    @property
    def blocks(self) -> bool:
        """Whether it blocks the command."""
        return self.standing in {Standing.FAIL, Standing.NOT_RUN}

    def to_json(self) -> dict[str, Any]:
        """The check for a report."""
        content = {
            "name": self.name,
            "standing": self.standing.value,
            "evidence": self.evidence,
            "next_step": self.next_step,
        }
        return content if self.override is None else {**content, "override": asdict(self.override)}


def passed(name: str, evidence: str, next_step: str = "") -> Check:
    """A check that passed."""
    return Check(name, Standing.PASS, evidence, next_step)


def failed(name: str, evidence: str, next_step: str) -> Check:
    """A check that failed."""
    return Check(name, Standing.FAIL, evidence, next_step)


def not_run(name: str, why: str, next_step: str) -> Check:
    """A check that could not run."""
    return Check(name, Standing.NOT_RUN, why, next_step)


def unavailable(name: str, error: MigrationError) -> Check:
    """A check whose evidence is not available."""
    if isinstance(error, PhaseUnknown):
        fix = "begin the migration, or mend its record, as the error says"
    elif isinstance(error, StorageError):
        fix = "see the error: account, bucket or network need fixing"
    else:
        fix = "fix what the error names"
    return not_run(name, str(error), f"{fix}; then run the same command again")
