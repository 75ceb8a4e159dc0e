"""What the migration's record must survive: parts of it are lost, a laptop sleeps through the cutover, and pairs are mistaken.

The seed draws which part is lost in which phase, and all the moments. What must be seen at once is checked here, and raises
`Stopped`. The judges at the end do not know of these accidents: they look for every acknowledged write, as in every run.
"""

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path as File
from random import Random
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from story_consumer import row_fingerprint
from story_facts import Path, Upload, checksum, day_of
from story_operator import Attempt, Stopped
from story_stage import FEW_PENDING, MIGRATION, PATHS, Stage
from story_world import listed

from demo.data import DemoObject, one_submission
from demo.writer import upload_all
from local_gcs.waiting import HANGS, wait_until
from shared.migration import Location
from shared.phase import Phase, history_ref, state_ref

__all__ = [
    "ENV",
    "SWEEP",
    "Sleeper",
    "erase",
    "fall_asleep",
    "lose_a_part",
    "losses",
    "mistaken_pairs",
    "more_uploads",
    "wake",
    "write_hers",
]

ENV = ("--env", "dev")
SWEEP = ("migrate", *ENV, "--execute", "--yes", "--ungoverned", "--grace", "20")
SLEEPER = File(__file__).with_name("story_sleeper.py")
HEAD, ENTRY = "head", "entry"
BEFORE = (Phase.DUAL_WRITE.value, Phase.ROLLED_BACK.value)
AFTER = (Phase.CUT_OVER.value, f"{Phase.CUT_OVER.value} again")
"""Where a part may be lost: with a cutover ahead, and after one."""
UNKNOWN, COPIED = '"event": "mirror_phase_unknown"', '"outcome": "copied"'
REFUSED = 40
"""Events that the mirrors refuse, before it is counted what they copy: what was under way has ended by then."""
UNDER_WAY = 32
"""Copies that may have been under way: both mirrors handle 16 events at once."""
MEANWHILE = 120
"""Uploads while the record is not whole: more than `UNDER_WAY`, or a mirror that goes on would not be noticed."""
LONG = 1.0
"""Seconds between two looks at a mirror's log, which is read as a whole."""


def losses(seed: int, *, all_of_them: bool) -> dict[str, str]:
    """Which part of the record is lost where: one after a cutover and, with all of them, the other one before a cutover."""
    rng = Random(f"losses-{seed}")
    parts = rng.sample((HEAD, ENTRY), 2)
    before, after = rng.choice(BEFORE), rng.choice(AFTER)
    return {before: parts[0], after: parts[1]} if all_of_them else {after: parts[1]}


def lose_a_part(stage: Stage, where: str, change: Sequence[str]) -> None:
    """Lose a part of the record, if the seed has chosen this place; see that everything stops; and mend it.

    Args:
        change: The command that the operator would give next, which changes the phase.

    Raises:
        Stopped: The product does not do what it promises.
    """
    part = stage.losses.pop(where, None)
    if part is None:
        return
    with stage.chapter(f"{part} lost in {where}"):
        more_uploads(stage, stage.accident_rng.randrange(1, 100))
        at = _lost(stage, part)
        stage.accidents[f"{part} lost"] += 1
        refused, logs = _mirrors_say(stage, UNKNOWN), _logs(stage)
        wait_until(
            lambda: (stage.writer.uploads, _mirrors_say(stage, UNKNOWN)),
            lambda counts: counts[1] >= refused + REFUSED,
            f"the mirrors' refusals without {at}",
            poll=LONG,
        )
        more_uploads(stage, MEANWHILE)
        _is_refused(stage, SWEEP, "begin")
        _is_refused(stage, change, "begin")
        more = _copies_after_refusal(stage, logs)
        if more > UNDER_WAY:
            raise Stopped(f"without {at} the mirrors have made {more} copies")
        stage.accidents["copies while not whole"] += more
        _mend(stage, part, where.split(maxsplit=1)[0])
        stage.accidents["events refused"] += _mirrors_say(stage, UNKNOWN) - refused
        _catch_up(stage)


def _catch_up(stage: Stage) -> None:
    """Let the mirrors catch up with what they refused: the writer waits for them, or a slow machine never comes to an end."""
    most, stage.writer.most_pending = stage.writer.most_pending, FEW_PENDING
    stage.settle()
    stage.writer.most_pending = most


def _lost(stage: Stage, part: str) -> str:
    """Delete the head, or one of the entries; Cloud Storage has its faults meanwhile."""
    head, folder = state_ref(MIGRATION), history_ref(MIGRATION)
    names = [item["name"] for item in listed(stage.server.url, Location(folder.bucket, folder.name))]
    name = head.name if part == HEAD else stage.accident_rng.choice(names)
    address = f"{stage.server.url}/storage/v1/b/{head.bucket}/o/{quote(name, safe='')}"
    opener = build_opener(ProxyHandler({}))

    def gone() -> bool:
        try:
            with opener.open(Request(address, method="DELETE"), timeout=HANGS):  # noqa: S310 -- our own http address
                return False  # the next answer says that it is gone
        except HTTPError as error:
            with closing(error):
                return error.code == 404
        except OSError:
            return False

    wait_until(gone, bool, f"the loss of {name}")
    stage.operator.tell(f"the {part} of the record is lost: {name}, of {len(names)} entries")
    return name


def _mend(stage: Stage, part: str, phase: str) -> None:
    """`begin` mends the record; where the head is lost, it asks for the phase first, and names it."""
    words = ["begin", *ENV, "--by", "Ada"]
    if part == HEAD:
        asked = _is_refused(stage, words, "--phase")
        found = re.search(r"--phase ([a-z_]+)\s*$", asked.said())
        words += ["--phase", found[1] if found else ""]
    done = stage.operator.run(*words)
    if f"phase {phase}" not in done.said():
        raise Stopped(f"begin has mended the record in phase {phase}, and says:\n{done.said()}")


def _is_refused(stage: Stage, words: Sequence[str], says: str) -> Attempt:
    """Give a command that must end with 2 and say what to do."""
    attempt = stage.operator.run(*words, accepted=lambda attempt: attempt.code == 2)
    if says not in attempt.out.with_suffix(".err").read_text():
        raise Stopped(f"{' '.join(words)} does not say {says!r}:\n{attempt.said()}")
    stage.accidents["commands that ended with 2"] += 1
    return attempt


def _mirrors_say(stage: Stage, what: str) -> int:
    """How often something stands in the mirrors' logs."""
    return sum(log.count(what) for log in _logs(stage).values())


def _logs(stage: Stage) -> dict[str, str]:
    """The mirrors' logs, by name."""
    return {
        name: (stage.folder / f"{name}.log").read_text(errors="replace").rpartition("\n")[0]
        for name in stage.functions
    }


def _copies_after_refusal(stage: Stage, before: dict[str, str]) -> int:
    """Copies that a mirror made after its own first refusal since then: until then it may use the phase that it has read."""
    since = (log[len(before[name]) :] for name, log in _logs(stage).items())
    return sum(text.partition(UNKNOWN)[2].count(COPIED) for text in since)


def more_uploads(stage: Stage, count: int) -> None:
    """Let the writer write so many more objects."""
    wanted = stage.writer.uploads + count
    wait_until(lambda: stage.writer.uploads, lambda uploads: uploads >= wanted, "the writer's uploads")


def mistaken_pairs(stage: Stage) -> None:
    """Start one day's sub-prefix as a pair of its own, and the pair reversed; both must end with 2 and change nothing.

    Raises:
        Stopped: One goes on, or something is changed.
    """
    more_uploads(stage, stage.accident_rng.randrange(1, 100))
    with stage.chapter("mistaken pairs"):
        folder = f"qpi_answers_{stage.accident_rng.choice(stage.history_days)}/"
        legacy, new = MIGRATION.source, MIGRATION.destination
        before = _unwritten(stage, folder)
        for pair in ((legacy.uri + folder, new.uri + folder), (new.uri, legacy.uri)):
            words = ("--source", pair[0], "--destination", pair[1], "--execute", "--yes", "--ungoverned")
            _is_refused(stage, ("migrate", *words), "the record of another migration over the same objects")
            stage.accidents["mistaken pairs"] += 1
        after = _unwritten(stage, folder)
        if after != before:
            raise Stopped(f"a mistaken pair has changed {sorted(after ^ before)[:10]}")


def _unwritten(stage: Stage, folder: str) -> set[tuple[str, str, str]]:
    """What no program writes just now: the objects of one old day on both paths, and all records, with their generations."""
    places = [Location(each.bucket, each.prefix + folder) for each in PATHS.values()]
    records = [Location(each.bucket, "_migration/") for each in PATHS.values()]
    found = {
        (place.bucket, item["name"], item["generation"])
        for place in (*places, *records)
        for item in listed(stage.server.url, place)
    }
    own = re.compile(r"_migration/.*(/state\.json|/history/[^/]*)")
    return {each for each in found if not each[1].startswith("_migration/") or own.fullmatch(each[1])}


def write_hers(stage: Stage, where: str, path: Path) -> list[str]:
    """Write a person's objects on the path that counts, if the story has erasures; the mirrors begin to copy them.

    No consumer imports them: what a consumer holds of a person is the consumer's to erase.
    """
    names = (
        [f"hers/{where}-{len(stage.erased)}-{number}.jsonl" for number in range(4)] if stage.erases else []
    )
    now = datetime.now(UTC)
    objects = [DemoObject(name, f"{name}\n".encode(), "application/json", now) for name in names]
    if objects:
        stage.server.clear_faults()  # this writer does not repeat what fails
        upload_all(stage.server.url, PATHS[path], objects)
        stage.weather(drops=True)
    return names


def erase(stage: Stage, where: str, names: Sequence[str]) -> None:
    """The person asks for the erasure, while everything else goes on; the judges look for the names in the end."""
    if names:
        with stage.chapter(f"erasure in {where}"):
            more_uploads(stage, stage.accident_rng.randrange(1, 60))
            stage.operator.run("erasure", *names, *ENV, "--execute", "--by", "Ada")
            stage.erased += names
            stage.accidents["names erased"] += len(names)


@dataclass(frozen=True)
class Sleeper:
    """A sweep whose laptop sleeps."""

    attempt: Attempt
    process: "subprocess.Popen[bytes]"
    day: str


def fall_asleep(stage: Stage) -> Sleeper:
    """Start a sweep before anything is copied; its laptop falls asleep in the middle of the copying.

    Raises:
        Stopped: It ended before.
    """
    looks = stage.accident_rng.randrange(10, 60)
    attempt, process = stage.operator.begin(*SWEEP, program=(str(SLEEPER), str(looks)))

    def asleep() -> bool:
        if process.poll() is not None:
            raise Stopped(f"the sweep ended before its laptop slept:\n{attempt.said()}")
        return os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None

    wait_until(asleep, bool, "the sweep's sleep", still=HANGS)
    stage.operator.tell(f"{attempt.number:03} sweep: its laptop sleeps, at look {looks} at the phase")
    # The consumer imports this day last of all. Nothing else writes to it.
    return Sleeper(attempt, process, stage.history_days[0])


def wake(stage: Stage, sleeper: Sleeper) -> None:
    """Users answer again on the new path, and their events are lost; then the laptop wakes. Nothing newer may be overwritten.

    Raises:
        Stopped: Something was.
    """
    with stage.chapter("a laptop wakes"):
        known = list(stage.uploads)  # the writer adds some meanwhile
        names = sorted(name for name in known if day_of(name) == sleeper.day)
        again = [_again(stage, name) for name in names]
        plan = {"seed": stage.seed, "events": {"drop": 1.0}}
        stage.server.set_faults(**plan)
        stage.operator.tell(f"weather: {plan}")
        upload_all(stage.server.url, MIGRATION.destination, again)
        now = datetime.now(UTC)
        for item in again:
            row = row_fingerprint(item.data)
            stage.uploads[item.relative].append(Upload(Path.NEW, checksum(item.data), row, now))
        place = Location(
            MIGRATION.destination.bucket, f"{MIGRATION.destination.prefix}qpi_answers_{sleeper.day}/"
        )
        before = {item["name"]: item["generation"] for item in listed(stage.server.url, place)}
        stage.weather(drops=True)
        slept = (datetime.now(UTC) - sleeper.attempt.began).total_seconds()
        sleeper.process.send_signal(signal.SIGCONT)
        stage.operator.tell(f"{sleeper.attempt.number:03} sweep: its laptop wakes after {slept:.0f} s")
        stage.operator.wait(sleeper.attempt, sleeper.process)
        if sleeper.attempt.code not in {0, 1}:
            raise Stopped(
                f"the sweep that slept ended with {sleeper.attempt.code}:\n{sleeper.attempt.said()}"
            )
        after = {item["name"]: item["generation"] for item in listed(stage.server.url, place)}
        if after != before:
            changed = [name for name in before if after.get(name) != before[name]]
            raise Stopped(f"the sweep that slept has overwritten {len(changed)} newer objects: {changed[:3]}")
        stage.accidents["newer objects when the laptop woke"] += len(again)
        stage.accidents["seconds that the laptop slept"] += round(slept)


def _again(stage: Stage, name: str) -> DemoObject:
    user = int(name.rpartition("/user_id_")[2].removesuffix(".jsonl"))
    day = date.fromisoformat(day_of(name))
    return one_submission(
        stage.accident_rng, day, user, datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC)
    )
