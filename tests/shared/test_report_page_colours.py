"""The pages' colours against WCAG 2.2, computed from the style sheet: what axe cannot see in drawings and one-letter cells."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

import shared.report

STYLE = (Path(shared.report.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")


def palettes() -> dict[str, dict[str, str]]:
    """Custom properties by scheme; the dark one replaces some of the light one's."""
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in STYLE.split(":root {")[1:3]
    )
    return {"light": light, "dark": light | dark}


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


TEXTS = [
    *((ink, ground) for ink in ("ink", "quiet", "link") for ground in ("ground", "surface")),
    *((tone, f"{tone}-ground") for tone in ("good", "attention", "bad", "unknown")),
    *((tone, "surface") for tone in ("good", "attention", "bad", "unknown")),
    *(("quiet", f"{tone}-ground") for tone in ("good", "attention", "bad", "unknown")),
    ("differing-ink", "differing"),
    ("missing-ink", "missing"),
    ("flight-ink", "flight"),
    ("mark-ink", "mark"),
    ("ground", "ink"),
]
"""Text on its ground: 4.5 to 1 (success criterion 1.4.3)."""

SHAPES = [
    "shade-line", "differing", "missing", "flight-line", "strong-line", "bar-source", "bar-destination", "focus",
]  # fmt: skip
"""What a drawing or control needs to be recognized, on the surface: 3 to 1 (success criterion 1.4.11)."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_on_its_ground(scheme: str) -> None:
    """Letters in the calendar's cells and verdicts on their banners included."""
    colours = palettes()[scheme]
    weak = {pair: round(contrast(*(colours[name] for name in pair)), 2) for pair in TEXTS}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_shape_stands_out_from_the_surface(scheme: str) -> None:
    """Each cell by its border or its ground, each bar, the edge of each control, the focus."""
    colours = palettes()[scheme]
    weak = {name: round(contrast(colours[name], colours["surface"]), 2) for name in SHAPES}
    assert {name: ratio for name, ratio in weak.items() if ratio < 3} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_shades_and_states_differ_in_lightness_too(scheme: str) -> None:
    """The steps of equal days go one way, and the states can be told apart without seeing any hue."""
    colours = palettes()[scheme]
    steps = [luminance(colours[f"s{step}"]) for step in (1, 2, 3, 4)]
    assert steps in (sorted(steps), sorted(steps, reverse=True))
    assert all(contrast(colours[f"s{step}"], colours[f"s{step + 1}"]) > 1.3 for step in (1, 2, 3))
    states = [colours["differing"], colours["missing"], colours["flight"]]
    lightness = sorted(map(luminance, states))
    assert all(after - before > 0.05 for before, after in pairwise(lightness))
