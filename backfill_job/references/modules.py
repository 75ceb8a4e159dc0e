"""Python files as scopes of names: what a name may stand for, where it is looked up, and which file an import means.

Nothing is imported or run. The order of assignments is not followed: a name stands for everything that is ever assigned to it.
"""

import ast
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import lru_cache
from itertools import takewhile
from pathlib import Path, PurePath

from backfill_job.references.texts import UNKNOWN, Position, SourceText, Text, decode_source

__all__ = [
    "FUNCTIONS",
    "NOTHING",
    "Binding",
    "Frame",
    "Function",
    "How",
    "Module",
    "PythonProject",
    "Ref",
    "Value",
    "Values",
    "What",
    "defaults",
    "field_names",
    "folders_above",
    "is_decorated",
    "is_static",
    "module_name",
    "option_name",
    "options",
    "own_nodes",
    "owner_of",
    "parameters",
    "positional_names",
    "returns",
    "spelling",
]

_CHANGES = frozenset({"update", "setdefault", "append", "extend", "insert", "pop", "clear"})
"""Methods after which the content of a container is unknown."""

ScopeNode = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Names = dict[str, list["Binding"]]


class How(Enum):
    """How a name gets its value."""

    VALUE = auto()  # the value of an expression
    ELEMENT = auto()  # an element of it
    ADDED = auto()  # its value before, and an expression behind that
    MODULE = auto()  # import a.b
    MEMBER = auto()  # from a import b
    FUNCTION = auto()
    CLASS = auto()
    PARAMETER = auto()
    OPAQUE = auto()  # cannot be told


class What(Enum):
    """What a reference leads to."""

    CONTAINER = auto()  # a list, tuple, set or dict as it is written
    FUNCTION = auto()
    CLASS = auto()
    MODULE = auto()
    INSTANCE = auto()  # what a call makes, with what it was given


@dataclass(frozen=True, slots=True)
class Binding:
    """One way a name gets its value.

    Attributes:
        node: The expression, function, class or import; a parameter's default, or the parameter if it has none.
        steps: Where it is taken apart: the position in each tuple.
        name: What an import names, ``package:member``; `level` counts its leading dots.
    """

    how: How
    node: ast.AST
    steps: tuple[int, ...] = ()
    name: str = ""
    level: int = 0


@dataclass(frozen=True, slots=True)
class NameScope:
    """The names of a module, a class body or a function body."""

    node: ScopeNode
    names: _Names
    stars: tuple[Binding, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """A parsed file."""

    source: SourceText
    tree: ast.Module
    _scopes: dict[int, NameScope] = field(default_factory=dict, repr=False)
    _attributes: dict[int, dict[str, list[ast.expr]]] = field(default_factory=dict, repr=False)

    @property
    def path(self) -> Path:
        """The file."""
        return self.source.path

    def scope(self, node: ScopeNode) -> NameScope:
        """The names bound directly in a module, class or function."""
        if id(node) not in self._scopes:
            self._scopes[id(node)] = _scope(node)
        return self._scopes[id(node)]

    def attributes(self, method: Function) -> dict[str, list[ast.expr]]:
        """What a method assigns to the attributes of its first parameter."""
        if id(method) not in self._attributes:
            self._attributes[id(method)] = _attributes(method)
        return self._attributes[id(method)]

    def offset(self, node: ast.expr | ast.stmt) -> int:
        """Where a node starts."""
        return self.source.offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt) -> int:
        """Where a node ends."""
        return self.source.offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)

    def load(self, node: ast.expr) -> Position:
        """The name of a use: where it ends, as ``config`` and ``config.X`` start at the same place."""
        return (self.path, self.end(node))


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Where names are looked up, `depth` calls deep.

    Attributes:
        root: The function that was entered without knowing its callers; None outside of one.
    """

    module: Module
    scope: NameScope
    outer: "Frame | None" = None
    given: Mapping[str, "Values"] | None = None
    root: Function | None = None
    depth: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Ref:
    """Something with parts, which an expression can stand for instead of a text.

    Attributes:
        node: Where it is written; for an instance the call that makes it, or the class whose method is looked at.
        frame: Where its parts are evaluated.
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


class PythonProject:
    """The Python files of a scan: parsed when they are asked for, found by what an import calls them.

    Attributes:
        set_from_outside: Names that some file sets as another module's: ``config.BUCKET = ...``.
    """

    def __init__(
        self, paths: Iterable[Path], read: Callable[[Path], bytes], may_be_read: Callable[[Path], bool]
    ) -> None:
        self._read = read
        self._may_be_read = may_be_read
        self._modules: dict[Path, Module | None] = {}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self.set_from_outside: set[str] = set()
        self.paths = dict.fromkeys(paths)
        for path in self.paths:
            self._by_name[module_name(path)].append(path)

    def module(self, path: Path) -> Module | None:
        """Parse a file; None when it cannot be read or is not valid Python."""
        if path not in self._modules:
            self._modules[path] = self._parse(path)
        return self._modules[path]

    def find(self, name: str, level: int, importer: Path) -> list[Module]:
        """The modules that an import may mean: those nearest to the importer, several when they are equally near.

        The dotted name is empty in ``from . import x``; `level` counts its leading dots.
        """
        parts = tuple(part for part in name.split(".") if part)
        # Dots that lead above the top of a path stop at the top.
        paths = _files(importer.parents[:level][-1], parts) if level else self._absolute(parts, importer)
        return [module for path in paths if (module := self.module(path)) is not None]

    def _absolute(self, parts: tuple[str, ...], importer: Path) -> list[Path]:
        if not parts:
            return []
        near = {
            path: _shared_folders(path, importer)
            for path in self._by_name.get(parts[-1], ())
            if _dotted(path)[-len(parts) :] == parts
        }
        if near:
            return [path for path, folders in near.items() if folders == max(near.values())]
        for folder in folders_above(importer.parent.absolute()):
            if found := _files(folder, parts):
                return found[:1]
        return []

    def _parse(self, path: Path) -> Module | None:
        try:
            if path not in self.paths and not self._may_be_read(path):
                return None
            source = decode_source(path, self._read(path))
            return Module(source, ast.parse(source.text))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return None


# --- scopes ------------------------------------------------------------------------------------------------------


def own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Every node of a body, without what is inside its functions and classes."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(node))


def parameters(function: Function) -> list[str]:
    """The names of the parameters that can be given by position."""
    return [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]


def defaults(arguments: ast.arguments) -> dict[str, ast.expr]:
    """The parameters that have a default, and it."""
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(reversed(positional), reversed(arguments.defaults), strict=False),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return {argument.arg: default for argument, default in pairs if default is not None}


def options(function: Function) -> dict[str, ast.expr]:
    """The defaults that a function's decorators give to its parameters: ``@click.option("--bucket", default="x")``."""
    calls = [one for one in function.decorator_list if isinstance(one, ast.Call)]
    found = ((option_name(one), one) for one in calls if spelling(one.func) in {"option", "argument"})
    return {
        name: keyword.value
        for name, call in found
        for keyword in call.keywords
        if keyword.arg == "default" and name
    }


def option_name(call: ast.Call) -> str:
    """What the value of a command line's option is called: by ``dest``, a plain name, or the first long option; empty for none."""
    written = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    given = [one.value for one in call.keywords if one.arg == "dest"]
    plain = [one for one in written if not one.startswith("-")]
    long = [one[2:] for one in written if one.startswith("--")]
    named = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return next(iter([*named, *plain, *long]), "").partition("/")[0].replace("-", "_")


def _scope(node: ScopeNode) -> NameScope:
    names: _Names = defaultdict(list)
    stars: list[Binding] = []
    if isinstance(node, FUNCTIONS):
        _bind_parameters(node, names)
    for inner in own_nodes(node.body):
        _bind(inner, names, stars)
    if isinstance(node, ast.Module):
        for name, binding in _globals(node):
            names[name].append(binding)
    return NameScope(node, dict(names), tuple(stars))


def _attributes(method: Function) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = defaultdict(list)
    own = next(iter(parameters(method)), None)
    for node in ast.walk(method):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            match target:
                case ast.Attribute(value=ast.Name(id=name), attr=attr) if name == own:
                    found[attr].append(node.value)
    return found


def _globals(module: ast.Module) -> Iterator[tuple[str, Binding]]:
    """What functions assign to the module's names. Their own names in it are unknown to the module."""
    for function in ast.walk(module):
        if not isinstance(function, FUNCTIONS):
            continue
        own = list(own_nodes(function.body))
        declared = {name for node in own if isinstance(node, ast.Global) for name in node.names}
        if declared:
            names: _Names = defaultdict(list)
            for node in own:
                _bind(node, names, [])
            for name in declared & names.keys():
                yield from ((name, binding) for binding in names[name])


def _bind_parameters(function: Function, names: _Names) -> None:
    arguments = function.args
    given = options(function) | defaults(arguments)
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        names[argument.arg].append(Binding(How.PARAMETER, given.get(argument.arg, argument)))
    for rest in (arguments.vararg, arguments.kwarg):
        if rest is not None:
            names[rest.arg].append(Binding(How.OPAQUE, rest))


def _bind(node: ast.AST, names: _Names, stars: list[Binding]) -> None:  # noqa: C901, PLR0912 -- a table of cases
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
                member = f"{node.module or ''}:{alias.name}"
                binding = Binding(How.MEMBER, node, name=member, level=node.level)
                (stars if alias.name == "*" else names[alias.asname or alias.name]).append(binding)
        case ast.Lambda():
            for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                names[argument.arg].append(Binding(How.OPAQUE, argument))
        case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar() if node.name:
            names[node.name].append(Binding(How.OPAQUE, node))
        case _:
            pass


def _bind_target(target: ast.expr, value: ast.expr, how: How, steps: tuple[int, ...], names: _Names) -> None:
    if isinstance(target, ast.Name):
        names[target.id].append(Binding(how, value, steps))
    elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
        names[target.value.id].append(Binding(How.OPAQUE, target))
    elif isinstance(target, (ast.Tuple, ast.List)):
        starred = any(isinstance(element, ast.Starred) for element in target.elts)
        for index, element in enumerate(target.elts):
            inner = element.value if isinstance(element, ast.Starred) else element
            _bind_target(inner, value, How.OPAQUE if starred else how, (*steps, index), names)


# --- functions and classes ---------------------------------------------------------------------------------------


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
                return parameters(inner)[1:]
        return field_names(callee)
    if not isinstance(node, FUNCTIONS):
        return []
    names = parameters(node)
    bound = callee.made_by is not None or names[:1] in (["self"], ["cls"])
    return names[1:] if bound and not is_static(node) else names


def field_names(cls: Ref) -> list[str]:
    """The annotated names of a class's body, in their order."""
    if not isinstance(cls.node, ast.ClassDef):
        return []
    fields = [node.target for node in cls.node.body if isinstance(node, ast.AnnAssign)]
    return [target.id for target in fields if isinstance(target, ast.Name)]


def returns(function: Function) -> Iterator[ast.expr]:
    """What a function returns; not what functions within it return."""
    for node in own_nodes(function.body):
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value


def spelling(node: ast.expr) -> str:
    """The name that an expression ends with: ``X`` for ``X`` and ``config.X``; empty for any other."""
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def is_decorated(node: ast.AST, names: set[str]) -> bool:
    """Tell whether a function has one of these decorators."""
    return isinstance(node, FUNCTIONS) and any(spelling(one) in names for one in node.decorator_list)


def is_static(node: ast.AST) -> bool:
    """Tell whether a method is given no object."""
    return is_decorated(node, {"staticmethod"})


# --- files -------------------------------------------------------------------------------------------------------


def module_name(path: PurePath) -> str:
    """What imports of a file end with: its name, or the package's."""
    return path.parent.name if path.name == "__init__.py" else path.stem


def _shared_folders(one: PurePath, other: PurePath) -> int:
    pairs = zip(one.parts, other.parts, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _dotted(path: PurePath) -> tuple[str, ...]:
    return path.parent.parts if path.name == "__init__.py" else (*path.parent.parts, path.stem)


def _files(folder: Path, parts: tuple[str, ...]) -> list[Path]:
    base = folder.joinpath(*parts)
    candidates = [base / "__init__.py", *([base.with_name(base.name + ".py")] if parts else [])]
    return [path for path in candidates if os.path.isfile(path)]  # noqa: PTH113 -- without an error where it may not look


@lru_cache(4_096)
def folders_above(folder: Path) -> tuple[Path, ...]:
    """The folders from this one up to the top of its checkout; none outside of a checkout."""
    above = (folder, *folder.parents)
    tops = (index for index, candidate in enumerate(above, 1) if os.path.lexists(candidate / ".git"))
    return above[: next(tops, 0)]
