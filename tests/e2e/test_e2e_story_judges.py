"""Each judge of the whole story, on a small world that is right, and on the same world with one thing wrong."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from story_alerts import rings
from story_facts import (
    Handover,
    Happening,
    Import,
    Ledger,
    LogLine,
    Path,
    Upload,
    Version,
    World,
    day_of,
    due,
)
from story_history import told
from story_judges import JUDGES, Fault, every_import_saw_what_it_was_due, judge

from monitoring.checks import NEEDS_NO_ALERT

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAME = "qpi_answers_20261101/user_id_7.jsonl"
OTHER = "qpi_answers_20261101/user_id_8.jsonl"
FORGOTTEN = "qpi_answers_20261101/user_id_9.jsonl"
FLAT = "qpi_questions_20261101.csv"


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def upload(seconds: float, contents: str, path: Path = Path.LEGACY, *, forgotten: bool = False) -> Upload:
    return Upload(path, f"sum-{contents}", f"row-{contents}", at(seconds), forgotten)


def version(seconds: float, contents: str, path: Path, *, live: bool = True) -> Version:
    number = int(seconds * 10) * 2 + (path is Path.NEW)
    return Version(path, number, f"sum-{contents}", at(seconds), live, None if live else at(seconds + 1))


def right() -> World:
    """One object overwritten before the cutover, one after it, one by a forgotten writer; imported, deleted, undone."""
    uploads = {
        NAME: (upload(1, "a1"), upload(2, "a2")),
        OTHER: (upload(1, "b1"), upload(12, "b2", Path.NEW)),
        FORGOTTEN: (upload(1, "c1"), upload(40, "c2", forgotten=True)),
        FLAT: (upload(0, "flat"),),
    }
    versions = {
        NAME: (
            version(1, "a1", Path.LEGACY, live=False),
            version(2, "a2", Path.LEGACY),
            version(1.5, "a1", Path.NEW, live=False),
            version(3, "a2", Path.NEW),
        ),
        OTHER: (
            version(1, "b1", Path.LEGACY, live=False),
            version(13, "b2", Path.LEGACY),
            version(2, "b1", Path.NEW, live=False),
            version(12, "b2", Path.NEW),
        ),
        FORGOTTEN: (
            version(1, "c1", Path.LEGACY, live=False),
            version(40, "c2", Path.LEGACY),
            version(2, "c1", Path.NEW),
        ),
        FLAT: (version(0, "flat", Path.LEGACY), version(1, "flat", Path.NEW)),
    }
    seen = {NAME: "sum-a2", OTHER: "sum-b2", FORGOTTEN: "sum-c1"}
    return World(
        uploads=uploads,
        versions=versions,
        imports=(
            Import("20261101", Path.LEGACY, at(3), {**seen, OTHER: "sum-b1"}, appended=False, empty=False),
            Import("20261101", Path.NEW, at(20), seen, appended=True, empty=False),
        ),
        rows=(("20261101", "7", "row-a2"), ("20261101", "8", "row-b2"), ("20261101", "9", "row-c1")),
        handovers=(Handover(Path.NEW, at(5), at(10)),),
        ledgers=(Ledger("run.json", 3, {"copied": 2, "already_equal": 1}),),
        certificates={"verify": ""},
        lines=(line("mirror_straggler", "WARNING", "forward"), line("mirror_conflict", "WARNING", "forward")),
        reported=frozenset({FORGOTTEN}),
        manifest={NAME: "sum-a2", OTHER: "sum-b2", FORGOTTEN: "sum-c1"},
        not_there=frozenset({FORGOTTEN}),
        deleting_since=at(30),
        happenings=(Happening(at(2.5), "forward mirror: killed -9"), Happening(at(100), "much later")),
    )


def line(event: str, severity: str, source: str, resource: str = "cloud_run_revision") -> LogLine:
    content = {"event": event, "severity": severity, "env": "dev"}
    return LogLine(source, resource, content, str(content))


def test_a_world_that_is_right_has_no_fault() -> None:
    """Late, forgotten and flat objects included."""
    assert judge(right()) == []


def lost(world: World) -> World:
    return replace(world, versions={**world.versions, NAME: ()})


def stale(world: World) -> World:
    versions = (version(2, "a2", Path.LEGACY), version(3, "a1", Path.NEW))
    return replace(world, versions={**world.versions, NAME: versions})


def forgotten_lost(world: World) -> World:
    versions = (version(1, "c1", Path.LEGACY), version(2, "c1", Path.NEW))
    return replace(world, versions={**world.versions, FORGOTTEN: versions})


def due_lost_under_a_forgotten_one(world: World) -> World:
    """The forgotten writer's version is safe; what was due to the consumers before it is not there."""
    return replace(world, versions={**world.versions, FORGOTTEN: (version(40, "c2", Path.LEGACY),)})


def backwards(world: World) -> World:
    versions = (
        *world.versions[NAME],
        version(2.8, "a2", Path.NEW, live=False),
        version(2.9, "a1", Path.NEW, live=False),
    )
    return replace(world, versions={**world.versions, NAME: versions})


def stranger(world: World) -> World:
    return replace(world, versions={**world.versions, "qpi_answers_20261101/x": (version(1, "x", Path.NEW),)})


def short_look(world: World) -> World:
    first, second = world.imports
    return replace(world, imports=(replace(first, seen={**first.seen, NAME: "sum-a1"}), second))


def blind_night(world: World) -> World:
    first, second = world.imports
    return replace(world, imports=(first, replace(second, seen={NAME: "sum-a2", FORGOTTEN: "sum-c1"})))


def empty_branch(world: World) -> World:
    first, second = world.imports
    return replace(world, imports=(first, replace(second, empty=True)))


def row_missing(world: World) -> World:
    return replace(world, rows=world.rows[1:])


def row_twice(world: World) -> World:
    return replace(world, rows=(*world.rows, world.rows[0]))


def row_old(world: World) -> World:
    return replace(world, rows=(("20261101", "7", "row-a1"), *world.rows[1:]))


def row_strange(world: World) -> World:
    return replace(world, rows=(*world.rows, ("20261101", "10", "row-x")))


def night_missing(world: World) -> World:
    return replace(world, imports=world.imports[:1])


def ledger(world: World) -> World:
    return replace(world, ledgers=(Ledger("run.json", 4, {"copied": 2, "already_equal": 1}),))


def certificate(world: World) -> World:
    return replace(world, certificates={"verify": "its data has another SHA-256"})


def no_certificate(world: World) -> World:
    return replace(world, certificates={})


def unalerted(world: World) -> World:
    return replace(world, lines=(line("mirrored", "ERROR", "forward"),))


def alert_of_another_resource(world: World) -> World:
    return replace(world, lines=(line("mirror_dropped", "ERROR", "forward", "cloud_run_job"),))


def no_line(world: World) -> World:
    return replace(
        world, lines=(LogLine("forward", "cloud_run_revision", None, "Traceback (most recent call last):"),)
    )


def not_undone(world: World) -> World:
    versions = tuple(each for each in world.versions[NAME] if not (each.live and each.path is Path.LEGACY))
    return replace(world, versions={**world.versions, NAME: versions})


def undone_too_old(world: World) -> World:
    legacy = [replace(each, live=each.checksum == "sum-a1") for each in world.versions[NAME][:2]]
    return replace(world, versions={**world.versions, NAME: (*legacy, *world.versions[NAME][2:])})


def undo_silent(world: World) -> World:
    return replace(world, not_there=frozenset())


def erased_back(world: World) -> World:
    return replace(world, erased=frozenset({FORGOTTEN}))


def erased_and_kept(world: World) -> World:
    return replace(world, erased=frozenset({"hers"}), kept={"hers": frozenset({"sum"})})


def unreported(world: World) -> World:
    return replace(world, reported=frozenset())


WRONG = {
    "belongs": (lost, stale, forgotten_lost, due_lost_under_a_forgotten_one),
    "backwards": (backwards,),
    "strangers": (stranger,),
    "imports": (short_look, blind_night),
    "empty branch": (empty_branch,),
    "rows": (row_missing, row_twice, row_old, row_strange, night_missing),
    "ledger": (ledger,),
    "certificate": (certificate, no_certificate),
    "alert": (unalerted, alert_of_another_resource),
    "log": (no_line,),
    "undo": (not_undone, undone_too_old, undo_silent),
    "erased": (erased_back, erased_and_kept),
    "reported": (unreported,),
}


@pytest.mark.parametrize(
    ("rule", "sabotage"),
    [(rule, each) for rule, some in WRONG.items() for each in some],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_each_judge_finds_what_it_is_there_for(rule: str, sabotage: Callable[[World], World]) -> None:
    """One thing wrong, and the judge of just that says so, in a sentence."""
    found = judge(sabotage(right()))
    assert rule in {fault.judge for fault in found}
    assert all(fault.what for fault in found)


def in_doubt(count: int) -> World:
    """So many objects whose late copy passes for the later write: the older one is where it belongs, the due one kept."""
    names = [f"qpi_answers_20261102/user_id_{number}.jsonl" for number in range(count)]
    world = right()
    uploads = {name: (upload(1, f"{name}-1"), upload(2, f"{name}-2", Path.NEW)) for name in names}
    versions = {
        name: (
            version(1, f"{name}-1", Path.LEGACY),
            version(2, f"{name}-2", Path.NEW, live=False),
            version(3, f"{name}-1", Path.NEW),
        )
        for name in names
    }
    night = Import(
        "20261102", Path.NEW, at(20), {name: f"sum-{name}-1" for name in names}, appended=True, empty=False
    )
    rows = tuple(("20261102", str(number), f"row-{name}-1") for number, name in enumerate(names))
    return replace(
        world,
        uploads={**world.uploads, **uploads},
        versions={**world.versions, **versions},
        kept={name: frozenset({f"sum-{name}-2"}) for name in names},
        imports=(*world.imports, night),
        rows=(*world.rows, *rows),
        reported=world.reported | {*names},
    )


def test_a_doubt_that_was_reported_and_kept_is_no_fault_unless_there_are_many() -> None:
    """Two are let pass; three of seven are not; and none that nobody reported, or that was not kept."""
    assert judge(in_doubt(2)) == []
    assert [fault.judge for fault in judge(in_doubt(3))] == ["doubts"]
    assert {fault.judge for fault in judge(replace(in_doubt(2), reported=right().reported))} >= {
        "belongs",
        "imports",
        "rows",
    }
    assert {fault.judge for fault in judge(replace(in_doubt(2), kept={}))} >= {"belongs", "backwards"}


def test_an_import_while_the_phase_changes_may_see_what_a_late_mirror_copied() -> None:
    """If the version that was due is kept and the name reported; and not once the command has ended."""
    world = right()
    name = "qpi_answers_20261102/user_id_7.jsonl"
    run = Import("20261102", Path.NEW, at(20), {name: "sum-a"}, appended=True, empty=False)
    changing = replace(
        world,
        uploads={name: (upload(1, "a", Path.NEW), upload(12, "b", Path.NEW))},
        versions={name: (version(1, "a", Path.NEW, live=False), version(12, "b", Path.NEW))},
        kept={name: frozenset({"sum-b"})},
        reported=frozenset({name}),
        imports=(run,),
        handovers=(Handover(Path.NEW, at(5), at(10)), Handover(Path.LEGACY, at(15), at(25))),
    )

    def faults(world: World) -> list[Fault]:
        return [*every_import_saw_what_it_was_due(world)]

    assert faults(changing) == []
    assert faults(replace(changing, kept={})) != []
    assert faults(replace(changing, reported=frozenset())) != []
    assert faults(replace(changing, handovers=changing.handovers[:1])) != []


def test_a_doubt_stays_one_though_a_forgotten_writer_wrote_the_object_later() -> None:
    """What was due is what the others wrote last."""
    world = in_doubt(1)
    name = "qpi_answers_20261102/user_id_0.jsonl"
    forgotten = upload(40, "c9", forgotten=True)
    uploads = {**world.uploads, name: (*world.uploads[name], forgotten)}
    versions = {**world.versions, name: (*world.versions[name][1:], version(40, "c9", Path.LEGACY))}
    assert judge(replace(world, uploads=uploads, versions=versions)) == []


def test_every_judge_is_tried() -> None:
    """Each of them finds something in some sabotaged world."""
    worlds = [sabotage(right()) for some in WRONG.values() for sabotage in some] + [in_doubt(3)]
    assert [one.__name__ for one in JUDGES if not any([*one(world)] for world in worlds)] == []


@pytest.mark.parametrize(
    ("path", "seconds", "wanted"),
    [
        (Path.LEGACY, 0.5, -1),
        (Path.LEGACY, 1.5, 0),
        (Path.NEW, 9, -1),
        (Path.NEW, 11, 1),
        (Path.NEW, 13, 2),
        (Path.NEW, 16, 2),
    ],
)
def test_what_an_import_is_due(path: Path, seconds: float, wanted: int) -> None:
    """What was acknowledged on its own path; what was on the other before the last handover began; nothing of later there."""
    uploads = (upload(1, "a"), upload(4, "b"), upload(12, "c", Path.NEW), upload(15, "d"))
    assert due(uploads, (Handover(Path.NEW, at(5), at(10)),), path, at(seconds)) == wanted


def test_only_what_the_load_takes_belongs_to_a_day() -> None:
    """A folder's JSONL objects; neither flat files, nor placeholders, nor strays."""
    names = (NAME, FLAT, "qpi_answers_20261101.jsonl", "qpi_answers_20261101/", "backup/x.jsonl", ".DS_Store")
    assert [day_of(name) for name in names] == ["20261101", "", "", "", "", ""]


def test_the_events_without_an_alert_ring_none() -> None:
    """By the filters themselves, on either resource; `monitoring.checks` compares the names."""
    for event in NEEDS_NO_ALERT:
        for resource in ("cloud_run_job", "cloud_run_revision"):
            assert rings(line(event, "ERROR", "forward", resource)) == ()


def test_a_line_rings_the_policy_whose_filter_takes_it() -> None:
    """By metric, by log match, and by a metric's label."""
    assert rings(line("mirror_straggler", "WARNING", "forward")) == ("late-writer",)
    assert rings(line("mirror_dropped", "ERROR", "reverse")) == ("mirror-dropped-event",)
    assert rings(line("mirror_dropped", "ERROR", "forward")) == ("mirror-dropped-event",)
    assert rings(line("run_stopped", "ERROR", "verify", "cloud_run_job")) == ("backfill-task-failed",)


def test_a_history_is_short_and_in_the_order_of_time() -> None:
    """Of the one object, from the last version that was right: writes, versions, runs, log lines, and what was done meanwhile."""
    world = stale(right())
    faults = [fault for fault in judge(world) if fault.judge == "belongs"]
    said = told(world, faults, lambda name: [(at(2.9), f"forward: event=mirrored of {name}")])
    assert [text[18:] for text in said.splitlines() if text.startswith("  12:")] == [
        "writer: v1 acknowledged on the legacy path",
        "legacy path: generation …00000040, v2, finalized",
        "writer: v2 acknowledged on the legacy path",
        "-- forward mirror: killed -9",
        f"forward: event=mirrored of {NAME}",
        "consumer: look on the legacy path saw v2",
        "new path: generation …00000061, v1, finalized",
        "consumer: night on the new path saw v2",
    ]
    assert said.splitlines()[-1] == "  now live: legacy: v2; new: v1"
