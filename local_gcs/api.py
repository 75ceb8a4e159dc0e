"""The JSON API over one storage: from HTTP method, target, headers and body to an answer, without waiting.

Here a request meets its faults and is counted; the parts of a batch pass through here one by one.
"""

import sys
import traceback
from collections.abc import Callable

from multidict import CIMultiDict, CIMultiDictProxy

from local_gcs.batch import batch
from local_gcs.buckets_api import BucketsApi
from local_gcs.calls import Call, Method, Reply, Wire, parse_query, refusal
from local_gcs.errors import Refused
from local_gcs.faults import NO_HIT, Faults, Hit
from local_gcs.model import Storage
from local_gcs.objects_api import ObjectsApi
from local_gcs.resources import Renderer
from local_gcs.retry_tests import RetryTests
from local_gcs.rewrites import Rewriter
from local_gcs.routing import resolve
from local_gcs.stats import Stats
from local_gcs.uploads import UploadsApi

__all__ = ["Api"]

Step = Callable[[], Reply]
Headers = CIMultiDict[str] | CIMultiDictProxy[str]


class Api:
    """Dispatches requests.

    Args:
        storage: What they are about.
        rewriter: Does rewrites.
        faults: What may happen to them.
        base_url: Where the server listens.
        project: The one project there is.

    Attributes:
        stats: What has been asked for.
        renderer: Renders resources.
    """

    def __init__(
        self, *, storage: Storage, rewriter: Rewriter, faults: Faults, base_url: str, project: str
    ) -> None:
        self.stats = Stats()
        self.renderer = Renderer(base_url)
        self._faults = faults
        self._retry_tests = RetryTests()
        self._methods: dict[str, Method] = {
            **ObjectsApi(storage, rewriter, self.renderer).methods,
            **BucketsApi(storage, self.renderer, project).methods,
            **UploadsApi(storage, self.renderer, base_url).methods,
            **self._retry_tests.methods,
            "storage.batch": lambda call: batch(call, self.dispatch),
        }

    def dispatch(self, verb: str, target: str, headers: Headers, body: bytes) -> Reply:
        """Answer one request.

        Args:
            verb: HTTP method.
            target: Path and query as sent.
            headers: Header fields.
            body: The body, whole.
        """
        path, _, query = target.partition("?")
        method = "unknown"

        def first() -> Reply:
            nonlocal method
            method, args = resolve(verb, path)
            return self._do(Call(method, args, parse_query(query), headers, body))

        return self._counted(first, lambda: method)

    def _counted(self, step: Step, method: Callable[[], str]) -> Reply:
        """Take a step; count the request when it was the last."""
        try:
            reply = step()
        except Refused as refused:
            reply = refusal(refused)
        except Exception:  # noqa: BLE001 - a defect here must show as a 500 and a traceback, not as a hung client
            traceback.print_exc(file=sys.stderr)
            reply = refusal(Refused(500, "internalError", "local_gcs has a defect: see its standard error."))
        if reply.rest is None:
            self.stats.count(method(), str(reply.status) if reply.wire is Wire.WHOLE else reply.wire.value)
        else:
            rest = reply.rest
            reply.rest = lambda: self._counted(rest, method)
        return reply

    def _do(self, call: Call) -> Reply:
        """Do what is asked, faults included."""
        hit = self._hit(call)
        if hit is NO_HIT:
            return self._methods[call.method](call)
        if hit.refused:
            raise hit.refused
        if hit.connection == "reset_before":
            return Reply(wire=Wire.RESET)
        wire = Wire.RESET if hit.connection == "reset_after" else Wire.TRUNCATED
        return _cut(lambda: self._methods[call.method](call), wire)

    def _hit(self, call: Call) -> Hit:
        if self._retry_tests and (scripted := self._retry_tests.draw(call)):
            return scripted
        return self._faults.draw(call) if self._faults.active else NO_HIT


def _cut(step: Step, wire: Wire) -> Reply:
    """Take a step whose answer, now or after the rest, does not arrive whole."""
    try:
        reply = step()
    except Refused as refused:
        reply = refusal(refused)
    if reply.rest is None:
        reply.wire = wire
    else:
        rest = reply.rest
        reply.rest = lambda: _cut(rest, wire)
    return reply
