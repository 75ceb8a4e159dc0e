"""``docs/security.md`` says what the code grants."""

import re
from pathlib import Path

from backfill_job.rights import RIGHTS, Area, Part

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()


def test_who_may_delete_what_is_what_the_rights_say() -> None:
    """Row by row; a right that is granted anew has to be thought about here, too."""
    rows = dict(re.findall(r"^\| `([a-z]+)` \| (.*) \|$", TEXT, re.MULTILINE))
    granted = {
        part.value: {
            right.area.value
            for right in RIGHTS
            if right.part is part and "storage.objects.delete" in right.role.permissions
        }
        for part in Part
    }
    assert {part: set(places.split("; ")) - {"nothing"} for part, places in rows.items()} == granted
    assert all(
        area.value in {place for places in granted.values() for place in places}
        for area in Area
        if not area.is_bucket and area is not Area.RECORDS  # which the parts only read
    )


def test_every_test_it_names_is_there() -> None:
    """A stop without its test is a wish."""
    named = set(re.findall(r"`(?:tests/[a-z_]+/)?(test_[a-z_]+\.py)`", TEXT))
    assert len(named) >= 6
    assert named <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}
