"""The part of PromQL that the dashboard and the alerts use: read into a tree, so that names can be checked and values computed.

Numbers, selectors with matchers and a range, the functions and aggregations in `FUNCTIONS` and `AGGREGATIONS`, arithmetic,
comparisons, ``and``, ``or``, ``unless``. No vector matching by ``on`` or ``ignoring``, no subqueries, no offsets: what
is not understood is refused. Metric names are those of Cloud Monitoring: ``logging.googleapis.com/user/x`` is
``logging_googleapis_com:user_x``, a distribution also has ``_sum``, ``_count`` and ``_bucket``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from shared.errors import UsageError

__all__ = [
    "INTERVAL",
    "Aggregate",
    "Binary",
    "Call",
    "Expression",
    "Matcher",
    "Number",
    "Selector",
    "parse",
    "selectors",
]

FUNCTIONS = {
    "increase": 1, "rate": 1, "histogram_quantile": 2, "vector": 1, "clamp_min": 2, "max_over_time": 1, "avg_over_time": 1,
}  # fmt: skip
"""Functions by number of arguments."""

AGGREGATIONS = ("sum", "avg", "min", "max", "count")

INTERVAL = -1.0
"""The range ``${__interval}``: as long as a step of the chart."""

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_TOKEN = re.compile(
    r"""\s*(?:
        \[(?P<range>\$\{__interval\}|\d+[smhd])\] | (?P<text>"(?:[^"\\]|\\.)*") | (?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)
        | (?P<name>[a-zA-Z_][a-zA-Z0-9_:]*) | (?P<symbol>=~|!~|!=|==|>=|<=|[-+*/(){},=<>])
    )""",
    re.VERBOSE,
)
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("or",), ("and", "unless"), ("==", "!=", ">", "<", ">=", "<="), ("+", "-"), ("*", "/"),
)  # fmt: skip
"""Operators, the weakest first."""


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label."""

    label: str
    op: str
    value: str

    def holds(self, value: str) -> bool:
        """Whether a label's value fulfils it; regular expressions match the whole value."""
        if self.op in {"=", "!="}:
            return (value == self.value) is (self.op == "=")
        return (re.fullmatch(self.value, value) is not None) is (self.op == "=~")


@dataclass(frozen=True, slots=True)
class Selector:
    """Series of one metric.

    Attributes:
        name: The metric's.
        matchers: Conditions on labels.
        range: Seconds looked back, or `INTERVAL`; None for the latest value.
    """

    name: str
    matchers: tuple[Matcher, ...]
    range: float | None


@dataclass(frozen=True, slots=True)
class Call:
    """A function's value."""

    function: str
    arguments: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Series put together, by labels."""

    op: str
    by: tuple[str, ...]
    argument: "Expression"


@dataclass(frozen=True, slots=True)
class Binary:
    """Two expressions and an operator between them."""

    op: str
    left: "Expression"
    right: "Expression"


Expression = Number | Selector | Call | Aggregate | Binary


def parse(text: str) -> Expression:
    """Read a query.

    Raises:
        UsageError: It is not in the part of PromQL that is understood.
    """
    reader = _Reader(text)
    found = reader.binary(0)
    if reader.kind:
        raise reader.refusal()
    return found


def selectors(found: Expression) -> Iterator[Selector]:
    """Every selector in a query."""
    match found:
        case Selector():
            yield found
        case Call(_, arguments):
            for argument in arguments:
                yield from selectors(argument)
        case Aggregate(_, _, argument):
            yield from selectors(argument)
        case Binary(_, left, right):
            yield from selectors(left)
            yield from selectors(right)
        case Number():
            pass


class _Reader:
    """Recursive descent over the query's words."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.kind, self._word = "", ""
        self._next()

    def refusal(self) -> UsageError:
        return UsageError(f"the query is not understood at {self._word or 'its end'!r}: {self._text!r}")

    def binary(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._operand()
        left = self.binary(level + 1)
        while self.kind in {"symbol", "name"} and self._word in _LEVELS[level]:
            op = self._take()
            left = Binary(op, left, self.binary(level + 1))
        return left

    def _operand(self) -> Expression:
        if self.kind == "number":
            return Number(float(self._take()))
        if self._word == "-":
            self._next()
            return Binary("-", Number(0.0), self._operand())
        if self._word == "(":
            self._next()
            found = self.binary(0)
            self._expect(")")
            return found
        if self.kind != "name":
            raise self.refusal()
        if self._word in AGGREGATIONS:
            return self._aggregate()
        name = self._word
        if name in FUNCTIONS:
            return self._call()
        self._next()
        if ":" not in name:
            # Every metric of Cloud Monitoring has one; this is a function that nobody knows.
            self._word = name
            raise self.refusal()
        return self._selector(name)

    def _aggregate(self) -> Expression:
        op, by = self._take(), self._grouping()
        self._expect("(")
        argument = self.binary(0)
        self._expect(")")
        return Aggregate(op, by or self._grouping(), argument)

    def _grouping(self) -> tuple[str, ...]:
        if not (self.kind == "name" and self._word == "by"):
            return ()
        self._next()
        self._expect("(")
        labels = [self._name()]
        while self._word == ",":
            self._next()
            labels.append(self._name())
        self._expect(")")
        return tuple(labels)

    def _call(self) -> Expression:
        name = self._take()
        self._expect("(")
        arguments = [self.binary(0)]
        while self._word == ",":
            self._next()
            arguments.append(self.binary(0))
        if len(arguments) != FUNCTIONS[name]:
            raise UsageError(f"{name} takes {FUNCTIONS[name]} arguments: {self._text!r}")
        self._expect(")")
        return Call(name, tuple(arguments))

    def _selector(self, name: str) -> Selector:
        matchers: list[Matcher] = []
        if self._word == "{":
            self._next()
            while self._word != "}":
                matchers.append(self._matcher())
                if self._word == ",":
                    self._next()
            self._next()
        window = None
        if self.kind == "range":
            text = self._take()
            window = INTERVAL if text.startswith("$") else float(text[:-1]) * _UNITS[text[-1]]
        return Selector(name, tuple(matchers), window)

    def _matcher(self) -> Matcher:
        label, op = self._name(), self._take()
        if op not in {"=", "!=", "=~", "!~"} or self.kind != "text":
            raise self.refusal()
        return Matcher(label, op, re.sub(r"\\(.)", r"\1", self._take()[1:-1]))

    def _name(self) -> str:
        if self.kind != "name":
            raise self.refusal()
        return self._take()

    def _expect(self, word: str) -> None:
        if self._word != word:
            raise self.refusal()
        self._next()

    def _take(self) -> str:
        word = self._word
        self._next()
        return word

    def _next(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            self.kind, self._word = "", self._text[self._at :].strip()[:20]
            if self._word:
                raise self.refusal()
            return
        self._at = match.end()
        self.kind = match.lastgroup or ""
        self._word = match[self.kind]
