"""A pair of prefixes on a real local Cloud Storage, as tests use it."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud import storage

import local_gcs
from backfill_job.copying.diff import DiffLine, merge_listings
from local_gcs.waiting import HANGS, wait_until
from shared.migration import Migration
from shared.objects import ObjectState
from shared.phase import Phase, entry_ref, history_ref, state_ref
from shared.state import State
from shared.state_changes import Stamp, begun, with_phase
from shared.store import ListingStore

WAYS = {
    Phase.DUAL_WRITE: (),
    Phase.CUT_OVER: (Phase.CUT_OVER,),
    Phase.ROLLED_BACK: (Phase.CUT_OVER, Phase.ROLLED_BACK),
    Phase.DELETING: (Phase.CUT_OVER, Phase.DELETING),
    Phase.DELETED: (Phase.CUT_OVER, Phase.DELETING, Phase.DELETED),
}
"""How a migration comes to a phase."""


@dataclass(frozen=True)
class Paths:
    """A source and a destination prefix of their own, on a server that other tests use too."""

    server: local_gcs.LocalServer
    client: storage.Client
    migration: Migration

    def bucket(self, side: str) -> Any:
        return self.client.bucket(getattr(self.migration, side).bucket)

    def begin(self, phase: Phase = Phase.DUAL_WRITE) -> None:
        """Write the record of a migration that has begun and come to a phase, in place of the one that is there."""
        at = datetime.now(UTC)
        state = begun(State.initial(self.migration), Phase.DUAL_WRITE, Stamp("begun", "test", at))
        for following in WAYS[phase]:
            state = with_phase(state, following, Stamp(following.value, "test", at))
        self.write_record(state)

    def write_record(self, state: State) -> None:
        """Write a record, in place of the one that is there."""
        for blob in self.bucket("destination").list_blobs(prefix=history_ref(self.migration).name):
            blob.delete()
        entries = {
            entry_ref(self.migration, number, entry.phase): state.entry_bytes(entry)
            for number, entry in enumerate(state.history, 1)
        }
        for at, data in ({state_ref(self.migration): state.to_json()} | entries).items():
            self.client.bucket(at.bucket).blob(at.name).upload_from_string(data)

    def age(self, state: State, by: timedelta) -> None:
        """Write a record with every entry so much older."""
        older = replace(state, history=())
        for entry in state.history:
            older = older.with_entry(replace(entry, at=entry.at - by))
        self.write_record(older)

    def forget(self) -> None:
        """Take the migration's record away, and all else that is its own."""
        for blob in self.bucket("destination").list_blobs(prefix="_migration/"):
            blob.delete()

    def put(self, relative: str, data: bytes = b"{}\n", *, side: str = "source", **attributes: Any) -> int:
        """Upload an object below a prefix, as its writer would; gives its generation.

        What is put later is later: Cloud Storage's times have milliseconds, and this machine puts two objects in one.
        """
        time.sleep(0.002)
        blob = self.bucket(side).blob(getattr(self.migration, side).prefix + relative)
        content_type = attributes.pop("content_type", "application/json")
        for name, value in attributes.items():
            setattr(blob, name, value)
        blob.upload_from_string(data, content_type=content_type)
        return int(blob.generation)

    def read(self, relative: str, *, side: str = "destination") -> bytes:
        blob = self.bucket(side).blob(getattr(self.migration, side).prefix + relative)
        return bytes(blob.download_as_bytes())

    def delete(self, relative: str, *, side: str = "source") -> None:
        self.bucket(side).blob(getattr(self.migration, side).prefix + relative).delete()

    def names(self, *, side: str = "destination") -> list[str]:
        prefix = getattr(self.migration, side).prefix
        return [blob.name[len(prefix) :] for blob in self.bucket(side).list_blobs(prefix=prefix)]

    def look(self, relative: str, *, side: str = "destination") -> ObjectState | None:
        blob = self.bucket(side).get_blob(getattr(self.migration, side).prefix + relative)
        return None if blob is None else ObjectState.from_resource(blob._properties)

    def diff(self, store: ListingStore) -> list[DiffLine]:
        """Both sides as listed now."""
        sides = (self._listed(store, side) for side in ("source", "destination"))
        return list(merge_listings(*sides, self.migration))

    def _listed(self, store: ListingStore, side: str) -> Iterator[tuple[str, ObjectState]]:
        location = getattr(self.migration, side)
        for page in store.list_pages(location.bucket, location.prefix):
            for state in page.objects:
                yield state.name[len(location.prefix) :], state

    def settled(self, *, side: str = "destination") -> int:
        """Objects on a side, when the last requests of a killed process have had their effect.

        The server answers in order: when it answers a listing after a pause longer than any latency in force, it has read every
        request that was sent before, and each has had its effect.
        """
        seen = -1
        while (now := len(self.names(side=side))) != seen:
            seen = now
            time.sleep(0.2)
        return seen

    def wait_for_requests(self, method: str, count: int, running: Callable[[], int | None]) -> None:
        """Wait until a process has made so many requests of one API method; `running` is its `poll`."""

        def look() -> int:
            assert running() is None, "it ended before it could be interrupted"
            return self.requests(method)

        wait_until(look, lambda requests: requests >= count, f"{count} {method}", still=HANGS)

    def set_rules(self, *conditions: dict[str, Any], side: str = "destination") -> None:
        """Give a bucket lifecycle rules that delete, instead of those that it has."""
        rules = [{"action": {"type": "Delete"}, "condition": condition} for condition in conditions]
        where = f"/b/{self.bucket(side).name}"
        self.client._connection.api_request("PATCH", where, data={"lifecycle": {"rule": rules}})

    def requests(self, method: str) -> int:
        """Requests of one API method since the server's counts were last reset."""
        return self.server.count(method)


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split("\n") if line]  # a name may have other line ends
