"""The judges of the whole story: each is a function from what a run left to what is wrong with it. Pure.

A *doubt* is no fault: a version that was due stands aside, kept or on the other path, while an older one, whose copy was made late,
passes for the later write (``docs/decisions/0016``, "What was explored"). The product must have *reported* such a name; doubts are counted, and
`doubts_are_few` bounds them. While a command changes the phase, one mirror may not have seen it: then an import may see an older version, whose
newer one is kept.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from story_alerts import needs_no_alert, rings
from story_facts import Import, Path, Upload, World, day_of, due

__all__ = ["JUDGES", "Fault", "doubtful", "judge"]

MOST_DOUBTS = 0.002
"""The share of objects that may be in doubt; two in a thousand, and each is reported."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that must not be.

    Attributes:
        judge: Whose rule was broken.
        name: Which object's history shows it; empty where it is about none.
        what: In a sentence.
    """

    judge: str
    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.judge}: {self.name + ': ' if self.name else ''}{self.what}"


Judge = Callable[[World], Iterator[Fault]]


def everything_is_where_it_belongs(world: World) -> Iterator[Fault]:
    """Every object's last acknowledged version is live on the path that counts; and a forgotten writer's on either."""
    for name, uploads in world.uploads.items():
        ours = [each for each in uploads if not each.forgotten]
        places = [path.value for path in Path if ours and world.live(name, path) == ours[-1].checksum]
        if ours and Path.NEW.value not in places and name not in doubtful(world):
            where = " and ".join(places) or "on neither path"
            yield Fault("belongs", name, f"its last version is not on the new path: {where}")
        last = uploads[-1]
        if last.forgotten and not any(world.live(name, path) == last.checksum for path in Path):
            yield Fault(
                "belongs", name, "what a forgotten writer wrote on the legacy path is on neither path"
            )


def nothing_goes_backwards(world: World) -> Iterator[Fault]:
    """On either path, no version is followed by an older content of the same object."""
    for name, versions in world.versions.items():
        order = _order(world.uploads.get(name, ()))
        for path in Path:
            # Times have milliseconds; two versions of the same one may have come in either order.
            numbers = [
                number
                for _, number in sorted(
                    (each.created, order[each.checksum])
                    for each in versions
                    if each.path is path and each.checksum in order
                )
            ]
            back = [(one, other) for one, other in pairwise(numbers) if other < one]
            checksums = {number: each for each, number in order.items()}
            unkept = [pair for pair in back if checksums[pair[0]] not in world.kept.get(name, ())]
            if unkept:
                one, other = unkept[0]
                yield Fault(
                    "backwards",
                    name,
                    f"on the {path.value} path v{one + 1} was followed by v{other + 1}, and not kept",
                )


def nobody_else_wrote(world: World) -> Iterator[Fault]:
    """Whatever lies on either path was written by a writer."""
    for name, versions in world.versions.items():
        known = _order(world.uploads.get(name, ()))
        if name not in world.erased and any(each.checksum not in known for each in versions):
            yield Fault("strangers", name, "holds contents that no writer wrote")


def every_import_saw_what_it_was_due(world: World) -> Iterator[Fault]:
    """By the rule of `story_facts`; at every run, day and night."""
    days = _by_day(world.uploads)
    told: set[str] = set()
    for run in world.imports:
        for name, uploads in days.get(run.day, {}).items():
            if name in told:
                continue
            fault = _seen_too_little(world, run, name, uploads)
            if fault:
                told.add(name)
                yield fault


def the_empty_branch_is_taken_for_empty_days_only(world: World) -> Iterator[Fault]:
    """The failure that went unnoticed for nine days."""
    days = _by_day(world.uploads)
    for run in world.imports:
        if run.empty and any(
            due(each, world.handovers, run.path, run.began) >= 0 for each in days.get(run.day, {}).values()
        ):
            yield Fault(
                "empty branch",
                "",
                f"{run.day} was taken for empty on the {run.path.value} path at {run.began:%T}",
            )


def every_row_is_loaded_once(world: World) -> Iterator[Fault]:
    """Of each object of an imported day its last version's row, once; nothing else."""
    loaded: dict[tuple[str, str], list[str]] = {}
    for day, user, row in world.rows:
        loaded.setdefault((day, user), []).append(row)
    nights = {run.day for run in world.imports if run.appended}
    for name, uploads in world.uploads.items():
        day = day_of(name)
        if not day:
            continue
        if day not in nights:
            yield Fault("rows", name, f"the day {day} was never imported")
            continue
        rows = loaded.pop((day, _user_of(name)), [])
        if len(rows) > 1:
            yield Fault("rows", name, f"{len(rows)} rows of one object are in the table")
        wanted = {each.row for each in uploads if each.forgotten}
        ours = [each for each in uploads if not each.forgotten]
        optional = not ours
        wanted |= {ours[-1].row} if ours else set()
        if not rows and not optional:
            yield Fault("rows", name, "its row is missing from the table")
        elif rows and rows[0] not in wanted and name not in doubtful(world):
            which = next((f"v{n + 1}" for n, each in enumerate(uploads) if each.row == rows[0]), "nobody's")
            yield Fault("rows", name, f"the table has the row of {which} of {len(uploads)}")
    for day, user in loaded:
        yield Fault("rows", "", f"the table has a row of user {user} on {day} that nobody uploaded")


def every_ledger_balances(world: World) -> Iterator[Fault]:
    """Of every run, deletion and undo: what was taken up is what was accounted for."""
    for ledger in world.ledgers:
        accounted = sum(ledger.parts.values())
        if ledger.whole != accounted:
            yield Fault(
                "ledger",
                "",
                f"{ledger.where}: {ledger.whole:,} taken up, {accounted:,} accounted for: {dict(ledger.parts)}",
            )


def every_certificate_recomputes(world: World) -> Iterator[Fault]:
    """Its own digest always; both paths where nothing was changed since."""
    if not world.certificates:
        yield Fault("certificate", "", "no certificate was written")
    for where, wrong in world.certificates.items():
        if wrong:
            yield Fault("certificate", "", f"{where}: {wrong}")


def every_grave_line_has_its_alert(world: World) -> Iterator[Fault]:
    """A line of WARNING or above rings an alert policy of ``monitoring/``, or its event stands in `monitoring.checks` with a reason."""
    told: Counter[str] = Counter()
    for line in world.lines:
        if line.content is None:
            yield Fault(
                "log", "", f"{line.source} wrote what is no line of the vocabulary: {line.text[:300]}"
            )
            continue
        if needs_no_alert(line.content) or rings(line):
            continue
        event = str(line.content.get("event"))
        told[event] += 1
        if told[event] == 1:
            yield Fault("alert", "", f"no alert for {event} of {line.source}: {line.text[:300]}")


def what_was_deleted_is_back(world: World) -> Iterator[Fault]:
    """After the undo the legacy path holds every line of the manifest, or what a writer wrote there since."""
    for name, stated in world.manifest.items():
        if name in world.erased:
            continue
        now = world.live(name, Path.LEGACY)
        order = _order(world.uploads.get(name, ()))
        if now == stated:
            continue
        if not now:
            yield Fault("undo", name, "was deleted and is not back on the legacy path")
        elif order.get(now, -1) < order.get(stated, len(order)):
            yield Fault("undo", name, "an older version than the deleted one is on the legacy path")
        elif name not in world.not_there:
            yield Fault("undo", name, "is not what the manifest says, and the undo did not say so")


def what_was_erased_is_gone(world: World) -> Iterator[Fault]:
    """In whatever phase it was erased, and whatever was under way: on neither path, not noncurrent, and not kept."""
    for name in sorted(world.erased):
        held = [each.path.value for each in world.versions.get(name, ())]
        held += ["kept"] if world.kept.get(name) else []
        if held:
            yield Fault("erased", name, f"was erased, and is still there: {', '.join(held)}")


def a_forgotten_writer_is_reported(world: World) -> Iterator[Fault]:
    """What stays on the legacy path alone must have been called different."""
    for name, uploads in world.uploads.items():
        last = uploads[-1]
        alone = world.live(name, Path.LEGACY) == last.checksum != world.live(name, Path.NEW)
        if last.forgotten and alone and name not in world.reported:
            yield Fault("reported", name, "differs on the two paths, and nothing has said so")


def doubts_are_few(world: World) -> Iterator[Fault]:
    """Reported doubts are rare."""
    found = doubtful(world)
    if len(found) > max(2, MOST_DOUBTS * len(world.uploads)):
        yield Fault("doubts", min(found), f"{len(found):,} of {len(world.uploads):,} objects are in doubt")


JUDGES: tuple[Judge, ...] = (
    everything_is_where_it_belongs,
    nothing_goes_backwards,
    nobody_else_wrote,
    every_import_saw_what_it_was_due,
    the_empty_branch_is_taken_for_empty_days_only,
    every_row_is_loaded_once,
    every_ledger_balances,
    every_certificate_recomputes,
    every_grave_line_has_its_alert,
    what_was_deleted_is_back,
    what_was_erased_is_gone,
    a_forgotten_writer_is_reported,
    doubts_are_few,
)


def judge(world: World) -> list[Fault]:
    """Ask every judge."""
    return [fault for one in JUDGES for fault in one(world)]


def doubtful(world: World) -> frozenset[str]:
    """Names that the product reported, whose last version is kept, or live somewhere, though not where it belongs."""
    found = set()
    for name in world.reported:
        ours = [each for each in world.uploads.get(name, ()) if not each.forgotten]
        if not ours:
            continue
        last = ours[-1].checksum
        safe = last in world.kept.get(name, ()) or world.live(name, Path.LEGACY) == last
        if safe and world.live(name, Path.NEW) != last:
            found.add(name)
    return frozenset(found)


def _seen_too_little(world: World, run: Import, name: str, uploads: tuple[Upload, ...]) -> Fault | None:
    wanted = due(uploads, world.handovers, run.path, run.began)
    if wanted < 0:
        return None
    order = _order(uploads)
    seen = order.get(run.seen.get(name, ""), -1)
    if seen >= wanted or name in doubtful(world) or _passed_for_later(world, run, name, uploads[wanted]):
        return None
    if _stood_aside_meanwhile(world, run, name, uploads[wanted]):
        return None
    what = f"saw {f'v{seen + 1}' if seen >= 0 else 'nothing'}, v{wanted + 1} was due"
    return Fault("imports", name, f"the run at {run.began:%T.%f} on the {run.path.value} path {what}")


def _passed_for_later(world: World, run: Import, name: str, wanted: Upload) -> bool:
    """Whether what was seen is a late copy, finalized after the version that was due, which the last handover called the later write."""
    last = next((each for each in reversed(world.handovers) if each.ended <= run.began), None)
    if last is None or name not in last.later:
        return False
    versions = world.versions.get(name, ())
    written = [
        each.created for each in versions if each.path is wanted.path and each.checksum == wanted.checksum
    ]
    copied = [
        each.created for each in versions if each.path is run.path and each.checksum == run.seen.get(name)
    ]
    return bool(written and copied) and max(copied) > min(written)


def _stood_aside_meanwhile(world: World, run: Import, name: str, wanted: Upload) -> bool:
    """Whether the phase was being changed: one mirror has not seen it yet, and a late copy may stand where the due version was.

    The due version must be kept, and the name reported. The end of the command brings the last write to where it belongs, which
    the other judges see.
    """
    kept = name in world.reported and wanted.checksum in world.kept.get(name, ())
    return kept and any(each.began <= run.began < each.ended for each in world.handovers)


def _by_day(uploads: Mapping[str, object]) -> dict[str, dict[str, tuple[Upload, ...]]]:
    days: dict[str, dict[str, tuple[Upload, ...]]] = {}
    for name, versions in uploads.items():
        days.setdefault(day_of(name), {})[name] = versions  # type: ignore[assignment]
    return days


def _order(uploads: object) -> dict[str, int]:
    """Number by contents; a version that was uploaded twice, for its answer was lost, is one."""
    return {each.checksum: number for number, each in enumerate(uploads)}  # type: ignore[attr-defined,arg-type,var-annotated]


def _user_of(name: str) -> str:
    return name.rpartition("/user_id_")[2].removesuffix(".jsonl")
