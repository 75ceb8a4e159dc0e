"""Report files: complete or absent, never half-written under their own name."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shared.errors import CannotWrite, UsageError
from shared.objects import ObjectState

__all__ = ["ObjectLines", "ReportDirectory", "side"]


def side(state: ObjectState | None) -> dict[str, Any] | None:
    """One side's facts as a report line gives them; generations as texts, as the API does."""
    if state is None:
        return None
    return {
        "generation": str(state.generation),
        "size": state.size,
        "crc32c": state.crc32c,
        "md5": state.md5,
        "created": state.created,
        "updated": state.updated,
    }


class ObjectLines:
    """A JSON Lines file that appears under its name only when it is complete.

    Until then, and after an error, it is called ``NAME.partial``.

    Args:
        path: Its name when complete.

    Raises:
        UsageError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        try:
            self._file = self._partial.open("w", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {self._partial}: {error.strerror}") from error

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line.

        Raises:
            CannotWrite: The disk is full, or gone.
        """
        with self._explained():
            self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with self._explained():
                    self._file.flush()
                    os.fsync(self._file.fileno())
                    self._partial.replace(self._path)
        finally:
            # What could not be flushed cannot be written by closing either.
            with suppress(OSError):
                self._file.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotWrite(
                f"cannot write {self._partial}: {error.strerror}; what was copied stays"
            ) from error


class ReportDirectory:
    """Where a run's report files go.

    Args:
        path: The directory; made if it is not there.

    Raises:
        UsageError: It cannot be made or written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the report directory {path}: {error.strerror}") from error

    def objects(self) -> ObjectLines:
        """Open ``objects.jsonl``, one line an object."""
        return ObjectLines(self.path / "objects.jsonl")

    def write_json(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write a JSON file in one step.

        Raises:
            UsageError: It cannot be written.
        """
        path = self.path / name
        partial = self.path / (name + ".partial")
        try:
            partial.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error
        return path
