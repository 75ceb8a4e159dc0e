"""The same edits as a unified diff that ``git apply`` takes; nothing is changed.

Paths in it start at the checkout's top, found by its ``.git``; without one, at the current directory.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from shared.errors import UsageError

__all__ = ["checkout_of", "unified_diff"]

_PLAIN = re.compile(rb"[\x20!#-\[\]-~]")
"""What git writes as itself: printable ASCII but for the double quote and the backslash."""


def unified_diff(contents: Mapping[Path, tuple[bytes, bytes]], top: Path) -> bytes:
    """Write files' changes as a diff.

    Args:
        contents: Each file's bytes before and after.
        top: What the paths are relative to.

    Returns:
        The diff.
    """
    return b"".join(
        line for path, (before, after) in contents.items() for line in _file(path, before, after, top)
    )


def checkout_of(paths: Mapping[Path, object], here: Path) -> Path:
    """The checkout that files belong to.

    Args:
        paths: The files.
        here: The current directory, for files of no checkout.

    Raises:
        UsageError: They belong to several, or lie outside of the current directory.
    """
    tops = {_top(path.absolute(), here.absolute()) for path in paths}
    if len(tops) > 1:
        names = ", ".join(sorted(map(str, tops)))
        raise UsageError(
            f"one patch is for one checkout, and these are several: {names}; scan them one by one"
        )
    return tops.pop() if tops else here.absolute()


def _top(path: Path, here: Path) -> Path:
    for folder in path.parents:
        if (folder / ".git").exists():
            return folder
    if not path.is_relative_to(here):
        raise UsageError(
            f"{path} is in no checkout and not below {here}: a patch could not name it; change directory"
        )
    return here


def _file(path: Path, before: bytes, after: bytes, top: Path) -> Iterator[bytes]:
    name = path.absolute().relative_to(top).as_posix()
    lines = difflib.diff_bytes(
        difflib.unified_diff,
        _lines(before),
        _lines(after),
        _quoted(f"a/{name}"),
        _quoted(f"b/{name}"),
        lineterm=b"\n",
    )
    for index, line in enumerate(lines):
        if index < 2:  # noqa: PLR2004 -- the two lines that name the file: no time stamps, which difflib would leave a space for
            yield line.rstrip(b"\n") + (
                b"\t\n" if b" " in line[4:] and not line[4:].startswith(b'"') else b"\n"
            )
        elif line.endswith(b"\n"):
            yield line
        else:
            yield line + b"\n\\ No newline at end of file\n"


def _lines(data: bytes) -> list[bytes]:
    """Lines as git counts them: only a line feed ends one."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _quoted(name: str) -> bytes:
    """A path as git writes it in a diff: in quotes, and in octal, where it has other than printable ASCII."""
    data = name.encode("utf-8", "surrogateescape")
    plain = [_PLAIN.fullmatch(bytes([byte])) is not None for byte in data]
    if all(plain):
        return data
    escaped = (
        bytes([byte]) if is_plain else b"\\%03o" % byte for byte, is_plain in zip(data, plain, strict=True)
    )
    return b'"' + b"".join(escaped) + b'"'
