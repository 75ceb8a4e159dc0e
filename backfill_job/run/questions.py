"""Questions to the operator on a terminal: a text to type, or yes and no."""

from backfill_job.run.run import Run
from shared.errors import UsageError
from shared.text import shown_text

__all__ = ["NOT_CONFIRMED", "confirm_by_typing", "confirm_by_yes"]

NOT_CONFIRMED = "not confirmed; nothing was changed"

_NO = frozenset({"n", "no"})


def confirm_by_typing(run: Run, text: str, question: str) -> None:
    """Ask the operator to type a text; after another text, once more. An empty line, or no, ends.

    Raises:
        UsageError: The operator did not type it.
        Interrupted: A signal came instead of an answer.
    """
    said = _answer(run, f"\n{question}\nType {text} to go on: ").strip()
    if said != text and said.lower() not in {"", *_NO}:
        said = _answer(
            run, f"Expected {text}, and read {shown_text(said)}. Type {text}, or no to end: "
        ).strip()
    if said != text:
        raise UsageError(NOT_CONFIRMED)


def confirm_by_yes(run: Run, question: str, *, in_full: bool = False) -> None:
    """Ask yes or no until the answer is one of them, or its first letter.

    Args:
        in_full: Whether a mere y does not count, because what follows deletes.

    Raises:
        UsageError: The answer is no, or the input ended.
        Interrupted: A signal came instead of an answer.
    """
    asked = f"{question} [yes/no] "
    while True:
        answer = _answer(run, asked)
        said = answer.strip().lower()
        if said == "yes" or (said == "y" and not in_full):
            return
        if not answer or said in _NO:
            raise UsageError(NOT_CONFIRMED)
        asked = "Please type yes in full, or no: " if said == "y" else "Please type yes or no: "


def _answer(run: Run, question: str) -> str:
    """The typed line; empty at the end of the input."""
    run.console.say(question, end="")
    answer = ""
    try:
        with run.stop.raising():
            answer = run.io.stdin.readline()
    finally:
        if not answer:  # Ctrl-C or Ctrl-D: what follows gets a line of its own
            run.say("")
    return answer
