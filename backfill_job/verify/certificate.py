"""The certificate: what both sides held when they were compared, in a form that a second person can recompute.

``data`` is what Cloud Storage said. It names the two locations and the version of the layouts, which give an object
its day. For every day and side it has the objects, bytes, JSONL files and the digest (``backfill_job.verify.day_counts``).
Names that match one of ``excludes`` are left out. Where one location is a whole bucket, so are names in ``_migration/``.
Any program that lists the same objects computes the same ``data``
and the same ``data_sha256``: the SHA-256 of its canonical JSON. That is UTF-8 with keys sorted by code point, no spaces,
integers in decimal, and only the escapes that JSON demands. ``run`` says who compared, when, and with which result.
``not_compared`` names what that comparison left out. ``fields_sha256`` is the SHA-256 of all other fields, in the same form.

The legacy and the new path hold the same names, sizes and checksums exactly when each day has equal figures on both sides.
So `Certificate.unequal_days` computes equality from the days. It is never read from a field.

The digests find accidents: a damaged file, or an edit by hand. They do not protect against forgery, because anybody can compute
them. Only the recomputation from the buckets shows that a certificate is true (``certify --check``,
``docs/recompute-certificate.sh``).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from typing import Any, Final, Literal

from msgspec import to_builtins

from backfill_job.verify.day_counts import DayCounts
from shared.errors import UsageError
from shared.json_io import Count, Sha256, decode, parse_format, shown_value
from shared.migration import Location, Migration
from shared.objects import LEFT_OUT, parse_time
from shared.partitions import LAYOUTS_VERSION
from shared.text import counted
from shared.verification import NO_OBJECTS, Sides, SideTotals, Verdict

__all__ = [
    "FORMAT",
    "Certificate",
    "CertifiedData",
    "CertifiedRun",
    "certificate",
    "data_of",
    "read_certificate",
]

FORMAT: Final = "qpi-exports-migration/certificate/2"

UNDATED = "undated"

_ADVICE = "the certificate is damaged or was edited; only what both paths hold can tell: run verify again"


@dataclass(frozen=True, slots=True)
class CertifiedData:
    """The part of a certificate that depends only on the objects; its fields are those of ``data``.

    Attributes:
        source: ``gs://bucket/prefix/``, as is the destination.
        days: By ISO date, or `UNDATED`; only those with objects.
    """

    source: str
    destination: str
    excludes: tuple[str, ...]
    layouts: Count
    days: Mapping[str, Sides]
    total: Sides

    @property
    def sha256(self) -> str:
        """Of its canonical JSON."""
        return _digest(to_builtins(self))

    @property
    def migration(self) -> Migration:
        """Which objects it is about."""
        return Migration(Location.parse(self.source), Location.parse(self.destination), self.excludes)


@dataclass(frozen=True, slots=True)
class CertifiedRun:
    """Who compared, when, and with which result; the times are RFC 3339.

    Attributes:
        clean: Whether the verification was clean; metadata and critical remarks count, too.
        counts: Names by verdict; every verdict is there.
        crc32c_alone: Equal names that only size and crc32c prove, because a side has no md5.
    """

    run: str
    started: str
    finished: str
    clean: bool
    counts: Mapping[Verdict, Count]
    crc32c_alone: Count = 0


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate; its fields are those of the file. See the top of this file.

    Attributes:
        data_sha256: Of `data`.
        not_compared: What the comparison left out, in words.
        fields_sha256: Of all other fields.
    """

    format: Literal["qpi-exports-migration/certificate/2"]
    data: CertifiedData
    data_sha256: Sha256
    not_compared: tuple[str, ...]
    run: CertifiedRun
    fields_sha256: Sha256

    @property
    def unequal_days(self) -> tuple[str, ...]:
        """The days on which the two sides are not equal, in order; empty when both sides are equal."""
        return tuple(
            day for day, sides in sorted(self.data.days.items()) if sides.source != sides.destination
        )

    def to_bytes(self) -> bytes:
        """The file's contents: canonical JSON."""
        return _canonical(to_builtins(self))

    def changes(self, now: CertifiedData) -> list[str]:
        """Say which days' figures are not what they were: a line for each day and side that differs, in order."""
        none = Sides(NO_OBJECTS, NO_OBJECTS)
        lines = []
        for day in sorted({*self.data.days, *now.days}):
            old, new = self.data.days.get(day, none), now.days.get(day, none)
            lines += [
                f"{day} {name}: {_said(before)} then, {_said(after)} now"
                for name, before, after in (
                    ("source", old.source, new.source),
                    ("destination", old.destination, new.destination),
                )
                if before != after
            ]
        return lines


def data_of(migration: Migration, counts: DayCounts) -> CertifiedData:
    """The part of a certificate that depends only on the objects."""
    total = counts.total()
    return CertifiedData(
        source=migration.source.uri,
        destination=migration.destination.uri,
        excludes=tuple(sorted(migration.excludes)),
        layouts=LAYOUTS_VERSION,
        days={
            (day.isoformat() if day else UNDATED): Sides(count.source, count.destination)
            for day, count in counts.days.items()
            if count.source.objects or count.destination.objects
        },
        total=Sides(total.source, total.destination),
    )


def certificate(data: CertifiedData, run: CertifiedRun) -> Certificate:
    """Certify what a run compared."""
    return _sealed(Certificate(FORMAT, data, data.sha256, LEFT_OUT, run, ""))


def read_certificate(contents: bytes, name: str) -> Certificate:
    """Read a certificate.

    Args:
        contents: The file's.
        name: The file's, for errors.

    Raises:
        UsageError: It is not a certificate, or of another format, or it contradicts itself. The message names the field.
    """
    try:
        parse_format(contents, name, "certificate", FORMAT)
    except UsageError as error:
        raise UsageError(f"{error}; run verify for a new certificate") from error
    try:
        made = decode(Certificate, contents, name)
        _check(made)
    except UsageError as error:
        raise UsageError(f"{error}; {_ADVICE}") from error
    except ValueError as error:
        raise UsageError(f"{name}: {error}; {_ADVICE}") from error
    if made.data.layouts != LAYOUTS_VERSION:
        raise UsageError(
            f"{name}: data.layouts is {made.data.layouts}; this program counts days by version {LAYOUTS_VERSION} of the "
            "layouts. Check the certificate with the program that made it, or run verify for a new one"
        )
    return made


def _sealed(made: Certificate) -> Certificate:
    content = to_builtins(made)
    del content["fields_sha256"]
    return replace(made, fields_sha256=_digest(content))


def _check(made: Certificate) -> None:
    """Refuse a certificate that contradicts itself, or whose digests do not fit."""
    data = made.data
    if made.data_sha256 != data.sha256:
        raise ValueError(f"data_sha256 is {made.data_sha256!r}; its data has {data.sha256!r}")
    if made.fields_sha256 != (sealed := _sealed(made).fields_sha256):
        raise ValueError(f"fields_sha256 is {made.fields_sha256!r}; its other fields have {sealed!r}")
    _check_locations(data)
    for day, sides in data.days.items():
        _check_day(day)
        if not sides.source.objects and not sides.destination.objects:
            raise ValueError(f"data.days.{day} has no objects")
        _check_sides(f"data.days.{day}", sides)
    for side in ("source", "destination"):
        known = sum((getattr(sides, side) for sides in data.days.values()), NO_OBJECTS)
        _check_same(f"data.total.{side}", getattr(data.total, side), known)
    for what in ("started", "finished"):
        _check_time(f"run.{what}", getattr(made.run, what))
    _check_counts(made)


def _check_locations(data: CertifiedData) -> None:
    for name, uri in (("source", data.source), ("destination", data.destination)):
        try:
            known = Location.parse(uri).uri
        except UsageError as error:
            raise ValueError(f"data.{name} is {shown_value(uri)}; {error}") from error
        if known != uri:
            raise ValueError(f"data.{name} is {shown_value(uri)}; expected {known!r}")
    if data.excludes != tuple(sorted(data.excludes)):
        raise ValueError("data.excludes is not sorted")
    try:
        data.migration  # noqa: B018 -- raises where the two locations make no pair
    except UsageError as error:
        raise ValueError(f"data.destination is {shown_value(data.destination)}; {error}") from error


def _check_day(day: str) -> None:
    try:
        known = day == UNDATED or date.fromisoformat(day).isoformat() == day
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"data.days has {shown_value(day)}; expected a day such as 2024-01-31, or {UNDATED}")


def _check_sides(where: str, sides: Sides) -> None:
    for name, side in (("source", sides.source), ("destination", sides.destination)):
        if side.jsonl > side.objects:
            raise ValueError(
                f"{where}.{name}.jsonl is {side.jsonl}; it has {counted(side.objects, 'object')}"
            )
        if side.empty_jsonl > side.jsonl:
            raise ValueError(
                f"{where}.{name}.empty_jsonl is {side.empty_jsonl}; it has {side.jsonl} of JSONL"
            )
        if not side.objects:
            _check_same(f"{where}.{name}", side, NO_OBJECTS)
    if sides.source.digest == sides.destination.digest:
        _check_same(
            f"{where}.destination", sides.destination, sides.source, "the source has the same digest, and"
        )


def _check_same(where: str, stated: SideTotals, known: SideTotals, because: str = "its days have") -> None:
    for name in ("objects", "bytes", "jsonl", "empty_jsonl", "digest"):
        one, other = getattr(stated, name), getattr(known, name)
        if one != other:
            raise ValueError(f"{where}.{name} is {one!r}; {because} {other!r}")


def _check_time(where: str, text: str) -> None:
    try:
        parse_time(text)
    except ValueError as error:
        raise ValueError(
            f"{where} is {shown_value(text)}; expected an RFC 3339 time with its time zone"
        ) from error


def _check_counts(made: Certificate) -> None:
    """Refuse verdicts that do not fit the objects, or a clean result that does not fit the days."""
    counts, total = made.run.counts, made.data.total
    for verdict in Verdict:
        if verdict not in counts and verdict is not Verdict.ERASED:
            raise ValueError(f"run.counts has no {verdict.value!r}")
    both = counts[Verdict.EQUAL] + counts[Verdict.CONTENT_DIFFERS] + counts[Verdict.METADATA_DIFFERS]
    unknown = [
        objects - both - alone
        for objects, alone in (
            (total.source.objects, counts[Verdict.MISSING] + counts.get(Verdict.ERASED, 0)),
            (total.destination.objects, counts[Verdict.EXTRA]),
        )
    ]
    # A name in flight is on one side, or on both.
    in_flight = counts[Verdict.IN_FLIGHT]
    if not all(0 <= found <= in_flight for found in unknown) or sum(unknown) < in_flight:
        raise ValueError(
            f"run.counts does not add up to data.total: {total.source.objects} objects at the source, "
            f"{total.destination.objects} at the destination"
        )
    wrong = [verdict.value for verdict in Verdict if counts.get(verdict) and not verdict.settled]
    if made.run.clean and wrong:
        raise ValueError(f"run.clean is true; run.counts has {', '.join(wrong)}")
    different = counts[Verdict.MISSING] + counts[Verdict.EXTRA] + counts[Verdict.CONTENT_DIFFERS] + in_flight
    if made.unequal_days and not different and not counts.get(Verdict.ERASED):
        raise ValueError(
            f"run.counts calls every object equal; data.days.{made.unequal_days[0]} is not equal"
        )


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(content: Mapping[str, Any]) -> str:
    return sha256(_canonical(content)).hexdigest()


def _said(side: SideTotals) -> str:
    return f"{counted(side.objects, 'object')}, {counted(side.bytes, 'byte')}, digest {side.digest[:12]}…"
