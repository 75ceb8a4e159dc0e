"""Report files: complete or absent."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from backfill_job.run.reports import ReportDirectory
from shared.errors import CannotWrite, UsageError


def test_object_lines_appear_under_their_name_when_complete(tmp_path: Path) -> None:
    """Until then they are called partial."""
    report = ReportDirectory(tmp_path / "new" / "folder")
    with report.lines("objects.jsonl") as lines:
        lines.write({"name": "é\n", "outcome": "copied"})
        assert [path.name for path in report.path.iterdir()] == ["objects.jsonl.partial"]
    assert [path.name for path in report.path.iterdir()] == ["objects.jsonl"]
    assert json.loads((report.path / "objects.jsonl").read_text()) == {"name": "é\n", "outcome": "copied"}


def test_object_lines_of_a_broken_run_stay_partial(tmp_path: Path) -> None:
    """A half-written file must not pass for a whole one, nor replace the last whole one."""
    report = ReportDirectory(tmp_path)
    (tmp_path / "objects.jsonl").write_text("the run before\n")
    with pytest.raises(TypeError, match="not JSON serializable"), report.lines("objects.jsonl") as lines:
        lines.write({"name": {"a", "set"}})
    assert (tmp_path / "objects.jsonl").read_text() == "the run before\n"
    assert (tmp_path / "objects.jsonl.partial").exists()


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    """Bad input is exit code 2, never a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot make the report directory"):
        ReportDirectory(tmp_path / "file" / "x")


def test_a_file_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    """The same for a file in it."""
    report = ReportDirectory(tmp_path)
    (tmp_path / "plan.json").mkdir()
    with pytest.raises(CannotWrite, match="cannot write"):
        report.write("plan.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    (tmp_path / "objects.jsonl.partial").mkdir()
    with pytest.raises(UsageError, match="cannot write"):
        report.lines("objects.jsonl").__enter__()


def test_a_report_that_two_tasks_write_at_once_is_there_whole(tmp_path: Path) -> None:
    """Whoever completes the set composes it; two may find so at once."""
    reports, data = ReportDirectory(tmp_path), b"x" * 100_000
    with ThreadPoolExecutor(4) as tasks:
        for written in [tasks.submit(reports.write, "run.json", data) for _ in range(200)]:
            written.result()
    assert reports.read("run.json") == data
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_report_that_cannot_be_read_is_not_a_report_that_is_not_there(tmp_path: Path) -> None:
    """None is for a file that is not there, and for nothing else."""
    report = ReportDirectory(tmp_path)
    assert report.read("run.json") is None
    (tmp_path / "run.json").mkdir()
    with pytest.raises(UsageError, match=r"cannot read .*run.json: Is a directory"):
        report.read("run.json")
    (tmp_path / "file").write_text("")
    inside = ReportDirectory(tmp_path)
    with pytest.raises(UsageError, match=r"cannot read .*: Not a directory"):
        inside.read("file/run.json")


def test_lines_that_cannot_be_written_to_the_end_are_one_clear_line() -> None:
    """A full disk: the file never gets its name."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this machine has no /dev/full")
    with TemporaryDirectory() as folder:
        report = ReportDirectory(Path(folder))
        (report.path / "objects.jsonl.partial").symlink_to(full)
        with (
            pytest.raises(CannotWrite, match="No space left on device; what was copied stays"),
            report.lines("objects.jsonl") as lines,
        ):
            lines.write({"name": "x"})
        assert not (report.path / "objects.jsonl").exists()
