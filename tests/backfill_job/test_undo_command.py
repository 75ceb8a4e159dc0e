"""The command ``undo``, as its user meets it."""

from testing_deletion import Scene, day


def test_a_deletion_is_undone(scene: Scene) -> None:
    """From soft delete; every object is what it was, but for generations and times."""
    scene.both(day(1), day(1, 2), day(2), metadata={"k": "v"}, cache_control="no-store")
    scene.cut_over()
    before = scene.legacy()
    assert scene.delete(3).code == 0
    assert scene.legacy() == {}
    ended = scene.undo(scene.manifest_uri)
    assert (ended.code, ended.err) == (0, ""), ended
    assert scene.legacy() == {}
    ended = scene.undo(scene.manifest_uri, "--execute")
    assert (ended.code, ended.err) == (0, ""), ended
    assert scene.legacy() == before
    ended = scene.undo(
        "--rehearse",
        "--source",
        scene.paths.migration.source.uri,
        "--destination",
        scene.paths.migration.destination.uri,
    )
    assert (ended.code, ended.err) == (0, ""), ended
