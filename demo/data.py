"""QPI exports as a real bucket has them, invented from a seed: the same seed gives the same bytes.

In order of time: first flat files, then a folder a day with one small object for each submission. Working days have more of
them than weekends. Two days are missing. There are placeholders, a ``.DS_Store`` and a stray note. The caller uploads them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random

__all__ = ["DemoObject", "generate", "one_submission"]

MISSING_DAYS = 2
"""Number of days with folders on which the writer did not run."""
PLACEHOLDER_DAYS = 5
"""Number of days whose folder was made by hand before the first upload."""
STRAY_NAME = "backup/notes (final) é #2.txt"
JSON_TYPE = "application/json"

_WEEKDAYS = (1.0, 1.15, 1.1, 1.05, 0.9, 0.45, 0.5)
_QUESTIONS = 120
_FEWEST_ANSWERS, _MOST_ANSWERS = 3, 26
_USERS = 900_000
_DS_STORE = b"\x00\x00\x00\x01Bud1" + bytes(6_140)


@dataclass(frozen=True, slots=True)
class DemoObject:
    """One object to upload; its name below the prefix is empty for the prefix's own placeholder. The time is in UTC."""

    relative: str
    data: bytes
    content_type: str
    created: datetime


def generate(
    objects: int = 20_000, seed: int = 1, days: int = 60, *, until: date, flat_days: int = 21
) -> Iterator[DemoObject]:
    """Invents an export, the oldest object first.

    Args:
        objects: The exact number of objects.
        days: Number of days with a folder. Two more between them are missing.
        until: The last day with a folder.
        flat_days: Number of days with flat files, right before the first folder.

    Raises:
        ValueError: Too few days for two gaps, or too few objects for the days.
    """
    rng = Random(f"qpi-{seed}")
    fixed = 3 + 2 * flat_days + min(PLACEHOLDER_DAYS, days)
    if days < MISSING_DAYS + 1:
        raise ValueError(f"{days} days have no room for {MISSING_DAYS} missing ones between them")
    if objects < fixed + days:
        raise ValueError(f"{objects} objects are too few for {days} days: at least {fixed + days} are wanted")
    first = until - timedelta(days + MISSING_DAYS - 1)
    # Never neighbours and never at an end, so every seed gives two gaps.
    missing = {number + 1 for number in rng.sample(range(0, days, 2), MISSING_DAYS)}
    folders = [first + timedelta(n) for n in range(days + MISSING_DAYS) if n not in missing]
    made_by_hand = set(rng.sample(folders, min(PLACEHOLDER_DAYS, days)))

    yield from _flat_era(rng, first - timedelta(flat_days), flat_days)
    for day, submissions in zip(folders, _shares(rng, folders, objects - fixed), strict=True):
        if day in made_by_hand:
            yield _placeholder(_folder(day), _at(day, 0))
        yield from _submissions(rng, day, submissions)
    yield DemoObject(".DS_Store", _DS_STORE, "application/octet-stream", _at(until, 86_390))
    yield DemoObject(STRAY_NAME, b"Do not delete before asking.\n", "text/plain", _at(until, 86_395))


def one_submission(rng: Random, day: date, user_id: int, moment: datetime) -> DemoObject:
    """Invents the object that the writer uploads when a user submits the questionnaire at a moment, filed under a day.

    It is one line of JSON of about 200 to 2,000 bytes. A second submission of a user on one day has the same name.
    """
    name = f"{_folder(day)}user_id_{user_id}.jsonl"
    return DemoObject(name, _line(rng, user_id, moment), JSON_TYPE, moment)


def _submissions(rng: Random, day: date, number: int) -> Iterator[DemoObject]:
    moments = sorted(_at(day, rng.triangular(6 * 3_600, 86_380, 19 * 3_600)) for _ in range(number))
    for user_id, moment in zip(rng.sample(range(1, _USERS), number), moments, strict=True):
        yield one_submission(rng, day, user_id, moment)


def _flat_era(rng: Random, first: date, days: int) -> Iterator[DemoObject]:
    yield _placeholder("", _at(first, 0))
    for number in range(days):
        day = first + timedelta(number)
        exported = _at(day, 86_340)
        lines = (_line(rng, rng.randrange(1, _USERS), _at(day, rng.uniform(0, 86_000))) for _ in range(20))
        questions = "".join(f"Q{n:03},{rng.choice('ABCD')},{day}\n" for n in range(1, _QUESTIONS + 1))
        yield DemoObject(f"qpi_answers_{day:%Y%m%d}.jsonl", b"".join(lines), JSON_TYPE, exported)
        table = f"question_id,category,valid_from\n{questions}".encode()
        yield DemoObject(f"qpi_questions_{day:%Y%m%d}.csv", table, "text/csv", exported)


def _line(rng: Random, user_id: int, moment: datetime) -> bytes:
    asked = sorted(rng.sample(range(1, _QUESTIONS + 1), rng.randint(_FEWEST_ANSWERS, _MOST_ANSWERS)))
    answers = [{"question_id": f"Q{one:03}", "answer_ids": _answers(rng, one)} for one in asked]
    submission = {"user_id": str(user_id), "submitted_at": moment.isoformat(), "answers": answers}
    return json.dumps(submission).encode() + b"\n"


def _answers(rng: Random, question: int) -> list[str]:
    chosen = rng.sample("abcde", rng.choice((1, 1, 1, 1, 2, 3)))
    return [f"a{question:03}{letter}" for letter in sorted(chosen)]


def _shares(rng: Random, days: list[date], objects: int) -> list[int]:
    """Spreads the objects over the days, at least one each; the largest fractions get the remainders."""
    weights = [_WEEKDAYS[day.weekday()] * rng.lognormvariate(0, 0.12) for day in days]
    spare = objects - len(days)
    exact = [spare * weight / sum(weights) for weight in weights]
    shares = [1 + int(share) for share in exact]
    by_fraction = sorted(range(len(days)), key=lambda number: int(exact[number]) - exact[number])
    for number in by_fraction[: objects - sum(shares)]:
        shares[number] += 1
    return shares


def _placeholder(relative: str, created: datetime) -> DemoObject:
    return DemoObject(relative, b"", "text/plain", created)


def _folder(day: date) -> str:
    return f"qpi_answers_{day:%Y%m%d}/"


def _at(day: date, seconds: float) -> datetime:
    return datetime.combine(day, time(), UTC) + timedelta(milliseconds=int(seconds * 1_000))
