"""The command ``undo``, as its user meets it."""

import asyncio
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testing_authority import UntilAnotherPhase
from testing_commands import Ended, run_command
from testing_deletion import Scene, day
from testing_paths import Paths

from backfill_job.commands.undo import COMMAND
from backfill_job.copying.governor import NullGovernor
from backfill_job.deletion.manifest import ManifestLine
from backfill_job.deletion.manifest_store import find_manifest
from backfill_job.run.phase_change import NotFinished, PhaseAfter
from backfill_job.run.stopping import Stop
from backfill_job.undo.options import RestoreOption, RestoreWay
from backfill_job.undo.restore import Restored, Restorer, Undo, UndoOutcome, UndoResult
from backfill_job.undo.screen import phase_meaning
from shared.authority import Always
from shared.decision import Authority
from shared.errors import (
    BucketNotFound,
    ConditionFailed,
    ObjectNotFound,
    PermissionDenied,
    StorageError,
    UnexpectedAnswer,
)
from shared.gcs.api import AsyncApi, Pacing
from shared.gcs.json_client import JsonClient, json_object
from shared.gcs.wire import Answer
from shared.objects import Metadata
from shared.phase import Phase

ANY_PHASE = Always(Authority.DESTINATION)
RESTORE, REWRITE = "storage.objects.restore", "storage.objects.rewrite"


def deleted(scene: Scene, *names: str) -> dict[str, object]:
    """Delete everything; gives what was there."""
    scene.both(*names, metadata={"k": "v"}, cache_control="no-store")
    scene.cut_over()
    before = dict(scene.legacy())
    assert scene.delete(len(names)).code == 0
    assert scene.legacy() == {}
    return dict(before)


def forget(scene: Scene) -> None:
    """Let soft delete let go of everything that is deleted from now on."""
    bucket = scene.paths.bucket("source")
    bucket.reload()
    bucket.soft_delete_policy.retention_duration_seconds = 0
    bucket.patch()


def test_the_dry_run_says_of_each_object_what_holds_it_and_until_when(scene: Scene, tmp_path: Path) -> None:
    """And changes nothing."""
    deleted(scene, day(1), day(2), day(3))
    scene.paths.put(day(2), b"newer", side="destination")
    scene.paths.put(day(3), b"a late writer")
    scene.paths.server.reset_stats()
    ended = scene.undo(scene.manifest_uri, "--report", str(tmp_path / "r"))
    assert (ended.code, ended.err) == (1, "")  # one cannot be brought back
    assert set(scene.paths.server.stats()["methods"]) <= {
        "storage.objects.list",
        "storage.objects.get",
        "storage.objects.download",
    }
    rows = [json.loads(row) for row in (tmp_path / "r" / "objects.jsonl").read_text().splitlines()]
    until = rows[0]["soft_deleted_until"]
    assert until.endswith("Z")
    assert [(row["name"], row["way"], row["same_at_new_path"], row["there"]) for row in rows] == [
        (day(1), "soft_delete", True, False),
        (day(2), "soft_delete", False, False),
        (day(3), "occupied", True, False),
    ]
    minute = f"{until[:10]} {until[11:16]} UTC"
    assert f"  2024-01-01: 1 object, 1 in soft delete (until {minute})\n" in ended.out
    assert "  2024-01-02: 1 object, 1 in soft delete (until " in ended.out
    assert "  2024-01-03: 1 object, 1 OCCUPIED\n" in ended.out
    assert f"occupied {day(3)}: another object is there, which is not overwritten" in ended.out
    assert "Nothing was changed" in ended.out


def test_everything_comes_back_from_soft_delete_as_it_was(scene: Scene) -> None:
    """Contents and metadata; the phase stays, and it says what that means. Again, there is nothing to do."""
    before = deleted(scene, day(1), day(1, 2), day(2))
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert (ended.code, ended.err) == (0, "")
    assert scene.legacy() == before
    assert "3 objects restored, 0 copied back, 0 there before; looked at afterwards: 3 of 3" in ended.out
    assert scene.phase is Phase.DELETED
    assert "The phase stays deleted" in ended.out
    scene.paths.server.reset_stats()
    again = scene.undo(scene.manifest_uri, "--execute")
    assert (again.code, "3 there before" in again.out) == (0, True)
    assert scene.paths.requests(RESTORE) == 0


def test_it_asks_with_the_number_of_objects_before_it_writes(scene: Scene) -> None:
    """No ends it; without a terminal it wants --yes; where nothing is to be written, it does not ask."""
    before = deleted(scene, day(1), day(1, 2))

    def on_terminal(typed: str | None) -> Ended:
        logs = ("--log-dir", str(scene.folder / "logs"), "--ungoverned")
        return run_command("undo", *where(scene), "--execute", *logs, typed=typed)

    refused = on_terminal("n\n")
    assert (refused.code, refused.err) == (2, "undo: not confirmed; nothing was changed\n")
    assert "Bring 2 objects back to gs://" in refused.out
    unasked = on_terminal(None)
    assert (unasked.code, "no terminal to ask on; add --yes" in unasked.err) == (2, True)
    assert scene.legacy() == {}
    assert on_terminal("y\n").code == 0
    assert scene.legacy() == before
    assert on_terminal("").code == 0


def test_it_is_on_record_and_a_later_deletion_names_it_before_a_writer(scene: Scene) -> None:
    """`status` lists it; the check late-writes says who wrote, and blames a writer for what came after."""
    scene.both(day(1), day(1, 2))
    scene.cut_over(days_ago=0)
    assert scene.delete(2).code == 0
    assert scene.undo(scene.manifest_uri, "--execute").code == 0
    shown = run_command("status", *where(scene)).out
    assert "undo ended with 0: DONE: 2 of 2 objects there again." in shown
    assert "Since then an undo ran: the latest runs say what it brought back." in shown
    assert shown.splitlines()[-1].startswith("Next: python -m backfill_job delete ")
    said = " ".join(scene.run("--soak-days", "7").out.split())
    assert "late-writes: 2 objects written there before `undo` ended, which writes there, last at" in said
    assert "where `undo` did not write them, find the writer" in said
    scene.paths.put(day(2), b"a late writer")
    said = " ".join(scene.run("--soak-days", "7").out.split())
    assert "late-writes: 3 objects written there since the cutover" in said
    assert "where `undo`" not in said


def test_without_soft_delete_it_is_copied_back_from_the_new_path(scene: Scene) -> None:
    """On condition that it is still the same there; what is not is lost, and said."""
    scene.both(day(1), day(2), metadata={"k": "v"})
    forget(scene)
    scene.cut_over()
    before = scene.legacy()
    assert scene.delete(2).code == 0
    scene.paths.put(day(2), b"newer", side="destination")
    dry = scene.undo(scene.manifest_uri)
    assert (dry.code, "LOST: neither soft delete nor the new path has it" in dry.out) == (1, True)
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert ended.code == 1
    assert "0 objects restored, 1 copied back" in ended.out
    assert f"lost {day(2)}: soft delete holds it no more, and the new path has something else" in ended.out
    assert scene.legacy() == {day(1): before[day(1)]}
    assert scene.paths.read(day(2)) == b"newer"


def test_whatever_somebody_wrote_meanwhile_stays(scene: Scene) -> None:
    """An undo never overwrites, not even between its look and its request."""
    deleted(scene, day(1), day(2))
    scene.paths.put(day(1), b"a late writer")
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert ended.code == 1
    assert scene.paths.read(day(1), side="source") == b"a late writer"
    assert scene.paths.look(day(2), side="source") is not None


@pytest.mark.parametrize("status", ["reset_before", "reset_after", 503, 429])
@pytest.mark.parametrize("method", [RESTORE, REWRITE])
def test_an_undo_survives_lost_answers(scene: Scene, method: str, status: object) -> None:
    """A request is repeated under its condition; what is there by then is looked at."""
    if method == REWRITE:
        forget(scene)
    before = deleted(scene, day(1), day(2))
    scene.paths.server.set_faults(rules=[{"method": method, "count": 1, "status": status}])
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert (ended.code, ended.err) == (0, "")
    assert ("2 objects restored" if method == RESTORE else "2 copied back, 0 there") in ended.out
    assert scene.legacy() == before


def test_two_undos_at_once_count_each_object_once(scene: Scene) -> None:
    """Both have looked before either asks: what one brought back, the other finds there, and counts so."""
    before = deleted(scene, day(1), day(2), day(3))
    gateway = scene.commands.gateway
    found = find_manifest(gateway, scene.manifest_uri)

    async def both() -> list[UndoResult]:
        together = asyncio.Barrier(2)

        class AtOnce(AsyncApi):
            async def restore(self, *sides: Any, **more: Any) -> Any:
                await together.wait()
                return await super().restore(*sides, **more)

        async def one() -> UndoResult:
            async with AtOnce(endpoint=scene.paths.server.url) as api:
                lines = await found.lines(api, gateway)
                undo = Undo(api, found.manifest, lines, lambda _: True, Stop(), lambda *_: None, ANY_PHASE)
                return (await undo.execute(NullGovernor(), 1))[1]

        return await asyncio.gather(one(), one())

    results = asyncio.run(both())
    assert [(result.there, result.done) for result in results] == [(3, True)] * 2
    assert sum(result.counts.done for result in results) == 3
    assert sum(result.meanwhile for result in results) == 3
    assert scene.legacy() == before


def test_what_another_undo_brought_back_meanwhile_is_said(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not among what this undo did."""
    deleted(scene, day(1), day(2))
    real = AsyncApi.restore

    async def overtaken(self: AsyncApi, *sides: Any, **more: Any) -> Any:
        await real(self, *sides, **more)
        return await real(self, *sides, **more)

    monkeypatch.setattr(AsyncApi, "restore", overtaken)
    ended = scene.undo(scene.manifest_uri, "--execute")
    said = "0 objects restored, 0 copied back, 0 there before, 2 brought back by another command meanwhile;"
    assert (ended.code, said in ended.words) == (0, True), ended.out


def test_what_soft_delete_lets_go_of_meanwhile_is_copied_back(scene: Scene) -> None:
    """The look is older than the request."""
    before = deleted(scene, day(1))
    rule = {"method": RESTORE, "count": 1, "status": 404, "message": "No such object: gone"}
    scene.paths.server.set_faults(rules=[rule])
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert (ended.code, "0 objects restored, 1 copied back" in ended.out) == (0, True)
    assert scene.legacy() == before


def test_a_missing_permission_is_told_and_the_rest_is_not_tried(scene: Scene) -> None:
    """Exit code 1; nothing came back, and each object says why."""
    deleted(scene, day(1), day(2))
    scene.paths.server.set_faults(rules=[{"method": RESTORE, "count": None, "status": 403}])
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert ended.code == 1
    assert "permission denied" in ended.out
    scene.paths.server.clear_faults()
    assert scene.legacy() == {}


def test_only_what_is_asked_for_comes_back(scene: Scene) -> None:
    """By the rules of --exclude; a pattern that matches nothing is a mistake."""
    before = deleted(scene, day(1), day(1, 2), day(2), "README")
    ended = scene.undo(scene.manifest_uri, "--execute", "--only", "qpi_answers_20240101/*", "--only", "READ*")
    assert (ended.code, "3 of 3" in ended.out) == (0, True)
    assert scene.legacy() == {name: before[name] for name in (day(1), day(1, 2), "README")}
    nothing = scene.undo(scene.manifest_uri, "--only", "qpi_answers_2023*")
    assert (nothing.code, "select no name in the manifest" in nothing.err) == (2, True)


def test_more_than_a_chunk_comes_back(scene: Scene) -> None:
    """Among more names at the new path than the manifest has."""
    names = scene.fill(2_100)
    scene.cut_over()
    assert scene.delete(2_100).code == 0
    scene.paths.put("zz/later", b"x", side="destination")
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert (ended.code, "2,100 of 2,100" in ended.out) == (0, True)
    assert scene.paths.names(side="source") == names


class RefusesOneShelf(AsyncApi):
    """The client, whose first question for soft-deleted objects is refused."""

    refused = False

    async def list_page(self, *where: str, more: str = "", **bounds: Any) -> dict[str, Any]:
        if "softDeleted" in more and not self.refused:
            self.refused = True
            raise UnexpectedAnswer(where[0], "refused")
        return await super().list_page(*where, more=more, **bounds)


def test_one_chunk_whose_soft_deleted_objects_cannot_be_listed_is_said(scene: Scene) -> None:
    """Though those of later chunks can."""
    scene.fill(1_100)
    scene.cut_over()
    assert scene.delete(1_100).code == 0
    gateway = scene.commands.gateway
    found = find_manifest(gateway, scene.manifest_uri)

    async def outlook() -> str:
        async with RefusesOneShelf(endpoint=scene.paths.server.url) as api:
            lines = await found.lines(api, gateway)
            undo = Undo(api, found.manifest, lines, lambda _: True, Stop(), lambda *_: None, ANY_PHASE)
            return (await undo.plan()).soft_delete_unavailable

    assert asyncio.run(outlook()) == "refused"


def test_a_manifest_without_its_lines_is_refused_for_what_it_is(scene: Scene) -> None:
    """Exit code 2, and no word about what was or was not deleted: the deletion is long over."""
    deleted(scene, day(1))
    scene.paths.client.bucket(scene.paths.migration.destination.bucket).blob(
        scene.manifest_uri.split("/", 3)[3] + "l"
    ).delete()
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "holds nothing" in ended.err
    assert "nothing was deleted" not in ended.err


def test_an_object_in_several_pieces_is_copied_back_whole(scene: Scene) -> None:
    """Each call of the rewrite has the same conditions."""
    forget(scene)
    data = b"x" * (3 * 1024 * 1024)
    for side in ("source", "destination"):
        scene.paths.put("large", data, side=side)
    scene.cut_over()
    assert scene.delete(1).code == 0
    scene.paths.server.set_faults(max_rewrite_bytes_per_call=1024 * 1024)
    assert scene.undo(scene.manifest_uri, "--execute").code == 0
    scene.paths.server.clear_faults()
    assert scene.paths.read("large", side="source") == data


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say which deletion"),
        (("/no/such.json",), "cannot read the manifest"),
        (("MANIFEST", "--source", "gs://another/x/", "--destination", "gs://other/y/"), "not about what"),
        (("MANIFEST", "--rehearse"), "takes no manifest"),
        (("--rehearse",), "say what to migrate"),
    ],
    ids=range(5),
)
def test_what_cannot_start_is_one_line(scene: Scene, arguments: tuple[str, ...], said: str) -> None:
    """Exit code 2."""
    deleted(scene, day(1))
    ended = scene.undo(*(scene.manifest_uri if word == "MANIFEST" else word for word in arguments))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert said in ended.err


def test_a_manifest_that_no_deletion_was_begun_with_is_said(scene: Scene) -> None:
    """It may still be what somebody needs, so it is no refusal."""
    deleted(scene, day(1))
    head = scene.manifest()
    local = scene.folder / head["name"]
    local.write_text(json.dumps({**head, "by": "Eve"}))
    ended = scene.undo(str(local))
    assert ended.code == 0
    assert "WARNING: no deletion of this migration was begun with this very manifest" in ended.out


def where(scene: Scene) -> tuple[str, ...]:
    migration = scene.paths.migration
    return ("--source", migration.source.uri, "--destination", migration.destination.uri)


def test_a_rehearsal_takes_one_sample_there_and_back_in_a_scratch_prefix(
    scene: Scene, tmp_path: Path
) -> None:
    """Nothing of either path is touched, and the scratch copy is gone afterwards."""
    scene.both(day(1), day(2))
    before = scene.legacy()
    generations = [scene.paths.look(name, side="source") for name in (day(1), day(2))]
    ended = scene.undo("--rehearse", *where(scene), "--report", str(tmp_path / "r"))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("  PASS ") == 5
    assert "An undo would work, in both ways" in ended.out
    assert ended.out.splitlines()[-1].startswith("Next: python -m backfill_job status ")
    assert scene.legacy() == before
    assert [scene.paths.look(name, side="source") for name in (day(1), day(2))] == generations
    assert [blob.name for blob in scene.paths.bucket("source").list_blobs(prefix="_migration/")] == []
    assert json.loads((tmp_path / "r" / "rehearsal.json").read_text())["works"] is True


def test_a_rehearsal_without_soft_delete_says_that_one_way_is_left(scene: Scene) -> None:
    """Copying back from the new path."""
    scene.both(day(1))
    forget(scene)
    ended = scene.undo("--rehearse", *where(scene))
    assert ended.code == 0
    assert "FAIL find it among the soft-deleted: soft delete is off" in ended.out
    assert "in one of two ways only" in ended.out


def test_a_rehearsal_that_fails_is_found_before_it_is_too_late(scene: Scene) -> None:
    """Neither permission is there."""
    scene.both(day(1))
    rule = {"bucket": scene.paths.migration.source.bucket, "count": None, "status": 403}
    scene.paths.server.set_faults(rules=[{**rule, "method": RESTORE}, {**rule, "method": REWRITE, "skip": 1}])
    ended = scene.undo("--rehearse", *where(scene))
    assert (ended.code, "An undo would NOT work" in ended.out) == (1, True)
    assert ended.out.splitlines()[-1].startswith("Next, when that is fixed: python -m backfill_job undo ")


def test_a_rehearsal_needs_something_that_was_migrated(scene: Scene) -> None:
    """Exit code 2."""
    scene.paths.put(day(1))
    ended = scene.undo("--rehearse", *where(scene))
    assert (ended.code, "nothing to rehearse with" in ended.err) == (2, True)


def test_a_scratch_copy_that_could_not_be_removed_is_said(scene: Scene) -> None:
    """With the command that removes it, and exit code 1: it works, and something is left."""
    scene.both(day(1))
    bucket = scene.paths.migration.source.bucket
    rule = {"method": "storage.objects.delete", "bucket": bucket, "skip": 2, "count": None, "status": 403}
    scene.paths.server.set_faults(rules=[rule])
    ended = scene.undo("--rehearse", *where(scene))
    scene.paths.server.clear_faults()
    (left,) = scene.paths.bucket("source").list_blobs(prefix="_migration/")
    assert ended.code == 1
    assert "An undo would work, in both ways" in ended.out
    assert "was removed" not in ended.out
    assert f"gcloud storage rm 'gs://{bucket}/{left.name}'" in ended.out


def answering_instead(
    monkeypatch: pytest.MonkeyPatch, part: str, instead: Callable[[], dict[str, Any]], times: int = 1_000
) -> list[str]:
    """Have Cloud Storage answer something else to the requests whose path holds `part`; gives their paths."""
    real, asked = JsonClient.exchange, []

    async def request(
        self: JsonClient, method: str, path: str, uri: str, read: Callable[[Answer], Any], **options: Any
    ) -> Any:
        if part not in path or len(asked) >= times:
            return await real(self, method, path, uri, read, **options)
        asked.append(path)
        await real(self, "GET", f"{path.partition('/o/')[0]}?fields=name", uri, json_object)
        return read(Answer(200, json.dumps(instead()).encode()))

    monkeypatch.setattr(JsonClient, "exchange", request)
    return asked


def test_the_dry_run_may_be_asked_for_by_name(scene: Scene) -> None:
    """It is the default, and does not go with --execute."""
    deleted(scene, day(1))
    ended = scene.undo(scene.manifest_uri, "--dry-run")
    assert (ended.code, "Nothing was changed" in ended.out) == (0, True)
    assert scene.legacy() == {}


def test_after_a_missing_permission_nothing_more_is_asked(scene: Scene) -> None:
    """One refusal is everybody's; each object says why it is not there."""
    deleted(scene, day(1), day(2), day(3))
    scene.paths.server.set_faults(rules=[{"method": RESTORE, "count": None, "status": 403}])
    scene.paths.server.reset_stats()
    ended = scene.undo(scene.manifest_uri, "--execute", "--in-flight", "1")
    assert (ended.code, scene.paths.requests(RESTORE)) == (1, 1)
    for number in (1, 2, 3):
        assert f"failed {day(number)}: " in ended.out
    assert ended.out.count("permission denied") >= 3


def test_a_copy_that_is_neither_done_nor_goes_on_is_an_error(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be asked for ever; it is told, and the object is not taken for brought back."""
    forget(scene)
    deleted(scene, day(1))
    asked = answering_instead(monkeypatch, "/rewriteTo/", lambda: {"done": False}, times=50)
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert (ended.code, len(asked)) == (1, 1)
    assert f"failed {day(1)}: " in ended.out
    assert "a copy that is not done, and cannot be gone on with" in ended.out
    assert scene.legacy() == {}


@pytest.mark.parametrize("part", ["/restore?", "/rewriteTo/"])
def test_what_comes_back_as_something_else_is_told(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """The answer describes other contents than the manifest's line."""
    if part == "/rewriteTo/":
        forget(scene)
    deleted(scene, day(1), day(2))
    other = scene.paths.bucket("destination").get_blob("qpi_exports/" + day(2))._properties
    other = {**other, "name": "QPI_exports/" + day(1)}
    answering_instead(monkeypatch, part, lambda: {**other, "done": True, "resource": other})
    ended = scene.undo(scene.manifest_uri, "--execute", "--only", day(1))
    assert ended.code == 1
    assert f"failed {day(1)}: what came back is not what the manifest says" in ended.out


@pytest.mark.parametrize("gone", [ConditionFailed, ObjectNotFound])
def test_what_changes_in_every_way_meanwhile_is_told(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, gone: type[StorageError]
) -> None:
    """Soft delete lets go, the new path changes, and the legacy name is free: nothing is done, and it is to be run again."""
    deleted(scene, day(1))

    def refuse() -> dict[str, Any]:
        raise gone("gs://x/y", "it changed")

    asked = answering_instead(monkeypatch, "ifGenerationMatch=0", refuse)
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert ended.code == 1
    assert ["/restore?" in path for path in asked] == [True, False]
    assert f"failed {day(1)}: it changed since it was looked at (" in ended.out
    assert scene.legacy() == {}


def test_what_the_new_path_lost_meanwhile_is_told(scene: Scene) -> None:
    """Neither way is open any more; the log has the object."""
    forget(scene)
    deleted(scene, day(1))
    rule = {"method": REWRITE, "count": None, "status": 404, "message": "No such object: gone"}
    scene.paths.server.set_faults(rules=[rule])
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert ended.code == 1
    assert f"failed {day(1)}: it changed since it was looked at (" in ended.out


def test_of_many_that_cannot_be_brought_back_the_screen_shows_some_and_counts_the_rest(scene: Scene) -> None:
    """Twenty by name; every other one is counted."""
    forget(scene)
    names = [day(1, user) for user in range(1, 24)]
    deleted(scene, *names)
    for name in names:
        scene.paths.delete(name, side="destination")
    for arguments in ((), ("--execute",)):
        ended = scene.undo(scene.manifest_uri, *arguments)
        assert ended.code == 1
        assert ended.out.count("  lost qpi_answers_20240101/") == 20
        assert "  ... and 3 more; --report has them" in ended.out


def test_that_soft_deleted_objects_cannot_be_listed_is_said(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then only the new path helps."""
    before = deleted(scene, day(1))

    def refuse() -> dict[str, Any]:
        raise UnexpectedAnswer("gs://x/", "soft delete is not what it was")

    answering_instead(monkeypatch, "softDeleted", refuse)
    dry = scene.undo(scene.manifest_uri)
    assert dry.code == 0
    assert "Soft-deleted objects cannot be listed: soft delete is not what it was" in dry.out
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert (ended.code, "0 objects restored, 1 copied back" in ended.out) == (0, True)
    assert scene.legacy() == before


def test_a_bucket_that_is_gone_is_not_read_as_an_absent_legacy_object(paths: Paths) -> None:
    """After a failed precondition the legacy object is looked at; a 404 of its bucket ends the undo."""
    line = ManifestLine("a", 7, 0, "AAAAAA==", None, "", Metadata(), 8)
    gone = {"status": 404, "count": None, "message": "The specified bucket does not exist."}
    paths.server.set_faults(
        rules=[
            {"method": RESTORE, "status": 412, "count": None},
            {**gone, "method": "storage.objects.get"},
            {**gone, "method": "storage.objects.list"},
        ]
    )

    async def restored() -> tuple[Restored, StorageError | None]:
        async with AsyncApi(endpoint=paths.server.url) as api:
            restorer = Restorer(api, paths.migration, Pacing(), ANY_PHASE)
            ended = await restorer.bring_back(RestoreOption(line, RestoreWay.SOFT_DELETE, "", False, None))
            return ended, restorer.error

    ended, error = asyncio.run(restored())
    assert ended.outcome is UndoOutcome.FAILED
    assert "no such bucket (The specified bucket does not exist.)" in ended.detail
    assert isinstance(error, BucketNotFound)


def test_an_undo_stops_where_the_phase_no_longer_allows_it(scene: Scene) -> None:
    """It reads the phase before each object. What came back stays, and each other line says why it did not."""
    deleted(scene, day(1), day(2), day(3))
    gateway = scene.commands.gateway
    found = find_manifest(gateway, scene.manifest_uri)

    async def undone() -> UndoResult:
        async with AsyncApi(endpoint=scene.paths.server.url) as api:
            lines = await found.lines(api, gateway)
            phase = UntilAnotherPhase(Authority.DESTINATION, 1)
            undo = Undo(api, found.manifest, lines, lambda _: True, Stop(), lambda *_: None, phase)
            return (await undo.execute(NullGovernor(), 1))[1]

    result = asyncio.run(undone())
    assert scene.paths.names(side="source") == [day(1)]
    assert result.counts.by_outcome == {UndoOutcome.RESTORED: 1, UndoOutcome.FAILED: 2}
    assert [name.endswith("the phase is another one now") for name in result.names] == [True, True]


class Refuses(AsyncApi):
    """Refuses to list the legacy path, once something was restored."""

    restored = False

    async def restore(self, *sides: Any, **more: Any) -> Any:
        self.restored = True
        return await super().restore(*sides, **more)

    async def list_page(self, *where: Any, **more: Any) -> Any:
        if self.restored:
            raise PermissionDenied("gs://legacy", "no more")
        return await super().list_page(*where, **more)


def test_an_undo_that_stops_after_a_request_says_that_something_was_done(scene: Scene) -> None:
    """Exit code 2 would say that nothing was."""
    deleted(scene, day(1))
    gateway = scene.commands.gateway
    found = find_manifest(gateway, scene.manifest_uri)

    async def undone() -> None:
        async with Refuses(endpoint=scene.paths.server.url) as api:
            lines = await found.lines(api, gateway)
            undo = Undo(api, found.manifest, lines, lambda _: True, Stop(), lambda *_: None, ANY_PHASE)
            await undo.execute(NullGovernor(), 1)

    with pytest.raises(NotFinished, match=r"no more\. What was brought back stays"):
        asyncio.run(undone())
    assert scene.paths.names(side="source") == [day(1)]
    assert not issubclass(NotFinished, COMMAND.cannot_start)


def test_an_undo_in_another_phase_says_the_phase_that_holds(scene: Scene) -> None:
    """And what came back before, where another command changed it meanwhile."""
    migration, result = scene.paths.migration, UndoResult()
    result.counts.add(UndoOutcome.RESTORED)
    same = PhaseAfter(Phase.ROLLED_BACK, Phase.ROLLED_BACK)
    assert phase_meaning(same, result, migration) == ["The phase is rolled_back, as before."]
    (other,) = phase_meaning(PhaseAfter(Phase.ROLLED_BACK, Phase.CUT_OVER), result, migration)
    assert other.startswith("The phase was rolled_back, and is cut_over now: another command changed it.")
    assert other.endswith("1 object came back.")


def test_a_resumption_after_an_undo_says_what_is_there_again(scene: Scene) -> None:
    """What an undo brought back is another version: the manifest cannot delete it, and not every line is settled."""
    deleted(scene, day(1), day(2), day(3))
    scene.paths.put(day(4), b"a new name of a late writer")
    assert scene.resume(3).code == 0  # what the manifest does not name is not its matter
    assert scene.undo(scene.manifest_uri, "--only", day(2), "--execute").code == 0
    ended = scene.resume(3)
    assert ended.code == 1
    assert "NOT DELETED: 1 object of the manifest's names is at the legacy path again" in ended.out
    assert "every line of the manifest is settled" not in ended.out
    assert ended.out.splitlines()[-1].startswith("Next: python -m backfill_job delete --source ")
    assert day(2) in scene.legacy()


def test_a_day_finds_its_manifest_in_the_record(scene: Scene) -> None:
    """Of two deletions, the one that took the day; where both did, a person names one."""
    before = deleted(scene, day(1), day(2))
    scene.both(day(3))
    assert scene.delete(1, "--anew").code == 0
    here = where(scene)
    assert scene.undo(*here, "--day", "2024-01-01").code == 0
    dry = scene.undo(*here, "--day", "20240101")
    assert (dry.code, dry.out.count("\n  2024-01-0")) == (0, 1)
    assert dry.out.splitlines()[-2:-1] == [
        "READY: 1 of 1 object can be brought back; already there: 0. Nothing was changed."
    ]
    following = shlex.split(dry.out.splitlines()[-1].removeprefix("Next: python -m backfill_job undo"))
    assert run_command("undo", *following, typed="y\n").code == 0
    assert scene.legacy() == {day(1): before[day(1)]}
    none = scene.undo(*here, "--day", "20230101")
    assert (none.code, "took an object of 2023-01-01" in none.err) == (2, True)
    both = scene.undo(*here)
    assert (both.code, both.err.count("_deletion_manifest_")) == (2, 2)
    assert scene.undo(*here, "--day", "20240103", "--execute").code == 0
    assert {*scene.legacy()} == {day(1), day(3)}


def test_without_a_deletion_there_is_nothing_to_undo(scene: Scene) -> None:
    """One line, exit code 2."""
    scene.both(day(1))
    ended = scene.undo(*where(scene), "--day", "20240101")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "no deletion of this migration was begun" in ended.err
