"""Steps of a deployment: printed as a shell script, or run one by one with the same meaning.

Every step is idempotent. There are three kinds:

- `Run`: a command that describes the wanted result.
- `Ensure`: a command that only creates, and before it a listing that shows whether the thing exists.
- `Ask`: a command whose output later steps use as ``$NAME``.

A listing with a filter answers "Is it there?": it is empty where the thing does not exist. A missing permission, a missing
network or a wrong project is an error of the listing, and cannot be read as "nothing there".
"""

import re
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from shared.errors import MigrationError

__all__ = ["Answer", "Ask", "Ensure", "Failed", "Run", "Step", "Words", "perform", "script", "with_gcloud"]

Words = tuple[str, ...]

_VARIABLE = re.compile(r"\$([A-Z][A-Z_]*)")


class Failed(MigrationError):
    """A command of the deployment failed. Earlier steps stay done; the same command continues from there."""


@dataclass(frozen=True, slots=True)
class Run:
    """A command that may run again."""

    command: Words


@dataclass(frozen=True, slots=True)
class Ensure:
    """Something that must exist.

    Attributes:
        listing: Prints something if it exists, and nothing if it does not.
        create: Creates it.
        update: Updates it if it exists; None where it needs no update.
    """

    listing: Words
    create: Words
    update: Words | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to the project.

    Attributes:
        name: Later steps use the answer by this name.
        command: Prints the answer; an empty answer is an error.
    """

    name: str
    command: Words


Step = Run | Ensure | Ask


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str


def script(steps: Iterable[Step]) -> Iterator[str]:
    """The steps as lines of bash, to read, review and run."""
    yield "set -euo pipefail"
    for step in steps:
        match step:
            case Run(command):
                yield _line(command)
            case Ask(name, command):
                yield f'{name}="$({_line(command)})"\n: "${{{name}:?an empty answer}}"'
            case Ensure(listing, create, None):
                yield f'FOUND="$({_line(listing)})"\n[ -n "$FOUND" ] ||\n  {_line(create)}'
            case Ensure(listing, create, update):
                yield f'FOUND="$({_line(listing)})"\nif [ -n "$FOUND" ]; then'
                yield f"  {_line(update or ())}\nelse\n  {_line(create)}\nfi"


def perform(steps: Iterable[Step], run: Callable[[Words], Answer], say: Callable[[str], None]) -> None:
    """Run the steps in order.

    Args:
        steps: The steps.
        run: Runs a command.
        say: Receives each command that changes something, before it runs.

    Raises:
        Failed: A command failed; no later command ran.
    """
    answers: dict[str, str] = {}
    for step in steps:
        match step:
            case Run(command):
                _change(command, answers, run, say)
            case Ask(name, command):
                answers[name] = _result(command, answers, run)
                if not answers[name]:
                    raise Failed(f"{_line(command)}: an empty answer; without it there is no {name}")
            case Ensure(listing, create, update):
                change = update if _result(listing, answers, run) else create
                if change:
                    _change(change, answers, run, say)


def with_gcloud(words: Words) -> Answer:
    """Run one command as a process."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Failed(f"{words[0]} cannot be run ({error.strerror}); install the Google Cloud CLI") from error
    return Answer(done.returncode, done.stdout, done.stderr)


def _change(
    command: Words, answers: Mapping[str, str], run: Callable[[Words], Answer], say: Callable[[str], None]
) -> None:
    say(shlex.join(_filled(command, answers)))
    _result(command, answers, run)


def _result(command: Words, answers: Mapping[str, str], run: Callable[[Words], Answer]) -> str:
    words = _filled(command, answers)
    answer = run(words)
    if answer.code:
        why = " ".join(answer.err.split()) or "no message"
        raise Failed(f"{shlex.join(words)}: ended with {answer.code}: {why}")
    return answer.out.strip()


def _filled(command: Words, answers: Mapping[str, str]) -> Words:
    return tuple(_VARIABLE.sub(lambda match: answers[match[1]], word) for word in command)


def _line(command: Words) -> str:
    return " ".join(map(_quoted, command))


def _quoted(word: str) -> str:
    if not _VARIABLE.search(word):
        return shlex.quote(word)
    pieces = re.split(f"({_VARIABLE.pattern.replace('(', '(?:')})", word)
    return (
        '"'
        + "".join(
            f"${{{piece[1:]}}}" if number % 2 else re.sub(r'(["\\$`])', r"\\\1", piece)
            for number, piece in enumerate(pieces)
        )
        + '"'
    )
