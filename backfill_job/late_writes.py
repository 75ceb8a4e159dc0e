"""Writes on the legacy path after the cutover, seen in the data: somebody has not switched. Mergeable.

What the reverse mirror brings back is not one of them: there the new path's version is the older one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backfill_job.verdict import Finding, Verdict
from shared.objects import is_later

__all__ = ["LateWrites"]

MAX_NAMES = 20


@dataclass(slots=True)
class LateWrites:
    """Objects that were written on the legacy path first, since some moment.

    Attributes:
        since: The moment of the cutover, as an RFC 3339 time; empty where there was none: nothing is late then.
        objects: How many.
        names: The first of them, below the prefix.
    """

    since: str = ""
    objects: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Count a name, if it was written late."""
        source, destination = finding.source, finding.destination
        if not self.since or source is None or not is_later(source.created, self.since):
            return
        if destination is not None:
            first = is_later(destination.created, source.created)
            if first is not (finding.verdict is Verdict.EQUAL):
                return
        self.objects += 1
        if len(self.names) < MAX_NAMES:
            self.names.append(finding.relative)

    def to_json(self) -> dict[str, Any]:
        """Everything, to be merged with others'."""
        return {"since": self.since, "objects": self.objects, "names": self.names}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "LateWrites":
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        return LateWrites(content["since"], int(content["objects"]), [str(name) for name in content["names"]])

    @staticmethod
    def merged(parts: Iterable["LateWrites"]) -> "LateWrites":
        """Those of several tasks together. A task that began before the cutover knows of none, and counted nothing."""
        whole = LateWrites()
        for part in parts:
            names = [*whole.names, *part.names][:MAX_NAMES]
            whole = LateWrites(max(whole.since, part.since), whole.objects + part.objects, names)
        return whole
