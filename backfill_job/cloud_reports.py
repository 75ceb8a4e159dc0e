"""Reports as objects under a Cloud Storage prefix: ``--report gs://bucket/prefix/``.

A Cloud Run task has no disk of its own; its files are memory, and gone with it. So lines are uploaded while they are written.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from backfill_job.reports import Lines, line_bytes
from shared.migration import Location
from shared.objects import ObjectRef

if TYPE_CHECKING:
    from shared.gateway import Gateway

__all__ = ["ReportPrefix"]


class ReportPrefix:
    """Reports as objects; see `backfill_job.reports.Reports`.

    Args:
        gateway: Writes and reads them.
        location: Where they go.
    """

    def __init__(self, gateway: "Gateway", location: Location) -> None:
        self._gateway = gateway
        self._location = location

    @property
    def place(self) -> str:
        """See `Reports.place`."""
        return self._location.uri

    @contextmanager
    def lines(self, name: str) -> Iterator[Lines]:
        """See `Reports.lines`."""
        with self._gateway.writing(self._at(name), content_type="application/x-ndjson") as write:
            yield _ObjectLines(write)

    def write(self, name: str, data: bytes, *, content_type: str = "application/json") -> None:
        """See `Reports.write`."""
        self._gateway.put(self._at(name), data, content_type=content_type)

    def read(self, name: str) -> bytes | None:
        """See `Reports.read`."""
        return self._gateway.read(self._at(name))

    def part(self, name: str) -> "ReportPrefix":
        """See `Reports.part`."""
        return ReportPrefix(self._gateway, Location(self._location.bucket, f"{self._location.prefix}{name}/"))

    def _at(self, name: str) -> ObjectRef:
        return ObjectRef(self._location.bucket, self._location.prefix + name)


class _ObjectLines:
    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def write(self, line: Mapping[str, Any]) -> None:
        """See `Lines.write`."""
        self._write(line_bytes(line))
