"""``/_local/*``: what a test or a demo asks of the double itself. Never counted, never faulted.

| path | GET | POST | DELETE |
|---|---|---|---|
| ``stats`` | counts | reset | reset |
| ``faults`` | the plan | replace it | clear it |
| ``fill`` | | bulk fill | |
| ``subscribers`` | all | add | remove (``?id=``), or all |
| ``events`` | counts | | |
| ``dead-letters`` | all | | forget them |
| ``dead-letters/replay`` | | send again | |
"""

import gc
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from local_gcs.api import Api
from local_gcs.calls import Reply, parse_object, parse_query, refusal
from local_gcs.errors import Refused, not_found
from local_gcs.events import Publisher, Subscription
from local_gcs.faults import FaultPlan, Faults
from local_gcs.fill import Fill, fill
from local_gcs.model import Storage
from local_gcs.rewrites import Rewriter

__all__ = ["LocalApi"]

Method = Callable[[Mapping[str, str], bytes], Any]


class LocalApi:
    """Dispatches what is asked of the double itself.

    Args:
        api: Has the counts.
        storage: To fill.
        rewriter: Has the limit that makes clients loop.
        faults: The faults in force.
        publisher: Delivers events.
    """

    def __init__(
        self, *, api: Api, storage: Storage, rewriter: Rewriter, faults: Faults, publisher: Publisher
    ) -> None:
        self._api = api
        self._storage = storage
        self._rewriter = rewriter
        self._faults = faults
        self._publisher = publisher
        self._methods: dict[tuple[str, str], Method] = {
            ("GET", "stats"): lambda _params, _body: api.stats.snapshot(),
            ("POST", "stats"): self._reset_stats,
            ("DELETE", "stats"): self._reset_stats,
            ("GET", "faults"): lambda _params, _body: faults.snapshot(),
            ("POST", "faults"): self._replace_faults,
            ("DELETE", "faults"): self._clear_faults,
            ("POST", "fill"): self._fill,
            ("GET", "subscribers"): lambda _params, _body: publisher.subscribers(),
            ("POST", "subscribers"): self._subscribe,
            ("DELETE", "subscribers"): self._unsubscribe,
            ("GET", "events"): lambda _params, _body: publisher.counts(),
            ("GET", "dead-letters"): lambda _params, _body: {"items": publisher.dead_letters()},
            ("DELETE", "dead-letters"): lambda _params, _body: {"forgotten": publisher.forget_dead_letters()},
            ("POST", "dead-letters/replay"): lambda _params, _body: {"replayed": publisher.replay()},
        }

    def dispatch(self, verb: str, target: str, body: bytes) -> Reply:
        """Answer one request.

        Args:
            verb: HTTP method.
            target: Path below ``/_local/``, and query.
            body: The body, whole.
        """
        path, _, query = target.partition("?")
        try:
            method = self._methods.get((verb, path))
            if method is None:
                raise not_found()
            return Reply(body=orjson.dumps(method(parse_query(query), body)))
        except Refused as refused:
            return refusal(refused)

    def apply_faults(self, plan: FaultPlan) -> None:
        """Put a plan into force in all its parts."""
        self._faults.replace(plan)
        self._rewriter.limit = plan.max_rewrite_bytes_per_call
        self._rewriter.gap = self._faults.rewrite_gap if plan.rewrite_gap_ms else float

    def _reset_stats(self, _params: Mapping[str, str], _body: bytes) -> Any:
        self._api.stats.clear()
        return self._api.stats.snapshot()

    def _replace_faults(self, _params: Mapping[str, str], body: bytes) -> Any:
        self.apply_faults(FaultPlan.of(parse_object(body)))
        return self._faults.snapshot()

    def _clear_faults(self, _params: Mapping[str, str], _body: bytes) -> Any:
        self._faults.clear()
        self._rewriter.limit = None
        self._rewriter.gap = float
        return self._faults.snapshot()

    def _fill(self, _params: Mapping[str, str], body: bytes) -> Any:
        objects = fill(self._storage, Fill.of(parse_object(body)))
        # What is filled in stays: a collection that looks at a million objects would stop the server for a second.
        gc.freeze()
        return {"objects": objects}

    def _subscribe(self, _params: Mapping[str, str], body: bytes) -> Any:
        return self._publisher.subscribe(Subscription.of(parse_object(body)))

    def _unsubscribe(self, params: Mapping[str, str], _body: bytes) -> Any:
        return {"removed": self._publisher.unsubscribe(params.get("id"))}
