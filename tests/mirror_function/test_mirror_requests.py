"""What an event costs a mirror: requests by method, with the phase still to be read and with a known one."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from testing_paths import Paths

from mirror_function.event import read_event
from mirror_function.mirror import Mirrored, MirrorOutcome, mirror, mirror_at_once
from mirror_function.settings import MirrorSettings
from shared.erasures import Erasures
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi
from shared.phase import CACHE_SECONDS, Phase, PhaseReader
from shared.replicate import Unsettled

ATTRIBUTES = {"id": "e-1", "type": "google.cloud.storage.object.v1.finalized"}
COPY = {"storage.objects.rewrite": 1}
LOOK_AND_COPY = {**COPY, "storage.objects.get": 1}
"""After a rollback the later write wins, so a mirror looks again after its copy."""
READ = {"storage.objects.list": 1, "storage.objects.download": 1}
"""One listing of the history and one read of the head. It was the read alone when the record was one object."""
NAME = "user_id_7.jsonl"


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Costs:
    """Handles the newest event of a name as the function does, and counts the requests."""

    def __init__(self, paths: Paths, gateway: Gateway, runner: asyncio.Runner, *, deletes: bool) -> None:
        self.paths = paths
        self.clock = Clock()
        self.done = Mirrored(MirrorOutcome.IGNORED)
        self.api = AsyncApi(endpoint=paths.server.url, server_time=gateway.server_time)
        self._gateway = gateway
        self._phases = PhaseReader(gateway, paths.migration, self.clock)
        self._settings = MirrorSettings(migration=paths.migration, deletes=deletes)
        self._run = runner.run

    def __call__(self, name: str = NAME, resource: dict[str, Any] | None = None) -> dict[str, int]:
        now = datetime.now(UTC)
        event = read_event({**ATTRIBUTES, "time": now.isoformat()}, resource or self.resource(name), now)
        settings, gateway, phases = self._settings, self._gateway, self._phases

        async def otherwise(after: Unsettled) -> Mirrored:
            return await asyncio.to_thread(mirror, event, settings, gateway, phases, after)

        async def phase() -> tuple[Phase, Erasures]:
            return phases.with_erasures(reverse=settings.reverse)

        self.paths.server.reset_stats()
        self.done = self._run(
            mirror_at_once(event, settings, self.api, read_phase=phase, otherwise=otherwise)
        )
        return {method: count["count"] for method, count in self.paths.server.stats()["methods"].items()}

    def resource(self, name: str = NAME) -> dict[str, Any]:
        return dict(self.paths.bucket("source").get_blob(f"QPI_exports/{name}")._properties)

    def of_new(self, name: str = NAME) -> dict[str, int]:
        self.paths.put(name)
        cost = self(name)
        assert self.done.outcome is MirrorOutcome.COPIED
        return cost


@pytest.fixture
def costs(paths: Paths, gateway: Gateway, request: pytest.FixtureRequest) -> Iterator[Costs]:
    """With the fixture's parameter, deletions are followed."""
    with asyncio.Runner() as runner:
        found = Costs(paths, gateway, runner, deletes=bool(getattr(request, "param", False)))
        yield found
        runner.run(found.api.__aexit__(None, None, None))


@pytest.mark.parametrize(("phase", "known"), [(Phase.DUAL_WRITE, COPY), (Phase.ROLLED_BACK, LOOK_AND_COPY)])
def test_the_phase_costs_two_requests_every_ten_seconds(
    costs: Costs, phase: Phase, known: dict[str, int]
) -> None:
    """The first event reads it, the next ones do not, and the first one after the cache's time does. A longer history costs the same."""
    costs.paths.begin(phase)
    assert costs.of_new("first") == known | READ
    assert [costs.of_new(f"within {number}") for number in range(5)] == [known] * 5
    costs.clock.now = CACHE_SECONDS - 0.001
    assert costs.of_new("at the end") == known
    costs.clock.now = CACHE_SECONDS
    assert costs.of_new("after it") == known | READ
    assert costs.of_new("within again") == known


def requests(rewrites: int, looks: int) -> dict[str, int]:
    found = {"storage.objects.rewrite": rewrites, "storage.objects.get": looks}
    return {method: count for method, count in found.items() if count}


@pytest.mark.parametrize(
    ("phase", "costs", "new", "duplicate", "overwritten"),
    [
        (Phase.DUAL_WRITE, False, requests(1, 0), requests(1, 1), requests(2, 1)),
        (Phase.DUAL_WRITE, True, requests(1, 1), requests(1, 2), requests(2, 3)),
        (Phase.ROLLED_BACK, False, requests(1, 1), requests(1, 2), requests(3, 3)),
        (Phase.CUT_OVER, False, requests(1, 1), requests(1, 2), requests(1, 2)),
    ],
    indirect=["costs"],
    ids=["dual_write", "dual_write, deletions followed", "rolled_back", "cut_over"],
)
def test_only_where_the_source_wins_the_destination_alone_settles_an_event(
    costs: Costs,
    phase: Phase,
    new: dict[str, int],
    duplicate: dict[str, int],
    overwritten: dict[str, int],
) -> None:
    """Two requests for an event that comes twice, three for an overwrite. Elsewhere the source is looked at, too."""
    costs.paths.begin(phase)
    costs.of_new("first")
    assert costs.of_new() == new
    assert costs() == duplicate
    assert costs.done.outcome is MirrorOutcome.ALREADY_EQUAL
    costs.paths.put(NAME, b"newer")
    assert costs() == overwritten
    conflict = phase is Phase.CUT_OVER
    assert costs.done.outcome is (MirrorOutcome.CONFLICT if conflict else MirrorOutcome.COPIED)


def test_an_equal_destination_from_before_the_event_settles_nothing(costs: Costs) -> None:
    """It is copied again, so that an older copy under way fails its precondition."""
    costs.of_new("first")
    costs.paths.put(NAME, side="destination")
    costs.paths.put(NAME)
    assert costs() == requests(2, 1)
    assert costs.done.outcome is MirrorOutcome.COPIED


def test_a_late_event_of_an_older_version_is_settled_by_both_sides(costs: Costs) -> None:
    """The destination holds a later version's copy: one look at it, and the rule's two."""
    costs.of_new("first")
    costs.paths.put(NAME, b"one")
    older = costs.resource()
    costs.paths.put(NAME, b"two")
    costs()
    assert costs(resource=older) == requests(1, 3)
    assert costs.done.outcome is MirrorOutcome.SUPERSEDED
