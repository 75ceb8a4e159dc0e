"""Where a text names a prefix, and which bucket it states with it.

A prefix is named where its name stands as a whole component of a path. ``QPI_exports_old/`` and ``load_qpi_exports`` are longer
names and ``gs://bucket/archive/QPI_exports/`` is another folder: those are mentions with a reason why they are not the path.
Anything may follow ``QPI_exports`` in the path, or nothing, unless it makes the name longer.

Names also tell which of several buckets a prefix belongs to. ``source_bucket`` belongs to ``source_objects`` and
``destination_bucket`` to ``destination_object``. ``bucket`` and ``bucket_name`` belong to every prefix that has no bucket of its
own side. ``QPI_BUCKET`` belongs to ``QPI_PREFIX``. ``temp_bucket`` may belong to something else: it is given, but not as certain.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from backfill_job.references.findings import Resolution
from backfill_job.references.targets import SEPARATOR, FindingKind, Targets, is_bucket_name
from backfill_job.references.texts import HOLE, UNKNOWN, Text

__all__ = [
    "LAYOUT",
    "Mention",
    "bucket_for",
    "bucket_name",
    "is_bucket_like",
    "may_name_a_folder",
    "mentions",
    "names_a_thing",
    "names_objects",
    "resolve_mention",
]

_Value = TypeVar("_Value")

_SOURCE = frozenset({"source", "src", "from", "input", "in"})
_DESTINATION = frozenset({"destination", "dest", "dst", "to", "target", "output", "out"})
_PLAIN = frozenset(
    {"bucket", "buckets", "name", "names", "or", "gcs", "gs", "google", "cloud", "storage", "id"}
)
_OBJECTS = re.compile(
    r"(blob|dir|file|filename|folder|glob|key|object|path|pattern|ur[il])s?|prefix(es)?",
)
_THINGS = re.compile(
    r"((external_|trigger_)?(dag|task)|group|task_group|job|table|dataset)_id|table|dataset|pool|owner|tags|queue"
    r"|labels?|(dag|task)_display_name"
)
_THINGS_OR_FOLDERS = frozenset({"table", "dataset", "tags", "label", "labels"})


def bucket_for(name: str, named: Mapping[str, _Value]) -> tuple[_Value, bool] | None:
    """Choose the bucket that a prefix belongs to, by the prefix's name and the names of everything beside it.

    Returns:
        The bucket, and whether it certainly belongs to it; None for none, or for several candidates.
    """
    own = _words(name)
    buckets = {other: _words(other) for other in named if other != name and is_bucket_like(other)}
    pool = _same_side(own, buckets)
    certain = [other for other in pool if _is_plain(pool[other], own)]
    if len(certain) > 1:
        most = max(len(pool[other] & own) for other in certain)
        certain = [other for other in certain if len(pool[other] & own) == most]
    if certain:
        return (named[certain[0]], True) if len(certain) == 1 else None
    return (named[next(iter(pool))], False) if len(pool) == 1 else None


def is_bucket_like(name: str) -> bool:
    """Tell whether a name says that it is a bucket's."""
    return "bucket" in name.lower()


def names_a_thing(name: str) -> bool:
    """Tell whether a value with this name names something outside of buckets: a task, a table."""
    return _THINGS.fullmatch(name) is not None


def may_name_a_folder(name: str) -> bool:
    """Tell whether a value with the name of such a thing may be a folder's, where a bucket stands beside it."""
    return name in _THINGS_OR_FOLDERS


def names_objects(name: str) -> bool:
    """Tell whether a name says that it is an object's or a prefix."""
    return any(map(_OBJECTS.fullmatch, _words(name))) and not is_bucket_like(name)


def _same_side(own: frozenset[str], buckets: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    side = next((words for words in (_SOURCE, _DESTINATION) if own & words), frozenset())
    same = {name: words for name, words in buckets.items() if words & side}
    neither = {name: words for name, words in buckets.items() if not words & (_SOURCE | _DESTINATION)}
    return same or neither or buckets


def _is_plain(words: frozenset[str], own: frozenset[str]) -> bool:
    sides = (own & _SOURCE and _SOURCE) or (own & _DESTINATION and _DESTINATION) or frozenset[str]()
    return words <= _PLAIN | own | sides


@lru_cache(maxsize=10_000)
def _words(name: str) -> frozenset[str]:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return frozenset(re.findall(r"[a-z0-9]+", snake.lower()))


REACH = 1_000
"""Characters before a name that are looked at."""

_STATED = tuple(
    re.compile(pattern.replace("/", SEPARATOR).replace("BUCKET", r"(?P<bucket>[^/\\\s\"'`|;,()=]+?)") + r"\Z")
    for pattern in (
        rf"(?:\b(?:gs|gcs|s3|s3a)|{HOLE}):(?:/)(?:/)BUCKET/",
        r"\bstorage\.(?:cloud\.google|googleapis)\.com/(?:download/|upload/)?(?:storage/v1/)?(?:b/)?BUCKET/(?:o/)?",
        r"\bconsole\.cloud\.google\.com/storage/browser/(?:_details/)?BUCKET/",
        r"(?<![\w.-])BUCKET\.storage\.(?:cloud\.google|googleapis)\.com/",
        r"\bbuckets/BUCKET/objects/",
    )
)
_STATED_ABOVE = re.compile(
    rf"(?:\b(?:gs|gcs|s3|s3a)|{HOLE}):(?:\\?/){{2}}(?P<bucket>[^/\\\s\"'`|;,()=]+){SEPARATOR}(?P<folders>[^\s\"'`|;,()=]*){SEPARATOR}\Z"
)
_BELOW = "below another folder"
_TOKEN = re.compile(rf"(?:[^\s\"'`<>|,;()=&:\\\[\]{{}}/%]|{SEPARATOR}|%(?!2[Ff]))*\Z")
_WILDCARD = re.compile(r"\*+|\?|\[[^\]]*\]")
_ESCAPE_BEFORE = re.compile(r"(?:\\[nrtu\"']|\\u[0-9a-fA-F]{4}|%[0-9a-fA-F]{2})\Z")
_LONGER_BEFORE = re.compile(r"[\w.\-]\Z")
_LONGER_BEHIND = re.compile(r"[\w\-]|\.\w")
_VARIABLE = re.compile(r"\$\{?\Z")
_DASH_BEFORE = re.compile(r"(?:\$\{\w+:?-|(?<!\S)-[A-Za-z]?)\Z")
"""A shell's default, and a short option with its value: the name begins behind it."""
_AIRFLOW_VARIABLE = re.compile(r"\bvar\.(?:value|json)\.[\w.]*\Z")


PART = "holes cut the name short, so that it may be another one"
LAYOUT = "a name of a known layout, which does not stand directly below a prefix"
_DIRECTLY = re.compile(rf"(?:{SEPARATOR}|[{HOLE}*])+\Z")


@dataclass(frozen=True, slots=True)
class Mention:
    """One place in a text that names a prefix, without its final slash.

    Attributes:
        other: Why it is not the path; empty when it may be.
        bucket: The bucket that the text states with it; None if it states none.
        folder: What stands between the beginning of the path and the name; empty for nothing.
        bare: Whether it stands alone, without a slash on either side: it may name something else.
        weak: Why it counts only beside a bucket that is read: `PART` or `LAYOUT`; empty for a name in one piece.
    """

    start: int
    end: int
    other: str = ""
    bucket: Text | None = None
    folder: str = ""
    bare: bool = False
    weak: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it is a layout whose path begins with something unknown, so that it may be one of ours."""
        return self.weak == LAYOUT and self.bucket is None and self.folder.startswith(HOLE)


def mentions(text: Text, targets: Targets) -> Iterator[Mention]:
    """Find every mention of a prefix in a text with holes; then those that holes cut short, and known layouts elsewhere."""
    whole = {match.end(): match for match in targets.prefix_pattern.finditer(text.chars)}
    covered = [match.span() for match in whole.values()]
    for match in targets.key_pattern.finditer(text.chars):
        if not any(start <= match.start() and match.end() <= end for start, end in covered):
            yield _lone_key(text, match)
    judged: list[int] = []
    for match in whole.values():
        mention = _mention(text, match.start(), match.end(), targets)
        if not mention.other and (not mention.folder or HOLE in mention.folder):
            judged.append(match.end())
        yield mention
    for match in targets.part_pattern.finditer(text.chars):
        if not targets.key_pattern.search(match.group()):
            mention = _mention(text, match.start(), match.end(), targets)
            if not mention.other:
                yield replace(mention, weak=PART)
    for match in targets.layout_pattern.finditer(text.chars):
        if not any(_DIRECTLY.match(text.chars[end : match.start()]) for end in judged):
            yield replace(_placed(text, *match.span(), targets), other="", weak=LAYOUT)


def resolve_mention(
    text: Text, mention: Mention, bucket: Text | None, targets: Targets, *, certain: bool = True
) -> Resolution:
    """Say what a mention is, with a bucket found for it.

    Args:
        bucket: The bucket found beside the text; one that the text itself states overrides it.
        certain: Whether that bucket certainly belongs to it; otherwise it counts only if it is ours.

    Returns:
        What it is; `FindingKind.UNRESOLVED` when in doubt.
    """
    prefix = text.cut(mention.start, mention.end).through(text.loads)
    if mention.other:
        return Resolution(FindingKind.OTHER, mention.bucket, prefix)
    bucket = mention.bucket or (None if bucket is None else bucket_name(bucket, targets))
    if bucket is None or not is_bucket_name(bucket.chars):
        return Resolution(FindingKind.UNRESOLVED, bucket, prefix)
    ours = targets.may_be_bucket(bucket.chars)
    if mention.weak == PART:
        kind, _ = targets.kinds(bucket.chars, targets.prefixes[0])
        may_be_ours = ours or (kind is FindingKind.UNRESOLVED and (certain or mention.bucket is not None))
        return Resolution(FindingKind.UNRESOLVED if may_be_ours else FindingKind.OTHER, bucket, prefix)
    if mention.weak == LAYOUT:
        certain = certain or mention.bucket is not None
        kind = _of_layout(mention, bucket, targets, certain)
        if kind is FindingKind.UNRESOLVED:  # what decides the folder above it decides it, too
            prefix = prefix.decided_by(name for name, _ in text.settings)
        return Resolution(kind, bucket, prefix, targets.targets)
    kind, concerned = targets.kinds(bucket.chars, re.sub(SEPARATOR, "/", prefix.chars))
    if mention.folder:
        kind = (
            FindingKind.OTHER
            if certain and HOLE not in mention.folder and bucket.known
            else FindingKind.UNRESOLVED
        )
    elif kind in {FindingKind.OTHER, FindingKind.ELSEWHERE} and not certain and mention.bucket is None:
        kind = FindingKind.UNRESOLVED
    return Resolution(kind, bucket, prefix, concerned if kind is not FindingKind.OTHER else ())


def _of_layout(mention: Mention, bucket: Text, targets: Targets, certain: bool) -> FindingKind:
    """What a known layout is that stands in a bucket, and not directly below a prefix."""
    kind, _ = targets.kinds(bucket.chars, targets.prefixes[0])
    below_unknown = HOLE in mention.folder
    if kind is FindingKind.UNRESOLVED:
        return (
            FindingKind.UNRESOLVED if certain and (below_unknown or not mention.folder) else FindingKind.OTHER
        )
    if below_unknown and kind not in {FindingKind.ELSEWHERE, FindingKind.OTHER}:
        return FindingKind.UNRESOLVED
    return FindingKind.ELSEWHERE if certain else FindingKind.OTHER


def bucket_name(text: Text, targets: Targets) -> Text:
    """A bucket's name alone: without ``gs://`` and slashes, with a hole for every placeholder and wildcard."""
    text = targets.read(text)
    start = 5 if text.chars.lower().startswith("gs://") else 0
    end = len(text.chars.rstrip("/"))
    return _without_wildcards(text.cut(start, max(start, end)))


def _lone_key(text: Text, match: re.Match[str]) -> Mention:
    """A part of a longer prefix: another folder's where something else stands before it, otherwise unresolved."""
    other = _boundaries(text.chars, *match.span())
    return Mention(*match.span(), other, folder="" if other else HOLE)


def _mention(text: Text, start: int, end: int, targets: Targets) -> Mention:
    chars = text.chars
    if _AIRFLOW_VARIABLE.search(chars[max(0, start - REACH) : start]):
        return Mention(start, end, folder=HOLE)
    if other := _boundaries(chars, start, end):
        return Mention(start, end, other)
    return _placed(text, start, end, targets)


def _placed(text: Text, start: int, end: int, targets: Targets) -> Mention:
    """A name that is a whole component of a path, with the bucket and the folder that the text states before it."""
    chars = text.chars
    first = max(0, start - REACH)
    before = chars[first:start]
    behind = re.compile(SEPARATOR).match(chars, end) is not None
    for pattern in (*_STATED, _STATED_ABOVE):
        if (match := pattern.search(before)) is not None:
            bucket = text.cut(first + match.start("bucket"), first + match.end("bucket"))
            folder = match["folders"] if pattern is _STATED_ABOVE else ""
            return Mention(start, end, folder and _BELOW, _without_wildcards(bucket), folder)
    token = None if _DASH_BEFORE.search(before) else _TOKEN.search(before)
    lead = "" if token is None else before[token.start() :]
    parts = re.split(SEPARATOR, lead)
    for index, part in enumerate(parts[:-1]):
        if targets.may_be_bucket(part):
            ends = [0, *(match.end() for match in re.finditer(SEPARATOR, lead))]
            position = start - len(lead) + ends[index]
            bucket = text.cut(position, position + len(part))
            folder = "/".join(filter(None, parts[index + 1 : -1]))
            return Mention(start, end, folder and _BELOW, bucket, folder)
    folder = "/".join(part for part in parts if part)
    return Mention(start, end, folder=folder, bare=not lead and not behind)


def _boundaries(chars: str, start: int, end: int) -> str:
    """Why a name is part of another one; empty when it is not."""
    before = chars[max(0, start - REACH) : start]
    if _VARIABLE.search(before):
        return "the name of a variable"
    if _DASH_BEFORE.search(before):
        before = ""
    longer = _LONGER_BEFORE.search(before) and not _ESCAPE_BEFORE.search(before)
    return "part of a longer name" if longer or _LONGER_BEHIND.match(chars, end) else ""


def _without_wildcards(bucket: Text) -> Text:
    return bucket.replaced(_WILDCARD, lambda _: UNKNOWN)
