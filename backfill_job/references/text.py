"""Every other file: each place that holds the name of a prefix is judged by what is written around it.

Also for the parts of a Python file that are no expressions, and for Python that cannot be parsed.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from backfill_job.references.findings import Finding, Place, Resolution
from backfill_job.references.languages import Language, Layout, language_of, layout
from backfill_job.references.mentions import Mention, mentions, resolve
from backfill_job.references.neighbours import Beside, Neighbours
from backfill_job.references.pairing import names_a_thing
from backfill_job.references.sources import Source
from backfill_job.references.targets import Kind, Targets
from backfill_job.references.texts import Text

__all__ = ["finding_at", "reviewed", "scan_text"]

LONGEST = 200
"""Characters of a line that are shown."""

_REVIEWED = re.compile(r"references:[ \t]*reviewed\b[ \t:,-]*(?P<why>[^\r\n]*)", re.IGNORECASE)
_SETTING = re.compile(r"(?:\$\{?)(?P<name>\w*)\Z")
_TERRAFORM_LABEL = re.compile(
    r"[ \t]*(?:resource|data|module|variable|output|provider|backend|moved|locals)\b"
)


def scan_text(source: Source, targets: Targets, note: str = "") -> Iterator[Finding]:
    """Judge every name of a prefix in a file.

    Args:
        source: The file.
        targets: What is looked for.
        note: What is to be said of every finding.

    Yields:
        A finding for every place, whatever it is.
    """
    language = language_of(source.path, source.text)
    shape = layout(language, source.text)
    beside = Neighbours(source, language, targets.carries)
    for number in _lines(source, targets):
        text = beside.line(number)
        for mention in mentions(text, targets):
            offset = _offset(text, mention)
            if offset is not None:
                found = _Judge(source, targets, language, shape, beside).judge(text, mention, offset)
                yield replace(
                    found, note=f"{note}; {found.note}" if note and found.note else note or found.note
                )


def finding_at(source: Source, offset: int, resolution: Resolution, place: Place, note: str) -> Finding:
    """A finding that shows the whole line."""
    number = source.line_of(offset)
    written = source.line(number).strip()
    if len(written) > LONGEST:
        column = source.column_of(offset)
        written = (
            "…" + source.line(number)[max(0, column - LONGEST // 2) : column + LONGEST // 2].strip() + "…"
        )
    return Finding(
        source.path,
        offset,
        number,
        source.column_of(offset),
        written,
        resolution.kind,
        place,
        (resolution,),
        note,
    )


def reviewed(finding: Finding, line: Callable[[int], str]) -> Finding:
    """Take a person's word: ``references: reviewed REASON`` in the line or in the one before it.

    Only what could not be resolved can be answered for; what is legacy or mixed stays what it is.
    """
    if finding.kind is not Kind.UNRESOLVED or finding.place is not Place.CODE:
        return finding
    for number in (finding.line, finding.line - 1):
        match = _REVIEWED.search(line(number))
        if match is not None and (why := match.group("why").rstrip("*/->#} ").strip()):
            return replace(finding, reviewed=why)
    return finding


class _Judge:
    """Judges the mentions of one file."""

    def __init__(
        self, source: Source, targets: Targets, language: Language, shape: Layout, beside: Neighbours
    ) -> None:
        self._source = source
        self._targets = targets
        self._language = language
        self._shape = shape
        self._beside = beside

    def judge(self, text: Text, mention: Mention, offset: int) -> Finding:
        place = Place.DOCUMENTATION if self._language.documentation else self._shape.place(offset)
        beside = None if mention.bucket is not None or mention.other else self._beside.bucket(offset)
        resolution, note = self._resolution(text, mention, offset, beside)
        found = finding_at(self._source, offset, resolution, place, note)
        line = self._source.starts[found.line - 1]
        if beside is None:
            return replace(found, together=line)
        return replace(found, shares_bucket=not beside.alone, together=beside.start)

    def _resolution(
        self, text: Text, mention: Mention, offset: int, beside: Beside | None
    ) -> tuple[Resolution, str]:
        prefix = text.cut(mention.start, mention.end)
        if mention.other:
            if self._is_setting(offset):
                return Resolution(Kind.UNRESOLVED, None, prefix), "the setting's value is not in this file"
            return resolve(text, mention, None, self._targets), mention.other
        if mention.bucket is not None:
            found = resolve(text, mention, None, self._targets)
        elif mention.bare and self._is_a_name(prefix, offset):
            return Resolution(Kind.OTHER, None, prefix), "a name, not a path"
        else:
            name = None if beside is None else beside.bucket
            found = resolve(text, mention, name, self._targets, certain=beside is None or beside.certain)
        return found, _note(found)

    def _is_setting(self, offset: int) -> bool:
        before = self._source.text[max(0, offset - 100) : offset]
        match = _SETTING.search(before)
        behind = re.compile(r"\w*").match(self._source.text, offset)
        if match is None or behind is None:
            return False
        return not self._beside.is_assigned(match.group("name") + behind.group())

    def _is_a_name(self, prefix: Text, offset: int) -> bool:
        if self._language.sql and not self._shape.is_quoted(offset):
            return True
        line = self._source.line(self._source.line_of(offset))
        if _TERRAFORM_LABEL.match(line) and self._language.slash:
            return True
        if names_a_thing(self._beside.own_name(offset)):
            return True
        behind = self._source.text[offset + len(prefix.chars) : offset + len(prefix.chars) + 8]
        is_key = re.match(r"\\?[\"']?[ \t]*(?::(?!//)|=(?![=>]))", behind) is not None
        return is_key and prefix.chars not in {target.old for target in self._targets.targets}


def _note(resolution: Resolution) -> str:
    if resolution.kind is Kind.UNRESOLVED:
        return (
            "the bucket could not be read" if resolution.bucket is not None else "no bucket was found for it"
        )
    return "another bucket" if resolution.kind is Kind.OTHER else ""


def _lines(source: Source, targets: Targets) -> list[int]:
    found = {source.line_of(match.start()) for match in targets.key_pattern.finditer(source.text)}
    return sorted(found)


def _offset(text: Text, mention: Mention) -> int | None:
    """Where a mention is written; None for one that is only partly there."""
    if mention.part:
        return None
    spans = text.cut(mention.start, mention.end).spans
    return spans[0].offset if spans else None
