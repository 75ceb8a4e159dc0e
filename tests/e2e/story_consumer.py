"""The consumer: what the DAG ``import_qpi`` does, written anew, with nothing of this project's own readers.

Its three steps for a day: (1) is there any object in the day's folder? If not, it takes the "Empty" branch, which is green;
(2) load ``…/qpi_answers_{day}/*.jsonl`` with the exact schema; (3) append to ``qpi_answers_v4``. It reads where its configuration points,
and looks there itself: no event reaches it. A day is appended once, in the night after it; by day it *looks*, loading and
keeping nothing, so that what a run would have got at that moment can be judged. A request that fails is made again, as
Airflow and BigQuery do.

A change of its configuration waits for a run that is under way: so does the runbook, which cuts over between two runs.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path as File
from random import Random
from typing import Any
from urllib.parse import quote

import aiohttp
import duckdb
from story_facts import Import, Path, Row, checksum, fingerprint

from shared.migration import Location

__all__ = ["Consumer", "row_fingerprint"]

AT_ONCE = 12
PAUSE = 0.05
SCHEMA = {
    "user_id": "VARCHAR",
    "submitted_at": "TIMESTAMPTZ",
    "answers": "STRUCT(question_id VARCHAR, answer_ids VARCHAR[])[]",
}


class Consumer:
    """Imports in a thread of its own, between `start` and `stop`.

    Args:
        url: The local Cloud Storage's.
        paths: Where the two paths are.
        folder: For what it loads from.
        rng: When it looks.
        today: The day that is open now.
        complete: Whether every submission of a day has been acknowledged.

    Attributes:
        imports: Its runs.
        quiet: Whether nights may be imported: nobody is between two paths.
    """

    def __init__(
        self,
        url: str,
        paths: Mapping[Path, Location],
        folder: File,
        *,
        rng: Random,
        today: Callable[[], str],
        complete: Callable[[str], bool],
    ) -> None:
        self._url = url
        self._paths = paths
        self._file = folder / "rows.jsonl"
        self._rng = rng
        self._today = today
        self._complete = complete
        self._path = Path.LEGACY
        self._nights: deque[str] = deque()
        self._running = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consumer")
        self._failure: BaseException | None = None
        self._database = duckdb.connect(config={"preserve_insertion_order": "false", "threads": "1"})
        columns = ", ".join(f"{name} {kind}" for name, kind in SCHEMA.items())
        self._database.execute(f"CREATE TABLE qpi_answers_v4 (day VARCHAR, {columns})")
        self.imports: list[Import] = []
        self.quiet = True

    @property
    def path(self) -> Path:
        """Where its configuration points."""
        return self._path

    def configure(self, path: Path) -> None:
        """Point it somewhere else, after the run that is under way."""
        with self._running:
            self._path = path

    def night(self, day: str) -> None:
        """A day is over: import it as soon as may be."""
        self._nights.append(day)

    @property
    def behind(self) -> int:
        """Nights that are still to be imported."""
        return len(self._nights)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the run that is under way."""
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise RuntimeError("the consumer broke down") from self._failure

    def close(self) -> None:
        """Forget what was loaded."""
        self._database.close()

    def rows(self) -> list[Row]:
        """What it keeps. Asked for when it has stopped."""
        found = self._database.execute(
            "SELECT day, user_id, epoch_us(submitted_at), CAST(to_json(answers) AS VARCHAR) FROM qpi_answers_v4"
        ).fetchall()
        return [
            (day, user, fingerprint(user, submitted, _canonical(json.loads(answers))))
            for day, user, submitted, answers in found
        ]

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except BaseException as error:  # noqa: BLE001 -- handed to whoever stops the consumer
            self._failure = error

    async def _work(self) -> None:
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=30)
        ) as session:
            while not self._stop.is_set():
                if self.quiet and self._nights and self._complete(self._nights[0]):
                    await self._import(session, self._nights[0], append=True)
                    self._nights.popleft()
                    continue
                await asyncio.sleep(self._rng.uniform(0.5, 2.5))
                if not self._stop.is_set():
                    await self._import(session, self._today(), append=False)

    async def _import(self, session: aiohttp.ClientSession, day: str, *, append: bool) -> None:
        with self._running:
            location, path = self._paths[self._path], self._path
            began = datetime.now(UTC)
            folder = f"{location.prefix}qpi_answers_{day}/"
            seen: dict[str, str] = {}
            present = bool(await self._listed(session, location.bucket, folder, most=1))
            if present:
                names = await self._listed(session, location.bucket, folder)
                loaded = await self._read(
                    session, location.bucket, [n for n in names if n.endswith(".jsonl")]
                )
                seen = {name[len(location.prefix) :]: sum_ for name, (_, sum_) in loaded.items()}
                rows = [
                    row for data, _ in loaded.values() for row in data.decode().splitlines() if row.strip()
                ]
                await asyncio.to_thread(self._load, day, rows, append=append)
            self.imports.append(Import(day, path, began, seen, append, not present))

    def _load(self, day: str, rows: list[str], *, append: bool) -> None:
        """Load with the exact schema: what is not in it, or of another type, fails the load."""
        for row in rows:
            _check_schema(json.loads(row))
        if append and rows:
            self._file.write_text("\n".join(rows), encoding="utf-8")
            columns = ", ".join(f"{name}: '{kind}'" for name, kind in SCHEMA.items())
            self._database.execute(
                f"INSERT INTO qpi_answers_v4 SELECT ?, * FROM read_json(?, format='newline_delimited', columns={{{columns}}})",  # noqa: S608
                [day, str(self._file)],
            )

    async def _listed(
        self, session: aiohttp.ClientSession, bucket: str, prefix: str, most: int = 1000
    ) -> list[str]:
        names: list[str] = []
        token = ""
        while True:
            query = f"prefix={quote(prefix, safe='')}&maxResults={most}&pageToken={quote(token, safe='')}"
            answer = json.loads(await self._get(session, f"/storage/v1/b/{bucket}/o?{query}"))
            names += [item["name"] for item in answer.get("items", ())]
            token = answer.get("nextPageToken", "")
            if not token or most == 1:
                return names

    async def _read(
        self, session: aiohttp.ClientSession, bucket: str, names: list[str]
    ) -> dict[str, tuple[bytes, str]]:
        waiting = iter(names)
        found: dict[str, tuple[bytes, str]] = {}

        async def some() -> None:
            for name in waiting:  # shared by all: each takes the next one
                data = await self._get(session, f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media")
                found[name] = (data, checksum(data))

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))
        return found

    async def _get(self, session: aiohttp.ClientSession, path: str) -> bytes:
        while True:
            try:
                async with session.get(self._url + path) as answer:
                    data = await answer.read()
                    if answer.status == 200:
                        return data
                    if answer.status not in {429, 500, 502, 503, 504}:
                        raise RuntimeError(f"{answer.status} for {path}: {data[:300]!r}")
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(PAUSE)


def row_fingerprint(data: bytes) -> str:
    """Of the one row that an object of the day folders holds."""
    row = json.loads(data)
    moment = datetime.fromisoformat(row["submitted_at"])
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return fingerprint(row["user_id"], micros, _canonical(row["answers"]))


def _canonical(answers: Any) -> str:
    return json.dumps(answers, sort_keys=True, separators=(",", ":"))


def _check_schema(row: Any) -> None:
    if (
        row.keys() != SCHEMA.keys()
        or not isinstance(row["user_id"], str)
        or not isinstance(row["answers"], list)
    ):
        raise RuntimeError(f"the load fails: {sorted(row)} is not the schema's")
    for answer in row["answers"]:
        if answer.keys() != {"question_id", "answer_ids"} or not all(
            isinstance(a, str) for a in answer["answer_ids"]
        ):
            raise RuntimeError("the load fails: an answer is not the schema's")
