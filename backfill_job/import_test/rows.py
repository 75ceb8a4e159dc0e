"""An object's bytes as rows of the exact schema, or the first reason why they are none. Pure.

BigQuery refuses a whole load for one bad row (``max_bad_records=0``), and so does this. What a row must be:

- one JSON object a line, UTF-8; lines of white space only are skipped;
- no field that the schema lacks (``ignore_unknown_values=False``), none twice; any field may be missing;
- STRING: a JSON string. BigQuery refuses a number there ("Could not convert value to string");
- TIMESTAMP: a text ``YYYY-MM-DD`` or ``YYYY/MM/DD``, if wanted with ``HH:MM:SS``, up to six digits of a fraction, and
  ``Z``, ``UTC`` or an offset; without one it is UTC (BigQuery documentation, "Loading JSON data", "Timestamp type");
- REPEATED: a JSON array without null in it; RECORD: a JSON object; null is for what is neither.

Where BigQuery may take more than that (null for an array, seconds since 1970, names of time zones), this is the
stricter of the two: it may call unloadable what BigQuery loads, and the two paths are still judged alike.

A problem names the line and the field, never what the line says: those are people's answers.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from backfill_job.schema import SCHEMA, Field, Type

__all__ = ["BadLine", "Row", "rows_of"]

Row = dict[str, Any]
"""Every field of the schema by name; a TIMESTAMP as microseconds since 1970, UTC; what is missing as None or ``[]``."""

_TIMESTAMP = re.compile(
    r"(?P<year>[0-9]{4})(?P<dash>[-/])(?P<month>[0-9]{1,2})(?P=dash)(?P<day>[0-9]{1,2})"
    r"(?:[ Tt](?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{1,2}):(?P<second>[0-9]{1,2})(?:\.(?P<fraction>[0-9]{1,6}))?)?"
    r"(?: ?(?:[Zz]|UTC)|(?P<sign>[+-])(?P<hours>[0-9]{1,2})(?::(?P<minutes>[0-5]?[0-9]))?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_OFFSET = timedelta(hours=14)
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class BadLine:
    """Why an object cannot be loaded.

    Attributes:
        number: The first line that is no row, counted from 1.
        why: What is wrong with it, without its contents.
    """

    number: int
    why: str


def rows_of(data: bytes) -> Iterator[Row | BadLine]:
    """Read an object as newline-delimited JSON.

    Args:
        data: The object's contents.

    Yields:
        The rows, in order; after the first line that is none, a `BadLine` and nothing more.
    """
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            yield _record(_parsed(line), SCHEMA, "")
        except _Refused as refused:
            yield BadLine(number, str(refused))
            return


class _Refused(Exception):
    """The line is no row; the text says why."""


class _Number:
    """Any JSON number: nothing in the schema takes one, so its value does not matter."""


_NUMBER = _Number()


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(
            line.decode(),
            object_pairs_hook=_object,
            parse_int=lambda _: _NUMBER,
            parse_float=lambda _: _NUMBER,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as error:
        raise _Refused(f"is not UTF-8 (byte {error.start + 1} of the line)") from error
    except json.JSONDecodeError as error:
        raise _Refused(f"is not JSON ({error.msg}, column {error.colno})") from error
    except RecursionError as error:
        raise _Refused("is nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("names a field twice")
    return found


def _no_constant(text: str) -> None:
    raise _Refused(f"is not JSON ({text} is none of its numbers)")


def _record(value: Any, fields: tuple[Field, ...], path: str) -> Row:
    if not isinstance(value, Mapping):
        raise _Refused(f"{path or 'the line'} is {_kind(value)}, an object is wanted")
    unknown = value.keys() - {field.name for field in fields}
    if unknown:
        raise _Refused(f"has {_named(min(unknown), path)}, which the schema lacks")
    return {field.name: _field(value, field, f"{path}.{field.name}".lstrip(".")) for field in fields}


def _field(record: Mapping[str, Any], field: Field, path: str) -> Any:
    if not field.repeated:
        value = record.get(field.name)
        return None if value is None else _value(value, field, path)
    values = record.get(field.name, [])
    if not isinstance(values, list):
        raise _Refused(f"{path} is {_kind(values)}, an array is wanted")
    return [_value(value, field, f"{path}[{place}]") for place, value in enumerate(values)]


def _value(value: Any, field: Field, path: str) -> Any:
    if field.type is Type.RECORD:
        return _record(value, field.fields, path)
    if not isinstance(value, str):
        raise _Refused(f"{path} is {_kind(value)}, a {field.type.value} is wanted")
    if field.type is Type.TIMESTAMP:
        return _microseconds(value, path)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _Refused(f"{path} holds half a surrogate pair, which is no text") from error
    return value


def _microseconds(text: str, path: str) -> int:
    """Microseconds since 1970 of an instant, the same for every way to write it."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise _Refused(f"{path} is no TIMESTAMP, such as 2024-01-31T23:59:59+01:00")
    offset = timedelta(hours=int(match["hours"] or 0), minutes=int(match["minutes"] or 0))
    if offset > _MAX_OFFSET:
        raise _Refused(f"{path} has an offset from UTC that no place on earth has")
    try:
        moment = datetime(
            int(match["year"]),
            int(match["month"]),
            int(match["day"]),
            int(match["hour"] or 0),
            int(match["minute"] or 0),
            int(match["second"] or 0),
            int((match["fraction"] or "").ljust(6, "0")),
            timezone(-offset if match["sign"] == "-" else offset),
        )
        return (moment.astimezone(UTC) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError) as error:
        raise _Refused(f"{path} has the form of a TIMESTAMP, but no calendar has it") from error


def _named(name: str, path: str) -> str:
    """A field that is not ours, by name if it is one; anything else may be somebody's answer."""
    inside = f" in {path}" if path else ""
    return (f"field {name}" if _FIELD_NAME.fullmatch(name) else "a field") + inside


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case _Number():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
