"""Steps of a deployment: printed as a shell script, or run one by one with the same meaning.

Every step is idempotent. There are three kinds:

- `RunCommand`: a command that describes the wanted result.
- `Ensure`: a command that only creates, and before it a listing that shows whether the thing exists.
- `Ask`: a command whose output later steps use as ``$NAME``.

A new account or role is not known everywhere at once: for some minutes a binding that names it is refused. Such a refusal is
retried for `PATIENCE` seconds. If it stays, the other steps go on, and the end of the run names the refused binding. A service that
was enabled moments ago refuses every command, and Eventarc its first trigger. That is retried for as long, and then ends the run.

A listing with a filter answers "Is it there?": it is empty where the thing does not exist. A missing permission, a missing
network or a wrong project is an error of the listing, and cannot be read as "nothing there".
"""

import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from shared.errors import MigrationError
from shared.text import counted

__all__ = [
    "Ask",
    "CommandEnd",
    "Ensure",
    "Failed",
    "RunCommand",
    "Runs",
    "Step",
    "Words",
    "perform",
    "script",
    "with_gcloud",
]

Words = tuple[str, ...]

PATIENCE, PAUSE = 180, 15
"""Seconds for which all refused bindings of a run are retried together, and between two attempts."""

NO_ANSWER = 124
"""The exit code of a command that was ended, as of ``timeout``."""

READS, READING_SECONDS = frozenset({"list", "describe", "get-iam-policy"}), 120.0
"""The commands that read, and how long one may take: it may hang, and the others of a check would wait for it."""

_BINDING = "add-iam-policy-binding"

_NOT_KNOWN_YET = re.compile("does not exist|unknown service account", re.IGNORECASE)
"""A refusal of a binding whose account or role was made seconds ago: 400 or 404 by service (public reports)."""

_NOT_READY_YET = ("SERVICE_DISABLED", "has not been used in project", "using the Eventarc Service Agent")
"""What a refusal says of a service that was enabled, or of an agent that got its role, moments ago (public reports)."""

_VARIABLE = re.compile(r"\$([A-Z][A-Z_]*)")


class Failed(MigrationError):
    """A command of the deployment failed. Earlier steps stay done; the same command continues from there."""


@dataclass(frozen=True, slots=True)
class RunCommand:
    """A command that may run again."""

    command: Words


@dataclass(frozen=True, slots=True)
class Ensure:
    """Something that must exist.

    Attributes:
        listing: Prints something if it exists, and nothing if it does not.
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
        missing: What an empty answer means.
    """

    name: str
    command: Words
    missing: str = "an empty answer"


Step = RunCommand | Ensure | Ask


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended."""

    code: int
    out: str
    err: str


Runs = Callable[[Words], CommandEnd]
Says = Callable[[str], None]
Pauses = Callable[[float], None]
"""What runs a command, takes a line for a person, and waits some seconds."""


def script(steps: Iterable[Step]) -> Iterator[str]:
    """The steps as lines of bash, to read, review and run."""
    yield "set -euo pipefail"
    found = [*steps]
    yield _PATIENT
    binds = any(isinstance(step, RunCommand) and _BINDING in step.command for step in found)
    if binds:
        yield _BIND
    for step in found:
        match step:
            case RunCommand(command):
                yield f"{'bind ' if _BINDING in command else ''}{_line(command)}"
            case Ask(name, command, missing):
                yield f'{name}="$({_line(command)})"\n: "${{{name}:?{missing}}}"'
            case Ensure(listing, create, None):
                yield f'FOUND="$({_line(listing)})"\n[ -n "$FOUND" ] ||\n  {_line(create)}'
            case Ensure(listing, create, update):
                yield f'FOUND="$({_line(listing)})"\nif [ -n "$FOUND" ]; then'
                yield f"  {_line(update or ())}\nelse\n  {_line(create)}\nfi"
    if binds:
        yield 'if [ "$REFUSED" -gt 0 ]; then\n  echo "$REFUSED bindings were refused: run it again" >&2\n  exit 1\nfi'


_PATIENT = f"""# What a new service, or a new agent of Google's, refuses is tried again, for {PATIENCE // 60} minutes.
gcloud() {{
  local why status tries={PATIENCE // PAUSE}
  while true; do
    status=0
    {{ why="$(command gcloud "$@" 2>&1 1>&3)"; }} 3>&1 || status=$?
    if [ -n "$why" ]; then printf '%s\\n' "$why" >&2; fi
    if [ "$status" -eq 0 ] || [ "$tries" -le 0 ]; then return "$status"; fi
    case "$why" in
      {"|".join(f'*"{words}"*' for words in _NOT_READY_YET)}) ;;
      *) return "$status" ;;
    esac
    tries=$((tries - 1))
    sleep {PAUSE}
  done
}}"""
"""The bash of `_patient`."""

_BIND = f"""TRIES={PATIENCE // PAUSE} REFUSED=0
# A new account or role is not known everywhere at once: a binding that names it is tried again, for {PATIENCE // 60} minutes in all.
bind() {{
  local why
  until why="$("$@" 2>&1 >/dev/null)"; do
    printf '%s\\n' "$why" >&2
    case "${{why,,}}" in
      *"does not exist"*|*"unknown service account"*) ;;
      *) return 1 ;;
    esac
    if [ "$TRIES" -le 0 ]; then
      REFUSED=$((REFUSED + 1))
      return 0
    fi
    TRIES=$((TRIES - 1))
    sleep {PAUSE}
  done
}}"""
"""The bash of `_Binder`."""


def perform(steps: Iterable[Step], run: Runs, say: Says, pause: Pauses = time.sleep) -> None:
    """Run the steps in order.

    Args:
        say: Receives each command that changes something, before it runs; and each refusal that is retried or left for later.
        pause: Waits some seconds before a retry.

    Raises:
        Failed: A command failed, and no later command ran; or all commands ran and some bindings stayed refused.
    """
    answers: dict[str, str] = {}
    run = _patient(run, say, pause)
    binder = _Binder(run, say, pause)
    for step in steps:
        match step:
            case RunCommand(command) if _BINDING in command:
                binder.bind(_filled(command, answers))
            case RunCommand(command):
                _change(command, answers, run, say)
            case Ask(name, command, missing):
                answers[name] = _result(command, answers, run)
                if not answers[name]:
                    raise Failed(f"{_line(command)}: {missing}; without it there is no {name}")
            case Ensure(listing, create, update):
                change = update if _result(listing, answers, run) else create
                if change:
                    _change(change, answers, run, say)
    if binder.refused:
        raise Failed(
            f"all other steps are done; still refused after {PATIENCE // 60} minutes: {'; '.join(binder.refused)}; run it again"
        )


def _patient(run: Runs, say: Says, pause: Pauses) -> Runs:
    """Runs a command, and repeats it while a service or an agent is not ready yet."""

    def patiently(words: Words) -> CommandEnd:
        for _ in range(PATIENCE // PAUSE):
            answer = run(words)
            if not answer.code or not any(said in answer.err for said in _NOT_READY_YET):
                return answer
            say(f"  refused, because a service is not ready yet; again in {PAUSE} s")
            pause(PAUSE)
        return run(words)

    return patiently


class _Binder:
    """Makes bindings, and retries those that name what is not known everywhere yet."""

    def __init__(self, run: Runs, say: Says, pause: Pauses) -> None:
        self._run, self._say, self._pause = run, say, pause
        self._left = PATIENCE // PAUSE
        self.refused: list[str] = []

    def bind(self, words: Words) -> None:
        """Make one binding.

        Raises:
            Failed: It was refused for another reason.
        """
        self._say(shlex.join(words))
        while (answer := self._run(words)).code:
            if not _NOT_KNOWN_YET.search(answer.err):
                raise _failure(words, answer)
            if not self._left:
                why = "the account or the role is not known yet; the other steps go on"
                self._say(f"  refused, because {why}")
                self.refused.append(shlex.join(words))
                return
            self._left -= 1
            self._say(f"  refused, because the account or the role is not known yet; again in {PAUSE} s")
            self._pause(PAUSE)


def with_gcloud(words: Words, limit: float = READING_SECONDS) -> CommandEnd:
    """Run one command as a process. gcloud enables no service that the command happens to need.

    Args:
        limit: Seconds after which a command that reads is ended, and has failed. Other commands take as long as they take.
    """
    environ = {**os.environ, "CLOUDSDK_CORE_SHOULD_PROMPT_TO_ENABLE_API": "false"}
    timeout = None if READS.isdisjoint(words) else limit
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environ, timeout=timeout
        )
    except OSError as error:
        raise Failed(f"{words[0]} cannot be run ({error.strerror}); install the Google Cloud CLI") from error
    except subprocess.TimeoutExpired:
        return CommandEnd(NO_ANSWER, "", f"no answer within {counted(limit, 'second')}")
    return CommandEnd(
        done.returncode, *(text.decode(errors="replace") for text in (done.stdout, done.stderr))
    )


def _change(command: Words, answers: Mapping[str, str], run: Runs, say: Says) -> None:
    say(shlex.join(_filled(command, answers)))
    _result(command, answers, run)


def _result(command: Words, answers: Mapping[str, str], run: Runs) -> str:
    words = _filled(command, answers)
    answer = run(words)
    if answer.code:
        raise _failure(words, answer)
    return answer.out.strip()


def _failure(words: Words, answer: CommandEnd) -> Failed:
    why = " ".join(answer.err.split()) or "no message"
    return Failed(f"{shlex.join(words)}: ended with {answer.code}: {why}")


def _filled(command: Words, answers: Mapping[str, str]) -> Words:
    return tuple(_VARIABLE.sub(lambda match: answers[match[1]], word) for word in command)


def _line(command: Words) -> str:
    return " ".join(map(_quoted, command))


def _quoted(word: str) -> str:
    if not _VARIABLE.search(word):
        return shlex.quote(word)
    pieces = re.split(f"({_VARIABLE.pattern.replace('(', '(?:')})", word)
    quoted = (
        f"${{{piece[1:]}}}" if number % 2 else re.sub(r'(["\\$`])', r"\\\1", piece)
        for number, piece in enumerate(pieces)
    )
    return f'"{"".join(quoted)}"'
