"""Reports: files in a directory, or objects under a Cloud Storage prefix. A report is complete or absent.

`ReportDirectory` writes files. `ReportPrefix` writes objects, for ``--report gs://bucket/prefix/``. The files of a Cloud Run
task lie in memory and vanish with it, so the run uploads lines while it writes them.
"""

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import orjson

from shared.errors import CannotWrite, PermissionDenied, UsageError
from shared.migration import Location, Migration
from shared.objects import ObjectRef

if TYPE_CHECKING:
    from shared.gateway import Gateway

__all__ = ["Lines", "ReportDirectory", "ReportPrefix", "Reports", "json_bytes", "line_bytes", "record_latest"]

LINES_BUFFER = 1024 * 1024
"""Bytes of lines in one write to a file."""


class Lines(Protocol):
    """A JSON Lines file under construction."""

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line.

        Raises:
            MigrationError: It cannot be written.
        """
        ...


class Reports(Protocol):
    """The place for the reports of a run."""

    @property
    def place(self) -> str:
        """The directory or prefix, for people."""
        ...

    def lines(self, name: str) -> AbstractContextManager[Lines]:
        """Open a JSON Lines file. It appears under its name when the block ends, but not after an error in the block."""
        ...

    def write(self, name: str, data: bytes, *, content_type: str = "application/json") -> None:
        """Write a file in one step, over an existing one. Atomic.

        Raises:
            MigrationError: It cannot be written.
        """
        ...

    def read(self, name: str) -> bytes | None:
        """Read a file; None only when it is absent.

        Raises:
            MigrationError: It cannot be read.
        """
        ...

    def part(self, name: str) -> "Reports":
        """The place for the reports of one part of the run, below this one."""
        ...


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """A report as the contents of a file that people can read."""
    return json.dumps(content, ensure_ascii=False, indent=2).encode() + b"\n"


def line_bytes(line: Mapping[str, Any]) -> bytes:
    """One line of a JSON Lines file; a dataclass in it becomes an object."""
    return orjson.dumps(line) + b"\n"


class ReportDirectory:
    """Reports as files in a directory, which it makes if needed.

    A file gets its name when it is complete. Until then, and after an error, its lines are in ``NAME.partial``.

    Raises:
        UsageError: The directory cannot be made or written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the report directory {path}: {error.strerror}") from error

    @property
    def place(self) -> str:
        """See `Reports.place`."""
        return str(self.path)

    @contextmanager
    def lines(self, name: str) -> Iterator[Lines]:
        """See `Reports.lines`."""
        path, partial = self.path / name, self.path / (name + ".partial")
        try:
            file = partial.open("wb", buffering=LINES_BUFFER)
        except OSError as error:
            raise UsageError(f"cannot write {partial}: {error.strerror}") from error
        try:
            yield _FileLines(file, partial)
            with _explained(partial):
                file.flush()
                os.fsync(file.fileno())
                partial.replace(path)
        finally:
            # If the flush failed, closing cannot write either.
            with suppress(OSError):
                file.close()

    def write(self, name: str, data: bytes, *, content_type: str = "application/json") -> None:  # noqa: ARG002 -- the name's ending says it
        """See `Reports.write`."""
        # Two tasks may write the same combined report at once, so each needs its own partial file.
        path, partial = self.path / name, self.path / f"{name}.{uuid.uuid4().hex}.partial"
        with _explained(path):
            try:
                partial.write_bytes(data)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        """See `Reports.read`."""
        path = self.path / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error

    def part(self, name: str) -> "ReportDirectory":
        """See `Reports.part`."""
        return ReportDirectory(self.path / name)


class _FileLines:
    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path

    def write(self, line: Mapping[str, Any]) -> None:
        """See `Lines.write`."""
        with _explained(self._path):
            self._file.write(line_bytes(line))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror}; what was copied stays") from error


class ReportPrefix:
    """Reports as objects under a Cloud Storage prefix."""

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


def record_latest(gateway: "Gateway", migration: Migration, name: str, content: bytes) -> None:
    """Write a command's result beside the migration's state, where the gate and the status look for it.

    Raises:
        StorageError: It could not be written.
    """
    try:
        gateway.put(migration.own_ref("latest", name), content)
    except PermissionDenied as error:
        raise PermissionDenied(
            error.uri, f"the result could not be recorded ({error.detail}). To compare only: --no-record"
        ) from error
