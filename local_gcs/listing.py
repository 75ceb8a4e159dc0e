"""Listings: one page at a time. A page costs the same however large the bucket is.

With a delimiter, the listing searches for the first name after a common prefix; it does not walk through the names below.
A page token names the last entry of its page. So it survives any insert and delete: the next page starts after that name.

Apart from `objects_api`, its only importer, because it is pure and has tests of its own against a reference.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Protocol

from local_gcs.buckets import Bucket
from local_gcs.errors import invalid
from local_gcs.objects import ObjectVersion, successor

__all__ = ["ListQuery", "Page", "list_live", "list_soft_deleted", "list_versions"]

LARGEST_PAGE = 1000
WILD = re.compile(r"[*?\[{]")
"""The first of these characters ends the literal beginning of a glob."""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The parameters of a listing (Cloud Storage reference, "Objects: list").

    Attributes:
        delimiter: Names with it after the prefix are folded into common prefixes; empty for none.
        start_offset: The first name that may be listed.
        end_offset: The first name that may not be listed; None for no end.
        max_results: Most entries on a page, items and prefixes together.
        include_trailing_delimiter: A name that is a common prefix is listed as an item, too.
        contexts: A filter of items by object contexts; empty for none. Common prefixes are exempt from it.
    """

    prefix: str = ""
    delimiter: str = ""
    start_offset: str = ""
    end_offset: str | None = None
    max_results: int = LARGEST_PAGE
    page_token: str = ""
    include_trailing_delimiter: bool = False
    match_glob: str = ""
    contexts: str = ""


@dataclass(slots=True)
class Page:
    """One page: items and common prefixes, in order. The token of the next page is empty on the last."""

    versions: list[ObjectVersion] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next_token: str = ""

    def __len__(self) -> int:
        return len(self.versions) + len(self.prefixes)


class _Names(Protocol):
    def __call__(self, low: str, high: str | None, *, inclusive: bool) -> Iterator[str]: ...


Versions = Callable[[str], Sequence[ObjectVersion]]
"""Gives the versions of a name, in order."""
Entry = tuple[tuple[str, str], Sequence[ObjectVersion], str]
"""The position of an entry in the form of a page token, its versions, and the common prefix if it is one."""


@dataclass(frozen=True, slots=True)
class _Window:
    """The range of names that is left; versions of the first name up to `seen` are on earlier pages."""

    low: str
    high: str | None
    inclusive: bool
    seen: int = 0

    @property
    def empty(self) -> bool:
        return self.high is not None and self.low >= self.high

    def names(self, source: _Names) -> Iterator[str]:
        """The names of a source in this range."""
        return iter(()) if self.empty else source(self.low, self.high, inclusive=self.inclusive)


def list_live(bucket: Bucket, query: ListQuery) -> Page:
    """A page of live objects. Refuses with 400 for an unusable page token or pattern."""
    live = bucket.live
    if query.delimiter or query.match_glob or query.contexts:
        return _walk(query, bucket.live_names, lambda name: (live[name],), one_each=True)
    size = min(query.max_results, LARGEST_PAGE)
    names = list(islice(_window(query).names(bucket.live_names), size + 1))
    page = Page([live[name] for name in names[:size]])
    if len(names) > size:
        page.next_token = _token("n", names[size - 1])
    return page


def list_versions(bucket: Bucket, query: ListQuery) -> Page:
    """A page of live and noncurrent versions, those of a name by generation number. Refuses as `list_live`."""

    def versions(name: str) -> list[ObjectVersion]:
        live = bucket.live.get(name)
        return _by_generation([*bucket.noncurrent.of(name), *([live] if live else [])])

    return _walk(query, bucket.all_names, versions)


def list_soft_deleted(bucket: Bucket, query: ListQuery, now: str) -> Page:
    """A page of the versions that can still be restored. Refuses as `list_live`."""

    def versions(name: str) -> list[ObjectVersion]:
        return _by_generation([v for v in bucket.soft_deleted.of(name) if (v.hard_delete_time or "") > now])

    return _walk(query, bucket.soft_deleted.names, versions)


def _walk(query: ListQuery, source: _Names, versions: Versions, *, one_each: bool = False) -> Page:
    """A page. With `one_each` a name has only one version, whose generation may change from page to page."""
    page, last = Page(), ("", "")
    for position, items, prefix in _entries(query, source, versions, one_each=one_each):
        if len(page) >= min(query.max_results, LARGEST_PAGE):
            page.next_token = _token(*last)
            break
        if prefix:
            page.prefixes.append(prefix)
        page.versions += items
        last = position
    return page


def _entries(query: ListQuery, source: _Names, versions: Versions, *, one_each: bool) -> Iterator[Entry]:
    """The entries of a listing, in order: items and common prefixes."""
    matches = _glob(query.match_glob).fullmatch if query.match_glob else None
    wanted = _context_filter(query.contexts) if query.contexts else None
    window = _window(query)
    found = window.names(source)
    while (name := next(found, None)) is not None:
        every = versions(name)
        if not every or (matches and not matches(name)):
            continue
        items = [version for version in every if wanted(version)] if wanted else every
        common = _common_prefix(name, query)
        if common:
            itself = query.include_trailing_delimiter and name == common
            yield ("p", common), items if itself else (), common
            following = successor(common)
            if following is None or (window.high is not None and following >= window.high):
                return
            found = source(following, window.high, inclusive=True)
        elif one_each:
            if items:
                yield ("n", name), items, ""
        else:
            seen = window.seen if name == window.low else 0
            for version in items:
                if version.generation > seen:
                    yield ("v", f"{version.generation}/{name}"), (version,), ""


def _common_prefix(name: str, query: ListQuery) -> str:
    """The common prefix into which a name is folded; empty if it is not folded."""
    cut = name.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
    return name[: cut + len(query.delimiter)] if cut >= 0 else ""


def _by_generation(versions: list[ObjectVersion]) -> list[ObjectVersion]:
    return sorted(versions, key=lambda version: version.generation)


def _window(query: ListQuery) -> _Window:
    """The range of names between prefix, offsets and page token."""
    literal = WILD.split(query.match_glob, maxsplit=1)[0]
    ends = (successor(query.prefix), successor(literal), query.end_offset or None)
    high = min((end for end in ends if end is not None), default=None)
    low, inclusive, seen = max(query.prefix, literal, query.start_offset), True, 0
    if query.page_token:
        kind, text = _read_token(query.page_token)
        number, _, name = text.partition("/")
        position = {"n": text, "v": name, "p": successor(text)}[kind]
        if position is None:
            return _Window("", "", inclusive=True)
        if position >= low:
            low, inclusive, seen = position, kind != "n", int(number) if kind == "v" else 0
    return _Window(low, high, inclusive, seen)


def _token(kind: str, text: str) -> str:
    """A page token: n(ame), p(refix) or v(ersion), and its text."""
    return urlsafe_b64encode(f"{kind}{text}".encode()).decode()


def _read_token(token: str) -> tuple[str, str]:
    try:
        text = urlsafe_b64decode(token.encode()).decode()
    except ValueError as error:
        raise invalid("Invalid page token.", location="pageToken") from error
    if text[:1] not in {"n", "p", "v"} or (text[0] == "v" and not text[1:].partition("/")[0].isdigit()):
        raise invalid("Invalid page token.", location="pageToken")
    return text[0], text[1:]


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression (Cloud Storage documentation, "List objects and prefixes using glob").

    ``*`` and ``?`` stop at a slash; ``**`` does not. ``**/`` stands for any number of folders, also for none. ``[a-z]``,
    ``[!a]`` and ``{a,b}`` are as in a shell.
    """
    parts, depth, position = [], 0, 0
    while position < len(pattern):
        character = pattern[position]
        closing = pattern.find("]", position + 2) if character == "[" else -1
        if pattern.startswith("**/", position) and (position == 0 or pattern[position - 1] in "/{,"):
            parts.append("(?:.*/)?")
            position += 2
        elif pattern.startswith("**", position):
            parts.append(".*")
            position += 1
        elif character in "*?":
            parts.append("[^/]*" if character == "*" else "[^/]")
        elif closing > 0:
            inside = pattern[position + 1 : closing].replace("\\", "\\\\")
            parts.append(f"[^{inside[1:]}]" if inside[0] in "!^" else f"[{inside}]")
            position = closing
        elif character in "{}" or (character == "," and depth):
            depth += {"{": 1, "}": -1, ",": 0}[character]
            parts.append({"{": "(?:", "}": ")", ",": "|"}[character])
        else:
            parts.append(re.escape(character))
        position += 1
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise invalid(f"Invalid glob: {pattern}", location="matchGlob") from error


CONTEXT_FILTER = re.compile(r'(?P<no>-?)contexts\."(?P<key>[^"]+)"(?::\*|="(?P<value>[^"]*)")')


def _context_filter(text: str) -> Callable[[ObjectVersion], bool]:
    """A filter by one object context (Cloud Storage documentation, "List objects", "filter by object contexts").

    ``contexts."KEY":*`` asks whether there is a context, ``contexts."KEY"="VALUE"`` for its value; a ``-`` in front
    negates. Refuses with 400: it is another expression.
    """
    wanted = CONTEXT_FILTER.fullmatch(text.strip())
    if not wanted:
        raise invalid(f"Invalid filter: {text}", location="filter")
    key, value, negated = wanted["key"], wanted["value"], bool(wanted["no"])

    def passes(version: ObjectVersion) -> bool:
        context = (version.contexts or {}).get(key)
        found = context is not None and (value is None or context["value"] == value)
        return found is not negated

    return passes
