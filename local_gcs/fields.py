"""The ``fields`` parameter: which parts of an answer a client wants.

Grammar (Google API documentation, "Partial responses")::

    selection = item ("," item)*
    item      = name ("/" name)* [ "(" selection ")" ]

``a/b`` picks b of a, ``a(b,c)`` picks several, ``*`` stands for any name. Lists are looked through: ``items/name`` picks
the name of every item.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from local_gcs.errors import Refused, invalid

__all__ = ["EVERYTHING", "Selection", "parse_fields"]

PUNCTUATION = "(),/"


class Selection:
    """What is wanted below one point of an answer.

    Attributes:
        children: What is wanted of each name; None wants everything.
    """

    __slots__ = ("children",)

    def __init__(self, children: "dict[str, Selection] | None") -> None:
        self.children = children

    def __repr__(self) -> str:
        return f"Selection({self.children!r})"

    def of(self, name: str) -> "Selection | None":
        """What is wanted of a name; None when nothing is."""
        if self.children is None:
            return self
        return self.children.get(name) or self.children.get("*")

    def apply(self, value: Any) -> Any:
        """The wanted parts of a JSON value."""
        if self.children is None:
            return value
        if isinstance(value, list):
            return [self.apply(item) for item in value]
        if not isinstance(value, dict):
            return value
        wanted = {name: self.of(name) for name in value}
        return {name: child.apply(value[name]) for name, child in wanted.items() if child}


EVERYTHING = Selection(None)


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> Selection:
    """The selection that a ``fields`` parameter states; an empty one wants everything.

    Raises:
        Refused: 400; it is not well-formed.
    """
    if not text or text == "*":
        return EVERYTHING
    tokens = _tokens(text)
    tree: dict[str, Any] = {}
    if _selection(tokens, tree, text) != "":
        raise _malformed(text)
    return _frozen(tree)


def _tokens(text: str) -> Iterator[str]:
    """Names and punctuation, then empty strings without end."""
    name = ""
    for character in text:
        if character not in PUNCTUATION:
            name += character
            continue
        if name.strip():
            yield name.strip()
        name = ""
        yield character
    if name.strip():
        yield name.strip()
    while True:
        yield ""


def _selection(tokens: Iterator[str], tree: dict[str, Any], text: str) -> str:
    """Read a selection into a tree, whose empty subtrees want everything; give the token behind it."""
    while True:
        following = _item(tokens, tree, text)
        if following != ",":
            return following


def _item(tokens: Iterator[str], tree: dict[str, Any], text: str) -> str:
    """Read one item into a tree; give the token behind it."""
    while True:
        name = next(tokens)
        if name in {"", *PUNCTUATION}:
            raise _malformed(text)
        # A name asked for as a whole stays whole, whatever is asked of its parts besides.
        known = tree.get(name)
        subtree: dict[str, Any] = {} if known == {} else tree.setdefault(name, {})
        following = next(tokens)
        if following != "/":
            break
        tree = subtree
    if following != "(":
        subtree.clear()
        return following
    if _selection(tokens, subtree, text) != ")":
        raise _malformed(text)
    return next(tokens)


def _frozen(tree: dict[str, Any]) -> Selection:
    return Selection({name: _frozen(subtree) for name, subtree in tree.items()} or None)


def _malformed(text: str) -> Refused:
    return invalid(f"Invalid field selection {text}", location="fields", reason="invalidParameter")
