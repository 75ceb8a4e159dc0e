"""Neither what objects hold nor what authorizes a request is ever written anywhere: not on a screen, in a log, a report or the state."""

import asyncio
import re
from pathlib import Path

import pytest
from testing_commands import Commands, run_command, where
from testing_deletion import Scene
from testing_paths import Paths

from demo.function import running_function
from shared.errors import StorageError, UsageError
from shared.gcs.api import AsyncApi, RetryPolicy
from shared.gcs.credentials import Grant
from shared.gcs.wire import proxy_for
from shared.objects import ObjectRef

CONTENTS = "s3cr3t-answer"
TOKEN = "ya29.s3cr3t-token"
PASSWORD = "s3cr3t-password"
DAY = "qpi_answers_20240101"

GOOD = '{"user_id":"7","submitted_at":"2024-01-01T08:00:00Z","answers":[{"question_id":"%s","answer_ids":["%s"]}]}\n'
BAD = '{"user_id":"%s","submitted_at":"%s","unknown":"%s"}\n{"%s'


def marked(text: str) -> bytes:
    return text.replace("%s", CONTENTS).encode()


def everything_left(folder: Path) -> dict[str, str]:
    """Every file below a folder, and every screen that was kept there."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_no_object_s_contents_are_written_anywhere(scene: Scene, paths: Paths, tmp_path: Path) -> None:
    """Good rows and bad ones, through verification with contents, import test, deletion, undo, and the mirror."""
    commands: Commands = scene.commands
    names = [f"{DAY}/user_id_{number}.jsonl" for number in range(1, 4)]
    for name, text in zip(names, (GOOD, BAD, "%s"), strict=True):
        paths.put(name, marked(text))
    log = tmp_path / "mirror.log"
    with running_function(paths.server.url, paths.migration, log) as function:
        paths.server.add_subscriber(function.url, types=["finalized"], bucket=paths.migration.source.bucket)
        paths.put(names[0], marked(GOOD))
        paths.server.wait_for_events()
    report = ("--report", str(tmp_path / "report"))
    screens = [commands.run("migrate", "--execute", "--yes", *report)]
    screens += [commands.run("verify", "--contents", "all", *report)]
    screens += [
        commands.run("import-test", "--date", "20240101", *report),
        run_command("status", *where(paths)),
    ]
    scene.cut_over()
    screens += [scene.delete(len(names), *report), scene.undo(scene.manifest_uri, "--execute", *report)]
    assert [ended.code for ended in screens] == [0, 0, 1, 0, 0, 0]
    left = everything_left(tmp_path)
    assert len(left) > 10
    left |= {f"screen {number}": ended.out + ended.err for number, ended in enumerate(screens)}
    for blob in paths.client.list_blobs(paths.migration.destination.bucket, prefix="_migration/"):
        left[blob.name] = blob.download_as_bytes().decode(errors="replace")
    assert any(name.endswith("state.json") for name in left)
    assert [name for name, text in left.items() if CONTENTS in text] == []


class Marked:
    """A grant whose token is easily found again."""

    def fetch(self) -> Grant:
        return Grant({"Authorization": f"Bearer {TOKEN}"})


HASTY = RetryPolicy(deadline=0.2, initial=0.01)
FAULTS = [
    {"status": status, "count": None}
    for status in (400, 401, 403, 404, 412, 429, 500, 503, "reset_before", "truncate")
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault["status"]))
def test_no_error_names_the_token(paths: Paths, fault: dict[str, object]) -> None:
    """Whatever goes wrong: neither in its message nor in what a traceback would show."""
    paths.server.set_faults(rules=[fault])

    async def once() -> None:
        async with AsyncApi(endpoint=paths.server.url, access=Marked(), retry=HASTY) as api:
            await api.look(ObjectRef("b", "o"))

    with pytest.raises(StorageError) as raised:
        asyncio.run(once())
    error: BaseException | None = raised.value
    while error is not None:
        assert TOKEN not in f"{error!r} {error} {vars(error)}"
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "named",
    [
        f"http://ada:{PASSWORD}@proxy:3128",
        f"https://ada:{PASSWORD}@proxy:3128",
        f"http://ada:{PASSWORD}@proxy:port",
        f"ada:{PASSWORD}@",
    ],
)
def test_a_proxy_s_password_is_not_shown(named: str) -> None:
    """Neither where it can be used nor where it is refused."""
    try:
        shown = repr(proxy_for("storage.googleapis.com", {"HTTPS_PROXY": named}))
    except UsageError as error:
        shown = str(error)
    assert PASSWORD not in shown
    assert not re.search("Basic [A-Za-z0-9+/]", shown)
