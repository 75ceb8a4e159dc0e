"""What surrounds the rule, under every interleaving of small scopes: no claim of ``race_record`` breaks."""

import pytest
from race_explorer import IN_DEPTH
from race_record_scopes import DEEP, LIMITS, SCOPES, explored

import shared.phase


@pytest.fixture(autouse=True)
def _one_more_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader reads once more where a change is under way: more reads add states, and nothing new."""
    monkeypatch.setattr(shared.phase, "PAUSES", (0.0,))


@pytest.mark.parametrize("name", [name for name in SCOPES if name not in DEEP])
def test_nothing_is_lost_and_nothing_is_done_in_doubt(name: str) -> None:
    """Every claim of the scope holds."""
    found = explored(SCOPES[name])
    assert found.wrong is None, f"\n{found}"


@pytest.mark.xfail(reason="known limits, docs/races.md")
@pytest.mark.parametrize("name", LIMITS)
def test_known_limits(name: str) -> None:
    """Two parts of the record lost at once; a copy that hangs across a deletion."""
    found = explored(LIMITS[name])
    assert found.wrong is None, f"\n{found}"


@pytest.mark.skipif(not IN_DEPTH, reason="takes minutes and gigabytes: make test-deep")
@pytest.mark.parametrize("name", sorted(DEEP))
def test_larger_scopes_hold_too(name: str) -> None:
    """The same claims."""
    found = explored(SCOPES[name])
    assert found.wrong is None, f"\n{found}"
