"""``deploy/{dev,stg,prod}.env``: lines of ``NAME=value``, read strictly; and the names of what the deployment creates.

The deployment and the operator's commands read the same file, and name the same things.

The deployment runs on a Python without packages, so this module imports no library.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from shared.errors import UsageError
from shared.text import shown_value

__all__ = ["DEPLOYED", "MEMBERS", "OPERATOR_FORMS", "deployed_name", "read_env_file"]

_MEMBER = r"(?:(?:group|user|serviceAccount):|principal(?:Set)?://)[^\s,;]+"
MEMBERS = rf"{_MEMBER}(?:,{_MEMBER})*"
"""Accounts as a policy names them, with commas between them; ``principal://…`` is one of a workload identity pool."""

OPERATOR_FORMS = {
    "CONSUMER_FILE": r"[^\s]+",
    "CHECKOUTS": r"[^\s]+( [^\s]+)*",
    "TABLE": r"[A-Za-z0-9.:_-]+",
    "DEAD_LETTERS": r"[^\s]+",
    "SKIP": r"[^\s]+( [^\s]+)*",
    "AUDIT_LOG": r"[a-z0-9][a-z0-9.:-]{0,99}",
    "WRITER": MEMBERS,
    "CONSUMER": MEMBERS,
}
"""What operators repeat in many commands, each with the form of its value; a file may leave them out. Paths are relative to the
checkout of this repository; several values have a space in between."""


_PLAIN, _QUOTED = re.compile(r"[A-Za-z0-9_@%+=:,./*?-]*"), re.compile(r'"([^"$`\\]*)"')
"""Values that bash reads as they are, and in double quotes. Bash reads these files, too: docs/deploy.md and cloudbuild.yaml."""

DEPLOYED = "qpi-exports-"
"""What the names of all deployed things begin with."""


def deployed_name(part: str, env: str) -> str:
    """The name of a part's job, function, schedule, topic, subscription or account, as the deployment creates it."""
    return f"{DEPLOYED}{part}-{env}"


def read_env_file(path: Path, forms: Mapping[str, str], *, others: bool = False) -> dict[str, str]:
    """Read the values of a file, by name.

    Args:
        forms: The names that are wanted, each with its value's form as a regular expression.
        others: Whether other names may be there, too; another reader checks them.

    Raises:
        UsageError: The file cannot be read. A line is not ``NAME=value``, ``# comment`` or empty. A name is unknown or given twice.
            A value has the wrong form, or bash would read another value.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8 ({error.reason} at byte {error.start})") from error
    if "\r" in text:
        raise UsageError(
            f"{path.name} has line ends of Windows, which bash reads as a part of each value; save it with LF"
        )
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        where = f"{path.name}, line {number}"
        if equals and others and name not in forms:
            continue
        if not equals or name not in forms:
            raise UsageError(
                f"{where}: {shown_value(line)} is none of {', '.join(forms)} with '=' and a value"
            )
        if name in found:
            raise UsageError(f"{where}: {name} is given twice")
        found[name] = _value(where, name, value, forms[name])
    return found


def _value(where: str, name: str, text: str, form: str) -> str:
    """What both bash and this reader take for the value."""
    quoted = _QUOTED.fullmatch(text)
    value = quoted[1] if quoted else text
    if not re.fullmatch(form, value):
        raise UsageError(f"{where}: {shown_value(value)} is not a possible value of {name}")
    if not quoted and not _PLAIN.fullmatch(text):
        advice = 'put it into double quotes, without " $ ` and \\'
        raise UsageError(f"{where}: bash would read another value than {shown_value(text)}; {advice}")
    return value
