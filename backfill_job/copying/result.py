"""How an execution ended: of one process, or of all tasks of an execution put together."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from backfill_job.copying.compare import Compared, more_line
from backfill_job.copying.counts import COPY, Account, Counts
from backfill_job.copying.work import Work
from backfill_job.run.command import ExitCode
from shared.operations import Operations

__all__ = ["RunResult"]

MAX_NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class RunResult:
    """How an execution ended.

    Attributes:
        balance: The objects by what became of them.
        verification: What both sides look like afterwards; None when the run stopped before.
        stopped: Why it stopped before its end; empty when it did not.
        denied: It stopped for want of a bucket or a permission.
        copying_s: Seconds that listing and copying took, without the verification.
        work: What the listings showed was to be done.
        operations: What was asked of Cloud Storage, as it is billed.
        narrowed: What was left out on request, in words; empty for nothing.
    """

    balance: Counts[Account]
    verification: Compared | None
    stopped: str
    denied: bool
    copying_s: float
    work: Work
    operations: Operations
    narrowed: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """0 only when everything was copied, balances, and was verified."""
        if self.stopped:
            nothing_done = not self.balance.done
            return ExitCode.CANNOT_START if self.denied and nothing_done else ExitCode.NOT_RIGHT
        proven = self.verification is not None and self.verification.clean
        return ExitCode.DONE if self.balance.clean and proven else ExitCode.NOT_RIGHT

    @property
    def summary(self) -> str:
        """The end of the run in one sentence."""
        said = self.balance.said or "nothing to do"
        counts = f"{self.balance.listed:,} objects listed: {said}{self.balance.imbalance}"
        if self.stopped:
            return f"{counts}; stopped: {self.stopped}"
        if self.verification is None:
            return f"{counts}; not verified"
        where = f" ({self.narrowed})" if self.narrowed else ""
        verified = "verified: " if self.verification.clean else ""
        return f"{counts}; {verified}{self.verification.said}{where}"

    def screen_lines(self) -> list[str]:
        """What the operator reads at the end: the summary, the first differing names, and what to do."""
        lines = [self.summary]
        if self.verification is not None and not self.verification.clean:
            shown = self.verification.differences[:MAX_NAMES_SHOWN]
            total = sum(self.verification.wrong.values())
            lines += [f"  {difference}" for difference in shown]
            lines += [more_line(len(shown), total)] if total > len(shown) else []
        if self.exit_code is not ExitCode.DONE:
            lines.append(
                "Nothing is lost: what was copied stays, the source is untouched. Run the same command again."
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """The result for ``run.json``."""
        return {
            "exit_code": int(self.exit_code),
            "summary": self.summary,
            "copying_s": round(self.copying_s, 3),
            "ledger": {**self.balance.to_json(), "holds": self.balance.holds},
            "verification": None if self.verification is None else self.verification.to_json(),
            "stopped": self.stopped or None,
            "denied": self.denied,
            "work": asdict(self.work),
            "operations": asdict(self.operations),
            "narrowed": self.narrowed or None,
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "RunResult":
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        verification = content["verification"]
        return RunResult(
            COPY.read(content["ledger"]),
            None if verification is None else Compared.from_json(verification),
            content["stopped"] or "",
            content["denied"],
            content["copying_s"],
            Work(**content["work"]),
            Operations(**content["operations"]),
            content["narrowed"] or "",
        )

    @staticmethod
    def merged(parts: Sequence["RunResult"]) -> "RunResult":
        """The tasks of one execution put together, in the order of their numbers."""
        verifications = [part.verification for part in parts if part.verification is not None]
        return RunResult(
            COPY.merged(part.balance for part in parts),
            Compared.merged(verifications) if len(verifications) == len(parts) else None,
            "; ".join(f"task {number}: {part.stopped}" for number, part in enumerate(parts) if part.stopped),
            any(part.denied for part in parts),
            max(part.copying_s for part in parts),
            sum((part.work for part in parts), Work()),
            sum((part.operations for part in parts), Operations()),
            next((part.narrowed for part in parts if part.narrowed), ""),
        )
