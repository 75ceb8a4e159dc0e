"""Walks through Python code and judges every expression that comes to the name of a prefix, where it is used.

Beside a bucket it is resolved. Alone, as in an assignment, it stays *open*: it is closed when its characters or names are part of
what was resolved somewhere else, and unresolved otherwise. So nothing is lost by looking only at the places where buckets
and prefixes meet.

Which bucket belongs to a prefix, by how the code writes them together.

In a call: keyword arguments, the parameters' names of a function that can be read, the known signatures of Cloud Storage's client
and of Airflow's hook, the bucket whose method is called. In a dict, a class body and a parameter list: the names beside it.

Judges one expression where it is used: what it comes to, which bucket is beside it, what that is to the migration.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from backfill_job.references.evaluate import Evaluator, TooDeep, entries_of, is_lookup, slots_of
from backfill_job.references.findings import Finding, Place, Resolution, worst
from backfill_job.references.mentions import (
    Mention,
    bucket_for,
    bucket_name,
    mentions,
    names_a_thing,
    names_objects,
    resolve,
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
    owner_of,
    positional_names,
)
from backfill_job.references.targets import Kind, Targets
from backfill_job.references.texts import Position, Text, with_holes

__all__ = [
    "Arguments",
    "Beside",
    "Found",
    "Judge",
    "Seen",
    "Usage",
    "Use",
    "Walk",
    "arguments",
    "beside",
    "names_others",
]

Found = tuple[tuple[Text, ...], bool]
"""A bucket's possible names, and whether it surely is the one."""

_OBJECT = ("bucket_name", "object_name")
_COPY = ("source_bucket", "source_object", "destination_bucket", "destination_object")
_SIGNATURES: Mapping[str, Sequence[str]] = {
    "list": ("bucket_name", "versions", "max_results", "prefix", "delimiter"),
    "list_by_timespan": (
        "bucket_name",
        "timespan_start",
        "timespan_end",
        "versions",
        "max_results",
        "prefix",
    ),
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

_OF_A_BUCKET = re.compile(r"((get|delete|copy|rename|restore)_)?blob|list_blobs|get_notification")
_TWO = 2


@dataclass(frozen=True, slots=True)
class Beside:
    """An expression with the name it has beside others, and where it is evaluated."""

    node: ast.expr
    frame: Frame


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of one call, under their names.

    Attributes:
        call: The call.
        frame: Where it stands.
        names: What the arguments given by position are called, as far as anybody knows.
        named: Every argument that has a name.
    """

    call: ast.Call
    frame: Frame
    names: Mapping[int, str]
    named: Mapping[str, Beside]

    def bucket(self, slot: int | str, evaluator: Evaluator, targets: Targets) -> Found | None:
        """Find the bucket that an argument belongs to.

        Args:
            slot: The argument's position or keyword.
            evaluator: Evaluates the others.
            targets: What is looked for.

        Returns:
            Its possible names; None when none is found, or nobody can tell which.
        """
        name = slot if isinstance(slot, str) else self.names.get(slot, "")
        found = beside(name or "prefix", self.named, evaluator)
        if found is not None:
            return found
        func = self.call.func
        if isinstance(func, ast.Attribute) and _OF_A_BUCKET.fullmatch(func.attr):
            receiver = evaluator.texts(func.value, self.frame)
            if any(text.known for text in receiver):
                return receiver, True
        return self._before(slot, evaluator, targets) if isinstance(slot, int) else None

    def _before(self, slot: int, evaluator: Evaluator, targets: Targets) -> Found | None:
        """One of our buckets, given before the prefix to a function that nobody knows."""
        for node in reversed(self.call.args[:slot]):
            texts = evaluator.texts(node, self.frame)
            if any(targets.may_be_bucket(bucket_name(text, targets).chars) for text in texts):
                return texts, False
        return None


def arguments(call: ast.Call, frame: Frame, evaluator: Evaluator) -> Arguments:
    """Name a call's arguments."""
    names: dict[int, str] = {}
    for callee in evaluator.values(call.func, frame):
        if isinstance(callee, Ref) and callee.what in {What.FUNCTION, What.CLASS}:
            names = dict(enumerate(positional_names(callee)))
    func = call.func
    if not names and isinstance(func, ast.Attribute) and len(call.args) + len(call.keywords) >= _TWO:
        names = dict(enumerate(_SIGNATURES.get(func.attr, ())))
    named: dict[str, Beside] = {}
    for slot, node, where in slots_of(evaluator, call, frame):
        name = slot if isinstance(slot, str) else names.get(slot)
        if name is not None:
            named[name] = Beside(node, where)
    return Arguments(call, frame, names, named)


def beside(name: str, named: Mapping[str, Beside], evaluator: Evaluator) -> Found | None:
    """Find the bucket that belongs to a name among those beside it."""
    chosen = bucket_for(name, named)
    if chosen is None:
        return None
    other, certain = chosen
    return evaluator.texts(other.node, other.frame), certain


def names_others(named: Mapping[str, Beside], evaluator: Evaluator, targets: Targets) -> bool:
    """Tell whether other objects are named beside a prefix: a change of their bucket would move them, too."""
    return any(
        not targets.carries(text.chars)
        for name, other in named.items()
        if names_objects(name)
        for node in _flat(other.node)
        for text in evaluator.texts(node, other.frame)
        if text.chars
    )


def _flat(node: ast.expr) -> Iterator[ast.expr]:
    elements: Iterable[ast.expr] = node.elts if isinstance(node, (ast.List, ast.Tuple, ast.Set)) else ()
    if not isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        yield node
    for element in elements:
        yield from _flat(element)


LONGEST = 200
"""Characters of an expression that are shown."""


class Use(Enum):
    """What an expression is used for."""

    PLAIN = auto()
    DECLARED = auto()  # beside a bucket that may be meant as a default
    QUIET = auto()  # only printed or logged
    KEY = auto()
    SETTING = auto()  # the name of a setting that has no default


@dataclass(frozen=True, slots=True)
class Usage:
    """How an expression is used.

    Attributes:
        use: How.
        name: What it is called there.
        bucket: Finds the bucket that belongs to it.
        shared: Tells whether other objects are named with that bucket.
        done: What an expression around it was judged for.
        place: Code, or a text for people.
        together: Where the call or dict around it begins.
    """

    use: Use = Use.PLAIN
    name: str = ""
    bucket: Callable[[], Found | None] = lambda: None
    shared: Callable[[], bool] = lambda: False
    done: frozenset[Position] = frozenset()
    place: Place = Place.CODE
    together: int = -1

    def inner(self) -> "Usage":
        """How the parts of such an expression are used, unless they are known better."""
        use = Use.QUIET if self.use is Use.QUIET else Use.PLAIN
        return Usage(use, done=self.done, place=self.place)


@dataclass(frozen=True, slots=True)
class Seen:
    """A finding, the function that was entered for it without knowing its callers, and its marks while it is open."""

    finding: Finding
    root: Function | None
    marks: frozenset[Position] | None = None


@dataclass
class Judge:
    """Judges expressions.

    Attributes:
        evaluator: Evaluates them.
        targets: What is looked for.
        seen: What was found so far.
    """

    evaluator: Evaluator
    targets: Targets
    seen: list[Seen] = field(default_factory=list)

    def judge(self, node: ast.expr, usage: Usage, frame: Frame) -> frozenset[Position]:
        """Judge an expression where it is used; gives the characters that it was judged for."""
        resolutions: list[Resolution] = []
        alone: list[Text] = []
        judged: set[Position] = set()
        for text in self._texts(node, frame):
            ready = with_holes(text, self.targets.carries)
            for mention in mentions(ready, self.targets):
                prefix = ready.cut(mention.start, mention.end)
                marks = prefix.positions()
                if marks <= usage.done and (marks or usage.done):
                    continue
                if usage.use is Use.QUIET and not marks & self.inside(node, frame):
                    continue
                judged |= marks
                found = self._resolved(ready, mention, prefix, usage)
                resolutions += found or []
                alone += [prefix] if found is None else []
        if resolutions:
            finding = self.finding(node, resolutions, frame, "")
            note = _note(finding, usage)
            shared = finding.blocks and usage.shared()
            finding = replace(
                finding, place=usage.place, note=note, shares_bucket=shared, together=usage.together
            )
            self.seen.append(Seen(finding, frame.root))
        if alone:
            self._leave_open(node, alone, usage, frame)
        return frozenset(judged)

    def _texts(self, node: ast.expr, frame: Frame) -> Iterator[Text]:
        try:
            texts = self.evaluator.texts(node, frame)
        except TooDeep:
            unread = Resolution(Kind.UNRESOLVED, None, Text(self.targets.prefixes[0]))
            finding = self.finding(node, [unread], frame, "it leads too deep to be read")
            self.seen.append(Seen(finding, None))
            return
        yield from (text for text in texts if self.targets.carries(text.chars))

    def _resolved(self, text: Text, mention: Mention, prefix: Text, usage: Usage) -> list[Resolution] | None:
        """Every way a mention can come out; None when there is no bucket beside it."""
        if usage.use is Use.SETTING:
            return [Resolution(Kind.UNRESOLVED, None, prefix)]
        if mention.other or mention.bucket is not None:
            return [resolve(text, mention, None, self.targets)]
        if usage.use is Use.QUIET or (mention.bare and self._is_a_name(prefix, usage)):
            return [Resolution(Kind.OTHER, None, prefix)]
        found = usage.bucket()
        if found is None:
            return [] if mention.part else None
        ways = [resolve(text, mention, bucket, self.targets, certain=found[1]) for bucket in found[0]]
        if mention.part:
            return [way for way in ways if way.kind is Kind.UNRESOLVED]
        return None if usage.use is Use.DECLARED and worst(ways) is Kind.UNRESOLVED else ways

    def _is_a_name(self, prefix: Text, usage: Usage) -> bool:
        if names_a_thing(usage.name):
            return True
        return usage.use is Use.KEY and prefix.chars not in {target.old for target in self.targets.targets}

    def _leave_open(self, node: ast.expr, prefixes: list[Text], usage: Usage, frame: Frame) -> None:
        resolutions = [Resolution(Kind.UNRESOLVED, None, prefix) for prefix in prefixes]
        finding = self.finding(node, resolutions, frame, "no bucket was found for it")
        marks = frozenset(mark for prefix in prefixes for mark in prefix.evidence())
        marks = marks & self.inside(node, frame) or marks
        self.seen.append(Seen(replace(finding, place=usage.place), frame.root, marks))

    def inside(self, node: ast.expr, frame: Frame) -> frozenset[Position]:
        """Every character of an expression as it is written."""
        start, end = frame.module.offset(node), frame.module.end(node)
        return frozenset((frame.module.path, offset) for offset in range(start, end + 1))

    def finding(self, node: ast.expr, resolutions: Sequence[Resolution], frame: Frame, note: str) -> Finding:
        """A finding that shows an expression."""
        source = frame.module.source
        offset = frame.module.offset(node)
        written = " ".join(source.text[offset : frame.module.end(node)].split())
        shown = written if len(written) <= LONGEST else written[: LONGEST - 1] + "…"
        ways = tuple(dict.fromkeys(resolutions))
        line, column = source.line_of(offset), source.column_of(offset)
        return Finding(source.path, offset, line, column, shown, worst(ways), Place.CODE, ways, note)


def _note(finding: Finding, usage: Usage) -> str:
    if usage.use is Use.SETTING:
        return "the setting's value is not in the code"
    if finding.kind is Kind.OTHER:
        return "only printed or logged" if usage.use is Use.QUIET else "another bucket, or a longer name"
    return "the bucket could not be read" if finding.kind is Kind.UNRESOLVED else ""


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
