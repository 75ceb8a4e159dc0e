"""The consent to a deletion: a text typed, then yes or no; or, without a terminal, the text and the exact number."""

from collections.abc import Callable
from dataclasses import dataclass

from backfill_job.run.questions import confirm_by_typing, confirm_by_yes
from backfill_job.run.run import Run
from shared.errors import UsageError
from shared.text import counted, shown

__all__ = ["CONFIRM_TEXT", "Consent", "confirm"]

CONFIRM_TEXT = "DELETE_QPI_EXPORTS"
"""What must be typed."""

NOT_CONFIRMED = "not confirmed; nothing was deleted"


@dataclass(frozen=True, slots=True)
class Consent:
    """What was said on the command line.

    Attributes:
        text: ``--confirm-text``; None where it was not said.
        objects: ``--expect-objects``; None where it was not said.
    """

    text: str | None = None
    objects: int | None = None

    @property
    def said(self) -> bool:
        """Whether anything was."""
        return self.text is not None or self.objects is not None

    def check(self) -> None:
        """Refuse half a consent, or another text, before any work is done.

        Raises:
            UsageError: It is one.
        """
        if self.text is None or self.objects is None:
            raise UsageError(
                f"{NOT_CONFIRMED}: without a terminal both --confirm-text {CONFIRM_TEXT} and --expect-objects N are "
                "wanted; the dry run shows N"
            )
        if self.text != CONFIRM_TEXT:
            raise UsageError(f"{NOT_CONFIRMED}: --confirm-text must be {CONFIRM_TEXT}")


def confirm(
    run: Run,
    consent: Consent,
    *,
    objects: int,
    critical: int,
    settled: Callable[[], int] = lambda: 0,
) -> None:
    """Have the deletion confirmed.

    Args:
        run: Whose terminal.
        consent: What was said on the command line; where anything was, nobody is asked.
        objects: Objects in the manifest.
        critical: How many of them are JSONL data.
        settled: Gives how many of them earlier runs have settled; asked only where somebody is.

    Raises:
        UsageError: It was not.
        Interrupted: Somebody would rather stop.
    """
    if consent.said or not run.io.stdin.isatty():
        consent.check()
        if consent.objects != objects:
            raise UsageError(
                f"{NOT_CONFIRMED}: --expect-objects says {consent.objects:,}, there are {objects:,}; look at the dry run again"
            )
        return
    migration = run.migration
    before = f" ({done:,} of them are settled already)" if (done := settled()) else ""
    question = (
        f"WARNING: this deletes {counted(objects, 'object')}{before}, {critical:,} of them critical JSONL data, "
        f"from {shown(migration.source.uri)}."
    )
    confirm_by_typing(run, CONFIRM_TEXT, question)
    now = f"Environment {migration.label}: delete {counted(objects, 'object')} now?"
    confirm_by_yes(run, now, NOT_CONFIRMED)
