"""The mirrors while the legacy path is deleted, and afterwards: nothing of it reaches the new path but late writes."""

from datetime import UTC, datetime

import pytest
from testing_deletion import Scene, day
from testing_paths import Paths

from mirror_function.event import EventKind, ObjectEvent
from mirror_function.mirror import Mirrored, MirrorOutcome, mirror
from mirror_function.settings import MirrorSettings
from shared.errors import PhaseUnknown
from shared.gateway import Gateway
from shared.objects import ObjectState, parse_time
from shared.phase import Phase, PhaseReader

WAYS = {
    Phase.DELETING: (Phase.CUT_OVER, Phase.DELETING),
    Phase.DELETED: (Phase.CUT_OVER, Phase.DELETING, Phase.DELETED),
}
GONE = (EventKind.DELETED, EventKind.ARCHIVED)


def handled(
    paths: Paths,
    gateway: Gateway,
    state: ObjectState | None,
    kind: EventKind = EventKind.FINALIZED,
    *,
    reverse: bool = False,
    ended: datetime | None = None,
) -> Mirrored:
    """What a mirror makes of an event; the forward one follows deletions, if it follows any."""
    assert state is not None
    settings = MirrorSettings(paths.migration, deletes=not reverse, reverse=reverse)
    event = ObjectEvent("e-1", kind, settings.way.source.bucket, state, datetime.now(UTC), ended=ended)
    return mirror(event, settings, gateway, PhaseReader(gateway, paths.migration, lambda: 0.0))


@pytest.mark.parametrize("phase", WAYS)
@pytest.mark.parametrize("kind", GONE)
def test_a_deletion_is_not_followed_even_where_deletions_are(
    scene: Scene, gateway: Gateway, phase: Phase, kind: EventKind
) -> None:
    """With MIRROR_DELETES on: the new path's copy is the only one by then."""
    scene.both(day(1))
    state = scene.paths.look(day(1), side="source")
    scene.commands.go(*WAYS[phase])
    scene.paths.delete(day(1))
    done = handled(scene.paths, gateway, state, kind)
    assert (done.outcome, done.phase) == (MirrorOutcome.IGNORED, phase)
    assert scene.paths.names() == [day(1)]


def test_a_deletion_before_the_cutover_would_have_been_followed(scene: Scene, gateway: Gateway) -> None:
    """So the test above tests the phase, and not an unknown event."""
    scene.both(day(1))
    state = scene.paths.look(day(1), side="source")
    scene.paths.delete(day(1))
    assert handled(scene.paths, gateway, state, EventKind.DELETED).outcome is MirrorOutcome.DELETED


def test_a_deletion_after_a_rollback_keeps_what_it_deletes_and_leaves_a_later_write(
    scene: Scene, gateway: Gateway
) -> None:
    """The new path may hold a late writer's object that equals what was deleted."""
    scene.both(day(1))
    scene.commands.go(Phase.CUT_OVER, Phase.ROLLED_BACK)
    state, there = scene.paths.look(day(1), side="source"), scene.paths.look(day(1))
    assert there is not None
    scene.paths.delete(day(1))
    early = handled(scene.paths, gateway, state, EventKind.DELETED, ended=parse_time(there.created))
    assert (early.outcome, early.because) == (
        MirrorOutcome.SUPERSEDED,
        "the destination was written after the deletion",
    )
    assert scene.paths.names() == [day(1)]
    assert handled(scene.paths, gateway, state, EventKind.DELETED).outcome is MirrorOutcome.DELETED
    assert scene.paths.names() == []
    assert gateway.look(scene.paths.migration.kept_ref(day(1), there.generation)) is not None


def test_a_copy_of_a_deleted_source_is_taken_back_by_the_next_delivery(
    scene: Scene, gateway: Gateway
) -> None:
    """The delivery that made it lost the answer, and the deletion's event came before the copy."""
    scene.both(day(1))
    state = scene.paths.look(day(1), side="source")
    scene.paths.delete(day(1))
    done = handled(scene.paths, gateway, state)
    assert (done.outcome, done.because) == (
        MirrorOutcome.DELETED,
        "its source was deleted while it was copied",
    )
    assert scene.paths.names() == []


@pytest.mark.parametrize("phase", WAYS)
def test_a_late_writer_s_new_object_is_copied_forward_and_called_a_straggler(
    scene: Scene, gateway: Gateway, phase: Phase
) -> None:
    """Create-only; the handler writes ``mirror_straggler`` for it, on which an alert waits."""
    scene.commands.go(*WAYS[phase])
    scene.paths.put(day(1), b"late")
    done = handled(scene.paths, gateway, scene.paths.look(day(1), side="source"))
    assert (done.outcome, done.straggler, done.phase) == (MirrorOutcome.COPIED, True, phase)
    assert scene.paths.read(day(1)) == b"late"


@pytest.mark.parametrize("phase", WAYS)
def test_a_late_writer_never_overwrites_the_new_path(scene: Scene, gateway: Gateway, phase: Phase) -> None:
    """It is a conflict, and reported."""
    scene.commands.go(*WAYS[phase])
    scene.paths.put(day(1), b"new", side="destination")
    scene.paths.put(day(1), b"late")
    done = handled(scene.paths, gateway, scene.paths.look(day(1), side="source"))
    assert done.outcome is MirrorOutcome.CONFLICT
    assert scene.paths.read(day(1)) == b"new"


@pytest.mark.parametrize("phase", WAYS)
def test_the_reverse_mirror_brings_nothing_back(scene: Scene, gateway: Gateway, phase: Phase) -> None:
    """What is deleted stays deleted, whatever is written at the new path, or delivered late."""
    scene.commands.go(*WAYS[phase])
    scene.paths.put(day(1), b"new", side="destination")
    done = handled(scene.paths, gateway, scene.paths.look(day(1)), reverse=True)
    assert done.outcome is MirrorOutcome.IGNORED
    assert scene.paths.names(side="source") == []


def test_what_an_undo_brings_back_changes_nothing_at_the_new_path(scene: Scene, gateway: Gateway) -> None:
    """Its events find the same object there; where the new path has gone on, it stays as it is."""
    scene.both(day(1), day(2))
    scene.cut_over()
    assert scene.delete(2).code == 0
    scene.paths.put(day(2), b"newer", side="destination")
    before = [scene.paths.look(name) for name in (day(1), day(2))]
    assert scene.undo(scene.manifest_uri, "--execute").code == 0
    outcomes = [
        handled(scene.paths, gateway, scene.paths.look(name, side="source")).outcome
        for name in (day(1), day(2))
    ]
    assert outcomes == [MirrorOutcome.ALREADY_EQUAL, MirrorOutcome.CONFLICT]
    assert [scene.paths.look(name) for name in (day(1), day(2))] == before


def test_a_forgotten_writer_overwrites_nothing_after_the_migration_s_own_objects_were_tidied_up(
    scene: Scene, gateway: Gateway
) -> None:
    """The new path holds the only copy after a complete deletion. Without a record nothing is done, by mirror or command."""
    scene.both(day(1))
    scene.soak()
    assert scene.delete(1).code == 0
    assert scene.phase is Phase.DELETED
    only = scene.paths.read(day(1))
    scene.paths.forget()
    scene.paths.put(day(1), b"of a forgotten writer")
    with pytest.raises(PhaseUnknown, match="there is no record of this migration"):
        handled(scene.paths, gateway, scene.paths.look(day(1), side="source"))
    ended = scene.commands.run("migrate", "--execute", "--yes", "--since", "30d")
    assert (ended.code, scene.paths.read(day(1))) == (2, only)
    assert f"qpi_exports/{day(1)} is there" in ended.err
