r"""The words that the pages use for verdicts, states, levels and phases, and texts from a bucket made printable and unmistakable.

An object's name may be any text, with markup, control characters, characters that turn the reading direction, or invisible
characters. The templates escape the markup. This module writes every invisible character as its escape, in a box of its own:
``user_\u202e7.jsonl``.
"""

import re
from itertools import pairwise

from markupsafe import Markup

from shared.phase import Phase
from shared.verification import DayState, Level, Verdict

__all__ = [
    "LEVEL_WORDS",
    "PHASE_SENTENCES",
    "PHASE_WORDS",
    "STATE_LETTERS",
    "STATE_WORDS",
    "VERDICT_MEANINGS",
    "VERDICT_WORDS",
    "name_markup",
    "visible",
    "visible_name",
]

VERDICT_WORDS = {
    Verdict.EQUAL: "equal",
    Verdict.MISSING: "missing",
    Verdict.CONTENT_DIFFERS: "content differs",
    Verdict.METADATA_DIFFERS: "metadata differs",
    Verdict.EXTRA: "extra",
    Verdict.IN_FLIGHT: "in flight",
    Verdict.EXCLUDED: "excluded",
    Verdict.ERASED: "erased since",
}

VERDICT_MEANINGS = {
    Verdict.EQUAL: "same size, checksums and metadata on both sides",
    Verdict.MISSING: "at the source, not at the destination",
    Verdict.CONTENT_DIFFERS: "another size or checksum, or none to compare",
    Verdict.METADATA_DIFFERS: "same contents, other metadata",
    Verdict.EXTRA: "at the destination only",
    Verdict.IN_FLIGHT: "changed during the verification, not settled",
    Verdict.EXCLUDED: "left out on request, not compared",
    Verdict.ERASED: "deleted at the destination after a proven comparison, and not brought back",
}

STATE_WORDS = {
    DayState.EQUAL: "equal",
    DayState.DIFFERING: "differing",
    DayState.MISSING: "missing",
    DayState.IN_FLIGHT: "in flight",
    DayState.ABSENT: "without objects",
}

STATE_LETTERS = {
    DayState.EQUAL: "",
    DayState.DIFFERING: "D",
    DayState.MISSING: "M",
    DayState.IN_FLIGHT: "F",
    DayState.ABSENT: "",
}
"""So that no state is told by its colour alone."""

LEVEL_WORDS = {Level.CRITICAL: "critical", Level.WARNING: "warning", Level.NOTE: "note"}

PHASE_WORDS = {
    Phase.DUAL_WRITE: "Dual write",
    Phase.CUT_OVER: "Cut over",
    Phase.ROLLED_BACK: "Rolled back",
    Phase.DELETING: "Deleting",
    Phase.DELETED: "Deleted",
}

PHASE_SENTENCES = {
    Phase.DUAL_WRITE: "The legacy path has the last word; every new object is mirrored to the new path.",
    Phase.CUT_OVER: "The new path has the last word; what is new there is brought back to the legacy path.",
    Phase.ROLLED_BACK: "The legacy path has the last word again; new objects are mirrored to the new path.",
    Phase.DELETING: "The legacy path is being deleted, exactly the verified versions of its objects.",
    Phase.DELETED: "The legacy path is deleted.",
}


_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Unicode calls them letters, marks and symbols, so Python calls them printable; but they are drawn as nothing."""

_ISOLATED = Markup("<bdi>{}</bdi>")
_BOX = Markup('<span class="escape">{}</span>')
_SLASH = Markup("/<wbr>")

_ESCAPE = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[ntr\\])")


def visible(text: str) -> str:
    """Escape invisible characters, as Python escapes them. For sentences: the backslash stays."""
    return text if text.isascii() and text.isprintable() else "".join(map(_character, text))


def visible_name(name: str) -> str:
    r"""Escape invisible characters, so that no two names look the same.

    As `visible`; also the backslash as ``\\``, and spaces at either end and next to another as ``\x20``.
    """
    spaces = {at for at in (0, len(name) - 1) if name[at : at + 1] == " "}
    spaces |= {at for one in enumerate(pairwise(name)) if one[1] == (" ", " ") for at in (one[0], one[0] + 1)}
    return "".join(
        "\\x20" if at in spaces else "\\\\" if character == "\\" else _character(character)
        for at, character in enumerate(name)
    )


def name_markup(name: str) -> Markup:
    """A name as markup: isolated from the text around it, and each escape in a box of its own."""
    shown, parts, end = visible_name(name), [], 0
    for found in _ESCAPE.finditer(shown):
        parts += [_breakable(shown[end : found.start()]), _BOX.format(found[0])]
        end = found.end()
    return _ISOLATED.format(Markup().join([*parts, _breakable(shown[end:])]))


def _breakable(text: str) -> Markup:
    """A text that may continue in the next line after a slash."""
    return _SLASH.join(text.split("/"))


def _character(character: str) -> str:
    if character.isprintable() and not _INVISIBLE.match(character):
        return character
    return character.encode("unicode_escape").decode()
