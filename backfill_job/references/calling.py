"""What an operator or a call comes to: a function that can be read, a method of a string or of a storage client, a setting's default."""

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backfill_job.references.members import COPIES, entries_of, part_of, slots_of
from backfill_job.references.modules import FUNCTIONS, How
from backfill_job.references.strings import METHODS, format_fields, path_join, percent
from backfill_job.references.texts import UNKNOWN, Text, product
from backfill_job.references.values import NOTHING, Frame, Ref, Value, Values, What, positional_names

if TYPE_CHECKING:
    from backfill_job.references.evaluate import Evaluator

__all__ = ["arguments_of", "call_of", "is_lookup", "operation_of"]

_LOOKUPS = frozenset({"getenv", "environ.get", "Variable.get", "conf.get", "env.get", "env.str", "config"})
_PATHS = frozenset({"Path", "PurePath", "PosixPath", "PurePosixPath", "CloudPath", "GSPath", "UPath"})
_SAME = frozenset(
    {"cast", "dedent", "Param", "Variable", "literal", "quote", "unquote", "SecretStr", "fspath"}
)
_DEFAULTS = frozenset({"default", "default_var", "fallback"})
_ENVIRONMENTS = frozenset({"dev", "development", "local", "test", "stg", "staging", "prod", "production"})
_BUCKETS = frozenset({"bucket", "get_bucket", "lookup_bucket", "create_bucket"})


def is_lookup(qualified: str) -> bool:
    """Tell whether a function reads a setting from outside the code: the environment, an Airflow variable."""
    return any(qualified == name or qualified.endswith("." + name) for name in _LOOKUPS)


def call_of(evaluator: "Evaluator", node: ast.Call, frame: Frame) -> Sequence[Value]:
    """What a call comes to; what nobody can tell is an instance of something."""
    callees = [value for value in evaluator.values(node.func, frame) if isinstance(value, Ref)]
    known = [value for callee in callees for value in _called(evaluator, callee, node, frame)]
    if known:
        return known
    if isinstance(node.func, ast.Attribute):
        found = _method(evaluator, node, node.func, frame)
        if found is not None:
            return found
    return _builtin(evaluator, node, frame) or [Ref(What.INSTANCE, node, frame)]


def _called(evaluator: "Evaluator", callee: Ref, node: ast.Call, frame: Frame) -> Sequence[Value]:
    if callee.what is What.CLASS:
        return [Ref(What.INSTANCE, node, frame, made_by=callee, loads=callee.loads)]
    if isinstance(callee.node, FUNCTIONS) and callee.what is What.FUNCTION:
        entered = evaluator.called(callee, node, frame)
        if entered is None:
            return NOTHING
        return [value.through(callee.loads) for value in evaluator.returned(callee.node, entered)] or NOTHING
    return ()


def arguments_of(evaluator: "Evaluator", callee: Ref, call: ast.Call, frame: Frame) -> dict[str, Values]:
    """What each parameter stands for in a call, as far as the call says it."""
    node = callee.node
    if not isinstance(node, FUNCTIONS):
        return {}
    named = positional_names(callee)
    given: dict[str, Values] = {}
    first = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)][:1]
    if callee.made_by is not None and first and first[0] not in named:
        given[first[0]] = (callee.made_by,)
    for slot, expression, where in slots_of(evaluator, call, frame):
        name = named[slot] if isinstance(slot, int) and slot < len(named) else slot
        if isinstance(name, str):
            given[name] = evaluator.values(expression, where)
    unsure = any(isinstance(argument, ast.Starred) for argument in call.args) or any(
        keyword.arg is None for keyword in call.keywords
    )
    for name in (*named, *(argument.arg for argument in node.args.kwonlyargs)):
        if name not in given and unsure:
            default = _parameter(evaluator, name, callee)
            given[name] = (*default, UNKNOWN)
    return given


def _parameter(evaluator: "Evaluator", name: str, callee: Ref) -> Values:
    scope = callee.frame.module.scope(callee.node)  # type: ignore[arg-type]
    defaults = [binding.node for binding in scope.names.get(name, ()) if binding.how is How.PARAMETER]
    return tuple(
        value
        for node in defaults
        if isinstance(node, ast.expr)
        for value in evaluator.values(node, callee.frame)
    )


def _method(
    evaluator: "Evaluator", node: ast.Call, func: ast.Attribute, frame: Frame
) -> Sequence[Value] | None:
    """A method of a string, a path, a dict or a storage client; None for any other."""
    name = func.attr
    args = [evaluator.parts(argument, frame) for argument in node.args]
    keywords = {
        keyword.arg: evaluator.parts(keyword.value, frame) for keyword in node.keywords if keyword.arg
    }
    if name == "join" and evaluator.qualified(func, frame).endswith("path.join"):
        return path_join(args, evaluator.dear)
    if name in _BUCKETS:
        return (
            args[0]
            if args
            else keywords.get("bucket_name") or keywords.get("name") or keywords.get("bucket_or_name")
        )
    if name == "get" and (found := _got(evaluator, node, func, frame)):
        return found
    receivers = evaluator.parts(func.value, frame)
    if not any(text.known for text in receivers):
        return None
    if name == "join":
        return _joined(evaluator, receivers, node, frame)
    if name == "joinpath":
        return path_join([receivers, *args], evaluator.dear)
    if name == "format":
        return [made for text in receivers for made in format_fields(text, args, keywords, evaluator.dear)]
    if name in METHODS:
        ways = [way for values in args for way in values[:1]]
        return [METHODS[name](text, ways) for text in receivers]
    return None


def _got(evaluator: "Evaluator", node: ast.Call, func: ast.Attribute, frame: Frame) -> Sequence[Value]:
    """``mapping.get(key, default)``."""
    found: list[Value] = []
    keys = evaluator.parts(node.args[0], frame) if node.args else [UNKNOWN]
    key = keys[0].chars if len(keys) == 1 and keys[0].known else None
    for base in evaluator.values(func.value, frame):
        if isinstance(base, Ref) and base.what is not What.MODULE:
            found += [value for value in part_of(evaluator, base, key) if value is not UNKNOWN]
    default = node.args[1:2] or [keyword.value for keyword in node.keywords if keyword.arg in _DEFAULTS]
    return [*found, *_defaults(evaluator, default, frame)]


def _defaults(evaluator: "Evaluator", nodes: Sequence[ast.expr], frame: Frame) -> list[Value]:
    """A setting's default is believed, unless it only says which environment this is when nobody says so."""
    return [
        UNKNOWN if isinstance(value, Text) and value.chars.lower() in _ENVIRONMENTS else value
        for node in nodes
        for value in evaluator.values(node, frame)
    ]


def _joined(
    evaluator: "Evaluator", separators: Sequence[Text], node: ast.Call, frame: Frame
) -> Sequence[Value]:
    found: list[Value] = []
    for value in evaluator.values(node.args[0], frame) if node.args else ():
        if not isinstance(value, Ref) or not isinstance(value.node, (ast.List, ast.Tuple)):
            continue
        if any(isinstance(element, ast.Starred) for element in value.node.elts):
            continue
        for separator in separators:
            parts: list[Sequence[Text]] = []
            for element in value.node.elts:
                parts += (
                    [[separator], evaluator.parts(element, value.frame)]
                    if parts
                    else [evaluator.parts(element, value.frame)]
                )
            found += product(parts, evaluator.dear)
    return found or NOTHING


def _builtin(evaluator: "Evaluator", node: ast.Call, frame: Frame) -> Sequence[Value]:
    qualified = evaluator.qualified(node.func, frame)
    name = qualified.rpartition(".")[2]
    args = node.args
    if is_lookup(qualified):
        default = args[1:2] or [keyword.value for keyword in node.keywords if keyword.arg in _DEFAULTS]
        return _defaults(evaluator, default, frame) or NOTHING
    if name in _PATHS or qualified.endswith("path.join"):
        return path_join([evaluator.parts(argument, frame) for argument in args], evaluator.dear)
    if args and (name in _SAME or qualified in COPIES):
        return evaluator.values(args[1 if name == "cast" and len(args) > 1 else 0], frame)
    if name == "Bucket":
        named = [keyword.value for keyword in node.keywords if keyword.arg == "name"] or args[1:2]
        return [value for expression in named for value in evaluator.parts(expression, frame)]
    return ()


def operation_of(evaluator: "Evaluator", node: ast.BinOp, frame: Frame) -> Sequence[Value]:
    """What ``+``, ``/`` and ``%`` come to."""
    match node.op:
        case ast.Add():
            return product(
                [evaluator.parts(node.left, frame), evaluator.parts(node.right, frame)], evaluator.dear
            )
        case ast.Div():
            return path_join(
                [evaluator.parts(node.left, frame), evaluator.parts(node.right, frame)], evaluator.dear
            )
        case ast.Mod():
            return _percent(evaluator, node, frame)
        case _:
            return NOTHING


def _percent(evaluator: "Evaluator", node: ast.BinOp, frame: Frame) -> Sequence[Value]:
    if isinstance(node.right, ast.Tuple):
        args = [evaluator.parts(element, frame) for element in node.right.elts]
    else:
        args = [evaluator.parts(node.right, frame)]
    keywords = {
        name: evaluator.parts(value, where)
        for ref in evaluator.values(node.right, frame)
        if isinstance(ref, Ref)
        for name, value, where in entries_of(evaluator, ref)
    }
    return [
        result
        for text in evaluator.parts(node.left, frame)
        for result in percent(text, args, keywords, evaluator.dear)
    ]
