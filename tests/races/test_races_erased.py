"""What a person erased stays erased, and no gap is taken for an erasure: every order of a few acts, and mutants of the rule."""

from collections.abc import Callable
from typing import Any

import pytest
from race_erased import LEGACY, NEW, Compare, Copy, Delete, Move, Patch, Scope, Write, explore, proof

import shared.decision
from shared.objects import ObjectState, is_later
from shared.phase import Phase

CUT, BACK = Move(Phase.CUT_OVER), Move(Phase.ROLLED_BACK)

SCOPES = {
    "erased after a proof": Scope(
        ((Write(LEGACY), Copy(LEGACY), CUT, Compare(), Delete(NEW)), (Copy(LEGACY),))
    ),
    "mirrored back, then erased": Scope(
        ((CUT, Write(NEW), Copy(NEW), Compare(), Delete(NEW)), (Copy(LEGACY), Copy(LEGACY)))
    ),
    "written just before the cutover, not copied yet": Scope(
        ((Write(LEGACY), CUT, Compare()), (Copy(LEGACY),))
    ),
    "proven before the cutover, written after the proof": Scope(
        ((Compare(), CUT), (Write(LEGACY), Copy(LEGACY)))
    ),
    "written again after the erasure": Scope(
        ((Write(LEGACY), Copy(LEGACY), CUT, Compare(), Delete(NEW), Write(LEGACY)), (Copy(LEGACY),))
    ),
    "its metadata changed after the erasure": Scope(
        ((Write(LEGACY), Copy(LEGACY), CUT, Compare(), Delete(NEW), Patch(LEGACY)), (Copy(LEGACY),))
    ),
    "a hole of before the second cutover": Scope(
        ((Write(LEGACY), Copy(LEGACY), CUT, Compare(), BACK, Delete(NEW), CUT), (Copy(LEGACY),))
    ),
    "a rule on the path that follows": Scope(
        ((Write(LEGACY), Copy(LEGACY), CUT, Compare(), Delete(LEGACY), Copy(NEW), BACK), (Copy(NEW),))
    ),
    "erased on the legacy path after a rollback": Scope(
        ((Write(LEGACY), Copy(LEGACY), CUT, BACK, Compare(), Delete(LEGACY)), (Copy(NEW),))
    ),
    "erased, and a deletion begins": Scope(
        ((Write(LEGACY), Copy(LEGACY), CUT, Compare(), Delete(NEW), Move(Phase.DELETING)), (Copy(LEGACY),))
    ),
    "a late writer beside a comparison": Scope(((CUT, Compare(), Compare()), (Write(LEGACY), Copy(LEGACY)))),
    "two comparisons, one of them unequal": Scope(
        ((Write(LEGACY), CUT, Compare(), Copy(LEGACY), Compare(), Delete(NEW)), (Copy(LEGACY),))
    ),
}


@pytest.mark.parametrize("name", SCOPES)
def test_no_order_brings_an_erasure_back_or_loses_a_write(name: str) -> None:
    """Whoever copies, and whenever the comparison begins and ends."""
    assert explore(SCOPES[name]) is None


def any_phase(history: list[dict[str, Any]]) -> str | None:
    """Mutant: a comparison of another phase counts."""
    return proof(
        [{**each, "phase": "cut_over"} for each in history if each["kind"] not in {"begun", "phase"}]
    )


def any_comparison(history: list[dict[str, Any]]) -> str | None:
    """Mutant: a comparison that found a difference counts."""
    for each in history:
        if "comparison" in each:
            each["comparison"]["wrong"] = 0
    return proof(history)


def never(_history: list[dict[str, Any]]) -> str | None:
    """Mutant: whatever is absent is a gap."""
    return None


def only_created(source: ObjectState, destination: ObjectState | None, proven_at: str | None) -> bool:
    """Mutant: a change of the metadata does not count as a write."""
    return destination is None and proven_at is not None and is_later(proven_at, source.created)


@pytest.mark.parametrize("mutant", [any_phase, any_comparison, never], ids=lambda mutant: mutant.__name__)
def test_another_proof_is_found_out(mutant: Callable[[list[dict[str, Any]]], str | None]) -> None:
    """In at least one of the scopes."""
    assert any(explore(Scope(scope.threads, mutant)) for scope in SCOPES.values())


def test_a_rule_that_asks_for_the_creation_only_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The change came after the erasure: it is the last write."""
    monkeypatch.setattr(shared.decision, "was_erased", only_created)
    assert explore(SCOPES["its metadata changed after the erasure"])
