"""What operators repeat in many commands: taken from ``deploy/ENV.env`` where ``--env ENV`` is given and the argument is not.

An argument on the command line always wins. Without the file, as in the job's image, nothing is filled in.
"""

import argparse
from pathlib import Path
from typing import Any

from shared.env_file import OPERATOR_FORMS, read_env_file
from shared.errors import UsageError

__all__ = ["fill_in", "in_force"]

ROOT = Path(__file__).parent.parent.parent


def fill_in(arguments: argparse.Namespace, root: Path = ROOT) -> None:
    """Fill the arguments that a command has and an operator left out.

    Raises:
        UsageError: The file cannot be read, or one of these values has the wrong form.
    """
    given = vars(arguments)
    file = root / "deploy" / f"{given.get('env')}.env"
    wanted = {
        name: argument for name, argument in _ARGUMENTS.items() if argument in given and not given[argument]
    }
    if given.get("env") is None or not wanted or not file.is_file():
        return
    values = read_env_file(file, OPERATOR_FORMS, others=True)
    if given.get("no_mirror"):
        wanted.pop("DEAD_LETTERS", None)
        wanted.pop("WRITER", None)  # it is paused
    if given.get("database") is not None:
        wanted.pop("TABLE", None)
    for name, argument in wanted.items():
        if name in values:
            setattr(arguments, argument, _read(name, values[name], root))


def in_force(env: str | None, root: Path = ROOT) -> str:
    """What an operator reads of these values: which are in force, or why none is; empty without ``--env``."""
    if env is None:
        return ""
    name = f"deploy/{env}.env"
    if not (root / name).is_file():
        return f"settings: there is no {name} here; the commands need their options"
    try:
        values = read_env_file(root / name, OPERATOR_FORMS, others=True)
    except UsageError as error:
        return f"settings: {error}; every command of {env} stops until that is right"
    left_out = ", ".join(each for each in OPERATOR_FORMS if each not in values)
    said = "; ".join(f"{each}={value}" for each, value in values.items()) or "none"
    return f"settings in force, of {name}: {said}" + (f"; not set: {left_out}" if left_out else "")


def _read(name: str, value: str, root: Path) -> Any:
    match name:
        case "CHECKOUTS":
            return [root / each for each in value.split(" ")]
        case "SKIP":
            return value.split(" ")
        case "TABLE" | "AUDIT_LOG":
            return value
        case "WRITER" | "CONSUMER":
            return value.split(",")
        case _:
            return root / value


_ARGUMENTS = {
    "CONSUMER_FILE": "consumer",
    "CHECKOUTS": "repo",
    "TABLE": "table",
    "DEAD_LETTERS": "dead_letters",
    "SKIP": "skip",
    "AUDIT_LOG": "audit_log",
    "WRITER": "writer",
    "CONSUMER": "reader",
}
