"""Cut over, write, roll back, write, cut over again: no interleaving tried loses the last write.

At every moment the last write is on one of the paths, or kept; the walk itself checks that. In the end it is in its place,
with one exception: a *late* copy. Such a copy began before a new write to its source, and was committed after it. Its maker
worked *across* a change of phase, or longer than a pass waits. A late copy looks like a later write, and may displace the
last write, which is then among the kept versions.
"""

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from race_both_ways import (
    LEGACY,
    NEW,
    SETTINGS,
    Act,
    Move,
    Pass,
    ReplayedStore,
    Settled,
    Side,
    Story,
    Upload,
    World,
    walk,
)
from race_event_loop import whole_mirror
from race_explorer import IN_DEPTH

import shared.replicate
from mirror_function.event import ObjectEvent
from mirror_function.settings import MirrorSettings
from shared.decision import Authority
from shared.objects import ObjectRef, ObjectState
from shared.phase import Phase
from shared.replicate import LastSeen, replicate

WALKS = 400 if IN_DEPTH else 100
ENOUGH = 400
"""Walks in which each mutant shows itself."""
FEWER = 60

CUTOVER: tuple[Act, ...] = (Move(Phase.CUT_OVER), Settled(), Pass(LEGACY))
ROLLBACK: tuple[Act, ...] = (Pass(NEW), Move(Phase.ROLLED_BACK), Settled(), Pass(NEW))
CUT, BACK = len(CUTOVER), len(CUTOVER) + len(ROLLBACK)
AGAIN = BACK + len(CUTOVER)

THERE_AND_BACK = Story(
    acts=(*CUTOVER, *ROLLBACK, *CUTOVER, Pass(LEGACY)),
    uploads=(
        Upload(LEGACY, "a"),
        Upload(LEGACY, "bb"),
        Upload(NEW, "ccc", after=CUT),
        Upload(LEGACY, "late", after=CUT),
        Upload(NEW, "dddd", after=CUT),
        Upload(LEGACY, "eeeee", after=CUT),
        Upload(NEW, "late again", after=BACK),
        Upload(LEGACY, "ffffff", after=BACK),
        # The last upload comes before the operator repeats the last command.
        Upload(NEW, "ggggggg", after=AGAIN, before=AGAIN),
    ),
)
"""Writers switch late both times, and overwrite the object on either path."""

GIVEN_AGAIN = Story(
    acts=(*CUTOVER, Pass(LEGACY)),
    uploads=(Upload(LEGACY, "a"), Upload(NEW, "bb", after=CUT), Upload(NEW, "ccc", after=CUT)),
    across=False,
)
"""The reverse mirror copies the second version late, while the operator repeats ``cutover``."""


def test_there_and_back_and_there_again_loses_nothing() -> None:
    """In the end the last write is on the new path, and the reverse mirror has copied it to the legacy path."""
    for seed in range(WALKS):
        world = walk(THERE_AND_BACK, random.Random(seed).randrange)
        _is_safe(world, NEW, "ggggggg")
        assert world.holds(LEGACY) == world.holds(NEW), "\n".join((f"seed {seed}", *world.told))


def test_lost_events_lose_nothing_either() -> None:
    """Even if events are lost, the passes copy the last write to the path that the consumer reads."""
    for seed in range(WALKS):
        _is_safe(walk(replace(THERE_AND_BACK, losses=4), random.Random(seed).randrange), NEW, "ggggggg")


@pytest.mark.parametrize("losses", [0, 4])
def test_where_no_delivery_lasts_across_a_phase_the_last_write_is_in_its_place(losses: int) -> None:
    """With late copies and without: a pass waits until the maker of a late copy has looked again."""
    story = replace(THERE_AND_BACK, losses=losses, across=False)
    walks = [walk(story, random.Random(seed).randrange) for seed in range(WALKS)]
    for world in walks:
        assert world.holds(NEW) == "ggggggg", "\n".join(world.told)
    assert any(world.late_copies for world in walks)


def test_a_pass_beside_a_late_copy_of_the_way_back_takes_it_for_no_write() -> None:
    """It waits, and by then the reverse mirror has copied the last write itself."""
    for seed in range(WALKS):
        world = walk(GIVEN_AGAIN, random.Random(seed).randrange)
        assert world.holds(NEW) == "ccc", "\n".join(world.told)


@pytest.mark.parametrize("side", [LEGACY, NEW])
def test_after_a_rollback_the_legacy_path_has_the_last_write(side: Side) -> None:
    """After the repeated command the legacy path has the last write, on whichever path and however late it was made."""
    story = Story(
        acts=(*CUTOVER, *ROLLBACK, Pass(NEW)),
        uploads=(
            Upload(LEGACY, "a"),
            Upload(NEW, "bb", after=CUT),
            Upload(side, "last", after=CUT + 1, before=BACK),
        ),
        losses=2,
    )
    for seed in range(WALKS):
        _is_safe(walk(story, random.Random(seed).randrange), LEGACY, "last")


STRAY = (Upload(LEGACY, "right"), Upload(NEW, "wrong", before=0, stray=True))
"""Something writes a wrong object to the new path before the first cutover."""

STRAYS = [
    pytest.param(Story(CUTOVER, STRAY, losses=1, across=False), id="cut over"),
    pytest.param(
        Story((Move(Phase.CUT_OVER), *ROLLBACK), STRAY, across=False), id="rolled back before the pass"
    ),
]


@pytest.mark.parametrize("story", STRAYS)
def test_a_wrong_object_of_before_the_first_cutover_replaces_nothing_however_late_its_event(
    story: Story,
) -> None:
    """Neither the reverse mirror nor a rollback takes it for a later write; the cutover's pass replaces it."""
    for seed in range(FEWER):
        world = walk(story, random.Random(seed).randrange)
        assert world.holds(LEGACY) == "right", "\n".join((f"seed {seed}", *world.told))
        if Pass(LEGACY) in story.acts:
            assert world.holds(NEW) == "right", "\n".join((f"seed {seed}", *world.told))


@pytest.mark.parametrize("story", STRAYS)
def test_where_no_moment_tells_it_a_wrong_object_comes_to_the_legacy_path(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the reverse mirror and the rollback go by the times of the two sides alone."""
    monkeypatch.setattr(ReplayedStore, "first_cutover", lambda _: None)
    monkeypatch.setattr(shared.replicate, "_was_there", lambda *_: False)
    assert any(walk(story, random.Random(seed).randrange).holds(LEGACY) == "wrong" for seed in range(FEWER))


NEW_NAME = Story(
    acts=(*CUTOVER, *ROLLBACK, Pass(NEW)),
    uploads=(Upload(NEW, "a", after=CUT + 2), Upload(NEW, "bb", after=CUT + 2, before=BACK)),
    across=False,
)
"""Late writers create an object on the new path after the rollback, and overwrite it there."""


def test_a_straggler_overwritten_while_it_was_copied_arrives_in_its_last_version() -> None:
    """Its copier looks once more, and may replace its own copy."""
    for seed in range(WALKS):
        world = walk(NEW_NAME, random.Random(seed).randrange)
        assert {world.holds(LEGACY), world.holds(NEW)} == {"bb"}, "\n".join(world.told)


def test_a_straggler_that_is_not_looked_at_again_ends_in_an_older_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its late copy looks like a later write."""
    monkeypatch.setattr(shared.replicate, "_moved_on", lambda *_: False)
    ends = {walk(NEW_NAME, random.Random(seed).randrange).holds(NEW) for seed in range(ENOUGH)}
    assert ends == {"a", "bb"}


@st.composite
def stories(draw: st.DrawFn, *, across: bool) -> Story:
    """Writers who use the legacy path at any time, and the new path from the first report of a cutover on."""
    acts = (*CUTOVER, *ROLLBACK, *CUTOVER, Pass(LEGACY))
    uploads, after = [Upload(LEGACY, "0")], 0
    for number in range(1, draw(st.integers(1, 6))):
        after = draw(st.integers(after, AGAIN))
        side = draw(st.sampled_from([LEGACY, NEW])) if after >= CUT else LEGACY
        uploads.append(Upload(side, "x" * number, after=after, before=AGAIN))
    return Story(acts, tuple(uploads), losses=draw(st.integers(0, 3)), across=across)


@settings(max_examples=WALKS, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=stories(across=True), seed=st.integers(0, 1_000_000))
def test_any_story_ends_with_the_last_write_on_the_new_path_or_kept(story: Story, seed: int) -> None:
    """Any order of writes, any interleaving, some events lost."""
    _is_safe(walk(story, random.Random(seed).randrange), NEW, story.uploads[-1].data)


@settings(max_examples=WALKS, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=stories(across=False), seed=st.integers(0, 1_000_000))
def test_any_story_without_such_deliveries_ends_with_the_last_write_on_the_new_path(
    story: Story, seed: int
) -> None:
    """The same, if no delivery lasts across a change of phase, or hangs."""
    world = walk(story, random.Random(seed).randrange)
    assert world.holds(NEW) == story.uploads[-1].data, "\n".join(world.told)


def _keep(version: ObjectState) -> ObjectRef:
    return SETTINGS[LEGACY].migration.kept_ref("q.jsonl", version.generation)


def asked_before_the_look(event: ObjectEvent, settings: MirrorSettings, store: ReplayedStore) -> object:
    """Mutant: it reads the phase once, when the event arrives."""
    authority = settings.authority(store.phase())
    if authority is None:
        return None
    way, name = settings.way, event.state.name
    here, there = way.source_ref(way.relative(name)), way.destination_ref(way.relative(name))
    return replicate(store, here, there, authority, last_seen=LastSeen(event.state, None), keep=_keep)  # type: ignore[arg-type]


def new_path_always_right(event: ObjectEvent, settings: MirrorSettings, store: ReplayedStore) -> object:
    """Mutant: after the cutover the new path always wins in reverse replication, even over later legacy writes."""
    if not settings.reverse:
        return whole_mirror(event, settings, store, store)
    if store.phase() is not Phase.CUT_OVER:
        return None
    way, name = settings.way, event.state.name
    here, there = way.source_ref(way.relative(name)), way.destination_ref(way.relative(name))
    return replicate(store, here, there, Authority.SOURCE, last_seen=LastSeen(event.state, None), keep=_keep)  # type: ignore[arg-type]


def test_a_phase_asked_for_before_the_look_loses_a_write() -> None:
    """An event from before the cutover is still under way, and puts old contents over the new path's first write."""
    _loses(replace(THERE_AND_BACK, deliver=asked_before_the_look))


def test_a_way_back_that_always_overwrites_loses_a_late_write() -> None:
    """The new path's earlier version replaces a late write on the legacy path."""
    _loses(replace(THERE_AND_BACK, deliver=new_path_always_right))


def test_writers_who_do_not_wait_for_the_report_lose_a_write() -> None:
    """A mirror that still has the phase before the cutover overwrites a write on the new path."""
    hasty = (Upload(LEGACY, "a"), Upload(LEGACY, "bb"), Upload(NEW, "hasty", after=1))
    _loses(Story(CUTOVER, hasty))


def test_passes_that_do_not_wait_put_a_late_copy_in_the_place_of_the_last_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pass runs between a mirror's late copy and its second look."""
    monkeypatch.setattr(shared.replicate, "_check_settled", lambda *_: None)
    ends = (walk(GIVEN_AGAIN, random.Random(seed).randrange).holds(NEW) for seed in range(2_000))
    assert any(end != "ccc" for end in ends)  # about one walk in a thousand


def test_replacing_without_keeping_loses_a_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """A late copy looks like a later write, and the version that it replaces is gone."""
    monkeypatch.setattr(shared.replicate, "_keep", lambda *_: None)
    _loses(THERE_AND_BACK)


def _is_safe(world: World, side: Side, last: str) -> None:
    in_its_place = world.holds(side) == last
    assert in_its_place or (world.late_copies and last in world.kept), "\n".join(world.told)


def _loses(story: Story) -> None:
    for seed in range(ENOUGH):
        try:
            walk(story, random.Random(seed).randrange)
        except AssertionError as lost:
            print(f"seed {seed}\n{lost}")  # noqa: T201 -- for pytest -rP
            return
    pytest.fail("the mutant lives")
