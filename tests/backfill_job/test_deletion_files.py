"""The manifest's files: whole or absent, and proven by reading back."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from testing_deletion import Scene
from testing_paths import Paths

from backfill_job.deletion.manifest import Manifest, ManifestLine
from backfill_job.deletion.manifest_store import (
    CloudLines,
    LinesFile,
    NotReadBack,
    cloud_ref,
    find_manifest,
    manifest_name,
    prove_written,
    read_lines,
    upload,
    write_head,
)
from shared.errors import CannotWrite, UsageError
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi
from shared.objects import Metadata

NAME = manifest_name("dev", datetime(2027, 1, 1, tzinfo=UTC))


def line(number: int) -> ManifestLine:
    return ManifestLine(f"n{number:05}", number + 1, 3, "AAAA==", None, "t", Metadata(), 9)


def written(paths: Paths, folder: Path, count: int = 2_500, late: tuple[int, ...] = ()) -> Manifest:
    """A manifest on this machine, some of whose lines came late."""
    lines = LinesFile(folder / f"{NAME}l")
    for number in range(count):
        if number not in late:
            lines.add(line(number))
    for number in reversed(late):
        lines.add_late(line(number))
    index, whole = lines.finish()
    manifest = Manifest(
        NAME, "r", "t", "Ada", paths.migration, count, 1, 0, index.length, whole, tuple(index.chunks)
    )
    write_head(manifest, folder)
    return manifest


def proven(paths: Paths, gateway: Gateway, manifest: Manifest, folder: Path) -> CloudLines:
    async def prove() -> CloudLines:
        async with AsyncApi(endpoint=paths.server.url) as api:
            return await prove_written(api, gateway, manifest, folder)

    return asyncio.run(prove())


def test_lines_that_needed_a_second_look_are_put_where_they_belong(paths: Paths, tmp_path: Path) -> None:
    """The file is the same as if they had come in order."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = written(paths, tmp_path / "a")
    other = written(paths, tmp_path / "b", late=(0, 1, 999, 1_000, 1_700, 2_499))
    assert one == other
    assert (tmp_path / "a" / one.lines_name).read_bytes() == (tmp_path / "b" / one.lines_name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [NAME, f"{NAME}l"]


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    """And nothing is left of one that was given up."""
    lines = LinesFile(tmp_path / "m.jsonl")
    lines.add(line(1))
    assert [path.name for path in tmp_path.iterdir()] == ["m.jsonl.partial"]
    lines.discard()
    assert [*tmp_path.iterdir()] == []


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    """Before anything is listed."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="choose --manifest-dir"):
        LinesFile(tmp_path / "file" / "m.jsonl")


def test_both_places_hold_the_same_bytes_and_every_line_is_read_from_either(
    paths: Paths, gateway: Gateway, tmp_path: Path
) -> None:
    """On this machine, and beside the new path, where no consumer's glob looks."""
    manifest = written(paths, tmp_path)
    upload(gateway, manifest, tmp_path)
    cloud = proven(paths, gateway, manifest, tmp_path)
    at = cloud_ref(paths.migration, NAME)
    assert at.name == f"_migration/qpi_exports/deletions/{NAME}"
    assert gateway.read(at) == (tmp_path / NAME).read_bytes()
    for place in (at.uri, str(tmp_path / NAME), str(tmp_path / f"{NAME}l")):
        found = find_manifest(gateway, place)
        assert found.manifest == manifest

        async def read(found: object = found) -> list[ManifestLine]:
            async with AsyncApi(endpoint=paths.server.url) as api:
                source = await found.lines(api, gateway)  # type: ignore[attr-defined]
                return [each for number in range(3) for each in await read_lines(source, manifest, number)]

        assert asyncio.run(read()) == [line(number) for number in range(2_500)]
    assert cloud.at == cloud_ref(paths.migration, manifest.lines_name)


def other_bytes(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:40] + b"x" + data[41:])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: other_bytes(folder / NAME), "does not hold the manifest that was written"),
        (lambda folder: other_bytes(folder / f"{NAME}l"), "chunk 0 was changed"),
        (lambda folder: (folder / NAME).unlink(), "cannot be read back"),
        (
            lambda folder: (folder / f"{NAME}l").write_bytes((folder / f"{NAME}l").read_bytes() + b"{}\n"),
            "has more than the manifest's lines",
        ),
    ],
    ids=["head changed", "lines changed", "head gone", "a line more"],
)
def test_what_this_machine_does_not_hold_is_not_proven(
    paths: Paths, gateway: Gateway, tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    """A disk that lies, or somebody's hand."""
    manifest = written(paths, tmp_path)
    upload(gateway, manifest, tmp_path)
    damage(tmp_path)
    with pytest.raises(NotReadBack, match=said):
        proven(paths, gateway, manifest, tmp_path)


@pytest.mark.parametrize("which", [NAME, f"{NAME}l"])
def test_what_cloud_storage_does_not_hold_is_not_proven(
    paths: Paths, gateway: Gateway, tmp_path: Path, which: str
) -> None:
    """Something else was there already: an object is never written over; so reading back finds the other."""
    manifest = written(paths, tmp_path)
    at = cloud_ref(paths.migration, which)
    data = (tmp_path / which).read_bytes()
    paths.client.bucket(at.bucket).blob(at.name).upload_from_string(data[:-9] + b"x" + data[-8:])
    upload(gateway, manifest, tmp_path)
    with pytest.raises(NotReadBack, match="nothing was deleted"):
        proven(paths, gateway, manifest, tmp_path)


@pytest.mark.parametrize("status", ["reset_before", "reset_after", 503])
def test_an_upload_whose_answer_is_lost_is_proven_by_reading(
    paths: Paths, gateway: Gateway, tmp_path: Path, status: object
) -> None:
    """Whether or not it had its effect: what counts is what is there."""
    manifest = written(paths, tmp_path)
    rule = {"method": "storage.objects.insert", "count": 2, "status": status}
    paths.server.set_faults(rules=[rule])
    upload(gateway, manifest, tmp_path)
    paths.server.clear_faults()
    assert proven(paths, gateway, manifest, tmp_path).generation


def test_a_disk_that_is_full_is_one_clear_error(paths: Paths, tmp_path: Path) -> None:
    """Nothing was deleted by then."""
    manifest = written(paths, tmp_path)
    (tmp_path / f"{NAME}.partial").mkdir()
    with pytest.raises(CannotWrite, match="nothing was deleted"):
        write_head(replace(manifest), tmp_path)


@pytest.mark.parametrize("place", ["gs://new-none", "gs://", "/no/such/file.json", "gs://Bad_Bucket!/x"])
def test_a_manifest_that_is_not_there_is_said(scene: Scene, place: str) -> None:
    """It is no empty manifest."""
    with pytest.raises(UsageError):
        find_manifest(scene.commands.gateway, place)
    nothing = f"gs://{scene.paths.migration.destination.bucket}/none.json"
    with pytest.raises(UsageError, match="there is no manifest"):
        find_manifest(scene.commands.gateway, nothing)
