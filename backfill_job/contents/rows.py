"""What a BigQuery load does with one row of an export: the consumer's schema and the rules of the load, in one table. Pure.

`verify --contents` and `import-test` both judge by these rules. The consumer loads with ``NEWLINE_DELIMITED_JSON``, the
schema `SCHEMA` and the defaults of a load: one bad row or one unknown field fails the whole load. The last column of the
table names the source of each rule. **D** is the BigQuery documentation: "Loading JSON data from Cloud Storage" with
"Details of loading JSON data", and "Data types". **O** is an error message that several public projects report.
Everything else is not judged here: no rule says that it loads, and none says that it does not::

    ==================================================  ====================  ===========  ==================================
    what a line or value is                             kind                  verdict      source
    ==================================================  ====================  ===========  ==================================
    a JSON object with the fields of the schema                               loads        D
    null or nothing where a value belongs               ``no_value``          loads        D: every column is NULLABLE
    a field named in another case                       ``field_case``        loads        D: column names ignore case
    null where a REPEATED field is                      ``null_array``        loads        D: "a JSON array or null"
    gzip                                                ``compressed``        loads        D, unless other objects of the load
                                                                                           are not compressed
    not JSON; cut off at the end of the object          ``not_json``,         not          D
                                                        ``truncated``         loadable
    JSON, but not an object                             ``not_an_object``     not          D: each line holds one object
                                                                              loadable
    a field that the schema does not have               ``unknown_field``     not          D
                                                                              loadable
    an object or a list where a STRING is               ``wrong_type``        not          O: "Array specified for non-repeated
                                                                              loadable     field"
    not a list where a REPEATED field is                ``wrong_type``        not          D
                                                                              loadable
    not an object where a RECORD is                     ``wrong_type``        not          O
                                                                              loadable
    null within a list                                  ``null_in_array``     not          D
                                                                              loadable
    a TIMESTAMP in no known form, outside the years     ``bad_timestamp``     not          D
    1 to 9999 in UTC, or not in the calendar                                  loadable
    labelled gzip and is not; damaged gzip              ``bad_encoding``      not          D: gzip files load
                                                                              loadable
    a number or a boolean where a STRING is             ``coerced``           not judged   reports differ
    one name twice in an object                         ``duplicate_field``   not judged
    a NUL character in a text                           ``nul_character``     not judged
    half of a surrogate pair in a text                  ``lone_surrogate``    not judged
    NaN, Infinity, a number that a double cannot hold   ``not_a_number``      not judged
    a TIMESTAMP in another known form, see below        ``odd_timestamp``     not judged
    bytes that are not UTF-8                            ``invalid_utf8``      not judged   D only says: "expects" UTF-8
    a byte order mark                                   ``byte_order_mark``   not judged
    an empty line                                       ``blank_line``        not judged
    a line longer than is held here                     ``line_too_long``     not judged
    another content encoding than gzip                  ``other_encoding``    not judged
    ==================================================  ====================  ===========  ==================================

A TIMESTAMP loads in these forms (all D):

- ``YYYY-MM-DD`` or ``YYYY/MM/DD``, a space or ``T``, ``HH:MM[:SS[.SSSSSS]]``, and then the zone. That is nothing (UTC),
  ``Z``, `` UTC``, or an offset ``(+|-)H[H][:M[M]]`` with or without a space before it.
- A number of seconds since 1970, in digits.

Other forms are documented for queries and not for loads, or only reported. Those are not judged here:

- a date without a time, parts with one digit, lower-case letters, the name of a time zone;
- an offset without a colon or beyond 14 hours;
- more than six digits of a second, a point without digits, a leap second;
- a number in a text, with a point or an exponent, or beyond the year 9999 (the documentation's own example
  ``1.534680695e12`` is both: milliseconds?);
- white space around a text, or more than one space in it.

Details name types, positions and fields of the schema, and the names of unknown fields. They never contain values.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from shared.text import counted
from shared.verification import Severity

__all__ = ["ROWS", "SCHEMA", "Field", "ProblemKind", "Problems", "RecordFields", "Row", "Type"]


class Type(Enum):
    """A column's type; the value is BigQuery's name for it."""

    STRING = "STRING"
    TIMESTAMP = "TIMESTAMP"
    RECORD = "RECORD"


@dataclass(frozen=True, slots=True)
class Field:
    """One column, or one field of a record.

    Attributes:
        fields: The fields of a record; empty for other types.
    """

    name: str
    type: Type
    repeated: bool = False
    fields: tuple["Field", ...] = ()


SCHEMA = (
    Field("user_id", Type.STRING),
    Field("submitted_at", Type.TIMESTAMP),
    Field(
        "answers",
        Type.RECORD,
        repeated=True,
        fields=(Field("question_id", Type.STRING), Field("answer_ids", Type.STRING, repeated=True)),
    ),
)
"""The exact schema that the consumer loads with. Nothing is required; a field that is not in it fails the load. Names are in
lower case."""

OPTIONAL = frozenset({"answers.answer_ids"})
"""Columns that may be absent without a remark: a user may leave a question open."""


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
    OTHER_ENCODING = "other_encoding"
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
        return _SEVERITIES.get(self, Severity.ERROR)


_SEVERITIES = {
    ProblemKind.LINE_TOO_LONG: Severity.NOT_JUDGED,
    ProblemKind.INVALID_UTF8: Severity.NOT_JUDGED,
    ProblemKind.BYTE_ORDER_MARK: Severity.NOT_JUDGED,
    ProblemKind.NOT_A_NUMBER: Severity.NOT_JUDGED,
    ProblemKind.LONE_SURROGATE: Severity.NOT_JUDGED,
    ProblemKind.DUPLICATE_FIELD: Severity.NOT_JUDGED,
    ProblemKind.OTHER_ENCODING: Severity.NOT_JUDGED,
    ProblemKind.TOO_LARGE: Severity.NOT_JUDGED,
    ProblemKind.COERCED: Severity.NOT_JUDGED,
    ProblemKind.NUL_CHARACTER: Severity.NOT_JUDGED,
    ProblemKind.ODD_TIMESTAMP: Severity.NOT_JUDGED,
    ProblemKind.BLANK_LINE: Severity.NOT_JUDGED,
    ProblemKind.FIELD_CASE: Severity.WARNING,
    ProblemKind.NULL_ARRAY: Severity.WARNING,
    ProblemKind.NO_VALUE: Severity.WARNING,
    ProblemKind.EMPTY: Severity.WARNING,
    ProblemKind.DUPLICATE_USER: Severity.WARNING,
    ProblemKind.USERS_NOT_COMPARED: Severity.WARNING,
    ProblemKind.COMPRESSED: Severity.WARNING,
}
"""Every other kind is an error."""

Problems = dict[ProblemKind, str]
"""What is wrong with a line: each kind once, with the detail of its first place."""

Row = dict[str, Any]
"""Every field of the schema by its name; a TIMESTAMP as microseconds since 1970 UTC; what is absent as None or ``[]``."""

_JSON_TYPES = {
    dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"
}  # fmt: skip
_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class RecordFields:
    """A RECORD's fields, by name: judges values, and reads those that load."""

    def __init__(self, fields: tuple[Field, ...], path: str) -> None:
        self._columns = {field.name: _Column(field, path + field.name) for field in fields}
        self._path = path

    def judge(self, value: Mapping[str, Any], found: Problems) -> None:
        """Note what is wrong with a value, as orjson parses it. A name given twice is not seen: the value has the last one only."""
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
            shown = repr(name) if _COLUMN_NAME.fullmatch(name) else "a field whose name may be an answer"
            found.setdefault(ProblemKind.UNKNOWN_FIELD, f"{self._path}{shown}")
            return None
        found.setdefault(ProblemKind.FIELD_CASE, column.path)
        if sum(other.lower() == folded for other in value) > 1:
            found.setdefault(ProblemKind.DUPLICATE_FIELD, f"{column.path}, in two cases")
        return column

    def row(self, value: Mapping[str, Any]) -> Row:
        """The value as BigQuery would hold it; only for one with no problem but warnings."""
        given = {name.lower(): item for name, item in value.items()}
        return {name: column.value(given.get(name)) for name, column in self._columns.items()}


class _Column:
    """A field at its place in the schema. The schema's names are in lower case."""

    def __init__(self, field: Field, path: str) -> None:
        self.path = path
        self._repeated = field.repeated
        self._wanted = path not in OPTIONAL
        self._record = RecordFields(field.fields, path + ".")
        by_type: dict[Type, tuple[Callable[[Any, Problems], None], Callable[[Any], Any]]] = {
            Type.STRING: (self._judge_string, str),
            Type.TIMESTAMP: (self._judge_timestamp, _moment),
            Type.RECORD: (self._judge_record, self._record.row),
        }
        self._judge_one, self._value_of_one = by_type[field.type]

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

    def value(self, value: Any) -> Any:
        if self._repeated:
            return [self._value_of_one(item) for item in value or ()]
        return None if value is None else self._value_of_one(value)

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
            why = f"{self.path}: {_JSON_TYPES[type(value)]} where STRING is wanted"
            found.setdefault(ProblemKind.COERCED, why)

    def _judge_timestamp(self, value: Any, found: Problems) -> None:
        if isinstance(value, bool | dict | list):
            self._wrong(value, "TIMESTAMP", found)
            return
        moment = _moment(value)
        if not isinstance(moment, int):
            kind, why = moment
            found.setdefault(kind, f"{self.path}: {why}")

    def _wrong(self, value: Any, wanted: str, found: Problems) -> None:
        why = f"{self.path}: {_JSON_TYPES[type(value)]} where {wanted} is wanted"
        found.setdefault(ProblemKind.WRONG_TYPE, why)


# --- TIMESTAMP ------------------------------------------------------------------------------------------------

_Moment = int | tuple[ProblemKind, str]
"""Microseconds since 1970, or what is wrong."""

FIRST_SECOND = -62_135_596_800
LAST_SECOND = 253_402_300_799
"""0001-01-01 and 9999-12-31, in seconds since 1970: the range of TIMESTAMP (documentation, "Data types")."""

LEAP_SECOND = "60"
KEPT_DIGITS = 6
WIDEST_OFFSET = 14 * 60
"""Minutes."""
MILLION = 1_000_000
SECONDS_OF_A_DAY = 86_400

_LOADS = re.compile(
    r"([0-9]{4})([-/])([0-9]{2})\2([0-9]{2})[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?"
    r"(?:Z| UTC| ?([+-])([0-9]{1,2})(?::([0-9]{1,2}))?)?"
)
"""The forms that the documentation gives for loads."""

_KNOWN = re.compile(
    r"(?P<year>[0-9]{4})(?P<dash>[-/])(?P<month>[0-9]{1,2})(?P=dash)(?P<day>[0-9]{1,2})"
    r"(?:[ Tt](?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{1,2})(?::(?P<second>[0-9]{1,2})(?P<fraction>\.[0-9]*)?)?)?"
    r"(?: ?(?:[Zz]|UTC|[+-](?P<hours>[0-9]{1,2})(?P<colon>:?)(?P<minutes>[0-9]{1,2})?)"
    r"| (?P<zone>[A-Za-z_]+(?:/[A-Za-z0-9_+-]+)*))?"
)
"""Those, and the forms that are documented for queries or reported to load."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?")


def _moment(value: str | float) -> _Moment:
    if not isinstance(value, str):
        return _moment_of_number(value)
    match = _LOADS.fullmatch(value)
    if match is None:
        return _other_form(value)
    year, _, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    try:
        since = _clock(year, month, day, hour, minute, second) - _EPOCH
    except ValueError:
        return _other_form(value)
    seconds = since.days * SECONDS_OF_A_DAY + since.seconds
    if sign:
        offset = int(hours) * 60 + int(minutes or 0)
        if offset > WIDEST_OFFSET or int(minutes or 0) >= 60:  # noqa: PLR2004 -- minutes
            return _other_form(value)
        seconds += offset * (60 if sign == "-" else -60)
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        return ProblemKind.BAD_TIMESTAMP, "before the year 1 or after the year 9999, in UTC"
    return seconds * MILLION + (int(fraction.ljust(KEPT_DIGITS, "0")) if fraction else 0)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _clock(year: str, month: str, day: str, *time: str | None) -> datetime:
    """A date and time from its digits, in UTC; a ValueError where it does not exist."""
    hour, minute, second = (int(part or 0) for part in time)
    return datetime(int(year), int(month), int(day), hour, minute, second, tzinfo=UTC)


def _moment_of_number(value: float) -> _Moment:
    if not FIRST_SECOND <= value <= LAST_SECOND:
        return ProblemKind.ODD_TIMESTAMP, "a number beyond the seconds of the years 1 to 9999 (milliseconds?)"
    if not isinstance(value, int):  # whatever a double made of it
        return ProblemKind.ODD_TIMESTAMP, "a number with a point or an exponent"
    return value * MILLION


def _other_form(text: str) -> tuple[ProblemKind, str]:
    """Why a text is not one that the documentation gives for loads."""
    trimmed = " ".join(text.split())
    match = _KNOWN.fullmatch(trimmed)
    if match is None:
        if _NUMBER.fullmatch(trimmed):
            return ProblemKind.ODD_TIMESTAMP, "a number in a text"
        return (
            ProblemKind.BAD_TIMESTAMP,
            f"a text of {counted(len(text), 'character')} in no form of a TIMESTAMP",
        )
    leap = match["second"] == LEAP_SECOND
    try:
        _clock(*match.group("year", "month", "day", "hour", "minute"), "59" if leap else match["second"])
    except ValueError:
        return ProblemKind.BAD_TIMESTAMP, "a date or time that does not exist"
    fraction = match["fraction"] or ""
    offset = int(match["hours"] or 0) * 60 + int(match["minutes"] or 0)
    reasons = (
        (trimmed != text, "white space around it, or more than one space in it"),
        (leap, "a leap second"),
        (match["hour"] is None, "a date without a time"),
        (match["zone"], "the name of a time zone"),
        (fraction == ".", "a point without digits"),
        (len(fraction) > KEPT_DIGITS + 1, "more than six digits of a second"),
        (match["minutes"] and not match["colon"], "an offset without a colon"),
        (offset > WIDEST_OFFSET, "an offset of more than 14 hours"),
    )
    why = next((why for applies, why in reasons if applies), "a form that is not documented for loads")
    return ProblemKind.ODD_TIMESTAMP, why


ROWS = RecordFields(SCHEMA, "")
"""Judges the rows of an export."""
