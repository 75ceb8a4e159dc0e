"""The certificate: recomputed by the command, and by a page of shell that shares no code with it."""

import copy
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from foreign_tools import gcloud_environment
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from testing_commands import Ended, run_command
from testing_paths import Paths

from backfill_job.verify.certificate import CertifiedRun, certificate, data_of, read_certificate
from backfill_job.verify.day_counts import DayCounts
from shared.errors import UsageError
from shared.gateway import Gateway
from shared.migration import Location, Migration
from shared.objects import LEFT_OUT
from shared.partitions import DAY_PATTERN, LAYOUTS, LAYOUTS_VERSION
from shared.verification import DayTotals, SideTotals, Verdict, digest_of

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
    counts, lines = DayCounts(), paths.diff(gateway)
    counts.add(lines)
    found = Counter(line.verdict for line in lines)
    path = folder / "certificate.json"
    path.write_bytes(certificate(data_of(paths.migration, counts), run_of(found)).to_bytes())
    return path


def run_of(found: Counter[Verdict]) -> CertifiedRun:
    clean = all(verdict.settled for verdict in found)
    times = ("2026-11-28T10:00:00.000+00:00", "2026-11-28T10:00:09.000Z")
    return CertifiedRun("test-1", *times, clean, {verdict: found[verdict] for verdict in Verdict})


def digest(content: object) -> str:
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(plain.encode()).hexdigest()


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The content with digests that fit, as a forger would write it."""
    rest = {key: content[key] for key in content if key != "fields_sha256"} | {
        "data_sha256": digest(content["data"])
    }
    return rest | {"fields_sha256": digest(rest)}


def test_the_certificate_holds_until_an_object_changes(
    paths: Paths, gateway: Gateway, tmp_path: Path, check: Callable[[Path], Ended]
) -> None:
    """And then it is named by its day and side."""
    fill(paths)
    file = certified(paths, gateway, tmp_path)
    ended = check(file)
    held = f"Both paths hold what the certificate says: data SHA-256 {json.loads(file.read_bytes())['data_sha256']}"
    assert (ended.code, ended.err) == (1, "")
    assert f"NOT EQUAL, on 1 day: undated. {held}\n" in ended.out
    assert f"  not compared: {', '.join(LEFT_OUT)}\n" in ended.out
    paths.put("plain.txt", b"plain.txt", side="destination")
    file = certified(paths, gateway, tmp_path)
    ended = check(file)
    assert (ended.code, "both sides are equal" in ended.out) == (0, True)
    paths.put("qpi_answers_20240101/user_id_7.jsonl", b"other", side="destination")
    paths.put(".DS_Store", b"left behind anyway")
    ended = check(file)
    assert ended.code == 1
    assert "2024-01-01 destination: 3 objects" in ended.out
    assert "1 line not the same" in ended.out


def test_a_certificate_of_other_layouts_is_refused(
    paths: Paths, gateway: Gateway, tmp_path: Path, check: Callable[[Path], Ended]
) -> None:
    """They may put an object under another day."""
    fill(paths)
    file = certified(paths, gateway, tmp_path)
    content = json.loads(file.read_bytes())
    content["data"]["layouts"] = 2
    file.write_text(json.dumps(sealed(content)))
    ended = check(file)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "data.layouts is 2; this program counts days by version 1" in ended.err


def test_the_page_of_shell_knows_the_layouts() -> None:
    """A layout that is added to the table is added there."""
    script = (ROOT / "docs" / "recompute-certificate.sh").read_text()
    assert f'DAY_PATTERN = r"{DAY_PATTERN}"\n' in script
    assert f"LAYOUTS = {LAYOUTS_VERSION}\n" in script


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

    content = json.loads(file.read_bytes())
    assert recomputed() == (1, f"same: data SHA-256 {content['data_sha256']}\nNOT EQUAL: undated\n")
    for edited, field in (
        (content | {"run": content["run"] | {"clean": True}}, "fields_sha256"),
        (
            content | {"data": content["data"] | {"total": content["data"]["days"]["2024-01-01"]}},
            "data_sha256",
        ),
    ):
        file.write_text(json.dumps(edited))
        code, said = recomputed()
        assert (code, field in said) == (2, True), said
    file.write_text(json.dumps(content))
    paths.delete("qpi_questions_20240104.csv", side="destination")
    code, said = recomputed()
    assert (code, said.splitlines()[1:]) == (1, ["  2024-01-04"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace('"objects":1', '"objects":2', 1), "data_sha256 is"),
        (lambda text: text.replace('"clean":false', '"clean":true'), "fields_sha256 is"),
        (
            lambda text: text.replace("certificate/2", "certificate/1"),
            "run verify for a new certificate",
        ),
        (lambda text: text[:-9], "is not a certificate"),
        (lambda _: "[]", "is not a certificate (it holds a list, not an object with fields)"),
        (lambda _: "null", "is not a certificate (it holds null, not an object with fields)"),
        (lambda _: "", "is not a certificate (it is empty)"),
        (lambda _: '{"format": "qpi-exports-migration/certificate/2"}', "has no 'data'"),
        (lambda text: text.replace('"days":{', '"days":{"x":7,'), "data.days"),
        (lambda text: text.replace('"days":{', '"days":{"undated":{},'), "stands there twice"),
        (
            lambda text: text.replace('"clean":false', '"clean":false,"equal":true'),
            "run.equal is an unknown field",
        ),
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
    assert "certif" not in ended.out.partition("log: ")[0].lower()


def test_a_true_certificate_of_what_was_not_clean_is_not_confirmed(
    paths: Paths, gateway: Gateway, tmp_path: Path, check: Callable[[Path], Ended]
) -> None:
    """Sizes and crc32c are equal, and the metadata are not: both sides hold that, and they are not equal."""
    for side, kind in (("source", "application/json"), ("destination", "text/plain")):
        paths.put("a/1", side=side, content_type=kind)
    ended = check(certified(paths, gateway, tmp_path))
    assert (ended.code, ended.err) == (1, "")
    assert "NOT clean, although sizes and crc32c are equal: 1 metadata differs. Both paths hold" in ended.out


def test_the_same_data_give_the_same_certificate_whoever_asks(
    paths: Paths, gateway: Gateway, tmp_path: Path
) -> None:
    """Byte for byte in ``data``; what differs is who and when."""
    fill(paths)
    one = json.loads(certified(paths, gateway, tmp_path).read_bytes())
    other = json.loads(certified(paths, gateway, tmp_path).read_bytes())
    assert one["data"] == other["data"]
    assert one["data_sha256"] == digest(other["data"])


def test_a_certificate_about_nothing_proves_nothing(
    paths: Paths, check: Callable[[Path], Ended], gateway: Gateway, tmp_path: Path
) -> None:
    """Neither then nor now was there an object: the data are the same, and that is not equality."""
    ended = check(certified(paths, gateway, tmp_path))
    assert ended.code == 1
    assert "this proves nothing" in ended.out


DAY, UNDATED = "2024-01-01", "undated"


def side(objects: int, size: int, jsonl: int, empty: int, number: int) -> SideTotals:
    return SideTotals(objects, size, jsonl, empty, digest_of([number]))


def written(
    found: Counter[Verdict], dated: tuple[SideTotals, SideTotals], undated: tuple[SideTotals, SideTotals]
) -> dict[str, Any]:
    """A certificate as the command writes it, of a day and what has none."""
    counts = DayCounts()
    for day, sides in ((date(2024, 1, 1), dated), (None, undated)):
        counts.add_day(DayTotals.of(day, *sides, {}))
    migration = Migration(Location.parse("gs://legacy/a/"), Location.parse("gs://new/b/"))
    content: dict[str, Any] = json.loads(certificate(data_of(migration, counts), run_of(found)).to_bytes())
    return content


EQUAL = written(
    Counter({Verdict.EQUAL: 3}),
    (side(2, 9, 2, 1, 77), side(2, 9, 2, 1, 77)),
    (side(1, 4, 0, 0, 5), side(1, 4, 0, 0, 5)),
)
UNEQUAL = written(
    Counter({Verdict.EQUAL: 1, Verdict.MISSING: 1, Verdict.CONTENT_DIFFERS: 1, Verdict.METADATA_DIFFERS: 1}),
    (side(3, 9, 2, 1, 2**256 - 1), side(2, 8, 2, 1, 78)),
    (side(1, 4, 0, 0, 5), side(1, 4, 0, 0, 5)),
)


def read(content: object) -> Any:
    return read_certificate(json.dumps(content).encode(), "c.json")


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every field, those with fields of their own included."""
    if path:
        yield path
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield from leaves(content[key], (*path, key))


def edited(content: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    made = copy.deepcopy(content)
    inner: Any = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


def test_equality_follows_from_the_days() -> None:
    """No field says it."""
    assert read(EQUAL).unequal_days == ()
    assert read(UNEQUAL).unequal_days == (DAY,)
    assert read(EQUAL).not_compared == LEFT_OUT


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2**64)
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
    | st.sampled_from(
        ["0" * 64, "f" * 64, DAY, UNDATED, "gs://new/b/", "gs://x/y/", "equal", "2026-11-28T10:00:00Z"]
    )
    | st.lists(st.text(max_size=3), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.integers(0, 3), max_size=2)
)
FIELDS = st.sampled_from([(sample, path) for sample in (EQUAL, UNEQUAL) for path in leaves(sample)])
QUICKLY = settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@QUICKLY
@given(FIELDS, VALUES)
def test_an_edit_of_any_field_is_refused(field: tuple[dict[str, Any], tuple[Any, ...]], value: Any) -> None:
    """With one line. A digest covers every field."""
    content, path = field
    made = edited(content, path, value)
    if made == content and repr(made) == repr(content):
        return
    with pytest.raises(UsageError) as refused:
        read(made)
    assert str(refused.value).startswith("c.json")
    assert "\n" not in str(refused.value)


@QUICKLY
@given(FIELDS, VALUES)
def test_a_forgery_is_refused_or_is_of_other_objects(
    field: tuple[dict[str, Any], tuple[Any, ...]], value: Any
) -> None:
    """Whoever edits a field and every digest: the result is still no proof, because the buckets hold something else."""
    content, path = field
    made = edited(content, path, value)
    if not isinstance(made.get("data"), dict):
        return
    try:
        found = read(sealed(made))
    except UsageError:
        return
    original = read(content)
    assert found.unequal_days == original.unequal_days or found.changes(original.data)
    if path[0] == "data" and made["data"] != content["data"]:
        assert found.data.migration != original.data.migration or found.changes(original.data)


@pytest.mark.parametrize(
    ("content", "path", "value", "said"),
    [
        (UNEQUAL, ("run", "clean"), True, "run.clean is true; run.counts has missing, content_differs"),
        (UNEQUAL, ("run", "counts", "missing"), 0, "run.counts does not add up to data.total"),
        (EQUAL, ("run", "counts", "in_flight"), 1, "run.counts does not add up to data.total"),
        (EQUAL, ("data", "total", "source", "bytes"), 14, "data.total.source.bytes is 14; its days have 13"),
        (EQUAL, ("data", "total", "destination", "digest"), "0" * 64, "data.total.destination.digest is"),
        (
            EQUAL,
            ("data", "days", UNDATED, "source", "objects"),
            2,
            "data.days.undated.destination.objects is 1; ",
        ),
        (EQUAL, ("data", "days", UNDATED, "source", "jsonl"), 2, "data.days.undated.source.jsonl is 2; "),
        (
            EQUAL,
            ("data", "days", DAY, "source", "empty_jsonl"),
            3,
            "data.days.2024-01-01.source.empty_jsonl is 3; ",
        ),
        (
            EQUAL,
            ("data", "days", "20240101"),
            EQUAL["data"]["days"][DAY],
            "data.days has '20240101'; expected a day",
        ),
        (EQUAL, ("data", "days", "2024-02-30"), EQUAL["data"]["days"][DAY], "data.days has '2024-02-30'"),
        (EQUAL, ("data", "days", "2024-02-01"), {}, "data.days"),
        (EQUAL, ("data", "source"), "s3://legacy/a/", "data.source is 's3://legacy/a/'; "),
        (EQUAL, ("data", "destination"), "gs://legacy/a/", "data.destination is 'gs://legacy/a/'; "),
        (EQUAL, ("data", "excludes"), ["b", "a"], "data.excludes is not sorted"),
        (EQUAL, ("run", "started"), "yesterday", "run.started is 'yesterday'; "),
        (
            EQUAL,
            ("format",),
            "qpi-exports-migration/certificate/1",
            "c.json has the format 'qpi-exports-migration/certificate/1'",
        ),
        (EQUAL, ("run", "equal"), True, "run.equal is an unknown field"),
        (EQUAL, ("not_compared",), "nothing", "not_compared is 'nothing'"),
    ],
)
def test_a_contradiction_is_refused_by_its_field(
    content: dict[str, Any], path: tuple[Any, ...], value: Any, said: str
) -> None:
    """Although every digest fits."""
    with pytest.raises(UsageError) as refused:
        read(sealed(edited(content, path, value)))
    assert said in str(refused.value)


def test_a_day_that_is_made_equal_contradicts_the_verdicts() -> None:
    """Days, totals and digests edited together, so that both sides look equal; the verdicts still count a difference."""
    made = copy.deepcopy(UNEQUAL)
    days, total = made["data"]["days"], made["data"]["total"]
    days[DAY]["source"], total["source"] = days[DAY]["destination"], total["destination"]
    with pytest.raises(UsageError, match=r"run\.counts does not add up"):
        read(sealed(made))
