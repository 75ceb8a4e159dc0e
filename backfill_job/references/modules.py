"""Python files as scopes of names: which expressions a name may stand for.

Nothing is imported or run. The order of assignments is not followed: a name stands for everything that is ever assigned to it.

The Python files of a scan: parsed when they are asked for, and found by what an import calls them.

What an expression can stand for besides a text: something with parts, and where its names are looked up.
"""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import lru_cache
from itertools import takewhile
from pathlib import Path, PurePath

from backfill_job.references.texts import UNKNOWN, Position, Source, Text, decode

__all__ = [
    "FUNCTIONS",
    "NOTHING",
    "Binding",
    "Frame",
    "Function",
    "How",
    "Module",
    "Project",
    "Ref",
    "Scope",
    "ScopeNode",
    "Value",
    "Values",
    "What",
    "defaults",
    "field_names",
    "is_decorated",
    "is_static",
    "module_name",
    "own_nodes",
    "owner_of",
    "positional_names",
    "returns",
]

_CHANGES = frozenset({"update", "setdefault", "append", "extend", "insert", "pop", "clear"})
"""Methods after which nobody knows what a container holds."""

ScopeNode = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class How(Enum):
    """How a name gets its value."""

    VALUE = auto()  # the value of an expression
    ELEMENT = auto()  # an element of it
    ADDED = auto()  # what it was, and an expression behind it
    MODULE = auto()  # import a.b
    MEMBER = auto()  # from a import b
    FUNCTION = auto()
    CLASS = auto()
    PARAMETER = auto()
    OPAQUE = auto()  # nobody knows


@dataclass(frozen=True, slots=True)
class Binding:
    """One way a name gets its value.

    Attributes:
        how: Which way.
        node: The expression, function, class or import; a parameter's default, or itself if it has none.
        steps: Where it is taken apart: the position in each tuple.
        name: What an import names, and with which leading dots in `level`.
        level: See `name`.
    """

    how: How
    node: ast.AST
    steps: tuple[int, ...] = ()
    name: str = ""
    level: int = 0


@dataclass(frozen=True, slots=True)
class Scope:
    """The names of a module, a class body or a function body."""

    node: ScopeNode
    names: dict[str, list[Binding]]
    stars: tuple[Binding, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """A parsed file."""

    source: Source
    tree: ast.Module
    _scopes: dict[int, Scope] = field(default_factory=dict, repr=False)
    _attributes: dict[int, dict[str, list[ast.expr]]] = field(default_factory=dict, repr=False)

    @property
    def path(self) -> Path:
        """The file."""
        return self.source.path

    def scope(self, node: ScopeNode) -> Scope:
        """The names bound directly in a module, class or function."""
        found = self._scopes.get(id(node))
        if found is None:
            found = self._scopes[id(node)] = _scope(node)
        return found

    def attributes(self, method: Function) -> dict[str, list[ast.expr]]:
        """What a method assigns to the attributes of its first parameter."""
        found = self._attributes.get(id(method))
        if found is None:
            found = self._attributes[id(method)] = _attributes(method)
        return found

    def offset(self, node: ast.expr | ast.stmt | ast.arg) -> int:
        """Where a node starts."""
        return self.source.offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt) -> int:
        """Where a node ends."""
        return self.source.offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)

    def load(self, node: ast.expr) -> Position:
        """The name of a use: where it ends, as ``config`` and ``config.X`` start at the same place."""
        return (self.path, self.end(node))


def _scope(node: ScopeNode) -> Scope:
    names: dict[str, list[Binding]] = defaultdict(list)
    stars: list[Binding] = []
    if isinstance(node, FUNCTIONS):
        _bind_parameters(node.args, names)
    for inner in own_nodes(node.body):
        _bind(inner, names, stars)
    if isinstance(node, ast.Module):
        for name, binding in _globals(node):
            names[name].append(binding)
    return Scope(node, dict(names), tuple(stars))


def own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Every node of a body, without what is inside its functions and classes."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            continue
        waiting.extend(ast.iter_child_nodes(node))


def _attributes(method: Function) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = defaultdict(list)
    own = next((argument.arg for argument in (*method.args.posonlyargs, *method.args.args)), None)
    for node in ast.walk(method):
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        for target in targets:
            match target:
                case ast.Attribute(value=ast.Name(id=name), attr=attr) if name == own and value is not None:
                    found[attr].append(value)
                case _:
                    pass
    return found


def _globals(module: ast.Module) -> Iterator[tuple[str, Binding]]:
    """What functions assign to the module's names."""
    for function in ast.walk(module):
        if not isinstance(function, FUNCTIONS):
            continue
        declared = {
            name for node in own_nodes(function.body) if isinstance(node, ast.Global) for name in node.names
        }
        if declared:
            names: dict[str, list[Binding]] = defaultdict(list)
            for node in own_nodes(function.body):
                _bind(node, names, [])
            for name in declared & names.keys():
                # It may refer to the function's own names, which nobody knows from here.
                yield from ((name, binding) for binding in names[name])


def defaults(arguments: ast.arguments) -> dict[str, ast.expr]:
    """The parameters that have a default, and it."""
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(reversed(positional), reversed(arguments.defaults), strict=False),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return {argument.arg: default for argument, default in pairs if default is not None}


def _bind_parameters(arguments: ast.arguments, names: dict[str, list[Binding]]) -> None:
    given = defaults(arguments)
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        names[argument.arg].append(Binding(How.PARAMETER, given.get(argument.arg, argument)))
    for rest in (arguments.vararg, arguments.kwarg):
        if rest is not None:
            names[rest.arg].append(Binding(How.OPAQUE, rest))


def _bind(node: ast.AST, names: dict[str, list[Binding]], stars: list[Binding]) -> None:  # noqa: C901, PLR0912 -- a table of cases
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            names[node.name].append(Binding(How.FUNCTION, node))
        case ast.ClassDef():
            names[node.name].append(Binding(How.CLASS, node))
        case ast.Assign():
            for target in node.targets:
                _bind_target(target, node.value, How.VALUE, (), names)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)) if attr in _CHANGES:
            names[name].append(Binding(How.OPAQUE, node))
        case ast.AnnAssign(value=ast.expr() as value) | ast.NamedExpr(value=value):
            _bind_target(node.target, value, How.VALUE, (), names)
        case ast.AugAssign():
            how = How.ADDED if isinstance(node.op, ast.Add) else How.OPAQUE
            _bind_target(node.target, node.value, how, (), names)
        case ast.For() | ast.AsyncFor() | ast.comprehension():
            _bind_target(node.target, node.iter, How.ELEMENT, (), names)
        case ast.withitem(optional_vars=ast.expr() as target):
            _bind_target(target, node.context_expr, How.VALUE, (), names)
        case ast.Import():
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                names[alias.asname or whole].append(Binding(How.MODULE, node, name=whole))
        case ast.ImportFrom():
            for alias in node.names:
                dotted = f"{node.module or ''}:{alias.name}"
                binding = Binding(How.MEMBER, node, name=dotted, level=node.level)
                if alias.name == "*":
                    stars.append(binding)
                else:
                    names[alias.asname or alias.name].append(binding)
        case ast.Lambda():
            for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                names[argument.arg].append(Binding(How.OPAQUE, argument))
        case (
            ast.ExceptHandler(name=str() as name)
            | ast.MatchAs(name=str() as name)
            | ast.MatchStar(name=str() as name)
        ):
            names[name].append(Binding(How.OPAQUE, node))
        case _:
            pass


def _bind_target(
    target: ast.expr, value: ast.expr, how: How, steps: tuple[int, ...], names: dict[str, list[Binding]]
) -> None:
    if isinstance(target, ast.Name):
        names[target.id].append(Binding(how, value, steps))
    elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
        names[target.value.id].append(Binding(How.OPAQUE, target))
    elif isinstance(target, (ast.Tuple, ast.List)):
        starred = any(isinstance(element, ast.Starred) for element in target.elts)
        for index, element in enumerate(target.elts):
            inner = element.value if isinstance(element, ast.Starred) else element
            opaque = How.OPAQUE if starred else how
            _bind_target(inner, value, opaque, (*steps, index), names)


class Project:
    """The Python files of a scan, parsed when they are asked for.

    Args:
        paths: The files scanned.
        read: Reads a file.
    """

    def __init__(self, paths: Iterable[Path], read: Callable[[Path], bytes]) -> None:
        self._read = read
        self._modules: dict[Path, Module | None] = {}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self.set_from_outside: set[str] = set()
        """Names that some file sets as another module's: ``config.BUCKET = ...``."""
        self.paths = tuple(paths)
        for path in self.paths:
            self._by_name[module_name(path)].append(path)

    def module(self, path: Path) -> Module | None:
        """Parse a file; None when it cannot be read or is no Python."""
        if path not in self._modules:
            self._modules[path] = self._parse(path)
        return self._modules[path]

    def find(self, name: str, level: int, importer: Path) -> list[Module]:
        """The modules that an import may mean.

        Args:
            name: Dotted name; empty in ``from . import x``.
            level: Leading dots.
            importer: The importing file.

        Returns:
            The files nearest to the importer; several when they are equally near.
        """
        parts = tuple(part for part in name.split(".") if part)
        paths = _relative(parts, level, importer) if level else self._absolute(parts, importer)
        return [module for path in paths if (module := self.module(path)) is not None]

    def _absolute(self, parts: tuple[str, ...], importer: Path) -> list[Path]:
        if not parts:
            return []
        matching = [
            path for path in self._by_name.get(parts[-1], ()) if _dotted(path)[-len(parts) :] == parts
        ]
        if matching:
            nearness = {path: _folders_in_common(path, importer) for path in matching}
            return [path for path in matching if nearness[path] == max(nearness.values())]
        for folder in _folders_above(importer):
            if found := _files(folder, parts):
                return found[:1]
        return []

    def _parse(self, path: Path) -> Module | None:
        try:
            source = decode(path, self._read(path))
            return Module(source, ast.parse(source.text))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _folders_in_common(one: PurePath, other: PurePath) -> int:
    """How many folders two paths have in common."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one.parts, other.parts, strict=False))
    )


def module_name(path: PurePath) -> str:
    """What imports of a file end with: its name, or the package's."""
    return path.parent.name if path.name == "__init__.py" else path.stem


def _dotted(path: PurePath) -> tuple[str, ...]:
    return path.parent.parts if path.name == "__init__.py" else (*path.parent.parts, path.stem)


def _files(folder: Path, parts: tuple[str, ...]) -> list[Path]:
    base = folder.joinpath(*parts)
    candidates = [base / "__init__.py", *([base.with_name(base.name + ".py")] if parts else [])]
    return [path for path in candidates if path.is_file()]


def _relative(parts: tuple[str, ...], level: int, importer: Path) -> list[Path]:
    folder = importer.parent
    for _ in range(level - 1):
        folder = folder.parent
    return _files(folder, parts)


@lru_cache(4_096)
def _folders_of(folder: Path) -> tuple[Path, ...]:
    above = []
    for candidate in (folder, *folder.parents):
        above.append(candidate)
        if (candidate / ".git").exists():
            return tuple(above)
    return ()


def _folders_above(importer: Path) -> tuple[Path, ...]:
    """The folders from a file's own up to the top of its checkout; none outside of a checkout."""
    return _folders_of(importer.parent.absolute())


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
