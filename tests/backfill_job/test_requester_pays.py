"""Buckets that bill who asks: every request of every command names the project that pays."""

import pytest
from testing_commands import Commands, run_command, where
from testing_deletion import Scene
from testing_paths import Paths

PAYS = ("--billing-project", "who-pays")
ROW = b'{"user_id":"1","submitted_at":"2024-01-01T00:00:00Z","answers":[]}\n'
NAME = "qpi_answers_20240101/user_id_1.jsonl"
BEFORE_CUTOVER = (
    ("begin", "--by", "Ada"),
    ("migrate",),
    ("migrate", "--execute", "--yes", "--ungoverned"),
    ("verify", "--contents", "all"),
    ("import-test", "--date", "2024-01-01"),
    ("signoff", "qpi-team", "--by", "Ada"),
    ("status",),
    ("gate", "--canary", "1"),
    ("cutover", "--by", "Ada", "--yes", "--canary", "1"),
    ("delete",),
    ("undo", "--rehearse"),
    ("erasure", NAME),
    ("smoke",),
    ("smoke", "--canary", "1"),
)
"""In their order. Some end with a check that fails here; all their requests are made."""

AFTER_CUTOVER = (
    ("rollback", "--refresh"),
    ("verify",),
    ("erasure", "qpi_answers_20240102/user_id_1.jsonl", "--execute", "--by", "Ada"),
    ("rollback", "--by", "Ada", "--yes"),
)


LOGGED = ("migrate", "verify", "gate", "cutover", "rollback", "delete", "undo")
GRACED = ("migrate", "verify")


@pytest.fixture
def charged(paths: Paths) -> Paths:
    """An object at the legacy path; then both buckets bill who asks."""
    paths.forget()
    paths.put(NAME, ROW)
    return _charged(paths)


def _charged(paths: Paths) -> Paths:
    for location in (paths.migration.source, paths.migration.destination):
        bucket = paths.client.bucket(location.bucket)
        bucket.requester_pays = True
        bucket.patch()
    return paths


def _asked(commands: Commands, command: str, *arguments: str) -> str:
    """Run a command; gives its screen. Of its requests none was refused for want of a project that pays."""
    server = commands.paths.server
    server.reset_stats()
    grace = ("--grace", "0") if command in GRACED else ()
    logs = ("--log-dir", str(commands.folder)) if command in LOGGED else ()
    ended = run_command(command, *where(commands.paths), *PAYS, *grace, *logs, *arguments)
    said = f"{command} {' '.join(arguments)}: {ended.out}{ended.err}"
    methods = server.stats()["methods"]
    assert methods, said
    assert not [name for name, method in methods.items() if "400" in method["by_status"]], said
    return said


def test_before_the_cutover(charged: Paths, commands: Commands) -> None:
    """Also the looks for other migrations' records, and the tasks' first looks."""
    for command, *arguments in BEFORE_CUTOVER:
        _asked(commands, command, *arguments)


def test_a_migration_begins_by_itself(charged: Paths, commands: Commands) -> None:
    """The first copy makes the record, and asks once more for those of others."""
    assert "1 copied" in _asked(commands, "migrate", "--execute", "--yes", "--ungoverned")


def test_after_the_cutover(scene: Scene) -> None:
    """Both directions, the deletion and its undo."""
    scene.both(NAME, "qpi_answers_20240102/user_id_1.jsonl")
    scene.cut_over()
    _charged(scene.paths)
    for command, *arguments in AFTER_CUTOVER:
        _asked(scene.commands, command, *arguments)


def test_the_deletion_and_its_undo(scene: Scene) -> None:
    """The manifest's own files lie in a bucket that bills, too."""
    scene.both(NAME)
    scene.cut_over()
    _charged(scene.paths)
    deleted = scene.delete(1, *PAYS)
    assert deleted.code == 0, deleted
    said = _asked(scene.commands, "undo", "--execute", "--yes", "--ungoverned")
    assert "1 object" in said
