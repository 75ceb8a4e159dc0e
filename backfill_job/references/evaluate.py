"""Evaluates expressions without running anything: every text that an expression may come to, as far as it can be read.

What cannot be read is `UNKNOWN`, never left out. Names lead to what is assigned to them, across modules, classes, dicts and
the calls of functions whose bodies are there; the environment is unknown, and its defaults are believed.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence

from backfill_job.references.calling import arguments_of, call_of, is_lookup, operation_of
from backfill_job.references.literals import formatted, literal
from backfill_job.references.members import attribute_of, elements_of, item_of, part_of, parts_of
from backfill_job.references.modules import FUNCTIONS, Binding, Function, How, Module
from backfill_job.references.project import Project
from backfill_job.references.texts import UNKNOWN, Text, limited, product
from backfill_job.references.values import NOTHING, Frame, Ref, Value, Values, What, is_static, returns

__all__ = ["Evaluator", "TooDeep"]

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
