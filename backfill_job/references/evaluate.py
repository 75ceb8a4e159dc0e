"""Evaluates expressions without running anything: every text that an expression may come to, as far as it can be read.

What cannot be read is `UNKNOWN`, never left out. Names lead to what is assigned to them, across modules, classes, dicts and
calls of functions whose code is there. The environment is unknown; a setting's default is believed.
Names, calls and parts of things need each other, so they are one class.
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
    PythonProject,
    Ref,
    Value,
    Values,
    What,
    defaults,
    field_names,
    is_decorated,
    is_static,
    option_name,
    parameters,
    positional_names,
    returns,
    spelling,
)
from backfill_job.references.strings import (
    FORMAT,
    METHODS,
    PERCENT,
    formatted,
    literal,
    path_join,
    with_fields,
)
from backfill_job.references.texts import UNKNOWN, Text, limited, product

__all__ = ["Evaluator", "TooDeep", "is_lookup"]

MAX_DEPTH = 6
"""Calls within calls that are followed."""

MAX_STEPS = 50_000
"""Expressions looked at for one question."""

_COPIES = frozenset({"str", "sorted", "list", "tuple", "set", "reversed"})
"""Only by these names: ``hook.list`` is something else."""

_LOOKUPS = frozenset(
    {"getenv", "environ.get", "Variable.get", "conf.get", "env", "env.get", "env.str", "config"}
)
_FIELDS = frozenset({"Field", "field", "ib", "attrib", "typer.Option", "typer.Argument"})
_PATHS = frozenset({"Path", "PurePath", "PosixPath", "PurePosixPath", "CloudPath", "GSPath", "UPath"})
_SAME = frozenset(
    {"cast", "dedent", "Param", "Variable", "literal", "quote", "unquote", "SecretStr", "fspath"}
)
_DEFAULTS = frozenset({"default", "default_var", "fallback"})
_ENVIRONMENTS = frozenset({"dev", "development", "local", "test", "stg", "staging", "prod", "production"})
_BUCKETS = frozenset({"bucket", "get_bucket", "lookup_bucket", "create_bucket"})

Slot = tuple[int | str, ast.expr, Frame]
"""One argument of a call: its position or keyword, the expression, and where it is evaluated."""


class TooDeep(Exception):
    """An expression needs more than `MAX_STEPS`; it is not evaluated."""


def is_lookup(qualified: str) -> bool:
    """Tell whether a function reads a setting from outside the code: the environment, an Airflow variable."""
    return any(qualified == name or qualified.endswith("." + name) for name in _LOOKUPS)


class Evaluator:
    """Evaluates expressions of a project's modules.

    Args:
        must_keep: Tells which texts must stay when one has too many.
        setting: The value that a setting has where the code is deployed; None where it is not given.
    """

    def __init__(
        self, project: PythonProject, must_keep: Callable[[str], bool], setting: Callable[[str], str | None]
    ) -> None:
        self.project = project
        self.must_keep = must_keep
        self._setting_of = setting
        self._frames: dict[tuple[object, ...], Frame] = {}
        self._known: dict[tuple[int, int], Values] = {}
        self._options: dict[int, list[ast.Call]] = {}
        self._active: set[tuple[int, int]] = set()
        self._cuts = 0
        self._steps = 0

    # --- frames --------------------------------------------------------------------------------------------------

    def module_frame(self, module: Module) -> Frame:
        """Where a module's names are looked up."""
        return self._frames.setdefault((id(module),), Frame(module, module.scope(module.tree)))

    def class_frame(self, node: ast.ClassDef, outer: Frame) -> Frame:
        """Where the names of a class's body are looked up."""
        scope = outer.module.scope(node)
        frame = Frame(outer.module, scope, outer, root=outer.root, depth=outer.depth)
        return self._frames.setdefault((id(node), id(outer)), frame)

    def entered(self, node: Function, outer: Frame, owner: Ref | None = None) -> Frame:
        """The frame of a function whose callers are not known: its parameters are their defaults."""
        names = parameters(node)
        given: dict[str, Values] = {}
        if owner is not None and names and not is_static(node):
            given[names[0]] = (owner,)
        frame = Frame(outer.module, outer.module.scope(node), outer, given, node, outer.depth)
        key = (id(node), id(outer), "entered", None if owner is None else _identity(owner))
        return self._frames.setdefault(key, frame)

    def called(self, callee: Ref, call: ast.Call, frame: Frame) -> Frame | None:
        """The frame of one call of a function; None when it is too deep."""
        node, where = callee.node, callee.frame
        if not isinstance(node, FUNCTIONS) or frame.depth >= MAX_DEPTH:
            return None
        given = self._given(node, callee, call, frame)
        identities = tuple((name, tuple(map(_identity, values))) for name, values in sorted(given.items()))
        key = (id(node), id(where), identities, id(frame.root))
        scope = where.module.scope(node)
        entered = Frame(where.module, scope, where, given, frame.root, frame.depth + 1)
        return self._frames.setdefault(key, entered)

    def _given(self, node: Function, callee: Ref, call: ast.Call, frame: Frame) -> dict[str, Values]:
        """What each parameter stands for in a call, as far as the call says it."""
        names = positional_names(callee)
        given: dict[str, Values] = {}
        first = parameters(node)[:1]
        if callee.made_by is not None and first and first[0] not in names:
            given[first[0]] = (callee.made_by,)
        for slot, expression, where in self.slots(call, frame):
            name = names[slot] if isinstance(slot, int) and slot < len(names) else slot
            if isinstance(name, str):
                given[name] = self.values(expression, where)
        starred = any(isinstance(one, ast.Starred) for one in call.args)
        if starred or any(keyword.arg is None for keyword in call.keywords):
            usual = defaults(node.args)
            for name in (*names, *(argument.arg for argument in node.args.kwonlyargs)):
                if name not in given:
                    default = [usual[name]] if name in usual else []
                    given[name] = (*self._each(default, callee.frame), UNKNOWN)
        return given

    # --- expressions ---------------------------------------------------------------------------------------------

    def texts(self, node: ast.expr, frame: Frame) -> tuple[Text, ...]:
        """Every text that an expression may come to, or the elements of the list that it comes to.

        Raises:
            TooDeep: It needs too many steps.
        """
        self._steps = 0
        found = [
            _text(part)
            for value in self.values(node, frame)
            for part in ([value] if isinstance(value, Text) else self._parts_of(value))
        ]
        return tuple(limited(found, self.must_keep))

    def parts(self, node: ast.expr, frame: Frame) -> list[Text]:
        """Every text that a part of an expression may come to."""
        return [_text(value) for value in self.values(node, frame)]

    def values(self, node: ast.expr, frame: Frame) -> Values:
        """Everything that an expression may stand for; never empty.

        Raises:
            TooDeep: It needs too many steps.
        """
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
            found = tuple(_distinct(self._evaluate(node, frame), self.must_keep)) or NOTHING
        finally:
            self._active.discard(key)
        if cuts == self._cuts or not self._active:
            self._known[key] = found
        return found

    def qualified(self, node: ast.expr, frame: Frame) -> str:
        """A function's dotted name, with what an import says about its beginning: ``os.path.join``."""
        if isinstance(node, ast.Attribute):
            return f"{self.qualified(node.value, frame) or '?'}.{node.attr}"
        if isinstance(node, ast.Name):
            for binding, _ in self._bindings(node.id, frame):
                if binding.how is How.MEMBER:
                    return binding.name.replace(":", ".")
            return node.id
        return ""

    def _evaluate(self, node: ast.expr, frame: Frame) -> Iterable[Value]:  # noqa: C901, PLR0912 -- a table of cases
        match node:
            case ast.Constant(value=bool()):
                return NOTHING
            case ast.Constant(value=str() | bytes() | int()):
                return [literal(node, frame.module.source)]
            case ast.JoinedStr():
                parts = formatted(node, frame.module.source)
                ways = [[part] if isinstance(part, Text) else self._field(part, frame) for part in parts]
                return product(ways, self.must_keep)
            case ast.Name():
                return _read(self.name(node.id, frame), node, frame)
            case ast.Attribute():
                return _read(self._attribute(node, frame), node, frame)
            case ast.Subscript():
                return self._subscript(node, frame)
            case ast.BinOp():
                return self._operation(node, frame)
            case ast.Call():
                return self._call(node, frame)
            case ast.IfExp():
                return self._each([node.body, node.orelse], frame)
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

    def _field(self, part: ast.FormattedValue, frame: Frame) -> Sequence[Text]:
        return self.parts(part.value, frame) if part.conversion in {-1, ord("s")} else [UNKNOWN]

    def _first_of(self, nodes: Sequence[ast.expr], frame: Frame) -> list[Value]:
        """``a or b``: a setting from the environment is unknown, so the default behind it is believed."""
        found: list[Value] = []
        settings: set[str] = set()
        for node in nodes:
            looked_up = isinstance(node, ast.Call) and is_lookup(self.qualified(node.func, frame))
            for value in _decided(self.values(node, frame), settings):
                if looked_up and isinstance(value, Text) and _is_unknown(value):
                    settings |= value.deciding
                else:
                    found.append(value)
        return found

    def _operation(self, node: ast.BinOp, frame: Frame) -> Sequence[Value]:
        """What ``+``, ``/`` and ``%`` come to."""
        if not isinstance(node.op, (ast.Add, ast.Div, ast.Mod)):
            return NOTHING
        left, right = self.parts(node.left, frame), self.parts(node.right, frame)
        if isinstance(node.op, ast.Add):
            return product([left, right], self.must_keep)
        if isinstance(node.op, ast.Div):
            return path_join([left, right], self.must_keep)
        args = [right]
        if isinstance(node.right, ast.Tuple):
            args = [self.parts(element, frame) for element in node.right.elts]
        keywords = {
            name: self.parts(value, where)
            for ref in self.values(node.right, frame)
            for name, value, where in self.entries(ref)
        }
        return [made for text in left for made in with_fields(text, PERCENT, args, keywords, self.must_keep)]

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
        for binding, where in _not_none(self._bindings(name, frame)):
            if binding.how is How.PARAMETER and where.given is not None and name in where.given:
                found += where.given[name]
            elif binding.how is How.ADDED:
                added += self._taken(binding, where)
            else:
                found += self._bound(binding, where)
        if added:
            texts = [value for value in found if isinstance(value, Text)] or [UNKNOWN]
            found += product([texts, list(map(_text, added))], self.must_keep)
        return found or self._starred(name, frame.module)

    def _starred(self, name: str, module: Module) -> list[Value]:
        for star in module.scope(module.tree).stars:
            for found in self.project.find(star.name.partition(":")[0], star.level, module.path):
                if name in found.scope(found.tree).names:
                    return self._exported(name, found)
        return []

    def _exported(self, name: str, module: Module) -> list[Value]:
        found = self.name(name, self.module_frame(module))
        return [*found, UNKNOWN] if name in self.project.set_from_outside else found

    def _bound(self, binding: Binding, frame: Frame) -> Iterable[Value]:
        node = binding.node
        match binding.how:
            case How.VALUE | How.ELEMENT:
                return self._taken(binding, frame)
            case How.PARAMETER:
                return self.values(node, frame.outer or frame) if isinstance(node, ast.expr) else NOTHING
            case How.FUNCTION | How.CLASS | How.MODULE:
                return [Ref(What[binding.how.name], node, frame, binding.name)]
            case How.MEMBER:
                return self._imported(binding, frame)
            case _:
                return NOTHING

    def _imported(self, binding: Binding, frame: Frame) -> list[Value]:
        package, _, name = binding.name.partition(":")
        found: list[Value] = []
        for module in self.project.find(package, binding.level, frame.module.path):
            if name in module.scope(module.tree).names or module.scope(module.tree).stars:
                found += self._exported(name, module)
        dotted = f"{package}.{name}" if package else name
        return found or [Ref(What.MODULE, binding.node, frame, "." * binding.level + dotted)]

    def _taken(self, binding: Binding, frame: Frame) -> list[Value]:
        """A binding's value, taken apart as its target says."""
        if not isinstance(binding.node, ast.expr):
            return [UNKNOWN]
        steps = list(binding.steps)
        if binding.how is How.ELEMENT:
            values = self._elements(binding.node, frame, steps)
        else:
            values = list(self.values(binding.node, frame))
        for step in steps:
            values = [inner for value in values for inner in self._item(value, step)]
        return values

    # --- what things consist of ----------------------------------------------------------------------------------

    def slots(self, call: ast.Call, frame: Frame) -> Iterator[Slot]:
        """A call's arguments by position or keyword; ``**{...}`` is taken apart where it can be read."""
        for index, argument in enumerate(call.args):
            if isinstance(argument, ast.Starred):
                break
            yield index, argument, frame
        for keyword in call.keywords:
            if keyword.arg is not None:
                yield keyword.arg, keyword.value, frame
                continue
            for value in self.values(keyword.value, frame):
                yield from self.entries(value)

    def entries(self, value: Value) -> Iterator[tuple[str, ast.expr, Frame]]:
        """The entries of a dict, or of ``dict(...)``, whose keys can be read."""
        if isinstance(value, Text):
            return
        if isinstance(value.node, ast.Dict):
            for key, inner in zip(value.node.keys, value.node.values, strict=True):
                if key is None:
                    for unpacked in self.values(inner, value.frame):
                        yield from self.entries(unpacked)
                elif isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value, inner, value.frame
        elif value.what is What.INSTANCE and isinstance(value.node, ast.Call) and value.made_by is None:
            for slot, expression, frame in self.slots(value.node, value.frame):
                if isinstance(slot, str):
                    yield slot, expression, frame

    def _item(self, value: Value, index: int) -> Values:
        if isinstance(value, Ref) and isinstance(value.node, (ast.List, ast.Tuple)):
            elements = value.node.elts
            if index < len(elements) and not any(isinstance(element, ast.Starred) for element in elements):
                return tuple(self._all([elements[index]], value))
        return NOTHING

    def _all(self, nodes: Iterable[ast.expr], container: Ref) -> list[Value]:
        return [value.through(container.loads) for value in self._each(nodes, container.frame)]

    def _elements(self, node: ast.expr, frame: Frame, steps: list[int]) -> list[Value]:
        """What a loop over an expression gives; takes the first of `steps` where the expression makes pairs."""
        found: list[Value] = []
        if isinstance(node, ast.Call):
            qualified = self.qualified(node.func, frame)
            name = qualified.rpartition(".")[2]
            if qualified == "enumerate" and node.args and steps:
                return self._elements(node.args[0], frame, steps) if steps.pop(0) else [UNKNOWN]
            if qualified in _COPIES and node.args:
                return self._elements(node.args[0], frame, steps)
            if name in {"items", "values"} and isinstance(node.func, ast.Attribute):
                side = steps.pop(0) if name == "items" and steps else 1
                for value in self.values(node.func.value, frame):
                    found += self._side(value, side)
                return found or [UNKNOWN]
        for value in self.values(node, frame):
            found += self._parts_of(value)
        return found or [UNKNOWN]

    def _side(self, value: Value, side: int) -> list[Value]:
        """The keys (0) or the values (1) of a dict."""
        if not isinstance(value, Ref) or not isinstance(value.node, ast.Dict):
            return [UNKNOWN]
        nodes = value.node.values if side else [key for key in value.node.keys if key is not None]
        return self._all(nodes, value)

    def _parts_of(self, value: Value) -> list[Value]:
        """The elements of a list, the keys of a dict; those of anything else are unknown."""
        if isinstance(value, Ref) and isinstance(value.node, (ast.List, ast.Tuple, ast.Set)):
            return self._all(value.node.elts, value)
        return self._side(value, 0)

    def _part_of(self, base: Value, key: str | None) -> Sequence[Value]:
        """What a subscript stands for; every part when the key is not known."""
        if not isinstance(base, Ref):
            return NOTHING
        found: list[Value] = []
        if isinstance(base.node, (ast.List, ast.Tuple)):
            indexed = key is not None and key.isdigit()
            found = list(self._item(base, int(key or 0))) if indexed else self._parts_of(base)
        elif base.what is What.CLASS and key is not None:
            found = self._class_member(base, key, None)
        else:
            for name, value, frame in list(self.entries(base)):
                if key is None or name == key:
                    found += self.values(value, frame)
        return [value.through(base.loads) for value in found] or NOTHING

    def _subscript(self, node: ast.Subscript, frame: Frame) -> list[Value]:
        keys = self.parts(node.slice, frame)
        key = keys[0].chars if len(keys) == 1 and UNKNOWN.chars not in keys[0].chars else None
        if key is not None and self.qualified(node.value, frame).endswith("environ"):
            return _read(self._given_setting([key]), node, frame) or [Text(UNKNOWN.chars).decided_by([key])]
        return [inner for base in self.values(node.value, frame) for inner in self._part_of(base, key)]

    def _attribute(self, node: ast.Attribute, frame: Frame) -> list[Value]:
        found: list[Value] = []
        for base in self.values(node.value, frame):
            if isinstance(base, Text):
                found.append(base if node.attr in {"value", "name"} else UNKNOWN)
            else:
                found += [value.through(base.loads) for value in self._member(base, node.attr)]
        return found

    def _member(self, base: Ref, name: str) -> Sequence[Value]:
        match base.what:
            case What.MODULE:
                return self._module_member(base, name)
            case What.CLASS:
                return self._class_member(base, name, None) or NOTHING
            case What.INSTANCE:
                return self._instance_member(base, name) or NOTHING
            case _:
                return NOTHING

    def _module_member(self, base: Ref, name: str) -> Sequence[Value]:
        dotted = base.name.lstrip(".")
        found: list[Value] = []
        for module in self.project.find(dotted, len(base.name) - len(dotted), base.frame.module.path):
            if name in module.scope(module.tree).names:
                found += self._exported(name, module)
        return found or [Ref(What.MODULE, base.node, base.frame, f"{base.name}.{name}")]

    def _class_member(self, base: Ref, name: str, instance: Ref | None) -> list[Value]:
        """What a name of a class, or of a class that it inherits from, stands for."""
        node = base.node
        if not isinstance(node, ast.ClassDef):
            return []
        frame = self.class_frame(node, base.frame)
        settings = self._settings_names(base, name) if name in field_names(base) else []
        if given := self._given_setting(settings):
            return given
        if (member := _enumerated(node, name)) is not None:
            return [member.through({base.frame.module.load(node.bases[0])}) if node.bases else member]
        if name in frame.scope.names:
            found = [_with_instance(value, instance) for value in self.name(name, frame)]
            return _decided((inner for value in found for inner in self._property(value)), settings[:1])
        members = (self._class_member(one, name, instance) for one in self.parents(base))
        return next(filter(None, members), [])

    def _settings_names(self, cls: Ref, name: str) -> list[str]:
        """The names that the environment has for a field of pydantic's settings; none for any other class."""
        if not isinstance(cls.node, ast.ClassDef):
            return []
        if not any(spelling(base) == "BaseSettings" for base in cls.node.bases):
            return [each for parent in self.parents(cls) for each in self._settings_names(parent, name)]
        before = ""
        for node in ast.walk(cls.node):
            match node:
                case (
                    ast.keyword(arg="env_prefix", value=ast.Constant(value=str() as before))
                    | ast.Assign(
                        targets=[ast.Name(id="env_prefix")], value=ast.Constant(value=str() as before)
                    )
                ):
                    break
        return [f"{before}{name}".upper(), f"{before}{name}"]

    def parents(self, cls: Ref) -> Iterator[Ref]:
        """The classes that a class names as its own bases."""
        if isinstance(cls.node, ast.ClassDef):
            for value in self._each(cls.node.bases, cls.frame):
                if isinstance(value, Ref) and value.what is What.CLASS and value.node is not cls.node:
                    yield value

    def _property(self, value: Value) -> Iterable[Value]:
        if isinstance(value, Ref) and isinstance(value.node, FUNCTIONS):
            function = value.node
            if is_decorated(function, {"property", "cached_property"}):
                return self._returned(function, self.entered(function, value.frame, value.made_by))
        return [value]

    def _returned(self, function: Function, frame: Frame) -> list[Value]:
        return self._each(returns(function), frame)

    def _each(self, nodes: Iterable[ast.expr], frame: Frame) -> list[Value]:
        return [value for node in nodes for value in self.values(node, frame)]

    def _instance_member(self, base: Ref, name: str) -> list[Value]:
        """What an object's attribute stands for: what the call gave, else what the class says."""
        call, cls = base.node, base.made_by
        if isinstance(call, ast.Call):
            slots = [(node, frame) for slot, node, frame in self.slots(call, base.frame) if slot == name]
            if given := [value for node, frame in slots for value in self.values(node, frame)]:
                return given
        if cls is None and isinstance(call, ast.Call) and spelling(call.func) == "parse_args":
            return self._option(base.frame.module, name)
        if cls is None or not isinstance(cls.node, ast.ClassDef):
            return []
        fields = field_names(cls)
        if isinstance(call, ast.Call) and name in fields and fields.index(name) < len(call.args):
            return list(self.values(call.args[fields.index(name)], base.frame))
        return [*self._assigned(base, cls, name), *self._class_member(cls, name, base)]

    def _option(self, module: Module, name: str) -> list[Value]:
        """The default of a command line's option, as ``add_argument`` in the same module says it; unknown where it has none."""
        if id(module) not in self._options:
            calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
            self._options[id(module)] = [one for one in calls if spelling(one.func) == "add_argument"]
        found: list[Value] = []
        for call in self._options[id(module)]:
            if option_name(call) == name:
                given = [keyword.value for keyword in call.keywords if keyword.arg == "default"]
                found += self._each(given, self.module_frame(module)) or [UNKNOWN]
        return found

    def _assigned(self, base: Ref, cls: Ref, name: str) -> list[Value]:
        """What the methods of a class, or else those of a class that it inherits from, assign to ``self.name``."""
        found: list[Value] = []
        if not isinstance(cls.node, ast.ClassDef):
            return found
        body = self.class_frame(cls.node, cls.frame)
        for method in cls.node.body:
            if not isinstance(method, FUNCTIONS):
                continue
            for value in cls.frame.module.attributes(method).get(name, ()):
                frame = None
                if method.name == "__init__" and isinstance(base.node, ast.Call):
                    callee = Ref(What.FUNCTION, method, body, made_by=base)
                    frame = self.called(callee, base.node, base.frame)
                found += self.values(value, frame or self.entered(method, body, base))
        inherited = (self._assigned(base, one, name) for one in self.parents(cls))
        return found or next(filter(None, inherited), [])

    # --- calls ---------------------------------------------------------------------------------------------------

    def _call(self, node: ast.Call, frame: Frame) -> Sequence[Value]:
        """What a call comes to; where that cannot be told, it is an instance of something."""
        callees = [value for value in self.values(node.func, frame) if isinstance(value, Ref)]
        if known := [value for callee in callees for value in self._called(callee, node, frame)]:
            return known
        found = self._method(node, node.func, frame) if isinstance(node.func, ast.Attribute) else None
        if found is not None:
            return found
        return self._builtin(node, frame) or [Ref(What.INSTANCE, node, frame)]

    def _called(self, callee: Ref, node: ast.Call, frame: Frame) -> Sequence[Value]:
        if callee.what is What.CLASS:
            return [Ref(What.INSTANCE, node, frame, made_by=callee, loads=callee.loads)]
        if not isinstance(callee.node, FUNCTIONS) or callee.what is not What.FUNCTION:
            return ()
        if (entered := self.called(callee, node, frame)) is None:
            return NOTHING
        return [value.through(callee.loads) for value in self._returned(callee.node, entered)] or NOTHING

    def _method(self, node: ast.Call, func: ast.Attribute, frame: Frame) -> Sequence[Value] | None:
        """A method of a string, a path, a dict or a storage client; None for any other."""
        name = func.attr
        args = [self.parts(argument, frame) for argument in node.args]
        keywords = {one.arg: self.parts(one.value, frame) for one in node.keywords if one.arg}
        if name == "join" and self.qualified(func, frame).endswith("path.join"):
            return path_join(args, self.must_keep)
        if name in _BUCKETS:
            named = (keywords.get(key) for key in ("bucket_name", "name", "bucket_or_name"))
            return args[0] if args else next(filter(None, named), None)
        if name == "get" and (found := self._got(node, func, frame)):
            return found
        receivers = self.parts(func.value, frame)
        if not any(text.known for text in receivers):
            return None
        if name == "join":
            return self._joined(receivers, node, frame)
        if name == "joinpath":
            return path_join([receivers, *args], self.must_keep)
        if name == "format":
            return [
                made
                for text in receivers
                for made in with_fields(text, FORMAT, args, keywords, self.must_keep)
            ]
        if name in METHODS:
            firsts = [way for values in args for way in values[:1]]
            return [METHODS[name](text, firsts) for text in receivers]
        return None

    def _got(self, node: ast.Call, func: ast.Attribute, frame: Frame) -> Sequence[Value]:
        """``mapping.get(key, default)``."""
        if is_lookup(self.qualified(func, frame)):
            return self._setting(node, frame)
        found: list[Value] = []
        keys = self.parts(node.args[0], frame) if node.args else [UNKNOWN]
        key = keys[0].chars if len(keys) == 1 and keys[0].known else None
        for base in self.values(func.value, frame):
            if isinstance(base, Ref) and base.what is not What.MODULE:
                found += [value for value in self._part_of(base, key) if not _is_unknown(value)]
        return [*found, *self._defaults(node, frame)]

    def _setting(self, call: ast.Call, frame: Frame) -> list[Value]:
        """A setting's value where the code is deployed, if that is known; else its default, or nothing that is known."""
        keys = call.args[:1] or [keyword.value for keyword in call.keywords if keyword.arg in {"key", "name"}]
        names = {text.chars for key in keys for text in self.parts(key, frame) if text.known}
        given = _read(self._given_setting(names), call, frame)
        return given or _decided(self._defaults(call, frame) or [Text(UNKNOWN.chars)], names)

    def _given_setting(self, names: Iterable[str]) -> list[Value]:
        return [Text(given) for name in names if (given := self._setting_of(name)) is not None]

    def _defaults(self, call: ast.Call, frame: Frame) -> list[Value]:
        """A lookup's default: believed, unless it only names an environment for the case that none is set."""
        nodes = call.args[1:2] or [keyword.value for keyword in call.keywords if keyword.arg in _DEFAULTS]
        return [
            UNKNOWN if isinstance(value, Text) and value.chars.lower() in _ENVIRONMENTS else value
            for value in self._each(nodes, frame)
        ]

    def _field_default(self, call: ast.Call, frame: Frame) -> list[Value]:
        """What a field of a class is without an argument: ``Field("x", alias="X")``, ``field(default="x")``."""
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        aliases = [keywords[key] for key in ("env", "alias", "validation_alias", "envvar") if key in keywords]
        names = {text.chars for alias in aliases for text in self.parts(alias, frame) if text.known}
        nodes = call.args[:1] or [keywords[key] for key in ("default",) if key in keywords]
        return self._given_setting(names) or _decided(self._each(nodes, frame), names)

    def _joined(self, separators: Sequence[Text], node: ast.Call, frame: Frame) -> Sequence[Value]:
        """``separator.join([...])``."""
        found: list[Value] = []
        for value in self.values(node.args[0], frame) if node.args else ():
            if not isinstance(value, Ref) or not isinstance(value.node, (ast.List, ast.Tuple)):
                continue
            elements = value.node.elts
            if any(isinstance(element, ast.Starred) for element in elements):
                continue
            for separator in separators:
                parts: list[Sequence[Text]] = []
                for element in elements:
                    parts += [*([[separator]] if parts else []), self.parts(element, value.frame)]
                found += product(parts, self.must_keep)
        return found or NOTHING

    def _builtin(self, node: ast.Call, frame: Frame) -> Sequence[Value]:
        """A function that is known by its name; empty for any other."""
        qualified, args = self.qualified(node.func, frame), node.args
        name = qualified.rpartition(".")[2]
        if is_lookup(qualified):
            return self._setting(node, frame)
        if name in _FIELDS or qualified in _FIELDS:
            return self._field_default(node, frame)
        if name in _PATHS or qualified.endswith("path.join"):
            return path_join([self.parts(argument, frame) for argument in args], self.must_keep)
        if args and (name in _SAME or qualified in _COPIES):
            return self.values(args[1 if name == "cast" and len(args) > 1 else 0], frame)
        if name == "Bucket":
            named = [keyword.value for keyword in node.keywords if keyword.arg == "name"] or args[1:2]
            return [value for expression in named for value in self.parts(expression, frame)]
        return ()


def _enumerated(cls: ast.ClassDef, name: str) -> Text | None:
    """The value of an enumeration's member that is ``auto()``: its name in lower case for texts, or else its name; None for any other."""
    for node in cls.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=ast.Call(func=func)) if target == name:
                if spelling(func) == "auto":
                    return Text(name.lower() if "StrEnum" in map(spelling, cls.bases) else name)
    return None


def _is_unknown(value: Value) -> bool:
    return isinstance(value, Text) and value.chars == UNKNOWN.chars


def _decided(values: Iterable[Value], settings: Iterable[str]) -> list[Value]:
    """The values, decided by settings; an environment, for which `UNKNOWN` stands, is not said of every bucket."""
    return [
        value.decided_by(settings) if isinstance(value, Text) and value is not UNKNOWN else value
        for value in values
    ]


def _text(value: Value) -> Text:
    return value if isinstance(value, Text) else UNKNOWN


def _read(values: Iterable[Value], node: ast.expr, frame: Frame) -> list[Value]:
    """The values, read through one more name."""
    loads = frozenset({frame.module.load(node)})
    return [value.through(loads) for value in values]


def _with_instance(value: Value, instance: Ref | None) -> Value:
    if isinstance(value, Ref) and value.what is What.FUNCTION and not is_static(value.node):
        return Ref(What.FUNCTION, value.node, value.frame, made_by=instance, loads=value.loads)
    return value


def _not_none(bindings: Iterable[tuple[Binding, Frame]]) -> list[tuple[Binding, Frame]]:
    """The bindings without those to ``None``, which stands for "not set yet"; all, where there are no others."""
    found = list(bindings)
    return [
        (binding, frame)
        for binding, frame in found
        if not (isinstance(binding.node, ast.Constant) and binding.node.value is None)
    ] or found


def _identity(value: Value) -> object:
    return value if isinstance(value, Text) else (value.what, id(value.node), id(value.frame))


def _distinct(values: Iterable[Value], must_keep: Callable[[str], bool]) -> list[Value]:
    texts: list[Text] = []
    refs: dict[object, Ref] = {}
    for value in values:
        if isinstance(value, Text):
            texts.append(value)
        else:
            refs.setdefault((_identity(value), value.name, value.loads), value)
    return [*limited(texts, must_keep), *refs.values()]
