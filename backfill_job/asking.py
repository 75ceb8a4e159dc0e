"""Questions to whoever runs a command on a terminal: a text to be typed, or yes and no."""

from backfill_job.session import Session
from shared.errors import UsageError

__all__ = ["NOT_CONFIRMED", "confirm_by_typing", "confirm_by_yes"]

NOT_CONFIRMED = "not confirmed; nothing was changed"


def confirm_by_typing(session: Session, text: str, question: str) -> None:
    """Ask for a text to be typed.

    Args:
        session: Whose streams.
        text: What must be typed.
        question: What it means.

    Raises:
        UsageError: Something else was typed, or nothing.
        Interrupted: Somebody would rather stop.
    """
    if _answer(session, f"\n{question}\nType {text} to go on: ").strip() != text:
        raise UsageError(NOT_CONFIRMED)


def confirm_by_yes(session: Session, question: str, refusal: str = NOT_CONFIRMED) -> None:
    """Ask yes or no until the answer is one of them.

    Args:
        session: Whose streams.
        question: What is asked.
        refusal: What is said where the answer is no.

    Raises:
        UsageError: The answer is no, or there is none.
        Interrupted: Somebody would rather stop.
    """
    while True:
        answer = _answer(session, f"{question} [yes/no] ")
        said = answer.strip().lower()
        if said == "yes":
            return
        if said == "no" or not answer:
            raise UsageError(refusal)


def _answer(session: Session, question: str) -> str:
    """The line that is typed; empty where there is none to come."""
    session.console.print(question, end="", markup=False, soft_wrap=True)
    with session.job.stop.raising():
        return session.surroundings.stdin.readline()
