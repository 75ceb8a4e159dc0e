"""Reports: files in a directory, or objects under a Cloud Storage prefix. A report is complete or absent.

`ReportDirectory` writes files. `ReportPrefix` writes objects, for ``--report gs://bucket/prefix/``. The files of a Cloud Run
task lie in memory and vanish with it, so the run uploads lines while it writes them.

Tasks have no coordinator. Each writes its part, and then looks for all parts of its execution (`complete_set`). Two tasks may find
the set complete at once; both write the same result. A part of an earlier execution in the same place does not count.
"""

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from backfill_job.run.settings import Settings
from shared.errors import CannotWrite, PermissionDenied, UsageError
from shared.json_io import OTHER_FORM, decode, reason
from shared.migration import Location, Migration
from shared.objects import ObjectRef

if TYPE_CHECKING:
    from shared.gateway import Gateway

__all__ = [
    "Lines",
    "ReportDirectory",
    "ReportPrefix",
    "Reports",
    "complete_set",
    "json_bytes",
    "line_bytes",
    "of_this_version",
    "part_name",
    "read_report",
    "record_latest",
]

LINES_BUFFER = 1024 * 1024
"""Bytes of lines in one write to a file."""


class Lines:
    """A JSON Lines file under construction; `write` takes the bytes of a line, or raises a `MigrationError`."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line."""
        self._write(line_bytes(line))


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
        """Write a file in one step, over an existing one. Atomic. Raises `MigrationError` where it cannot be written."""
        ...

    def read(self, name: str) -> bytes | None:
        """Read a file; None only when it is absent. Raises `MigrationError` where it cannot be read."""
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

        def write(row: bytes) -> None:
            with _explained(partial):
                file.write(row)

        try:
            yield Lines(write)
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
            yield Lines(write)

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


def part_name(index: int, count: int) -> str:
    """The folder of a task's reports, below those of the run: ``task-00003-of-00010``."""
    return f"task-{index:05}-of-{count:05}"


def read_report(reports: Reports, name: str) -> Mapping[str, Any] | None:
    """Read a report; None when it is absent. Raises `UsageError` where the file is not a report."""
    data = reports.read(name)
    try:
        return None if data is None else decode(dict[str, Any], data, f"{reports.place}: {name}", None)
    except UsageError as error:
        raise UsageError(f"{error}; remove it and run again") from error


@contextmanager
def of_this_version(name: str) -> Iterator[None]:
    """Turn the errors of reading tasks' reports in the block into one line.

    Raises:
        UsageError: A report has another form.
    """
    try:
        yield
    except OTHER_FORM as error:
        raise UsageError(f"a task's {name} is not of this version ({reason(error)})") from error


def complete_set(reports: Reports, name: str, settings: Settings) -> list[Mapping[str, Any]] | None:
    """The parts of a report from all tasks of an execution, in their order; None while one is missing.

    Raises:
        MigrationError: A part cannot be read.
    """
    parts = []
    for index in range(settings.task_count):
        part = read_report(reports.part(part_name(index, settings.task_count)), name)
        if part is None or part.get("run") != settings.execution:
            return None
        parts.append(part)
    return parts
