"""What an expression can stand for besides a text: something with parts, and where its names are looked up."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from backfill_job.references.modules import FUNCTIONS, Function, Module, Scope
from backfill_job.references.texts import UNKNOWN, Position, Text

__all__ = [
    "NOTHING",
    "Frame",
    "Ref",
    "Value",
    "Values",
    "What",
    "field_names",
    "is_decorated",
    "is_static",
    "owner_of",
    "positional_names",
    "returns",
]


class What(Enum):
    """What a reference leads to."""

    CONTAINER = auto()  # a list, tuple, set or dict as it is written
    FUNCTION = auto()
    CLASS = auto()
    MODULE = auto()
    INSTANCE = auto()  # what a call makes, with what it was given


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Where names are looked up.

    Attributes:
        module: The file.
        scope: The innermost scope.
        outer: The frame around it.
        given: What parameters stand for in this call.
        root: The function that was entered without knowing its callers, if any was.
        depth: How many calls deep.
    """

    module: Module
    scope: Scope
    outer: "Frame | None" = None
    given: Mapping[str, "Values"] | None = None
    root: Function | None = None
    depth: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Ref:
    """Something with parts.

    Attributes:
        what: Which kind of thing.
        node: Where it is written; for an instance the call that makes it, or the class whose method is looked at.
        frame: Where its parts are evaluated.
        name: A module's dotted name.
        made_by: An instance's class; a method's instance.
        loads: The names through which it was read.
    """

    what: What
    node: ast.AST
    frame: Frame
    name: str = ""
    made_by: "Ref | None" = None
    loads: frozenset[Position] = frozenset()

    def through(self, loads: frozenset[Position]) -> "Ref":
        """The same, read through more names."""
        return replace(self, loads=self.loads | loads) if loads - self.loads else self


Value = Text | Ref
Values = tuple[Value, ...]
NOTHING: Values = (UNKNOWN,)


def owner_of(frame: Frame) -> Ref | None:
    """What a method's first parameter stands for, in the frame of its class; None in any other."""
    node = frame.scope.node
    if not isinstance(node, ast.ClassDef) or frame.outer is None:
        return None
    return Ref(What.INSTANCE, node, frame.outer, made_by=Ref(What.CLASS, node, frame.outer))


def positional_names(callee: Ref) -> list[str]:
    """The names of a function's or class's parameters that can be given by position, without ``self``."""
    node = callee.node
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, FUNCTIONS) and inner.name == "__init__":
                return [argument.arg for argument in (*inner.args.posonlyargs, *inner.args.args)][1:]
        return field_names(callee)
    if not isinstance(node, FUNCTIONS):
        return []
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    bound = callee.made_by is not None or (names[:1] in (["self"], ["cls"]))
    return names[1:] if bound and not is_static(node) else names


def field_names(cls: Ref) -> list[str]:
    """The annotated names of a class's body, in their order."""
    if not isinstance(cls.node, ast.ClassDef):
        return []
    return [
        node.target.id
        for node in cls.node.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]


def returns(function: Function) -> Iterator[ast.expr]:
    """What a function returns; not what functions within it do."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value
        elif not isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def is_decorated(node: ast.AST, names: set[str]) -> bool:
    """Tell whether a function bears one of these decorators."""
    if not isinstance(node, FUNCTIONS):
        return False
    return any(
        (decorator.id if isinstance(decorator, ast.Name) else getattr(decorator, "attr", "")) in names
        for decorator in node.decorator_list
    )


def is_static(node: ast.AST) -> bool:
    """Tell whether a method is given no object."""
    return is_decorated(node, {"staticmethod"})
