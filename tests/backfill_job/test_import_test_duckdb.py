"""The embedded engine on a real local Cloud Storage, and its fingerprint against one computed by hand."""

import gzip
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from testing_paths import Paths

from backfill_job.contents.reader import LIMITS, ReadLimits
from backfill_job.import_test import duckdb as embedded
from backfill_job.import_test.compare import Fingerprint, Loaded, NotJudged, NotLoadable, Outcome
from backfill_job.import_test.day import Folder, read_folder
from backfill_job.import_test.duckdb import EmbeddedEngine
from backfill_job.run.stopping import Stop
from shared.errors import Interrupted, PermissionDenied
from shared.gateway import Gateway
from shared.migration import Location
from shared.objects import Metadata, ObjectRef, ObjectState

DAY = date(2024, 1, 31)
GLOB = f"qpi_answers_{DAY:%Y%m%d}/*.jsonl"
FOLDER = "qpi_answers_20240131/"

Answer = tuple[str | None, list[str]]
Submission = tuple[str | None, int | None, list[Answer]]
"""user_id, microseconds since 1970, answers."""


def by_hand(rows: Sequence[Submission]) -> str:
    """The fingerprint as the definition says it, with none of the engine's code."""

    def text(value: str | None) -> bytes:
        return b"-" if value is None else b"%d:" % len(value.encode()) + value.encode()

    lanes = [0] * 8
    for user_id, instant, answers in rows:
        parts = [text(user_id), b"-" if instant is None else b"%d" % instant, b";%d;" % len(answers)]
        for question_id, answer_ids in answers:
            parts += [text(question_id), b"%d;" % len(answer_ids), *map(text, answer_ids)]
        digest = hashlib.sha256(b"".join(parts)).digest()
        for lane in range(8):
            lanes[lane] += int.from_bytes(digest[4 * lane : 4 * lane + 4], "big")
    return "".join(f"{lane % 2**32:08x}" for lane in lanes)


def line(row: Submission) -> bytes:
    user_id, instant, answers = row
    moment = None if instant is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)
    return (
        json.dumps(
            {
                "user_id": user_id,
                "submitted_at": moment and moment.isoformat(),
                "answers": [{"question_id": q, "answer_ids": ids} for q, ids in answers],
            }
        ).encode()
        + b"\n"
    )


class Held:
    """Objects in memory, for what no storage is needed for."""

    def __init__(self, objects: Sequence[bytes], encodings: Sequence[str | None] = ()) -> None:
        self.objects = {f"{FOLDER}user_id_{number}.jsonl": data for number, data in enumerate(objects)}
        self.encodings = dict(zip(self.objects, encodings, strict=False))

    def read_stored(self, at: ObjectRef) -> bytes | None:
        return self.objects[at.name]

    def metadata(self, name: str) -> Metadata:
        return Metadata(content_encoding=self.encodings.get(name))

    @property
    def folder(self) -> Folder:
        return Folder(
            Location("held", FOLDER),
            {
                name[len(FOLDER) :]: ObjectState(
                    name, 1, 1, len(data), None, None, "", "", self.metadata(name)
                )
                for name, data in self.objects.items()
            },
        )


def sums(*objects: bytes) -> Loaded:
    held = Held(objects)
    with EmbeddedEngine(held, readers=2, stop=Stop()) as engine:
        outcome = engine.load(held.folder, "t")
    assert isinstance(outcome, Loaded), outcome
    return outcome


@pytest.fixture
def engine(gateway: Gateway) -> Iterator[EmbeddedEngine]:
    with EmbeddedEngine(gateway, readers=4, stop=Stop()) as engine:
        yield engine


def load(engine: EmbeddedEngine, gateway: Gateway, paths: Paths) -> Any:
    return engine.load(read_folder(gateway, paths.migration.source, GLOB), "legacy_1")


# --- the fingerprint ------------------------------------------------------------------------------------------

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6
) | st.sampled_from(["", "-", "1:a", "a;", "é", "😀", "\x01", "'", '"', "\\", "\n", "NULL"])
INSTANTS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
ROWS = st.lists(
    st.tuples(
        st.none() | TEXTS,
        st.none() | INSTANTS,
        st.lists(st.tuples(st.none() | TEXTS, st.lists(TEXTS, max_size=3)), max_size=3),
    ),
    max_size=6,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS, st.randoms(use_true_random=False))
def test_the_engine_computes_the_fingerprint_that_its_definition_describes(
    rows: list[Submission], rng: random.Random
) -> None:
    """For any rows, in any order, over any number of objects; with the rows and the users counted."""
    shuffled = rng.sample(rows, len(rows))
    cut = rng.randint(0, len(rows))
    found = sums(b"".join(map(line, shuffled[:cut])), b"".join(map(line, shuffled[cut:])))
    users = {user_id for user_id, _, _ in rows if user_id is not None}
    assert found == Loaded(len(rows), len(users), Fingerprint(by_hand(rows)))


@given(ROWS, ROWS)
def test_different_rows_have_different_fingerprints(one: list[Submission], other: list[Submission]) -> None:
    """The text of a row can be taken apart in one way only: no two rows share it, whatever stands in them."""
    alike = sorted(map(repr, one)) == sorted(map(repr, other))
    assert (by_hand(one) == by_hand(other)) is alike


A: Submission = ("7", 0, [("Q1", ["a", "b"])])


def test_two_equal_rows_are_not_lost() -> None:
    """XOR would make a row that is there twice vanish; a sum does not."""
    twice, never, once = sums(line(A), line(A)), sums(b""), sums(line(A))
    assert len({twice.fingerprint, never.fingerprint, once.fingerprint}) == 3
    assert (twice.rows, twice.users) == (2, 1)
    assert never == Loaded(0, 0, Fingerprint("0" * 64))


@pytest.mark.parametrize(
    "other",
    [
        ("8", 0, [("Q1", ["a", "b"])]),
        (None, 0, [("Q1", ["a", "b"])]),
        ("7", 1, [("Q1", ["a", "b"])]),
        ("7", None, [("Q1", ["a", "b"])]),
        ("7", 0, []),
        ("7", 0, [("Q1", ["b", "a"])]),
        ("7", 0, [("Q1", ["ab"])]),
        ("7", 0, [("Q1", ["a"]), ("b", [])]),
        ("7", 0, [(None, ["a", "b"])]),
        ("7", 0, [("", ["a", "b"])]),
        ("7", 0, [("Q1", ["a", "b"]), ("Q1", ["a", "b"])]),
    ],
)
def test_every_field_and_every_order_within_a_row_counts(other: Submission) -> None:
    """A row that differs in anything has another fingerprint: NULL is not empty, lists are ordered."""
    assert sums(line(A)).fingerprint != sums(line(other)).fingerprint


def test_the_same_instant_in_two_notations_is_the_same_row() -> None:
    """TIMESTAMP is an instant; how it was written is gone once it is loaded."""
    one = sums(b'{"user_id":"1","submitted_at":"2024-01-31T12:00:00+01:00"}')
    other = sums(b'{"submitted_at":"2024-01-31 11:00:00.000 UTC","answers":[],"user_id":"1"}')
    assert one == other


def test_the_definition_does_not_change_unnoticed() -> None:
    """Reports of different versions are compared: a change of the fingerprint needs a new name of its definition."""
    found = sums(line(A), line((None, None, [])))
    assert found.fingerprint.definition == "rows-1"
    assert found.fingerprint.digits == by_hand([A, (None, None, [])])
    assert found.fingerprint.digits == "df27d38c0072893eea803ff07838f49dfadfc05d1b8686a85a4a86c5d3ad9e43"


# --- through the gateway --------------------------------------------------------------------------------------


def test_only_what_the_glob_takes_is_loaded(engine: EmbeddedEngine, gateway: Gateway, paths: Paths) -> None:
    """``*.jsonl`` of this day's folder, case-sensitively, subfolders too; nothing of its neighbours."""
    for number, name in enumerate(["user_id_1.jsonl", ".jsonl", "late/user_id_2.jsonl", "other.jsonl"]):
        paths.put(FOLDER + name, line((str(number), 0, [])))
    for name in ("", "user_id_3.JSONL", "user_id_4.json", "user_id_5.jsonl.gz", ".DS_Store", "jsonl"):
        paths.put(FOLDER + name, b"not to be read")
    for name in (
        "qpi_answers_20240131.jsonl",
        "qpi_answers_202401310/x.jsonl",
        "QPI_answers_20240131/x.jsonl",
    ):
        paths.put(name, b"not to be read")
    folder = read_folder(gateway, paths.migration.source, GLOB)
    assert (len(folder.objects), len(folder.files)) == (10, 4)
    assert folder.glob == f"{paths.migration.source.uri}{FOLDER}*.jsonl"
    outcome = load(engine, gateway, paths)
    assert isinstance(outcome, Loaded)
    assert (outcome.rows, outcome.users) == (4, 4)


def test_objects_of_several_rows_and_of_none_are_loaded(
    engine: EmbeddedEngine, gateway: Gateway, paths: Paths
) -> None:
    """A file may hold a day or nothing at all."""
    paths.put(FOLDER + "a.jsonl", line(A) * 3)
    paths.put(FOLDER + "b.jsonl", b"")
    outcome = load(engine, gateway, paths)
    assert outcome == Loaded(3, 1, Fingerprint(by_hand([A, A, A])))


def test_the_first_bad_object_in_the_listing_s_order_is_named_with_its_line(
    engine: EmbeddedEngine, gateway: Gateway, paths: Paths
) -> None:
    """However the reads overtake each other, the same folder gives the same answer; its contents stay out of it."""
    for number in range(10, 40):
        paths.put(f"{FOLDER}user_id_{number}.jsonl", line(A) + b'{"user_id":"top secret","extra":1}\n')
    paths.put(f"{FOLDER}user_id_0.jsonl", line(A))
    outcome = load(engine, gateway, paths)
    name = f"{paths.migration.source.uri}{FOLDER}user_id_10.jsonl"
    assert outcome == NotLoadable(f"{name} line 2: unknown field: 'extra'")


def test_a_name_that_would_move_the_cursor_is_shown_escaped(
    engine: EmbeddedEngine, gateway: Gateway, paths: Paths
) -> None:
    """Names come from a bucket; what is printed is unmistakable."""
    paths.put(FOLDER + "\x1b[31m.jsonl", b"?")
    outcome = load(engine, gateway, paths)
    assert isinstance(outcome, NotLoadable)
    assert r"\x1b[31m.jsonl line 1: not json: at character 1 of the line" in outcome.reason


def test_an_object_that_cannot_be_read_is_an_error_and_no_verdict(
    engine: EmbeddedEngine, gateway: Gateway, paths: Paths
) -> None:
    """A permission that is missing is not a bad row."""
    paths.put(FOLDER + "a.jsonl", line(A))
    folder = read_folder(gateway, paths.migration.source, GLOB)
    paths.server.set_faults(rules=[{"method": "storage.objects.download", "status": 403}])
    with pytest.raises(PermissionDenied):
        engine.load(folder, "t")


def test_an_object_that_went_away_meanwhile_is_said_to_have(
    engine: EmbeddedEngine, gateway: Gateway, paths: Paths
) -> None:
    """Nobody reads it as an empty one."""
    paths.put(FOLDER + "a.jsonl", line(A))
    folder = read_folder(gateway, paths.migration.source, GLOB)
    paths.delete(FOLDER + "a.jsonl")
    outcome = engine.load(folder, "t")
    assert isinstance(outcome, NotLoadable)
    assert outcome.reason.endswith("a.jsonl was deleted while it was read")


def test_one_engine_loads_again_and_again_and_leaves_nothing(
    engine: EmbeddedEngine, gateway: Gateway, paths: Paths
) -> None:
    """Tables and files go after each load, also after one that failed; the rest goes with the engine."""
    paths.put(FOLDER + "a.jsonl", line(A))
    first = load(engine, gateway, paths)
    paths.put(FOLDER + "b.jsonl", b"?")
    assert isinstance(load(engine, gateway, paths), NotLoadable)
    paths.delete(FOLDER + "b.jsonl")
    assert load(engine, gateway, paths) == first
    assert not engine._spool.exists()
    assert engine.database.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,)
    with EmbeddedEngine(gateway, readers=1, stop=Stop()) as another:
        directory = another._spool.parent
        assert directory.exists()
    assert not directory.exists()


def test_a_stop_ends_the_load(gateway: Gateway, paths: Paths) -> None:
    """Ctrl-C does not wait for the day's last object."""
    paths.put(FOLDER + "a.jsonl", line(A))
    stop = Stop(by="SIGINT")
    with EmbeddedEngine(gateway, readers=1, stop=stop) as engine, pytest.raises(Interrupted):
        load(engine, gateway, paths)


def test_what_is_read_ahead_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many objects a day has, and however large: a few are held, and a giant is held alone."""
    monkeypatch.setattr(embedded, "MAX_OBJECTS_AHEAD", 5)
    monkeypatch.setattr(embedded, "MAX_BYTES_AHEAD", 1_000)

    small, giant = line(A), line(A) * 40
    held = Held([small] * 20 + [giant] + [small] * 20)
    with EmbeddedEngine(held, readers=2, stop=Stop()) as engine:
        contents = engine._contents(held.folder)
        ahead = []
        for _ in contents:
            waiting = contents.gi_frame.f_locals["waiting"]
            ahead.append((len(waiting), sum(state.size for state, _ in waiting)))
        assert max(objects for objects, _ in ahead) == 4
        assert max(size for objects, size in ahead if objects > 1) <= 1_000
        assert ahead[19:21] == [(0, 0), (0, 0)]
        assert engine.load(held.folder, "t") == Loaded(80, 1, Fingerprint(by_hand([A] * 80)))


def outcome_of(*objects: bytes, limits: ReadLimits = LIMITS, encodings: Sequence[str | None] = ()) -> Outcome:
    held = Held(objects, encodings)
    with EmbeddedEngine(held, readers=2, stop=Stop(), limits=limits) as engine:
        return engine.load(held.folder, "t")


def test_a_line_longer_than_the_bound_is_not_judged() -> None:
    """A limit of this engine, not of BigQuery: BigQuery may load it."""
    limits = replace(LIMITS, bounds=replace(LIMITS.bounds, line=200))
    outcome = outcome_of(line(A), line(("x" * 300, 0, [])), limits=limits)
    assert isinstance(outcome, NotJudged)
    assert outcome.reason.endswith("user_id_1.jsonl line 1: line too long: 375 bytes, 200 are judged")


@pytest.mark.parametrize("answer", [b"{}", b'{"question_id":""}'])
def test_the_longest_line_that_is_judged_is_loaded(answer: bytes) -> None:
    """Whatever it is made of: a row that grows on its way to DuckDB still fits its longest object."""
    number = (LIMITS.bounds.line - 100) // (len(answer) + 1)
    longest = b'{"user_id":"7","answers":[' + b",".join([answer] * number) + b"]}\n"
    assert LIMITS.bounds.line - 120 < len(longest) <= LIMITS.bounds.line
    outcome = outcome_of(longest)
    assert isinstance(outcome, Loaded)
    answers = json.loads(longest)["answers"]
    row = ("7", None, [(each.get("question_id"), []) for each in answers])
    assert outcome == Loaded(1, 1, Fingerprint(by_hand([row])))


def test_what_is_not_loadable_outweighs_what_is_not_judged() -> None:
    """The load fails for certain; and the first object of the outcome that counts is named."""
    unknown, bad = b'{"user_id":7}\n', b'{"extra":1}\n'
    for objects, expected, named in (
        (
            (unknown, line(A), unknown),
            NotJudged,
            "user_id_0.jsonl line 1: coerced: user_id: number where STRING is wanted",
        ),
        (
            (line(A) + unknown, unknown),
            NotJudged,
            "user_id_0.jsonl line 2: coerced: user_id: number where STRING is wanted",
        ),
        ((unknown, line(A) + bad), NotLoadable, "user_id_1.jsonl line 2: unknown field: 'extra'"),
        ((unknown + bad + bad,), NotLoadable, "user_id_0.jsonl line 2: unknown field: 'extra'"),
    ):
        outcome = outcome_of(*objects)
        assert type(outcome) is expected
        assert outcome.reason == f"gs://held/{FOLDER}{named}"


# --- gzip -----------------------------------------------------------------------------------------------------

PACKED = gzip.compress(line(A), mtime=0)


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_gzip_files_are_loaded(encoding: str | None) -> None:
    """Documented; labelled or not. A day of them has the rows of the same day unpacked."""
    two = PACKED + gzip.compress(line(("8", 0, [])), mtime=0)
    assert outcome_of(two, b"", encodings=[encoding] * 2) == outcome_of(line(A), line(("8", 0, [])))


def test_gzip_among_files_that_are_not_is_not_loadable() -> None:
    """Documented: one load takes compressed files or others, not both."""
    outcome = outcome_of(line(A), PACKED, line(A))
    assert isinstance(outcome, NotLoadable)
    folder = f"gs://held/{FOLDER}"
    assert outcome.reason == (
        f"{folder}user_id_1.jsonl is gzip and {folder}user_id_0.jsonl is not; one load cannot mix them"
    )


@pytest.mark.parametrize(
    ("data", "encoding", "expected"),
    [
        (line(A), "gzip", NotLoadable("user_id_0.jsonl: bad encoding: labelled gzip and is not")),
        (PACKED[:-3], "gzip", NotLoadable("user_id_0.jsonl: bad encoding: its gzip data are damaged or cut off")),
        (PACKED[:-3], None, NotLoadable("user_id_0.jsonl: bad encoding: its gzip data are damaged or cut off")),
        (line(A), "br", NotJudged("user_id_0.jsonl: other encoding: labelled 'br'")),
        (gzip.compress(b'{"user_id":["7"]}', mtime=0), None, NotLoadable("user_id_0.jsonl line 1: wrong type: user_id: array where STRING is wanted")),
        (gzip.compress(line(A) * 90), None, NotJudged("user_id_0.jsonl: too large: unpacks to more than the 5,000 bytes that are judged")),
    ],
)  # fmt: skip
def test_what_a_packed_object_is(
    data: bytes, encoding: str | None, expected: NotLoadable | NotJudged
) -> None:
    """The bytes count; a label that does not fit them is a finding about the object."""
    outcome = outcome_of(data, limits=replace(LIMITS, unpacked=5_000), encodings=[encoding])
    assert outcome == type(expected)(f"gs://held/{FOLDER}{expected.reason}")
