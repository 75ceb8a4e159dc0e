"""Request counts by API method and status, so that a test can say what a tool asked for and what it cost."""

from collections import Counter
from typing import Any

__all__ = ["Stats"]


class Stats:
    """Counts requests; the parts of a batch count one by one."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, method: str, outcome: str) -> None:
        """Count one request.

        Args:
            method: API method, such as ``storage.objects.rewrite``.
            outcome: HTTP status, or how the answer was lost.
        """
        self._counts[method, outcome] += 1

    def clear(self) -> None:
        """Begin again at nothing."""
        self._counts.clear()

    def snapshot(self) -> dict[str, Any]:
        """``{"requests": total, "methods": {method: {"count": n, "by_status": {status: n}}}}``."""
        methods: dict[str, dict[str, Any]] = {}
        for (method, outcome), number in sorted(self._counts.items()):
            entry = methods.setdefault(method, {"count": 0, "by_status": {}})
            entry["count"] += number
            entry["by_status"][outcome] = number
        return {"requests": self._counts.total(), "methods": methods}
