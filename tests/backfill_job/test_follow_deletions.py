"""The sweep that follows deletions: only what the source's bucket still holds as deleted is deleted at the destination."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testing_commands import Commands
from testing_paths import Paths

from backfill_job.copying import execution
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi
from shared.objects import ObjectRef, ObjectState
from shared.phase import Phase

SWEEP = ("--execute", "--yes", "--ungoverned", "--allow-empty")
FOLLOWING = (*SWEEP, "--follow-deletions")
NAME = "qpi_answers_20240101/user_id_7.jsonl"


@pytest.fixture
def commands(paths: Paths, gateway: Gateway, tmp_path: Path) -> Commands:
    paths.put("stays/1")
    paths.put("stays/1", side="destination")
    return Commands(paths, tmp_path, gateway)


def keeping(paths: Paths, *, soft_delete: int = 604_800, versioning: bool = False) -> None:
    bucket = paths.client.get_bucket(paths.migration.source.bucket)
    bucket.soft_delete_policy.retention_duration_seconds = soft_delete
    bucket.versioning_enabled = versioning
    bucket.patch()


def left(paths: Paths, data: bytes = b"one", copy: bytes = b"one") -> ObjectState:
    """A copy that came after its source was deleted."""
    paths.put(NAME, data)
    paths.delete(NAME)
    paths.put(NAME, copy, side="destination")
    there = paths.look(NAME)
    assert there is not None
    return there


@pytest.mark.parametrize("how", [{"soft_delete": 604_800}, {"soft_delete": 0, "versioning": True}])
def test_a_late_copy_of_a_deleted_source_goes_only_when_asked(
    paths: Paths, commands: Commands, how: dict[str, int]
) -> None:
    """Soft-deleted or noncurrent; without the option it is reported, as ever."""
    keeping(paths, **how)  # type: ignore[arg-type]
    left(paths)
    plain = commands.run("migrate", *SWEEP)
    assert (plain.code, "1 extra" in plain.out, paths.names()) == (1, True, [NAME, "stays/1"])
    ended = commands.run("migrate", *FOLLOWING)
    assert ended.code == 0, ended.out
    assert "; 1 deletion followed; verified: both sides are equal" in ended.out
    assert paths.names() == ["stays/1"]


def no_proof(paths: Paths) -> None:
    keeping(paths, soft_delete=0)
    left(paths)


def other_contents(paths: Paths) -> None:
    keeping(paths)
    left(paths, copy=b"somebody's work")


def older_than_the_version(paths: Paths) -> None:
    keeping(paths)
    paths.put(NAME, b"one", side="destination")
    paths.put(NAME, b"one")
    paths.delete(NAME)


def another_name(paths: Paths) -> None:
    keeping(paths)
    paths.put(f"{NAME}.gz", b"one")
    paths.delete(f"{NAME}.gz")
    paths.put(NAME, b"one", side="destination")


@pytest.mark.parametrize("made", [no_proof, other_contents, older_than_the_version, another_name])
def test_every_other_extra_is_reported_and_stays(
    paths: Paths, commands: Commands, made: Callable[[Paths], None]
) -> None:
    """An extra alone proves nothing."""
    made(paths)
    ended = commands.run("migrate", *FOLLOWING)
    assert (ended.code, "1 extra" in ended.out) == (1, True), ended.out
    assert NAME in paths.names()


@pytest.mark.parametrize("phases", [(Phase.CUT_OVER,), (Phase.CUT_OVER, Phase.ROLLED_BACK)])
def test_after_a_cutover_a_late_copy_may_be_a_write_and_stays(
    paths: Paths, commands: Commands, phases: tuple[Phase, ...]
) -> None:
    """It was made after the deletion."""
    keeping(paths)
    left(paths)
    commands.go(*phases)
    assert commands.run("migrate", *FOLLOWING).code == 1
    assert NAME in paths.names()


def test_after_a_rollback_what_is_older_than_the_deletion_is_kept_and_goes(
    paths: Paths, commands: Commands
) -> None:
    """As the mirror does it."""
    keeping(paths)
    paths.put(NAME, b"one")
    paths.put(NAME, b"one", side="destination")
    there = paths.look(NAME)
    assert there is not None
    paths.delete(NAME)
    commands.go(Phase.CUT_OVER, Phase.ROLLED_BACK)
    assert commands.run("migrate", *FOLLOWING).code == 0
    assert paths.names() == ["stays/1"]
    assert commands.gateway.look(paths.migration.kept_ref(NAME, there.generation)) is not None


def test_a_source_that_is_written_again_meanwhile_is_brought_back(
    paths: Paths, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look before the deletion sees it."""
    keeping(paths)
    left(paths)
    listed = execution.ended_versions

    async def slow(api: object, at: object) -> object:
        versions = await listed(api, at)  # type: ignore[arg-type]
        paths.put(NAME, b"written again")
        return versions

    monkeypatch.setattr(execution, "ended_versions", slow)
    assert commands.run("migrate", *FOLLOWING).code == 0
    assert paths.read(NAME) == b"written again"


def test_it_is_for_an_execution(commands: Commands) -> None:
    """A dry run deletes nothing."""
    ended = commands.run("migrate", "--follow-deletions")
    assert (ended.code, "it is for --execute" in ended.err) == (2, True)


def test_a_run_follows_no_more_deletions_than_it_holds(
    paths: Paths, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest waits for the next run, and stays extra until then."""
    monkeypatch.setattr(execution, "MOST_EXTRAS", 2)
    keeping(paths)
    names = [f"late/{number}" for number in range(3)]
    for name in names:
        paths.put(name, b"one")
        paths.put(name, b"one", side="destination")
        paths.delete(name)
    ended = commands.run("migrate", *FOLLOWING)
    assert (ended.code, paths.names()) == (1, ["late/2", "stays/1"]), ended.out
    assert "2 deletions followed" in ended.out
    assert (commands.run("migrate", *FOLLOWING).code, paths.names()) == (0, ["stays/1"])


@pytest.mark.parametrize("following", [True, False])
def test_a_source_that_is_deleted_during_its_copy_is_taken_back(
    paths: Paths, commands: Commands, monkeypatch: pytest.MonkeyPatch, following: bool
) -> None:
    """In the bulk lane: its deletion's event came before the copy. It needs no proof, because the run made the copy itself."""
    keeping(paths, soft_delete=0)
    paths.put(NAME, b"one")
    rewrite = AsyncApi.rewrite

    async def late(*arguments: Any, **options: Any) -> Any:
        done = await rewrite(*arguments, **options)
        paths.delete(NAME)
        return done

    monkeypatch.setattr(AsyncApi, "rewrite", late)
    ended = commands.run("migrate", *(FOLLOWING if following else SWEEP))
    assert (ended.code, paths.names()) == ((0, ["stays/1"]) if following else (1, [NAME, "stays/1"])), (
        ended.out
    )


def test_a_listing_of_versions_that_fails_stops_the_run_and_deletes_nothing(
    paths: Paths, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error is not an absence, and not a proof."""
    keeping(paths)
    left(paths)
    listed = execution.ended_versions

    async def refused(api: AsyncApi, at: ObjectRef) -> Any:
        paths.server.set_faults(
            rules=[{"method": "storage.objects.list", "bucket": paths.migration.source.bucket, "status": 403}]
        )
        return await listed(api, at)

    monkeypatch.setattr(execution, "ended_versions", refused)
    ended = commands.run("migrate", *FOLLOWING)
    paths.server.clear_faults()
    assert ended.code != 0
    assert NAME in paths.names()
