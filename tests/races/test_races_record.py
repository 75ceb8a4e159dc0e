"""What surrounds the rule, under every interleaving of small scopes: no claim of ``race_record`` breaks."""

import pytest
from race_record_scopes import SCOPES, explored

import shared.phase


@pytest.fixture(autouse=True)
def _one_more_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader reads once more where a change is under way: more reads add states, and nothing new."""
    monkeypatch.setattr(shared.phase, "PAUSES", (0.0,))


@pytest.mark.parametrize("name", SCOPES)
def test_nothing_is_lost_and_nothing_is_done_in_doubt(name: str) -> None:
    """Every claim of the scope holds."""
    found = explored(SCOPES[name])
    assert found.wrong is None, f"\n{found}"
