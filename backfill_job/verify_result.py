"""What a verification came to: of one process, or of all tasks of an execution put together."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any

from backfill_job.contents.result import ContentsCheck
from backfill_job.tallies import Tallies
from backfill_job.verification import Verification
from shared.operations import Operations

__all__ = ["VerifyResult"]


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What was compared.

    Attributes:
        verification: The verdicts.
        tallies: Both sides of every day.
        contents: What reading the objects showed; None where they were not read.
        operations: What was asked of Cloud Storage, as it is billed.
    """

    verification: Verification
    tallies: Tallies
    contents: ContentsCheck | None
    operations: Operations

    @property
    def summary(self) -> str:
        """The verdicts in one sentence."""
        names = sum(self.verification.counts.values())
        separator = ":" if self.verification.clean else ";"
        return f"{names:,} names compared{separator} {self.verification.said}"

    def to_json(self) -> dict[str, Any]:
        """Everything, to be merged with others'."""
        return {
            "verification": self.verification.to_json(),
            "tallies": self.tallies.to_json(),
            "contents": None if self.contents is None else self.contents.to_json(),
            "operations": asdict(self.operations),
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "VerifyResult":
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: It is something else.
        """
        contents = content["contents"]
        return VerifyResult(
            Verification.from_json(content["verification"]),
            Tallies.from_json(content["tallies"]),
            None if contents is None else ContentsCheck.from_json(contents),
            Operations(**content["operations"]),
        )

    @staticmethod
    def merged(parts: Sequence["VerifyResult"]) -> "VerifyResult":
        """The tasks of one execution put together."""
        contents = [part.contents for part in parts if part.contents is not None]
        return VerifyResult(
            Verification.merged(part.verification for part in parts),
            Tallies.merged([part.tallies for part in parts]),
            reduce(operator.add, contents) if contents else None,
            sum((part.operations for part in parts), Operations()),
        )
