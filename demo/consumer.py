"""The nightly job of the consumer: presence of the run's own day, then the load of the day before, appended to a table.

It runs in the demo's process, on a DuckDB file instead of BigQuery. Like the real one it ends green where it finds nothing.
A module of its own because `demo.story` only says what happens next.
"""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode
from urllib.request import urlopen

import duckdb

from shared.migration import Location
from shared.text import counted

__all__ = ["TABLE", "night"]

TABLE = "qpi_answers_v4"
_COLUMNS = (
    "user_id VARCHAR, submitted_at TIMESTAMPTZ, answers STRUCT(question_id VARCHAR, answer_ids VARCHAR[])[]"
)


def night(url: str, path: Location, run_date: date, database: Path) -> str:
    """Play the run of a date; gives what its log would say.

    Args:
        url: The local Cloud Storage.
        path: Where the job's code says that the exports are.
    """
    today, yesterday = run_date, run_date - timedelta(days=1)
    if next(_names(url, path, today), None) is None:
        return f"run of {run_date}: no object in {path.uri}qpi_answers_{today:%Y%m%d}/: Empty. SUCCESS"
    rows = database.with_suffix(".jsonl")
    with rows.open("wb") as lines:
        for name in _names(url, path, yesterday):
            if name.endswith(".jsonl"):
                lines.write(_read(f"{url}/storage/v1/b/{path.bucket}/o/{quote(name, safe='')}?alt=media"))
    with duckdb.connect(str(database)) as table:
        table.execute(f"SET TimeZone = 'UTC'; CREATE TABLE IF NOT EXISTS {TABLE} ({_COLUMNS})")
        types = ", ".join(
            f"{part.split(' ')[0]}: '{part.partition(' ')[2]}'" for part in _COLUMNS.split(", ", 2)
        )
        (loaded,) = table.execute(
            f"INSERT INTO {TABLE} SELECT * FROM read_json(?, format = 'newline_delimited', columns = {{{types}}})",  # noqa: S608
            [str(rows)],
        ).fetchone() or (0,)
    rows.unlink()
    return f"run of {run_date}: {counted(loaded, 'row')} of {yesterday} appended. SUCCESS"


def _names(url: str, path: Location, day: date) -> Iterator[str]:
    folder, token = f"{path.prefix}qpi_answers_{day:%Y%m%d}/", ""
    while True:
        page = json.loads(
            _read(f"{url}/storage/v1/b/{path.bucket}/o?{urlencode({'prefix': folder, 'pageToken': token})}")
        )
        yield from (each["name"] for each in page.get("items", ()))
        token = page.get("nextPageToken", "")
        if not token:
            return


def _read(url: str) -> bytes:
    with urlopen(url) as answer:  # noqa: S310 -- the demo's own server
        return bytes(answer.read())
