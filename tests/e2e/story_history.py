"""The shortest history that shows a fault: what happened to one object, in the order of time, and what was done meanwhile.

Real processes cannot be replayed. So what is printed of a fault is everything that is known about its object, and nothing else:
the writers' acknowledgements, every version on both paths, the log lines that name it, and the kills and commands in between. It
begins at the last version that everybody had right: right before the one that is missing, stale or too old.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from story_facts import Upload, Version, World, due
from story_judges import Fault

__all__ = ["LinesAbout", "history", "told"]

LinesAbout = Callable[[str], Iterable[tuple[datetime, str]]]

MOST_OBJECTS = 3
MOST_LINES = 60
MARGIN = timedelta(seconds=1)
SUPPOSED = "?"


def told(world: World, faults: Sequence[Fault], lines_about: LinesAbout) -> str:
    """Print faults, with the history of the first few objects.

    Args:
        world: What was judged.
        faults: What is wrong.
        lines_about: Gives the log lines that name an object.
    """
    texts = [f"{len(faults):,} faults:", *(f"  {fault}" for fault in faults[:20])]
    names = [*dict.fromkeys(fault.name for fault in faults if fault.name)]
    for name in names[:MOST_OBJECTS]:
        texts += ["", f"What happened to {name}:", *history(world, name, lines_about(name))]
    if len(names) > MOST_OBJECTS:
        texts.append(f"... and {len(names) - MOST_OBJECTS:,} more objects")
    return "\n".join(texts)


def history(world: World, name: str, lines: Iterable[tuple[datetime, str]] = ()) -> list[str]:
    """What happened to one object, a line each, in the order of time; generations are shortened to their last digits.

    Args:
        world: What was judged.
        name: Below the prefixes.
        lines: The log lines that name it.
    """
    uploads = world.uploads.get(name, ())
    numbers = {each.checksum: f"v{number + 1}" for number, each in enumerate(uploads)}
    found = [
        *_writes(uploads),
        *_versions(world.versions.get(name, ()), numbers),
        *lines,
        *_runs(world, name, numbers),
    ]
    if not found:
        return ["  nothing is known of it"]
    since = _last_good(world, name, uploads)
    found = [each for each in found if each[0] >= since] or found
    first, last = min(at for at, _ in found) - MARGIN, max(at for at, _ in found) + MARGIN
    found += [(each.at, f"-- {each.what}") for each in world.happenings if first <= each.at <= last]
    told_lines = [f"  {at:%H:%M:%S.%f} {what}"[:240] for at, what in sorted(found)]
    if len(told_lines) > MOST_LINES:
        left = len(told_lines) - MOST_LINES
        told_lines = [
            *told_lines[: MOST_LINES // 2],
            f"  ... {left} lines ...",
            *told_lines[-MOST_LINES // 2 :],
        ]
    now = "; ".join(
        f"{each.path.value}: {numbers.get(each.checksum, SUPPOSED)}"
        for each in world.versions.get(name, ())
        if each.live
    )
    kept = sorted(numbers.get(each, SUPPOSED) for each in world.kept.get(name, ()))
    return [
        *told_lines,
        f"  now live: {now or 'on neither path'}" + (f"; kept: {', '.join(kept)}" if kept else ""),
    ]


def _writes(uploads: Sequence[Upload]) -> Iterable[tuple[datetime, str]]:
    for number, each in enumerate(uploads):
        who = "forgotten writer" if each.forgotten else "writer"
        yield each.at, f"{who}: v{number + 1} acknowledged on the {each.path.value} path"


def _versions(versions: Sequence[Version], numbers: dict[str, str]) -> Iterable[tuple[datetime, str]]:
    for each in versions:
        what = f"{each.path.value} path: generation …{each.generation % 10**8:08}, {numbers.get(each.checksum, SUPPOSED)}"
        yield each.created, f"{what}, finalized"
        if each.gone is not None:
            yield each.gone, f"{what}, replaced or deleted"


def _runs(world: World, name: str, numbers: dict[str, str]) -> Iterable[tuple[datetime, str]]:
    day = name.partition("/")[0].removeprefix("qpi_answers_")
    for run in world.imports:
        if run.day == day:
            which = numbers.get(run.seen.get(name, ""), "nothing")
            yield (
                run.began,
                f"consumer: {'night' if run.appended else 'look'} on the {run.path.value} path saw {which}",
            )


def _last_good(world: World, name: str, uploads: Sequence[Upload]) -> datetime:
    """When the version before the first wrong one was acknowledged; the last one but one where nobody was wrong before the end."""
    order = {each.checksum: number for number, each in enumerate(uploads)}
    wrong = len(uploads) - 1
    day = name.partition("/")[0].removeprefix("qpi_answers_")
    for run in world.imports:
        if run.day == day:
            wanted = due(uploads, world.handovers, run.path, run.began)
            if order.get(run.seen.get(name, ""), -1) < wanted:
                wrong = min(wrong, wanted)
    kept = uploads[max(0, wrong - 1) :]
    return (
        kept[0].at - MARGIN
        if kept
        else datetime.min.replace(tzinfo=world.happenings[0].at.tzinfo if world.happenings else None)
    )
