"""The tests bite: each way to get the deletion wrong is caught by a test that is named here.

A mutant is made outside production code, by putting a wrong part in the place of a right one; then the named test must fail.
Beside each mutant stands what it would have cost.
"""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
import test_delete_command as command
import test_deletion_deleter as deleter_tests
import test_undo_command as undo_tests
from testing_deletion import Scene
from testing_paths import Paths

import backfill_job.deletion.delete
import backfill_job.deletion.flow
import backfill_job.deletion.prepare
import backfill_job.deletion.survey
import shared.gcs.api
from backfill_job.deletion.delete import Deleter
from backfill_job.deletion.manifest import Manifest, ManifestLine
from backfill_job.deletion.manifest_store import LinesSource, find_manifest, read_lines
from shared.errors import ObjectNotFound
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi, PartAnswer, batch_body
from shared.gcs.json_client import JsonClient
from shared.gcs.listing import list_pages
from shared.objects import ObjectState
from shared.state import BegunDeletion, State

Patch = pytest.MonkeyPatch


@pytest.fixture
def run(paths: Paths, gateway: Gateway) -> deleter_tests.Run:
    return deleter_tests.Run(paths, gateway)


def caught(test: Callable[..., object], *arguments: Any) -> None:
    """The test must fail with this mutant, and not for want of what it needs."""
    with pytest.raises(AssertionError):
        test(*arguments)


def rewriting_calls(monkeypatch: Patch, pattern: str, by: str) -> None:
    """Distort every call of every batch."""

    def body(calls: Sequence[tuple[str, str]]) -> bytes:
        return batch_body([(method, re.sub(pattern, by, target)) for method, target in calls])

    monkeypatch.setattr(shared.gcs.api, "batch_body", body)


def test_without_the_generation_condition_a_newer_object_is_deleted(
    run: deleter_tests.Run, paths: Paths, monkeypatch: Patch
) -> None:
    """Dropped: what a late writer uploaded after the manifest is lost."""
    rewriting_calls(monkeypatch, r"\?ifGenerationMatch=\d+", "")
    caught(deleter_tests.test_what_was_overwritten_since_the_manifest_stays, run, paths)


def test_a_retry_without_the_generation_condition_deletes_a_newer_object(
    run: deleter_tests.Run, paths: Paths, monkeypatch: Patch
) -> None:
    """Dropped from the repetition only: the same, in a rarer moment."""
    sent = []

    def body(calls: Sequence[tuple[str, str]]) -> bytes:
        sent.append(len(calls))
        if len(sent) > 1:
            calls = [(method, target.partition("?")[0]) for method, target in calls]
        return batch_body(calls)

    monkeypatch.setattr(shared.gcs.api, "batch_body", body)
    caught(deleter_tests.test_a_retried_deletion_never_removes_a_newer_generation, run, paths)


def test_deleting_a_fresh_listing_instead_of_the_manifest_deletes_what_nobody_verified(
    scene: Scene, tmp_path: Any, monkeypatch: Patch
) -> None:
    """What lies at the legacy path by then, whatever it is: how it went wrong the last time."""
    migration = scene.paths.migration

    async def fresh(source: LinesSource, manifest: Manifest, number: int) -> list[ManifestLine]:
        lines = {line.name: line for line in await read_lines(source, manifest, number)}
        template = next(iter(lines.values()))
        async with AsyncApi(endpoint=scene.paths.server.url) as api:
            theirs = await _listed(list_pages(api, migration.destination))
            ours = await _listed(list_pages(api, migration.source))
        return [
            template._replace(
                name=name,
                generation=state.generation,
                destination_generation=theirs[name].generation if name in theirs else 1,
            )
            for name, state in ours.items()
        ]

    monkeypatch.setattr(backfill_job.deletion.delete, "read_lines", fresh)
    caught(command.test_what_changes_between_the_manifest_and_the_deletion_is_kept_and_told, scene, tmp_path)


async def _listed(pages: AsyncGenerator[list[tuple[str, ObjectState]], None]) -> dict[str, ObjectState]:
    async with aclosing(pages):
        return {name: state async for page in pages for name, state in page}


@pytest.mark.parametrize("status", [429, 503])
def test_ignoring_a_part_s_failure_counts_what_is_still_there_as_deleted(
    run: deleter_tests.Run, paths: Paths, monkeypatch: Patch, status: int
) -> None:
    """The batch's 200 taken for every part's: the ledger lies, and the phase becomes deleted."""
    real = AsyncApi.delete_batch

    async def batch(self: AsyncApi, *deletions: Any) -> list[PartAnswer]:
        return [PartAnswer(204, None)] * len(await real(self, *deletions))

    monkeypatch.setattr(AsyncApi, "delete_batch", batch)
    caught(deleter_tests.test_a_part_that_fails_in_a_successful_batch_is_tried_again, run, paths, status)


@pytest.mark.parametrize("which", ["", "l"])
def test_without_reading_back_a_manifest_that_is_not_there_is_deleted_by(
    scene: Scene, monkeypatch: Patch, which: str
) -> None:
    """Skipped: what was deleted is then written down nowhere."""

    async def nothing(*_: object) -> None:
        return

    monkeypatch.setattr(backfill_job.deletion.prepare, "_read_back", nothing)
    caught(command.test_a_manifest_that_is_not_what_was_written_deletes_nothing, scene, monkeypatch, which)


def test_without_a_look_at_the_destination_the_only_copy_is_deleted(
    run: deleter_tests.Run, paths: Paths, monkeypatch: Patch
) -> None:
    """Skipped: the new path's object is gone since the verification, and now so is the legacy one."""

    async def all_of_them(_: Deleter, tries: Sequence[Any], __: str) -> tuple[list[Any], list[Any]]:
        return [], list(tries)

    monkeypatch.setattr(Deleter, "_rechecked", all_of_them)
    caught(deleter_tests.test_what_the_new_path_has_no_more_as_it_was_stays, run, paths)


def test_looking_at_the_destination_only_once_misses_what_changes_in_a_pause(
    run: deleter_tests.Run, paths: Paths, monkeypatch: Patch
) -> None:
    """Skipped for repetitions: a storm's back-off is a long time."""
    real, looked = Deleter._rechecked, []

    async def once(self: Deleter, tries: Sequence[Any], following: str) -> tuple[list[Any], list[Any]]:
        looked.append(1)
        return await real(self, tries, following) if len(looked) == 1 else ([], list(tries))

    monkeypatch.setattr(Deleter, "_rechecked", once)
    caught(deleter_tests.test_the_destination_is_looked_at_anew_before_every_try, run, paths)


def test_a_missing_bucket_read_as_already_gone_ends_in_success(
    run: deleter_tests.Run, paths: Paths, monkeypatch: Patch
) -> None:
    """An error read as "nothing there": how it went wrong the last time, too."""

    async def here(*_: object) -> None:
        return None

    monkeypatch.setattr(backfill_job.deletion.delete, "first_name", here)
    monkeypatch.setattr(AsyncApi, "_require_buckets", here)
    caught(deleter_tests.test_a_bucket_that_is_gone_is_no_deletion, run, paths)


def test_a_refused_batch_read_as_its_objects_answer_ends_in_success(
    run: deleter_tests.Run, paths: Paths, monkeypatch: Patch
) -> None:
    """A 404 of whatever answered is then every object's."""

    async def sent(_: Deleter, go: Sequence[Any]) -> list[PartAnswer]:
        error = ObjectNotFound("gs://x", "no such object (No such object)")
        return [PartAnswer(404, error)] * len(go)

    monkeypatch.setattr(Deleter, "_sent", sent)
    caught(deleter_tests.test_a_batch_refused_as_a_whole_says_nothing_of_its_objects, run, paths, 404)


def test_a_manifest_that_the_state_does_not_name_would_be_deleted_by(
    scene: Scene, monkeypatch: Patch
) -> None:
    """The state's word left out: any file of the right form deletes."""

    def everything(_: object) -> tuple[BegunDeletion, ...]:
        found = find_manifest(scene.commands.gateway, str(scene.folder / "spoilt.json"))
        return (BegunDeletion(found.manifest.name, found.sha256, found.manifest.objects),)

    monkeypatch.setattr(State, "manifests", property(everything))
    caught(
        command.test_only_the_manifest_that_the_state_names_is_resumed,
        scene,
        lambda head: head.update(by="Eve"),
        "was changed since",
    )


def test_counting_late_writes_as_soaked_deletes_under_a_writer(scene: Scene, monkeypatch: Patch) -> None:
    """The reverse mirror's excuse given to everybody: a writer that never switched is not seen."""
    monkeypatch.setattr(backfill_job.verify.late_writes, "_brought_back", lambda *_: True)
    caught(
        command.test_nothing_is_deleted_while_one_check_fails,
        scene,
        lambda _: None,
        ("--soak-days", "1"),
        "late-writes: 1 object written there",
    )


def test_deleting_before_the_mirrors_have_seen_the_phase_is_noticed(scene: Scene, monkeypatch: Patch) -> None:
    """Not waited: a mirror that follows deletions may delete the new path's copy, the reverse one brings them back."""
    monkeypatch.setattr(backfill_job.deletion.flow, "wait_until_seen", lambda _: None)
    caught(command.test_what_was_proven_is_deleted_and_the_phase_is_deleted, scene)


def test_an_undo_without_its_condition_overwrites_a_late_writer(scene: Scene, monkeypatch: Patch) -> None:
    """Dropped: what was written at the legacy path between look and request is lost."""
    real = JsonClient.exchange

    async def request(self: JsonClient, method: str, path: str, *rest: Any, **options: Any) -> Any:
        if "/restore?" in path:
            scene.paths.put(undo_tests.day(2), b"a late writer")
            path = path.replace("&ifGenerationMatch=0", "")
        return await real(self, method, path, *rest, **options)

    undo_tests.deleted(scene, undo_tests.day(2))
    monkeypatch.setattr(JsonClient, "exchange", request)
    scene.undo(scene.manifest_uri, "--execute")
    assert scene.paths.read(undo_tests.day(2), side="source") != b"a late writer"


def test_an_undo_with_its_condition_leaves_a_late_writer_s_object(scene: Scene, monkeypatch: Patch) -> None:
    """The same moment, with the condition: the proof that the mutant above is caught by the condition alone."""
    real = JsonClient.exchange

    async def request(self: JsonClient, method: str, path: str, *rest: Any, **options: Any) -> Any:
        if "/restore?" in path:
            scene.paths.put(undo_tests.day(2), b"a late writer")
        return await real(self, method, path, *rest, **options)

    undo_tests.deleted(scene, undo_tests.day(2))
    monkeypatch.setattr(JsonClient, "exchange", request)
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert (ended.code, "somebody wrote there meanwhile; it is not overwritten" in ended.out) == (1, True)
    assert scene.paths.read(undo_tests.day(2), side="source") == b"a late writer"
