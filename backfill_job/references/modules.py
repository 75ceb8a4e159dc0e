"""Python files as scopes of names: which expressions a name may stand for.

Nothing is imported or run. The order of assignments is not followed: a name stands for everything that is ever assigned to it.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from backfill_job.references.sources import Source
from backfill_job.references.texts import Position

__all__ = [
    "FUNCTIONS",
    "Binding",
    "Function",
    "How",
    "Module",
    "Scope",
    "ScopeNode",
    "defaults",
    "own_nodes",
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
