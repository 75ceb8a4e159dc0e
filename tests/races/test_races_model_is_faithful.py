"""Checks the explored model against a real server: the same calls give the same answers.

Random sequences of calls run on ``race_model``, with a copy's two steps at once, and on the strict local Cloud Storage
through the production gateway. Contents, metadata, presence and errors must agree, and generations must change when the
model's do. The numbers themselves differ, and mean nothing.
"""

import itertools
from collections.abc import Callable

import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud import storage
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from race_model import (
    Condition,
    Place,
    Refusal,
    Version,
    deleted,
    object_state,
    patched,
    put,
    read,
    read_pinned,
)

from shared.decision import ABSENT
from shared.errors import ConditionFailed, ObjectNotFound
from shared.gateway import Gateway
from shared.objects import ObjectRef, ObjectState, same

PLAIN, VERSIONED = "races-plain", "races-versioned"
SLOTS = [(bucket, name) for bucket in (PLAIN, VERSIONED) for name in ("a", "b")]

Slot = tuple[str, str]

slots = st.sampled_from(SLOTS)
contents = st.sampled_from(["", "one", "two", "three"])
labels = st.sampled_from(["", "x", "y"])
conditions = st.sampled_from(["right", "right", "stale", "zero"])
runs = itertools.count()


@pytest.fixture(scope="module")
def buckets(client: storage.Client) -> storage.Client:
    for name in (PLAIN, VERSIONED):
        bucket = client.bucket(name)
        bucket.versioning_enabled = name == VERSIONED
        client.create_bucket(bucket)
    return client


def test_the_model_answers_like_a_server(buckets: storage.Client, gateway: Gateway) -> None:
    """Any sequence of calls has the same answers and leaves the same objects on the model and on a server."""

    class OnThisServer(TwoStorages):
        def __init__(self) -> None:
            super().__init__(buckets, gateway)

    run_state_machine_as_test(
        OnThisServer,
        settings=settings(max_examples=40, stateful_step_count=25, deadline=None, derandomize=True),
    )


class TwoStorages(RuleBasedStateMachine):
    """The model and a server, side by side. Names are fresh for each sequence of calls."""

    def __init__(self, client: storage.Client, gateway: Gateway) -> None:
        super().__init__()
        self.client, self.gateway = client, gateway
        self.prefix = f"run-{next(runs)}/"
        self.places = {slot: Place(versioned=slot[0] == VERSIONED) for slot in SLOTS}
        self.generations: dict[int, int] = {ABSENT: ABSENT}

    @rule(slot=slots, data=contents, label=labels, condition=st.none() | conditions)
    def upload(self, slot: Slot, data: str, label: str, condition: str | None) -> None:
        wanted = None if condition is None else self._wanted(slot, condition)
        after = put(self.places[slot], self._version(data, label), wanted)
        blob = self._blob(slot)
        blob.metadata = {"label": label} if label else None
        self._agree(slot, after, lambda: self._upload(blob, data, wanted))

    @rule(slot=slots, label=labels.filter(bool))
    def relabel(self, slot: Slot, label: str) -> None:
        blob = self._blob(slot)
        blob.metadata = {"label": label}
        self._agree(slot, patched(self.places[slot], label, 0), blob.patch)

    @rule(slot=slots, condition=conditions)
    def delete(self, slot: Slot, condition: str) -> None:
        wanted = self._wanted(slot, condition)
        self._agree(
            slot,
            deleted(self.places[slot], wanted),
            lambda: self.gateway.delete(self._ref(slot), if_generation=self.generations[wanted]),
        )

    @rule(slot=slots)
    def delete_whatever_is_there(self, slot: Slot) -> None:
        self._agree(slot, deleted(self.places[slot]), self._blob(slot).delete)

    @rule(source=slots, destination=slots, if_source=conditions, if_destination=conditions)
    def copy(self, source: Slot, destination: Slot, if_source: str, if_destination: str) -> None:
        here, there = self._wanted(source, if_source), self._wanted(destination, if_destination)
        taken = read(self.places[source], here)
        self._agree(
            destination,
            self._committed(destination, taken, there),
            lambda: self.gateway.copy(
                self._ref(source),
                self._ref(destination),
                if_source=self.generations[here],
                if_destination=self.generations[there],
            ),
        )

    @rule(source=slots, destination=slots, which=st.integers(0, 3))
    def copy_pinned(self, source: Slot, destination: Slot, which: int) -> None:
        """A rewrite that names a version, live or not. The gateway never does this."""
        place = self.places[source]
        versions = [version for version in (*place.noncurrent, place.live) if version is not None]
        if not versions or source == destination:
            return
        pinned = versions[which % len(versions)]
        blob = self._blob(source)
        original = blob.bucket.blob(blob.name, generation=self.generations[pinned.token])
        self._agree(
            destination,
            self._committed(destination, read_pinned(place, pinned.token), None),
            lambda: self._blob(destination).rewrite(original),
        )

    @rule(slot=slots)
    def look(self, slot: Slot) -> None:
        self._compare(self.places[slot].live, self.gateway.look(self._ref(slot)))

    @invariant()
    def live_objects_are_the_same(self) -> None:
        for bucket in (PLAIN, VERSIONED):
            listed = {
                state.name: state
                for page in self.gateway.list_pages(bucket, self.prefix)
                for state in page.objects
            }
            for slot, place in self.places.items():
                if slot[0] == bucket:
                    self._compare(place.live, listed.pop(self._ref(slot).name, None))
            assert not listed

    @invariant()
    def noncurrent_versions_are_the_same(self) -> None:
        blobs = self.client.list_blobs(VERSIONED, prefix=self.prefix, versions=True)
        expected = {
            self.generations[version.token]
            for slot, place in self.places.items()
            if slot[0] == VERSIONED
            for version in (*place.noncurrent, place.live)
            if version is not None
        }
        assert {blob.generation for blob in blobs} == expected

    def _agree(self, slot: Slot, after: Place | Refusal, call: Callable[[], object]) -> None:
        """Make a call on the server, and expect the model's answer."""
        try:
            call()
        except (ConditionFailed, PreconditionFailed):
            assert after is Refusal.CONDITION_FAILED
        except (ObjectNotFound, NotFound):
            assert after is Refusal.NOT_FOUND
        else:
            assert isinstance(after, Place), after
            self.places[slot] = after
            self._note(after.live, self.gateway.look(self._ref(slot)))

    def _note(self, version: Version | None, state: ObjectState | None) -> None:
        """Record the generation for a version's token. A new version has a new generation."""
        if version is None or version.token in self.generations:
            return
        assert state is not None
        assert state.generation not in self.generations.values()
        self.generations[version.token] = state.generation

    def _compare(self, version: Version | None, state: ObjectState | None) -> None:
        if version is None or state is None:
            assert version is None
            assert state is None
            return
        assert same(object_state(version, state.name), state), (version, state)
        assert state.generation == self.generations[version.token]
        assert state.metageneration == version.metageneration

    def _committed(self, slot: Slot, taken: Version | Refusal, condition: Condition) -> Place | Refusal:
        """Take the second step of a copy right after the first, as the server does with small objects."""
        if isinstance(taken, Refusal):
            return taken
        return put(self.places[slot], self._version(taken.data, taken.metadata), condition)

    def _version(self, data: str, label: str) -> Version:
        return Version(len(self.generations), 0, data, label)

    def _wanted(self, slot: Slot, condition: str) -> int:
        live = self.places[slot].live
        if condition == "right":
            return ABSENT if live is None else live.token
        others = [token for token in self.generations if live is None or token != live.token]
        return ABSENT if condition == "zero" else others[-1]

    def _upload(self, blob: storage.Blob, data: str, wanted: Condition) -> None:
        condition = None if wanted is None else self.generations[wanted]
        blob.upload_from_string(data, content_type="application/jsonl", if_generation_match=condition)

    def _blob(self, slot: Slot) -> storage.Blob:
        return self.client.bucket(slot[0]).blob(self._ref(slot).name)

    def _ref(self, slot: Slot) -> ObjectRef:
        return ObjectRef(slot[0], self.prefix + slot[1])
