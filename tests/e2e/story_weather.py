"""What goes wrong in the storage, and which mirror is killed: all by one seed."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any

from story_operator import Operator

from demo.function import FunctionProcess

__all__ = ["killing", "weather"]

LOOK = 0.2
"""Seconds between two looks at the count of deliveries."""


def weather(rng: Random, *, drops: bool, storm: bool, batches: bool = False) -> dict[str, Any]:
    """Faults of the storage and of its events for a while.

    Args:
        rng: Draws them.
        drops: Whether events get lost, too. What depends on the mirror alone, such as a canary, cannot succeed then.
        storm: More of everything.
        batches: Less of it: each of a batch's hundred parts draws, and one lost connection fails the whole batch. And each
            event once: an undo causes one for every object.

    Returns:
        A plan of `local_gcs.faults`.
    """
    much = 2.0 if storm else 0.1 if batches else 1.0
    return {
        "seed": rng.randrange(1 << 30),
        "rates": {
            "429": rng.uniform(0.002, 0.01) * much,
            "503": rng.uniform(0.005, 0.02) * much,
            "reset_before": rng.uniform(0.001, 0.005) * much,
            "reset_after": rng.uniform(0.001, 0.005) * much,
            "truncate": rng.uniform(0.001, 0.003) * much,
        },
        "latency_ms": rng.choice((0.5, 1, 2)),
        "latency_jitter_ms": rng.uniform(1, 6),
        # A rewrite reads the source, and commits up to this much later: as one step it would hide races.
        "rewrite_gap_ms": rng.choice((5, 15, 40)),
        "events": {
            "duplicate": 0 if batches else rng.choice((0, 1)) if storm else 1,
            "delay_ms": rng.uniform(50, 500),
            "reorder": True,
            "drop": rng.uniform(0.01, 0.04) if drops else 0,
        },
    }


@contextmanager
def killing(
    functions: Mapping[str, FunctionProcess],
    rng: Random,
    operator: Operator,
    kills: Counter[str],
    *,
    delivered: Callable[[], int],
    every: int,
) -> Iterator[None]:
    """Kill one of the functions again and again for the length of a block, and start it again.

    A kill comes after work, not after seconds: however slow the machine is, the mirrors get on between two kills.

    Args:
        functions: By name.
        rng: Chooses the victims, and how many deliveries lie between two kills.
        operator: Notes the kills.
        kills: Counts them, by name.
        delivered: Returns how many events the functions have handled so far.
        every: Deliveries between two kills, on average.
    """
    over = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            due = delivered() + rng.uniform(0.3, 1.7) * every
            while not over.wait(LOOK):
                if delivered() < due:
                    continue
                name = rng.choice(sorted(functions))
                functions[name].kill()
                kills[name] += 1
                operator.tell(f"{name} mirror: killed -9")
                over.wait(rng.uniform(0, 0.5))
                functions[name].start()
                operator.tell(f"{name} mirror: started again")
                due = delivered() + rng.uniform(0.3, 1.7) * every
        except BaseException as error:  # noqa: BLE001 -- raised again at the end of the block
            failures.append(error)

    thread = threading.Thread(target=work, name="killer")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise RuntimeError("the killer broke down") from failures[0]
