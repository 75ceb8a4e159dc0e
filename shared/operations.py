"""Counts requests as Cloud Storage bills them: by class of operation.

Class A: requests that list or write. Class B: requests that read one object. Deleting is free ("Cloud Storage pricing",
operations). Every request that was sent counts, and so does each repetition: the service answers it, and bills it.
"""

from dataclasses import dataclass
from threading import Lock

__all__ = ["Operations", "OperationsCounter"]


@dataclass(frozen=True, slots=True)
class Operations:
    """The number of operations in each class."""

    class_a: int = 0
    class_b: int = 0

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(self.class_a + other.class_a, self.class_b + other.class_b)


class OperationsCounter:
    """Counts operations; threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._class_a = 0
        self._class_b = 0

    def count(self, method: str, path: str) -> None:
        """Count one request to the JSON API; `path` starts at the root, with or without the query."""
        if method == "DELETE":
            return
        with self._lock:
            if method == "GET" and not _is_listing(path):
                self._class_b += 1
            else:
                self._class_a += 1

    def total(self) -> Operations:
        """The counts so far."""
        with self._lock:
            return Operations(self._class_a, self._class_b)


def _is_listing(path: str) -> bool:
    """Tell ``…/v1/b/BUCKET/o`` from ``…/v1/b/BUCKET/o/NAME``; names are percent-encoded, so they hold no slash."""
    return path.partition("?")[0].partition("/v1/")[2].count("/") == _LISTING_SLASHES


_LISTING_SLASHES = "b/BUCKET/o".count("/")
