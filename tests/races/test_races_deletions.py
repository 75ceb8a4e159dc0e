"""Followed deletions while the phase changes: a deletion is a write, and only removes what was written before it.

The walks are those of ``race_both_ways``, with a person who deletes on the legacy path. At every moment the last write is on
one of the paths, or kept; the walk itself checks that. Each mutant leaves out one of the protections.
"""

import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from race_both_ways import (
    LEGACY,
    NEW,
    SETTINGS,
    Act,
    Move,
    Pass,
    Remove,
    ReplayedStore,
    Settled,
    Story,
    Upload,
    walk,
)
from race_event_loop import whole_mirror

import shared.first_rewrite
import shared.replicate
from mirror_function.event import EventKind, ObjectEvent
from mirror_function.settings import MirrorSettings
from shared.decision import Authority
from shared.objects import ObjectRef, ObjectState
from shared.phase import Phase
from shared.replicate import propagate_delete

WALKS = 250

CUTOVER: tuple[Act, ...] = (Move(Phase.CUT_OVER), Settled(), Pass(LEGACY))
ROLLBACK: tuple[Act, ...] = (Pass(NEW), Move(Phase.ROLLED_BACK), Settled(), Pass(NEW))
CUT, BACK = len(CUTOVER), len(CUTOVER) + len(ROLLBACK)

ACROSS_A_CUTOVER = Story(
    acts=CUTOVER,
    uploads=(Upload(LEGACY, "a"), Remove(LEGACY, late=9), Upload(NEW, "a", after=CUT)),
    deletes=True,
)
"""A deletion just before the cutover, whose event tells a later time; then the same contents on the new path."""

BEFORE_THE_DELETION = Story(
    acts=(*CUTOVER, *ROLLBACK),
    uploads=(Upload(LEGACY, "a"), Upload(NEW, "a", after=BACK), Remove(LEGACY, after=BACK)),
    losses=1,
    deletes=True,
)
"""After a rollback a late writer writes the same contents on the new path, and then the legacy path's are deleted."""

AFTER_THE_DELETION = Story(
    acts=(*CUTOVER, *ROLLBACK),
    uploads=(Upload(LEGACY, "a"), Remove(LEGACY, after=BACK), Upload(NEW, "a", after=BACK)),
    across=False,
    deletes=True,
)
"""The same, the other way round: the late writer's is the later write."""


@pytest.mark.parametrize("story", [ACROSS_A_CUTOVER, BEFORE_THE_DELETION, AFTER_THE_DELETION])
def test_a_followed_deletion_loses_no_acknowledged_write(story: Story) -> None:
    """The last write is on one of the paths at every moment, or kept where it was written before the deletion."""
    for seed in range(WALKS):
        walk(story, random.Random(seed).randrange)


@pytest.mark.parametrize("story", [ACROSS_A_CUTOVER, AFTER_THE_DELETION])
def test_what_is_written_after_a_deletion_stays_where_it_was_written(story: Story) -> None:
    """On the new path, whatever the mirror makes of the deletion."""
    for seed in range(WALKS):
        world = walk(story, random.Random(seed).randrange)
        assert world.holds(NEW) == "a", "\n".join(world.told)


OVERWRITTEN_AND_DELETED = Story((), (Upload(LEGACY, "a"), Upload(LEGACY, "bb"), Remove(LEGACY)), deletes=True)


def test_a_deletion_before_the_cutover_reaches_the_new_path() -> None:
    """However late the copy is."""
    for seed in range(WALKS):
        world = walk(OVERWRITTEN_AND_DELETED, random.Random(seed).randrange)
        assert world.holds(NEW) is None, "\n".join(world.told)


def test_a_look_that_takes_an_overwritten_source_for_its_own_version_leaves_a_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The copy is later than the overwrite that ended its version, and the next version is deleted before it is copied."""
    monkeypatch.setattr(shared.first_rewrite, "_has_ended", lambda _version, live: live is None)
    ends = {walk(OVERWRITTEN_AND_DELETED, random.Random(seed).randrange).holds(NEW) for seed in range(WALKS)}
    assert ends != {None}


def phase_before_the_looks(event: ObjectEvent, settings: MirrorSettings, store: ReplayedStore) -> object:
    """Mutant: it reads the phase when the event arrives, and not again after the look at the destination."""
    return _deleting(event, settings, store, store.phase().forward_authority, event.deleted_at)


def whatever_the_time(event: ObjectEvent, settings: MirrorSettings, store: ReplayedStore) -> object:
    """Mutant: it does not compare the destination's time with the deletion's."""
    return _deleting(event, settings, store, None, datetime.max.replace(tzinfo=UTC))


def _deleting(
    event: ObjectEvent,
    settings: MirrorSettings,
    store: ReplayedStore,
    authority: Authority | None,
    deleted_at: datetime,
) -> object:
    if event.kind is not EventKind.DELETED or settings.reverse:
        return whole_mirror(event, settings, store, store)
    way = settings.way
    name = way.relative(event.state.name)

    def keep(version: ObjectState) -> ObjectRef:
        return way.kept_ref(name, version.generation)

    asked = authority or (lambda: store.phase().forward_authority)
    here, there = way.source_ref(name), way.destination_ref(name)
    return propagate_delete(store, here, there, event.state, deleted_at, authority=asked, keep=keep)


def test_a_phase_asked_for_before_the_looks_loses_a_write() -> None:
    """The mirror looks at what the first writer after the cutover wrote, and deletes it by the phase before."""
    _loses(replace(ACROSS_A_CUTOVER, deliver=phase_before_the_looks))


def test_a_deletion_that_keeps_nothing_loses_a_late_writer_s_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rollback the new path may hold a write of its own, although it equals what was deleted."""
    monkeypatch.setattr(shared.replicate, "_keep", lambda *_: None)
    _loses(BEFORE_THE_DELETION)


def test_a_deletion_without_its_time_removes_a_later_write() -> None:
    """It is kept, but not where the late writer wrote it."""
    story = replace(AFTER_THE_DELETION, deliver=whatever_the_time)
    worlds = [walk(story, random.Random(seed).randrange) for seed in range(WALKS)]
    assert any(world.holds(NEW) != "a" for world in worlds), "the mutant lives"


def test_the_mutants_are_the_mirror_where_nothing_is_left_out() -> None:
    """So each mutant differs in one thing only."""
    assert not SETTINGS[LEGACY].deletes

    def whole(event: ObjectEvent, settings: MirrorSettings, store: ReplayedStore) -> object:
        return _deleting(event, settings, store, None, event.deleted_at)

    for seed in range(WALKS // 4):
        walk(replace(ACROSS_A_CUTOVER, deliver=whole), random.Random(seed).randrange)


def _loses(story: Story) -> None:
    for seed in range(10 * WALKS):
        try:
            walk(story, random.Random(seed).randrange)
        except AssertionError as lost:
            print(f"seed {seed}\n{lost}")  # noqa: T201 -- for pytest -rP
            return
    pytest.fail("the mutant lives")
