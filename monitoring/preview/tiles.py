"""Fills the dashboard's tiles from a log, and places a chart's lines and stacked bars in a drawing 100 units wide and high. Pure.

A figure is the one at the log's end. Where the time that it looks back on has no line, the last figure is shown with its moment. Charts
have steps as short as the log needs; in a project a step is at least a minute.

A module of its own although only the command imports it: it makes values that tests compare, and the command makes HTML of them.
"""

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from monitoring import log_filter
from monitoring.preview.entries import LogEntry
from monitoring.preview.queries import ChartLine, PointSource, Window, is_local, lines, trailing
from monitoring.query import LEGEND
from shared.errors import UsageError
from shared.report import figures

__all__ = [
    "COLOURS",
    "Card",
    "Chart",
    "Drawing",
    "Header",
    "Key",
    "LogLines",
    "Nothing",
    "Rectangle",
    "Section",
    "Series",
    "TextTile",
    "Tile",
    "TileGroup",
    "clock",
    "place_series",
    "round_end",
    "sections",
    "tiles",
    "window_of",
]

COLOURS = 8
"""Series of one chart with a colour of their own; the style sheet defines as many."""

GAP = 0.15
"""Part of a bar's place that stays empty."""


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn in one colour: bars stacked on the others', or a line. A step without a value has None."""

    values: tuple[float | None, ...]
    stacked: bool


@dataclass(frozen=True, slots=True)
class Rectangle:
    """One rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """A whole drawing, and the axis's end.

    Attributes:
        paths: SVG paths of lines, with their colours.
        marks: Heights of the horizontal marks that lie within the axis.
    """

    end: float
    bars: tuple[Rectangle, ...]
    paths: tuple[tuple[str, int], ...]
    marks: tuple[float, ...]


def place_series(series: Sequence[Series], marks: Sequence[float] = ()) -> Drawing:
    """Place series of the same length, in the order of their colours, and horizontal marks at the values `marks`."""
    steps = len(series[0].values) if series else 1
    stacks = [sum(one.values[step] or 0.0 for one in series if one.stacked) for step in range(steps)]
    heights = [value for one in series if not one.stacked for value in one.values if value is not None]
    end = round_end(max([*stacks, *heights, 0.0]))
    width, bars, paths = 100 / steps, list[Rectangle](), list[tuple[str, int]]()
    floors = [0.0] * steps
    for number, one in enumerate(series):
        colour = number % COLOURS
        if not one.stacked:
            paths.append((_path(one.values, width, end), colour))
            continue
        for step, value in enumerate(one.values):
            if value:
                height = 100 * value / end
                top = 100 - 100 * floors[step] / end - height
                left, across = (step + GAP / 2) * width, width * (1 - GAP)
                bars.append(Rectangle(_short(left), _short(top), _short(across), _short(height), colour))
                floors[step] += value
    within = tuple(_short(100 - 100 * at / end) for at in marks if at <= end)
    return Drawing(end, tuple(bars), tuple(paths), within)


def round_end(highest: float) -> float:
    """The least of 1, 2, 5, 10, 20 … and their tenths that is not below `highest`; 1 for zero."""
    if highest < sys.float_info.min:  # smaller numbers have no power of ten
        return 1.0
    size = 10.0 ** math.floor(math.log10(highest))
    return next(size * factor for factor in (1, 2, 5, 10, 20) if size * factor >= highest)


def _path(values: Sequence[float | None], width: float, end: float) -> str:
    """Moves to a value after a gap, and draws to a value after a value; one alone is a dot."""
    parts = []
    before: float | None = None
    for step, value in enumerate(values):
        if value is not None:
            at = f"{_short((step + 0.5) * width)} {_short(100 - 100 * value / end)}"
            parts.append(f"L{at}" if before is not None else f"M{at}h.01")
        before = value
    return "".join(parts)


def _short(number: float) -> float:
    return round(number, 2)


STEPS = (1, 2, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400)
MOST_STEPS = 60
MOST_LINES = 100

ELSEWHERE = "Counted by Google Cloud itself: only in a project."
NO_LINE = "No such line in this log."

_TONES = {"RED": "bad", "YELLOW": "attention"}


@dataclass(frozen=True, slots=True)
class TextTile:
    """Markdown."""

    markdown: str


@dataclass(frozen=True, slots=True)
class Header:
    """A question that the tiles below it answer."""

    subtitle: str


@dataclass(frozen=True, slots=True)
class TileGroup:
    """Folds the tiles within its area: at first, if `collapsed`."""

    collapsed: bool


@dataclass(frozen=True, slots=True)
class Nothing:
    """The reason why nothing is drawn."""

    why: str


@dataclass(frozen=True, slots=True)
class Card:
    """One figure, as a person reads it.

    Attributes:
        tone: ``bad``, ``attention`` or empty.
        note: The figure's moment, where that is not the log's end.
        spark: The figures before it; None where there is one figure only.
    """

    figure: str
    tone: str
    note: str
    spark: Drawing | None


@dataclass(frozen=True, slots=True)
class Key:
    """A line of a legend."""

    colour: int
    name: str
    figure: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Series over time, with what the axis counts, its end and its middle in words.

    Attributes:
        notes: What is not drawn, and where thresholds lie.
    """

    drawing: Drawing
    axis: str
    top: str
    middle: str
    keys: tuple[Key, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogLines:
    """Entries, the newest first, and the number of older ones that are left out."""

    entries: tuple[LogEntry, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Tile:
    """A widget at its place in the grid."""

    name: str
    x: int
    y: int
    width: int
    height: int
    title: str
    content: TextTile | Header | TileGroup | Nothing | Card | Chart | LogLines


@dataclass(frozen=True, slots=True)
class Section:
    """A header or a group with the tiles below it.

    Attributes:
        head: Its `Header` or `TileGroup`; None for the strip on top.
        rows: The tiles that show something, from the top and from the left.
        empty: The others, which the page only names.
    """

    head: Tile | None
    rows: tuple[tuple[Tile, ...], ...]
    empty: tuple[Tile, ...]


def sections(found: Sequence[Tile]) -> list[Section]:
    """Part the tiles at every header and at every group, in the order of a reader."""
    parts: list[tuple[Tile | None, list[Tile]]] = [(None, [])]
    ordered = sorted(found, key=lambda tile: (tile.y, not isinstance(tile.content, TileGroup), tile.x))
    for tile in ordered:
        head = parts[-1][0]
        if isinstance(tile.content, Header | TileGroup):
            parts.append((tile, []))
            continue
        if head and isinstance(head.content, TileGroup) and tile.y >= head.y + head.height:
            parts.append((None, []))
        parts[-1][1].append(tile)
    return [_section(head, below) for head, below in parts if head or below]


def _section(head: Tile | None, below: Sequence[Tile]) -> Section:
    rows: dict[int, list[Tile]] = {}
    for tile in below:
        if not isinstance(tile.content, Nothing):
            rows.setdefault(tile.y, []).append(tile)
    empty = tuple(tile for tile in below if isinstance(tile.content, Nothing))
    return Section(head, tuple(map(tuple, rows.values())), empty)


def window_of(entries: Sequence[LogEntry]) -> Window:
    """From the first entry to the last, in round steps, at most `MOST_STEPS` where a step may be a day."""
    first, last = entries[0].at, entries[-1].at
    step = next((step for step in STEPS if (last - first) / step < MOST_STEPS), STEPS[-1])
    start = first // step * step
    return Window(start, max(1, -int(-(last - start) // step)), float(step))


def tiles(
    dashboard: Mapping[str, Any], source: PointSource, entries: Sequence[LogEntry], window: Window
) -> list[Tile]:
    """Fill every tile of a dashboard's content from the log's points, and its panels from the entries.

    Raises:
        UsageError: A widget cannot be drawn.
    """
    found = []
    for number, tile in enumerate(dashboard["mosaicLayout"]["tiles"]):
        widget = tile["widget"]
        x, y, width, height = (int(tile.get(key, 0)) for key in ("xPos", "yPos", "width", "height"))
        content = _content(widget, source, entries, window)
        name, title = widget.get("id", f"part-{number}"), widget.get("title", "")
        found.append(Tile(name, x, y, width, height, title, content))
    return found


def _content(
    widget: Mapping[str, Any], source: PointSource, entries: Sequence[LogEntry], window: Window
) -> TextTile | Header | TileGroup | Nothing | Card | Chart | LogLines:
    match widget:
        case {"text": text}:
            return TextTile(text["content"])
        case {"sectionHeader": header}:
            return Header(header.get("subtitle", ""))
        case {"collapsibleGroup": group}:
            return TileGroup(group.get("collapsed", False))
        case {"scorecard": card}:
            return _card(card, source, window)
        case {"xyChart": chart}:
            return _chart(chart, source, window)
        case {"logsPanel": panel}:
            return _log_lines(panel["filter"], entries)
        case {"incidentList": _}:
            return Nothing("Alert policies are evaluated in a project only.")
    name = widget.get("id") or widget.get("title")
    raise UsageError(f"dashboard.yaml: {name}: this widget cannot be drawn")


def _card(card: Mapping[str, Any], source: PointSource, window: Window) -> Card | Nothing:
    query = card["timeSeriesQuery"]
    if not is_local(query, source):
        return Nothing(ELSEWHERE)
    whole = query.get("outputFullDuration", False)
    values = _values(query, source, window, whole=whole)
    known = [step for step, value in enumerate(values) if value is not None]
    if not known:
        return Nothing(NO_LINE)
    value = values[known[-1]] or 0.0
    if whole:
        once = Window(window.start, 1, window.step * window.steps)
        value = lines(query, source, once)[0].values[0] or 0.0
    passed = [one for one in card.get("thresholds", ()) if value > one.get("value", 0)]
    tone = _TONES[max(passed, key=lambda one: one.get("value", 0))["color"]] if passed else ""
    late = not whole and known[-1] < window.steps - 1
    note = f"at {clock(window.ends[known[-1]])}, none since" if late else ""
    spark = (
        place_series([Series(values, stacked=False)])
        if "sparkChartView" in card and len(values) > 1
        else None
    )
    return Card(_figure(_unit(query))(value), tone, note, spark)


def _values(
    query: Mapping[str, Any], source: PointSource, window: Window, *, whole: bool
) -> tuple[float | None, ...]:
    """A figure's values at every step: its growth, or what it looks back on."""
    if not whole and "prometheusQuery" not in query:
        return trailing(query, source, window)
    found = lines(query, source, window)
    if not found:
        return ()
    return tuple(value or 0.0 for value in found[0].values) if whole else found[0].values


def _chart(chart: Mapping[str, Any], source: PointSource, window: Window) -> Chart | Nothing:
    series: list[Series] = []
    keys: list[Key] = []
    notes: list[str] = []
    label = chart.get("yAxis", {}).get("label", "")
    unit = "s" if label == "seconds" else ""
    for one in chart["dataSets"]:
        query, stacked = one["timeSeriesQuery"], one["plotType"] == "STACKED_BAR"
        template = one.get("legendTemplate", "")
        if not is_local(query, source):
            name = LEGEND.sub("", template).strip()
            notes.append(f"{name}: {ELSEWHERE}" if name else ELSEWHERE)
            continue
        unit = _unit(query) or unit
        for line in lines(query, source, window):
            values = [value for value in line.values if value is not None]
            # Bars of zero say nothing; a line at zero does.
            if stacked and not any(values):
                continue
            total = _figure(unit)(sum(values) if stacked else values[-1])
            name = _legend(template, line)
            keys.append(Key(len(keys) % COLOURS, name, total if stacked else f"last {total}"))
            series.append(Series(line.values, stacked))
    if not series:
        local = len(notes) < len(chart["dataSets"])
        return Nothing(" ".join([NO_LINE, *notes]) if local else ELSEWHERE)
    figure = _figure(unit)
    marks = [(one.get("label", "threshold"), float(one["value"])) for one in chart.get("thresholds", ())]
    drawing = place_series(series, [value for _, value in marks])
    notes += [f"{name} at {figure(value)}" for name, value in marks]
    return Chart(drawing, label, figure(drawing.end), figure(drawing.end / 2), tuple(keys), tuple(notes))


def _legend(template: str, line: ChartLine) -> str:
    return LEGEND.sub(lambda match: line.labels.get(f"{match[1]}.{match[2]}") or "(none)", template)


def _log_lines(text: str, entries: Iterable[LogEntry]) -> LogLines | Nothing:
    wanted = log_filter.parse(text)
    found = [entry for entry in entries if log_filter.matches(wanted, entry.tree())][::-1]
    if not found:
        return Nothing(NO_LINE)
    return LogLines(tuple(found[:MOST_LINES]), max(0, len(found) - MOST_LINES))


def _unit(query: Mapping[str, Any]) -> str:
    return str(query.get("unitOverride", ""))


def _figure(unit: str) -> Callable[[float], str]:
    match unit:
        case "s":
            return figures.seconds
        case "By":
            return lambda value: figures.byte_count(round(value))
        case "%":
            return lambda value: f"{value:.1f} %"
        case "1/s":
            return lambda value: f"{value:,.1f}/s"
        case "{finding}":
            return lambda value: figures.counted(round(value), "finding")
    return lambda value: f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def clock(at: float) -> str:
    """The time of day of a moment in seconds since 1970, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"
