"""What a run survived, in figures: printed at its end, and left as JSON."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from story_facts import World
from story_judges import doubtful
from story_stage import Stage

__all__ = ["Report", "summed_up"]

FAULTS = ("429", "503", "reset", "truncated")


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of one run.

    Attributes:
        seed: Its seed.
        seconds: How long it took, without the judgement.
        writes: Uploads, those repeated, the busiest chapter's rate.
        requests: By API method, all that were asked for.
        faults: Of those, answered with a fault, by kind.
        events: By fate.
        kills: Signal 9, by victim.
        accidents: What befell the record, and what was seen of it.
        repeated: Commands given again, by name.
        consumer: Its runs, and what it keeps.
        found: Objects, versions, handovers, books, certificates, doubts.
        mirror: Deliveries by outcome.
        chapters: Name, seconds, uploads.
    """

    seed: int
    seconds: float
    writes: dict[str, float]
    requests: dict[str, int]
    faults: dict[str, int]
    events: dict[str, int]
    kills: dict[str, int]
    accidents: dict[str, int]
    repeated: dict[str, int]
    consumer: dict[str, int]
    found: dict[str, int]
    mirror: dict[str, int]
    chapters: list[tuple[str, float, int]] = field(default_factory=list)

    def to_json(self) -> str:
        """For the folder."""
        return json.dumps(asdict(self), indent=1)

    def __str__(self) -> str:
        rows = [f"{name:9} {_figures(value)}" for name, value in asdict(self).items() if name != "chapters"]
        told = [
            f"  {seconds:6.1f} s  {uploads:6,} uploads  {name}" for name, seconds, uploads in self.chapters
        ]
        return "\n".join([*rows, "chapters", *told])


def summed_up(stage: Stage, world: World, stats: dict[str, Any]) -> Report:
    """Count what a run did and survived.

    Args:
        stage: With everybody on it.
        world: What it left.
        stats: The storage's counts, from before it was read for the judgement.
    """
    faults: Counter[str] = Counter()
    for method in stats["methods"].values():
        faults.update({kind: count for kind, count in method["by_status"].items() if kind in FAULTS})
    outcomes = Counter(
        str(line.get("outcome", line.get("event")))
        for function in stage.functions.values()
        for line in function.lines()
    )
    attempts = stage.operator.attempts
    busiest = max((uploads / seconds for _, seconds, uploads in stage.chapters if seconds), default=0.0)
    return Report(
        seed=stage.seed,
        seconds=round(sum(seconds for _, seconds, _ in stage.chapters), 1),
        writes={
            "acknowledged": sum(map(len, world.uploads.values())),
            "repeated": stage.writer.repeated + (stage.forgotten.repeated if stage.forgotten else 0),
            "per_second_at_most": round(busiest),
        },
        requests={name: count["count"] for name, count in stats["methods"].items()},
        faults=dict(faults),
        events={**stage.server.events(), "dead_letters_replayed": stage.letters},
        kills=dict(stage.kills),
        accidents=dict(stage.accidents),
        repeated=dict(stage.operator.repeated),
        consumer={
            "nights": sum(run.appended for run in world.imports),
            "looks": sum(not run.appended for run in world.imports),
            "rows_kept": len(world.rows),
        },
        found={
            "objects": len(world.uploads),
            "versions": sum(map(len, world.versions.values())),
            "processes_of_commands": len(attempts),
            "handovers": len(world.handovers),
            "books": len(world.ledgers),
            "certificates": len(world.certificates),
            "deleted": len(world.manifest),
            "kept_aside": sum(map(len, world.kept.values())),
            "in_doubt": len(doubtful(world)),
            "grave_lines": len(world.lines),
        },
        mirror=dict(outcomes),
        chapters=list(stage.chapters),
    )


def _figures(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in value.items()) or "none"
    return str(value)
