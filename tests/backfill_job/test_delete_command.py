"""The command ``delete_old_qpi_exports``, as its user meets it."""

from testing_deletion import Scene, day

from shared.phase import Phase


def test_what_was_proven_is_deleted_and_the_phase_is_deleted(scene: Scene) -> None:
    """The manifest first; then exactly its lines; the new path is not touched."""
    scene.both(day(1), day(1, 2), day(2), "README", "qpi_answers_20230101.jsonl")
    scene.cut_over()
    before = scene.paths.names()
    ended = scene.delete(5)
    assert (ended.code, ended.err) == (0, ""), ended
    assert scene.paths.names(side="source") == []
    assert scene.paths.names() == before
    assert scene.phase is Phase.DELETED
