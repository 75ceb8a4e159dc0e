"""The demo's command line, its repeated commands, and the mirror function's process as the demo and the tests run it."""

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

import local_gcs
from demo import story
from demo.__main__ import main
from demo.function import FunctionProcess, running_function
from demo.stage import Stage, Stopped
from local_gcs.waiting import HANGS
from shared.migration import Environment, qpi_exports

MIGRATION = qpi_exports(Environment.DEV)
NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--objects", "109"], "109 are too few"),
        (["--rate", "0"], "0 is not above 0"),
        (["--rate", "nan"], "nan is not above 0"),
        (["--report", "/dev/null/report"], "/dev/null/report cannot be made (Not a directory)"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the demo starts a server or writes anything."""
    report = [] if "--report" in arguments else ["--report", str(tmp_path / "report")]
    with pytest.raises(SystemExit) as end:
        main([*report, *arguments])
    said = capsys.readouterr()
    assert (end.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert told in said.err
    assert not (tmp_path / "report").exists()


def test_a_name_that_looks_like_a_line_break_loses_no_line(tmp_path: Path) -> None:
    """The function writes such characters as they are; its last line may be torn by a kill."""
    log = tmp_path / "mirror.log"
    log.write_text('{"object": "a\u2028b\x85c"}\na library\'s line\n{"object": "d"', encoding="utf-8")
    assert FunctionProcess(NOWHERE, MIGRATION, log, {}).lines() == [{"object": "a\u2028b\x85c"}]


def test_a_function_that_does_not_start_says_where_to_look(tmp_path: Path) -> None:
    """Its own end, not that there is nothing left to be stopped."""
    log = tmp_path / "mirror.log"
    with (
        pytest.raises(RuntimeError, match=f"did not start; see {log}") as end,
        running_function(NOWHERE, MIGRATION, log, {"PYTHONHOME": "/nowhere"}),
    ):
        pass
    assert end.value.__context__ is None


def test_what_stops_the_demo_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    """Here the functions framework refuses its environment; the exit code is 1."""
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--objects", "1000", "--report", str(tmp_path)],
        env={**os.environ, "WORKERS": "nonsense"},
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
    )
    assert done.returncode == 1
    assert f"The demo stops here: the function did not start; see {tmp_path}/mirror.log\n" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stdout.startswith("This takes about ")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage where no copy succeeds, so that an execution ends with 1."""
    with local_gcs.running(buckets=[MIGRATION.source.bucket, MIGRATION.destination.bucket]) as server:
        server.fill(MIGRATION.source.bucket, 3, prefix=MIGRATION.source.prefix)
        server.set_faults(rules=[{"method": "storage.objects.rewrite", "status": 400, "count": None}])
        yield Stage(Console(file=io.StringIO(), width=100), server, tmp_path)


def test_a_command_runs_again_where_its_output_advises_it(stage: Stage) -> None:
    """Exit code 1, the explanation, the same command again, exit code 0."""
    explained: list[str] = []

    def again() -> bool:
        explained.append("3 failed")
        stage.server.clear_faults()
        return True

    stage.migrate("--execute", "--yes", "--grace", "0", again=again)
    assert explained == ["3 failed"]
    assert (
        stage.console.file.getvalue().count("$ migrate_qpi_exports --env dev --execute --yes --grace 0") == 2
    )  # type: ignore[attr-defined]


def test_a_long_command_line_can_be_pasted(stage: Stage) -> None:
    """It is not broken at the width of the screen."""
    words = (
        "--execute",
        "--yes",
        "--grace",
        "0",
        *(word for number in range(9) for word in ("--exclude", f"*.part{number}")),
    )
    with pytest.raises(Stopped):
        stage.migrate(*words)
    assert f"$ migrate_qpi_exports --env dev {shlex.join(words)}\n" in stage.console.file.getvalue()  # type: ignore[attr-defined]


def test_the_chapters_are_numbered_in_order() -> None:
    """Two of them had the same number."""
    written = "".join(
        Path(story.__file__).with_name(name).read_text() for name in ("story.py", "__main__.py")
    )
    numbers = [int(number) for number in re.findall(r'"(\d+)\. [A-Z]', written)]
    assert numbers == [*range(1, len(numbers) + 1)]


def test_a_command_that_must_not_run_again_stops_the_demo(stage: Stage) -> None:
    """A failure that the demo does not know is not repeated away."""
    with pytest.raises(Stopped, match="`migrate_qpi_exports` ended with exit code 1, and 0 was expected"):
        stage.migrate("--execute", "--yes", "--grace", "0", again=lambda: False)
