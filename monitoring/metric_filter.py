"""The part of Cloud Monitoring's filter language that this project uses: a conjunction of comparisons, read and evaluated.

``metric.type="…" AND resource.type="…" AND metric.label."outcome"="failed"``; ``AND`` may be left out, labels may be written
with or without quotes and as ``label`` or ``labels``. Values are texts, or ``starts_with("…")``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import UsageError

__all__ = ["MetricFilter", "Term", "parse"]

_TERM = re.compile(
    r"""\s*(?:AND\s+)?
    (?P<subject>metric|resource)\.(?:(?P<type>type)|labels?\.(?P<quote>"?)(?P<label>[a-z0-9_]+)(?P=quote))
    \s*(?P<op>!?=)\s*(?:(?P<function>starts_with)\(\s*"(?P<argument>[^"]*)"\s*\)|"(?P<value>[^"]*)")""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Term:
    """One condition on a label.

    Attributes:
        subject: ``metric`` or ``resource``.
        label: Which label.
        equal: Whether it must, or must not, be so.
        value: What it is compared with.
        prefix: Whether it only begins with the value.
    """

    subject: str
    label: str
    equal: bool
    value: str
    prefix: bool

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the term is true of a series' labels, named ``metric.x`` and ``resource.x``."""
        label = labels.get(f"{self.subject}.{self.label}", "")
        return (label.startswith(self.value) if self.prefix else label == self.value) is self.equal


@dataclass(frozen=True, slots=True)
class MetricFilter:
    """Which series are meant.

    Attributes:
        metric: The metric's type.
        resource: The monitored resource's type; empty when the filter does not say.
        terms: Conditions on labels.
    """

    metric: str
    resource: str
    terms: tuple[Term, ...]


def parse(text: str) -> MetricFilter:
    """Read a filter.

    Raises:
        UsageError: It names no metric, or is not in the part of the language that is understood.
    """
    types: dict[str, str] = {}
    terms: list[Term] = []
    at = 0
    while text[at:].strip():
        match = _TERM.match(text, at)
        if match is None:
            raise UsageError(f"the metric filter is not understood at {text[at:].strip()[:30]!r}: {text!r}")
        at = match.end()
        value = match["argument"] if match["function"] else match["value"]
        if not match["type"]:
            terms.append(
                Term(match["subject"], match["label"], match["op"] == "=", value, bool(match["function"]))
            )
        elif match["op"] != "=" or match["function"] or match["subject"] in types:
            raise UsageError(f"the metric filter must name one {match['subject']} type: {text!r}")
        else:
            types[match["subject"]] = value
    if "metric" not in types:
        raise UsageError(f"the metric filter names no metric.type: {text!r}")
    return MetricFilter(types["metric"], types.get("resource", ""), tuple(terms))
