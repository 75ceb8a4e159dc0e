"""A deletion manifest read back, strictly: damaged, of another migration, or of a newer program, it is refused with a reason. Pure."""

from hashlib import sha256
from itertools import pairwise
from typing import Any, TypeVar

import orjson

from backfill_job.checks import Override
from backfill_job.deletion.manifest import CHUNK_LINES, FORMAT, Chunk, Line, Manifest
from shared.errors import UsageError
from shared.json_io import OTHER_FORM, parse_json, reason, shown_value
from shared.migration import Location, Migration
from shared.objects import Metadata

__all__ = ["chunk_lines", "read_manifest"]

_Value = TypeVar("_Value")


def chunk_lines(manifest: Manifest, number: int, data: bytes) -> list[Line]:
    """Read a chunk.

    Args:
        manifest: The head.
        number: Which chunk, from 0.
        data: Its bytes.

    Raises:
        UsageError: It is not what the head says, or names what may not be deleted.
    """
    chunk = manifest.chunks[number]
    where = f"{manifest.lines_name}, chunk {number}"
    if sha256(data).hexdigest() != chunk.sha256:
        raise UsageError(
            f"{where} was changed since the manifest was written (its SHA-256 is another); nothing of it is "
            "deleted or restored. Use the other copy of the manifest"
        )
    try:
        lines = [_line(row) for row in data.splitlines()]
    except OTHER_FORM as error:
        raise UsageError(f"{where} is damaged ({reason(error)})") from error
    names = [line.name for line in lines]
    ascending = all(one < other for one, other in pairwise(names))
    if (len(names), names[:1], names[-1:]) != (chunk.lines, [chunk.first], [chunk.last]) or not ascending:
        raise UsageError(f"{where} has other names than the manifest says")
    for name in names:
        if manifest.migration.is_excluded(name):
            raise UsageError(f"{where} names {name!r}, which was never migrated")
    return lines


def read_manifest(contents: bytes, place: str) -> Manifest:
    """Read a head.

    Args:
        contents: The file's.
        place: Where it lies, for errors.

    Raises:
        UsageError: It is no manifest, a newer program's, or damaged.
    """
    try:
        content = parse_json(contents)
        found = content["format"]
    except OTHER_FORM as error:
        raise UsageError(f"{place} is no deletion manifest ({reason(error)})") from error
    if found != FORMAT:
        raise UsageError(f"{place} has the format {shown_value(found)}; this program reads {FORMAT}")
    try:
        manifest = _manifest(content)
        _check(manifest, content)
    except (*OTHER_FORM, UsageError) as error:
        raise UsageError(f"{place} is a damaged deletion manifest ({reason(error)})") from error
    return manifest


def _manifest(content: dict[str, Any]) -> Manifest:
    lines = content["lines"]
    return Manifest(
        name=_typed(content["name"], str),
        run=_typed(content["run"], str),
        made=_typed(content["made"], str),
        by=_typed(content["by"], str),
        migration=Migration(
            Location.parse(content["source"]),
            Location.parse(content["destination"]),
            tuple(_typed(each, str) for each in content["excludes"]),
            _typed(content["env"], str),
        ),
        objects=_typed(content["objects"], int),
        size=_typed(content["bytes"], int),
        critical=_typed(content["critical"], int),
        length=_typed(lines["bytes"], int),
        sha256=_typed(lines["sha256"], str),
        chunks=tuple(Chunk(**chunk) for chunk in content["chunks"]),
        overrides=tuple(Override(**override) for override in content["overrides"]),
        facts=_typed(content["facts"], dict),
    )


def _check(manifest: Manifest, content: dict[str, Any]) -> None:
    """Find out whether the chunks are all lines, once and in order.

    Raises:
        ValueError: They are not.
    """
    if content["lines"]["name"] != manifest.lines_name or "/" in manifest.name:
        raise ValueError(f"its lines are called {content['lines']['name']!r}")
    if manifest.name != manifest.name.strip() or not manifest.name.endswith(".json"):
        raise ValueError(f"it is called {manifest.name!r}")
    offset, lines, last = 0, 0, None
    for number, chunk in enumerate(manifest.chunks):
        whole = chunk.offset == offset and chunk.length > 0 and 0 < chunk.lines <= CHUNK_LINES
        if not whole or chunk.first > chunk.last or (last is not None and chunk.first <= last):
            raise ValueError(f"chunk {number} does not follow the one before")
        offset, lines, last = offset + chunk.length, lines + chunk.lines, chunk.last
    if (offset, lines) != (manifest.length, manifest.objects):
        raise ValueError(
            f"its chunks are {lines:,} lines and {offset:,} bytes, where {manifest.objects:,} and "
            f"{manifest.length:,} are stated"
        )


def _line(row: bytes) -> Line:
    content = orjson.loads(row)
    generation, there = (_number(content[key]) for key in ("generation", "destination_generation"))
    return Line(
        _typed(content["name"], str),
        generation,
        _typed(content["size"], int),
        _typed(content["crc32c"], str),
        None if content["md5"] is None else _typed(content["md5"], str),
        _typed(content["created"], str),
        Metadata(**content["metadata"]),
        there,
    )


def _number(text: Any) -> int:
    """A generation. 0 would mean "no object" in a condition."""
    if not isinstance(text, str) or not text.isdecimal() or int(text) == 0:
        raise ValueError(f"{text!r} is no generation")
    return int(text)


def _typed(value: Any, kind: type[_Value]) -> _Value:
    if type(value) is not kind:  # not isinstance(): true is no number
        raise ValueError(f"{value!r} where {kind.__name__} was expected")
    return value
