"""The reverse mirror: the same function on the new bucket, bringing new writes back to the legacy path."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from testing_commands import Commands
from testing_paths import Paths

import local_gcs
from demo.function import FunctionProcess, running_function
from mirror_function.event import EventKind, ObjectEvent
from mirror_function.mirror import Mirrored, MirrorOutcome, mirror
from mirror_function.settings import MirrorSettings
from shared.errors import UsageError
from shared.gateway import Gateway
from shared.migration import Location, Migration
from shared.objects import ObjectState
from shared.phase import Phase, PhaseReader

NAME = "qpi_answers_20240101/user_id_7.jsonl"


def event_of(paths: Paths, state: ObjectState, kind: EventKind = EventKind.FINALIZED) -> ObjectEvent:
    return ObjectEvent("e-1", kind, paths.migration.destination.bucket, state, datetime.now(UTC))


def mirrored(paths: Paths, gateway: Gateway, name: str = NAME) -> Mirrored:
    """What the reverse mirror makes of the event of the new path's present version."""
    state = paths.look(name)
    assert state is not None
    settings = MirrorSettings(paths.migration, reverse=True)
    phases = PhaseReader(gateway, paths.migration, lambda: 0.0)
    return mirror(event_of(paths, state), settings, gateway, phases)


def test_after_the_cutover_a_new_object_arrives_on_the_legacy_path(
    paths: Paths, gateway: Gateway, commands: Commands
) -> None:
    """With its metadata, and its lag."""
    commands.go(Phase.CUT_OVER)
    paths.put(NAME, b"new", side="destination", metadata={"k": "v"})
    done = mirrored(paths, gateway)
    assert (done.outcome, done.phase) == (MirrorOutcome.COPIED, Phase.CUT_OVER)
    assert paths.read(NAME, side="source") == b"new"
    assert paths.bucket("source").get_blob(f"QPI_exports/{NAME}").metadata == {"k": "v"}


def test_an_overwritten_object_arrives_too_and_what_it_replaces_is_kept(
    paths: Paths, gateway: Gateway, commands: Commands
) -> None:
    """The later write wins."""
    generation = paths.put(NAME, b"old")
    commands.go(Phase.CUT_OVER)
    paths.put(NAME, b"answered again", side="destination")
    assert mirrored(paths, gateway).outcome is MirrorOutcome.COPIED
    assert paths.read(NAME, side="source") == b"answered again"
    assert gateway.read(paths.migration.kept_ref(NAME, generation)) == b"old"


def test_a_later_write_on_the_legacy_path_is_not_overwritten(
    paths: Paths, gateway: Gateway, commands: Commands
) -> None:
    """A late writer's word, whatever the new path had before: a conflict, reported."""
    commands.go(Phase.CUT_OVER)
    paths.put(NAME, b"new path", side="destination")
    paths.put(NAME, b"late writer")
    assert mirrored(paths, gateway).outcome is MirrorOutcome.CONFLICT
    assert paths.read(NAME, side="source") == b"late writer"


@pytest.mark.parametrize("phases", [(), (Phase.CUT_OVER, Phase.DELETING)])
def test_in_other_phases_nothing_is_brought_back(
    paths: Paths, gateway: Gateway, commands: Commands, phases: tuple[Phase, ...]
) -> None:
    """Before the cutover these are the forward mirror's copies; once deletion began, the legacy path stays as it is."""
    commands.go(*phases)
    paths.put(NAME, b"new", side="destination")
    paths.server.reset_stats()
    done = mirrored(paths, gateway)
    assert (done.outcome, "in this phase" in done.because) == (MirrorOutcome.IGNORED, True)
    assert paths.names(side="source") == []


def test_after_a_rollback_it_only_creates(paths: Paths, gateway: Gateway, commands: Commands) -> None:
    """A late writer on the new path: what is new arrives, what differs is a conflict."""
    paths.put("there", b"legacy")
    commands.go(Phase.CUT_OVER, Phase.ROLLED_BACK)
    paths.put("there", b"late", side="destination")
    paths.put("new", b"late", side="destination")
    assert mirrored(paths, gateway, "there").outcome is MirrorOutcome.CONFLICT
    done = mirrored(paths, gateway, "new")
    assert (done.outcome, done.straggler) == (MirrorOutcome.COPIED, True)
    assert (paths.read("there", side="source"), paths.read("new", side="source")) == (b"legacy", b"late")


def test_deletions_are_not_followed_on_the_way_back(
    paths: Paths, gateway: Gateway, commands: Commands
) -> None:
    """And the function refuses to be configured so."""
    commands.go(Phase.CUT_OVER)
    paths.put(NAME, b"x")
    paths.put(NAME, b"x", side="destination")
    state = paths.look(NAME)
    assert state is not None
    phases = PhaseReader(gateway, paths.migration, lambda: 0.0)
    settings = MirrorSettings(paths.migration, reverse=True)
    done = mirror(event_of(paths, state, EventKind.DELETED), settings, gateway, phases)
    assert done.outcome is MirrorOutcome.IGNORED
    assert paths.names(side="source") == [NAME]
    with pytest.raises(UsageError, match="MIRROR_DELETES and MIRROR_REVERSE"):
        MirrorSettings.from_environ({"MIRROR_ENV": "dev", "MIRROR_DELETES": "true", "MIRROR_REVERSE": "true"})


def test_the_state_is_the_same_for_both_directions() -> None:
    """It lies beside the new path, whichever way is gone; and the way back of the way back is the way."""
    migration = MirrorSettings.from_environ({"MIRROR_ENV": "dev", "MIRROR_REVERSE": "true"}).way
    assert migration.source.uri == "gs://de-bigquery-data-export-dev/qpi_exports/"
    assert (
        migration.own_ref("state.json").uri
        == "gs://de-bigquery-data-export-dev/_migration/qpi_exports/state.json"
    )
    assert replace(migration.reversed(), home=None) == MirrorSettings.from_environ({"MIRROR_ENV": "dev"}).way
    whole = Migration(Location("legacy", ""), Location("new", "data/"))
    assert whole.reversed().destination == Location("legacy", "")


# --- both mirrors, as processes ---------------------------------------------------------------------------------


@contextmanager
def both_mirrors(folder: Path) -> Iterator[tuple[Paths, FunctionProcess, FunctionProcess]]:
    """A server of their own, and a function on each bucket's events."""
    migration = Migration(Location("legacy-bucket", "QPI_exports/"), Location("new-bucket", "qpi_exports/"))
    buckets = [migration.source.bucket, migration.destination.bucket]
    with local_gcs.running(buckets=buckets) as server:
        client = storage.Client(
            project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": server.url}
        )
        back = {"MIRROR_REVERSE": "true"}
        with (
            running_function(server.url, migration, folder / "forward.log") as forward,
            running_function(server.url, migration, folder / "reverse.log", back) as reverse,
        ):
            for bucket, function in zip(buckets, (forward, reverse), strict=True):
                server.add_subscriber(function.url, types=["finalized"], bucket=bucket)
            yield Paths(server, client, migration), forward, reverse
        client._http.close()


def test_two_mirrors_come_to_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
    """Loops end by themselves, because equal is equal: every upload leads to a counted number of requests, and silence."""
    with both_mirrors(tmp_path) as (paths, *_):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
        own = Gateway()
        paths.begin()
        Commands(paths, tmp_path, own).go(Phase.CUT_OVER)
        paths.put("warm", b"the caches", side="destination")
        paths.put("warm up", b"the caches")
        paths.server.wait_for_events()

        def requests(upload: str, side: str, data: bytes) -> dict[str, int]:
            paths.server.reset_stats()
            paths.put(upload, data, side=side)
            paths.server.wait_for_events()
            counts = {method: paths.requests(f"storage.objects.{method}") for method in ("rewrite", "get")}
            assert paths.read(upload) == paths.read(upload, side="source")
            return counts

        # A new object on the new path: one copy, one look after it; its echo: one refused copy, two looks.
        assert requests("new", "destination", b"1") == {"rewrite": 2, "get": 3}
        # Overwritten there: a refused copy, two looks, what is replaced is kept, one copy, one look; the echo as before.
        assert requests("new", "destination", b"22") == {"rewrite": 4, "get": 5}
        # A late writer's new object on the legacy path: one copy, one look after it. Its echo: one refused copy, two looks.
        # The copy is the younger of two equals, so it is copied once more, with one look after it. The echo of that: one copy,
        # two looks. If the echo is faster than the first look after the copy, that look sees a new version: two more looks.
        counts = requests("late", "source", b"1")
        assert counts["rewrite"] == 4
        assert counts["get"] in {6, 8}
        events = paths.server.events()
        paths.server.wait_for_events()
        assert paths.server.events() == events
        own.close()
