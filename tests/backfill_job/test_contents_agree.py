"""What a load takes is one table: `verify --contents` and `import-test` with the embedded engine agree on every line."""

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_import_test_duckdb import Held
from testing_commands import run_command, where
from testing_paths import Paths

from backfill_job.contents.check import ContentsScope, check_contents
from backfill_job.contents.reader import StoredBytes
from backfill_job.copying.diff import DiffLine, merge_pages
from backfill_job.import_test.compare import Loaded, NotLoadable
from backfill_job.import_test.duckdb import EmbeddedEngine
from backfill_job.run.stopping import Stop
from shared.gcs.api import AsyncApi
from shared.gcs.listing import list_pages
from shared.objects import Metadata, ObjectState
from shared.verification import Severity

LOADS, NOT_LOADABLE, NOT_JUDGED = "loads", "not loadable", "not judged here"

GOOD = {"user_id": "1", "submitted_at": "2026-11-20T10:00:00", "answers": []}
GOOD_LINE = json.dumps(GOOD)


def line(**fields: Any) -> str:
    return json.dumps(GOOD | fields)


KINDS = [
    (GOOD_LINE, LOADS),
    (line(user_id=1), NOT_JUDGED),
    (line(user_id=True), NOT_JUDGED),
    (line(answers=None), LOADS),
    (GOOD_LINE.replace("user_id", "USER_ID"), LOADS),
    (line(submitted_at=1763632800), LOADS),
    (line(submitted_at="1763632800"), NOT_JUDGED),
    *((f'{{"submitted_at":{number}}}', LOADS) for number in ("-0", "-1", "253402300799")),
    *(
        (f'{{"submitted_at":{number}}}', NOT_JUDGED)
        for number in (
            "-0.0",
            "0.1e-400",
            "1763632800.0",
            "1.7636328e9",
            "1.534680695e12",
            "9223372036854775808",
        )
    ),
    *(
        (line(submitted_at=text), NOT_JUDGED)
        for text in (" 2026-11-20T10:00:00", "2026-11-20T10:00:00 ", "2026-11-20  10:00", "1763632800\n")
    ),
    *(
        (line(submitted_at=text), NOT_LOADABLE)
        for text in ("", " ", "NaN", "2026-11-20T24:00:00", "10000-01-01T00:00")
    ),
    (line(submitted_at="2026-11-20T10:00:00.123456789"), NOT_JUDGED),
    (line(submitted_at="2026-11-20 10:00:00 Europe/Paris"), NOT_JUDGED),
    (line(submitted_at="2026-11-20T10:00:00+0100"), NOT_JUDGED),
    (line(submitted_at="2026-11-20 10:00:00 +01:00"), LOADS),
    (line(submitted_at="2026-11-20T10:00:00."), NOT_JUDGED),
    (line(submitted_at="2026-06-30T23:59:60Z"), NOT_JUDGED),
    (line(submitted_at="0001-01-01T00:00:00+14:00"), NOT_LOADABLE),
    (line(submitted_at="2026-11-20"), NOT_JUDGED),
    (line(submitted_at="2026-11-20T10:00"), LOADS),
    (line(submitted_at="soon"), NOT_LOADABLE),
    (line(submitted_at=[]), NOT_LOADABLE),
    (line(user_id={}), NOT_LOADABLE),
    (line(user_id="a\0b"), NOT_JUDGED),
    (line(more=1), NOT_LOADABLE),
    (line(answers={}), NOT_LOADABLE),
    (line(answers=[None]), NOT_LOADABLE),
    (line(answers=[{"answer_ids": ["a", None]}]), NOT_LOADABLE),
    (line(answers=[{"ANSWER_IDS": ["a"], "question_id": None}]), LOADS),
    (line(answers=[{"answer_ids": None}]), LOADS),
    ('{"user_id":"1","user_id":"2"}', NOT_JUDGED),
    ('{"user_id":"1","User_Id":"2"}', NOT_JUDGED),
    ('{"user_id":"\\ud800"}', NOT_JUDGED),
    ('{"user_id":NaN}', NOT_JUDGED),
    ('{"user_id":1e400}', NOT_JUDGED),
    ("\ufeff" + GOOD_LINE, NOT_JUDGED),
    (GOOD_LINE + "\n\n", NOT_JUDGED),
    (GOOD_LINE + "\r", LOADS),
    (" \t" + GOOD_LINE, LOADS),
    ("\x0b" + GOOD_LINE, NOT_LOADABLE),
    (GOOD_LINE[:-1], NOT_LOADABLE),
    (GOOD_LINE + GOOD_LINE, NOT_LOADABLE),
    ("[]", NOT_LOADABLE),
    ("{}", LOADS),
    ("", LOADS),
    ("[" * 3000, NOT_LOADABLE),
    ('{"more": ' + "[" * 900 + "]" * 900 + "}", NOT_LOADABLE),
]
"""The verdict on every kind of line, as the table of ``contents.rows`` and its sources have it."""


def verdict_of_verify(data: bytes, encoding: str | None = None) -> str:
    """What the contents check says of an object's bytes, as `read_back` gives them to it."""
    contents = StoredBytes(state_of(data, encoding))
    for _ in contents.take(data):
        pass
    report = contents.report()
    if report.first(Severity.ERROR):
        return NOT_LOADABLE
    return NOT_JUDGED if report.first(Severity.NOT_JUDGED) else LOADS


def state_of(data: bytes, encoding: str | None) -> ObjectState:
    return ObjectState("x.jsonl", 1, 1, len(data), None, None, "", "", Metadata(content_encoding=encoding))


@pytest.fixture(scope="module")
def engine() -> Iterator[EmbeddedEngine]:
    with EmbeddedEngine(Held([]), readers=1, stop=Stop()) as engine:
        yield engine


def verdict_of_import(engine: EmbeddedEngine, data: bytes, encoding: str | None = None) -> str:
    """What the embedded engine says of a folder with this object only."""
    held = Held([data], [encoding])
    engine._store = held
    match engine.load(held.folder, "t"):
        case Loaded():
            return LOADS
        case NotLoadable():
            return NOT_LOADABLE
    return NOT_JUDGED


@pytest.mark.parametrize(("text", "verdict"), KINDS)
def test_each_kind_of_line_has_one_verdict(engine: EmbeddedEngine, text: str, verdict: str) -> None:
    """Also where it stands among lines that load, and packed."""
    data = text.encode()
    among = line(user_id="0").encode() + b"\n" + data + b"\n" + line(user_id="9").encode()
    for each in (data, among, gzip.compress(data, mtime=0)):
        expected = NOT_JUDGED if each is among and not text else verdict
        assert verdict_of_verify(each) == expected
        assert verdict_of_import(engine, each) == expected


# --- generated lines ------------------------------------------------------------------------------------------

TIMES = st.one_of(
    st.from_regex(
        r"(000[01]|20[0-9]{2}|9999)[-/][01]?[0-9][-/][0-3]?[0-9]([ Tt][0-2]?[0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{0,8})?)?"
        r"( ?(Z|z|UTC|[+-][01]?[0-9](:?[0-6]?[0-9])?)| [A-Z][a-z]+/[A-Z][a-z]+)?)?",
        fullmatch=True,
    ),
    st.from_regex(r"[+-]?[0-9]{1,14}(\.[0-9]{0,3})?(e[0-9]{1,3})?", fullmatch=True),
    st.text(max_size=4),
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | TIMES | st.text(st.characters(), max_size=3)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2), max_leaves=4)
NAMES = st.sampled_from(["question_id", "answer_ids", "ANSWER_IDS", "user_id", "more"])
ANSWERS = st.lists(
    st.dictionaries(NAMES, VALUES | st.lists(st.text(max_size=2)), max_size=3) | VALUES, max_size=3
)
FIELDS = st.fixed_dictionaries(
    {"submitted_at": TIMES | SCALARS},
    optional={
        "user_id": st.text(max_size=2) | VALUES,
        "answers": ANSWERS | VALUES,
        "User_Id": VALUES,
        "x": VALUES,
    },
)
TEXTS = st.builds(
    lambda fields, ascii_only: json.dumps(fields, ensure_ascii=ascii_only).encode(errors="surrogatepass"),
    FIELDS,
    st.booleans(),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A line with a few bytes more, fewer or others."""
    data = bytearray(draw(TEXTS))
    at = draw(st.integers(0, len(data)))
    data[at : at + draw(st.integers(0, 3))] = draw(
        st.sampled_from(
            [b"", b"\n", b"\r", b" ", b"\xff", b'"', b"}", b"{", b",", b"\\u0000", b"\xef\xbb\xbf"]
        )
    )
    return bytes(data)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(TEXTS | damaged(), min_size=1, max_size=3), st.booleans(), st.sampled_from([None, "gzip"]))
def test_both_agree_on_every_line(
    engine: EmbeddedEngine, lines: list[bytes], packed: bool, encoding: str | None
) -> None:
    """Whatever the lines hold, however they are damaged, packed or labelled."""
    data = b"\n".join(lines)
    stored = gzip.compress(data, 1) if packed else data
    assert verdict_of_verify(stored, encoding) == verdict_of_import(engine, stored, encoding)


# --- the cases, through the real commands -----------------------------------------------------------------------

CASES = Path(__file__).parents[2].parent / "shared" / "cases" / "ndjson.tsv"


def cases() -> list[tuple[bytes, str | None]]:
    """The lines of the shared file, and its two cases of gzip: bytes with their content encoding."""
    if not CASES.exists():
        return []
    found: list[tuple[bytes, str | None]] = []
    for each in CASES.read_text().splitlines():
        text = json.loads(each.split("\t")[0])
        if text.startswith("{"):
            found.append((text.encode(), None))
    return [*found, (gzip.compress(found[0][0], mtime=0), None), (found[0][0], "gzip")]


@pytest.mark.skipif(not CASES.exists(), reason=f"the cases are not at {CASES}")
def test_the_commands_agree_on_the_shared_cases(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A day a case: each has its own verdict, and one that cannot be decoded spoils no other day."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    days = {f"202401{number:02}": case for number, case in enumerate(cases(), 1)}
    assert len(days) == 16
    for day, (data, encoding) in days.items():
        for side in ("source", "destination"):
            paths.put(f"qpi_answers_{day}/user_id_1.jsonl", data, side=side, content_encoding=encoding)
    span = ("--from", min(days), "--to", max(days))
    ended = run_command("import-test", *where(paths), "--grace", "0", *span, "--report", str(tmp_path))
    assert (ended.code, ended.err) == (1, "")
    report = json.loads((tmp_path / "import-test.json").read_text())
    assert (report["complete"], report["error"]) == (True, None)
    words = {"equal": LOADS, "not_loadable": NOT_LOADABLE, "not_judged": NOT_JUDGED}
    imported = {each["day"].replace("-", ""): words[each["verdict"]] for each in report["days"]}
    assert imported == {day: verdict_of_verify(*case) for day, case in days.items()} == verified(paths, days)
    assert imported[min(days)] == LOADS
    (last,) = [text for text in ended.out.splitlines() if text.startswith("2024-01-16 ")]
    assert last.startswith("2024-01-16 not loadable on both sides: gs://")
    assert "user_id_1.jsonl: bad encoding: labelled gzip and is not" in last


def verified(paths: Paths, days: Iterable[str]) -> dict[str, str]:
    """What the contents check finds in each day's objects."""

    async def check() -> dict[str, str]:
        verdicts = {}
        async with AsyncApi(endpoint=paths.server.url) as api:
            sides = [list_pages(api, side) for side in (paths.migration.source, paths.migration.destination)]
            pairs = [pair async for batch in merge_pages(*sides, paths.migration) for pair in batch]
            for day in days:

                async def batches(wanted: str = day) -> AsyncGenerator[list[DiffLine], None]:
                    yield [pair for pair in pairs if wanted in pair.relative]

                found = await check_contents(
                    batches(), api, paths.migration, ContentsScope.parse("all"), stop=Stop()
                )
                assert found.objects == 1
                severities = {problem.severity for problem in found.source_problems.values()}
                assert found.clean is (severities <= {Severity.WARNING})
                verdicts[day] = (
                    NOT_LOADABLE
                    if Severity.ERROR in severities
                    else NOT_JUDGED
                    if Severity.NOT_JUDGED in severities
                    else LOADS
                )
        return verdicts

    return asyncio.run(check())
