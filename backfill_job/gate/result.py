"""What the gate came to: a table for people, JSON for programs."""

from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from backfill_job.gate.check import Check, Standing
from backfill_job.wording import counted, shown

__all__ = ["FORMAT", "GateResult"]

FORMAT = "qpi-exports-migration/gate/1"


@dataclass(frozen=True, slots=True)
class GateResult:
    """What the gate came to.

    Attributes:
        checks: Every check, in the order of the table.
    """

    checks: tuple[Check, ...]

    @property
    def failing(self) -> tuple[Check, ...]:
        """The checks that stand in the way: those that failed, and those that could not be run."""
        return tuple(check for check in self.checks if check.standing is not Standing.PASS)

    @property
    def go(self) -> bool:
        """Whether every check passed."""
        return bool(self.checks) and not self.failing

    @property
    def verdict(self) -> str:
        """``GO`` or ``NO-GO``."""
        return "GO" if self.go else "NO-GO"

    def show(self, console: Console) -> None:
        """Print the table, and the next step for each line that did not pass, to be copied."""
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
        if self.failing:
            console.print("What to do:")
        for check in self.failing:
            console.print(f"  {check.name}: {shown(check.next_step)}", markup=False, soft_wrap=True)
        many = counted(len(self.failing), "check")
        verdict = self.verdict if self.go else f"{self.verdict}: {many} did not pass"
        console.print(f"\n{verdict}", markup=False)

    def to_json(self) -> dict[str, Any]:
        """For a report."""
        return {
            "format": FORMAT,
            "verdict": self.verdict,
            "go": self.go,
            "exit_code": int(not self.go),
            "failing": [check.name for check in self.failing],
            "checks": [check.to_json() for check in self.checks],
        }
