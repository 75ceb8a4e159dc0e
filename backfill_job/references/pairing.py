"""Which of several named buckets a named prefix belongs to.

``source_bucket`` belongs to ``source_objects`` and ``destination_bucket`` to ``destination_object``; ``bucket`` and ``bucket_name``
belong to whatever has no bucket of its own side; ``QPI_BUCKET`` to ``QPI_PREFIX``. ``temp_bucket`` may belong to something
else altogether: it is given, but not as certain.
"""

import re
from collections.abc import Mapping
from typing import TypeVar

__all__ = ["bucket_for", "is_bucket_like", "names_a_thing", "names_objects"]

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


def bucket_for(name: str, named: Mapping[str, _Value]) -> tuple[_Value, bool] | None:
    """Choose the bucket that a prefix belongs to.

    Args:
        name: What the prefix is called: a keyword, a key, a variable.
        named: Everything named beside it; buckets are those whose name says so.

    Returns:
        The bucket, and whether it surely belongs to it; None when there is none, or nobody can tell which.
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
    """Tell whether what bears this name is the name of a thing that lies in no bucket: a task, a table."""
    return _THINGS.fullmatch(name) is not None


def names_objects(name: str) -> bool:
    """Tell whether a name says that it is an object's or a prefix."""
    return any(map(_OBJECTS.fullmatch, _words(name))) and not is_bucket_like(name)


def _same_side(own: set[str], buckets: dict[str, set[str]]) -> dict[str, set[str]]:
    side = next((words for words in (_SOURCE, _DESTINATION) if own & words), frozenset())
    same = {name: words for name, words in buckets.items() if words & side}
    neither = {name: words for name, words in buckets.items() if not words & (_SOURCE | _DESTINATION)}
    return same or neither or buckets


def _is_plain(words: set[str], own: set[str]) -> bool:
    sides = (own & _SOURCE and _SOURCE) or (own & _DESTINATION and _DESTINATION) or frozenset[str]()
    return words <= _PLAIN | own | sides


def _words(name: str) -> set[str]:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return set(re.findall(r"[a-z0-9]+", snake.lower()))
