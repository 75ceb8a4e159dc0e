"""What a BigQuery load takes for one row of an export: the consumer's schema and the load's rules, as data. Pure.

The consumer loads with ``NEWLINE_DELIMITED_JSON``, the schema `SCHEMA`, and the load's defaults: one bad row or
unknown field fails the whole load. What is written beside each rule: **D** documented (BigQuery documentation, "Loading
JSON data", "Data types", "Load job quotas"), **O** observed by others (error messages and bug reports of public
projects), **A** assumed here, on the side of saying too much.

================================================  ====================  ===============================================
what a line or value is                           kind                  why
================================================  ====================  ===============================================
no JSON object                                    ``not_an_object``     D: each line holds one object
no JSON; cut off at the object's end              ``not_json``,         D
                                                  ``truncated``
longer than is held here                          ``line_too_long``     not judged; D: rows may have 100 MB
not UTF-8                                         ``invalid_utf8``      D: loads, but as other characters
begins with a byte order mark                     ``byte_order_mark``   A (D for CSV: remove it)
NaN, Infinity, a number beyond a double           ``not_a_number``      A: no JSON
half of a surrogate pair                          ``lone_surrogate``    A: no Unicode text
one name twice in an object                       ``duplicate_field``   A: one of the values is lost
a field the schema lacks                          ``unknown_field``     D
a field named in another case                     ``field_case``        D: column names ignore case; loads
object or list where a STRING is                  ``wrong_type``        O: "Array specified for non-repeated field"
number or boolean where a STRING is               ``coerced``           O: loads as its text
no list where a REPEATED field is                 ``wrong_type``        O: "Repeated field must be imported as a JSON
                                                                        array"
null where a REPEATED field is                    ``null_array``        O: loads as an empty list; old reports differ
null within a list                                ``null_in_array``     O: "Only optional fields can be set to NULL"
no object where a RECORD is                       ``wrong_type``        O
null or nothing where a value belongs             ``no_value``          D: loads as NULL
NUL in a text                                     ``nul_character``     A: loads
TIMESTAMP text ``YYYY-MM-DD`` (or ``/``),         taken                 D; without a zone it is UTC
then `` `` or ``T`` and ``HH:MM:SS[.ffffff]``,
then ``Z``, ``UTC`` or ``[+-]HH[:MM]``
TIMESTAMP with a zone's name, a leap second or    ``odd_timestamp``     D in queries, A for loads; digits beyond the
more than six digits of a fraction                                      sixth are lost
TIMESTAMP number: seconds since the epoch         taken                 D
TIMESTAMP text of digits                          ``odd_timestamp``     O: seconds since the epoch, so that
                                                                        ``20240101`` becomes a day of 1970
TIMESTAMP outside the years 1 to 9999             ``bad_timestamp``     D; so are milliseconds since the epoch
any other TIMESTAMP                               ``bad_timestamp``     A for times without seconds
a line without anything                           ``blank_line``        A: loads as no row
gzip                                              ``compressed``        D: a load cannot mix it with what is not
================================================  ====================  ===============================================

Details say types, positions and the schema's field names, and unknown field names cut short. They never say values.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from backfill_job.schema import SCHEMA, Field, Type

__all__ = ["ProblemKind", "RowRules", "Severity"]

LONGEST_NAME_SHOWN = 40
"""Characters of an unknown field name in a detail."""

FIRST_SECOND = -62_135_596_800
LAST_SECOND = 253_402_300_799
"""0001-01-01 and 9999-12-31, in seconds since the epoch: the range of TIMESTAMP."""

LEAP_SECOND = 60
KEPT_DIGITS = 6
WIDEST_OFFSET = 14

_TIMESTAMP = re.compile(
    r"(?P<year>[0-9]{4})(?P<dash>[-/])(?P<month>[0-9]{1,2})(?P=dash)(?P<day>[0-9]{1,2})"
    r"(?:[ Tt](?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{1,2}):(?P<second>[0-9]{1,2})(?:\.(?P<fraction>[0-9]*))?"
    r"(?: ?(?:[Zz]|UTC|[+-](?P<off>[0-9]{1,2})(?::?(?P<off_minutes>[0-9]{2}))?)"
    r"| (?P<zone>[A-Za-z_]+(?:/[A-Za-z0-9_+-]+)+))?)?"
)
_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]*)?")


class Severity(Enum):
    """What a problem means to the load."""

    ERROR = "error"
    """The load would fail, a row be lost or changed; or it cannot be said that it would not."""
    WARNING = "warning"
    """It loads, but is odd."""


class ProblemKind(Enum):
    """What may be wrong with an object or one of its lines; the value is the name in reports."""

    NOT_JSON = "not_json"
    TRUNCATED = "truncated"
    NOT_AN_OBJECT = "not_an_object"
    LINE_TOO_LONG = "line_too_long"
    INVALID_UTF8 = "invalid_utf8"
    BYTE_ORDER_MARK = "byte_order_mark"
    NOT_A_NUMBER = "not_a_number"
    LONE_SURROGATE = "lone_surrogate"
    DUPLICATE_FIELD = "duplicate_field"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    NULL_IN_ARRAY = "null_in_array"
    BAD_TIMESTAMP = "bad_timestamp"
    BAD_ENCODING = "bad_encoding"
    TOO_LARGE = "too_large"
    NOT_AS_LISTED = "not_as_listed"
    FIELD_CASE = "field_case"
    COERCED = "coerced"
    NULL_ARRAY = "null_array"
    NO_VALUE = "no_value"
    NUL_CHARACTER = "nul_character"
    ODD_TIMESTAMP = "odd_timestamp"
    BLANK_LINE = "blank_line"
    EMPTY = "empty"
    DUPLICATE_USER = "duplicate_user"
    USERS_NOT_COMPARED = "users_not_compared"
    COMPRESSED = "compressed"

    @property
    def severity(self) -> Severity:
        """What it means to the load."""
        return Severity.WARNING if self in _WARNINGS else Severity.ERROR


_WARNINGS = frozenset(
    {
        ProblemKind.FIELD_CASE,
        ProblemKind.COERCED,
        ProblemKind.NULL_ARRAY,
        ProblemKind.NO_VALUE,
        ProblemKind.NUL_CHARACTER,
        ProblemKind.ODD_TIMESTAMP,
        ProblemKind.BLANK_LINE,
        ProblemKind.EMPTY,
        ProblemKind.DUPLICATE_USER,
        ProblemKind.USERS_NOT_COMPARED,
        ProblemKind.COMPRESSED,
    }
)


OPTIONAL = frozenset({"answers.answer_ids"})
"""Columns without which a row is not odd: a question may be left open."""

Problems = dict[ProblemKind, str]
"""What is wrong with a line: a kind is noted once, with the detail of where it was seen first."""

_JSON_TYPES = {
    dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"
}  # fmt: skip


class RowRules:
    """Judges rows by a schema.

    Args:
        fields: The schema.
    """

    def __init__(self, fields: tuple[Field, ...] = SCHEMA) -> None:
        self._root = _Record(fields, "")

    def judge(self, row: Mapping[str, Any]) -> Problems:
        """Judge a row as it was parsed.

        Args:
            row: The parsed object. Names given twice are not seen here: a parsed object has the last one only.

        Returns:
            What is wrong with it; empty for a row that loads as it stands.
        """
        found: Problems = {}
        self._root.judge(row, found)
        return found


class _Record:
    """A RECORD's fields, by name."""

    def __init__(self, fields: tuple[Field, ...], path: str) -> None:
        self._columns = {field.name.lower(): _Column(field, path + field.name) for field in fields}
        self._path = path

    def judge(self, value: Mapping[str, Any], found: Problems) -> None:
        columns = self._columns
        known = 0
        for name, item in value.items():
            column = columns.get(name) or self._in_another_case(name, value, found)
            if column is not None:
                known += 1
                column.judge(item, found)
        if known < len(columns):
            names = {name.lower() for name in value}
            for name, column in columns.items():
                if name not in names:
                    column.judge_absent(found)

    def _in_another_case(self, name: str, value: Mapping[str, Any], found: Problems) -> "_Column | None":
        folded = name.lower()
        column = self._columns.get(folded)
        if column is None:
            shown = name if len(name) <= LONGEST_NAME_SHOWN else name[:LONGEST_NAME_SHOWN] + "…"
            found.setdefault(ProblemKind.UNKNOWN_FIELD, f"{self._path}{shown!r}")
            return None
        found.setdefault(ProblemKind.FIELD_CASE, column.path)
        if sum(other.lower() == folded for other in value) > 1:
            found.setdefault(ProblemKind.DUPLICATE_FIELD, f"{column.path}, in two cases")
        return column


class _Column:
    """A field at its place in the schema."""

    def __init__(self, field: Field, path: str) -> None:
        self.path = path
        self._repeated = field.repeated
        self._wanted = path not in OPTIONAL
        self._record = _Record(field.fields, path + ".")
        self._judge_one = {
            Type.STRING: self._judge_string,
            Type.TIMESTAMP: self._judge_timestamp,
            Type.RECORD: self._judge_record,
        }[field.type]

    def judge(self, value: Any, found: Problems) -> None:
        if not self._repeated:
            if value is None:
                self.judge_absent(found)
            else:
                self._judge_one(value, found)
        elif type(value) is list:
            for item in value:
                if item is None:
                    found.setdefault(ProblemKind.NULL_IN_ARRAY, self.path)
                else:
                    self._judge_one(item, found)
        elif value is None:
            found.setdefault(ProblemKind.NULL_ARRAY, self.path)
        else:
            self._wrong(value, "array", found)

    def judge_absent(self, found: Problems) -> None:
        if self._wanted:
            found.setdefault(ProblemKind.NO_VALUE, self.path)

    def _judge_record(self, value: Any, found: Problems) -> None:
        if type(value) is dict:
            self._record.judge(value, found)
        else:
            self._wrong(value, "object", found)

    def _judge_string(self, value: Any, found: Problems) -> None:
        if type(value) is str:
            if "\0" in value:
                found.setdefault(ProblemKind.NUL_CHARACTER, self.path)
        elif isinstance(value, dict | list):
            self._wrong(value, "STRING", found)
        else:
            found.setdefault(ProblemKind.COERCED, f"{self.path}: {_JSON_TYPES[type(value)]}")

    def _judge_timestamp(self, value: Any, found: Problems) -> None:
        if type(value) is str:
            kind, why = _judge_time(value)
            if kind is not None:
                found.setdefault(kind, f"{self.path}: {why}")
        elif isinstance(value, bool | dict | list):
            self._wrong(value, "TIMESTAMP", found)
        elif not FIRST_SECOND <= value <= LAST_SECOND:
            found.setdefault(ProblemKind.BAD_TIMESTAMP, f"{self.path}: {OUT_OF_RANGE}")

    def _wrong(self, value: Any, wanted: str, found: Problems) -> None:
        found.setdefault(
            ProblemKind.WRONG_TYPE, f"{self.path}: {_JSON_TYPES[type(value)]} where {wanted} is wanted"
        )


OUT_OF_RANGE = "seconds since the epoch beyond the year 9999 (milliseconds?) or before the year 1"


def _judge_time(text: str) -> tuple[ProblemKind | None, str]:
    """What is wrong with a TIMESTAMP's text; None for nothing."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        if not _DECIMAL.fullmatch(text):
            return ProblemKind.BAD_TIMESTAMP, f"text of {len(text)} characters in no form that loads"
        if FIRST_SECOND <= float(text) <= LAST_SECOND:
            return ProblemKind.ODD_TIMESTAMP, "a text of digits, taken for seconds since the epoch"
        return ProblemKind.BAD_TIMESTAMP, OUT_OF_RANGE
    year, _, month, day, hour, minute, second, fraction, offset, offset_minutes, zone = match.groups()
    leap = second == str(LEAP_SECOND)
    try:
        datetime(  # noqa: DTZ001 -- only asks whether calendar and clock have it
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            59 if leap else int(second or 0),
        )
    except ValueError:
        return ProblemKind.BAD_TIMESTAMP, "a date or time that does not exist"
    if offset and (int(offset) > WIDEST_OFFSET or int(offset_minutes or 0) >= LEAP_SECOND):
        return ProblemKind.BAD_TIMESTAMP, "an offset that does not exist"
    if leap or zone or len(fraction or "") > KEPT_DIGITS:
        why = (
            "a leap second"
            if leap
            else "a time zone's name"
            if zone
            else "more than six digits of a fraction"
        )
        return ProblemKind.ODD_TIMESTAMP, why
    return None, ""
