"""Walks through Python code and judges every expression that comes to the name of a prefix, where it is used.

Beside a bucket it is resolved. Alone, as in an assignment, it stays *open*: it is closed when its characters or names are part of
what was resolved somewhere else, and unresolved otherwise. So nothing is lost by looking only at the places where buckets
and prefixes meet.
"""

import ast
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from backfill_job.references.calling import is_lookup
from backfill_job.references.calls import Arguments, Beside, Found, arguments, beside, names_others
from backfill_job.references.findings import Finding, Place
from backfill_job.references.judgement import Judge, Seen, Usage, Use
from backfill_job.references.members import entries_of
from backfill_job.references.modules import FUNCTIONS, Function, How, Module, defaults
from backfill_job.references.targets import Kind
from backfill_job.references.texts import Position
from backfill_job.references.values import Frame, Ref, What, owner_of

__all__ = ["Walk"]

_EVALUATED = (
    *(ast.Constant, ast.JoinedStr, ast.BinOp, ast.Name, ast.Attribute, ast.Subscript),
    *(ast.Call, ast.IfExp, ast.BoolOp, ast.NamedExpr, ast.Await),
)
_LOGGED = frozenset({"debug", "info", "warning", "warn", "error", "exception", "critical", "log"})
_PROSE = frozenset({"doc", "doc_md", "doc_rst", "doc_json", "doc_yaml", "description", "help", "epilog"})


@dataclass
class Walk:
    """One walk through the modules of a project.

    Attributes:
        judge: Judges expressions.
        uses: How often each name is used in all of the code.
    """

    judge: Judge
    uses: Counter[str]
    _calls: dict[int, list[Seen]] = field(default_factory=dict)
    _called: set[int] = field(default_factory=set)
    _referred: set[int] = field(default_factory=set)
    _unknown_methods: set[str] = field(default_factory=set)
    _direct_calls: dict[int, ast.Call] = field(default_factory=dict)

    def module(self, module: Module) -> None:
        """Walk through a module.

        Raises:
            TooDeep: One of its expressions leads on and on.
        """
        self._block(module.tree.body, self.judge.evaluator.module_frame(module))

    def findings(self) -> list[Finding]:
        """What was found, each place and class once; what is still open is unresolved."""
        judged = [seen for seen in self.judge.seen if seen.marks is None]
        resolved = {
            (seen.finding.path, seen.finding.offset) for seen in judged if not self._has_callers(seen.root)
        }
        kept = [
            seen.finding
            for seen in judged
            if seen.finding.kind is not Kind.UNRESOLVED
            or not self._has_callers(seen.root)
            or (seen.finding.path, seen.finding.offset) not in resolved
        ]
        closed = {mark for finding in kept for mark in finding.evidence()}
        # Those deep in calls come first: what was given to them is then part of what they say.
        for seen in self.judge.seen:
            if seen.marks is not None and not seen.marks & closed:
                kept.append(seen.finding)
                closed |= seen.finding.evidence()
        return _merged(kept)

    def _has_callers(self, function: Function | None) -> bool:
        """Whether a function is called and nothing else: then what its callers give it is everything."""
        if function is None or id(function) not in self._called:
            return False
        return id(function) not in self._referred and function.name not in self._unknown_methods

    # --- statements ----------------------------------------------------------------------------------------------

    def _block(self, body: Iterable[ast.stmt], frame: Frame) -> None:
        for statement in body:
            self._statement(statement, frame)

    def _statement(self, node: ast.stmt, frame: Frame) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, frame)
            case ast.ClassDef():
                outer = [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]
                self._expressions(outer, Usage(), frame)
                self._block(node.body, self.judge.evaluator.class_frame(node, frame))
            case ast.Expr(value=ast.Constant()):
                pass  # a docstring, or a remark in the form of one
            case ast.Assign():
                self._assignment(node.targets, node.value, frame)
            case ast.AnnAssign(value=ast.expr() as value) | ast.AugAssign(value=value):
                self._assignment([node.target], value, frame)
            case _:
                quiet = isinstance(node, ast.Raise)
                self._children(node, Usage(Use.QUIET if quiet else Use.PLAIN), frame)

    def _children(self, node: ast.AST, usage: Usage, frame: Frame) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self._block([child], frame)
            elif isinstance(child, ast.expr):
                self._visit(child, usage, frame)
            else:
                self._children(child, usage, frame)

    def _expressions(self, nodes: Iterable[ast.expr], usage: Usage, frame: Frame) -> None:
        for node in nodes:
            self._visit(node, usage, frame)

    def _assignment(self, targets: Sequence[ast.expr], value: ast.expr, frame: Frame) -> None:
        for target in targets:
            if not isinstance(target, ast.Name):
                self._children(target, Usage(Use.KEY), frame)
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        usage = Usage(name=names[0] if names else "")
        if isinstance(frame.scope.node, ast.ClassDef) and names:
            named = {
                name: Beside(binding.node, frame)
                for name, bindings in frame.scope.names.items()
                for binding in bindings
                if binding.how is How.VALUE and isinstance(binding.node, ast.expr)
            }
            usage = self._declared(names[0], named)
        self._visit(value, usage, frame)

    def _declared(self, name: str, named: dict[str, Beside]) -> Usage:
        return Usage(Use.DECLARED, name, lambda: beside(name, named, self.judge.evaluator))

    def _function(self, node: Function, frame: Frame) -> None:
        self._expressions(node.decorator_list, Usage(), frame)
        given = defaults(node.args)
        named = {name: Beside(default, frame) for name, default in given.items()}
        for name, default in given.items():
            self._visit(default, self._declared(name, named), frame)
        self._block(node.body, self.judge.evaluator.entered(node, frame, owner_of(frame)))

    # --- expressions ---------------------------------------------------------------------------------------------

    def _visit(self, node: ast.expr, usage: Usage, frame: Frame) -> None:  # noqa: C901, PLR0912 -- a table of cases
        if isinstance(getattr(node, "ctx", None), ast.Store):
            return
        if isinstance(node, _EVALUATED):
            usage = replace(usage, done=usage.done | self.judge.judge(node, usage, frame))
        match node:
            case ast.Call():
                self._call(node, usage.inner(), frame)
            case ast.Dict():
                self._dict(node, usage, frame)
            case ast.List() | ast.Tuple() | ast.Set() | ast.Starred() | ast.IfExp() | ast.BoolOp():
                self._children(node, usage, frame)
            case ast.Await() | ast.NamedExpr():
                self._children(node, usage, frame)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                self._visit(node.elt, usage, frame)
                for generator in node.generators:
                    self._children(generator, usage.inner(), frame)
            case ast.Subscript():
                self._visit(node.value, usage.inner(), frame)
                outside = self.judge.evaluator.qualified(node.value, frame).endswith("environ")
                use = Use.SETTING if outside else Use.KEY
                self._visit(node.slice, replace(usage.inner(), use=use), frame)
            case ast.Name():
                for value in self.judge.evaluator.values(node, frame):
                    if isinstance(value, Ref) and value.what is What.FUNCTION:
                        self._referred.add(id(value.node))
            case _:
                self._children(node, usage.inner(), frame)

    def _dict(self, node: ast.Dict, usage: Usage, frame: Frame) -> None:
        entries = entries_of(self.judge.evaluator, Ref(What.CONTAINER, node, frame))
        named = {name: Beside(value, where) for name, value, where in entries}
        for key, value in zip(node.keys, node.values, strict=True):
            name = key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else ""

            def bucket(name: str = name) -> Found | None:
                found = beside(name or "prefix", named, self.judge.evaluator)
                around = usage.bucket() if found is None else None
                return found if around is None else (around[0], False)

            if key is not None:
                self._visit(key, replace(usage.inner(), use=Use.KEY), frame)
            entry = replace(
                usage,
                use=Use.DECLARED if usage.use is Use.PLAIN else usage.use,
                name=name,
                bucket=bucket,
                shared=lambda: names_others(named, self.judge.evaluator, self.judge.targets),
                together=frame.module.offset(node),
            )
            self._visit(value, entry, frame)

    def _call(self, node: ast.Call, inner: Usage, frame: Frame) -> None:
        if isinstance(node.func, ast.Attribute):
            self._visit(node.func.value, inner, frame)
            callees = self.judge.evaluator.values(node.func, frame)
            if not any(isinstance(callee, Ref) and callee.what is not What.MODULE for callee in callees):
                self._unknown_methods.add(node.func.attr)
        elif not isinstance(node.func, ast.Name):
            self._visit(node.func, inner, frame)
        inner = replace(inner, done=inner.done | self._follow(node, frame))
        given = arguments(node, frame, self.judge.evaluator)
        qualified = self.judge.evaluator.qualified(node.func, frame)
        if _is_logging(qualified):
            inner = replace(inner, use=Use.QUIET)
        for index, argument in enumerate(node.args):
            usage = inner if isinstance(argument, ast.Starred) else self._argument(given, index, inner)
            if index == 0 and is_lookup(qualified) and len(node.args) + len(node.keywords) == 1:
                usage = replace(usage, use=Use.SETTING)
            self._visit(argument, usage, frame)
        for keyword in node.keywords:
            usage = self._argument(given, keyword.arg or "", inner)
            if keyword.arg in _PROSE and isinstance(keyword.value, (ast.Constant, ast.JoinedStr)):
                usage = replace(usage, place=Place.DOCUMENTATION)
            # A callable that is only named is called, see _direct.
            if keyword.arg != "python_callable" or not isinstance(keyword.value, ast.Name):
                self._visit(keyword.value, usage, frame)

    def _argument(self, given: Arguments, slot: int | str, inner: Usage) -> Usage:
        return replace(
            inner,
            name=slot if isinstance(slot, str) else given.names.get(slot, ""),
            bucket=lambda: given.bucket(slot, self.judge.evaluator, self.judge.targets),
            shared=lambda: names_others(given.named, self.judge.evaluator, self.judge.targets),
            together=given.frame.module.offset(given.call),
        )

    # --- calls of functions that can be read -----------------------------------------------------------------------

    def _follow(self, node: ast.Call, frame: Frame) -> frozenset[Position]:
        """Walk through what a call calls, with what it is given; gives what was resolved there."""
        arrived: set[Position] = set()
        call = self._direct_calls.setdefault(id(node), self._direct(node, frame))
        for callee in self.judge.evaluator.values(call.func, frame):
            if (
                isinstance(callee, Ref)
                and callee.what is What.FUNCTION
                and isinstance(callee.node, FUNCTIONS)
            ):
                for seen in self._called_with(callee.node, callee, call, frame):
                    if seen.marks is None and seen.finding.kind is not Kind.UNRESOLVED:
                        arrived |= seen.finding.evidence()
                    moved = self._moved(seen.finding, node, frame, callee.node.name)
                    self.judge.seen.append(replace(seen, finding=moved))
        return frozenset(arrived)

    def _direct(self, node: ast.Call, frame: Frame) -> ast.Call:
        """``PythonOperator(python_callable=f, op_kwargs=...)`` and ``partial(f, ...)`` as a call of ``f``; any other as it is."""
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        if "python_callable" in named:
            kwargs, args = named.get("op_kwargs"), named.get("op_args")
            given = args.elts if isinstance(args, (ast.List, ast.Tuple)) else []
            keywords = [] if kwargs is None else [ast.keyword(None, kwargs)]
            return ast.copy_location(ast.Call(named["python_callable"], given, keywords), node)
        if node.args and self.judge.evaluator.qualified(node.func, frame).rpartition(".")[2] == "partial":
            return ast.copy_location(ast.Call(node.args[0], node.args[1:], node.keywords), node)
        return node

    def _called_with(self, function: Function, callee: Ref, call: ast.Call, frame: Frame) -> list[Seen]:
        entered = self.judge.evaluator.called(callee, call, frame)
        if entered is None:
            return []
        self._called.add(id(function))
        if id(entered) not in self._calls:
            self._calls[id(entered)] = []  # while it is walked through: a function that calls itself
            before, self.judge.seen = self.judge.seen, []
            try:
                self._block(function.body, entered)
                self._calls[id(entered)] = self.judge.seen
            finally:
                self.judge.seen = before
        return self._calls[id(entered)]

    def _moved(self, finding: Finding, call: ast.Call, frame: Frame, function: str) -> Finding:
        """Show a finding where the prefix is given to a function, and say where it arrives.

        When only one of bucket and prefix is given, other calls may share the other one.
        """
        inside = self.judge.inside(call, frame)
        prefix = any(inside & one.prefix.evidence() for one in finding.resolutions)
        bucket = any(one.bucket is not None and inside & one.bucket.evidence() for one in finding.resolutions)
        if self.uses[function] > 1:
            finding = replace(
                finding,
                shares_bucket=finding.shares_bucket or (prefix and not bucket),
                shares_prefix=finding.shares_prefix or (bucket and not prefix),
            )
        for node in (*call.args, *(keyword.value for keyword in call.keywords)) if prefix else ():
            given = self.judge.inside(node, frame)
            if any(given & one.prefix.evidence() for one in finding.resolutions):
                note = finding.note or f"arrives at {finding.path.name}:{finding.line}"
                shown = self.judge.finding(node, finding.resolutions, frame, note)
                return replace(
                    shown,
                    place=finding.place,
                    shares_bucket=finding.shares_bucket,
                    shares_prefix=finding.shares_prefix,
                    together=frame.module.offset(call),
                )
        return finding


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """One finding of those that say the same of the same place, with everything it was read through."""
    same: dict[tuple[object, ...], Finding] = {}
    for finding in findings:
        key = (finding.path, finding.offset, finding.kind, finding.place, finding.buckets, finding.prefixes)
        first = same.get(key, finding)
        same[key] = replace(
            first,
            resolutions=tuple(dict.fromkeys((*first.resolutions, *finding.resolutions))),
            shares_bucket=first.shares_bucket or finding.shares_bucket,
            shares_prefix=first.shares_prefix or finding.shares_prefix,
        )
    return list(same.values())


def _is_logging(qualified: str) -> bool:
    owner, _, name = qualified.rpartition(".")
    return name == "print" or (name in _LOGGED and "log" in owner.lower())
