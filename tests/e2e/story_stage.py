"""The actors of the whole story, started and stopped: storage, both mirrors, writers, consumer, operator, and the passing days."""

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
from demo.function import FunctionProcess, running_function
from demo.loading import load
from demo.writer import Acknowledged, LiveWriter
from local_gcs.demo_data import generate
from shared.migration import Environment, qpi_exports

__all__ = ["MIGRATION", "PATHS", "Stage", "started", "time_passing"]

MIGRATION = qpi_exports(Environment.DEV)
PATHS = {Path.LEGACY: MIGRATION.source, Path.NEW: MIGRATION.destination}
REGULARS = 40
HISTORY = 900
HISTORY_DAYS = 12
BURST, STEADY = 1_200, 50.0
"""Uploads of the storm, as fast as it goes; and uploads a second afterwards."""
TICK = 0.2
MOST_BEHIND, SLOW = 1_000, 20.0
"""Events that may wait before the writer slows down to so many uploads a second."""
MOST_NIGHTS = 4
FIRST_DAY = 400
"""Days ago on which the story's writers begin: far from the history's days, which the import test wants undisturbed."""


@dataclass
class Stage:
    """What the story is told with.

    Attributes:
        seed: Decides everything but the machine's timing.
        rng: Of the plot.
        folder: For everything that is left.
        server: The storage.
        functions: Both mirrors by name.
        operator: Whoever gives the commands.
        rate: Uploads a second at the most.
        wanted: Uploads a second now.
        burst: How many the writer has acknowledged when the storm of writes is over.
        writer: Writes all along.
        forgotten: The one whom nobody has switched; None before it is found.
        consumer: The DAG.
        uploads: What was acknowledged, by name.
        kills: By victim.
        handovers: By time.
        chapters: What was told, with seconds.
        today: The day that is open.
        deleting_since: When the deletion began.
        manifest: Checksums by name.
        not_there: What the undo could not bring back.
        before: Versions as they were before the deletion.
        letters: Dead letters that were replayed.
    """

    seed: int
    rng: Random
    folder: File
    server: local_gcs.LocalServer
    functions: dict[str, FunctionProcess]
    operator: Operator
    rate: float
    wanted: float = 0.0
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
    writer: LiveWriter = field(init=False)
    consumer: Consumer = field(init=False)

    def __post_init__(self) -> None:
        url = self.server.url
        self.writer = LiveWriter(
            url,
            MIGRATION.source,
            rate=0,
            regulars=REGULARS,
            seed=self.seed,
            day=lambda: self.today,
            told=self.acknowledged,
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
        """Note what a writer was told."""
        path = next(path for path, location in PATHS.items() if location == told.location)
        data = told.item.data
        if not forgotten and self.writer.uploads >= self.burst:
            self.wanted = min(self.wanted, STEADY)
        self.uploads[told.item.relative].append(
            Upload(path, checksum(data), row_fingerprint(data), told.at, forgotten)
        )

    def stop_the_forgotten(self) -> None:
        """Find the forgotten writer, and stop it; harmless where there is none, or none any more."""
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

    def settle(self, most: int = 60) -> None:
        """Wait until the mirrors have caught up but for a few events; what was given up is sent again."""

        def caught_up() -> bool:
            self.letters += self.server.replay_dead_letters()
            return self.server.events()["pending"] <= most

        self.operator.until(caught_up, "the mirrors' catching up", patience=600)

    @contextmanager
    def chapter(self, name: str) -> Iterator[None]:
        """Tell a part of the story."""
        began, uploads = time.monotonic(), self.writer.uploads
        self.operator.tell(f"== {name}")
        yield
        self.chapters.append((name, round(time.monotonic() - began, 1), self.writer.uploads - uploads))

    def history(self) -> None:
        """Years of exports, as they were before anybody wrote."""
        today = datetime.now(UTC).date()
        objects = [*generate(HISTORY, self.seed, HISTORY_DAYS, until=today, flat_days=3)]
        load(self.server.url, MIGRATION.source, objects)
        now = datetime.now(UTC)
        for item in objects:
            if MIGRATION.is_excluded(item.relative):
                continue
            row = row_fingerprint(item.data) if day_of(item.relative) else ""
            self.uploads[item.relative].append(Upload(Path.LEGACY, checksum(item.data), row, now))
        self.history_days = sorted({day for day in map(day_of, self.uploads) if day})


@contextmanager
def started(folder: File, seed: int, rate: float) -> Iterator[Stage]:
    """Start everybody but the days; stop them at the end, whatever happens."""
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
def time_passing(stage: Stage, length: float) -> Iterator[None]:
    """Let the days turn for the length of a block, as long as nobody is between two paths.

    The writer writes as much as is wanted, or less where the mirrors fall behind: how much they can do is the machine's
    affair, and what waits for them would only make every verification longer.

    Args:
        stage: Whose.
        length: Of a day in seconds, on average.
    """
    over = threading.Event()
    rng = Random(f"days-{stage.seed}")

    def work() -> None:
        midnight = time.monotonic() + length
        while not over.wait(TICK):
            behind = stage.server.events()["pending"]
            wanted = stage.wanted
            stage.writer.rate = min(wanted, SLOW) if behind > MOST_BEHIND else wanted
            if (
                time.monotonic() < midnight
                or not stage.consumer.quiet
                or stage.consumer.behind >= MOST_NIGHTS
            ):
                continue
            stage.turn_the_day()
            midnight = time.monotonic() + rng.uniform(0.5, 1.5) * length

    thread = threading.Thread(target=work, name="days")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
