"""The exact schema that the DAG loads with, as data that both engines are given.

In BigQuery's words: ``user_id STRING, submitted_at TIMESTAMP, answers REPEATED RECORD(question_id STRING, answer_ids
REPEATED STRING)``. Nothing is required; fields that are not in it are refused.
"""

from dataclasses import dataclass
from enum import Enum

__all__ = ["SCHEMA", "Field", "Type"]


class Type(Enum):
    """A column's type; the value is BigQuery's name for it."""

    STRING = "STRING"
    TIMESTAMP = "TIMESTAMP"
    RECORD = "RECORD"


@dataclass(frozen=True, slots=True)
class Field:
    """One column, or one field of a record.

    Attributes:
        name: Its name.
        type: Its type.
        repeated: Whether it holds a list of them.
        fields: What a record consists of.
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
