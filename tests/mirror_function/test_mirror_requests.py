"""What the phase costs a mirror: requests for an event, by method, with the phase still to be read and with a known one."""

from datetime import UTC, datetime

import pytest
from testing_paths import Paths

from mirror_function.event import read_event
from mirror_function.mirror import MirrorOutcome, mirror
from mirror_function.settings import MirrorSettings
from shared.gateway import Gateway
from shared.phase import CACHE_SECONDS, Phase, PhaseReader

ATTRIBUTES = {"id": "e-1", "type": "google.cloud.storage.object.v1.finalized"}
COPY = {"storage.objects.rewrite": 1}
LOOK_AND_COPY = {**COPY, "storage.objects.get": 1}
"""After a rollback the later write wins, so a mirror looks first."""
READ = {"storage.objects.list": 1, "storage.objects.download": 1}
"""One listing of the history and one read of the head. It was the read alone when the record was one object."""


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("phase", "known"), [(Phase.DUAL_WRITE, COPY), (Phase.ROLLED_BACK, LOOK_AND_COPY)])
def test_the_phase_costs_two_requests_every_ten_seconds(
    paths: Paths, gateway: Gateway, phase: Phase, known: dict[str, int]
) -> None:
    """The first event reads it, the next ones do not, and the first one after the cache's time does. A longer history costs the same."""
    paths.begin(phase)
    clock = Clock()
    phases = PhaseReader(gateway, paths.migration, clock)
    settings = MirrorSettings(migration=paths.migration)

    def cost(name: str) -> dict[str, int]:
        paths.put(name)
        resource = dict(paths.bucket("source").get_blob(f"QPI_exports/{name}")._properties)
        now = datetime.now(UTC)
        event = read_event({**ATTRIBUTES, "time": now.isoformat()}, resource, now)
        paths.server.reset_stats()
        assert mirror(event, settings, gateway, phases).outcome is MirrorOutcome.COPIED
        return {method: count["count"] for method, count in paths.server.stats()["methods"].items()}

    assert cost("first") == known | READ
    assert [cost(f"within {number}") for number in range(5)] == [known] * 5
    clock.now = CACHE_SECONDS - 0.001
    assert cost("at the end") == known
    clock.now = CACHE_SECONDS
    assert cost("after it") == known | READ
    assert cost("within again") == known
