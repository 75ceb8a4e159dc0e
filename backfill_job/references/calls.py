"""Which bucket belongs to a prefix, by how the code writes them together.

In a call: keyword arguments, the parameters' names of a function that can be read, the known signatures of Cloud Storage's client
and of Airflow's hook, the bucket whose method is called. In a dict, a class body and a parameter list: the names beside it.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from backfill_job.references.evaluate import Evaluator
from backfill_job.references.members import slots_of
from backfill_job.references.mentions import bucket_name
from backfill_job.references.pairing import bucket_for, names_objects
from backfill_job.references.targets import Targets
from backfill_job.references.texts import Text
from backfill_job.references.values import Frame, Ref, What, positional_names

__all__ = ["Arguments", "Beside", "Found", "arguments", "beside", "names_others"]

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
