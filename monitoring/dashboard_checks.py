"""Whether the dashboard's tiles lie on the grid and beside each other, and show what exists in a form that is allowed."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from monitoring.catalog import LEGEND, Catalog
from monitoring.files import Resource
from monitoring.log_filter_checks import log_filter_problems
from monitoring.query_checks import query_problems

__all__ = ["dashboard_problems"]


def dashboard_problems(dashboard: Resource, catalog: Catalog) -> Iterator[str]:
    """What is wrong with the dashboard, a sentence a fault."""
    layout = dashboard.content["mosaicLayout"]
    yield from _layout_problems(layout)
    ids = [tile["widget"]["id"] for tile in layout["tiles"] if "id" in tile["widget"]]
    if len(ids) != len(set(ids)):
        yield "two widgets have the same id"
    for tile in layout["tiles"]:
        widget = tile["widget"]
        for problem in _widget_problems(widget, catalog):
            yield f"{widget.get('id') or widget.get('title')}: {problem}"


def _layout_problems(layout: Mapping[str, Any]) -> Iterator[str]:
    taken: dict[tuple[int, int], int] = {}
    for number, tile in enumerate(layout["tiles"]):
        x, y, width, height = (int(tile.get(key, 0)) for key in ("xPos", "yPos", "width", "height"))
        name = tile["widget"].get("id") or tile["widget"].get("title") or f"tile {number}"
        if width < 1 or height < 1 or x < 0 or y < 0 or x + width > int(layout["columns"]):
            yield f"{name}: leaves the grid"
            continue
        cells = [(column, row) for column in range(x, x + width) for row in range(y, y + height)]
        if any(cell in taken for cell in cells):
            yield f"{name}: lies on another tile"
        taken.update(dict.fromkeys(cells, number))


def _widget_problems(widget: Mapping[str, Any], catalog: Catalog) -> Iterator[str]:
    if "logsPanel" in widget:
        yield from log_filter_problems(widget["logsPanel"].get("filter", ""))
        if not widget["logsPanel"].get("resourceNames"):
            yield "the panel names no project"
    if "scorecard" in widget:
        card = widget["scorecard"]
        yield from query_problems(card["timeSeriesQuery"], catalog)
        for threshold in card.get("thresholds", ()):
            if "targetAxis" in threshold or not {"color", "direction"} <= threshold.keys():
                yield "a scorecard's threshold has a colour and a direction, and no axis"
    if "xyChart" in widget:
        chart = widget["xyChart"]
        for threshold in chart.get("thresholds", ()):
            if threshold.keys() & {"color", "direction"}:
                yield "a chart's threshold has neither colour nor direction"
        for one in chart["dataSets"]:
            yield from query_problems(one["timeSeriesQuery"], catalog)
            yield from _legend_problems(one)


def _legend_problems(data_set: Mapping[str, Any]) -> Iterator[str]:
    grouped = (
        data_set["timeSeriesQuery"]
        .get("timeSeriesFilter", {})
        .get("aggregation", {})
        .get("groupByFields", [])
    )
    kept = {re.sub(r'labels?\.|"', "", name) for name in grouped}
    for subject, label in LEGEND.findall(data_set.get("legendTemplate", "")):
        if f"{subject}.{label}" not in kept:
            yield f"the legend names {subject} label {label}, by which nothing is grouped"
