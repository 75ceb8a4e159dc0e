"""The certificate: what both sides held when they were compared, in a form that a second person can recompute.

It has two parts. ``data`` is what Cloud Storage said: the two locations, and for every day and side the objects, bytes, JSONL
files and the digest (``backfill_job.tallies``). Whoever lists the same objects comes to the same ``data``, whatever program
lists them, and so to the same ``data_sha256``: the SHA-256 of its canonical JSON, which is UTF-8 with keys sorted by code point,
no spaces, integers in decimal, and no escapes but those that JSON demands. ``run`` is who compared when, and with which result.

The legacy and the new path hold the same names, sizes and checksums exactly when each day has equal figures on both sides.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from backfill_job.tallies import DayTally, SideTally, Tallies
from shared.errors import UsageError
from shared.migration import Location, Migration
from shared.strict_json import OTHER_FORM, parse_json, reason, shown_value

__all__ = ["FORMAT", "Certificate", "canonical", "certificate", "changes", "data_of", "read_certificate"]

FORMAT = "qpi-exports-migration/certificate/1"

UNDATED = "undated"


def canonical(content: Mapping[str, Any]) -> bytes:
    """Canonical JSON; see the top of this file."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def data_of(migration: Migration, tallies: Tallies) -> dict[str, Any]:
    """The part of a certificate that depends on nothing but the objects."""
    days = {
        (day.isoformat() if day else UNDATED): _sides(tally)
        for day, tally in tallies.days.items()
        if tally.source.objects or tally.destination.objects
    }
    return {
        "source": migration.source.uri,
        "destination": migration.destination.uri,
        "excludes": sorted(migration.excludes),
        "days": days,
        "total": _sides(tallies.total()),
    }


def certificate(data: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Put a certificate together.

    Args:
        data: See `data_of`.
        run: Who compared, when, and what came out.

    Returns:
        Its content; `canonical` gives the bytes.
    """
    return {
        "format": FORMAT,
        "data": dict(data),
        "data_sha256": sha256(canonical(data)).hexdigest(),
        "run": dict(run),
    }


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was read, and is what it was when it was written.

    Attributes:
        migration: What it is about.
        data: What both sides held.
        data_sha256: Of the data.
        run: Who compared, when, and what came out.
    """

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
        UsageError: It is none, or it was changed since it was written.
    """
    try:
        content = parse_json(contents)
        found = content["format"]
    except OTHER_FORM as error:
        raise UsageError(f"{name} is no certificate ({reason(error)})") from error
    if found != FORMAT:
        raise UsageError(f"{name} has the format {shown_value(found)}; this program reads {FORMAT}")
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
        A line for each day and side that differs, in order; empty when all is the same.
    """
    none: dict[str, Any] = {side: SideTally().to_json() for side in ("source", "destination")}
    lines = []
    for day in sorted({*before["days"], *now["days"]}):
        old, new = before["days"].get(day, none), now["days"].get(day, none)
        lines += [
            f"{day} {side}: {_said(old[side])} then, {_said(new[side])} now"
            for side in ("source", "destination")
            if old[side] != new[side]
        ]
    return lines


def _sides(tally: DayTally) -> dict[str, Any]:
    return {"source": tally.source.to_json(), "destination": tally.destination.to_json()}


def _check_sides(sides: Mapping[str, Any]) -> None:
    for side in ("source", "destination"):
        SideTally.from_json(sides[side])


def _said(side: Mapping[str, Any]) -> str:
    return f"{side['objects']:,} objects, {side['bytes']:,} bytes, digest {side['digest'][:12]}…"
