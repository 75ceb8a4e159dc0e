"""Judges one expression where it is used: what it comes to, which bucket is beside it, what that is to the migration."""

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from backfill_job.references.calls import Found
from backfill_job.references.evaluate import Evaluator, TooDeep
from backfill_job.references.findings import Finding, Place, Resolution, worst
from backfill_job.references.mentions import Mention, mentions, resolve
from backfill_job.references.modules import Function
from backfill_job.references.pairing import names_a_thing
from backfill_job.references.targets import Kind, Targets
from backfill_job.references.texts import Position, Text, with_holes
from backfill_job.references.values import Frame

__all__ = ["Judge", "Seen", "Usage", "Use"]

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
