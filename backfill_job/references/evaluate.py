"""Evaluates expressions without running anything: every text that an expression may come to, as far as it can be read.

What cannot be read is `UNKNOWN`, never left out. Names lead to what is assigned to them, across modules, classes, dicts and
the calls of functions whose bodies are there; the environment is unknown, and its defaults are believed.

What things consist of: the elements of a list, the entries of a dict, the attributes of a class, a module, an object.

What an operator or a call comes to: a function that can be read, a method of a string or of a storage client, a setting's default.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence

from backfill_job.references.modules import (
    FUNCTIONS,
    NOTHING,
    Binding,
    Frame,
    Function,
    How,
    Module,
    Project,
    Ref,
    Value,
    Values,
    What,
    field_names,
    is_decorated,
    is_static,
    positional_names,
    returns,
)
from backfill_job.references.strings import METHODS, format_fields, formatted, literal, path_join, percent
from backfill_job.references.texts import UNKNOWN, Text, limited, product

__all__ = [
    "COPIES",
    "Evaluator",
    "TooDeep",
    "arguments_of",
    "attribute_of",
    "call_of",
    "elements_of",
    "entries_of",
    "is_lookup",
    "item_of",
    "operation_of",
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


MAX_DEPTH = 6
"""Calls within calls that are followed."""

MAX_STEPS = 50_000
"""Expressions looked at for one question."""


class TooDeep(Exception):
    """An expression leads on and on; it is not evaluated."""


class Evaluator:
    """Evaluates expressions of a project's modules.

    Args:
        project: The modules.
        dear: Which texts must not be lost when there are too many.
    """

    def __init__(self, project: Project, dear: Callable[[str], bool]) -> None:
        self.project = project
        self.dear = dear
        self._modules: dict[int, Frame] = {}
        self._frames: dict[tuple[object, ...], Frame] = {}
        self._known: dict[tuple[int, int], Values] = {}
        self._active: set[tuple[int, int]] = set()
        self._cuts = 0
        self._steps = 0

    def module_frame(self, module: Module) -> Frame:
        """Where a module's names are looked up."""
        frame = self._modules.get(id(module))
        if frame is None:
            frame = self._modules[id(module)] = Frame(module, module.scope(module.tree))
        return frame

    def class_frame(self, node: ast.ClassDef, outer: Frame) -> Frame:
        """Where the names of a class's body are looked up."""
        return self._frame(
            (id(node), id(outer)),
            lambda: Frame(outer.module, outer.module.scope(node), outer, root=outer.root, depth=outer.depth),
        )

    def entered(self, node: Function, outer: Frame, owner: Ref | None = None) -> Frame:
        """The frame of a function whose callers are not known: parameters are their defaults."""
        scope = outer.module.scope(node)
        given: dict[str, Values] = {}
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        if owner is not None and names and not is_static(node):
            given[names[0]] = (owner,)
        return self._frame(
            (id(node), id(outer), "entered"),
            lambda: Frame(outer.module, scope, outer, given, node, outer.depth),
        )

    def called(self, callee: Ref, call: ast.Call, frame: Frame) -> Frame | None:
        """The frame of one call of a function; None when it is too deep."""
        node = callee.node
        if not isinstance(node, FUNCTIONS) or frame.depth >= MAX_DEPTH:
            return None
        given = arguments_of(self, callee, call, frame)
        key = (
            id(node),
            id(callee.frame),
            tuple((name, tuple(map(_identity, values))) for name, values in sorted(given.items())),
            id(frame.root),
        )
        scope = callee.frame.module.scope(node)
        return self._frame(
            key, lambda: Frame(callee.frame.module, scope, callee.frame, given, frame.root, frame.depth + 1)
        )

    def texts(self, node: ast.expr, frame: Frame) -> tuple[Text, ...]:
        """Every text that an expression may come to, or the elements of the list that it comes to.

        Raises:
            TooDeep: It leads on and on.
        """
        self._steps = 0
        values = [
            part
            for value in self.values(node, frame)
            for part in ([value] if isinstance(value, Text) else parts_of(self, value))
        ]
        found = [value if isinstance(value, Text) else UNKNOWN for value in values]
        return tuple(limited(found, self.dear))

    def values(self, node: ast.expr, frame: Frame) -> Values:
        """Everything that an expression may stand for; never empty."""
        key = (id(node), id(frame))
        if key in self._known:
            return self._known[key]
        if key in self._active:
            self._cuts += 1
            return NOTHING
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TooDeep
        self._active.add(key)
        cuts = self._cuts
        try:
            found = tuple(_distinct(self._evaluate(node, frame), self.dear)) or NOTHING
        finally:
            self._active.discard(key)
        if cuts == self._cuts or not self._active:
            self._known[key] = found
        return found

    def qualified(self, node: ast.expr, frame: Frame) -> str:
        """A function's dotted name, with what an import says about its beginning: ``os.path.join``."""
        if isinstance(node, ast.Attribute):
            base = self.qualified(node.value, frame)
            return f"{base or '?'}.{node.attr}"
        if isinstance(node, ast.Name):
            for binding, _ in self._bindings(node.id, frame):
                if binding.how is How.MEMBER:
                    return binding.name.replace(":", ".")
            return node.id
        return ""

    def exported(self, name: str, module: Module) -> Values:
        """What a name of a module stands for."""
        found = self.name(name, self.module_frame(module))
        return (*found, UNKNOWN) if name in self.project.set_from_outside else tuple(found)

    def _frame(self, key: tuple[object, ...], make: Callable[[], Frame]) -> Frame:
        if key not in self._frames:
            self._frames[key] = make()
        return self._frames[key]

    def _evaluate(self, node: ast.expr, frame: Frame) -> Iterable[Value]:  # noqa: C901, PLR0912 -- a table of cases
        match node:
            case ast.Constant():
                return [self._constant(node, frame)]
            case ast.JoinedStr():
                parts = [
                    [part] if isinstance(part, Text) else self._formatted(part, frame)
                    for part in formatted(node, frame.module.source)
                ]
                return product(parts, self.dear)
            case ast.Name():
                return self._read(self.name(node.id, frame), node, frame)
            case ast.Attribute():
                return self._read(self._attribute(node, frame), node, frame)
            case ast.Subscript():
                return self._subscript(node, frame)
            case ast.BinOp():
                return operation_of(self, node, frame)
            case ast.Call():
                return call_of(self, node, frame)
            case ast.IfExp():
                return [*self.values(node.body, frame), *self.values(node.orelse, frame)]
            case ast.BoolOp(op=ast.Or()):
                return self._first_of(node.values, frame)
            case ast.BoolOp():
                return self.values(node.values[-1], frame)
            case ast.NamedExpr() | ast.Await() | ast.Starred():
                return self.values(node.value, frame)
            case ast.List() | ast.Tuple() | ast.Set() | ast.Dict():
                return [Ref(What.CONTAINER, node, frame)]
            case _:
                return NOTHING

    def _constant(self, node: ast.Constant, frame: Frame) -> Text:
        if isinstance(node.value, (str, bytes, int)) and not isinstance(node.value, bool):
            return literal(node, frame.module.source)
        return UNKNOWN

    def _formatted(self, part: ast.FormattedValue, frame: Frame) -> Sequence[Text]:
        return self.parts(part.value, frame) if part.conversion in {-1, ord("s")} else [UNKNOWN]

    def returned(self, function: Function, frame: Frame) -> list[Value]:
        """What a function returns, in a frame of it."""
        return [value for node in returns(function) for value in self.values(node, frame)]

    def parts(self, node: ast.expr, frame: Frame) -> list[Text]:
        """Every text that a part of an expression may come to."""
        return [value if isinstance(value, Text) else UNKNOWN for value in self.values(node, frame)]

    def _read(self, values: Iterable[Value], node: ast.expr, frame: Frame) -> list[Value]:
        loads = frozenset({frame.module.load(node)})
        return [value.through(loads) for value in values]

    def _first_of(self, nodes: Sequence[ast.expr], frame: Frame) -> list[Value]:
        """``a or b``: what is asked of the environment is unknown, and then the default is believed."""
        found: list[Value] = []
        for node in nodes:
            values = self.values(node, frame)
            looked_up = isinstance(node, ast.Call) and is_lookup(self.qualified(node.func, frame))
            found += [value for value in values if not (looked_up and value == UNKNOWN)]
        return found

    # --- names ---------------------------------------------------------------------------------------------------

    def _bindings(self, name: str, frame: Frame) -> Iterator[tuple[Binding, Frame]]:
        at: Frame | None = frame
        while at is not None:
            visible = at is frame or not isinstance(at.scope.node, ast.ClassDef)
            if visible and name in at.scope.names:
                yield from ((binding, at) for binding in at.scope.names[name])
                return
            at = at.outer

    def name(self, name: str, frame: Frame) -> list[Value]:
        """Everything that a name may stand for."""
        found: list[Value] = []
        added: list[Value] = []
        for binding, where in _set(self._bindings(name, frame)):
            if binding.how is How.PARAMETER and where.given is not None and name in where.given:
                found += where.given[name]
            elif binding.how is How.ADDED:
                added += self._taken(binding, where)
            else:
                found += self._bound(binding, where)
        if added:
            texts = [value for value in found if isinstance(value, Text)]
            found += product(
                [texts or [UNKNOWN], [value if isinstance(value, Text) else UNKNOWN for value in added]],
                self.dear,
            )
        return found or self._starred(name, frame)

    def _starred(self, name: str, frame: Frame) -> list[Value]:
        module = frame.module
        for star in module.scope(module.tree).stars:
            for found in self.project.find(star.name.partition(":")[0], star.level, module.path):
                if name in found.scope(found.tree).names:
                    return list(self.exported(name, found))
        return []

    def _bound(self, binding: Binding, frame: Frame) -> Iterable[Value]:
        node = binding.node
        match binding.how:
            case How.VALUE | How.ELEMENT:
                return self._taken(binding, frame)
            case How.PARAMETER:
                outer = frame.outer or frame
                return self.values(node, outer) if isinstance(node, ast.expr) else NOTHING
            case How.FUNCTION:
                return [Ref(What.FUNCTION, node, frame)]
            case How.CLASS:
                return [Ref(What.CLASS, node, frame)]
            case How.MODULE:
                return [Ref(What.MODULE, node, frame, binding.name)]
            case How.MEMBER:
                return self._member(binding, frame)
            case _:
                return NOTHING

    def _member(self, binding: Binding, frame: Frame) -> list[Value]:
        package, _, name = binding.name.partition(":")
        importer = frame.module.path
        found: list[Value] = []
        for module in self.project.find(package, binding.level, importer):
            if name in module.scope(module.tree).names or module.scope(module.tree).stars:
                found += self.exported(name, module)
        if found:
            return found
        dotted = f"{package}.{name}" if package else name
        return [Ref(What.MODULE, binding.node, frame, "." * binding.level + dotted)]

    def _taken(self, binding: Binding, frame: Frame) -> list[Value]:
        """A binding's value, taken apart as its target says."""
        if not isinstance(binding.node, ast.expr):
            return [UNKNOWN]
        values: Iterable[Value] = self.values(binding.node, frame)
        steps = list(binding.steps)
        if binding.how is How.ELEMENT:
            values = elements_of(self, binding.node, frame, steps)
        for step in steps:
            values = [inner for value in values for inner in item_of(self, value, step)]
        return list(values)

    # --- parts of things -----------------------------------------------------------------------------------------

    def _attribute(self, node: ast.Attribute, frame: Frame) -> list[Value]:
        found: list[Value] = []
        for base in self.values(node.value, frame):
            if isinstance(base, Text):
                found.append(base if node.attr in {"value", "name"} else UNKNOWN)
            else:
                found += [value.through(base.loads) for value in attribute_of(self, base, node.attr)]
        return found

    def _subscript(self, node: ast.Subscript, frame: Frame) -> list[Value]:
        keys = self.parts(node.slice, frame)
        key = (
            keys[0].chars
            if len(keys) == 1 and keys[0].known and not keys[0].chars.count(UNKNOWN.chars)
            else None
        )
        return [inner for base in self.values(node.value, frame) for inner in part_of(self, base, key)] or [
            UNKNOWN
        ]


def _set(bindings: Iterable[tuple[Binding, Frame]]) -> list[tuple[Binding, Frame]]:
    """The bindings but for ``None``, which is no bucket and no prefix: it stands for "not set yet"."""
    found = list(bindings)
    kept = [
        (binding, frame)
        for binding, frame in found
        if not (isinstance(binding.node, ast.Constant) and binding.node.value is None)
    ]
    return kept or found


def _identity(value: Value) -> object:
    return value if isinstance(value, Text) else (value.what, id(value.node), id(value.frame))


def _distinct(values: Iterable[Value], dear: Callable[[str], bool]) -> list[Value]:
    texts: list[Text] = []
    refs: dict[object, Ref] = {}
    for value in values:
        if isinstance(value, Text):
            texts.append(value)
        else:
            refs.setdefault((_identity(value), value.name, value.loads), value)
    return [*limited(texts, dear), *refs.values()]
