"""How an execution ended: the result of one process, or of all tasks together."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from backfill_job.copying.compare import Compared, more_line
from backfill_job.copying.counts import COPY, Account, Counts
from backfill_job.copying.diff import Work
from backfill_job.run.command import ExitCode
from backfill_job.run.failures import Failure, merged_failures, next_step, to_mend
from shared.errors import Cause
from shared.operations import Operations
from shared.text import counted, listed, shown
from shared.verification import Verdict, said_of_many_erased

__all__ = ["RunResult"]

MAX_NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class RunResult:
    """How an execution ended.

    Attributes:
        verification: How both sides compare afterwards; None when the run stopped before that.
        stopped: Why it stopped before its end; empty when it did not.
        denied: It stopped because a bucket or a permission is missing.
        copying_s: Seconds for listing and copying, without the verification.
        narrowed: The part of the names that the operator asked for, in words; empty for all.
        failures: Why objects failed: one entry for each cause.
        stopped_by: The cause for which it stopped before its end; None if that is not a failure of Cloud Storage.
        may_be_empty: It may end in success although nothing was compared. It is one of several tasks, or the operator
            expects that both paths are empty.
        followed: Copies of deleted sources that were deleted at the destination.
        after_deletion: A deletion has begun, so names that only the new path has are as they should be.
    """

    balance: Counts[Account]
    verification: Compared | None
    stopped: str
    denied: bool
    copying_s: float
    work: Work
    operations: Operations
    narrowed: str = ""
    failures: tuple[Failure, ...] = ()
    stopped_by: Cause | None = None
    may_be_empty: bool = False
    followed: int = 0
    after_deletion: bool = False

    @property
    def compared_nothing(self) -> bool:
        """Whether it verified, and had nothing to compare where that is not right."""
        return self.verification is not None and self.verification.nothing and not self.may_be_empty

    @property
    def exit_code(self) -> ExitCode:
        """0 only when every object is copied, accounted for and verified."""
        if self.stopped:
            nothing_done = not self.balance.done
            return ExitCode.CANNOT_START if self.denied and nothing_done else ExitCode.NOT_RIGHT
        clean = self.verification is not None and (self.verification.clean or self._only_deleted)
        return (
            ExitCode.DONE
            if self.balance.clean and clean and not self.compared_nothing
            else ExitCode.NOT_RIGHT
        )

    @property
    def _only_deleted(self) -> bool:
        """Whether the sides differ only in what a deletion removed, and something else was compared."""
        found = self.verification
        if found is None or not self.after_deletion or set(found.wrong) != {Verdict.EXTRA}:
            return False
        return self.may_be_empty or found.looked_at > found.counts[Verdict.EXTRA]

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        outcomes = self.balance.said or "nothing to do"
        said = f"{counted(self.balance.listed, 'object')} listed: {outcomes}{self.balance.imbalance}"
        if self.followed:
            said += f"; {counted(self.followed, 'deletion')} followed"
        if self.stopped:
            return f"{said}; stopped: {self.stopped}"
        if self.verification is None:
            return f"{said}; not verified"
        where = f" ({self.narrowed})" if self.narrowed else ""
        if self._only_deleted:
            alone = self.verification.counts[Verdict.EXTRA]
            there = counted(self.verification.looked_at - alone, "name")
            return f"{said}; verified: {there} of the legacy path equal, {alone:,} at the new path only since the deletion{where}"
        verified = "verified: " if self.verification.clean and not self.verification.nothing else ""
        return f"{said}; {verified}{self.verification.said}{where}"

    def screen_lines(self) -> list[str]:
        """The lines for the operator before the summary: the first differing names, and what to do."""
        lines: list[str] = []
        if self.verification is not None and not self.verification.clean and not self._only_deleted:
            shown = self.verification.differences[:MAX_NAMES_SHOWN]
            total = sum(self.verification.wrong.values())
            lines += [f"  {difference}" for difference in shown]
            lines += [more_line(len(shown), total)] if total > len(shown) else []
        lines += self._erased()
        if self.exit_code is not ExitCode.DONE:
            lines.append("Nothing is lost: what was copied stays, the source is untouched.")
            lines += self.what_to_do()
            lines += self._beyond_copying()
        return lines

    def _erased(self) -> Iterator[str]:
        """What was not brought back because it was deleted on the side that decides, with the first names."""
        verification = self.verification
        if verification is None or not verification.counts[Verdict.ERASED]:
            return
        many = Verdict.ERASED in verification.wrong
        yield (
            f"{counted(verification.counts[Verdict.ERASED], 'object')} erased since, on the new path after a proven "
            f"comparison: {listed(map(shown, verification.erased), MAX_NAMES_SHOWN)}."
        )
        yield (
            f"{said_of_many_erased(verification.counts[Verdict.ERASED], verification.looked_at)} --include-erased brings them back."
            if many
            else "What was erased is not brought back; --include-erased does."
        )

    def what_to_do(self) -> Iterator[str]:
        """Why objects failed, and the next step that fits."""
        yield from next_step(self.failures, again=self.again_helps, stopped_by=self.stopped_by)

    @property
    def again_helps(self) -> bool:
        """Whether another run can copy or prove something that this one could not."""
        counts = self.balance.by_outcome
        if self.stopped:
            return self.stopped_by is None or self.stopped_by.again
        if self.verification is None or not self.balance.holds:
            return True
        waits = to_mend(self.failures)
        if counts[Account.FAILED] > waits:
            return True
        wrong = Counter(self.verification.wrong)
        differing = wrong[Verdict.MISSING] + wrong[Verdict.CONTENT_DIFFERS] + wrong[Verdict.METADATA_DIFFERS]
        return wrong[Verdict.IN_FLIGHT] > 0 or differing > counts[Account.CONFLICT] + waits

    def _beyond_copying(self) -> Iterator[str]:
        """What to do about what no copy changes, in whichever phase the migration is."""
        if self.compared_nothing:
            yield "Equal is said only of what was compared: check --exclude and the two paths."
        if conflicts := self.balance.by_outcome[Account.CONFLICT]:
            yield (
                f"{counted(conflicts, 'object')} in conflict: the destination's version wins. In phase cut_over, "
                "`cutover` run again copies each later write to the new path; in phase rolled_back, `rollback` copies it back."
            )
        if extra := Counter(self.verification.wrong)[Verdict.EXTRA] if self.verification else 0:
            yield (
                f"{counted(extra, 'object')} only at the destination: this command never removes them. After the cutover they "
                "are new exports; before it, find out who wrote them."
            )

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
            **({"failures": [each.to_json() for each in self.failures]} if self.failures else {}),
            **({"stopped_by": self.stopped_by.name.lower()} if self.stopped_by else {}),
            **({"may_be_empty": True} if self.may_be_empty else {}),
            **({"followed": self.followed} if self.followed else {}),
            **({"after_deletion": True} if self.after_deletion else {}),
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "RunResult":
        """Read what `to_json` gave. Raises one of `OTHER_FORM` for something else."""
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
            tuple(map(Failure.from_json, content.get("failures", ()))),
            Cause[content["stopped_by"].upper()] if "stopped_by" in content else None,
            bool(content.get("may_be_empty")),
            content.get("followed", 0),
            bool(content.get("after_deletion")),
        )

    @staticmethod
    def merged(parts: Sequence["RunResult"]) -> "RunResult":
        """Combine the tasks of one execution, in the order of their numbers."""
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
            merged_failures(each for part in parts for each in part.failures),
            next((part.stopped_by for part in parts if part.stopped_by), None),
            followed=sum(part.followed for part in parts),
            after_deletion=any(part.after_deletion for part in parts),
        )
