"""The explorer finds each mutant of the replication rule, with a readable counterexample.

A mutant lies outside production code. It is a store that distorts the calls of the real `replicate`, a replaced decision,
or a small wrong copy of the loop. ``pytest -rP`` shows each counterexample.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from race_claims import Claim
from race_explorer import Exploration, explore
from race_model import Place, number
from race_replay import Copy, ReplayingStore
from race_scope import Delete, Scope, Upload, backfill, deliveries, new_writer, removals, script

import mirror_function.mirror
import shared.first_rewrite
import shared.replicate
from mirror_function.mirror import settle
from shared.decision import Action, Authority, Decision, decide
from shared.errors import ConditionFailed, Contended, ObjectNotFound
from shared.first_rewrite import first_rewrite
from shared.gcs.api import AsyncApi
from shared.objects import CONTENT_DIFFERENCES, ObjectRef, ObjectState, differences
from shared.replicate import (
    UNTRIED,
    DeletePropagation,
    LastSeen,
    Outcome,
    Replication,
    Unsettled,
    replicate,
)

A, B, C, GONE = Upload("a"), Upload("bb"), Upload("ccc"), Delete()
TWO, ABC = script(A, B), script(A, B, C)
OVERWRITTEN = Scope(ABC, (*deliveries(ABC),))
LATER_WRITE = Scope(
    TWO, (*deliveries(TWO, authority=Authority.LATER_WRITE),), authority=Authority.LATER_WRITE
)


class WithoutDestinationCondition(ReplayingStore):
    """Mutant 1: every rewrite overwrites whatever is at the destination."""

    def _copied(self, call: Copy) -> ObjectState:
        return super()._copied(call._replace(if_destination=None))


class WithoutSourceCondition(ReplayingStore):
    """Mutant 2: every rewrite copies whatever is live at the source."""

    def _copied(self, call: Copy) -> ObjectState:
        return super()._copied(call._replace(if_source=None))


class PinnedGeneration(ReplayingStore):
    """Mutant 3: every rewrite names ``sourceGeneration``: a versioned bucket still serves overwritten versions."""

    def _copied(self, call: Copy) -> ObjectState:
        return super()._copied(call._replace(pinned=True))


def by_number(
    source: ObjectState | None, destination: ObjectState | None, authority: Authority, _: str | None = None
) -> Decision:
    """Mutant 4: it takes a source with a smaller generation than the destination's for older, and skips it."""
    decision = decide(source, destination, authority)
    if source and destination and source.generation < destination.generation:
        return decision._replace(action=Action.NOTHING)
    return decision


def by_number_reversed(
    source: ObjectState | None, destination: ObjectState | None, authority: Authority, _: str | None = None
) -> Decision:
    """Mutant 4, the other way round."""
    decision = decide(source, destination, authority)
    if source and destination and source.generation > destination.generation:
        return decision._replace(action=Action.NOTHING)
    return decision


def trusting_412(
    store: ReplayingStore,
    source: ObjectRef,
    destination: ObjectRef,
    authority: Authority,
    *,
    last_seen: LastSeen | None = None,
    keep: Callable[[ObjectState], ObjectRef] | None = None,
    **_: object,
) -> Replication:
    """Mutant 5: it does not loop. It takes a failed condition for "another copier has copied it"."""
    now = last_seen or LastSeen(store.look(source), store.look(destination))
    try:
        return replicate(store, source, destination, authority, last_seen=now, keep=keep, max_attempts=1)
    except Contended:
        return Replication(Outcome.SUPERSEDED, None, now.destination)


def blind(
    store: ReplayingStore, source: ObjectRef, destination: ObjectRef, deleted: ObjectState, _: datetime
) -> DeletePropagation | None:
    """Mutant 6: it deletes the destination after each delete event, on condition of the generation seen."""
    there = store.look(destination)
    if there is not None:
        _delete(store, destination, there)
    return None


def without_second_look(
    store: ReplayingStore, source: ObjectRef, destination: ObjectRef, deleted: ObjectState, _: datetime
) -> DeletePropagation | None:
    """Mutant 7: it does not look at the source again after the deletion."""
    if store.look(source) is not None:
        return None
    there = store.look(destination)
    if there is not None and not CONTENT_DIFFERENCES.intersection(differences(deleted, there)):
        _delete(store, destination, there)
    return None


def never_again(
    source: ObjectState | None, destination: ObjectState | None, authority: Authority, _: str | None = None
) -> Decision:
    """Mutant 8: an equal destination settles the matter, however old it is."""
    decision = decide(source, destination, authority)
    return decision._replace(action=Action.EQUAL, again=False) if decision.again else decision


async def left_to_the_rule(*_: object, **__: object) -> Unsettled:
    """The mirror outside the event loop: `replicate` does everything."""
    return UNTRIED


async def refused_is_done(api: AsyncApi, *arguments: Any, follows_deletions: bool) -> Replication | Unsettled:
    """Mutant 12: in the event loop it takes a failed precondition for "another copier has copied it"."""
    source, destination, version, authority = arguments
    seen = LastSeen(version, None)
    try:
        return await first_rewrite(
            api, source, destination, seen, await authority(), follows_deletions=follows_deletions
        )
    except ConditionFailed:
        return Replication(Outcome.ALREADY_EQUAL, version, await api.look(destination))


async def always_the_destination_alone(
    api: AsyncApi, *arguments: Any, follows_deletions: bool
) -> Replication | Unsettled:
    """Mutant 13: an equal destination settles an event in every phase, without a look at the source."""
    _, destination, version, authority = arguments
    there = await api.look(destination)
    if there is not None and decide(version, there, await authority()).action is Action.EQUAL:
        return Replication(Outcome.ALREADY_EQUAL, version, there)
    return UNTRIED


async def source_wins_in_the_loop(
    api: AsyncApi, *arguments: Any, follows_deletions: bool
) -> Replication | Unsettled:
    """Mutant 14: in the event loop the source wins in every phase."""

    async def source() -> Authority:
        return Authority.SOURCE

    return await settle(api, *arguments[:3], source, follows_deletions=follows_deletions)


async def deletions_not_heeded(
    api: AsyncApi, *arguments: Any, follows_deletions: bool
) -> Replication | Unsettled:
    """Mutant 15: where deletions are followed, the destination alone settles an event, too."""
    return await settle(api, *arguments, follows_deletions=False)


def _delete(store: ReplayingStore, at: ObjectRef, there: ObjectState) -> None:
    try:
        store.delete(at, if_generation=there.generation)
    except (ConditionFailed, ObjectNotFound):
        return


def test_without_the_destination_condition_the_destination_goes_backwards() -> None:
    """A rewrite without the destination's condition commits an older version over a newer one."""
    found = _found(replace(OVERWRITTEN, store=WithoutDestinationCondition), Claim.FORWARD)
    assert found.wrong is not None
    assert found.wrong.sentence == "the destination went backwards from v2=bb to v1=a"


def test_without_the_source_condition_only_the_proof_notices() -> None:
    """A rewrite without the source's condition copies another version than the one seen; the copy's proof fails."""
    _found(replace(OVERWRITTEN, store=WithoutSourceCondition), Claim.PROVEN)


def test_without_the_source_condition_and_the_proof_the_books_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the proof too, the recorded version is not the copied one."""
    _everywhere(monkeypatch, "differences", lambda _one, _other: ())
    _found(replace(OVERWRITTEN, store=WithoutSourceCondition), Claim.BOOKS_TRUE)


def test_the_source_condition_keeps_the_books_true_without_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """The condition does not depend on the proof: with the condition alone, every claim holds."""
    _everywhere(monkeypatch, "differences", lambda _one, _other: ())
    assert explore(OVERWRITTEN).wrong is None


def test_a_pinned_generation_goes_backwards_on_a_versioned_bucket() -> None:
    """Naming the source's generation copies an overwritten version over its successor."""
    sources = script(A, B, versioned=True)
    scope = Scope(sources, (*deliveries(sources), backfill()), store=PinnedGeneration)
    _found(scope, Claim.FORWARD)


def test_versioning_does_no_harm_to_the_live_condition() -> None:
    """If the condition requires the live generation, the same scope holds."""
    sources = script(A, B, versioned=True)
    assert explore(Scope(sources, (*deliveries(sources), backfill()))).wrong is None


@pytest.mark.parametrize(("mutant", "sources"), [(by_number, TWO), (by_number_reversed, ABC)])
def test_comparing_generations_ends_stale(
    mutant: Callable[[ObjectState | None, ObjectState | None, Authority], Decision],
    sources: tuple[Place, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Taking a smaller generation for an older version, or for a newer one, leaves the destination behind."""
    _everywhere(monkeypatch, "decide", mutant)
    _found(Scope(sources, (*deliveries(sources),)), Claim.ENDS_EQUAL)


def test_generations_say_nothing_about_order() -> None:
    """The model's later generations are neither always larger nor always smaller, on either side."""
    for first in (1, 50):
        numbers = [number(token) for token in range(first, first + 5)]
        assert numbers not in (sorted(numbers), sorted(numbers, reverse=True))
    assert number(2) < number(50) < number(3) < number(1)


def test_a_failed_condition_taken_for_success_ends_stale() -> None:
    """Taking 412 for done leaves the destination behind."""
    _found(Scope(TWO, (*deliveries(TWO, settle=left_to_the_rule, replicate=trusting_412),)), Claim.ENDS_EQUAL)


def test_blind_deletions_lose_what_lives() -> None:
    """Honouring the delete event of an overwritten version deletes its successor's copy."""
    _found(Scope(TWO, (*deliveries(TWO), *removals(TWO, propagate=blind))), Claim.ENDS_EQUAL)


def test_a_deletion_without_a_second_look_loses_what_was_created_again() -> None:
    """The same contents, created again and found equal just before the deletion commits, are gone."""
    sources = script(A, GONE, A)
    actors = (*deliveries(sources), *removals(sources, propagate=without_second_look))
    _found(Scope(sources, actors), Claim.ENDS_EQUAL)


def test_an_old_equal_destination_taken_for_settled_ends_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contents come back; their event finds the first copy equal; then the copy in between commits."""
    _everywhere(monkeypatch, "decide", never_again)
    sources = script(A, B, A)
    _found(Scope(sources, (*deliveries(sources),)), Claim.ENDS_EQUAL)


def test_without_a_look_after_the_copy_a_late_copy_passes_for_a_later_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mutant 9: a version written during its predecessor's copy finds a copy that looks later than itself."""
    monkeypatch.setattr(shared.replicate, "_moved_on", lambda _store, _source, _copied: False)
    _found(LATER_WRITE, Claim.ENDS_EQUAL)


def test_copies_taken_for_writes_end_stale_when_an_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant 10: only the answer tells a copy from a write. If it is lost, an old copy looks like a later write."""
    monkeypatch.setattr(shared.replicate, "_is_copy", lambda _destination, _held: False)
    _found(replace(LATER_WRITE, silences=1), Claim.ENDS_EQUAL)


def test_overwriting_whatever_differs_replaces_later_writes() -> None:
    """Mutant 11: the source wins where the later write should, and puts older contents over newer ones."""
    actors = (*deliveries(TWO, authority=Authority.SOURCE), new_writer("n"))
    _found(replace(LATER_WRITE, actors=actors), Claim.LATER_STAYS)


def test_a_failed_precondition_taken_for_success_in_the_loop_ends_stale() -> None:
    """The same before the rule is asked."""
    _found(Scope(TWO, (*deliveries(TWO, settle=refused_is_done),)), Claim.ENDS_EQUAL)


def test_an_old_equal_destination_taken_for_settled_in_the_loop_ends_stale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mutant 8 in the event loop alone: the destination equals the event's version, and was made before it."""
    monkeypatch.setattr(mirror_function.mirror, "decide", never_again)
    sources = script(A, B, A)
    _found(Scope(sources, (*deliveries(sources),)), Claim.ENDS_EQUAL)


def test_an_equal_destination_alone_settles_nothing_where_the_later_write_wins() -> None:
    """A late copy, whose copier gave up, equals its event's version. Without a look at the source, the later version never comes."""
    late = (*deliveries(TWO, settle=always_the_destination_alone, authority=Authority.LATER_WRITE),)
    _found(replace(LATER_WRITE, actors=late, silences=1), Claim.ENDS_EQUAL)


def test_a_loop_that_does_not_ask_who_wins_overwrites_after_the_cutover() -> None:
    """After the look at the destination it copies over it."""
    late = Authority.DESTINATION
    actors = (*deliveries(TWO, settle=source_wins_in_the_loop, authority=late), new_writer("n"))
    _found(Scope(TWO, actors, authority=late), Claim.CREATE_ONLY)


def test_where_deletions_are_followed_an_equal_destination_alone_may_be_left_of_a_deleted_source() -> None:
    """A copy whose answer was lost outlives its source; the event comes again, and does not look at the source."""
    sources = script(A, GONE)
    actors = (
        *deliveries(sources, settle=deletions_not_heeded, follows=True),
        *removals(sources),
    )
    _found(Scope(sources, actors, silences=1, hangs=False, follows=True), Claim.ERASED)


def test_a_counterexample_is_a_short_history() -> None:
    """A counterexample has one line for each step, ends with the broken claim, and is the shortest one."""
    found = explore(Scope(TWO, (*deliveries(TWO),), store=WithoutDestinationCondition))
    assert str(found).splitlines() == [
        f"writer                   writes the source: v1=a (g{number(1)})",
        f"mirror of v1             begins to copy v1=a (g{number(1)}) over whatever is there",
        f"writer                   writes the source: v2=bb (g{number(2)})",
        f"mirror of v2             begins to copy v2=bb (g{number(2)}) over whatever is there",
        "mirror of v2             commits its copy: the destination is v2=bb",
        "mirror of v1             commits its copy: the destination is v1=a",
        "=> the destination went backwards from v2=bb to v1=a",
    ]


def _everywhere(monkeypatch: pytest.MonkeyPatch, name: str, mutant: object) -> None:
    """Replace a function of the rule wherever it is used: by `replicate`, and in the event loop."""
    for module in (shared.replicate, shared.first_rewrite, mirror_function.mirror):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, mutant)


def _found(scope: Scope, claim: Claim) -> Exploration:
    found = explore(scope, seek=claim)
    print(f"{found.states} states, {len(found.history)} steps\n{found}")  # noqa: T201 -- for pytest -rP
    assert found.wrong is not None, "the mutant lives"
    assert found.wrong.claim is claim
    return found
