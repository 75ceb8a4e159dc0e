"""Writes on the legacy path after the cutover, as the verification finds them."""

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import to_builtins
from testing_commands import Commands
from testing_paths import Paths

from backfill_job.verify.late_writes import MAX_NAMES, LateWrites, cutover_of
from shared.gateway import Gateway
from shared.json_io import convert
from shared.late_marks import mark_late_write
from shared.migration import Location, Migration
from shared.objects import parse_time
from shared.phase import Phase
from shared.state import State
from shared.state_changes import Stamp, begun, with_phase
from shared.text import minute_text


def later(paths: Paths) -> None:
    """Go on when the server's clock shows another millisecond: what was written before is older than what comes."""
    clock = paths.bucket("destination").blob("clock")
    moments = set()
    while len(moments) < 2:
        clock.upload_from_string(b"")
        moments.add(clock.time_created)


def late_remarks(commands: Commands) -> list[str]:
    """What the verification remarks about late writes."""
    commands.run("verify")
    contents = commands.gateway.read(commands.paths.migration.own_ref("latest", "verification.json"))
    assert contents is not None
    return [remark["text"] for remark in json.loads(contents)["remarks"] if remark["kind"] == "late_writes"]


def test_before_the_cutover_nothing_is_late(paths: Paths, commands: Commands) -> None:
    """The legacy path is where writers write."""
    paths.put("a/1")
    assert late_remarks(commands) == []


def test_what_somebody_still_writes_on_the_legacy_path_is_said(paths: Paths, commands: Commands) -> None:
    """New objects, copied or not, and overwritten ones; with their number and the first names."""
    for side in ("source", "destination"):
        paths.put("before", side=side)
        paths.put("overwritten", side=side)
    commands.go(Phase.CUT_OVER)
    later(paths)
    paths.put("overwritten", b"late")
    paths.put("new")
    paths.put("new and copied")
    later(paths)
    paths.put("new and copied", side="destination")
    (text,) = late_remarks(commands)
    assert text.startswith("3 objects were written on the legacy path after the cutover of 20")
    assert all(repr(name) in text for name in ("new", "new and copied", "overwritten"))


def test_what_the_reverse_mirror_brings_back_is_not_late(paths: Paths, commands: Commands) -> None:
    """There the new path's version is the older one; also where the next one is on its way already."""
    commands.go(Phase.CUT_OVER)
    for side in ("destination", "source"):
        later(paths)
        paths.put("mirrored back", side=side)
        paths.put("being mirrored back", side=side)
    later(paths)
    paths.put("being mirrored back", b"again", side="destination")
    assert late_remarks(commands) == []


def test_what_was_late_is_late_still_when_the_deletion_has_begun(paths: Paths, commands: Commands) -> None:
    """Late is counted from the cutover, not from the latest phase."""
    commands.go(Phase.CUT_OVER)
    cutover = commands.state.since
    later(paths)
    paths.put("new")
    later(paths)
    commands.go(Phase.DELETING)
    (text,) = late_remarks(commands)
    assert cutover is not None
    assert f"after the cutover of {minute_text(cutover)}, last at " in text
    assert "or an undo restored what was there" in text
    assert "cutover command again" not in text  # it would be refused


def test_parts_make_a_whole() -> None:
    """Several tasks, one of which began before the cutover; a bounded number of names."""
    parts = [
        LateWrites("2026-01-01T00:00:00.000Z", 15, [f"{part}/{number}" for number in range(15)])
        for part in "ab"
    ]
    parts.append(LateWrites())
    whole = LateWrites.merged(
        convert(LateWrites, json.loads(json.dumps(to_builtins(part)))) for part in parts
    )
    assert (whole.since, whole.objects, len(whole.names)) == ("2026-01-01T00:00:00.000Z", 30, MAX_NAMES)


def test_what_the_mirror_marked_is_said_though_the_data_does_not_show_it(
    paths: Paths, gateway: Gateway, commands: Commands
) -> None:
    """A late writer's new object, copied forward and then brought back once more, looks like the new path's own."""
    commands.go(Phase.CUT_OVER)
    later(paths)
    paths.put("new")
    (written,) = (
        each
        for page in gateway.list_pages(paths.migration.source.bucket, paths.migration.source.prefix)
        for each in page.objects
    )
    mark_late_write(gateway, paths.migration, "new", written)
    paths.put("new", side="destination")
    later(paths)
    paths.put("new")
    (text,) = late_remarks(commands)
    assert text.startswith("something was written on the legacy path after the cutover of 20")
    assert f"last at {minute_text(parse_time(written.created))}" in text


MOMENTS = [f"2026-01-0{number}T00:00:00.000Z" for number in (2, 4, 3)]


def test_the_newest_of_several_late_writes_is_told(paths: Paths, commands: Commands) -> None:
    """The soak is measured from it: an older one would end the soak too early."""
    commands.go(Phase.CUT_OVER)
    later(paths)
    for name in ("b", "c", "a"):
        paths.put(name)
    newest, oldest = paths.look("a", side="source"), paths.look("b", side="source")
    assert newest is not None
    assert oldest is not None
    (text,) = late_remarks(commands)
    assert f"last at {minute_text(parse_time(newest.created))}, such as" in text
    commands.run("delete", "--report", str(commands.folder / "r"))
    plan = json.loads((commands.folder / "r" / "deletion-plan.json").read_text())
    assert plan["late_writes"]["newest"] == newest.created > oldest.created, "the file is exact"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_newest_of_several_tasks_late_writes_is_the_whole_s(order: tuple[int, ...]) -> None:
    """Whichever task found it; and the later of two cutovers counts."""
    parts = [LateWrites(MOMENTS[0], 1, [f"{number}"], MOMENTS[number]) for number in order]
    whole = LateWrites.merged([*parts, LateWrites("2026-01-01T00:00:00.000Z")])
    assert (whole.since, whole.objects, whole.newest) == (MOMENTS[0], 3, MOMENTS[1])


def test_the_cutover_is_the_last_one_and_not_the_adoption_of_its_record() -> None:
    """Late writes between the cutover and the upgrade stay late. A migration that began after its cutover has no earlier time."""
    at = datetime(2025, 3, 1, tzinfo=UTC)

    def stamped(days: int) -> Stamp:
        return Stamp(f"c{days}", "Ada", at + timedelta(days=days))

    initial = State.initial(Migration(Location("legacy", "a/"), Location("new", "b/")))
    first = with_phase(begun(initial, Phase.DUAL_WRITE, stamped(0)), Phase.CUT_OVER, stamped(1))
    adopted = begun(first, Phase.CUT_OVER, stamped(9), "adopted from version 1")
    assert cutover_of(begun(initial, Phase.DUAL_WRITE, stamped(0))) is None
    assert cutover_of(adopted) == cutover_of(first) == at + timedelta(days=1)
    assert cutover_of(begun(initial, Phase.CUT_OVER, stamped(3))) == at + timedelta(days=3)
