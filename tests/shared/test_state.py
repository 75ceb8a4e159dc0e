"""The form of the head: what is written, what is read back, and what is refused. `test_state_v1` has the form before this one."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_makers import INITIAL, MIGRATION, START, MemoryStore, objects_of, run_record, stamp, states

from shared.errors import PhaseUnknown
from shared.migration import Location, Migration
from shared.phase import Phase, phase_in, state_content
from shared.record import read_state, state_from_head
from shared.state import (
    BegunDeletion,
    ComparisonRecord,
    HistoryEntry,
    Overridden,
    RunRecord,
    Signatory,
    SignOff,
    State,
    utc_text,
)
from shared.state_changes import deletion_goes_on, sign_off, with_phase, with_run, withdraw

AT = "gs://export-dev/_migration/qpi_exports/state.json"

FULL = with_run(
    with_phase(
        sign_off(INITIAL, Signatory.DATA, stamp("c1"), "counts compared"),
        Phase.CUT_OVER,
        stamp("c2", "Grace", 1),
    ),
    run_record(report="gs://reports/dev-1", certificate_sha256="0f" * 32),
)

WRITTEN = """{
  "version": 2,
  "source": "gs://data-bucket-dev/QPI_exports/",
  "destination": "gs://export-dev/qpi_exports/",
  "phase": "cut_over",
  "since": "2025-03-01T08:31:00Z",
  "signoffs": [
    {
      "name": "data",
      "by": "Ada",
      "at": "2025-03-01T08:30:00Z",
      "note": "counts compared"
    }
  ],
  "runs": [
    {
      "run": "dev-1",
      "command": "migrate",
      "finished": "2025-03-01T08:30:00Z",
      "exit_code": 0,
      "summary": "verified: both sides are equal",
      "report": "gs://reports/dev-1",
      "certificate_sha256": "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
    }
  ],
  "history": [
    {
      "at": "2025-03-01T08:30:00Z",
      "by": "Eve",
      "change": "begun",
      "kind": "begun",
      "phase": "dual_write"
    },
    {
      "at": "2025-03-01T08:30:00Z",
      "by": "Ada",
      "change": "c1",
      "kind": "sign_off",
      "phase": "dual_write",
      "signatory": "data",
      "note": "counts compared",
      "before": "20d7be9278a2e0ab8411c4b51c2e4d2543be4459a6d4449f53da012d3cf60b07"
    },
    {
      "at": "2025-03-01T08:31:00Z",
      "by": "Grace",
      "change": "c2",
      "kind": "phase",
      "phase": "cut_over",
      "was": "dual_write",
      "before": "6566942e85e2dc47a25eaf84c75121b4cc0f6242efcb30e4dcac61cc85c8f3a4"
    }
  ]
}
"""

SECOND_ENTRY = """{
  "source": "gs://data-bucket-dev/QPI_exports/",
  "destination": "gs://export-dev/qpi_exports/",
  "at": "2025-03-01T08:30:00Z",
  "by": "Ada",
  "change": "c1",
  "kind": "sign_off",
  "phase": "dual_write",
  "signatory": "data",
  "note": "counts compared",
  "before": "20d7be9278a2e0ab8411c4b51c2e4d2543be4459a6d4449f53da012d3cf60b07"
}
"""


def changed(path: str, value: Any) -> bytes:
    """The written form with one field of it set to something else; ``...`` takes it out."""
    content: Any = json.loads(WRITTEN)
    inner, *keys = content, *path.split(".")
    for key in keys[:-1]:
        inner = inner[int(key) if isinstance(inner, list) else key]
    if value is ...:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    return json.dumps(content).encode()


def test_the_form_is_what_people_and_older_programs_know() -> None:
    """A change of this text is a new version of the form."""
    assert FULL.to_json().decode() == WRITTEN
    assert state_from_head(WRITTEN.encode(), MIGRATION) == FULL


def test_each_entry_has_an_object_whose_name_tells_number_and_phase() -> None:
    """Its contents are canonical: the digest of these very bytes stands in the next entry."""
    folder = "_migration/qpi_exports/history/"
    objects = objects_of(FULL)
    assert [name.removeprefix(folder) for name in objects if name.startswith(folder)] == [
        "00000001-dual_write.json",
        "00000002-dual_write.json",
        "00000003-cut_over.json",
    ]
    assert objects[f"{folder}00000002-dual_write.json"].decode() == SECOND_ENTRY
    assert FULL.history[2].before == sha256(SECOND_ENTRY.encode()).hexdigest()


@given(states())
def test_what_is_written_is_read_back(state: State) -> None:
    """Every state, exactly; and the same state is the same bytes. What it says follows from its history."""
    contents = state.to_json()
    assert state_from_head(contents, MIGRATION) == state == state.folded(state.history)
    assert state_from_head(contents, MIGRATION).to_json() == contents


@given(states())
def test_the_mirror_reads_the_phase_that_the_operator_reads(state: State) -> None:
    """There is one form, and one parser of the phase."""
    assert phase_in(state_content(state.to_json(), MIGRATION), MIGRATION) is state.phase


def test_times_are_written_in_utc_whatever_the_zone() -> None:
    """Two operators in different places write the same form."""
    assert utc_text(START.astimezone(timezone(timedelta(hours=5, minutes=30)))) == "2025-03-01T08:30:00Z"
    with pytest.raises(ValueError, match="has no time zone"):
        utc_text(datetime(2025, 3, 1))  # noqa: DTZ001 -- the point


def test_text_of_any_language_stays_readable() -> None:
    """The object is looked at with `gcloud storage cat`."""
    state = sign_off(INITIAL, Signatory.DATA, stamp(by="Zoë 日本 😀"))
    assert "Zoë 日本 😀".encode() in state.to_json()


def test_without_an_object_no_migration_has_begun() -> None:
    """Absence is not the first phase."""
    with pytest.raises(PhaseUnknown, match=r"there is no record of this migration.*`backfill_job begin`"):
        read_state(MemoryStore(), MIGRATION)
    assert read_state(MemoryStore(FULL), MIGRATION) == FULL
    assert State.initial(MIGRATION).since is None
    assert (INITIAL.phase, INITIAL.since, INITIAL.missing_signoffs) == (
        Phase.DUAL_WRITE,
        START,
        tuple(Signatory),
    )


def test_missing_sign_offs_are_named_in_their_order() -> None:
    """A second signature for the same does not make up for another."""
    signed = (SignOff(Signatory.OPERATIONS, "Ada", START), SignOff(Signatory.OPERATIONS, "Bob", START))
    assert replace(INITIAL, signoffs=signed).missing_signoffs == (
        Signatory.QPI_TEAM,
        Signatory.DEVELOPMENT,
        Signatory.DATA,
    )


def test_the_newest_certificate_is_the_one_that_counts() -> None:
    """A sweep without a certificate does not hide it."""
    runs = (
        run_record("1", certificate_sha256="1" * 64),
        run_record("2", certificate_sha256="2" * 64),
        run_record("3"),
    )
    assert replace(INITIAL, runs=runs).certified == runs[1]
    assert INITIAL.certified is None


def test_an_entry_says_what_happened_in_one_sentence() -> None:
    """Screens and logs show it; the fields are what programs read."""
    state = sign_off(FULL.folded(FULL.history[:2]), Signatory.DATA, stamp("c3", minutes=2), "still")
    state = withdraw(state, Signatory.DATA, stamp("c4"))
    state = sign_off(state, Signatory.DATA, stamp("c5"))
    state = with_phase(with_phase(state, Phase.CUT_OVER, stamp("c6")), Phase.ROLLED_BACK, stamp("c7"))
    state = with_phase(state, Phase.CUT_OVER, stamp("c8"))
    manifest = BegunDeletion("m.json", "a" * 64, 9)
    overridden = (Overridden("soak", "off"), Overridden("x", "y"))
    state = with_phase(state, Phase.DELETING, stamp("c9"), manifest=manifest, overridden=overridden)
    state = deletion_goes_on(state, stamp("c10"), manifest=BegunDeletion("n.json", "b" * 64, 2))
    assert [entry.what for entry in state.history] == [
        "migration begun in phase dual_write",
        "sign-off data: counts compared",
        "sign-off data again, the one of 2025-03-01T08:30:00Z stands: still",
        "sign-off data of 2025-03-01T08:30:00Z withdrawn",
        "sign-off data",
        "phase dual_write to cut_over",
        "phase cut_over to rolled_back; to be signed anew: data by Ada",
        "phase rolled_back to cut_over",
        f"phase cut_over to deleting; manifest m.json sha256 {'a' * 64} of 9 objects; overridden soak (off); overridden x (y)",
        f"deletion goes on; manifest n.json sha256 {'b' * 64} of 2 objects",
    ]
    assert [begun.name for begun in state.manifests] == ["m.json", "n.json"]
    assert state_from_head(state.to_json(), MIGRATION) == state


# --- what is refused ------------------------------------------------------------------------------------------

WRONG = [
    ("version", 0, "version is 0"),
    ("version", 2.0, "version is 2.0"),
    ("version", True, "version is true"),
    ("version", "1", "version is '1'"),
    ("version", ..., "the file has no 'version'"),
    ("phase", "later", "phase is 'later'"),
    ("phase", [], "phase is a list"),
    ("phase", ..., "it names no phase"),
    ("phase", "dual_write", "phase is dual_write, and its own history ends in cut_over"),
    ("since", None, "since is not the time at which, by its own history, the phase began"),
    ("since", "2025-03-01T08:32:00Z", "since is not the time at which"),
    ("since", "yesterday", "since is 'yesterday'"),
    ("since", "2025-03-01T08:31:00", "since is '2025-03-01T08:31:00'"),
    ("since", "2025-03-01T08:31:00+00:00", r"since is '2025-03-01T08:31:00\+00:00'"),
    ("since", "0001-01-01T00:00:00+14:00", "a time is out of range"),
    ("since", "20250301T083100Z", "since is '20250301T083100Z'"),
    ("since", "2025-03-01T08:31:00.5Z", "since is"),
    ("since", 1, "since is 1"),
    ("colour", "red", "state: colour is an unknown field"),
    ("signoffs", {}, "signoffs is an object"),
    ("signoffs", ["Ada"], r"signoffs\[0\] is 'Ada'"),
    ("signoffs.0.name", "marketing", r"signoffs\[0\]\.name is 'marketing'"),
    ("signoffs.0.by", "", r"signoffs\[0\]\.by is ''"),
    ("signoffs.0.by", "A\nB", r"signoffs\[0\]\.by is 'A\\nB'"),
    ("signoffs.0.by", "\ud800", r"signoffs\[0\]\.by is '\\ud800'"),
    ("signoffs.0.note", None, r"signoffs\[0\]\.note is null"),
    ("signoffs.0.at", ..., r"signoffs\[0\] has no 'at'"),
    ("signoffs.0.colour", 1, r"signoffs\[0\]\.colour is an unknown field"),
    ("signoffs", [json.loads(WRITTEN)["signoffs"][0]] * 2, "signoffs are not those of its own history"),
    ("signoffs", [], "signoffs are not those of its own history"),
    ("signoffs.0.by", "Bob", "signoffs are not those of its own history"),
    ("runs.0.exit_code", False, r"runs\[0\]\.exit_code is false"),
    ("runs.0.exit_code", 0.5, r"runs\[0\]\.exit_code is 0.5"),
    ("runs.0.certificate_sha256", "0F" * 32, r"runs\[0\]\.certificate_sha256 is '0F"),
    ("runs.0.summary", "\x1b[2J", r"runs\[0\]\.summary is '\\x1b\[2J'"),
    ("runs", [json.loads(WRITTEN)["runs"][0]] * 2, "runs: the same run twice"),
    ("history.2.change", "c1", "history: the same change twice"),
    ("history.0.what", "begun", r"history\[0\]\.what is an unknown field"),
    ("history.1.kind", {}, r"history\[1\]\.kind is an object"),
    ("history.1.kind", "guess", r"history\[1\]\.kind is 'guess'"),
    ("history.1.note", "", r"history\[1\]\.note is an unknown field"),
    ("history.1.note", "not compared", "entry 3 of its history does not fit the entry before"),
    ("history.0.by", "Bob", "entry 2 of its history does not fit the entry before"),
    ("history.0.before", "0" * 64, "entry 2 of its history does not fit the entry before"),
    ("history.2.before", "", r"history\[2\]\.before is an unknown field"),
    ("history.2.before", "0" * 64, "entry 3 of its history does not fit the entry before"),
    ("history.2.phase", "dual_write", "phase is cut_over, and its own history ends in dual_write"),
    ("history.2.phase", "deleted", "phase is cut_over, and its own history ends in deleted"),
    ("history.2.was", "rolled_back", "entry 3 of its history sets a phase that does not follow"),
    ("history.2.kind", "note", "entry 3 of its history sets a phase that does not follow"),
    ("history.0.phase", "cut_over", "entry 2 of its history does not fit the entry before"),
    ("history.2.manifest", {"name": "m.json", "sha256": "A" * 64, "objects": 1}, "manifest.sha256 is 'AAA"),
    ("history.2.overridden", [{"check": "soak", "reason": ""}], r"overridden\[0\]\.reason is ''"),
    ("history", None, "history is null"),
    ("history", [], "history has no entries"),
]


@pytest.mark.parametrize(
    ("path", "value", "said"), WRONG, ids=[f"{path}={value!r:.20}" for path, value, _ in WRONG]
)
def test_a_field_that_is_not_as_it_should_be_is_named(path: str, value: Any, said: str) -> None:
    """The person who repairs the state has to find the fault, and the reader guesses nothing."""
    with pytest.raises(PhaseUnknown, match=said) as caught:
        state_from_head(changed(path, value), MIGRATION)
    assert str(caught.value).startswith(f"{AT}: not a migration's state: ")
    assert "restore the version before" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        ("{}".encode("utf-16"), "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"null", "null where an object was expected"),
        (b"[]", "a list where an object was expected"),
        (b'{"phase": NaN}', "NaN is not a number"),
        (b'{"phase": "cut_over", "phase": "dual_write"}', "'phase' stands there twice"),
        (b'{"phase": 1' + b"0" * 5_000 + b"}", "no JSON"),
        (WRITTEN.encode()[:-3], "no JSON"),
        (WRITTEN.encode() * 2, "no JSON"),
    ],
    ids=range(11),
)
def test_what_is_no_json_object_is_refused(contents: bytes, said: str) -> None:
    """Half a file, another file, two readings of one file."""
    with pytest.raises(PhaseUnknown, match=said) as caught:
        state_from_head(contents, MIGRATION)
    assert len(str(caught.value)) < 450


def test_a_newer_program_s_state_says_what_to_do() -> None:
    """Also when it has phases that this program does not know."""
    for path, value in (("version", 3), ("version", 10**30)):
        newer = json.loads(changed(path, value))
        with pytest.raises(
            PhaseUnknown, match=r"written by a newer program .*; use that one, or update this one"
        ):
            state_from_head(json.dumps({**newer, "phase": "paused", "colour": 1}).encode(), MIGRATION)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_another_migration_s_state_is_not_taken_for_this_one_s(side: str) -> None:
    """A state that was copied from another environment's bucket names a phase that is not ours."""
    ours = getattr(MIGRATION, side).uri
    with pytest.raises(
        PhaseUnknown, match=f"the state of another migration: its {side} is 'gs://x/y/'.*{ours}"
    ):
        state_from_head(changed(side, "gs://x/y/"), MIGRATION)
    with pytest.raises(PhaseUnknown, match="the state of another migration"):
        state_content(changed(side, "gs://x/y/"), MIGRATION)
    with pytest.raises(PhaseUnknown, match=f"has no '{side}'"):
        state_from_head(changed(side, ...), MIGRATION)
    other = Migration(Location("legacy", "a/"), MIGRATION.destination)
    with pytest.raises(PhaseUnknown, match="its source is"):
        state_from_head(WRITTEN.encode(), other)


# --- fuzz -----------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
paths = st.sampled_from(
    [
        *json.loads(WRITTEN),
        *(f"signoffs.0.{key}" for key in SignOff.__dataclass_fields__),
        *(f"runs.0.{key}" for key in RunRecord.__dataclass_fields__),
        *(f"history.2.{key}" for key in (*HistoryEntry.__dataclass_fields__, "more")),
        "more",
    ]
)


def read_or_refused(contents: bytes) -> State | None:
    try:
        state = state_from_head(contents, MIGRATION)
    except PhaseUnknown:
        return None
    assert state_from_head(state.to_json(), MIGRATION) == state
    return state


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_are_taken_for_a_state(contents: bytes) -> None:
    """No traceback, no guess."""
    assert read_or_refused(contents) is None


@given(json_values)
def test_no_json_is_taken_for_a_state(value: Any) -> None:
    """Of whatever kind."""
    assert read_or_refused(json.dumps(value).encode()) is None


@given(paths, json_values)
def test_a_state_with_any_field_exchanged_is_read_exactly_or_refused(path: str, value: Any) -> None:
    """Never read as something that it does not say."""
    contents = changed(path, value)
    state = read_or_refused(contents)
    assert state is None or json.loads(state.to_json()) == json.loads(contents)


@given(paths)
def test_a_state_without_any_one_field_is_refused(path: str) -> None:
    """Nothing is filled in."""
    try:
        contents = changed(path, ...)
    except KeyError:
        return
    assert read_or_refused(contents) is None


@given(st.integers(0, len(WRITTEN) - 1), st.integers(0, 255))
def test_a_state_with_any_byte_exchanged_is_read_exactly_or_refused(place: int, byte: int) -> None:
    """A flipped bit may make another text of a text, but never another kind of thing."""
    contents = bytearray(WRITTEN.encode())
    contents[place] = byte
    state = read_or_refused(bytes(contents))
    assert state is None or json.loads(state.to_json()) == json.loads(contents)


@given(st.integers(0, len(WRITTEN) - 2))
def test_a_state_that_was_cut_off_is_refused(length: int) -> None:
    """The last byte is a line break, the one before it the closing brace."""
    assert read_or_refused(WRITTEN.encode()[:length]) is None


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, "3 names compared by verify: both sides are equal"),
        ({"erased": 2}, "3 names compared by verify: both sides are equal; 2 erased since"),
        ({"wrong": 2, "extra": 1}, "3 names compared by verify: NOT EQUAL: 2 (1 only at the new path)"),
        ({"wrong": 2, "erased": 1}, "3 names compared by verify: NOT EQUAL: 2; 1 erased since"),
        ({"compared": 0, "erased": 1}, "verify compared nothing; 1 erased since"),
    ],
)
def test_a_comparison_says_every_count_that_it_has(counts: dict[str, int], said: str) -> None:
    """A person signs by this sentence."""
    whole = {"compared": 3, "wrong": 0, "extra": 0} | counts
    assert ComparisonRecord("c1", "run", "verify", START, excludes=(), **whole).said == said
