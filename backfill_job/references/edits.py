"""What would have to be written, and where, so that a finding names the new path.

The smallest edit: of a bucket's name the parts between holes that differ, of a prefix its name. Only what is written down
as itself can be edited: not what an escape, a method or two strings side by side come to.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path

from backfill_job.references.findings import Finding, Resolution
from backfill_job.references.sources import Source
from backfill_job.references.targets import Kind, Target
from backfill_job.references.texts import HOLE, Text, readable

__all__ = ["CannotEdit", "Edit", "apply_edits", "edits_for", "wanted"]


class CannotEdit(Exception):
    """A finding that is left to a person; the text says why."""


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Characters of a file to be replaced.

    Attributes:
        path: The file.
        start: The first character's offset in the decoded file.
        end: The offset behind the last one.
        before: What stands there.
        after: What is to stand there.
        of_bucket: Whether it is a bucket's name and no prefix.
    """

    path: Path
    start: int
    end: int
    before: str
    after: str
    of_bucket: bool


def edits_for(finding: Finding, source: Callable[[Path], Source]) -> tuple[Edit, ...]:
    """Find the edits that would mend a finding.

    Args:
        finding: It blocks.
        source: Reads a file.

    Returns:
        The edits, in order.

    Raises:
        CannotEdit: They cannot be told.
    """
    if finding.kind is Kind.UNRESOLVED or any(one.kind is Kind.UNRESOLVED for one in finding.resolutions):
        raise CannotEdit(finding.note or "one of its values could not be read")
    found: set[Edit] = set()
    for resolution in finding.resolutions:
        if resolution.kind in {Kind.LEGACY, Kind.MIXED}:
            ways = {tuple(_resolution_edits(resolution, target, source)) for target in resolution.targets}
            if len(ways) != 1:
                raise CannotEdit("each environment would need another text here")
            found.update(*ways)
    edits = sorted(found)
    for one, following in pairwise(edits):
        if one.path == following.path and following.start < one.end:
            raise CannotEdit("the same characters would have to become two things")
    return tuple(edits)


def wanted(finding: Finding) -> str:
    """What a person has to write, in words: the new bucket and the new prefix."""
    for resolution in finding.resolutions:
        for target in resolution.targets:
            bucket = None if resolution.bucket is None else _new_bucket(resolution.bucket.chars, target)
            name = readable(bucket) if bucket else target.migration.destination.bucket
            return f"gs://{name}/{target.new}/"
    return ""


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """A file's text after its edits."""
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.after + text[edit.end :]
    return text


def _resolution_edits(
    resolution: Resolution, target: Target, source: Callable[[Path], Source]
) -> Iterator[Edit]:
    if resolution.prefix.chars != target.new:
        yield from _replaced(resolution.prefix, target.new, source, of_bucket=False)
    bucket = resolution.bucket
    if bucket is None or target.captures(bucket.chars, legacy=False) is not None:
        return
    new = _new_bucket(bucket.chars, target)
    if new is None:
        raise CannotEdit("its environment stands where the new bucket's name has none")
    position = 0
    for old_part, new_part in zip(bucket.chars.split(HOLE), new.split(HOLE), strict=True):
        part = bucket.cut(position, position + len(old_part))
        if old_part != new_part:
            yield from _replaced(part, new_part, source, of_bucket=True)
        position += len(old_part) + 1


def _new_bucket(bucket: str, target: Target) -> str | None:
    """The new bucket's name with the legacy one's holes; None where they do not fit."""
    captures = target.captures(bucket, legacy=True)
    if captures is None:
        return target.migration.destination.bucket if HOLE not in bucket else bucket
    rest, made = target.migration.destination.bucket, ""
    for capture in captures:
        if not capture or rest.count(capture) != 1:
            return None
        before, _, rest = rest.partition(capture)
        made += before + HOLE
    return made + rest


def _replaced(text: Text, new: str, source: Callable[[Path], Source], *, of_bucket: bool) -> Iterator[Edit]:
    before, after = _differing(text.chars, new) if of_bucket else (0, 0)
    part = text.cut(before, len(text.chars) - after)
    new = new[before : len(new) - after]
    if not part.chars or sum(span.end - span.start for span in part.spans) != len(part.chars):
        raise CannotEdit("it is put together from parts that are not written as they come out")
    if len(part.spans) > 1 and len(new) != len(part.chars):
        raise CannotEdit("its name is written in several places")
    for span in part.spans:
        old = part.chars[span.start : span.end]
        changed = new[span.start : span.end] if len(part.spans) > 1 else new
        end = span.offset + len(old)
        if source(span.path).text[span.offset : end] != old:
            raise CannotEdit("it is not written as it comes out: something changes its case or its slashes")
        if old != changed:
            yield Edit(span.path, span.offset, end, old, changed, of_bucket)


def _differing(old: str, new: str) -> tuple[int, int]:
    """How many characters both have in common at the beginning and at the end, in whole parts of the name."""
    olds, news = re.findall(r"[^-._]*[-._]?", old), re.findall(r"[^-._]*[-._]?", new)
    start = _common(olds, news)
    end = _common(_words_from_the_end(old[start:]), _words_from_the_end(new[start:]))
    shortest = min(len(old), len(new)) - start
    return start, min(end, shortest)


def _words_from_the_end(text: str) -> list[str]:
    return re.findall(r"[-._]?[^-._]*", text)[-2::-1]


def _common(olds: Sequence[str], news: Sequence[str]) -> int:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(olds, news, strict=False))
    return sum(len(old) for old, _ in same)
