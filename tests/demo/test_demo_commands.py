"""The demo's command line, and the mirror function's process as the demo and the tests run it."""

from pathlib import Path

import pytest

from demo.__main__ import main
from demo.function import FunctionProcess, running_function
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
def test_what_cannot_be_told_is_one_line_and_two(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a server is started or anything is written."""
    with pytest.raises(SystemExit) as end:
        main(["--report", str(tmp_path / "report"), *arguments])
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
