"""Runs over a replaying store what production code runs in an event loop. Each call is answered at once, so nothing waits."""

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from mirror_function.event import ObjectEvent
from mirror_function.mirror import Mirrored, mirror, mirror_at_once
from mirror_function.settings import MirrorSettings
from shared.erasures import Erasures
from shared.gcs.api import UNPACED, Pacing, Rewrite
from shared.objects import ObjectRef, ObjectState
from shared.phase import Phase
from shared.replicate import Unsettled
from shared.store import ObjectStore

__all__ = ["InLoop", "at_once", "whole_mirror"]

T = TypeVar("T")


class ReadsPhase(Protocol):
    """A `PhaseReader`, or a store that answers for one."""

    def phase(self) -> Phase: ...

    def erasures(self, *, reverse: bool) -> Erasures: ...


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


class InLoop:
    """A store, in the form of the fast client."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def look(self, at: ObjectRef) -> ObjectState | None:
        """See `AsyncApi.look`."""
        return self._store.look(at)

    async def rewrite(
        self,
        source: ObjectRef,
        destination: ObjectRef,
        *,
        if_source: int,
        if_destination: int,
        like: ObjectState | None,
        pacing: Pacing,
    ) -> Rewrite:
        """See `AsyncApi.rewrite`."""
        assert pacing is UNPACED
        assert like is None
        copy = self._store.copy(source, destination, if_source=if_source, if_destination=if_destination)
        return Rewrite(copy)


def whole_mirror(event: ObjectEvent, settings: MirrorSettings, store: Any, phases: ReadsPhase) -> Mirrored:
    """The mirror's work on an event: in the event loop, and then by the rule."""

    async def read_phase() -> tuple[Phase, Erasures]:
        return phases.phase(), phases.erasures(reverse=settings.reverse)

    async def otherwise(after: Unsettled) -> Mirrored:
        return mirror(event, settings, store, phases, after)  # type: ignore[arg-type]

    return at_once(mirror_at_once(event, settings, InLoop(store), read_phase=read_phase, otherwise=otherwise))  # type: ignore[arg-type]
