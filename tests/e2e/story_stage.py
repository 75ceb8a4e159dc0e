"""The actors of the whole story, started and stopped: storage, both mirrors, writers, consumer, operator, and the passing days."""

import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path as File
from random import Random

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from story_consumer import Consumer, row_fingerprint
from story_facts import Handover, Path, Upload, Version, checksum, day_of
from story_operator import Operator
from story_weather import weather

import local_gcs
from demo.data import generate
from demo.function import FunctionProcess, running_function
from demo.writer import Acknowledged, LiveWriter, upload_all
from local_gcs.waiting import wait_until
from shared.migration import Environment, qpi_exports

__all__ = ["MIGRATION", "PART", "PATHS", "SOAKS", "Stage", "started", "time_passing"]

MIGRATION = qpi_exports(Environment.DEV)
PATHS = {Path.LEGACY: MIGRATION.source, Path.NEW: MIGRATION.destination}
SOAKS = "SOAK_SECONDS" in os.environ
PART = 1 if SOAKS else 3
"""The suite tells the story with a third of the writes."""
REGULARS = 40
HISTORY = 900
HISTORY_DAYS = 12
BURST, STEADY = 1_200 // PART, 50.0 / PART
"""Uploads of the storm, as fast as it goes; and uploads a second afterwards."""
TICK = 0.2
MOST_PENDING, FEW_PENDING = 2_000 // PART, 60
"""Events that wait for the mirrors when the writers stop: in a storm and in busy days, and while somebody verifies."""
MOST_NIGHTS = 4
FIRST_DAY = 400
"""Days ago on which the story's writers begin: far from the history's days, which the import test wants undisturbed."""


@dataclass
class Stage:
    """What the story is told with.

    Attributes:
        seed: Decides everything but the machine's timing.
        rng: For the plot.
        functions: Both mirrors by name.
        rate: Uploads a second at most.
        burst: The number of acknowledged uploads at which the storm of writes is over.
        forgotten: A writer that was never switched; None before it writes.
        uploads: Acknowledged versions, by name.
        kills: By victim.
        handovers: By time.
        chapters: Name, seconds, uploads.
        today: The day that is open.
        manifest: Checksums by name.
        not_there: What the undo could not bring back.
        before: Versions as they were before the deletion.
        letters: How many dead letters were replayed.
        losses: Which part of the record is lost where; each is taken out when it happens.
        accidents: What `story_accidents` did and saw.
        erases: Whether people ask for the erasure of their data.
        erased: The names that were erased.
    """

    seed: int
    rng: Random
    folder: File
    server: local_gcs.LocalServer
    functions: dict[str, FunctionProcess]
    operator: Operator
    rate: float
    burst: int = BURST
    uploads: defaultdict[str, list[Upload]] = field(default_factory=lambda: defaultdict(list))
    kills: Counter[str] = field(default_factory=Counter)
    handovers: list[Handover] = field(default_factory=list)
    chapters: list[tuple[str, float, int]] = field(default_factory=list)
    today: date = field(default_factory=lambda: datetime.now(UTC).date() - timedelta(days=FIRST_DAY))
    days: list[date] = field(default_factory=list)
    deleting_since: datetime | None = None
    manifest: dict[str, str] = field(default_factory=dict)
    not_there: frozenset[str] = frozenset()
    before: dict[str, list[Version]] = field(default_factory=dict)
    letters: int = 0
    history_days: list[str] = field(default_factory=list)
    forgotten: LiveWriter | None = None
    losses: dict[str, str] = field(default_factory=dict)
    accidents: Counter[str] = field(default_factory=Counter)
    erases: bool = False
    erased: list[str] = field(default_factory=list)
    accident_rng: Random = field(init=False)
    writer: LiveWriter = field(init=False)
    consumer: Consumer = field(init=False)

    def __post_init__(self) -> None:
        url = self.server.url
        self.accident_rng = Random(f"accidents-{self.seed}")
        self.writer = LiveWriter(
            url,
            MIGRATION.source,
            rate=0,
            regulars=REGULARS,
            seed=self.seed,
            day=lambda: self.today,
            told=self.acknowledged,
            pending=self.pending,
        )
        self.consumer = Consumer(
            url,
            PATHS,
            self.folder,
            rng=Random(f"consumer-{self.seed}"),
            today=lambda: f"{self.today:%Y%m%d}",
            complete=self.is_complete,
        )

    def acknowledged(self, told: Acknowledged, *, forgotten: bool = False) -> None:
        """Note an acknowledged upload."""
        path = next(path for path, location in PATHS.items() if location == told.location)
        data = told.item.data
        if not forgotten and self.writer.uploads >= self.burst:
            self.writer.rate = min(self.writer.rate, STEADY)
        self.uploads[told.item.relative].append(
            Upload(path, checksum(data), row_fingerprint(data), told.at, forgotten)
        )

    def pending(self) -> int:
        """Events that wait for the mirrors."""
        return self.server.events()["pending"]

    def delivered(self) -> int:
        """Events that the mirrors have handled."""
        return self.server.events()["delivered"]

    def stop_the_forgotten(self) -> None:
        """Stop the forgotten writer, if it writes."""
        if self.forgotten is not None and self.forgotten.is_writing:
            self.forgotten.stop()

    def is_complete(self, day: str) -> bool:
        """Whether no submission of a day waits to be acknowledged."""
        return not any(day_of(name) == day for name in list(self.writer.submitted))

    def turn_the_day(self) -> None:
        """Midnight: the next submissions are filed under the next day, and the DAG runs for this one."""
        over = self.today
        self.days.append(over)
        self.today = over + timedelta(days=1)
        self.consumer.night(f"{over:%Y%m%d}")

    def nights_of_history(self, count: int) -> None:
        """Have the consumer import some of the days that were there before."""
        for _ in range(min(count, len(self.history_days))):
            self.consumer.night(self.history_days.pop())

    def weather(self, *, drops: bool, storm: bool = False, batches: bool = False) -> None:
        """Change what goes wrong."""
        plan = weather(self.rng, drops=drops, storm=storm, batches=batches)
        self.server.set_faults(**plan)
        self.operator.tell(f"weather: {plan}")

    def settle(self, most: int = FEW_PENDING) -> None:
        """Wait until the mirrors have caught up, except for a few events; dead letters are sent again.

        Progress is what the mirrors handle, not what is sent to them again.
        """

        def look() -> dict[str, int]:
            self.letters += self.server.replay_dead_letters()
            return self.server.events()

        wait_until(
            look,
            lambda counts: counts["pending"] <= most,
            "the mirrors' catching up",
            progress=lambda counts: counts["delivered"],
        )

    @contextmanager
    def chapter(self, name: str) -> Iterator[None]:
        """Note a part of the story."""
        began, uploads = time.monotonic(), self.writer.uploads
        self.operator.tell(f"== {name}")
        yield
        self.chapters.append((name, round(time.monotonic() - began, 1), self.writer.uploads - uploads))

    def history(self) -> None:
        """Years of exports, as they were before the writer began."""
        today = datetime.now(UTC).date()
        objects = [*generate(HISTORY, self.seed, HISTORY_DAYS, until=today, flat_days=3)]
        upload_all(self.server.url, MIGRATION.source, objects)
        now = datetime.now(UTC)
        for item in objects:
            if MIGRATION.is_excluded(item.relative):
                continue
            row = row_fingerprint(item.data) if day_of(item.relative) else ""
            self.uploads[item.relative].append(Upload(Path.LEGACY, checksum(item.data), row, now))
        self.history_days = sorted({day for day in map(day_of, self.uploads) if day})


@contextmanager
def started(folder: File, seed: int, rate: float) -> Iterator[Stage]:
    """Start all actors except the days; stop them at the end, whatever happens."""
    buckets = [location.bucket for location in PATHS.values()]
    with ExitStack() as stack:
        server = stack.enter_context(local_gcs.running(buckets=buckets, seed=seed))
        client = storage.Client(
            project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": server.url}
        )
        for name in buckets:
            bucket = client.get_bucket(name)
            bucket.versioning_enabled = True
            bucket.patch()
        client._http.close()
        functions = {}
        for name, path, environ in (
            ("forward", Path.LEGACY, {}),
            ("reverse", Path.NEW, {"MIRROR_REVERSE": "true"}),
        ):
            log = folder / f"{name}.log"
            functions[name] = stack.enter_context(running_function(server.url, MIGRATION, log, environ))
            server.add_subscriber(
                functions[name].url, types=["finalized"], bucket=PATHS[path].bucket, concurrency=16
            )
        stage = Stage(seed, Random(seed), folder, server, functions, Operator(folder, server.url), rate)
        stack.callback(stage.operator.close)
        stage.history()
        stack.callback(stage.consumer.close)
        stage.consumer.start()
        stack.callback(stage.consumer.stop)
        stage.writer.start()
        stack.callback(stage.writer.stop)
        stack.callback(stage.stop_the_forgotten)
        yield stage


@contextmanager
def time_passing(stage: Stage, length: int) -> Iterator[None]:
    """Let the days turn for the length of a block, as long as the consumer is not between two paths.

    A day is over after a number of uploads, not after seconds: a slow machine has the same days.

    Args:
        stage: Whose days.
        length: Of a day in uploads, on average.
    """
    over = threading.Event()
    rng = Random(f"days-{stage.seed}")

    def work() -> None:
        midnight = stage.writer.uploads + length
        while not over.wait(TICK):
            early = stage.writer.uploads < midnight
            if early or not stage.consumer.quiet or stage.consumer.behind >= MOST_NIGHTS:
                continue
            stage.turn_the_day()
            midnight = stage.writer.uploads + round(rng.uniform(0.5, 1.5) * length)

    thread = threading.Thread(target=work, name="days")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
