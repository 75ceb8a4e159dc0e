"""Renders the preview: one self-contained HTML text without any script, in the look of the project's other pages.

Everything that comes from a log is escaped. The page's own policy allows its style sheet by its hash and nothing else; tiles get their
places by rules of that sheet, for a style attribute would be refused.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from monitoring.preview.queries import Window
from monitoring.preview.tiles import Tile
from shared.report import figures
from shared.report.names import visible
from shared.report.page import source_hash

__all__ = ["ROW", "render"]

ROW = 17
"""Pixels of one row of the dashboard's grid."""

GAP = 5
"""Pixels between a tile and its place's edge."""


def render(
    title: str,
    tiles: Sequence[Tile],
    window: Window,
    *,
    columns: int,
    entries: int,
    strangers: Mapping[str, int],
) -> str:
    """Render the page.

    Args:
        title: The dashboard's name.
        tiles: Its tiles.
        window: When.
        columns: Of the dashboard's grid.
        entries: Lines read.
        strangers: Lines left out, by why.
    """
    sheets = _file("shared.report", "page.css") + _file("monitoring.preview", "preview.css")
    style = Markup(sheets + _places(tiles, columns))  # noqa: S704 -- our own files and numbers
    ends = [datetime.fromtimestamp(at, UTC) for at in (window.start, window.ends[-1])]
    return (
        _environment()
        .get_template("preview.html")
        .render(
            title=title,
            # What lies above comes first, also for who reads the page without its grid.
            tiles=sorted(tiles, key=lambda tile: (tile.y, tile.x)),
            style=style,
            policy=f"default-src 'none'; style-src '{source_hash(style)}'; img-src data:; base-uri 'none'; form-action 'none'",
            start=f"{ends[0]:%Y-%m-%d %H:%M:%S}",
            end=f"{ends[1]:%Y-%m-%d %H:%M:%S}",
            start_clock=f"{ends[0]:%H:%M:%S}",
            end_clock=f"{ends[1]:%H:%M:%S}",
            step=window.step,
            entries=entries,
            strangers=sorted(strangers.items()),
        )
    )


def _places(tiles: Sequence[Tile], columns: int) -> str:
    """The dashboard's grid, where a window is wide enough for it."""
    rules = [
        f"#{tile.name}{{grid-area:{tile.y + 1}/{tile.x + 1}/span {tile.height}/span {tile.width}}}"
        for tile in tiles
    ]
    grid = f".grid{{grid-template-columns:repeat({columns},minmax(0,1fr));grid-auto-rows:{ROW}px;gap:0}}"
    return f"@media (min-width:1000px){{{grid}.grid>*{{margin:{GAP}px!important}}{''.join(rules)}}}"


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("monitoring.preview"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: (
            visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=figures.count,
        seconds=figures.seconds,
        markdown=_markdown,
        clock=lambda at: f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}",
    )
    return environment


def _markdown(text: str) -> Markup:
    """Bold, code and links, which is all that the dashboard's texts use; a link that is no address keeps its text only."""
    shown: Any = str(escape(visible(" ".join(text.split()))))
    shown = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", shown)
    shown = re.sub(r"`(.+?)`", r"<code>\1</code>", shown)
    shown = re.sub(r"\[([^\]]+)\]\((https://[^)\s]+)\)", r'<a href="\2">\1</a>', shown)
    return Markup(re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"\1 (<code>\2</code>)", shown))  # noqa: S704 -- escaped above


@functools.cache
def _file(package: str, name: str) -> str:
    return files(package).joinpath("templates", name).read_text(encoding="utf-8")
