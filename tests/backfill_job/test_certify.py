"""The certificate: recomputed by the command, and by a page of shell that shares no code with it."""

import json
import subprocess
from collections.abc import Callable
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest
from foreign_tools import gcloud_environment
from testing_commands import Ended, run_command
from testing_paths import Paths

from backfill_job.verify.certificate import canonical, certificate, data_of
from backfill_job.verify.day_counts import DayCounts
from shared.gateway import Gateway
from shared.partitions import DAY_PATTERN, LAYOUTS

ROOT = Path(__file__).parent.parent.parent
NAMES = [
    "",
    "plain.txt",
    ".DS_Store",
    "qpi_answers_20240101/",
    "qpi_answers_20240101/.DS_Store",
    "qpi_answers_20240101/user_id_7.jsonl",
    "qpi_answers_20240101/user_id_8.JSONL",
    "qpi_answers_20240102/stray 1 #2.txt",
    "qpi_answers_20240231/user_id_1.jsonl",
    "qpi_answers_20240103.jsonl",
    "qpi_answers_20240103.jsonl.bak",
    "qpi_questions_20240104.csv",
    "unicode é 日本 😀.jsonl",
    "<script>alert(1)</script>",
    "qpi_answers_2026-11-23.jsonl",
    *(layout.name(date(2024, 2, 1 + number), 5, "odd name") for number, layout in enumerate(LAYOUTS)),
]


@pytest.fixture
def check(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Ended]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)

    def run(file: Path) -> Ended:
        return run_command("certify", "--check", str(file), "--log-dir", str(tmp_path / "logs"))

    return run


def fill(paths: Paths) -> None:
    for name in NAMES:
        paths.put(name, b"" if name.endswith("/") else name.encode())
        if name != "plain.txt":
            paths.put(name, b"" if name.endswith("/") else name.encode(), side="destination")


def certified(paths: Paths, gateway: Gateway, folder: Path) -> Path:
    counts = DayCounts()
    counts.add(paths.diff(gateway))
    path = folder / "certificate.json"
    path.write_bytes(canonical(certificate(data_of(paths.migration, counts), {"run": "test-1"})))
    return path


def test_the_certificate_holds_until_an_object_changes(
    paths: Paths, gateway: Gateway, tmp_path: Path, check: Callable[[Path], Ended]
) -> None:
    """And then it is named by its day and side."""
    fill(paths)
    file = certified(paths, gateway, tmp_path)
    ended = check(file)
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(file.read_bytes())["data_sha256"] in ended.out
    paths.put("qpi_answers_20240101/user_id_7.jsonl", b"other", side="destination")
    paths.put(".DS_Store", b"left behind anyway")
    ended = check(file)
    assert ended.code == 1
    assert "2024-01-01 destination: 3 objects" in ended.out
    assert "1 lines differ" in ended.out


def test_a_certificate_of_other_layouts_is_refused(
    paths: Paths, gateway: Gateway, tmp_path: Path, check: Callable[[Path], Ended]
) -> None:
    """They may put an object under another day. One without a version was made when there was only the first."""
    fill(paths)
    file = certified(paths, gateway, tmp_path)
    content = json.loads(file.read_bytes())
    for layouts, code in ((2, 2), (None, 0)):
        data = {**content["data"], "layouts": layouts}
        if layouts is None:
            del data["layouts"]
        file.write_bytes(canonical(certificate(data, content["run"])))
        ended = check(file)
        assert (ended.code, "version 2 of the layouts" in ended.err) == (code, layouts == 2), ended


def test_the_page_of_shell_knows_the_layouts() -> None:
    """A layout that is added to the table is added there."""
    assert f'DAY_PATTERN = r"{DAY_PATTERN}"\n' in (ROOT / "docs" / "recompute-certificate.sh").read_text()


def test_a_page_of_shell_recomputes_it(paths: Paths, gateway: Gateway, tmp_path: Path) -> None:
    """``docs/recompute-certificate.sh``: the real ``gcloud storage ls``, and none of our code."""
    fill(paths)
    file = certified(paths, gateway, tmp_path)

    def recomputed() -> tuple[int, str]:
        done = subprocess.run(
            [ROOT / "docs" / "recompute-certificate.sh", file],
            env=gcloud_environment(paths.server.url, tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    assert recomputed() == (0, f"same: data SHA-256 {json.loads(file.read_bytes())['data_sha256']}\n")
    paths.delete("qpi_questions_20240104.csv", side="destination")
    code, said = recomputed()
    assert (code, said.splitlines()[1:]) == (1, ["  2024-01-04"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace('"objects":1', '"objects":2', 1), "was changed since it was written"),
        (lambda text: text.replace("certificate/1", "certificate/2"), "has the format"),
        (lambda text: text[:-9], "is not a certificate"),
        (lambda _: "[]", "is not a certificate"),
        (lambda _: '{"format": "qpi-exports-migration/certificate/1"}', "is a damaged certificate"),
        (lambda text: text.replace("gs://", "s3://"), "is not a Cloud Storage prefix"),
        (lambda text: text.replace('"days":{', '"days":{"x":7,'), "is a damaged certificate"),
    ],
)
def test_what_is_no_certificate_is_refused(  # noqa: PLR0917 -- three fixtures, two parameters
    paths: Paths,
    gateway: Gateway,
    tmp_path: Path,
    check: Callable[[Path], Ended],
    change: Callable[[str], str],
    reason: str,
) -> None:
    """One line, exit code 2, and nothing is compared with it."""
    fill(paths)
    file = certified(paths, gateway, tmp_path)
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    ended = check(file)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert reason in ended.err


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, check: Callable[[Path], Ended]) -> None:
    """Exit code 2."""
    ended = check(tmp_path / "none.json")
    assert (ended.code, "cannot read" in ended.err) == (2, True)


def test_a_listing_that_fails_is_no_answer(
    paths: Paths, gateway: Gateway, tmp_path: Path, check: Callable[[Path], Ended]
) -> None:
    """Neither "the same" nor "different"."""
    fill(paths)
    file = certified(paths, gateway, tmp_path)
    rule = {"method": "storage.objects.list", "skip": 4, "status": 403, "count": None}
    paths.server.set_faults(rules=[rule])
    ended = check(file)
    assert ended.code == 1
    assert "certif" not in ended.out.lower()


def test_the_same_data_give_the_same_certificate_whoever_asks(
    paths: Paths, gateway: Gateway, tmp_path: Path
) -> None:
    """Byte for byte in ``data``; what differs is who and when."""
    fill(paths)
    one = json.loads(certified(paths, gateway, tmp_path).read_bytes())
    other = json.loads(certified(paths, gateway, tmp_path).read_bytes())
    assert one["data"] == other["data"]
    assert one["data_sha256"] == sha256(canonical(other["data"])).hexdigest()


def test_a_certificate_about_nothing_proves_nothing(
    paths: Paths, check: Callable[[Path], Ended], gateway: Gateway, tmp_path: Path
) -> None:
    """Neither then nor now was there an object: the data are the same, and that is not equality."""
    ended = check(certified(paths, gateway, tmp_path))
    assert ended.code == 1
    assert "this proves nothing" in ended.out
