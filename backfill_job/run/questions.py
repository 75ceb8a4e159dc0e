"""Questions to whoever runs a command on a terminal: a text to be typed, or yes and no."""

from backfill_job.run.run import Run
from shared.errors import UsageError

__all__ = ["NOT_CONFIRMED", "confirm_by_typing", "confirm_by_yes"]

NOT_CONFIRMED = "not confirmed; nothing was changed"


def confirm_by_typing(run: Run, text: str, question: str) -> None:
    """Ask for a text to be typed.

    Args:
        run: Whose streams.
        text: What must be typed.
        question: What it means.

    Raises:
        UsageError: Something else was typed, or nothing.
        Interrupted: Somebody would rather stop.
    """
    if _answer(run, f"\n{question}\nType {text} to go on: ").strip() != text:
        raise UsageError(NOT_CONFIRMED)


def confirm_by_yes(run: Run, question: str, refusal: str = NOT_CONFIRMED) -> None:
    """Ask yes or no until the answer is one of them.

    Args:
        run: Whose streams.
        question: What is asked.
        refusal: What is said where the answer is no.

    Raises:
        UsageError: The answer is no, or there is none.
        Interrupted: Somebody would rather stop.
    """
    while True:
        answer = _answer(run, f"{question} [yes/no] ")
        said = answer.strip().lower()
        if said == "yes":
            return
        if said == "no" or not answer:
            raise UsageError(refusal)


def _answer(run: Run, question: str) -> str:
    """The line that is typed; empty where there is none to come."""
    run.console.print(question, end="", markup=False, soft_wrap=True)
    with run.stop.raising():
        return run.io.stdin.readline()
