"""Deletion and undo end to end, through faults and past a writer: afterwards the legacy path is what it was."""

import pytest
from testing_deletion import Scene

from shared.phase import Phase

BATCH, DELETE, LIST = "storage.batch", "storage.objects.delete", "storage.objects.list"
RESTORE, REWRITE = "storage.objects.restore", "storage.objects.rewrite"

WRITER = "plain/007"

NAMES = [
    *(
        "a b c",
        "ünï/日本/ключ",
        "emoji-😀",
        "has#hash",
        "q?mark&x=1",
        "pct%20lit",
        "100%",
        "/lead",
        "trail/",
        "dbl//slash",
    ),
    *(
        "plus+plus",
        "quote'\"dq",
        "back\\slash",
        "bracket[1]*",
        "x/o/y",
        "dot/../b",
        "..",
        "./",
        "seg/" + "M" * 990,
    ),
]
"""Those that a path or a pattern might take for something else."""


def stormy(scene: Scene, *methods: str) -> None:
    """Throttling, faults of the service, and answers lost after the effect and in the middle."""
    rules = [
        {"method": DELETE, "name_prefix": "QPI_exports/plain/01", "count": 10, "status": 429},
        {"method": DELETE, "name_prefix": "QPI_exports/plain/02", "count": 5, "status": 503},
        {"method": BATCH, "skip": 1, "count": 1, "status": "reset_after"},
        {"method": BATCH, "skip": 1, "count": 1, "status": "truncate"},
        {"method": LIST, "skip": 2, "count": 1, "status": "reset_before"},
    ]
    rules += [
        {"method": method, "skip": skip, "count": 1, "status": status}
        for method in methods
        for skip, status in ((2, "reset_after"), (9, 503), (15, "truncate"), (20, 429))
    ]
    scene.paths.server.set_faults(rules=rules)


@pytest.mark.parametrize("soft_delete", [True, False], ids=["soft delete", "copied back"])
def test_after_delete_and_undo_the_legacy_path_is_what_it_was(scene: Scene, *, soft_delete: bool) -> None:
    """Byte for byte and field for field, but for generations and times; and a writer's object is the writer's."""
    if not soft_delete:
        bucket = scene.paths.bucket("source")
        bucket.reload()
        bucket.soft_delete_policy.retention_duration_seconds = 0
        bucket.patch()
    scene.both(
        *NAMES, metadata={"k": "v"}, cache_control="no-store", content_language="fr", content_type="x/y"
    )
    scene.both(*(f"plain/{number:03}" for number in range(260)))
    scene.both("empty/", "flat.csv", content_encoding="identity", content_disposition="inline")
    scene.paths.put("a/.DS_Store", b"never migrated")
    scene.cut_over()
    total = len(NAMES) + 262
    before, there = scene.legacy(), scene.paths.diff(scene.commands.gateway)

    def meanwhile(_: float) -> None:
        scene.commands.pauses = lambda _: None
        scene.paths.put(WRITER, b"written between the manifest and the deletion", metadata={"late": "yes"})
        stormy(scene)

    scene.commands.pauses = meanwhile
    ended = scene.delete(total)
    scene.paths.server.clear_faults()
    assert (ended.code, ended.err) == (1, "")
    assert f"{total - 1:,} deleted" in ended.out
    assert "1 overwritten since" in ended.out
    assert sorted(scene.legacy()) == ["a/.DS_Store", WRITER]
    assert scene.phase is Phase.DELETING
    expected = {**before, WRITER: scene.legacy()[WRITER]}
    stormy(scene, RESTORE, REWRITE)
    undone = scene.undo(scene.manifest_uri, "--execute")
    scene.paths.server.clear_faults()
    assert (undone.code, undone.err) == (1, "")  # the writer's object is not what the manifest says
    assert f"{total - 1:,} of {total:,} are what the manifest says" in undone.out
    assert scene.legacy() == expected
    assert {pair.relative: pair.destination for pair in scene.paths.diff(scene.commands.gateway)} == {
        pair.relative: pair.destination for pair in there
    }
    assert scene.paths.requests(REWRITE if soft_delete else RESTORE) == 0
