"""What a person erased stays erased, and no gap is taken for an erasure: every order of a few acts, and mutants of the rule."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from race_erased import LEGACY, NEW, Compare, Copy, Delete, Erase, Move, Patch, Scope, Write, explore, proof
from race_explorer import IN_DEPTH

import shared.decision
from backfill_job.deletion.erasing import _Contents
from backfill_job.deletion.traces import Trace, Traces
from shared.decision import ErasedBefore
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

BY_NAME = {
    "by name, before the cutover": Scope(((Write(LEGACY), Copy(LEGACY), Erase()), (Copy(LEGACY),))),
    "by name, while a writer writes": Scope(
        ((Write(LEGACY), Erase(), CUT), (Write(LEGACY),), (Copy(LEGACY),))
    ),
    "by name, after the cutover": Scope(
        ((CUT, Write(NEW), Copy(NEW), Erase()), (Copy(LEGACY),), (Copy(NEW),))
    ),
    "by name, while the operator cuts over": Scope(
        ((Write(LEGACY), Copy(LEGACY), Erase()), (CUT,), (Copy(LEGACY),))
    ),
    "by name, and then a rollback": Scope(
        ((Write(LEGACY), Copy(LEGACY), CUT, Erase(), BACK), (Copy(NEW), Copy(LEGACY)))
    ),
}
"""A person runs the command ``erasure``. The copiers are those of before, between and after."""
SCOPES |= BY_NAME
LARGE = Scope(((Write(LEGACY), Copy(LEGACY), CUT, Erase()), (Compare(),), (Copy(LEGACY),)))


@pytest.mark.parametrize("name", SCOPES)
def test_no_order_brings_an_erasure_back_or_loses_a_write(name: str) -> None:
    """Whoever copies, and whenever the comparison begins and ends."""
    assert explore(SCOPES[name]) is None


@pytest.mark.skipif(not IN_DEPTH, reason="takes seconds: make test-deep")
def test_no_order_with_a_comparison_brings_back_what_was_erased_by_name() -> None:
    """The comparison begins before, during and after the erasure."""
    assert explore(LARGE) is None


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


def only_created(source: ObjectState, destination: ObjectState | None, erased: ErasedBefore) -> bool:
    """Mutant: a change of the metadata does not count as a write."""
    return destination is None and erased.absent is not None and is_later(erased.absent, source.created)


@pytest.mark.parametrize("mutant", [any_phase, any_comparison, never], ids=lambda mutant: mutant.__name__)
def test_another_proof_is_found_out(mutant: Callable[[list[dict[str, Any]]], str | None]) -> None:
    """In at least one of the scopes."""
    assert any(explore(Scope(scope.threads, mutant)) for scope in SCOPES.values())


def test_a_rule_that_asks_for_the_creation_only_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The change came after the erasure: it is the last write."""
    monkeypatch.setattr(shared.decision, "was_erased", only_created)
    assert explore(SCOPES["its metadata changed after the erasure"])


TELLING = [SCOPES["by name, while a writer writes"], SCOPES["by name, and then a rollback"]]
"""The scopes that find the mutants of the command."""


@pytest.mark.parametrize("change", [{"records": False}, {"waits": False}], ids=["no record", "no wait"])
def test_an_erasure_without_its_record_or_its_wait_is_found_out(change: dict[str, bool]) -> None:
    """A copier that does not know of it brings the name back."""
    assert any(explore(replace(scope, **change)) for scope in TELLING)


def only_generations(self: Any, trace: Trace) -> bool:
    """Mutant: a copy that was under way is taken for a later write."""
    return trace.state in self._seen.get(trace.name, ())


def everything(_self: Any, _trace: Trace) -> bool:
    """Mutant: a writer's new object is erased, too."""
    return True


def with_later_writes(_self: Any, found: Traces) -> tuple[Trace, ...]:
    """Mutant: the moment that covers a young copy covers a later write, too."""
    return found.data


def nothing_more(_self: Any, _found: Traces) -> tuple[Trace, ...]:
    """Mutant: the moment on record does not cover a copy that was under way."""
    return ()


@pytest.mark.parametrize(
    ("method", "mutant"),
    [
        ("have", only_generations),
        ("have", everything),
        ("without_later_writes", with_later_writes),
        ("without_later_writes", nothing_more),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_another_erasure_is_found_out(method: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In at least one of the scopes."""
    monkeypatch.setattr(_Contents, method, mutant)
    assert any(map(explore, TELLING))


def only_where_absent(source: ObjectState, destination: ObjectState | None, erased: ErasedBefore) -> bool:
    """Mutant: what was erased by name is still copied onto another object, and the copy is young."""
    both = (erased.absent, erased.by_name)
    return destination is None and any(each and is_later(each, source.created) for each in both)


def test_an_erased_name_that_is_copied_again_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The young copy on the path that follows comes back to the path that decides."""
    monkeypatch.setattr(shared.decision, "was_erased", only_where_absent)
    assert any(map(explore, TELLING))
