"""Draws the dashboard from the log lines of a local run, before there is a project.

    python -m monitoring.preview demo-report/*.log --out dashboard.html

Takes the JSON lines of the commands (``--log-format json``) and of the mirror, and the commands' log files. Metrics are counted as Cloud
Logging would count them, by the same files that `python -m monitoring.apply` puts into a project.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from monitoring.files import load_files
from monitoring.preview.entries import read_log
from monitoring.preview.queries import PointSource
from monitoring.preview.tiles import LogLines, Section, clock, sections, tiles, window_of
from shared.command_line import OneLineParser, as_program, one_line
from shared.errors import UsageError
from shared.report.page import page_templates, source, source_hash
from shared.report.wording import visible

__all__ = ["draw", "main"]

CANNOT_START = 2

ROW = 17
"""Pixels of one row of the dashboard's grid."""

GAP = 10
"""Pixels between two tiles."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 where it cannot be done."""
    description, _, rest = (__doc__ or "").partition("\n\n")
    parser = OneLineParser(
        prog="python -m monitoring.preview",
        description=description,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOGFILE")
    parser.add_argument(
        "--out", type=Path, default=Path("dashboard.html"), metavar="FILE", help="default: dashboard.html"
    )
    arguments = parser.parse_args(argv)
    try:
        page = draw(arguments.logs)
        try:
            arguments.out.write_text(page, encoding="utf-8")
        except OSError as error:
            why = f"{arguments.out} cannot be written: {error.strerror}; choose another --out"
            raise UsageError(why) from error
    except UsageError as error:
        sys.stderr.write(f"monitoring.preview: {one_line(str(error))}\n")
        return CANNOT_START
    sys.stdout.write(f"{arguments.out}\n")
    return 0


def draw(logs: Sequence[Path]) -> str:
    """The page for log files: one self-contained HTML text without a script, in the look of the project's other pages.

    Everything from a log is escaped. The page's policy allows its style sheet by its hash and nothing else, so tiles get their places by
    rules of that sheet.

    Raises:
        UsageError: A file cannot be read, or none has a line of this project's log.
    """
    log = read_log(logs)
    resources = load_files(log.values.by_name())
    window, content = window_of(log.entries), resources.dashboard.content
    found = tiles(content, PointSource.of(resources.metrics, log.entries), log.entries, window)
    parts = sections(found)
    places = _places(parts, int(content["mosaicLayout"]["columns"]))
    style = source("page.css") + source("preview.css", "monitoring.preview") + Markup(places)  # noqa: S704 -- numbers
    start, end = (datetime.fromtimestamp(at, UTC) for at in (window.start, window.ends[-1]))
    templates = page_templates("monitoring.preview")
    templates.filters.update(markdown=_markdown, clock=clock)
    return templates.get_template("preview.html").render(
        title=content["displayName"],
        sections=parts,
        style=style,
        policy=f"default-src 'none'; style-src '{source_hash(style)}'; img-src data:; base-uri 'none'; form-action 'none'",
        start=f"{start:%Y-%m-%d %H:%M:%S}",
        end=f"{end:%Y-%m-%d %H:%M:%S}",
        start_clock=clock(window.start),
        end_clock=clock(window.ends[-1]),
        step=window.step,
        entries=len(log.entries),
        strangers=sorted(log.strangers.items()),
    )


def _places(parts: Sequence[Section], columns: int) -> str:
    """The tiles' sizes, where a window is wide enough; those of a row share the places of its empty ones, up to twice their width."""
    rules = []
    for tile in (tile for part in parts for row in part.rows for tile in row):
        height = f"{'max-' if isinstance(tile.content, LogLines) else ''}height:{tile.height * ROW - GAP}px"
        rules.append(
            f"#{tile.name}{{flex:{tile.width} {tile.width} 0;max-width:{200 * tile.width / columns:.4g}%;{height}}}"
        )
    return f"@media (min-width:1000px){{.row{{display:flex;gap:{GAP}px}}{''.join(rules)}}}"


def _markdown(text: str) -> Markup:
    """Bold, code and links, which is all that the dashboard's texts use; a link without an https address keeps its text only."""
    shown: Any = str(escape(visible(" ".join(text.split()))))
    shown = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", shown)
    shown = re.sub(r"`(.+?)`", r"<code>\1</code>", shown)
    shown = re.sub(r"\[([^\]]+)\]\((https://[^)\s]+)\)", r'<a href="\2">\1</a>', shown)
    return Markup(re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"\1 (<code>\2</code>)", shown))  # noqa: S704 -- escaped above


if __name__ == "__main__":
    sys.exit(as_program(main))
