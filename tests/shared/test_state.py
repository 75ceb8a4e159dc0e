"""The state's form: what is written, what is read back, and what is refused."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_makers import INITIAL, MIGRATION, START, MemoryStore, run_record, stamp, states

from shared.errors import PhaseUnknown
from shared.migration import Location, Migration
from shared.phase import Phase, phase_in, state_content
from shared.record import read_state
from shared.state import HistoryEntry, RunRecord, Signatory, SignOff, State, utc_text
from shared.state_changes import sign_off, with_phase, with_run

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
  "version": 1,
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
      "by": "Ada",
      "what": "sign-off data: counts compared",
      "change": "c1"
    },
    {
      "at": "2025-03-01T08:31:00Z",
      "by": "Grace",
      "what": "phase dual_write to cut_over",
      "change": "c2"
    }
  ]
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
    assert State.from_json(WRITTEN.encode(), MIGRATION) == FULL


@given(states())
def test_what_is_written_is_read_back(state: State) -> None:
    """Every state, exactly; and the same state is the same bytes."""
    contents = state.to_json()
    assert State.from_json(contents, MIGRATION) == state
    assert State.from_json(contents, MIGRATION).to_json() == contents


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


def test_without_an_object_the_migration_has_its_initial_state() -> None:
    """No command has to create it."""
    assert read_state(MemoryStore(), MIGRATION) == INITIAL
    assert read_state(MemoryStore(WRITTEN.encode()), MIGRATION) == FULL
    assert (INITIAL.phase, INITIAL.since, INITIAL.missing_signoffs) == (
        Phase.DUAL_WRITE,
        None,
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


# --- what is refused ------------------------------------------------------------------------------------------

WRONG = [
    ("version", 0, "version is 0"),
    ("version", True, "version is true"),
    ("version", "1", "version is '1'"),
    ("version", ..., "the file has no 'version'"),
    ("phase", "later", "phase is 'later'"),
    ("phase", [], "phase is a list"),
    ("phase", ..., "it names no phase"),
    ("phase", "dual_write", "phase is dual_write, and since is '2025-03-01T08:31:00Z'"),
    ("since", None, "phase is cut_over, and since is null"),
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
    ("signoffs", [json.loads(WRITTEN)["signoffs"][0]] * 2, "the same person twice"),
    ("runs.0.exit_code", False, r"runs\[0\]\.exit_code is false"),
    ("runs.0.exit_code", 0.5, r"runs\[0\]\.exit_code is 0.5"),
    ("runs.0.certificate_sha256", "0F" * 32, r"runs\[0\]\.certificate_sha256 is '0F"),
    ("runs.0.summary", "\x1b[2J", r"runs\[0\]\.summary is '\\x1b\[2J'"),
    ("runs", [json.loads(WRITTEN)["runs"][0]] * 2, "runs: the same run twice"),
    ("history.1.change", "c1", "history: the same change twice"),
    ("history.0.what", {}, r"history\[0\]\.what is an object"),
    ("history", None, "history is null"),
]


@pytest.mark.parametrize(
    ("path", "value", "said"), WRONG, ids=[f"{path}={value!r:.20}" for path, value, _ in WRONG]
)
def test_a_field_that_is_not_as_it_should_be_is_named(path: str, value: Any, said: str) -> None:
    """The person who repairs the state has to find the fault, and the reader guesses nothing."""
    with pytest.raises(PhaseUnknown, match=said) as caught:
        State.from_json(changed(path, value), MIGRATION)
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
        State.from_json(contents, MIGRATION)
    assert len(str(caught.value)) < 400


def test_a_newer_program_s_state_says_what_to_do() -> None:
    """Also when it has phases that this program does not know."""
    for path, value in (("version", 2), ("version", 10**30)):
        newer = json.loads(changed(path, value))
        with pytest.raises(
            PhaseUnknown, match=r"written by a newer program .*; use that one, or update this one"
        ):
            State.from_json(json.dumps({**newer, "phase": "paused", "colour": 1}).encode(), MIGRATION)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_another_migration_s_state_is_not_taken_for_this_one_s(side: str) -> None:
    """A state that was copied from another environment's bucket names a phase that is not ours."""
    ours = getattr(MIGRATION, side).uri
    with pytest.raises(
        PhaseUnknown, match=f"the state of another migration: its {side} is 'gs://x/y/'.*{ours}"
    ):
        State.from_json(changed(side, "gs://x/y/"), MIGRATION)
    with pytest.raises(PhaseUnknown, match="the state of another migration"):
        state_content(changed(side, "gs://x/y/"), MIGRATION)
    with pytest.raises(PhaseUnknown, match=f"has no '{side}'"):
        State.from_json(changed(side, ...), MIGRATION)
    other = Migration(Location("legacy", "a/"), MIGRATION.destination)
    with pytest.raises(PhaseUnknown, match="its source is"):
        State.from_json(WRITTEN.encode(), other)


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
        *(f"history.1.{key}" for key in (*HistoryEntry.__dataclass_fields__, "more")),
        "more",
    ]
)


def read_or_refused(contents: bytes) -> State | None:
    try:
        state = State.from_json(contents, MIGRATION)
    except PhaseUnknown:
        return None
    assert State.from_json(state.to_json(), MIGRATION) == state
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
    if not path.endswith("more"):
        assert read_or_refused(changed(path, ...)) is None


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
