"""Walks through Python code and judges every expression that comes to the name of a prefix, where it is used.

Beside a bucket it is resolved. Alone, as in an assignment, it stays *open*. It is closed when its characters or names are part of
what was resolved somewhere else, and it is unresolved otherwise. So nothing is lost by looking only at the places where buckets
and prefixes meet.

Which bucket belongs to a prefix depends on how the code writes them together. In a call: keyword arguments, the parameters'
names of a function that can be read, and the bucket whose method is called. The signatures of Cloud Storage's client and of
Airflow's hook are known. In a dict, a class body and a parameter list: the names beside it.
Only `python` uses it, which chooses the modules to walk through and covers what the walk does not reach.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from pathlib import Path

from backfill_job.references.evaluate import Evaluator, TooDeep, is_lookup
from backfill_job.references.findings import ELSEWHERE, LONGEST, CodePlace, Finding, Resolution, unread, worst
from backfill_job.references.mentions import (
    LAYOUT,
    Mention,
    bucket_for,
    bucket_name,
    may_name_a_folder,
    mentions,
    names_a_thing,
    names_objects,
    resolve_mention,
)
from backfill_job.references.modules import (
    FUNCTIONS,
    Frame,
    Function,
    How,
    Module,
    Ref,
    What,
    defaults,
    options,
    owner_of,
    positional_names,
    spelling,
)
from backfill_job.references.strings import METHODS
from backfill_job.references.targets import FindingKind, Targets
from backfill_job.references.texts import Position, Text

__all__ = ["Walk"]

Found = tuple[tuple[Text, ...], bool]
"""A bucket's possible names, and whether it certainly is the one."""

Named = Mapping[str, tuple[ast.expr, Frame]]
"""Expressions by the names they have beside each other, and where they are evaluated."""

_OBJECT = ("bucket_name", "object_name")
_COPY = ("source_bucket", "source_object", "destination_bucket", "destination_object")
_SPAN = ("bucket_name", "timespan_start", "timespan_end", "versions", "max_results", "prefix")
_SIGNATURES: Mapping[str, Sequence[str]] = {
    "list": ("bucket_name", "versions", "max_results", "prefix", "delimiter"),
    "list_by_timespan": _SPAN,
    "list_blobs": ("bucket_or_name",),
    "copy": _COPY,
    "rewrite": _COPY,
    "sync": ("source_bucket", "destination_bucket", "source_object", "destination_object"),
    "compose": ("bucket_name", "source_objects", "destination_object"),
    "copy_blob": ("source_blob", "destination_bucket", "new_name"),
    **dict.fromkeys(
        ("exists", "object_exists", "download", "download_as_byte_array", "upload", "delete"), _OBJECT
    ),
    **dict.fromkeys(("provide_file", "provide_file_and_upload", "get_blob_update_time", "get_size"), _OBJECT),
    **dict.fromkeys(("get_crc32c_hash", "get_md5_hash", "get_metadata", "is_older_than"), _OBJECT),
    **dict.fromkeys(("is_updated_after", "is_updated_before", "is_updated_between"), _OBJECT),
}
"""Positional parameters of Airflow's GCSHook and of google-cloud-storage, by the method's name."""

_FIRST: Mapping[str, Sequence[str]] = {"DAG": ("dag_id",), "dag": ("dag_id",), "TaskGroup": ("group_id",)}
"""The first parameter of what Airflow names."""

_OF_A_BUCKET = re.compile(r"((get|delete|copy|rename|restore)_)?blob|list_blobs|get_notification")
_EVALUATED = (
    *(ast.Constant, ast.JoinedStr, ast.BinOp, ast.Name, ast.Attribute, ast.Subscript),
    *(ast.Call, ast.IfExp, ast.BoolOp, ast.NamedExpr, ast.Await),
)
_PARAMETER = re.compile(r"\{\{-?\s*params\.(?P<name>\w+)\s*-?\}\}")
_LOGGED = frozenset({"debug", "info", "warning", "warn", "error", "exception", "critical", "log"})
_LOGS = re.compile(r"(?:.*(?<!cata)(?<!dia)(?<!b))(?:logs?|logg(?:er|ers|ing)|loguru)", re.IGNORECASE)
_PROSE = frozenset({"doc", "doc_md", "doc_rst", "doc_json", "doc_yaml", "description", "help", "epilog"})


MADE_WITHIN = 2
"""Objects that methods of new objects make, which are followed."""


class ExpressionUse(Enum):
    """What an expression is used for."""

    PLAIN = auto()
    DECLARED = auto()  # beside a bucket that may be meant as a default
    QUIET = auto()  # only printed or logged
    KEY = auto()
    SETTING = auto()  # the name of a setting that has no default


@dataclass(frozen=True, slots=True)
class Usage:
    """How an expression is used, and what it is called there.

    Attributes:
        named: The names beside it.
        call: The call that it is an argument of, where that is evaluated, and the arguments before it by position.
        around: How the dict is used that it is an entry of.
        done: What an expression around it was judged for.
        together: Where the call or dict around it begins; -1 outside of both.
    """

    use: ExpressionUse = ExpressionUse.PLAIN
    name: str = ""
    named: Named = field(default_factory=dict)
    call: tuple[ast.Call, Frame, Sequence[ast.expr]] | None = None
    around: "Usage | None" = None
    done: frozenset[Position] = frozenset()
    place: CodePlace = CodePlace.CODE
    together: int = -1

    def inner(self) -> "Usage":
        """How the parts of such an expression are used, unless they are known better."""
        use = ExpressionUse.QUIET if self.use is ExpressionUse.QUIET else ExpressionUse.PLAIN
        return Usage(use, done=self.done, place=self.place)


@dataclass(frozen=True, slots=True)
class SeenFinding:
    """A finding.

    Attributes:
        root: The function that was entered for it without knowing its callers; None outside of one.
        marks: What closes it while it is open; None when it is resolved.
    """

    finding: Finding
    root: Function | None
    marks: frozenset[Position] | None = None


@dataclass
class Walk:
    """One walk through the modules of a project, with how often each name is used in all of the code."""

    evaluator: Evaluator
    targets: Targets
    uses: Counter[str]
    _seen: list[SeenFinding] = field(default_factory=list)
    _calls: dict[int, list[SeenFinding]] = field(default_factory=dict)
    _called: set[int] = field(default_factory=set)
    _referred: set[int] = field(default_factory=set)
    _raised: set[int] = field(default_factory=set)
    _unknown_methods: set[str] = field(default_factory=set)
    _direct_calls: dict[int, ast.Call] = field(default_factory=dict)
    _given_params: dict[Path, dict[str, tuple[Text, ...]]] = field(default_factory=dict)
    _making: set[int] = field(default_factory=set)

    def module(self, module: Module) -> None:
        """Walk through a module.

        Raises:
            TooDeep: One of its expressions needs too many steps.
        """
        self._block(module.tree.body, self.evaluator.module_frame(module))

    def findings(self) -> list[Finding]:
        """What was found, each place and class once; what is still open is unresolved."""
        judged = [(seen.finding, self._has_callers(seen.root)) for seen in self._seen if seen.marks is None]
        resolved = {(finding.path, finding.offset) for finding, has_callers in judged if not has_callers}
        kept = [
            finding
            for finding, has_callers in judged
            if finding.kind is not FindingKind.UNRESOLVED
            or not has_callers
            or (finding.path, finding.offset) not in resolved
        ]
        closed = {mark for finding in kept for mark in finding.evidence()}
        # Those deep in calls come first: their evidence then covers the arguments they were given.
        for seen in self._seen:
            if seen.marks is not None and not seen.marks & closed:
                kept.append(seen.finding)
                closed |= seen.finding.evidence()
        return _merged(kept)

    def _has_callers(self, function: Function | None) -> bool:
        """Whether a function is only called, never handed on: then its known callers are all there are."""
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
                for outer in (*node.decorator_list, *node.bases, *(one.value for one in node.keywords)):
                    self._visit(outer, Usage(), frame)
                body = self.evaluator.class_frame(node, frame)
                self._block(node.body, body)
                if (own := owner_of(body)) is not None and own.made_by is not None:
                    # What it inherits reads its attributes, which may override those of its bases.
                    for parent in self.evaluator.parents(own.made_by):
                        self._methods(parent, own, {id(node), *body.scope.names})
            case ast.Expr(value=ast.Constant()):
                pass  # a docstring, or a remark in the form of one
            case ast.Assign():
                self._assignment(node.targets, node.value, frame)
            case ast.AnnAssign(value=ast.expr() as value) | ast.AugAssign(value=value):
                self._assignment([node.target], value, frame)
            case _:
                self._other_statement(node, frame)

    def _other_statement(self, node: ast.stmt, frame: Frame) -> None:
        if isinstance(node, ast.Assert) and node.msg is not None and _is_prose(node.msg):
            self._visit(node.test, Usage(), frame)
            self._visit(node.msg, Usage(ExpressionUse.QUIET), frame)
            return
        quiet = isinstance(node, ast.Raise)
        self._raised |= {id(node.exc)} if isinstance(node, ast.Raise) else set()
        self._children(node, Usage(ExpressionUse.QUIET if quiet else ExpressionUse.PLAIN), frame)

    def _methods(self, cls: Ref, owner: Ref, known: set[object]) -> None:
        """Walk through the methods of a class, and of those that it inherits from, with an object's attributes."""
        if id(cls.node) in known or not isinstance(cls.node, ast.ClassDef):
            return
        known.add(id(cls.node))
        body = self.evaluator.class_frame(cls.node, cls.frame)
        for method in cls.node.body:
            if isinstance(method, FUNCTIONS) and method.name not in known:
                self._block(method.body, self.evaluator.entered(method, body, owner))
        known |= body.scope.names.keys()
        for parent in self.evaluator.parents(cls):
            self._methods(parent, owner, known)

    def _children(self, node: ast.AST, usage: Usage, frame: Frame) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self._statement(child, frame)
            elif isinstance(child, ast.expr):
                self._visit(child, usage, frame)
            else:
                self._children(child, usage, frame)

    def _assignment(self, targets: Sequence[ast.expr], value: ast.expr, frame: Frame) -> None:
        for target in targets:
            if not isinstance(target, ast.Name):
                self._children(target, Usage(ExpressionUse.KEY), frame)
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        usage = Usage(name=names[0] if names else "")
        if isinstance(frame.scope.node, ast.ClassDef) and names:
            named = {
                name: (binding.node, frame)
                for name, bindings in frame.scope.names.items()
                for binding in bindings
                if binding.how is How.VALUE and isinstance(binding.node, ast.expr)
            }
            usage = Usage(ExpressionUse.DECLARED, names[0], named)
        self._visit(value, usage, frame)

    def _function(self, node: Function, frame: Frame) -> None:
        for decorator in node.decorator_list:
            self._visit(decorator, Usage(), frame)
        given = options(node) | defaults(node.args)
        named = {name: (default, frame) for name, default in given.items()}
        for name, default in given.items():
            self._visit(default, Usage(ExpressionUse.DECLARED, name, named), frame)
        self._block(node.body, self.evaluator.entered(node, frame, owner_of(frame)))

    # --- expressions ---------------------------------------------------------------------------------------------

    def _visit(self, node: ast.expr, usage: Usage, frame: Frame) -> None:  # noqa: C901, PLR0912 -- a table of cases
        if isinstance(getattr(node, "ctx", None), ast.Store):
            return
        if isinstance(node, _EVALUATED):
            usage = replace(usage, done=usage.done | self._judge(node, usage, frame))
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
                outside = self.evaluator.qualified(node.value, frame).endswith("environ")
                use = ExpressionUse.SETTING if outside else ExpressionUse.KEY
                self._visit(node.slice, replace(usage.inner(), use=use), frame)
            case ast.Name():
                for value in self.evaluator.values(node, frame):
                    if isinstance(value, Ref) and value.what is What.FUNCTION:
                        self._referred.add(id(value.node))
            case _:
                self._children(node, usage.inner(), frame)

    def _dict(self, node: ast.Dict, usage: Usage, frame: Frame) -> None:
        entries = self.evaluator.entries(Ref(What.CONTAINER, node, frame))
        named = {name: (value, where) for name, value, where in entries}
        for key, value in zip(node.keys, node.values, strict=True):
            name = key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else ""
            if key is not None:
                self._visit(key, replace(usage.inner(), use=ExpressionUse.KEY), frame)
            entry = replace(
                usage,
                use=ExpressionUse.DECLARED if usage.use is ExpressionUse.PLAIN else usage.use,
                name=name,
                named=named,
                call=None,
                around=usage,
                together=frame.module.offset(node),
            )
            self._visit(value, entry, frame)

    def _call(self, node: ast.Call, inner: Usage, frame: Frame) -> None:  # noqa: C901 -- each argument by its own rule
        if isinstance(node.func, ast.Attribute):
            self._visit(node.func.value, inner, frame)
            callees = self.evaluator.values(node.func, frame)
            if not any(isinstance(callee, Ref) and callee.what is not What.MODULE for callee in callees):
                self._unknown_methods.add(node.func.attr)
        elif not isinstance(node.func, ast.Name):
            self._visit(node.func, inner, frame)
        inner = replace(inner, done=inner.done | self._follow(node, frame))
        names, named = self._named_arguments(node, frame)
        qualified = self.evaluator.qualified(node.func, frame)
        if _is_logging(qualified) and not any(map(_is_a_file, node.keywords)):
            inner = replace(inner, use=ExpressionUse.QUIET)
        elif (
            inner.use is ExpressionUse.QUIET
            and id(node) not in self._raised
            and not _makes_text(node.func, qualified)
        ):
            inner = replace(inner, use=ExpressionUse.PLAIN)  # what is logged is what this call finds

        def argument(slot: int | str) -> Usage:
            return replace(
                inner,
                name=slot if isinstance(slot, str) else names.get(slot, ""),
                named=named,
                call=(node, frame, node.args[:slot] if isinstance(slot, int) else node.args),
                together=frame.module.offset(node),
            )

        for index, positional in enumerate(node.args):
            usage = inner if isinstance(positional, ast.Starred) else argument(index)
            if index == 0 and is_lookup(qualified) and len(node.args) + len(node.keywords) == 1:
                usage = replace(usage, use=ExpressionUse.SETTING)
            self._visit(positional, usage, frame)
        for keyword in node.keywords:
            usage = argument(keyword.arg or "")
            if keyword.arg in _PROSE and _is_prose(keyword.value):
                usage = replace(usage, place=CodePlace.DOCUMENTATION)
            # A callable that is only named is called, see _direct.
            if keyword.arg != "python_callable" or not isinstance(keyword.value, ast.Name):
                self._visit(keyword.value, usage, frame)

    # --- the bucket that belongs to a prefix -----------------------------------------------------------------------

    def _named_arguments(self, call: ast.Call, frame: Frame) -> tuple[Mapping[int, str], Named]:
        """What the arguments given by position are called, and every argument that has a name."""
        names: dict[int, str] = {}
        for callee in self.evaluator.values(call.func, frame):
            if isinstance(callee, Ref) and callee.what in {What.FUNCTION, What.CLASS}:
                names = dict(enumerate(positional_names(callee)))
        func = call.func
        if not names and isinstance(func, ast.Attribute) and len(call.args) + len(call.keywords) > 1:
            names = dict(enumerate(_SIGNATURES.get(func.attr, ())))
        if not names:
            names = dict(enumerate(_FIRST.get(self.evaluator.qualified(func, frame).rpartition(".")[2], ())))
        named: dict[str, tuple[ast.expr, Frame]] = {}
        begun, around = self._begun(call, frame)
        if begun is not None:
            whole, first = begun.args[0] if begun.args else None, len(begun.args) - 1
            known = [callee for callee in self._callees(whole, around) if positional_names(callee)]
            usual = _SIGNATURES.get(whole.attr, ()) if isinstance(whole, ast.Attribute) else ()
            all_names = positional_names(known[0]) if known else usual
            named |= {name: (node, around) for name, node in zip(all_names, begun.args[1:], strict=False)}
            named |= {
                slot: (node, at)
                for slot, node, at in self.evaluator.slots(begun, around)
                if isinstance(slot, str)
            }
            names = dict(enumerate(all_names[max(first, 0) :]))
        for slot, node, where in self.evaluator.slots(call, frame):
            name = slot if isinstance(slot, str) else names.get(slot)
            if name is not None:
                named[name] = (node, where)
        return names, named

    def _bucket(self, usage: Usage) -> Found | None:
        """The bucket that belongs to an expression used so; None for none, or when there are several candidates."""
        found = self._beside(usage.name, usage.named)
        if found is None and usage.call is not None:
            return self._bucket_in_call(*usage.call)
        around = None if found is not None or usage.around is None else self._bucket(usage.around)
        return found if around is None else (around[0], False)

    def _callees(self, node: ast.expr | None, frame: Frame) -> Iterator[Ref]:
        """The functions and classes that an expression may stand for."""
        for callee in () if node is None else self.evaluator.values(node, frame):
            if isinstance(callee, Ref) and callee.what in {What.FUNCTION, What.CLASS}:
                yield callee

    def _begun(self, call: ast.Call, frame: Frame) -> tuple[ast.Call | None, Frame]:
        """The call that another one goes on with: of ``functools.partial``, or of Airflow's ``Operator.partial``."""
        func = call.func
        if isinstance(func, ast.Attribute) and func.attr in {"expand", "expand_kwargs"}:
            made = isinstance(func.value, ast.Call) and spelling(func.value.func) == "partial"
            return (func.value, frame) if made and isinstance(func.value, ast.Call) else (None, frame)
        for value in self.evaluator.values(func, frame):
            if isinstance(value, Ref) and isinstance(value.node, ast.Call) and value.node.args:
                qualified = self.evaluator.qualified(value.node.func, value.frame)
                if qualified in {"partial", "functools.partial"}:
                    return value.node, value.frame
        return None, frame

    def _bucket_in_call(self, call: ast.Call, frame: Frame, before: Sequence[ast.expr]) -> Found | None:
        """The bucket of an argument that no name beside it tells: whose method is called, or one that was given before it."""
        begun, around = self._begun(call, frame)
        func, where = (call.func, frame) if begun is None or not begun.args else (begun.args[0], around)
        if isinstance(func, ast.Attribute) and _OF_A_BUCKET.fullmatch(func.attr):
            receiver = self._texts_of(func.value, where)
            if any(text.known for text in receiver):
                return receiver, True
        # One of our buckets, given before the prefix to an unknown function.
        for node in reversed(before):
            texts = self._texts_of(node, frame)
            if any(self.targets.may_be_bucket(bucket_name(text, self.targets).chars) for text in texts):
                return texts, False
        return None

    def _beside(self, name: str, named: Named) -> Found | None:
        """The bucket that belongs to a name among those beside it."""
        chosen = bucket_for(name or "prefix", named)
        if chosen is None:
            return None
        (node, frame), certain = chosen
        return self._texts_of(node, frame), certain

    def _names_others(self, named: Named) -> bool:
        """Tell whether other objects are named beside a prefix: a change of their bucket would move them, too."""
        return any(
            not self.targets.carries(text.chars)
            for name, (other, frame) in named.items()
            if names_objects(name)
            for node in _flat(other)
            for text in self._texts_of(node, frame)
            if text.chars
        )

    # --- calls of functions that can be read -----------------------------------------------------------------------

    def _follow(self, node: ast.Call, frame: Frame) -> frozenset[Position]:
        """Walk through the functions that a call may mean, with its arguments; gives what was resolved there."""
        arrived: set[Position] = set()
        call = self._direct_calls.setdefault(id(node), self._direct(node, frame))
        for callee in self.evaluator.values(call.func, frame):
            if not isinstance(callee, Ref) or not isinstance(callee.node, (*FUNCTIONS, ast.ClassDef)):
                continue
            if callee.what is What.CLASS:
                found = self._made(callee, call, frame)
            elif callee.what is What.FUNCTION and isinstance(callee.node, FUNCTIONS):
                found = self._called_with(callee.node, callee, call, frame)
            else:
                continue
            for seen in found:
                if seen.marks is None and seen.finding.kind is not FindingKind.UNRESOLVED:
                    arrived |= seen.finding.evidence()
                moved = self._moved(seen.finding, node, frame, callee.node.name)
                self._seen.append(replace(seen, finding=moved))
        return frozenset(arrived)

    def _made(self, cls: Ref, call: ast.Call, frame: Frame) -> list[SeenFinding]:
        """What the methods of a new object read: somebody may call them who is not known, as Airflow calls ``execute``."""
        if not (call.args or call.keywords) or id(call) in self._making or len(self._making) >= MADE_WITHIN:
            return []
        self._making.add(id(call))
        before, self._seen = self._seen, []
        try:
            self._methods(cls, Ref(What.INSTANCE, call, frame, made_by=cls), set())
            return [
                one
                for one in self._seen
                if one.marks is None and one.finding.kind is not FindingKind.UNRESOLVED
            ]
        finally:
            self._seen = before
            self._making.discard(id(call))

    def _direct(self, node: ast.Call, frame: Frame) -> ast.Call:
        """``PythonOperator(python_callable=f, op_kwargs=...)`` and ``partial(f, ...)`` as a call of ``f``; any other as it is."""
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        if "python_callable" in named:
            kwargs, args = named.get("op_kwargs"), named.get("op_args")
            given = args.elts if isinstance(args, (ast.List, ast.Tuple)) else []
            keywords = [] if kwargs is None else [ast.keyword(None, kwargs)]
            return ast.copy_location(ast.Call(named["python_callable"], given, keywords), node)
        if node.args and self.evaluator.qualified(node.func, frame).rpartition(".")[2] == "partial":
            return ast.copy_location(ast.Call(node.args[0], node.args[1:], node.keywords), node)
        return node

    def _called_with(
        self, function: Function, callee: Ref, call: ast.Call, frame: Frame
    ) -> list[SeenFinding]:
        entered = self.evaluator.called(callee, call, frame)
        if entered is None:
            return []
        self._called.add(id(function))
        if id(entered) not in self._calls:
            self._calls[id(entered)] = []  # during the walk: a function that calls itself
            before, self._seen = self._seen, []
            try:
                self._block(function.body, entered)
                self._calls[id(entered)] = self._seen
            finally:
                self._seen = before
        return self._calls[id(entered)]

    def _moved(self, finding: Finding, call: ast.Call, frame: Frame, function: str) -> Finding:
        """Show a finding where the prefix is given to a function, and say where it arrives.

        When only one of bucket and prefix is given, other calls may share the other one.
        """
        inside = _inside(call, frame)
        prefix = any(inside & one.prefix.evidence() for one in finding.resolutions)
        bucket = any(one.bucket is not None and inside & one.bucket.evidence() for one in finding.resolutions)
        if self.uses[function] > 1:
            finding = replace(
                finding,
                shares_bucket=finding.shares_bucket or (prefix and not bucket),
                shares_prefix=finding.shares_prefix or (bucket and not prefix),
            )
        for node in (*call.args, *(keyword.value for keyword in call.keywords)) if prefix else ():
            given = _inside(node, frame)
            if any(given & one.prefix.evidence() for one in finding.resolutions):
                note = finding.note or f"arrives at {finding.path.name}:{finding.line}"
                shown = _finding(node, finding.resolutions, frame, note)
                return replace(
                    shown,
                    place=finding.place,
                    shares_bucket=finding.shares_bucket,
                    shares_prefix=finding.shares_prefix,
                    together=frame.module.offset(call),
                )
        return finding

    # --- the judgement ---------------------------------------------------------------------------------------------

    def _judge(self, node: ast.expr, usage: Usage, frame: Frame) -> frozenset[Position]:
        """Judge an expression where it is used; gives the characters that it was judged for."""
        resolutions: list[Resolution] = []
        alone: list[Text] = []
        judged: set[Position] = set()
        for ready in self._texts(node, frame):
            for mention in mentions(ready, self.targets):
                prefix = ready.cut(mention.start, mention.end)
                marks = prefix.positions() or prefix.loads
                if marks <= usage.done and (marks or usage.done):
                    continue
                if usage.use is ExpressionUse.QUIET and not marks & _inside(node, frame):
                    continue
                judged |= marks
                found = self._resolved(ready, mention, prefix, usage)
                resolutions += found or []
                alone += [prefix] if found is None else []
        if resolutions:
            finding = _finding(node, resolutions, frame, "")
            shared = finding.blocks and usage.together >= 0 and self._names_others(usage.named)
            finding = replace(
                finding, place=usage.place, note=_note(finding, usage, self.targets), together=usage.together
            )
            self._seen.append(SeenFinding(replace(finding, shares_bucket=shared), frame.root))
        if alone:
            self._leave_open(node, alone, usage, frame)
        return frozenset(judged)

    def _texts(self, node: ast.expr, frame: Frame) -> Iterator[Text]:
        try:
            texts = self._texts_of(node, frame)
        except TooDeep:
            unread = Resolution(FindingKind.UNRESOLVED, None, Text(self.targets.prefixes[0]))
            self._seen.append(
                SeenFinding(_finding(node, [unread], frame, "it leads too deep to be read"), None)
            )
            return
        yield from (text for text in map(self.targets.read, texts) if self.targets.carries(text.chars))

    def _texts_of(self, node: ast.expr, frame: Frame) -> tuple[Text, ...]:
        """See `Evaluator.texts`; a parameter of Airflow's templates is what the module gives to ``params``."""
        texts = self.evaluator.texts(node, frame)
        if not any("params" in text.chars for text in texts):
            return texts

        def given(match: re.Match[str]) -> Text | None:
            values = self._params(frame.module).get(match["name"], ())
            return values[0] if len(values) == 1 else None

        return tuple(text.replaced(_PARAMETER, given) for text in texts)

    def _params(self, module: Module) -> Mapping[str, Sequence[Text]]:
        """The values of ``params`` in all calls of a module, by their names; none where one of them cannot be read."""
        if module.path not in self._given_params:
            found: dict[str, tuple[Text, ...]] = {}
            self._given_params[module.path] = found
            frame = self.evaluator.module_frame(module)
            calls = (one for one in ast.walk(module.tree) if isinstance(one, ast.Call))
            for keyword in (each for one in calls for each in one.keywords if each.arg == "params"):
                for value in self.evaluator.values(keyword.value, frame):
                    if not (entries := list(self.evaluator.entries(value))):
                        found.clear()
                        return found
                    for name, inner, where in entries:
                        more = self.evaluator.texts(inner, where)
                        found[name] = tuple(dict.fromkeys((*found.get(name, ()), *more)))
        return self._given_params[module.path]

    def _resolved(self, text: Text, mention: Mention, prefix: Text, usage: Usage) -> list[Resolution] | None:
        """Every way a mention can come out; None when there is no bucket beside it."""
        if usage.use is ExpressionUse.SETTING:
            return [Resolution(FindingKind.UNRESOLVED, None, prefix)]
        if usage.use is ExpressionUse.QUIET:
            return _counting(mention, [Resolution(FindingKind.OTHER, mention.bucket, prefix)])
        if mention.other or mention.bucket is not None:
            return _counting(mention, [resolve_mention(text, mention, None, self.targets)])
        if mention.bare and self._is_a_name(prefix, usage):
            is_old = prefix.chars in self.targets.old_prefixes
            either = is_old and may_name_a_folder(usage.name) and self._bucket(usage) is not None
            return [Resolution(FindingKind.UNRESOLVED if either else FindingKind.OTHER, None, prefix)]
        found = self._bucket(usage)
        if mention.weak == LAYOUT and names_a_thing(usage.name):
            return []
        if found is None and mention.is_open:
            return [Resolution(FindingKind.UNRESOLVED, None, prefix)]
        if found is None:
            return [] if mention.weak else None
        ways = [resolve_mention(text, mention, bucket, self.targets, certain=found[1]) for bucket in found[0]]
        if mention.weak:
            return _counting(mention, ways)
        return None if usage.use is ExpressionUse.DECLARED and worst(ways) is FindingKind.UNRESOLVED else ways

    def _is_a_name(self, prefix: Text, usage: Usage) -> bool:
        if names_a_thing(usage.name):
            return True
        return usage.use is ExpressionUse.KEY and prefix.chars not in self.targets.old_prefixes

    def _leave_open(self, node: ast.expr, prefixes: list[Text], usage: Usage, frame: Frame) -> None:
        resolutions = [Resolution(FindingKind.UNRESOLVED, None, prefix) for prefix in prefixes]
        finding = _finding(node, resolutions, frame, "no bucket was found for it")
        marks = frozenset(mark for prefix in prefixes for mark in prefix.evidence())
        marks = marks & _inside(node, frame) or marks
        self._seen.append(SeenFinding(replace(finding, place=usage.place), frame.root, marks))


def _counting(mention: Mention, ways: list[Resolution]) -> list[Resolution]:
    """Those of a mention's ways that count: of a weak one, only what a person must look at."""
    return [
        way for way in ways if not mention.weak or way.kind in {FindingKind.ELSEWHERE, FindingKind.UNRESOLVED}
    ]


def _inside(node: ast.expr, frame: Frame) -> frozenset[Position]:
    start, end = frame.module.offset(node), frame.module.end(node)
    return frozenset((frame.module.path, offset) for offset in range(start, end + 1))


def _finding(node: ast.expr, resolutions: Sequence[Resolution], frame: Frame, note: str) -> Finding:
    source = frame.module.source
    offset = frame.module.offset(node)
    written = " ".join(source.text[offset : frame.module.end(node)].split())
    shown = written if len(written) <= LONGEST else written[: LONGEST - 1] + "…"
    return Finding.at(source, offset, shown, resolutions, place=CodePlace.CODE, note=note)


def _note(finding: Finding, usage: Usage, targets: Targets) -> str:
    if usage.use is ExpressionUse.SETTING:
        return "the setting's value is not in the code"
    if finding.kind is FindingKind.ELSEWHERE:
        return ELSEWHERE
    if finding.kind is FindingKind.OTHER:
        return (
            "only printed or logged"
            if usage.use is ExpressionUse.QUIET
            else "another bucket, or a longer name"
        )
    return unread(finding.resolutions, targets) if finding.kind is FindingKind.UNRESOLVED else ""


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


def _flat(node: ast.expr) -> Iterator[ast.expr]:
    """The elements of a list, or of lists within it; any other expression itself."""
    if not isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        yield node
        return
    for element in node.elts:
        yield from _flat(element)


def _makes_text(func: ast.expr, qualified: str) -> bool:
    name = qualified.rpartition(".")[2]
    if isinstance(func, ast.Attribute) and not qualified.endswith("path.join"):
        return name in METHODS or name in {"format", "join", "joinpath"}
    return name in {"str", "repr", "len", "join"}


def _is_prose(node: ast.expr) -> bool:
    """Tell whether a text has several words."""
    return isinstance(node, (ast.Constant, ast.JoinedStr)) and " " in ast.unparse(node)


def _is_logging(qualified: str) -> bool:
    owner, _, name = qualified.rpartition(".")
    return name == "print" or (name in _LOGGED and _LOGS.fullmatch(owner) is not None)


def _is_a_file(keyword: ast.keyword) -> bool:
    """Whether ``print`` writes there what another program may read: ``file=script``."""
    return keyword.arg == "file" and spelling(keyword.value) not in {"stdout", "stderr"}
