"""The whole story, chapter by chapter: what the operator, the writers and the consumer do, in the order of the runbook.

Every wait is for progress (`local_gcs.waiting`), and kills and days come after work, not after seconds. So a slow machine tells
the same story, and only takes longer.
"""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from random import Random

from story_accidents import (
    ENV,
    SWEEP,
    Sleeper,
    erase,
    fall_asleep,
    lose_a_part,
    losses,
    mistaken_pairs,
    more_uploads,
    wake,
    write_hers,
)
from story_backfill import run_tasks
from story_facts import Handover, Path
from story_operator import Attempt, Stopped
from story_stage import (
    BURST,
    FEW_PENDING,
    MIGRATION,
    MOST_PENDING,
    PART,
    PATHS,
    REGULARS,
    STEADY,
    Stage,
    time_passing,
)
from story_weather import killing
from story_world import manifest_checksums, versions_now

from demo.writer import LiveWriter
from local_gcs.waiting import HANGS, wait_until
from shared.state import Signatory

__all__ = ["tell"]

BY = ("--by", "Ada Lovelace")
ACCOUNT = "serviceAccount:story@app.iam.gserviceaccount.com"
DELETES = "storage.objects.delete"
CALM = 20.0 / PART
"""Uploads a second while somebody verifies: what is in flight counts as not proven."""
UPLOADS_A_DAY = 300 // PART
DELIVERIES_A_KILL = 2_500 // PART
"""Events that the mirrors handle between two kills of a mirror, on average."""
ANY = str(24 * 3_600)
"""Seconds that a mirror's lag may be here: the story judges the mirrors' copies, not the machine's speed."""


def tell(stage: Stage, seconds: float, *, accidents: bool) -> None:
    """Run all chapters.

    Args:
        stage: With all actors started.
        seconds: How long the story takes at least, by going back and forth more often; 0 for once.
        accidents: Whether every accident happens. Without, the record loses one part, and no laptop sleeps: a soak has them
            all, and a test of its own the sleeper.
    """
    end = time.monotonic() + seconds
    with (
        time_passing(stage, UPLOADS_A_DAY),
        killing(
            stage.functions,
            Random(f"killer-{stage.seed}"),
            stage.operator,
            stage.kills,
            delivered=stage.delivered,
            every=DELIVERIES_A_KILL,
        ),
    ):
        stage.losses = losses(stage.seed, all_of_them=accidents)
        stage.erases = accidents
        sleeper = _arrive(stage, sleeps=accidents)
        ready = _prepare(stage)
        erase(stage, "dual_write", write_hers(stage, "dual_write", Path.LEGACY))
        lose_a_part(stage, "dual_write", ("cutover", *ENV, *BY, "--yes", *ready))
        number = 1
        _cut_over(stage, ready, number, again=seconds > 0 or stage.rng.random() < 0.5)
        while True:
            _roll_back(stage, number, sleeper)
            sleeper = None
            erase(stage, "rolled_back", write_hers(stage, "rolled_back", Path.LEGACY))
            lose_a_part(stage, "rolled_back", ("cutover", *ENV, *BY, "--yes", *ready))
            if time.monotonic() < end:
                _storm(stage)
                _backfill(stage, f"sweep-{number}", kills=stage.rng.randrange(3, 8))
            number += 1
            _cut_over(stage, ready, number, again=True)
            if time.monotonic() >= end:
                break
        lose_a_part(stage, "cut_over again", ("rollback", *ENV, *BY, "--yes"))
        hers = write_hers(stage, "deleting", Path.NEW)
        manifest = _delete(stage, ready, hers)
        _undo(stage, manifest)
        stage.writer.rest()
    _end(stage)


def _arrive(stage: Stage, *, sleeps: bool) -> Sleeper | None:
    """Up to the sweep before the first cutover; returns the sweep whose laptop sleeps, if one does."""
    operator, sleeper = stage.operator, None
    for path in PATHS.values():  # in good weather: this request is not repeated
        stage.server.grant(path.bucket, {"roles/storage.admin": ACCOUNT})
    with stage.chapter("dry run in a storm"):
        operator.run("begin", *ENV, "--by", "Ada")
        _storm(stage)
        stage.nights_of_history(3)
        operator.run("migrate", *ENV)
    if sleeps:
        with stage.chapter("a laptop falls asleep"):
            sleeper = fall_asleep(stage)
    with stage.chapter("backfill under fire"):
        _backfill(stage, "backfill-1", kills=stage.rng.randrange(3, 6))
    with stage.chapter("the mirror catches up"):
        _calm(stage)
        stage.settle()
    with stage.chapter("sweep"):
        operator.run(*SWEEP, tries=6, between=lambda: _calmer(stage))
    return sleeper


def _backfill(stage: Stage, execution: str, kills: int) -> None:
    report = f"gs://{MIGRATION.destination.bucket}/reports/{execution}/"
    run_tasks(
        stage.operator,
        stage.server,
        stage.rng,
        execution=execution,
        report=report,
        kills=kills,
        killed=stage.kills,
    )


def _storm(stage: Stage) -> None:
    """As many writes as the machine takes, until there are enough of them; and much goes wrong."""
    stage.weather(drops=True, storm=True)
    stage.burst = stage.writer.uploads + BURST
    _write(stage, stage.rate, overwrites=0.3)


def _calm(stage: Stage) -> None:
    """A low-activity window: fewer writes, and no event is lost; everything else still goes wrong."""
    stage.weather(drops=False)
    _write(stage, min(CALM, stage.rate), overwrites=0.1, pending=FEW_PENDING)


def _calmer(stage: Stage) -> None:
    """The next try of a verification needs a quieter moment: half as many writes, and the mirrors catch up first."""
    stage.writer.rate /= 2
    stage.settle()


def _busy(stage: Stage) -> None:
    stage.weather(drops=True)
    _write(stage, STEADY, overwrites=0.5)


def _write(stage: Stage, rate: float, *, overwrites: float, pending: int = MOST_PENDING) -> None:
    """How the writer writes from now on; it slows down as events wait, and stops when `pending` wait."""
    stage.writer.most_pending, stage.writer.overwrites, stage.writer.rate = pending, overwrites, rate


def _prepare(stage: Stage) -> tuple[str, ...]:
    """What is done once before the first cutover; returns the gate's arguments."""
    with stage.chapter("import test, references"):
        checkout, letters = stage.folder / "checkout", stage.folder / "letters.json"
        checkout.mkdir()
        (checkout / "config.py").write_text(f'PATH = "{PATHS[Path.NEW].uri}"\n')
        letters.write_text(stage.server.undelivered())
        stage.operator.run("import-test", *ENV, "--last", "7", "--allow-empty")
        stage.operator.run("references", str(checkout))
    patient = ("--lag-p50", ANY, "--lag-p99", ANY, "--lag-max", ANY)
    accounts = ("--writer", ACCOUNT, "--reader", ACCOUNT)
    return ("--repo", str(checkout), "--canary", "1800", "--dead-letters", str(letters), *accounts, *patient)


def _cut_over(stage: Stage, ready: tuple[str, ...], number: int, *, again: bool) -> None:
    operator, command = stage.operator, ("cutover", *ENV, *BY, "--yes", "--ungoverned")
    with stage.chapter(f"proof {number}"):
        _calm(stage)
        stage.settle()
        operator.run(
            "verify", *ENV, "--grace", "20", "--mirror-since", "1m", tries=8, between=lambda: _sweep(stage)
        )
    with stage.chapter(f"sign-offs and gate {number}"):
        with ThreadPoolExecutor(4) as together:
            signed = [together.submit(operator.run, "signoff", name.value, *ENV, *BY) for name in Signatory]
        for one in signed:
            one.result()
        if number == 1:
            operator.run("gate", *ENV, *ready)
    with stage.chapter(f"cutover {number}"):
        done = operator.run(*command, *ready)
        _hand_over(stage, done, Path.NEW)
    with stage.chapter(f"writers switch {number}"):
        _busy(stage)
        _switch(stage, Path.NEW)
    if again:
        with stage.chapter(f"cutover {number} again"):
            stage.weather(drops=False)
            done = operator.run("cutover", *ENV, *BY, "--yes", "--ungoverned")
            _hand_over(stage, done, Path.NEW)
            stage.consumer.quiet = True
    stage.nights_of_history(3)


def _roll_back(stage: Stage, number: int, sleeper: Sleeper | None) -> None:
    operator, command = stage.operator, ("rollback", *ENV, *BY, "--yes", "--ungoverned")
    with stage.chapter(f"life on the new path {number}"):
        _busy(stage)
        hers = write_hers(stage, "cut_over", Path.NEW)
        _live(stage, 4)
    erase(stage, "cut_over", hers)
    lose_a_part(stage, "cut_over", command)
    if number == 1:
        mistaken_pairs(stage)
    if sleeper is not None:
        wake(stage, sleeper)
    with stage.chapter(f"rehearsal of rollback {number}"):
        operator.run("rollback", *ENV, "--dry-run")
    with stage.chapter(f"rollback {number}"):
        done = operator.run(*command)
        _hand_over(stage, done, Path.LEGACY)
    with stage.chapter(f"writers switch back {number}"):
        _switch(stage, Path.LEGACY)
    with stage.chapter(f"rollback {number} again"):
        stage.weather(drops=False)
        done = operator.run(*command)
        _hand_over(stage, done, Path.LEGACY)
        stage.consumer.quiet = True


def _hand_over(stage: Stage, done: Attempt, path: Path) -> None:
    """The command has reported: the consumer is switched; from now on writers are between two paths."""
    content = done.read(f"{done.name}.json")["handover"]
    if done.ended is None:
        raise Stopped(f"{done.name} has not ended")
    stage.handovers.append(Handover(path, done.began, done.ended, frozenset(content["later"])))
    stage.consumer.quiet = False
    stage.consumer.configure(path)


def _switch(stage: Stage, path: Path) -> None:
    """Not all writers at once; it is over when nothing is under way on the other path."""
    for share in (*sorted(stage.rng.uniform(0.1, 0.9) for _ in range(2)), 1.0):
        stage.writer.switch(PATHS[path], share=share)
        stage.operator.tell(f"{share:.0%} of the writers use the {path.value} path")
        _live(stage, stage.rng.uniform(0.5, 1.5))
    wait_until(
        lambda: (
            stage.writer.uploads,
            sum(location != PATHS[path] for location in list(stage.writer.under_way.values())),
        ),
        lambda counts: not counts[1],
        "the last writer's switch (uploads, under way on the other path)",
        progress=lambda counts: counts[1],
    )


def _live(stage: Stage, seconds: float) -> None:
    """Let the writer write what a quiet machine writes in so many seconds."""
    more_uploads(stage, round(min(stage.writer.rate, CALM) * seconds))


def _sweep(stage: Stage) -> None:
    """What the runbook says where a verification finds something missing or different: a quieter moment, and a sweep."""
    _calmer(stage)
    stage.operator.run(*SWEEP, tries=1, accepted=lambda attempt: attempt.code in {0, 1})


def _delete(stage: Stage, ready: tuple[str, ...], hers: Sequence[str]) -> str:
    """Before the deletion no writer writes for a moment; during it, two do. Returns the manifest.

    Args:
        hers: Names in the manifest that are erased before the deletion goes on.
    """
    operator = stage.operator
    with stage.chapter("before the deletion"):
        stage.consumer.quiet = True
        _calm(stage)
        stage.writer.rest()
        stage.settle(0)
        operator.run("rollback", *ENV, "--refresh", "--ungoverned")
        operator.run("undo", "--rehearse", *ENV)
        over = ("--override", "soak", "--override", "late-writes", "--reason", "a story has no week", *BY)
        words = (
            "delete",
            *ENV,
            *ready[:2],
            *over,
            "--grace",
            "20",
            "--ungoverned",
            "--manifest-dir",
            str(stage.folder),
        )
        planned = operator.run(
            *words, tries=6, between=lambda: operator.run("rollback", *ENV, "--refresh", "--ungoverned")
        )
        objects = planned.read("deletion-plan.json")["objects"]
        stage.before = versions_now(stage)
    said = ("--confirm-delete", "--confirm-text", "DELETE_QPI_EXPORTS", "--expect-objects", str(objects))
    with stage.chapter("deletion, killed"):
        stage.deleting_since = datetime.now(UTC)
        manifest = _kill_the_deletion(stage, (*words, *said), objects)
    erase(stage, "deleting", hers)
    with stage.chapter("deletion, resumed"):
        operator.run(*words, *said, "--resume", manifest, accepted=_all_that_could_be)
    return manifest


def _kill_the_deletion(stage: Stage, words: tuple[str, ...], objects: int) -> str:
    """Begin it, let writers write from the manifest on, and kill it in the middle; returns the manifest."""
    operator = stage.operator
    before = stage.server.count(DELETES)
    attempt, process = operator.begin(*words)

    def manifest_written() -> bool:
        if process.poll() is not None:
            raise Stopped(f"the deletion ended before it was killed:\n{attempt.said()}")
        return '"event": "manifest_written"' in attempt.out.read_text()

    wait_until(manifest_written, bool, "the manifest", still=HANGS)
    lines = (json.loads(line) for line in attempt.out.read_text().splitlines())
    manifest = str(next(line["manifest"] for line in lines if line["event"] == "manifest_written"))
    stage.manifest = manifest_checksums(stage, manifest)
    _busy(stage)
    stage.weather(drops=True, batches=True)
    _forget_a_writer(stage)
    enough = before + objects * stage.rng.uniform(0.1, 0.6)

    wait_until(
        lambda: stage.server.count(DELETES),
        lambda deletes: deletes >= enough or process.poll() is not None,
        "the first deletions",
    )
    operator.kill(attempt, process)
    stage.kills["deletion"] += 1
    return manifest


def _forget_a_writer(stage: Stage) -> None:
    """It overwrites, on the legacy path, objects of the last days; and writes some new ones."""
    days = stage.days[-4:]
    rng = Random(f"forgotten-{stage.seed}")
    stage.forgotten = LiveWriter(
        stage.server.url,
        PATHS[Path.LEGACY],
        rate=25,
        pending=stage.pending,
        most_pending=MOST_PENDING,
        overwrites=0.9,
        regulars=REGULARS,
        seed=stage.seed + 1,
        day=lambda: rng.choice(days),
        told=lambda each: stage.acknowledged(each, forgotten=True),
    )
    stage.forgotten.start()
    stage.operator.tell("a forgotten writer writes on the legacy path")


def _all_that_could_be(attempt: Attempt) -> bool:
    """Whether only what was changed since is left: the rest of the manifest is gone."""
    if attempt.code == 0:
        return True
    if attempt.code != 1 or not (attempt.report / "deletion.json").exists():
        return False
    left = attempt.read("deletion.json")
    return not left["stopped"] and not left["manifest_so_far"]["failed"]


def _undo(stage: Stage, manifest: str) -> None:
    with stage.chapter("undo"):
        stage.stop_the_forgotten()
        stage.operator.run("undo", manifest, accepted=lambda attempt: attempt.code in {0, 1})
        done = stage.operator.run(
            "undo", manifest, "--execute", "--yes", "--ungoverned", accepted=_all_that_could_be_undone
        )
        lines = (json.loads(line) for line in (done.report / "objects.jsonl").read_text().splitlines())
        stage.not_there = frozenset(line["name"] for line in lines if not line["there"])


def _all_that_could_be_undone(attempt: Attempt) -> bool:
    if attempt.code == 0:
        return True
    if attempt.code != 1 or not (attempt.report / "undo.json").exists():
        return False
    undone = attempt.read("undo.json")["undone"]
    return undone is not None and not undone["outcomes"]["failed"] and not undone["outcomes"]["lost"]


def _end(stage: Stage) -> None:
    """The last day is over; everything arrives; the consumer imports what is left; both paths are certified."""
    with stage.chapter("the end"):
        stage.settle(0)
        stage.turn_the_day()
        stage.nights_of_history(len(stage.history_days))
        wait_until(lambda: stage.consumer.behind, lambda behind: not behind, "the last nights")
        stage.consumer.stop()
        stage.server.clear_faults()
        stage.operator.run(
            "verify",
            *ENV,
            "--grace",
            "0",
            accepted=lambda attempt: (attempt.report / "certificate.json").exists(),
        )
