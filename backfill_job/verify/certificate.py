"""The certificate: what both sides held when they were compared, in a form that a second person can recompute.

It has two parts. ``data`` is what Cloud Storage said. It names the two locations and the version of the layouts, which give an object
its day. For every day and side it has the objects, bytes, JSONL files and the digest (``backfill_job.verify.day_counts``).
Names that match one of ``excludes`` are left out. Where one location is a whole bucket, so are names in ``_migration/``.
Any program that lists the same objects computes the same ``data``
and the same ``data_sha256``: the SHA-256 of its canonical JSON. That is UTF-8 with keys sorted by code point, no spaces,
integers in decimal, and only the escapes that JSON demands. ``run`` says who compared, when, and with which result.

The legacy and the new path hold the same names, sizes and checksums exactly when each day has equal figures on both sides.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from msgspec import to_builtins

from backfill_job.verify.day_counts import DayCounts
from shared.errors import UsageError
from shared.json_io import OTHER_FORM, convert, parse_format, reason, shown_value
from shared.migration import Location, Migration
from shared.partitions import LAYOUTS_VERSION
from shared.verification import NO_OBJECTS, Day, Side

__all__ = ["FORMAT", "Certificate", "canonical", "certificate", "changes", "data_of", "read_certificate"]

FORMAT = "qpi-exports-migration/certificate/1"

UNDATED = "undated"


def canonical(content: Mapping[str, Any]) -> bytes:
    """Canonical JSON; see the top of this file."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def data_of(migration: Migration, counts: DayCounts) -> dict[str, Any]:
    """The part of a certificate that depends only on the objects."""
    days = {
        (day.isoformat() if day else UNDATED): _sides(count)
        for day, count in counts.days.items()
        if count.source.objects or count.destination.objects
    }
    return {
        "source": migration.source.uri,
        "destination": migration.destination.uri,
        "excludes": sorted(migration.excludes),
        "layouts": LAYOUTS_VERSION,
        "days": days,
        "total": _sides(counts.total()),
    }


def certificate(data: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a certificate; `canonical` gives its bytes.

    Args:
        data: See `data_of`.
        run: Who compared, when, and with which result.
    """
    return {
        "format": FORMAT,
        "data": dict(data),
        "data_sha256": sha256(canonical(data)).hexdigest(),
        "run": dict(run),
    }


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was read and is unchanged since it was written; see the top of this file."""

    migration: Migration
    data: Mapping[str, Any]
    data_sha256: str
    run: Mapping[str, Any]


def read_certificate(contents: bytes, name: str) -> Certificate:
    """Read a certificate.

    Args:
        contents: The file's.
        name: The file's, for errors.

    Raises:
        UsageError: It is not a certificate, or it was changed since it was written.
    """
    content = parse_format(contents, name, "certificate", FORMAT)
    try:
        data, stated, run = content["data"], content["data_sha256"], content["run"]
        migration = Migration(
            Location.parse(data["source"]), Location.parse(data["destination"]), tuple(data["excludes"])
        )
        for sides in (*data["days"].values(), data["total"]):
            _check_sides(sides)
        actual = sha256(canonical(data)).hexdigest()
        run = dict(run)
    except (*OTHER_FORM, UsageError) as error:
        raise UsageError(f"{name} is a damaged certificate ({reason(error)})") from error
    # A certificate without the field was made when there was only version 1.
    if (layouts := data.get("layouts", 1)) != LAYOUTS_VERSION:
        raise UsageError(
            f"{name} counts its days by version {shown_value(layouts)} of the layouts; this program counts by version "
            f"{LAYOUTS_VERSION}. Check it with the program that made it, or certify anew"
        )
    if stated != actual:
        raise UsageError(
            f"{name} was changed since it was written: its data has the SHA-256 {actual}, it states {shown_value(stated)}"
        )
    return Certificate(migration, data, actual, run)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say which days' figures are not what they were.

    Args:
        before: A certificate's data.
        now: The data as it is now, of the same migration.

    Returns:
        A line for each day and side that differs, in order; empty when nothing differs.
    """
    none: dict[str, Any] = {side: to_builtins(NO_OBJECTS) for side in ("source", "destination")}
    lines = []
    for day in sorted({*before["days"], *now["days"]}):
        old, new = before["days"].get(day, none), now["days"].get(day, none)
        lines += [
            f"{day} {side}: {_said(old[side])} then, {_said(new[side])} now"
            for side in ("source", "destination")
            if old[side] != new[side]
        ]
    return lines


def _sides(day: Day) -> dict[str, Any]:
    return {"source": to_builtins(day.source), "destination": to_builtins(day.destination)}


def _check_sides(sides: Mapping[str, Any]) -> None:
    for side in ("source", "destination"):
        convert(Side, sides[side])


def _said(side: Mapping[str, Any]) -> str:
    return f"{side['objects']:,} objects, {side['bytes']:,} bytes, digest {side['digest'][:12]}…"
