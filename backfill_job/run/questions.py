"""Questions to the operator on a terminal: a text to type, or yes and no."""

from backfill_job.run.run import Run
from shared.errors import UsageError

__all__ = ["NOT_CONFIRMED", "confirm_by_typing", "confirm_by_yes"]

NOT_CONFIRMED = "not confirmed; nothing was changed"


def confirm_by_typing(run: Run, text: str, question: str) -> None:
    """Ask the operator to type a text.

    Raises:
        UsageError: The operator typed something else, or nothing.
        Interrupted: A signal came instead of an answer.
    """
    if _answer(run, f"\n{question}\nType {text} to go on: ").strip() != text:
        raise UsageError(NOT_CONFIRMED)


def confirm_by_yes(run: Run, question: str, refusal: str = NOT_CONFIRMED) -> None:
    """Ask yes or no until the answer is one of them.

    Raises:
        UsageError: The answer is no, or the input ended; its message is `refusal`.
        Interrupted: A signal came instead of an answer.
    """
    while True:
        answer = _answer(run, f"{question} [yes/no] ")
        said = answer.strip().lower()
        if said == "yes":
            return
        if said == "no" or not answer:
            raise UsageError(refusal)


def _answer(run: Run, question: str) -> str:
    """The typed line; empty at the end of the input."""
    run.console.print(question, end="", markup=False, soft_wrap=True)
    with run.stop.raising():
        return run.io.stdin.readline()
