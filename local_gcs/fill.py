"""Bulk fill: many objects at once, the same for the same seed, without events. For benchmarks and demos.

Names are those of the migration's subject, ``PREFIX qpi_answers_YYYYMMDD/user_id_N.jsonl``, spread evenly over days;
contents are lines of JSON of the wanted size, of which a bounded number is distinct: a million objects must not need a
million checksums.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from random import Random
from typing import Any

import orjson

from local_gcs.errors import invalid
from local_gcs.model import Storage
from local_gcs.objects import Attributes, Content

__all__ = ["Fill", "fill"]


@dataclass(frozen=True, slots=True)
class Fill:
    """What to fill in.

    Attributes:
        bucket: Where to; it must exist.
        count: How many objects.
        prefix: Before every name.
        size: Bytes of each object, about.
        days: Over how many date partitions; 0 for none.
        first_day: The first of them, ``YYYY-MM-DD``.
        seed: Same seed, same objects.
        distinct: How many different contents.
        content_type: Of every object.
        metadata: Custom metadata of every object.
    """

    bucket: str
    count: int
    prefix: str = ""
    size: int = 350
    days: int = 1
    first_day: str = "2024-01-01"
    seed: int = 0
    distinct: int = 1000
    content_type: str = "application/json"
    metadata: dict[str, str] | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Fill":
        """The fill that a JSON object states.

        Raises:
            Refused: 400; it is not one.
        """
        unknown = values.keys() - {entry.name for entry in fields(cls)}
        if unknown:
            raise invalid(f"Unknown in fill: {', '.join(sorted(unknown))}")
        try:
            made = cls(**values)
            date.fromisoformat(made.first_day)
        except (TypeError, ValueError) as error:
            raise invalid(f"Malformed fill: {error}") from error
        if made.count < 0 or made.distinct < 1 or made.days < 0:
            raise invalid("fill: count and days are not negative, distinct is at least 1.")
        return made


def fill(storage: Storage, wanted: Fill) -> int:
    """Store the objects.

    Returns:
        How many.

    Raises:
        Refused: 404 for the bucket, 409 when a name is taken; nothing has been stored then.
    """
    bucket = storage.bucket(wanted.bucket)
    random = Random(wanted.seed)
    contents = [_content(random, wanted.size) for _ in range(min(wanted.distinct, wanted.count))]
    attributes = Attributes(content_type=wanted.content_type, metadata=wanted.metadata or None)
    return storage.load(
        bucket, ((name, contents[n % len(contents)], attributes) for n, name in enumerate(_names(wanted)))
    )


def _names(wanted: Fill) -> Iterator[str]:
    """The names, in no order of days."""
    first = date.fromisoformat(wanted.first_day)
    folders = [
        f"{wanted.prefix}qpi_answers_{first + timedelta(days=day):%Y%m%d}/" for day in range(wanted.days)
    ] or [wanted.prefix]
    for n in range(wanted.count):
        yield f"{folders[n % len(folders)]}user_id_{n}.jsonl"


def _content(random: Random, size: int) -> Content:
    """One answered questionnaire as a line of JSON."""
    line: dict[str, Any] = {
        "user_id": str(random.randrange(10**7)),
        "submitted_at": "2024-01-01T00:00:00Z",
        "answers": [{"question_id": f"q{random.randrange(100)}", "answer_ids": [str(random.randrange(10))]}],
    }
    missing = size - len(orjson.dumps(line)) - 1
    while missing > 0:
        answer = {"question_id": f"q{random.randrange(100)}", "answer_ids": [str(random.randrange(10**6))]}
        line["answers"].append(answer)
        missing = size - len(orjson.dumps(line)) - 1
    return Content.of(orjson.dumps(line) + b"\n")
