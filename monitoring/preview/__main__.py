"""Draws the dashboard from the log lines of a local run, before there is a project.

    python -m monitoring.preview demo-report/*.log --out dashboard.html

Takes the JSON lines of the commands (``--log-format json``) and of the mirror, and the commands' log files. Metrics are counted as Cloud
Logging would count them, by the same files that `python -m monitoring.apply` puts into a project.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monitoring.catalog import Catalog
from monitoring.files import load, user_metric
from monitoring.preview.entries import read_log
from monitoring.preview.page import render
from monitoring.preview.points import points
from monitoring.preview.promql_values import Source
from monitoring.preview.tiles import tiles, window_of
from shared.command_line import OneLineParser, as_program, one_line
from shared.errors import UsageError

__all__ = ["draw", "main"]

CANNOT_START = 2


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
            raise UsageError(
                f"{arguments.out} cannot be written: {error.strerror}; choose another --out"
            ) from error
    except UsageError as error:
        sys.stderr.write(f"monitoring.preview: {one_line(str(error))}\n")
        return CANNOT_START
    sys.stdout.write(f"{arguments.out}\n")
    return 0


def draw(logs: Sequence[Path]) -> str:
    """The page for log files.

    Raises:
        UsageError: One cannot be read, or none has a line of this project's log.
    """
    log = read_log(logs)
    resources = load(log.values.by_name())
    source = Source(
        points(resources.metrics, log.entries),
        Catalog.of(resources.metrics),
        {user_metric(metric.content["name"]): _bounds(metric.content) for metric in resources.metrics},
    )
    window, content = window_of(log.entries), resources.dashboard.content
    found = tiles(content, source, log.entries, window)
    columns = int(content["mosaicLayout"]["columns"])
    return render(
        content["displayName"],
        found,
        window,
        columns=columns,
        entries=len(log.entries),
        strangers=log.strangers,
    )


def _bounds(metric: Mapping[str, Any]) -> list[float]:
    """Upper bounds of a distribution's finite buckets, and of the one below them."""
    if "bucketOptions" not in metric:
        return []
    buckets = metric["bucketOptions"]["exponentialBuckets"]
    return [
        buckets["scale"] * buckets["growthFactor"] ** number
        for number in range(buckets["numFiniteBuckets"] + 1)
    ]


if __name__ == "__main__":
    sys.exit(as_program(main))
