"""What things consist of: the elements of a list, the entries of a dict, the attributes of a class, a module, an object."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from backfill_job.references.modules import FUNCTIONS
from backfill_job.references.texts import UNKNOWN
from backfill_job.references.values import (
    NOTHING,
    Frame,
    Ref,
    Value,
    What,
    field_names,
    is_decorated,
    is_static,
)

if TYPE_CHECKING:
    from backfill_job.references.evaluate import Evaluator

__all__ = [
    "COPIES",
    "attribute_of",
    "elements_of",
    "entries_of",
    "item_of",
    "part_of",
    "parts_of",
    "slots_of",
]

COPIES = frozenset({"str", "sorted", "list", "tuple", "set", "reversed"})
"""Only by these names: ``hook.list`` is something else."""


def slots_of(
    evaluator: "Evaluator", call: ast.Call, frame: Frame
) -> Iterator[tuple[int | str, ast.expr, Frame]]:
    """A call's arguments by position or keyword; ``**{...}`` is taken apart where it can be read."""
    for index, argument in enumerate(call.args):
        if isinstance(argument, ast.Starred):
            break
        yield index, argument, frame
    for keyword in call.keywords:
        if keyword.arg is not None:
            yield keyword.arg, keyword.value, frame
            continue
        for value in evaluator.values(keyword.value, frame):
            if isinstance(value, Ref):
                yield from entries_of(evaluator, value)


def entries_of(evaluator: "Evaluator", ref: Ref) -> Iterator[tuple[str, ast.expr, Frame]]:
    """The entries of a dict, or of ``dict(...)``, whose keys can be read."""
    if isinstance(ref.node, ast.Dict):
        for key, value in zip(ref.node.keys, ref.node.values, strict=True):
            if key is None:
                for inner in evaluator.values(value, ref.frame):
                    if isinstance(inner, Ref):
                        yield from entries_of(evaluator, inner)
            elif isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value, ref.frame
    elif ref.what is What.INSTANCE and isinstance(ref.node, ast.Call) and ref.made_by is None:
        for slot, expression, frame in slots_of(evaluator, ref.node, ref.frame):
            if isinstance(slot, str):
                yield slot, expression, frame


def item_of(evaluator: "Evaluator", value: Value, index: int) -> Iterable[Value]:
    """The element of a list or tuple."""
    if isinstance(value, Ref) and isinstance(value.node, (ast.List, ast.Tuple)):
        elements = value.node.elts
        if index < len(elements) and not any(isinstance(element, ast.Starred) for element in elements):
            return [inner.through(value.loads) for inner in evaluator.values(elements[index], value.frame)]
    return NOTHING


def elements_of(evaluator: "Evaluator", node: ast.expr, frame: Frame, steps: list[int]) -> list[Value]:
    """What a loop over an expression gives; takes the first of `steps` where the expression makes pairs."""
    if isinstance(node, ast.Call):
        qualified = evaluator.qualified(node.func, frame)
        name = qualified.rpartition(".")[2]
        if qualified == "enumerate" and node.args and steps:
            return elements_of(evaluator, node.args[0], frame, steps) if steps.pop(0) else [UNKNOWN]
        if qualified in COPIES and node.args:
            return elements_of(evaluator, node.args[0], frame, steps)
        if name in {"items", "values"} and isinstance(node.func, ast.Attribute):
            wanted = steps.pop(0) if name == "items" and steps else 1
            return [
                part
                for ref in evaluator.values(node.func.value, frame)
                for part in _sides(evaluator, ref, wanted)
            ] or [UNKNOWN]
    return [part for value in evaluator.values(node, frame) for part in parts_of(evaluator, value)] or [
        UNKNOWN
    ]


def _sides(evaluator: "Evaluator", value: Value, side: int) -> list[Value]:
    if not isinstance(value, Ref) or not isinstance(value.node, ast.Dict):
        return [UNKNOWN]
    nodes = value.node.values if side else [key for key in value.node.keys if key is not None]
    return [inner.through(value.loads) for node in nodes for inner in evaluator.values(node, value.frame)]


def parts_of(evaluator: "Evaluator", value: Value) -> list[Value]:
    """The elements of a list, the keys of a dict; nobody knows those of anything else."""
    if isinstance(value, Ref) and isinstance(value.node, (ast.List, ast.Tuple, ast.Set)):
        return [
            inner.through(value.loads)
            for node in value.node.elts
            for inner in evaluator.values(node, value.frame)
        ]
    if isinstance(value, Ref) and isinstance(value.node, ast.Dict):
        return _sides(evaluator, value, 0)
    return [UNKNOWN]


def part_of(evaluator: "Evaluator", base: Value, key: str | None) -> Sequence[Value]:
    """What a subscript of something stands for; every part when the key is not known."""
    if not isinstance(base, Ref):
        return NOTHING
    found: list[Value] = []
    if isinstance(base.node, (ast.List, ast.Tuple)):
        found = (
            list(item_of(evaluator, base, int(key)))
            if key is not None and key.isdigit()
            else parts_of(evaluator, base)
        )
    elif base.what is What.CLASS and key is not None:
        found = _class_member(evaluator, base, key, None)
    else:
        entries = list(entries_of(evaluator, base))
        chosen = [entry for entry in entries if entry[0] == key]
        for _, value, frame in chosen or (entries if key is None else []):
            found += evaluator.values(value, frame)
    return [value.through(base.loads) for value in found] or NOTHING


def attribute_of(evaluator: "Evaluator", base: Ref, name: str) -> Sequence[Value]:
    """What an attribute of something stands for."""
    match base.what:
        case What.MODULE:
            return _module_member(evaluator, base, name)
        case What.CLASS:
            return _class_member(evaluator, base, name, None) or NOTHING
        case What.INSTANCE:
            return _instance_member(evaluator, base, name) or NOTHING
        case _:
            return NOTHING


def _module_member(evaluator: "Evaluator", base: Ref, name: str) -> Sequence[Value]:
    level = len(base.name) - len(base.name.lstrip("."))
    dotted = base.name.lstrip(".")
    found: list[Value] = []
    for module in evaluator.project.find(dotted, level, base.frame.module.path):
        if name in module.scope(module.tree).names:
            found += evaluator.exported(name, module)
    return found or [Ref(What.MODULE, base.node, base.frame, f"{base.name}.{name}")]


def _class_member(evaluator: "Evaluator", base: Ref, name: str, instance: Ref | None) -> list[Value]:
    node = base.node
    if not isinstance(node, ast.ClassDef):
        return []
    frame = evaluator.class_frame(node, base.frame)
    if name in frame.scope.names:
        found = [_with_instance(value, instance) for value in evaluator.name(name, frame)]
        return [inner for value in found for inner in _property(evaluator, value)]
    for parent in node.bases:
        for value in evaluator.values(parent, base.frame):
            if (
                isinstance(value, Ref)
                and value.what is What.CLASS
                and value.node is not node
                and (found := _class_member(evaluator, value, name, instance))
            ):
                return found
    return []


def _with_instance(value: Value, instance: Ref | None) -> Value:
    if isinstance(value, Ref) and value.what is What.FUNCTION and not is_static(value.node):
        return Ref(What.FUNCTION, value.node, value.frame, made_by=instance, loads=value.loads)
    return value


def _property(evaluator: "Evaluator", value: Value) -> Iterable[Value]:
    if (
        isinstance(value, Ref)
        and isinstance(value.node, FUNCTIONS)
        and is_decorated(value.node, {"property", "cached_property"})
    ):
        return evaluator.returned(value.node, evaluator.entered(value.node, value.frame, value.made_by))
    return [value]


def _instance_member(evaluator: "Evaluator", base: Ref, name: str) -> list[Value]:
    call, cls = base.node, base.made_by
    if isinstance(call, ast.Call):
        given = [
            value
            for slot, node, frame in slots_of(evaluator, call, base.frame)
            if slot == name
            for value in evaluator.values(node, frame)
        ]
        if given:
            return given
    if cls is None or not isinstance(cls.node, ast.ClassDef):
        return []
    own = _given_by_position(evaluator, base, cls, name) if isinstance(call, ast.Call) else []
    return own or [*_assigned(evaluator, base, cls, name), *_class_member(evaluator, cls, name, base)]


def _given_by_position(evaluator: "Evaluator", base: Ref, cls: Ref, name: str) -> list[Value]:
    """A field of a dataclass or named tuple, given by its position."""
    fields = field_names(cls)
    if name not in fields or not isinstance(base.node, ast.Call) or fields.index(name) >= len(base.node.args):
        return []
    return list(evaluator.values(base.node.args[fields.index(name)], base.frame))


def _assigned(evaluator: "Evaluator", base: Ref, cls: Ref, name: str) -> list[Value]:
    """What the class's methods assign to ``evaluator.name``."""
    found: list[Value] = []
    if not isinstance(cls.node, ast.ClassDef):
        return found
    body = evaluator.class_frame(cls.node, cls.frame)
    for method in cls.node.body:
        if not isinstance(method, FUNCTIONS):
            continue
        for value in cls.frame.module.attributes(method).get(name, ()):
            callee = Ref(What.FUNCTION, method, body, made_by=base)
            frame = None
            if method.name == "__init__" and isinstance(base.node, ast.Call):
                frame = evaluator.called(callee, base.node, base.frame)
            found += evaluator.values(value, frame or evaluator.entered(method, body, base))
    return found
