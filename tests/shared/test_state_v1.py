"""Heads of version 1: read as they are, adopted by `begin`, refused where they contradict themselves."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_makers import HEAD, MIGRATION, START, MemoryStore, stamp

from shared.errors import PhaseUnknown
from shared.phase import Phase, PhaseReader, read_phase
from shared.record import Begin, RecordStanding, begin, read_record, read_state, state_from_head, update
from shared.state import BegunDeletion, EntryKind, Overridden, Signatory, State
from shared.state_changes import sign_off, with_phase

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


def head(*sentences: str | tuple[str, str], **facts: Any) -> bytes:
    """A head with these sentences, each perhaps with its person; the other fields as in `facts`."""
    told = [("Ada", each) if isinstance(each, str) else each for each in sentences]
    content = {
        "version": 1,
        "source": MIGRATION.source.uri,
        "destination": MIGRATION.destination.uri,
        "phase": "dual_write",
        "since": None,
        "signoffs": [],
        "runs": [],
        "history": [
            {"at": f"2025-03-01T08:{30 + number}:00Z", "by": by, "what": what, "change": f"c{number}"}
            for number, (by, what) in enumerate(told)
        ],
    }
    return json.dumps({**content, **facts}).encode()


def store_of(contents: bytes) -> MemoryStore:
    return MemoryStore({HEAD: contents})


def test_a_head_of_version_1_is_read_with_fields() -> None:
    """Phase, sign-offs and runs are what they were; the sentences become fields."""
    state = state_from_head(WRITTEN.encode(), MIGRATION)
    assert (state.version, state.phase, [run.run for run in state.runs]) == (1, Phase.CUT_OVER, ["dev-1"])
    assert [(each.name, each.by, each.note) for each in state.signoffs] == [
        (Signatory.DATA, "Ada", "counts compared")
    ]
    assert [(entry.kind, entry.phase, entry.was, entry.by) for entry in state.history] == [
        (EntryKind.SIGN_OFF, Phase.DUAL_WRITE, None, "Ada"),
        (EntryKind.PHASE, Phase.CUT_OVER, Phase.DUAL_WRITE, "Grace"),
    ]
    assert read_record(store_of(WRITTEN.encode()), MIGRATION).standing is RecordStanding.VERSION_1
    assert read_state(store_of(WRITTEN.encode()), MIGRATION) == state


@pytest.mark.parametrize("phase", Phase)
def test_the_mirror_reads_a_phase_of_version_1_whatever_else_is_damaged(phase: Phase) -> None:
    """A mirror of this version runs on before `begin` adopts the record, and loses no event meanwhile."""
    for rest in ({}, {"signoffs": "spoilt", "history": None, "since": "yesterday"}):
        store = store_of(json.dumps({"version": 1, **rest, "phase": phase.value}).encode())
        found = read_phase(store, MIGRATION)
        assert (found.phase, found.entries) == (phase, 0)


def test_only_begin_changes_a_record_of_version_1() -> None:
    """Whatever overwrites or deletes asks for it first, and says so."""
    store = store_of(WRITTEN.encode())
    with pytest.raises(PhaseUnknown, match=r"older program \(version 1\).*`backfill_job begin`.*adopts it"):
        update(store, MIGRATION, lambda now: with_phase(now, Phase.ROLLED_BACK, stamp("back")))
    assert (store.data, store.writes) == ({HEAD: WRITTEN.encode()}, [])


def test_begin_adopts_a_record_of_version_1() -> None:
    """With all that it told, and an entry that says so; after that an older head is refused."""
    store = store_of(WRITTEN.encode())
    old = read_state(store, MIGRATION)
    done, state = begin(store, MIGRATION, stamp("adopted", "Eve", 9))
    assert (done, state.version) == (Begin.ADOPTED, 2)
    assert (state.phase, state.since, state.signoffs, state.runs) == (
        old.phase,
        old.since,
        old.signoffs,
        old.runs,
    )
    assert state.history[:2] == old.history
    assert state.history[2].what == "migration begun in phase cut_over: adopted from version 1"
    assert [name.rpartition("/")[2] for name in sorted(store.data)] == [
        "00000001-dual_write.json",
        "00000002-cut_over.json",
        "00000003-cut_over.json",
        "state.json",
    ]
    assert read_phase(store, MIGRATION).phase is Phase.CUT_OVER
    assert begin(store, MIGRATION, stamp("again"))[0] is Begin.AS_IT_WAS
    store.put(HEAD, WRITTEN.encode())
    for read in (read_phase, read_record):
        with pytest.raises(PhaseUnknown, match="the head has version 1, and the history has 3 entries"):
            read(store, MIGRATION)
    with pytest.raises(PhaseUnknown, match=r"the head was set back to version 1; restore the newest version"):
        begin(store, MIGRATION, stamp("back"))


def test_a_mirror_that_read_version_1_goes_on_after_the_adoption() -> None:
    """The cutover after it is seen."""
    now = [0.0]
    store = store_of(head())
    reader = PhaseReader(store, MIGRATION, lambda: now[0])
    assert reader.phase() is Phase.DUAL_WRITE
    begin(store, MIGRATION, stamp("adopted"))
    update(store, MIGRATION, lambda state: with_phase(state, Phase.CUT_OVER, stamp("cut")))
    now[0] = 10.0
    assert reader.phase() is Phase.CUT_OVER


DELETION = f"manifest delete_old_qpi_exports_dev_20250301.json sha256 {'a' * 64} of 1,234,567 objects"
SIGNED = {"name": "data", "by": "Ada", "at": "2025-03-01T08:30:00Z", "note": ""}

SENTENCES = [
    ("sign-off qpi-team", {"signatory": Signatory.QPI_TEAM}),
    (
        "sign-off qpi-team: a note: with (all) that; it may hold",
        {"note": "a note: with (all) that; it may hold"},
    ),
    ("sign-off data: again, the one of 2025-03-01T08:30:00Z stands", {"kind": EntryKind.SIGN_OFF}),
    (
        "sign-off data again, the one of 2025-03-01T08:30:00Z stands",
        {"kind": EntryKind.SIGNED_AGAIN, "signed": START},
    ),
    ("sign-off data again, the one of 2025-03-01T08:30:00.000001Z stands: still", {"note": "still"}),
    ("sign-off data of 2025-03-01T08:30:00Z withdrawn", {"kind": EntryKind.WITHDRAWN, "signed": START}),
    ("sign-off data of 2025-03-01T08:30:00Z withdrawn: a day is missing", {"note": "a day is missing"}),
    ("a sentence of a person who mended the state", {"kind": EntryKind.NOTE}),
    ("phase dual_write to cut_over", {"phase": Phase.CUT_OVER, "was": Phase.DUAL_WRITE}),
]


@pytest.mark.parametrize(("sentence", "fields"), SENTENCES, ids=[each for each, _ in SENTENCES])
def test_every_sentence_of_version_1_becomes_fields_and_the_same_sentence(
    sentence: str, fields: dict[str, object]
) -> None:
    """No word of the history is lost."""
    signoffs: list[dict[str, str]] = []
    facts: dict[str, Any] = {}
    if fields.get("phase"):
        facts = {"phase": "cut_over", "since": "2025-03-01T08:30:00Z"}
    elif sentence.startswith("sign-off") and fields.get("kind", EntryKind.SIGN_OFF) is EntryKind.SIGN_OFF:
        team, _, note = sentence.removeprefix("sign-off ").partition(": ")
        if "signed" not in fields and " again" not in team and " of " not in team:
            signoffs = [{**SIGNED, "name": team, "note": note}]
    (entry,) = state_from_head(head(sentence, signoffs=signoffs, **facts), MIGRATION).history
    assert entry.what == sentence
    assert {name: getattr(entry, name) for name in fields} == fields


@pytest.mark.parametrize("word", ["overridden", "passed over"])
def test_a_deletion_of_version_1_keeps_its_manifests_and_what_was_overridden(word: str) -> None:
    """A resumed deletion finds its manifest, and the reasons stay on record. The oldest programs wrote "passed over"."""
    first = (
        f"phase cut_over to deleting; {DELETION}; {word} soak (QPI (all) is off); {word} late-writes (tests)"
    )
    contents = head(
        "phase dual_write to cut_over",
        first,
        f"deletion goes on; {DELETION.replace('1,234,567', '2')}",
        "phase deleting to deleted",
        phase="deleted",
        since="2025-03-01T08:33:00Z",
    )
    state = state_from_head(contents, MIGRATION)
    name = "delete_old_qpi_exports_dev_20250301.json"
    assert state.manifests == (BegunDeletion(name, "a" * 64, 1_234_567), BegunDeletion(name, "a" * 64, 2))
    assert state.history[1].overridden == (
        Overridden("soak", "QPI (all) is off"),
        Overridden("late-writes", "tests"),
    )
    assert [entry.what for entry in state.history][1] == first.replace(word, "overridden")
    assert begin(store_of(contents), MIGRATION, stamp("adopted"))[1].manifests == state.manifests


def test_a_rollback_of_version_1_names_the_sign_offs_that_it_voided() -> None:
    """A person's name may have commas."""
    contents = head(
        ("Bob, , of Ops", "sign-off data"),
        "sign-off qpi-team",
        "phase dual_write to cut_over",
        "phase cut_over to rolled_back; to be signed anew: data by Bob, , of Ops, qpi-team by Ada",
        phase="rolled_back",
        since="2025-03-01T08:33:00Z",
    )
    state = state_from_head(contents, MIGRATION)
    assert state.history[-1].void == ("data by Bob, , of Ops", "qpi-team by Ada")
    adopted = begin(store_of(contents), MIGRATION, stamp("adopted"))[1]
    assert (adopted.history[:-1], adopted.signoffs) == (state.history, ())


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (head(phase="cut_over"), "phase is cut_over, and its own history ends in dual_write"),
        (
            head("phase dual_write to cut_over"),
            "phase is dual_write, and its own history ends in cut_over",
        ),
        (head(since="2025-03-01T08:30:00Z"), "since is not the time"),
        (head(signoffs=[SIGNED]), "signoffs are not those of its own history"),
        (head("sign-off data"), "signoffs are not those of its own history"),
        (head("phase cut_over to rolled_back", phase="rolled_back"), "does not follow|since is not"),
        (
            head(
                "phase dual_write to cut_over",
                "phase rolled_back to deleting",
                phase="deleting",
                since="2025-03-01T08:31:00Z",
            ),
            "entry 2 of its history sets a phase that does not follow",
        ),
        (head("phase dual_write to paused", phase="paused"), "phase is 'paused'"),
        (head("phase dual_write to paused"), "'paused' is not a valid Phase"),
        (head("sign-off marketing"), "'marketing' is not a valid Signatory"),
        (head("sign-off data of yesterday withdrawn"), "yesterday"),
        (head("sign-off data of 2025-03-01T08:30:00 withdrawn"), "has no time zone"),
        (head(colour="red"), "colour is an unknown field"),
        (head(signoffs=None), "signoffs is null"),
        (head("a", "b").replace(b'"c1"', b'"c0"'), "history: the same change twice"),
        (head("a\x00b"), r"history\[0\]\.note is 'a\\x00b'"),
        (head(""), r"history\[0\]\.what is ''"),
    ],
)
def test_a_head_of_version_1_that_contradicts_itself_is_not_adopted(contents: bytes, said: str) -> None:
    """The line names the fault, and nothing is written."""
    store = store_of(contents)
    for act in (
        lambda: begin(store, MIGRATION, stamp()),
        lambda: read_state(store, MIGRATION),
    ):
        with pytest.raises(PhaseUnknown, match=said) as caught:
            act()
        assert str(caught.value).startswith(
            "gs://export-dev/_migration/qpi_exports/state.json: not a migration's"
        )
    assert store.writes == []


json_values = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=2)
fields = st.sampled_from([*json.loads(WRITTEN), "more"])


@given(fields, json_values)
def test_a_head_of_version_1_with_any_field_exchanged_is_adopted_readably_or_refused(
    field: str, value: Any
) -> None:
    """What `begin` writes can be read, whatever it read."""
    store = store_of(json.dumps({**json.loads(WRITTEN), field: value}).encode())
    try:
        _, state = begin(store, MIGRATION, stamp("adopted"))
    except PhaseUnknown:
        assert store.writes == []
    else:
        assert read_state(store, MIGRATION) == state
        assert state.phase is Phase.CUT_OVER


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_any_sentence_is_adopted_readably_or_refused(sentence: str) -> None:
    """Also one that looks like one of the program's."""
    for what in (sentence, f"sign-off data again, the one of {sentence}", f"phase {sentence}"):
        store = store_of(head(what))
        try:
            begin(store, MIGRATION, stamp("adopted"))
        except PhaseUnknown:
            assert store.writes == []
        else:
            assert read_state(store, MIGRATION).history[0].what == what


def test_a_program_of_version_1_refuses_what_begin_writes() -> None:
    """Its mirror reads the phase and goes on; its commands ask for a newer program. So the head keeps the field ``phase``."""
    _, state = begin(store_of(head()), MIGRATION, stamp("adopted"))
    content = json.loads(state.to_json())
    assert (content["version"], content["phase"]) == (2, "dual_write")
    assert sign_off(state, Signatory.DATA, stamp("c9")).phase is State.initial(MIGRATION).phase
