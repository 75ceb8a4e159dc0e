"""The table of the principals on the legacy path, and the time for which an empty answer counts. Grows with principals, not with the log.

An empty log says nothing: Data Access logs may be off. So the time counts in which the log is proven to have been on. The proof is
reads and listings of the legacy bucket, by any principal, without a hole of more than `LONGEST_HOLE`. The migration's own
sweeps list that bucket every few minutes, and its nightly run each day. So such entries are there where the log is on.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from backfill_job.checks import DAY
from backfill_job.readers.entries import SeenRequest, UnreadableEntry, decoded, seen_in
from backfill_job.rights import Part, account_of
from shared.errors import UsageError
from shared.migration import Migration
from shared.state import PrincipalUse, ReadersRecord, SeenPrincipal, utc_text
from shared.text import counted, minute_text

__all__ = ["LONGEST_HOLE", "Accounts", "Row", "UseTally", "own_accounts"]

LONGEST_HOLE = timedelta(hours=25)
"""The longest time without an entry in which the log still counts as on: the nightly comparison, and an hour."""

AHEAD = timedelta(hours=1)
"""How far an entry's time may be ahead of this machine's clock."""

MOST_ROWS = 10_000
MOST_PARTS = 1_000
MOST_TEXTS = 5
"""Programs and methods that are kept for each principal."""

_START = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class UseTally:
    """Requests of one use.

    Attributes:
        refused: How many of them were not permitted.
        last: The time of the newest.
    """

    last: datetime
    count: int = 0
    refused: int = 0

    def add(self, seen: SeenRequest) -> None:
        """Count one."""
        self.count += 1
        self.refused += seen.refused
        self.last = max(self.last, seen.at)


@dataclass(slots=True)
class Row:
    """What one principal did.

    Attributes:
        own: Which of the migration's own accounts it is; empty for another one.
        uses: By use; None for what names the bucket and not the prefix, as listings do.
        agents: Programs, as they name themselves, and `methods`; the first few of each.
        parts: The folders of the legacy path, up to `MOST_PARTS`.
    """

    name: str
    own: str
    uses: dict[PrincipalUse | None, UseTally] = field(default_factory=dict)
    agents: Counter[str] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    parts: set[str] = field(default_factory=set)

    @property
    def used(self) -> bool:
        """Whether it read or wrote an object of the legacy path."""
        return any(self.uses.keys() - {None})

    @property
    def deleted(self) -> bool:
        """Whether the log names an account that was deleted: ``deleted:serviceAccount:NAME?uid=NUMBER``."""
        return self.name.startswith("deleted:")

    @property
    def last(self) -> datetime:
        """The time of its newest request."""
        return max(tally.last for tally in self.uses.values())

    def add(self, seen: SeenRequest) -> None:
        """Count one request."""
        self.uses.setdefault(seen.use, UseTally(seen.at)).add(seen)
        for texts, text in ((self.agents, seen.agent), (self.methods, seen.method)):
            if text in texts or len(texts) < MOST_TEXTS:
                texts[text] += 1
        if seen.part and len(self.parts) < MOST_PARTS:
            self.parts.add(seen.part)

    def to_json(self) -> dict[str, Any]:
        """The row for ``--json``."""
        return {
            "principal": self.name,
            "own": self.own,
            "uses": [
                {
                    "use": "the bucket" if use is None else use.value,
                    "count": tally.count,
                    "refused": tally.refused,
                    "last": utc_text(tally.last),
                }
                for use, tally in self.uses.items()
            ],
            "methods": dict(self.methods),
            "agents": dict(self.agents),
            "parts": sorted(self.parts),
        }


@dataclass(slots=True)
class Accounts:
    """Everything that a log says about the legacy path.

    Attributes:
        own: What the migration's own accounts are, by their bare names.
        since: From when on the log is asked; entries before it do not count.
        until: The present.
        rows: By the principal's name.
        read: Entries that were read, of whatever kind.
        other: Entries of other buckets.
        elsewhere: Entries of the legacy bucket outside the prefix.
        outside: Entries before `since`, or in the future.
        writes: Entries that exist only while the log of writes is on.
        unreadable: What could not be read, and may hide a reader.
        example: Why the first of these could not.
    """

    migration: Migration
    own: Mapping[str, str]
    since: datetime
    until: datetime
    rows: dict[str, Row] = field(default_factory=dict)
    read: int = 0
    other: int = 0
    elsewhere: int = 0
    outside: int = 0
    writes: int = 0
    unreadable: int = 0
    example: str = ""
    _minutes: set[int] = field(default_factory=set)

    def add_all(self, items: Iterable[Any]) -> "Accounts":
        """Count entries as they were read; gives itself.

        Raises:
            UsageError: There are too many principals to be a list that a person reads.
        """
        for item in items:
            self.read += 1
            try:
                seen = seen_in(decoded(item), self.migration)
            except UnreadableEntry as error:
                self.unreadable += 1
                self.example = self.example or str(error)
            else:
                self.other += seen is None
                if seen is not None:
                    self._add(seen)
        return self

    def _add(self, seen: SeenRequest) -> None:
        if not self.since <= seen.at <= self.until + AHEAD:
            self.outside += 1
            return
        if seen.proves:
            self._minutes.add((seen.at - _START) // _MINUTE)
        self.writes += seen.use is PrincipalUse.WRITE and seen.method.startswith("storage.objects.")
        if seen.part is None and seen.use is not None:
            self.elsewhere += 1
            return
        if seen.principal not in self.rows:
            if len(self.rows) >= MOST_ROWS:
                raise UsageError(f"more than {MOST_ROWS:,} principals: give fewer --days, or another log")
            self.rows[seen.principal] = Row(seen.principal, self.own.get(seen.account, ""))
        self.rows[seen.principal].add(seen)

    @property
    def foreign(self) -> list[Row]:
        """The principals that read or wrote on the legacy path and are not the migration's own, the newest first."""
        found = [row for row in self.rows.values() if row.used and not row.own]
        return sorted(found, key=lambda row: row.last, reverse=True)

    @property
    def bucket_only(self) -> list[Row]:
        """Other principals that listed the bucket or looked at its settings: below which prefix, the log does not say."""
        return [row for row in self.rows.values() if not row.used and not row.own]

    @property
    def covered(self) -> tuple[datetime, datetime] | None:
        """The newest time in which the log is proven to have been on; None where nothing proves it."""
        minutes = sorted(self._minutes, reverse=True)
        if not minutes:
            return None
        begins = minutes[0]
        for minute in minutes[1:]:
            if (begins - minute) * _MINUTE > LONGEST_HOLE:
                break
            begins = minute
        first, last = _START + begins * _MINUTE, _START + minutes[0] * _MINUTE
        return max(first, self.since), max(self.since, min(last, self.until))

    @property
    def hole(self) -> tuple[datetime, datetime] | None:
        """The longest time in the proven time without an entry that proves it: there the log may have been off. None for none."""
        if self.covered is None:
            return None
        seen = [_START + minute * _MINUTE for minute in sorted(self._minutes)]
        holes = [pair for pair in pairwise(seen) if pair[0] >= self.covered[0]]
        return max(holes, key=lambda pair: pair[1] - pair[0], default=None)

    @property
    def clean(self) -> bool:
        """Whether no other principal used the legacy path, in a proven time of a day at least, and all could be read."""
        return not self.foreign and not self.unreadable and self.proven

    @property
    def proven(self) -> bool:
        """Whether the log is proven to be on for a day at least: a shorter time may miss a nightly job."""
        return self.covered is not None and self.covered[1] - self.covered[0] >= DAY

    def record(self) -> ReadersRecord:
        """What goes on record.

        Raises:
            UsageError: Something could not be read, or nothing proves that the log is on.
        """
        if self.unreadable:
            raise UsageError(
                f"nothing is recorded: {self.unreadable:,} of {counted(self.read, 'entry')} cannot be read, and may hide a reader "
                f"({self.example}); the same command without --record shows the others"
            )
        if self.covered is None:
            raise UsageError(
                f"nothing is recorded: no entry of a read or a listing of gs://{self.migration.source.bucket} since "
                f"{minute_text(self.since)}, so nothing proves that Data Access logs are on; the same command without --record shows "
                "how to switch them on"
            )
        principals = (
            SeenPrincipal(row.name, use, tally.count, tally.last)
            for row in self.foreign
            for use, tally in row.uses.items()
            if use is not None
        )
        return ReadersRecord(self.since, *self.covered, tuple(principals))

    def to_json(self) -> dict[str, Any]:
        """Everything for ``--json``."""
        rows = sorted(self.rows.values(), key=lambda row: (bool(row.own), row.name))
        covered, hole = self.covered, self.hole
        return {
            "source": self.migration.source.uri,
            "since": utc_text(self.since),
            "until": utc_text(self.until),
            "proven": None if covered is None else {"from": utc_text(covered[0]), "to": utc_text(covered[1])},
            "longest_hole": None if hole is None else {"from": utc_text(hole[0]), "to": utc_text(hole[1])},
            "entries": self.read,
            "other": self.other,
            "elsewhere": self.elsewhere,
            "outside": self.outside,
            "writes": self.writes,
            "unreadable": self.unreadable,
            "principals": [row.to_json() for row in rows],
        }


def own_accounts(env: str, project: str, members: Iterable[str]) -> dict[str, str]:
    """What the migration's own accounts are, by their bare names.

    Args:
        env: The environment; empty for a pair, whose accounts have no known names.
        project: The project of the deployment; empty where it is not known.
        members: Further ones, as a policy names them.
    """
    parts = Part if env and project else ()
    named = {account_of(part.value, env, project): part.value for part in parts}
    return named | {member.partition(":")[2]: "named with --own" for member in members}
